//! Calls for many rows. Each row succeeds or fails alone; rows that may be repeated are, without the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_wire::convert::{TimeRange, return_content};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;
use prost::Message;

use crate::error::{Error, ServiceError};
use crate::retry::{Effect, may_repeat_service};
use crate::row::{Key, Read, Row};
use crate::rows::{Written, decode_one, join, next_token, written};
use crate::transport::Client;
use crate::write::RowWrite;

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

impl TableReads {
    /// Reads from one table.
    pub fn new(table: impl Into<String>, keys: impl IntoIterator<Item = Key>, read: Read) -> Self {
        Self { table: table.into(), keys: keys.into_iter().collect(), read }
    }
}

impl TableWrites {
    /// Writes to one table.
    pub fn new(table: impl Into<String>, rows: impl IntoIterator<Item = impl Into<RowWrite>>) -> Self {
        Self { table: table.into(), rows: rows.into_iter().map(Into::into).collect() }
    }
}

impl Client {
    /// Writes up to 200 rows, each by itself. The answer has the shape of the request.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn batch_write_row(&self, tables: &[TableWrites]) -> Result<Outcomes<Written>, Error> {
        let lengths = tables.iter().map(|table| table.rows.len()).collect();
        let mut pending = Pending::new(lengths, Effect::Once);
        let mut backoff = self.backoff();
        loop {
            let started = Instant::now();
            let request = batch_write_request(tables, |table, row| pending.is_open(table, row));
            let rows = match self.write_rows(&request).await {
                Ok(rows) => rows,
                Err(error) if pending.stands_after(&error) => return Ok(pending.finish()),
                Err(error) => return Err(error),
            };
            pending.settle(Operation::BatchWriteRow, rows)?;
            backoff.spend(started.elapsed());
            match pending.pause(&mut backoff) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(pending.finish()),
            }
        }
    }

    /// Writes up to 200 rows of one table, which share the first column of their key: all of them, or none.
    ///
    /// The answer is in request order. Where one row fails, all do, each with its own error.
    ///
    /// # Errors
    /// As for [`Self::batch_write_row`].
    pub async fn atomic_write(
        &self,
        writes: &TableWrites,
    ) -> Result<Vec<Result<Written, ServiceError>>, Error> {
        let request = batch_write_request(std::slice::from_ref(writes), |_, _| true);
        let request = proto::BatchWriteRowRequest { is_atomic: Some(true), ..request };
        self.write_at_once(&request, writes.rows.len()).await
    }

    /// Writes rows within a transaction. Rows are not sent again one by one: who fails here ends it.
    pub(crate) async fn write_in_transaction(
        &self,
        writes: &TableWrites,
        transaction: &str,
    ) -> Result<Vec<Result<Written, ServiceError>>, Error> {
        let request = batch_write_request(std::slice::from_ref(writes), |_, _| true);
        let request = proto::BatchWriteRowRequest { transaction_id: Some(transaction.to_owned()), ..request };
        self.write_at_once(&request, writes.rows.len()).await
    }

    async fn write_at_once(
        &self,
        request: &proto::BatchWriteRowRequest,
        expected: usize,
    ) -> Result<Vec<Result<Written, ServiceError>>, Error> {
        let rows = self.write_rows(request).await?;
        if rows.len() == expected {
            Ok(rows)
        } else {
            Err(wrong_count(Operation::BatchWriteRow, rows.len(), expected))
        }
    }

    async fn write_rows(
        &self,
        request: &proto::BatchWriteRowRequest,
    ) -> Result<Vec<Result<Written, ServiceError>>, Error> {
        let (answer, id): (proto::BatchWriteRowResponse, _) =
            self.call_with_id(Operation::BatchWriteRow, request).await?;
        let rows = answer.tables.into_iter().flat_map(|table| table.rows).map(|row| {
            if row.is_ok {
                written(Operation::BatchWriteRow, row.consumed, row.row.as_ref()).map(Ok)
            } else {
                Ok(Err(ServiceError::of_row(row.error, &id)))
            }
        });
        rows.collect()
    }

    /// Reads up to 100 rows, in as many calls as wide ones take. The answer has the shape of the request.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn batch_get_row(&self, tables: &[TableReads]) -> Result<Outcomes<Option<Row>>, Error> {
        let lengths = tables.iter().map(|table| table.keys.len()).collect();
        let mut pending = Pending::new(lengths, Effect::None);
        let mut pieces = Pieces::default();
        let mut backoff = self.backoff();
        loop {
            let started = Instant::now();
            let request = batch_get_request(tables, &pieces, |table, row| pending.place_if_open(table, row));
            let answer = self.call_with_id(Operation::BatchGetRow, &request).await;
            let (answer, id): (proto::BatchGetRowResponse, _) = match answer {
                Ok(answer) => answer,
                Err(error) if pieces.is_empty() && pending.stands_after(&error) => {
                    return Ok(pending.finish());
                }
                Err(error) => return Err(error),
            };
            let rows: Vec<_> = answer.tables.into_iter().flat_map(|table| table.rows).collect();
            let open = pending.open();
            if rows.len() != open.len() {
                return Err(wrong_count(Operation::BatchGetRow, rows.len(), open.len()));
            }
            for (at, row) in open.into_iter().zip(rows) {
                pending.outcomes[at] = if row.is_ok {
                    pieces.add(at, row)?.map(Ok)
                } else {
                    Some(Err(ServiceError::of_row(row.error, &id)))
                };
            }
            if !pieces.is_empty() {
                continue;
            }
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
    proto::RowInBatchWriteRowRequest {
        r#type: row.operation_type().into(),
        row_change: row.encode_row(),
        condition: row.condition(),
        return_content: return_content(&row.returning),
    }
}

