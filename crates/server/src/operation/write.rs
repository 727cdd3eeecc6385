//! What the writes of rows share: from a checked change to the answer about its row.

use bytes::Bytes;
use lakeferry_model::{Row, RowChange, TableName, TableSchema};
use lakeferry_store::Written;
use lakeferry_wire::convert::UnboundChange;
use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::{capacity, proto};

use super::Call;
use super::target::Target;
use crate::error::ApiError;

/// What a write answers about its row.
pub struct Answer {
    /// What it would have cost.
    pub consumed: proto::ConsumedCapacity,
    /// What it was asked to return of the row.
    pub row: Option<Bytes>,
}

/// A change that fits its table, and what it costs.
pub struct BoundChange {
    /// The change.
    pub change: RowChange,
    /// What it would cost.
    pub consumed: proto::ConsumedCapacity,
}

/// Writes one row.
///
/// # Errors
/// The first rule it breaks, or why it was not written.
pub async fn one(
    call: &Call,
    table: &TableName,
    change: UnboundChange,
    transaction_id: Option<String>,
) -> Result<Answer, ApiError> {
    let transaction = call.transaction(transaction_id.as_deref())?;
    let table = call.table(table)?;
    let info = table.info();
    let BoundChange { change, consumed } = bind(change, &info.schema)?;
    let written = Target::new(table, transaction)?.write(vec![change], call.deadline).await.pop();
    let written = written.expect("a write answers each of its rows")?;
    Ok(Answer { consumed, row: returned(&written, &info.schema) })
}

/// Fits a change to its table.
///
/// # Errors
/// The first primary key rule it breaks.
pub fn bind(change: UnboundChange, schema: &TableSchema) -> Result<BoundChange, ApiError> {
    let change = change.bind(schema)?;
    let consumed = capacity::write(&change, schema.key_name_bytes());
    Ok(BoundChange { change, consumed })
}

/// The row that a write returns, as it goes into the answer.
pub fn returned(written: &Written, schema: &TableSchema) -> Option<Bytes> {
    let Row { primary_key, cells } = written.returned.as_ref()?;
    let mut row = RowWriter::new();
    row.start_row();
    for (column, value) in schema.primary_key.iter().zip(primary_key.values()) {
        row.key_cell(&column.name, value.as_ref());
    }
    for cell in cells {
        row.cell(&cell.name, cell.value.as_ref(), cell.timestamp_ms);
    }
    row.end_row();
    Some(row.finish())
}

/// The answer for a row of a batch that was written.
pub fn accepted(
    written: &Written,
    consumed: proto::ConsumedCapacity,
    schema: &TableSchema,
) -> proto::RowInBatchWriteRowResponse {
    let row = returned(written, schema);
    proto::RowInBatchWriteRowResponse { is_ok: true, error: None, consumed: Some(consumed), row }
}

/// The answer for a row of a batch that was not written.
pub fn refused(call: &Call, error: &ApiError) -> proto::RowInBatchWriteRowResponse {
    let error = Some(call.row_error(error));
    proto::RowInBatchWriteRowResponse { is_ok: false, error, consumed: None, row: None }
}
