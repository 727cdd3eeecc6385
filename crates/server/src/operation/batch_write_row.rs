//! BatchWriteRow: writes rows of several tables, each of which succeeds or fails alone; or, if the batch is
//! [atomic](atomic_batch), all or none.
//!
//! 1. What is wrong with the request as a whole, or with any row by itself, fails it all.
//! 2. Rows are gathered by table, also when the request names a table twice: operations on one row must apply
//!    in the request's order. A row whose table is missing or whose key does not fit has its answer here.
//! 3. The tables are written at the same time, the rows of each with one call.
//! 4. The answers are put back into the request's order.

use std::sync::Arc;

use futures::future::join_all;
use lakeferry_model::{RowChange, TableName};
use lakeferry_store::{Error, TableInfo, Transaction, Written};
use lakeferry_wire::convert::{self, BatchTableWrite};
use lakeferry_wire::proto::{
    BatchWriteRowRequest, BatchWriteRowResponse, ConsumedCapacity, TableInBatchWriteRowResponse,
};

use super::target::Target as Place;
use super::{Call, atomic_batch, write};
use crate::error::ApiError;

pub async fn answer(call: Call, request: BatchWriteRowRequest) -> Result<BatchWriteRowResponse, ApiError> {
    let batch = convert::batch_write_row(request)?;
    let transaction = call.transaction(batch.transaction_id.as_deref())?;
    if batch.is_atomic {
        let tables = atomic_batch::answer(&call, batch.tables, transaction).await;
        return Ok(BatchWriteRowResponse { tables });
    }
    let mut targets = Targets { transaction, ..Targets::default() };
    let slots: Vec<TableSlots> = batch.tables.into_iter().map(|table| targets.add(&call, table)).collect();
    let mut written = targets.write(&call).await;
    let tables = slots.into_iter().map(|slots| slots.answer(&call, &mut written)).collect();
    Ok(BatchWriteRowResponse { tables })
}

/// The tables that the batch writes to, each once.
#[derive(Default)]
struct Targets {
    tables: Vec<Target>,
    transaction: Option<Transaction>,
}

struct Target {
    name: TableName,
    place: Place,
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
        let Target { info, changes, .. } = &mut self.tables[target];
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
        if let Some(known) = self.tables.iter().position(|target| target.name == *name) {
            return Ok(known);
        }
        let table = call.table(name)?;
        let info = table.info();
        let place = Place::new(table, self.transaction.clone())?;
        self.tables.push(Target { name: name.clone(), place, info, changes: Vec::with_capacity(rows) });
        Ok(self.tables.len() - 1)
    }

    async fn write(self, call: &Call) -> Vec<Outcomes> {
        join_all(self.tables.into_iter().map(|Target { place, info, changes, .. }| async move {
            let written = place.write(changes, call.deadline).await.into_iter();
            Outcomes { info, written }
        }))
        .await
    }
}

impl TableSlots {
    fn answer(self, call: &Call, outcomes: &mut [Outcomes]) -> TableInBatchWriteRowResponse {
        let rows = self.rows.into_iter().map(|slot| match slot {
            Slot::Refused(error) => write::refused(call, &error),
            Slot::Written { target, consumed } => {
                let Outcomes { info, written } = &mut outcomes[target];
                match written.next().expect("a write answers each of its rows") {
                    Ok(written) => write::accepted(&written, consumed, &info.schema),
                    Err(error) => write::refused(call, &error.into()),
                }
            }
        });
        TableInBatchWriteRowResponse { table_name: self.table.to_string(), rows: rows.collect() }
    }
}
