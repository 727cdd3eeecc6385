//! BatchWriteRow: writes rows of several tables, each of which succeeds or fails alone.
//!
//! 1. What is wrong with the request as a whole, or with any row by itself, fails it all.
//! 2. Rows are gathered by table, also when the request names a table twice: operations on one row must apply
//!    in the request's order. A row whose table is missing or whose key does not fit has its answer here.
//! 3. The tables are written at the same time, the rows of each with one call.
//! 4. The answers are put back into the request's order.

use std::sync::Arc;

use futures::future::join_all;
use lakeferry_model::{RowChange, TableName};
use lakeferry_store::{Error, Table, TableInfo, Written};
use lakeferry_wire::convert::{self, BatchTableWrite};
use lakeferry_wire::proto::{
    BatchWriteRowRequest, BatchWriteRowResponse, ConsumedCapacity, RowInBatchWriteRowResponse,
    TableInBatchWriteRowResponse,
};

use super::{Call, not_yet, write};
use crate::error::ApiError;

pub async fn answer(call: Call, request: BatchWriteRowRequest) -> Result<BatchWriteRowResponse, ApiError> {
    let batch = convert::batch_write_row(request)?;
    write::refuse_transaction(batch.transaction_id.as_deref())?;
    if batch.is_atomic {
        return Err(not_yet("An atomic batch", "write its rows one by one or let them fail alone"));
    }
    let mut targets = Targets::default();
    let slots: Vec<TableSlots> = batch.tables.into_iter().map(|table| targets.add(&call, table)).collect();
    let mut written = targets.write(&call).await;
    let tables = slots.into_iter().map(|slots| slots.answer(&call, &mut written)).collect();
    Ok(BatchWriteRowResponse { tables })
}

/// The tables that the batch writes to, each once.
#[derive(Default)]
struct Targets(Vec<Target>);

struct Target {
    name: TableName,
    table: Table,
    info: Arc<TableInfo>,
    changes: Vec<RowChange>,
}

/// The rows of one table of the request, in their order.
struct TableSlots {
    table: TableName,
    rows: Vec<Slot>,
}

/// Where a row's answer comes from.
enum Slot {
    /// It is known already.
    Refused(ApiError),
    /// From the target's next write.
    Written { target: usize, consumed: ConsumedCapacity },
}

/// What the writes to a target gave, in order.
struct Outcomes {
    info: Arc<TableInfo>,
    written: std::vec::IntoIter<Result<Written, Error>>,
}

impl Targets {
    fn add(&mut self, call: &Call, batch: BatchTableWrite) -> TableSlots {
        let BatchTableWrite { table, rows } = batch;
        let target = match self.find(call, &table, rows.len()) {
            Ok(target) => target,
            Err(error) => {
                let rows = rows.iter().map(|_| Slot::Refused(error.clone())).collect();
                return TableSlots { table, rows };
            }
        };
        let Target { info, changes, .. } = &mut self.0[target];
        let rows = rows.into_iter().map(|row| match write::bind(row, &info.schema) {
            Ok(write::BoundChange { change, consumed }) => {
                changes.push(change);
                Slot::Written { target, consumed }
            }
            Err(error) => Slot::Refused(error),
        });
        let rows = rows.collect();
        TableSlots { table, rows }
    }

    fn find(&mut self, call: &Call, name: &TableName, rows: usize) -> Result<usize, ApiError> {
        if let Some(known) = self.0.iter().position(|target| target.name == *name) {
            return Ok(known);
        }
        let table = call.table(name)?;
        let info = table.info();
        self.0.push(Target { name: name.clone(), table, info, changes: Vec::with_capacity(rows) });
        Ok(self.0.len() - 1)
    }

    async fn write(self, call: &Call) -> Vec<Outcomes> {
        join_all(self.0.into_iter().map(|Target { table, info, changes, .. }| async move {
            let written = table.write(changes, call.deadline).await.into_iter();
            Outcomes { info, written }
        }))
        .await
    }
}

impl TableSlots {
    fn answer(self, call: &Call, outcomes: &mut [Outcomes]) -> TableInBatchWriteRowResponse {
        let rows = self.rows.into_iter().map(|slot| match slot {
            Slot::Refused(error) => refused(call, &error),
            Slot::Written { target, consumed } => {
                let Outcomes { info, written } = &mut outcomes[target];
                match written.next().expect("a write answers each of its rows") {
                    Ok(written) => RowInBatchWriteRowResponse {
                        is_ok: true,
                        error: None,
                        consumed: Some(consumed),
                        row: write::returned(&written, &info.schema),
                    },
                    Err(error) => refused(call, &error.into()),
                }
            }
        });
        TableInBatchWriteRowResponse { table_name: self.table.to_string(), rows: rows.collect() }
    }
}

fn refused(call: &Call, error: &ApiError) -> RowInBatchWriteRowResponse {
    RowInBatchWriteRowResponse { is_ok: false, error: Some(call.row_error(error)), consumed: None, row: None }
}
