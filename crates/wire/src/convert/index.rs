//! Secondary indexes and defined columns: making and dropping them, and the points that split a table by size.

use lakeferry_model::{
    DefinedColumn, IndexKind, IndexSpec, KeyColumn, KeyValue, TableName, Violation, check_column_name,
};

use super::enum_value;
use super::table::{defined_column, defined_column_message, key_column_message};
use crate::plain_buffer::encode;
use crate::{capacity, proto};

/// An index to be made on a table that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIndex {
    /// The table.
    pub table: TableName,
    /// The index.
    pub index: IndexSpec,
    /// Whether the rows that the table holds already belong to it.
    pub include_base_data: bool,
}

/// An index as it is described to whoever asks.
#[derive(Debug, Clone, Copy)]
pub struct IndexDescription<'a> {
    /// What its maker asked for.
    pub spec: &'a IndexSpec,
    /// Whether it holds every row that it should, and can be read.
    pub is_built: bool,
}

/// A request for the points that split a table into parts of about one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPointsAsked {
    /// The table.
    pub table: TableName,
    /// About the bytes of a part; at least a MiB.
    pub part_bytes: u64,
    /// Points at most.
    pub points_max: Option<usize>,
}

/// Takes a CreateIndex.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn create_index(request: &proto::CreateIndexRequest) -> Result<NewIndex, Violation> {
    Ok(NewIndex {
        table: TableName::parse(&request.main_table_name)?,
        index: index_spec(&request.index_meta)?,
        include_base_data: request.include_base_data.unwrap_or(false),
    })
}

/// Takes a DropIndex: the table and the index.
///
/// # Errors
/// A name that is none.
pub fn drop_index(request: &proto::DropIndexRequest) -> Result<(TableName, TableName), Violation> {
    Ok((TableName::parse(&request.main_table_name)?, TableName::parse(&request.index_name)?))
}

/// Takes an AddDefinedColumn: the table and the columns.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn add_defined_column(
    request: &proto::AddDefinedColumnRequest,
) -> Result<(TableName, Vec<DefinedColumn>), Violation> {
    let table = TableName::parse(&request.table_name)?;
    let columns = request.columns.iter().map(defined_column).collect::<Result<Vec<_>, _>>()?;
    columns.iter().try_for_each(|column| check_column_name(&column.name))?;
    Ok((table, columns))
}

/// Takes a DeleteDefinedColumn: the table and the columns' names.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn delete_defined_column(
    request: proto::DeleteDefinedColumnRequest,
) -> Result<(TableName, Vec<String>), Violation> {
    let table = TableName::parse(&request.table_name)?;
    request.columns.iter().try_for_each(|name| check_column_name(name))?;
    Ok((table, request.columns))
}

/// Takes a ComputeSplitPointsBySize.
///
/// # Errors
/// The first broken rule.
pub fn split_points_asked(
    request: &proto::ComputeSplitPointsBySizeRequest,
) -> Result<SplitPointsAsked, Violation> {
    const UNIT_BYTES: u64 = 100 * 1024 * 1024;
    const UNIT_BYTES_MIN: u64 = 1024 * 1024;
    let table = TableName::parse(&request.table_name)?;
    let units = match u64::try_from(request.split_size) {
        Ok(units @ 1..) => units,
        _ => return Err(Violation::parameter("The split_size should be greater than 0.")),
    };
    let unit_bytes = match request.split_size_unit_in_byte.map(u64::try_from) {
        None => UNIT_BYTES,
        Some(Ok(bytes @ UNIT_BYTES_MIN..)) => bytes,
        Some(_) => {
            return Err(Violation::parameter(format!(
                "The split_size_unit_in_byte should be greater equal than: {UNIT_BYTES_MIN}"
            )));
        }
    };
    let points_max = request.split_point_limit.map(|limit| {
        let message = "The split_point_limit should be greater equal than: 0";
        usize::try_from(limit).map_err(|_| Violation::parameter(message))
    });
    Ok(SplitPointsAsked {
        table,
        part_bytes: units.saturating_mul(unit_bytes),
        points_max: points_max.transpose()?,
    })
}

/// Answers the points that split a table, with their column names, and where each part begins: places in the order
/// of the parts, each with the number of parts there in a row.
pub fn split_points_response(
    schema: &[KeyColumn],
    points: &[Vec<KeyValue>],
    locations: &[(String, u64)],
) -> proto::ComputeSplitPointsBySizeResponse {
    let point = |values: &Vec<KeyValue>| {
        let names = schema.iter().map(|column| column.name.as_str());
        encode::key(names.zip(values.iter().map(KeyValue::as_ref)))
    };
    let location = |(place, repeat): &(String, u64)| {
        let repeat = i64::try_from(*repeat).unwrap_or(i64::MAX);
        proto::SplitLocation { location: place.clone(), repeat }
    };
    proto::ComputeSplitPointsBySizeResponse {
        consumed: capacity::read(0),
        schema: schema.iter().map(key_column_message).collect(),
        split_points: points.iter().map(point).collect(),
        locations: locations.iter().map(location).collect(),
    }
}

