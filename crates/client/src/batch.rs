//! Calls for many rows. Each row succeeds or fails alone; rows that may be repeated are, without the others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_wire::convert::{condition_message, return_content};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;
use prost::Message;

use crate::error::{Error, ServiceError};
use crate::retry::may_repeat_service;
use crate::row::{Key, Read, Row, RowWrite};
use crate::rows::{Written, decode_one, written};
use crate::transport::Client;

/// The rows that a batch writes to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableWrites {
    /// The table.
    pub table: String,
    /// Its rows; at least one.
    pub rows: Vec<RowWrite>,
}

/// The rows that a batch reads from one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableReads {
    /// The table.
    pub table: String,
    /// The rows.
    pub keys: Vec<Key>,
    /// What of them.
    pub read: Read,
}

/// What became of each row, table by table, both in request order.
type Outcomes<T> = Vec<Vec<Result<T, ServiceError>>>;

impl TableWrites {
    /// Writes to one table.
    pub fn new(table: impl Into<String>, rows: impl IntoIterator<Item = impl Into<RowWrite>>) -> Self {
        Self { table: table.into(), rows: rows.into_iter().map(Into::into).collect() }
    }
}

impl Client {
    /// Writes up to 200 rows, not atomically. The answer has the shape of the request.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn batch_write_row(&self, tables: &[TableWrites]) -> Result<Outcomes<Written>, Error> {
        let lengths = tables.iter().map(|table| table.rows.len()).collect();
        let mut pending = Pending::new(lengths, false);
        let mut backoff = self.backoff();
        loop {
            let started = Instant::now();
            let request = batch_write_request(tables, |table, row| pending.is_open(table, row));
            let answer = self.call_with_id(Operation::BatchWriteRow, &request).await;
            let (answer, id): (proto::BatchWriteRowResponse, _) = match answer {
                Ok(answer) => answer,
                Err(error) if pending.stands_after(&error) => return Ok(pending.finish()),
                Err(error) => return Err(error),
            };
            let rows = answer.tables.into_iter().flat_map(|table| table.rows).map(|row| {
                if row.is_ok {
                    written(Operation::BatchWriteRow, row.consumed, row.row.as_ref()).map(Ok)
                } else {
                    Ok(Err(ServiceError::of_row(row.error, &id)))
                }
            });
            pending.settle(Operation::BatchWriteRow, rows.collect::<Result<_, _>>()?)?;
            backoff.spend(started.elapsed());
            match pending.pause(&mut backoff) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(pending.finish()),
            }
        }
    }

    /// Reads up to 100 rows. The answer has the shape of the request.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn batch_get_row(&self, tables: &[TableReads]) -> Result<Outcomes<Option<Row>>, Error> {
        let lengths = tables.iter().map(|table| table.keys.len()).collect();
        let mut pending = Pending::new(lengths, true);
        let mut backoff = self.backoff();
        loop {
            let started = Instant::now();
            let request = batch_get_request(tables, |table, row| pending.is_open(table, row));
            let answer = self.call_with_id(Operation::BatchGetRow, &request).await;
            let (answer, id): (proto::BatchGetRowResponse, _) = match answer {
                Ok(answer) => answer,
                Err(error) if pending.stands_after(&error) => return Ok(pending.finish()),
                Err(error) => return Err(error),
            };
            let rows = answer.tables.into_iter().flat_map(|table| table.rows).map(|row| {
                if row.is_ok {
                    decode_one(Operation::BatchGetRow, &row.row.unwrap_or_default()).map(Ok)
                } else {
                    Ok(Err(ServiceError::of_row(row.error, &id)))
                }
            });
            pending.settle(Operation::BatchGetRow, rows.collect::<Result<_, _>>()?)?;
            backoff.spend(started.elapsed());
            match pending.pause(&mut backoff) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(pending.finish()),
            }
        }
    }
}

/// The body of a BatchWriteRow, to be sent with [`Client::call_raw`].
pub fn encode_batch_write(tables: &[TableWrites]) -> Bytes {
    batch_write_request(tables, |_, _| true).encode_to_vec().into()
}

