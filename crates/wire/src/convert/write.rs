//! Writes of rows, single and in batches.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::filter::Patterns;
use lakeferry_model::{
    CellChange, ColumnUpdate, Condition, PrimaryKey, Returning, RowChange, RowExistence, RowOperation,
    TableName, TableSchema, Value, Violation, check_column_name, check_written_column_count, limits,
};

use super::filter::column_condition_among;
use super::{column_condition_bytes, enum_value, key_to_write, key_values};
use crate::plain_buffer::{CellOperation, WireCell, decode_row_to_write};
use crate::proto;

/// A write whose row is checked as far as it can be without its table.
#[derive(Debug, Clone, PartialEq)]
pub struct UnboundChange {
    /// The primary key's column names as the request gave them.
    pub key_names: Vec<ByteString>,
    /// The change, its key's values in the order of those names.
    pub change: RowChange,
    /// The place in the key of the value that the server picks.
    pub placeholder: Option<usize>,
}

/// The rows that a batch writes to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchTableWrite {
    /// The table.
    pub table: TableName,
    /// Its rows in request order; not empty.
    pub rows: Vec<UnboundChange>,
}

/// A batch of writes.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchWrite {
    /// Its tables in request order; not empty. One table may appear twice.
    pub tables: Vec<BatchTableWrite>,
    /// The transaction that it belongs to.
    pub transaction_id: Option<String>,
    /// Whether all rows must succeed together.
    pub is_atomic: bool,
}

impl UnboundChange {
    /// Fits the change to its table's primary key.
    ///
    /// # Errors
    /// The first primary key rule broken: size, then names and types. Then a column that is named as one of the key.
    pub fn bind(self, schema: &TableSchema) -> Result<RowChange, Violation> {
        self.check_placeholder(schema)?;
        let values = self.change.primary_key.values().iter().cloned();
        let primary_key = schema.key(self.key_names.iter().zip(values).collect())?;
        check_names_beside_key(&self.change.operation, schema)?;
        Ok(RowChange { primary_key, ..self.change })
    }

    /// The server picks values of the auto-increment column alone. What is wrong beside that is told first.
    fn check_placeholder(&self, schema: &TableSchema) -> Result<(), Violation> {
        let column =
            self.placeholder.and_then(|at| Some((schema.primary_key.get(at)?, self.key_names.get(at)?)));
        let names_fit =
            self.key_names.iter().eq(schema.primary_key.iter().map(|column| column.name.as_str()));
        match column {
            Some((column, _)) if names_fit && !column.auto_increment => Err(Violation::primary_key(format!(
                "Validate PK type fail. Input: VT_AUTO_INCREMENT, Meta: {}.",
                column.kind.value_kind().protocol_name()
            ))),
            _ => Ok(()),
        }
    }

    /// The size that a batch's limit counts, in bytes.
    pub fn size(&self) -> usize {
        self.change.size(&self.key_names)
    }
}

/// Takes a PutRow.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn put_row(request: proto::PutRowRequest) -> Result<(TableName, UnboundChange), Violation> {
    let table = TableName::parse(&request.table_name)?;
    let parts =
        ChangeParts { row: &request.row, condition: request.condition, content: request.return_content };
    Ok((table, parts.into_change(proto::OperationType::Put, &mut Patterns::default())?))
}

/// Takes an UpdateRow.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn update_row(request: proto::UpdateRowRequest) -> Result<(TableName, UnboundChange), Violation> {
    let table = TableName::parse(&request.table_name)?;
    let parts = ChangeParts {
        row: &request.row_change,
        condition: request.condition,
        content: request.return_content,
    };
    Ok((table, parts.into_change(proto::OperationType::Update, &mut Patterns::default())?))
}

/// Takes a DeleteRow.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn delete_row(request: proto::DeleteRowRequest) -> Result<(TableName, UnboundChange), Violation> {
    let table = TableName::parse(&request.table_name)?;
    let parts = ChangeParts {
        row: &request.primary_key,
        condition: request.condition,
        content: request.return_content,
    };
    Ok((table, parts.into_change(proto::OperationType::Delete, &mut Patterns::default())?))
}