/// Takes an index's message.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn index_spec(index: &proto::IndexMeta) -> Result<IndexSpec, Violation> {
    let kind = match enum_value("index type", index.index_type)? {
        proto::IndexType::GlobalIndex => IndexKind::Global,
        proto::IndexType::LocalIndex => IndexKind::Local,
    };
    let spec = IndexSpec {
        name: TableName::parse(&index.name)?,
        kind,
        key_columns: index.primary_key.clone(),
        defined_columns: index.defined_column.clone(),
    };
    spec.check_counts()?;
    spec.key_columns.iter().chain(&spec.defined_columns).try_for_each(|name| check_column_name(name))?;
    Ok(spec)
}

/// An index's message.
pub fn index_meta(index: &IndexSpec) -> proto::IndexMeta {
    let (index_type, mode) = match index.kind {
        IndexKind::Global => (proto::IndexType::GlobalIndex, proto::IndexUpdateMode::AsyncIndex),
        IndexKind::Local => (proto::IndexType::LocalIndex, proto::IndexUpdateMode::SyncIndex),
    };
    proto::IndexMeta {
        name: index.name.to_string(),
        primary_key: index.key_columns.clone(),
        defined_column: index.defined_columns.clone(),
        index_update_mode: mode.into(),
        index_type: index_type.into(),
        index_sync_phase: None,
    }
}

/// An index's message, as answers carry it.
pub fn described_index(index: &IndexDescription<'_>) -> proto::IndexMeta {
    let phase = if index.is_built { proto::IndexSyncPhase::Incr } else { proto::IndexSyncPhase::Full };
    proto::IndexMeta { index_sync_phase: Some(phase.into()), ..index_meta(index.spec) }
}

/// An AddDefinedColumn request, for clients.
pub fn add_defined_column_request(
    table: &TableName,
    columns: &[DefinedColumn],
) -> proto::AddDefinedColumnRequest {
    proto::AddDefinedColumnRequest {
        table_name: table.to_string(),
        columns: columns.iter().map(defined_column_message).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> IndexSpec {
        IndexSpec {
            name: TableName::parse("x").unwrap(),
            kind: IndexKind::Local,
            key_columns: vec!["b".into(), "a".into()],
            defined_columns: vec!["d".into(), "c".into()],
        }
    }

    #[test]
    fn an_index_comes_back_as_it_was_asked_for() {
        assert_eq!(index_spec(&index_meta(&spec())).unwrap(), spec());
        let described = described_index(&IndexDescription { spec: &spec(), is_built: true });
        assert_eq!(described.index_sync_phase, Some(proto::IndexSyncPhase::Incr.into()));
        assert_eq!(described.primary_key, ["b", "a"], "declared lists keep their order");
    }

    #[test]
    fn counts_of_an_index_are_checked_before_its_columns() {
        let meta = proto::IndexMeta { primary_key: vec!["#".into(); 5], ..index_meta(&spec()) };
        let message = index_spec(&meta).unwrap_err().message;
        assert_eq!(message, "The number of primary key columns must be in range: [1, 4] in index.");
        let bad_name = proto::IndexMeta { name: "1".into(), ..index_meta(&spec()) };
        assert_eq!(index_spec(&bad_name).unwrap_err().message, "Invalid table name: '1'.");
    }

    #[test]
    fn the_size_of_a_part_has_a_floor() {
        let asked = |split_size, split_size_unit_in_byte, split_point_limit| {
            split_points_asked(&proto::ComputeSplitPointsBySizeRequest {
                table_name: "t".into(),
                split_size,
                split_size_unit_in_byte,
                split_point_limit,
            })
            .map_err(|violation| violation.message)
        };
        assert_eq!(asked(2, None, None).unwrap().part_bytes, 200 << 20);
        assert_eq!(asked(3, Some(1 << 20), Some(7)).unwrap().points_max, Some(7));
        for size in [0, -1] {
            assert_eq!(asked(size, None, None).unwrap_err(), "The split_size should be greater than 0.");
        }
        for unit in [-1, 0, (1 << 20) - 1] {
            let message = "The split_size_unit_in_byte should be greater equal than: 1048576";
            assert_eq!(asked(1, Some(unit), None).unwrap_err(), message);
        }
        assert!(asked(1, None, Some(-1)).is_err());
    }
}