/// A batch with the rows that `is_open` names by table and row, without tables that have none of them.
fn batch_write_request(
    tables: &[TableWrites],
    is_open: impl Fn(usize, usize) -> bool,
) -> proto::BatchWriteRowRequest {
    let tables = tables.iter().enumerate().map(|(at, table)| {
        let open = table.rows.iter().enumerate().filter(|(row, _)| is_open(at, *row));
        let rows = open.map(|(_, row)| row_in_batch(row)).collect();
        proto::TableInBatchWriteRowRequest { table_name: table.table.clone(), rows }
    });
    let tables = tables.filter(|table| !table.rows.is_empty()).collect();
    proto::BatchWriteRowRequest { tables, ..Default::default() }
}

fn row_in_batch(row: &RowWrite) -> proto::RowInBatchWriteRowRequest {
    let operation = match row.operation {
        lakeferry_model::RowOperation::Put(_) => proto::OperationType::Put,
        lakeferry_model::RowOperation::Update(_) => proto::OperationType::Update,
        lakeferry_model::RowOperation::Delete => proto::OperationType::Delete,
    };
    proto::RowInBatchWriteRowRequest {
        r#type: operation.into(),
        row_change: row.encode_row(),
        condition: condition_message(&row.condition),
        return_content: return_content(&row.returning),
    }
}

fn batch_get_request(
    tables: &[TableReads],
    is_open: impl Fn(usize, usize) -> bool,
) -> proto::BatchGetRowRequest {
    let tables = tables.iter().enumerate().map(|(at, table)| {
        let open = table.keys.iter().enumerate().filter(|(row, _)| is_open(at, *row));
        proto::TableInBatchGetRowRequest {
            table_name: table.table.clone(),
            primary_key: open.map(|(_, key)| key.encode()).collect(),
            columns_to_get: table.read.columns.clone(),
            time_range: table.read.time_range.map(lakeferry_wire::convert::TimeRange::to_message),
            max_versions: table.read.versions_max,
            ..Default::default()
        }
    });
    proto::BatchGetRowRequest { tables: tables.filter(|table| !table.primary_key.is_empty()).collect() }
}

/// The rows of a batch that have no final outcome yet.
struct Pending<T> {
    /// Rows of each table.
    lengths: Vec<usize>,
    /// All rows, table after table. Open while there is no outcome, or one that may be repeated.
    outcomes: Vec<Option<Result<T, ServiceError>>>,
    idempotent: bool,
}

impl<T> Pending<T> {
    fn new(lengths: Vec<usize>, idempotent: bool) -> Self {
        let rows: usize = lengths.iter().sum();
        Self { lengths, outcomes: (0..rows).map(|_| None).collect(), idempotent }
    }

    fn is_open(&self, table: usize, row: usize) -> bool {
        let before: usize = self.lengths[..table].iter().sum();
        self.is_open_at(before + row)
    }

    fn is_open_at(&self, at: usize) -> bool {
        match &self.outcomes[at] {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(error)) => may_repeat_service(error, self.idempotent),
        }
    }

    /// Whether the outcomes are those of the last attempt but one, and this attempt changed nothing about them.
    fn stands_after(&self, error: &Error) -> bool {
        let is_repetition = self.outcomes.iter().any(Option::is_some);
        is_repetition && !error.is_outcome_unknown()
    }

    /// Takes the outcomes of the open rows, in their order.
    fn settle(&mut self, operation: Operation, rows: Vec<Result<T, ServiceError>>) -> Result<(), Error> {
        let open: Vec<usize> = (0..self.outcomes.len()).filter(|at| self.is_open_at(*at)).collect();
        if open.len() != rows.len() {
            let reason = format!("it has {} rows instead of {}", rows.len(), open.len());
            return Err(Error::malformed(operation, reason));
        }
        for (at, outcome) in open.into_iter().zip(rows) {
            self.outcomes[at] = Some(outcome);
        }
        Ok(())
    }

    /// The pause before the open rows are sent again. `None` if no row is open, if some row failed for good,
    /// so that the caller has to act anyway, or if the time is used up.
    fn pause(&self, backoff: &mut crate::retry::Backoff) -> Option<Duration> {
        let mut failed = (0..self.outcomes.len())
            .filter(|at| matches!(self.outcomes[*at], None | Some(Err(_))))
            .peekable();
        failed.peek()?;
        if failed.all(|at| self.is_open_at(at)) { backoff.next() } else { None }
    }

    fn finish(self) -> Outcomes<T> {
        let mut outcomes = self.outcomes.into_iter().flatten();
        self.lengths.iter().map(|length| outcomes.by_ref().take(*length).collect()).collect()
    }
}