/// Takes a BatchWriteRow.
///
/// # Errors
/// The first broken rule that needs no table. It fails the batch as a whole.
pub fn batch_write_row(request: proto::BatchWriteRowRequest) -> Result<BatchWrite, Violation> {
    check_batch_shape(&request)?;
    let mut patterns = Patterns::default();
    let mut bytes = 0;
    let mut tables = Vec::with_capacity(request.tables.len());
    for table in request.tables {
        let name = TableName::parse(&table.table_name)?;
        let mut rows = Vec::with_capacity(table.rows.len());
        for row in table.rows {
            let operation = enum_value("operation type", row.r#type)?;
            let parts =
                ChangeParts { row: &row.row_change, condition: row.condition, content: row.return_content };
            let change = parts.into_change(operation, &mut patterns)?;
            bytes += change.size();
            rows.push(change);
        }
        tables.push(BatchTableWrite { table: name, rows });
    }
    if bytes > limits::BATCH_WRITE_BYTES_MAX {
        return Err(Violation::parameter(format!(
            "The total data size of BatchWriteRow request exceeds the limit, limit size: {}, data size: {bytes}.",
            limits::BATCH_WRITE_BYTES_MAX
        )));
    }
    Ok(BatchWrite {
        tables,
        transaction_id: request.transaction_id,
        is_atomic: request.is_atomic.unwrap_or(false),
    })
}

/// The message of a condition, for requests.
pub fn condition_message(condition: &Condition) -> proto::Condition {
    let row_existence = match condition.existence {
        RowExistence::Ignore => proto::RowExistenceExpectation::Ignore,
        RowExistence::ExpectExist => proto::RowExistenceExpectation::ExpectExist,
        RowExistence::ExpectNotExist => proto::RowExistenceExpectation::ExpectNotExist,
    };
    proto::Condition {
        row_existence: row_existence.into(),
        column_condition: condition.columns.as_ref().map(column_condition_bytes),
    }
}

/// The message of what a write is to answer with, for requests; nothing asks for nothing.
pub fn return_content(returning: &Returning) -> Option<proto::ReturnContent> {
    let (return_type, names) = match returning {
        Returning::Nothing => return None,
        Returning::PrimaryKey => (proto::ReturnType::Pk, Vec::new()),
        Returning::AfterModify(names) => (proto::ReturnType::AfterModify, names.clone()),
    };
    Some(proto::ReturnContent { return_type: Some(return_type.into()), return_column_names: names })
}

/// # Errors
/// If a table is named without rows.
pub(super) fn check_any_row(table: &str, count: usize) -> Result<(), Violation> {
    if count == 0 {
        return Err(Violation::parameter(format!("No operation is specified for table: '{table}'.")));
    }
    Ok(())
}

/// # Errors
/// If a request names more rows than one may.
pub(super) fn check_row_count(count: usize) -> Result<(), Violation> {
    if count > limits::BATCH_WRITE_ROWS_MAX {
        return Err(Violation::parameter(format!(
            "Rows count exceeds the upper limit: {}.",
            limits::BATCH_WRITE_ROWS_MAX
        )));
    }
    Ok(())
}

fn check_batch_shape(request: &proto::BatchWriteRowRequest) -> Result<(), Violation> {
    if request.tables.is_empty() {
        return Err(Violation::parameter("No row is specified in BatchWriteRow."));
    }
    for table in &request.tables {
        TableName::parse(&table.table_name)?;
        check_any_row(&table.table_name, table.rows.len())?;
    }
    check_row_count(request.tables.iter().map(|table| table.rows.len()).sum())
}

/// What the messages of the three operations have in common.
pub(super) struct ChangeParts<'a> {
    pub row: &'a Bytes,
    pub condition: proto::Condition,
    pub content: Option<proto::ReturnContent>,
}

