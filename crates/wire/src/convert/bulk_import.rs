//! Bulk imports: writes of one table's rows, without conditions and without rows in the answer.

use lakeferry_model::filter::Patterns;
use lakeferry_model::{ColumnUpdate, RowChange, TableName, TableSchema, ValueKind, Violation};

use super::enum_value;
use super::write::{BatchTableWrite, ChangeParts, check_any_row, check_row_count};
use crate::proto;

/// Takes a BulkImport.
///
/// # Errors
/// The first broken rule that needs no table. It fails the import as a whole.
pub fn bulk_import(request: proto::BulkImportRequest) -> Result<BatchTableWrite, Violation> {
    let table = TableName::parse(&request.table_name)?;
    check_any_row(&request.table_name, request.rows.len())?;
    check_row_count(request.rows.len())?;
    // Imports have no conditions, and so none.
    let mut patterns = Patterns::default();
    let rows = request.rows.into_iter().map(|row| {
        let operation = enum_value("operation type", row.r#type)?;
        let parts =
            ChangeParts { row: &row.row_change, condition: proto::Condition::default(), content: None };
        parts.into_change(operation, &mut patterns)
    });
    Ok(BatchTableWrite { table, rows: rows.collect::<Result<_, _>>()? })
}

/// Checks that the columns which the table defines are given values of their kinds. Of all writes, an import alone
/// asks for that.
///
/// # Errors
/// The first column that is not, with the protocol's text.
pub fn check_defined_kinds(change: &RowChange, schema: &TableSchema) -> Result<(), Violation> {
    for cell in change.operation.cells() {
        let actual = match &cell.update {
            ColumnUpdate::Put(value, _) => value.kind(),
            ColumnUpdate::Increment(_) => ValueKind::Integer,
            ColumnUpdate::DeleteVersion(_) | ColumnUpdate::DeleteAll => continue,
        };
        let defined = schema.defined_columns.iter().find(|column| *column.name == *cell.name);
        if let Some(column) = defined.filter(|column| column.kind.0 != actual) {
            return Err(Violation::parameter(format!(
                "Invalid column type for column {} expect {} actual {}",
                column.name,
                column.kind.0.protocol_name(),
                actual.protocol_name()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain_buffer::encode;
    use lakeferry_model::{CellChange, DefinedColumn, DefinedKind, RowOperation, Value, ValueRef};

    fn row(kind: proto::OperationType) -> proto::RowInBulkImportRequest {
        let operation = match kind {
            proto::OperationType::Delete => RowOperation::Delete,
            _ => RowOperation::Put(vec![CellChange {
                name: "c".into(),
                update: ColumnUpdate::Put(Value::Integer(1), None),
            }]),
        };
        let row_change = encode::change([("pk", ValueRef::Integer(1))], &operation);
        proto::RowInBulkImportRequest { r#type: kind.into(), row_change }
    }

    fn import(count: usize) -> Result<BatchTableWrite, Violation> {
        let rows = vec![row(proto::OperationType::Put); count];
        bulk_import(proto::BulkImportRequest { table_name: "t".into(), rows })
    }

    #[test]
    fn an_import_has_one_row_at_least_and_two_hundred_at_most() {
        assert_eq!(import(0).unwrap_err().message, "No operation is specified for table: 't'.");
        assert_eq!(import(201).unwrap_err().message, "Rows count exceeds the upper limit: 200.");
        assert_eq!(import(200).unwrap().rows.len(), 200);
    }

    #[test]
    fn each_row_says_what_is_done_to_it() {
        let rows = vec![row(proto::OperationType::Update), row(proto::OperationType::Delete)];
        let write = bulk_import(proto::BulkImportRequest { table_name: "t".into(), rows }).unwrap();
        assert!(matches!(write.rows[0].change.operation, RowOperation::Update(_)));
        assert_eq!(write.rows[1].change.operation, RowOperation::Delete);
        let unknown = proto::RowInBulkImportRequest { r#type: 9, ..row(proto::OperationType::Put) };
        assert!(
            bulk_import(proto::BulkImportRequest { table_name: "t".into(), rows: vec![unknown] }).is_err()
        );
    }

    #[test]
    fn a_defined_column_takes_values_of_its_kind_alone() {
        let mut schema = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: Vec::new(),
            defined_columns: vec![DefinedColumn { name: "c".into(), kind: DefinedKind(ValueKind::Integer) }],
        };
        let change = &import(1).unwrap().rows[0].change;
        check_defined_kinds(change, &schema).unwrap();
        schema.defined_columns[0].kind = DefinedKind(ValueKind::Binary);
        let message = check_defined_kinds(change, &schema).unwrap_err().message;
        assert_eq!(message, "Invalid column type for column c expect VT_BLOB actual VT_INTEGER");
    }
}
