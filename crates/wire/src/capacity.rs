//! Capacity units: what a call would have cost. Told back in every answer; nothing is throttled by them.
//!
//! A unit pays for 4096 bytes. A row's size is that of its primary key, names and values, and of each cell,
//! name and value; timestamps do not count.

use lakeferry_model::{ColumnUpdate, ReservedThroughput, RowChange, RowOperation};

use crate::proto;

/// The size limit that one unit pays for, in bytes.
const UNIT_BYTES: usize = lakeferry_model::limits::CAPACITY_UNIT_BYTES;

/// Units that pay for so many bytes: at least one, also for a row that is missing and for an empty page.
pub fn units(bytes: usize) -> i32 {
    i32::try_from(bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(i32::MAX)
}

/// What reading so many bytes costs. The sizes of a page's rows are summed before.
pub fn read(bytes: usize) -> proto::ConsumedCapacity {
    consumed(units(bytes), 0)
}

/// What a write costs. `key_name_bytes` is the summed size of the primary key's column names.
pub fn write(change: &RowChange, key_name_bytes: usize) -> proto::ConsumedCapacity {
    let bytes = match &change.operation {
        RowOperation::Delete => 0,
        _ => row_bytes(change, key_name_bytes),
    };
    consumed(i32::from(change.condition.is_any()), units(bytes))
}

/// What an export reads: bytes instead of units.
pub fn exported(bytes: usize) -> proto::ConsumedCapacity {
    let data_size = proto::CapacityDataSize {
        read_size: Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
        write_size: Some(0),
    };
    proto::ConsumedCapacity { capacity_data_size: Some(data_size), ..consumed(0, 0) }
}

/// Both numbers, which every answer needs, also where they are 0.
pub fn consumed(read: i32, write: i32) -> proto::ConsumedCapacity {
    proto::ConsumedCapacity { capacity_unit: capacity_unit(read, write), capacity_data_size: None }
}

/// What a row of a bulk import costs: no units, but its bytes.
pub fn imported(bytes: usize) -> proto::ConsumedCapacity {
    let size = proto::CapacityDataSize { read_size: Some(0), write_size: i64::try_from(bytes).ok() };
    proto::ConsumedCapacity { capacity_unit: capacity_unit(0, 0), capacity_data_size: Some(size) }
}

/// Reserved throughput as the wire has it.
pub(crate) fn reserved(throughput: ReservedThroughput) -> proto::CapacityUnit {
    capacity_unit(throughput.read, throughput.write)
}

fn capacity_unit(read: i32, write: i32) -> proto::CapacityUnit {
    proto::CapacityUnit { read: Some(read), write: Some(write) }
}

/// The size of a written row in bytes: its key, and name and value of each cell. `key_name_bytes` is the summed
/// size of the primary key's column names.
pub fn row_bytes(change: &RowChange, key_name_bytes: usize) -> usize {
    let cells = change.operation.cells().iter().map(|cell| {
        cell.name.len()
            + match &cell.update {
                ColumnUpdate::Put(value, _) => value.size(),
                ColumnUpdate::Increment(_) => 8,
                ColumnUpdate::DeleteVersion(_) | ColumnUpdate::DeleteAll => 0,
            }
    });
    key_name_bytes + change.primary_key.size() + cells.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::filter::{ColumnTest, Comparison};
    use lakeferry_model::{CellChange, Condition, KeyValue, PrimaryKey, Returning, RowExistence, Value};

    fn change(operation: RowOperation, condition: impl Into<Condition>) -> RowChange {
        RowChange {
            primary_key: PrimaryKey::new(vec![KeyValue::Integer(1)]),
            operation,
            condition: condition.into(),
            returning: Returning::Nothing,
        }
    }

    fn blobs(count: usize, bytes: usize) -> Vec<CellChange> {
        let value = Value::Binary(vec![0; bytes].into());
        let cell = CellChange { name: "c".into(), update: ColumnUpdate::Put(value, Some(1)) };
        vec![cell; count]
    }

    #[test]
    fn a_unit_pays_for_4096_bytes_and_nothing_is_free() {
        for (bytes, expected) in [(0, 1), (1, 1), (4096, 1), (4097, 2), (12_288, 3)] {
            assert_eq!(units(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn two_values_of_4096_bytes_cost_three() {
        let put = RowOperation::Put(blobs(2, 4096));
        assert_eq!(write(&change(put.clone(), RowExistence::Ignore), 2), consumed(0, 3));
        assert_eq!(write(&change(put, RowExistence::ExpectNotExist), 2), consumed(1, 3));
    }

    #[test]
    fn a_timestamp_costs_nothing() {
        // 2 + 8 for the key, 1 for the cell's name.
        let put = RowOperation::Put(blobs(1, 4096 - 11));
        assert_eq!(write(&change(put, RowExistence::Ignore), 2), consumed(0, 1));
    }

    #[test]
    fn a_delete_costs_one_and_its_condition_another() {
        assert_eq!(write(&change(RowOperation::Delete, RowExistence::Ignore), 5000), consumed(0, 1));
        assert_eq!(write(&change(RowOperation::Delete, RowExistence::ExpectExist), 5000), consumed(1, 1));
        let columns = Some(ColumnTest::new("c", Comparison::Exists).into());
        let condition = Condition { columns, ..Condition::default() };
        assert_eq!(write(&change(RowOperation::Delete, condition), 5000), consumed(1, 1));
    }
}
