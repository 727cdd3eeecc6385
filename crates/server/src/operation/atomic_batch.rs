//! An atomic BatchWriteRow: rows of one table and one partition key, written all or none.
//!
//! Whatever one row fails on is the answer of all of them: nothing was written.

use lakeferry_model::{KeyValue, RowChange, TableName, Violation};
use lakeferry_store::{Transaction, Written};
use lakeferry_wire::convert::{BatchTableWrite, UnboundChange};
use lakeferry_wire::proto::{ConsumedCapacity, RowInBatchWriteRowResponse, TableInBatchWriteRowResponse};

use super::target::Target;
use super::{Call, write};
use crate::error::ApiError;

/// Writes the batch, and answers for each of its tables.
pub async fn answer(
    call: &Call,
    tables: Vec<BatchTableWrite>,
    transaction: Option<Transaction>,
) -> Vec<TableInBatchWriteRowResponse> {
    let counts: Vec<(TableName, usize)> =
        tables.iter().map(|table| (table.table.clone(), table.rows.len())).collect();
    let mut rows = match written(call, tables, transaction).await {
        Ok(rows) => rows.into_iter(),
        Err(error) => {
            let count = counts.iter().map(|(_, count)| count).sum();
            (0..count).map(|_| write::refused(call, &error)).collect::<Vec<_>>().into_iter()
        }
    };
    let answer = |(name, count): (TableName, usize)| TableInBatchWriteRowResponse {
        table_name: name.to_string(),
        rows: rows.by_ref().take(count).collect(),
    };
    counts.into_iter().map(answer).collect()
}

async fn written(
    call: &Call,
    tables: Vec<BatchTableWrite>,
    transaction: Option<Transaction>,
) -> Result<Vec<RowInBatchWriteRowResponse>, ApiError> {
    let (name, rows) = of_one_table(tables)?;
    let table = call.table(&name)?;
    let info = table.info();
    let bound = rows.into_iter().map(|row| write::bind(row, &info.schema));
    let bound = bound.collect::<Result<Vec<_>, _>>()?;
    let (changes, consumed): (Vec<RowChange>, Vec<ConsumedCapacity>) =
        bound.into_iter().map(|bound| (bound.change, bound.consumed)).unzip();
    let written = Target::new(table, transaction)?.write_together(changes, call.deadline).await?;
    let answer =
        |(written, consumed): (Written, ConsumedCapacity)| write::accepted(&written, consumed, &info.schema);
    Ok(written.into_iter().zip(consumed).map(answer).collect())
}

/// The rows of the only table; it may be named twice.
fn of_one_table(tables: Vec<BatchTableWrite>) -> Result<(TableName, Vec<UnboundChange>), Violation> {
    let mut tables = tables.into_iter();
    let BatchTableWrite { table: name, mut rows } =
        tables.next().ok_or_else(|| Violation::parameter("No row is specified in BatchWriteRow."))?;
    for other in tables {
        if other.table != name {
            return Err(Violation::out_of_atomic(partition_key(&rows), partition_key(&other.rows)));
        }
        rows.extend(other.rows);
    }
    Ok((name, rows))
}

fn partition_key(rows: &[UnboundChange]) -> String {
    let key = rows.first().and_then(|row| row.change.primary_key.values().first());
    key.map_or_else(String::new, KeyValue::to_string)
}