impl ChangeParts<'_> {
    /// The change; the request has these patterns already.
    pub(super) fn into_change(
        self,
        kind: proto::OperationType,
        patterns: &mut Patterns,
    ) -> Result<UnboundChange, Violation> {
        let row = decode_row_to_write(self.row)?;
        if row.delete_marker && kind != proto::OperationType::Delete {
            return Err(Violation::parameter("A row to put or update carries the marker of a deleted row."));
        }
        let (key_names, values, placeholder) = match kind {
            proto::OperationType::Put | proto::OperationType::Update => key_to_write(row.key)?,
            proto::OperationType::Delete => {
                let (names, values) = key_values(row.key)?.unzip();
                (names, values, None)
            }
        };
        key_names.iter().try_for_each(|name| check_column_name(name))?;
        let existence = enum_value("row existence expectation", self.condition.row_existence)?;
        check_written_column_count(row.cells.len() + row.cells_left_out)?;
        let operation = operation(kind, row.cells, placeholder.is_some())?;
        let returning = returning(self.content)?;
        let mut change = RowChange {
            primary_key: PrimaryKey::new(values),
            operation,
            condition: row_existence(existence).into(),
            returning,
        };
        change.check(&key_names)?;
        let columns = self.condition.column_condition.filter(|bytes| !bytes.is_empty());
        change.condition.columns =
            columns.map(|bytes| column_condition_among(&bytes, patterns)).transpose()?;
        Ok(UnboundChange { key_names, change, placeholder })
    }
}

/// A column of the key hides one of its name among the others: nobody could filter by it. One that is there already
/// can be deleted.
fn check_names_beside_key(operation: &RowOperation, schema: &TableSchema) -> Result<(), Violation> {
    let is_put =
        |cell: &&CellChange| matches!(cell.update, ColumnUpdate::Put(..) | ColumnUpdate::Increment(_));
    let is_key = |cell: &&CellChange| schema.primary_key.iter().any(|column| column.name == *cell.name);
    match operation.cells().iter().filter(is_put).find(is_key) {
        Some(cell) => Err(Violation::parameter(format!(
            "The attribute column '{}' has the name of a primary key column.",
            cell.name
        ))),
        None => Ok(()),
    }
}

fn operation(
    kind: proto::OperationType,
    cells: Vec<WireCell>,
    picks_key: bool,
) -> Result<RowOperation, Violation> {
    match kind {
        proto::OperationType::Put => {
            if let Some(cell) = cells.iter().find(|cell| cell.operation != CellOperation::Put) {
                let name = &cell.name;
                return Err(Violation::parameter(format!(
                    "Column '{name}' of a row to put carries an operation."
                )));
            }
            let cells = cells.into_iter().map(cell_change).collect::<Result<_, _>>()?;
            Ok(if picks_key { RowOperation::Insert(cells) } else { RowOperation::Put(cells) })
        }
        proto::OperationType::Update => {
            let cells = cells.into_iter().map(cell_change).collect::<Result<_, _>>()?;
            Ok(if picks_key { RowOperation::UpdateNew(cells) } else { RowOperation::Update(cells) })
        }
        proto::OperationType::Delete if cells.is_empty() => Ok(RowOperation::Delete),
        proto::OperationType::Delete => {
            Err(Violation::parameter("A row to delete carries attribute columns."))
        }
    }
}

fn cell_change(cell: WireCell) -> Result<CellChange, Violation> {
    let WireCell { name, value, operation, timestamp_ms } = cell;
    let update = match (operation, value, timestamp_ms) {
        (CellOperation::Put, Some(value), timestamp_ms) => ColumnUpdate::Put(value, timestamp_ms),
        (CellOperation::DeleteVersion, _, Some(timestamp_ms)) => ColumnUpdate::DeleteVersion(timestamp_ms),
        (CellOperation::DeleteAll, ..) => ColumnUpdate::DeleteAll,
        // Some SDKs let a timestamp through here; the sum is a new version with a time of the server's.
        (CellOperation::Increment, Some(Value::Integer(by)), _) => ColumnUpdate::Increment(by),
        (CellOperation::Increment, Some(other), _) => {
            return Err(Violation::parameter(format!(
                "Column '{name}' is incremented by a {}; only integers can be added.",
                other.kind().protocol_name()
            )));
        }
        // `decode_row` lets none of these through.
        (CellOperation::Put | CellOperation::Increment, None, _)
        | (CellOperation::DeleteVersion, _, None) => {
            return Err(Violation::parameter(format!("Column '{name}' lacks its value or timestamp.")));
        }
    };
    Ok(CellChange { name, update })
}

fn row_existence(expected: proto::RowExistenceExpectation) -> RowExistence {
    match expected {
        proto::RowExistenceExpectation::Ignore => RowExistence::Ignore,
        proto::RowExistenceExpectation::ExpectExist => RowExistence::ExpectExist,
        proto::RowExistenceExpectation::ExpectNotExist => RowExistence::ExpectNotExist,
    }
}

