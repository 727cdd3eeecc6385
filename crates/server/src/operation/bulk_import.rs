//! BulkImport: writes rows of one table, each of which succeeds or fails alone, without conditions.
//!
//! It goes the way of every write. Beside a batch it checks the kinds of defined columns, and it answers the bytes
//! of each row rather than units.

use lakeferry_store::Table;
use lakeferry_wire::convert::{self, BatchTableWrite, UnboundChange};
use lakeferry_wire::proto::{BulkImportRequest, BulkImportResponse, ConsumedCapacity, RowInBulkImportResponse};
use lakeferry_wire::capacity;

use super::{Call, write};
use crate::error::ApiError;

pub async fn answer(call: Call, request: BulkImportRequest) -> Result<BulkImportResponse, ApiError> {
    let BatchTableWrite { table: name, rows } = convert::bulk_import(request)?;
    let rows: Vec<Result<ConsumedCapacity, ApiError>> = match call.table(&name) {
        Ok(table) => import(&call, &table, rows).await,
        Err(error) => rows.iter().map(|_| Err(error.clone())).collect(),
    };
    let rows = rows.into_iter().map(|row| row_answer(&call, row)).collect();
    Ok(BulkImportResponse { table_name: name.to_string(), rows })
}

/// Writes the rows that fit the table. What each costs, or why it was not written, in their order.
async fn import(
    call: &Call,
    table: &Table,
    rows: Vec<UnboundChange>,
) -> Vec<Result<ConsumedCapacity, ApiError>> {
    let info = table.info();
    let mut changes = Vec::with_capacity(rows.len());
    let bound = rows.into_iter().map(|row| {
        let change = write::bind(row, &info.schema)?.change;
        convert::check_defined_kinds(&change, &info.schema)?;
        let bytes = capacity::row_bytes(&change, info.schema.key_name_bytes());
        changes.push(change);
        Ok(capacity::imported(bytes))
    });
    let bound: Vec<Result<ConsumedCapacity, ApiError>> = bound.collect();
    let mut written = table.write(changes, call.deadline).await.into_iter();
    let outcome = |row: Result<ConsumedCapacity, ApiError>| {
        let consumed = row?;
        written.next().expect("a write answers each of its rows")?;
        Ok(consumed)
    };
    bound.into_iter().map(outcome).collect()
}

fn row_answer(call: &Call, row: Result<ConsumedCapacity, ApiError>) -> RowInBulkImportResponse {
    match row {
        Ok(consumed) => RowInBulkImportResponse { is_ok: true, error: None, consumed: Some(consumed) },
        Err(error) => {
            RowInBulkImportResponse { is_ok: false, error: Some(call.row_error(&error)), consumed: None }
        }
    }
}
