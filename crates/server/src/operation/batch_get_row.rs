//! BatchGetRow: reads single rows of several tables. A row that cannot be read fails alone.
//!
//! Rows are read in portions, as many at a time as the rows before them lead to expect in a few MiB, and the answer
//! is bounded: a hundred rows of the largest size would be more than a request may hold in memory. Rows beyond the
//! bound fail with an error after which SDKs ask for just these rows again.

use lakeferry_model::limits::KEY_COLUMNS_MAX;
use lakeferry_model::{PrimaryKey, check_key_column_count, limits};
use lakeferry_store::Table;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::convert::{self, BatchTableRead, KeyColumns, ReadOptions};
use lakeferry_wire::proto::{
    BatchGetRowRequest, BatchGetRowResponse, RowInBatchGetRowResponse, TableInBatchGetRowResponse,
};
use lakeferry_wire::row_token::RowToken;

use super::{Call, read};
use crate::error::ApiError;

/// Rows of the first portion, of which nothing is known, and of every one at most.
const FIRST_PORTION_ROWS: usize = 4;
const PORTION_ROWS_MAX: usize = 64;
/// Bytes of rows that a portion is expected to have at most.
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of an answer, beyond which further rows are to be asked for again.
const ANSWER_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX;

pub async fn answer(call: Call, request: BatchGetRowRequest) -> Result<BatchGetRowResponse, ApiError> {
    let batch = convert::batch_get_row(request)?;
    batch.iter().try_for_each(|table| check_key_lengths(&call, table))?;
    let mut answer = BatchAnswer { call: &call, bytes: 0 };
    let mut tables = Vec::with_capacity(batch.len());
    for table in batch {
        tables.push(answer.read_table(table).await);
    }
    Ok(BatchGetRowResponse { tables })
}

/// Keys with more columns than a table's can have fail the whole request, as in the original. An index's may have
/// more; only the table tells.
fn check_key_lengths(call: &Call, asked: &BatchTableRead) -> Result<(), ApiError> {
    let key_columns = call.readable(&asked.table).map_or(0, |table| table.info().schema.primary_key.len());
    let longest = asked.keys.iter().map(KeyColumns::len).max().unwrap_or_default();
    match longest > KEY_COLUMNS_MAX && key_columns <= KEY_COLUMNS_MAX {
        true => Ok(check_key_column_count(longest)?),
        false => Ok(()),
    }
}

/// The answer while it grows.
struct BatchAnswer<'c> {
    call: &'c Call,
    /// Bytes of the rows that it holds.
    bytes: usize,
}

/// A row that is asked for: its key, if it fits the table, and where to go on.
type AskedRow = (Result<PrimaryKey, ApiError>, Option<RowToken>);

impl BatchAnswer<'_> {
    async fn read_table(&mut self, asked: BatchTableRead) -> TableInBatchGetRowResponse {
        let BatchTableRead { table: name, keys, tokens, options } = asked;
        let table_name = name.to_string();
        let table = match self.call.readable(&name) {
            Ok(table) => table,
            Err(error) => {
                let rows = keys.iter().map(|_| refused(self.call, &error)).collect();
                return TableInBatchGetRowResponse { table_name, rows };
            }
        };
        let info = table.info();
        let keys = keys.into_iter().map(|key| info.schema.key(key).map_err(ApiError::from));
        let asked: Vec<AskedRow> = keys.zip(tokens).collect();
        let mut rows = Vec::with_capacity(asked.len());
        let mut greatest = None;
        while rows.len() < asked.len() {
            let left = &asked[rows.len()..];
            let portion = &left[..left.len().min(portion_rows(greatest))];
            let (read, seen) = self.read_portion(&table, &options, portion).await;
            greatest = greatest.max(seen);
            rows.extend(read);
        }
        TableInBatchGetRowResponse { table_name, rows }
    }

    /// Reads rows, and tells the bytes of the greatest.
    async fn read_portion(
        &mut self,
        table: &Table,
        options: &ReadOptions,
        portion: &[AskedRow],
    ) -> (Vec<RowInBatchGetRowResponse>, Option<usize>) {
        let refuse_all = |error: &ApiError| portion.iter().map(|_| refused(self.call, error)).collect();
        if self.bytes >= ANSWER_BYTES_MAX {
            return (refuse_all(&full()), None);
        }
        let keys: Vec<PrimaryKey> = portion.iter().filter_map(|(key, _)| key.as_ref().ok().cloned()).collect();
        let found = match table.get(&keys, self.call.deadline).await {
            Ok(found) => found,
            Err(error) => return (refuse_all(&error.into()), None),
        };
        let greatest = found.iter().flatten().map(lakeferry_store::RowBuf::bytes).max();
        let info = table.info();
        let lens = read::Lens::new(options, &info.schema, self.call.deadline);
        let mut found = found.into_iter();
        let answer = |(key, token): &AskedRow| {
            key.as_ref().map_err(Clone::clone)?;
            let found = found.next().expect("a read answers each of its keys");
            if self.bytes >= ANSWER_BYTES_MAX {
                return Err(full());
            }
            let answered = lens.answer(found.as_ref(), token.as_ref())?;
            self.bytes += answered.row.len();
            Ok(answered)
        };
        let rows: Vec<Result<_, ApiError>> = portion.iter().map(answer).collect();
        (rows.into_iter().map(|row| row_answer(self.call, row)).collect(), greatest)
    }
}

fn portion_rows(greatest: Option<usize>) -> usize {
    greatest.map_or(FIRST_PORTION_ROWS, |bytes| (PORTION_BYTES / bytes.max(1)).clamp(1, PORTION_ROWS_MAX))
}

fn full() -> ApiError {
    ApiError::new(ErrorCode::ServerBusy, "The answer is full; ask for this row again.")
}

fn row_answer(call: &Call, row: Result<read::AnsweredRow, ApiError>) -> RowInBatchGetRowResponse {
    match row {
        Ok(read::AnsweredRow { consumed, row, next_token }) => RowInBatchGetRowResponse {
            is_ok: true,
            error: None,
            consumed: Some(consumed),
            row: Some(row),
            next_token,
        },
        Err(error) => refused(call, &error),
    }
}

fn refused(call: &Call, error: &ApiError) -> RowInBatchGetRowResponse {
    RowInBatchGetRowResponse {
        is_ok: false,
        error: Some(call.row_error(error)),
        consumed: None,
        row: None,
        next_token: None,
    }
}