fn returning(content: Option<proto::ReturnContent>) -> Result<Returning, Violation> {
    let Some(proto::ReturnContent { return_type, return_column_names: names }) = content else {
        return Ok(Returning::Nothing);
    };
    let return_type = enum_value("return type", return_type.unwrap_or_default())?;
    if return_type != proto::ReturnType::AfterModify {
        if !names.is_empty() {
            return Err(Violation::parameter(
                "Columns to return are named, but the return type is not RT_AFTER_MODIFY.",
            ));
        }
        return Ok(match return_type {
            proto::ReturnType::Pk => Returning::PrimaryKey,
            proto::ReturnType::None | proto::ReturnType::AfterModify => Returning::Nothing,
        });
    }
    Ok(Returning::AfterModify(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{self, bytes};
    use crate::plain_buffer::{RowWriter, encode};
    use crate::proto::Message;
    use lakeferry_model::filter::{ColumnTest, Comparison, ValueTransfer};
    use lakeferry_model::{DefinedColumn, KeyBound, KeyColumn, KeyKind, KeyValue, Rule, ValueRef};

    fn key_and(cells: &[(&str, ValueRef<'_>, CellOperation, Option<i64>)]) -> Bytes {
        let mut writer = RowWriter::new();
        writer.start_row();
        writer.key_cell("pk", ValueRef::String("a"));
        for (name, value, operation, timestamp_ms) in cells {
            writer.change(name, Some(*value), *operation, *timestamp_ms);
        }
        writer.end_row();
        writer.finish()
    }

    fn put_of(table: &str, row: Bytes) -> proto::PutRowRequest {
        proto::PutRowRequest { table_name: table.to_owned(), row, ..Default::default() }
    }

    fn put_message(table: &str, row: Bytes) -> String {
        put_row(put_of(table, row)).unwrap_err().message
    }

    fn schema() -> TableSchema {
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn {
                name: "pk".to_owned(),
                kind: KeyKind::String,
                auto_increment: false,
            }],
            defined_columns: Vec::<DefinedColumn>::new(),
        }
    }

    #[test]
    fn golden_update_row() {
        let body = bytes(golden::UPDATE_ROW_REQUEST);
        let request = proto::UpdateRowRequest::decode(body.clone()).unwrap();
        assert_eq!(request.encode_to_vec(), body);
        let (table, unbound) = update_row(request).unwrap();
        assert_eq!(table.as_str(), "t");
        let change = unbound.bind(&schema()).unwrap();
        assert_eq!(change.primary_key.values(), [KeyValue::String("a".into())]);
        let named = |name: &'static str, update| CellChange { name: name.into(), update };
        let expected = RowOperation::Update(vec![
            named("s", ColumnUpdate::Put(Value::String("x".into()), None)),
            named("o", ColumnUpdate::DeleteVersion(1_500_000_000_000)),
            named("z", ColumnUpdate::DeleteAll),
            named("i", ColumnUpdate::Increment(2)),
        ]);
        assert_eq!(change.operation, expected);
        assert_eq!(change.condition.existence, RowExistence::Ignore);
    }

    #[test]
    fn golden_delete_row() {
        let body = bytes(golden::DELETE_ROW_REQUEST);
        let request = proto::DeleteRowRequest::decode(body.clone()).unwrap();
        assert_eq!(request.encode_to_vec(), body);
        let (_, unbound) = delete_row(request).unwrap();
        assert_eq!(unbound.change.operation, RowOperation::Delete);
        assert_eq!(unbound.key_names, ["pk"]);
    }

    #[test]
    fn rules_are_checked_in_the_order_that_tests_know() {
        let infinite = encode::bound([("#pk", &KeyBound::InfMin)]);
        assert_eq!(put_message("1t", infinite.clone()), "Invalid table name: '1t'.");
        assert_eq!(put_message("t", infinite), "VT_INF_MIN is an invalid type for the primary key.");
        let value = KeyBound::InfMin;
        let five = encode::bound([("pk", &value); 5]);
        assert_eq!(put_message("t", five), "The number of primary key columns must be in range: [1, 4].");
        let bad_name = key_and(&[("#c", ValueRef::Integer(1), CellOperation::Put, Some(-1))]);
        assert_eq!(put_message("t", bad_name), "Invalid column name: '#c'.");
        let bad_time = key_and(&[("c", ValueRef::Integer(1), CellOperation::Put, Some(-1))]);
        assert_eq!(put_message("t", bad_time), "Timestamp must be in range [0, INT64_MAX/1000).");
        let many = vec![("c", ValueRef::Integer(1), CellOperation::Put, None); 1025];
        let message =
            "The number of attribute columns exceeds the limit, limit count: 1024, column count: 1025.";
        assert_eq!(put_message("t", key_and(&many)), message);
    }

    #[test]
    fn a_key_of_another_schema_is_refused_when_it_is_bound() {
        let key = encode::key([("pk", ValueRef::Binary(b"a"))]);
        let violation = put_row(put_of("t", key)).unwrap().1.bind(&schema()).unwrap_err();
        assert_eq!(violation.rule, Rule::PrimaryKey);
        assert_eq!(violation.message, "Validate PK type fail. Input: VT_BLOB, Meta: VT_STRING.");
    }

    #[test]
    fn an_attribute_column_has_another_name_than_those_of_the_key() {
        let bound = |cell| {
            let request = proto::UpdateRowRequest {
                table_name: "t".to_owned(),
                row_change: key_and(&[cell]),
                ..Default::default()
            };
            update_row(request).unwrap().1.bind(&schema())
        };
        let value = ValueRef::Integer(1);
        assert!(bound(("pk", value, CellOperation::Put, None)).is_err());
        assert!(bound(("pk", value, CellOperation::Increment, None)).is_err());
        assert!(bound(("pk2", value, CellOperation::Put, None)).is_ok());
    }

    #[test]
    fn only_incremented_columns_can_be_returned() {
        let request = |return_type: proto::ReturnType, names: &[&str]| proto::UpdateRowRequest {
            table_name: "t".to_owned(),
            row_change: key_and(&[
                ("n", ValueRef::Integer(1), CellOperation::Increment, None),
                ("s", ValueRef::Integer(1), CellOperation::Put, None),
            ]),
            return_content: Some(proto::ReturnContent {
                return_type: Some(return_type.into()),
                return_column_names: names.iter().map(|&name| name.to_owned()).collect(),
            }),
            ..Default::default()
        };
        let taken = |return_type, names: &[&str]| {
            update_row(request(return_type, names)).map(|(_, unbound)| unbound.change.returning)
        };
        assert_eq!(taken(proto::ReturnType::None, &[]), Ok(Returning::Nothing));
        assert_eq!(taken(proto::ReturnType::Pk, &[]), Ok(Returning::PrimaryKey));
        let names = vec!["n".to_owned()];
        assert_eq!(taken(proto::ReturnType::AfterModify, &["n"]), Ok(Returning::AfterModify(names)));
        assert!(taken(proto::ReturnType::Pk, &["n"]).is_err());
        assert!(taken(proto::ReturnType::AfterModify, &["s"]).is_err());
        assert!(taken(proto::ReturnType::AfterModify, &["n", "missing"]).is_err());
        assert!(taken(proto::ReturnType::AfterModify, &["n", "n"]).is_err());
    }

    #[test]
    fn names_to_return_are_counted_before_they_are_looked_for() {
        let one = key_and(&[("n", ValueRef::Integer(1), CellOperation::Increment, None)]);
        let many = key_and(&vec![("n", ValueRef::Integer(1), CellOperation::Increment, None); 1025]);
        let message = |row_change, names: usize| {
            let content = proto::ReturnContent {
                return_type: Some(proto::ReturnType::AfterModify.into()),
                return_column_names: vec!["n".to_owned(); names],
            };
            let request = proto::UpdateRowRequest {
                table_name: "t".to_owned(),
                row_change,
                return_content: Some(content),
                ..Default::default()
            };
            update_row(request).unwrap_err().message
        };
        assert_eq!(message(one, 2), "More columns are to be returned than the row is given.");
        assert!(message(many, 1025).ends_with("column count: 1025."), "its cells are counted first");
    }

    #[test]
    fn the_patterns_of_a_whole_batch_are_bounded() {
        let row = |pattern: String| {
            let test = ColumnTest {
                transfer: Some(ValueTransfer::new(&pattern, None).unwrap()),
                ..ColumnTest::new("c", Comparison::Exists)
            };
            let condition = Condition { existence: RowExistence::Ignore, columns: Some(test.into()) };
            proto::RowInBatchWriteRowRequest {
                r#type: proto::OperationType::Delete.into(),
                row_change: encode::key([("pk", ValueRef::Integer(1))]),
                condition: condition_message(&condition),
                return_content: None,
            }
        };
        let batch = |rows: Vec<_>| {
            let tables = rows.into_iter().map(|row| proto::TableInBatchWriteRowRequest {
                table_name: "t".to_owned(),
                rows: vec![row],
            });
            batch_write_row(proto::BatchWriteRowRequest { tables: tables.collect(), ..Default::default() })
        };
        assert!(batch((0..200).map(|at| row(format!("a{}", at % 32))).collect()).is_ok());
        let message = batch((0..33).map(|at| row(format!("a{at}"))).collect()).unwrap_err().message;
        assert!(message.contains("different regexes"), "{message}");
    }

    #[test]
    fn what_does_not_belong_into_a_row_is_refused() {
        let increment = key_and(&[("n", ValueRef::Integer(1), CellOperation::Increment, None)]);
        assert!(put_message("t", increment.clone()).contains("carries an operation"));
        assert!(put_message("t", bytes(golden::DELETE_ROW)).contains("marker"));
        let picked = proto::DeleteRowRequest {
            table_name: "t".to_owned(),
            primary_key: bytes(golden::PUT_AUTO_INCREMENT),
            ..Default::default()
        };
        assert!(delete_row(picked).unwrap_err().message.starts_with("VT_AUTO_INCREMENT"));
        let delete = proto::DeleteRowRequest {
            table_name: "t".to_owned(),
            primary_key: increment,
            ..Default::default()
        };
        assert!(delete_row(delete).is_err());
        let update = proto::UpdateRowRequest {
            table_name: "t".to_owned(),
            row_change: key_and(&[("n", ValueRef::Double(1.0), CellOperation::Increment, None)]),
            ..Default::default()
        };
        assert!(update_row(update).unwrap_err().message.contains("VT_DOUBLE"));
    }

    fn batch(tables: &[(&str, usize, usize)]) -> proto::BatchWriteRowRequest {
        let row = |value_bytes: usize| proto::RowInBatchWriteRowRequest {
            r#type: proto::OperationType::Put.into(),
            row_change: key_and(&[(
                "c",
                ValueRef::Binary(&vec![0; value_bytes]),
                CellOperation::Put,
                Some(1),
            )]),
            ..Default::default()
        };
        let table = |&(name, rows, value_bytes): &(&str, usize, usize)| proto::TableInBatchWriteRowRequest {
            table_name: name.to_owned(),
            rows: vec![row(value_bytes); rows],
        };
        proto::BatchWriteRowRequest { tables: tables.iter().map(table).collect(), ..Default::default() }
    }

    #[test]
    fn a_batch_is_refused_as_a_whole() {
        let message = |tables: &[_]| batch_write_row(batch(tables)).unwrap_err().message;
        assert_eq!(message(&[]), "No row is specified in BatchWriteRow.");
        assert_eq!(message(&[("t", 1, 1), ("u", 0, 1)]), "No operation is specified for table: 'u'.");
        assert_eq!(message(&[("t", 1, 1), ("", 1, 1)]), "Invalid table name: ''.");
        assert_eq!(message(&[("t", 100, 1), ("u", 101, 1)]), "Rows count exceeds the upper limit: 200.");
        assert_eq!(
            batch_write_row(batch(&[("t", 100, 1), ("u", 100, 1)])).unwrap().tables[1].rows.len(),
            100
        );
    }

    #[test]
    fn a_batch_may_hold_four_mebibytes_to_the_byte() {
        // Key name and value, column name and timestamp: 2 + 1 + 1 + 8 bytes beside each value.
        let fits = (1 << 20) - 12;
        assert!(batch_write_row(batch(&[("t", 4, fits)])).is_ok());
        let mut one_more = batch(&[("t", 3, fits)]);
        one_more.tables.extend(batch(&[("t", 1, fits + 1)]).tables);
        let message = "The total data size of BatchWriteRow request exceeds the limit, limit size: 4194304, data size: 4194305.";
        assert_eq!(batch_write_row(one_more).unwrap_err().message, message);
    }
}