/// A batch with the rows that `place` finds open, each with the token of its last piece.
fn batch_get_request(
    tables: &[TableReads],
    pieces: &Pieces,
    place: impl Fn(usize, usize) -> Option<usize>,
) -> proto::BatchGetRowRequest {
    let tables = tables.iter().enumerate().map(|(at, TableReads { table, keys, read })| {
        let open = keys.iter().enumerate().filter_map(|(row, key)| Some((key.encode(), place(at, row)?)));
        let (primary_key, places): (Vec<_>, Vec<_>) = open.unzip();
        // As many tokens as keys, or none at all.
        let token = match pieces.is_empty() {
            true => Vec::new(),
            false => places.into_iter().map(|place| pieces.token(place)).collect(),
        };
        proto::TableInBatchGetRowRequest {
            table_name: table.clone(),
            primary_key,
            token,
            columns_to_get: read.columns.clone(),
            time_range: read.time_range.map(TimeRange::to_message),
            max_versions: read.versions_max,
            filter: read.filter.clone(),
            start_column: read.start_column.clone(),
            end_column: read.end_column.clone(),
            ..Default::default()
        }
    });
    proto::BatchGetRowRequest { tables: tables.filter(|table| !table.primary_key.is_empty()).collect() }
}

fn wrong_count(operation: Operation, found: usize, expected: usize) -> Error {
    Error::malformed(operation, format!("it has {found} rows instead of {expected}"))
}

/// The beginnings of wide rows whose rest is still to be read, by their place in the batch.
#[derive(Default)]
struct Pieces(HashMap<usize, (Option<Row>, Bytes)>);

impl Pieces {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn token(&self, at: usize) -> Bytes {
        self.0.get(&at).map(|(_, token)| token.clone()).unwrap_or_default()
    }

    /// Adds what came of a row; gives the row when it is whole.
    fn add(
        &mut self,
        at: usize,
        piece: proto::RowInBatchGetRowResponse,
    ) -> Result<Option<Option<Row>>, Error> {
        let (before, sent) = match self.0.remove(&at) {
            Some((row, token)) => (row, Some(token)),
            None => (None, None),
        };
        let row = join(before, decode_one(Operation::BatchGetRow, &piece.row.unwrap_or_default())?);
        Ok(match next_token(Operation::BatchGetRow, piece.next_token, sent.as_ref())? {
            None => Some(row),
            Some(token) => {
                self.0.insert(at, (row, token));
                None
            }
        })
    }
}

/// The rows of a batch that have no final outcome yet.
struct Pending<T> {
    /// Rows of each table.
    lengths: Vec<usize>,
    /// All rows, table after table. Open while there is no outcome, or one that may be repeated.
    outcomes: Vec<Option<Result<T, ServiceError>>>,
    effect: Effect,
}

impl<T> Pending<T> {
    fn new(lengths: Vec<usize>, effect: Effect) -> Self {
        let rows: usize = lengths.iter().sum();
        Self { lengths, outcomes: (0..rows).map(|_| None).collect(), effect }
    }

    fn is_open(&self, table: usize, row: usize) -> bool {
        self.place_if_open(table, row).is_some()
    }

    /// The row's place among all rows, if it is open.
    fn place_if_open(&self, table: usize, row: usize) -> Option<usize> {
        let at = self.lengths[..table].iter().sum::<usize>() + row;
        self.is_open_at(at).then_some(at)
    }

    /// The places of the open rows, in their order.
    fn open(&self) -> Vec<usize> {
        (0..self.outcomes.len()).filter(|at| self.is_open_at(*at)).collect()
    }

    fn is_open_at(&self, at: usize) -> bool {
        match &self.outcomes[at] {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(error)) => may_repeat_service(error, self.effect),
        }
    }

    /// Whether the outcomes are those of the last attempt but one, and this attempt changed nothing about them.
    fn stands_after(&self, error: &Error) -> bool {
        let is_repetition = self.outcomes.iter().any(Option::is_some);
        is_repetition && !error.is_outcome_unknown()
    }

    /// Takes the outcomes of the open rows, in their order.
    fn settle(&mut self, operation: Operation, rows: Vec<Result<T, ServiceError>>) -> Result<(), Error> {
        let open = self.open();
        if open.len() != rows.len() {
            return Err(wrong_count(operation, rows.len(), open.len()));
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
