//! BatchGetRow: reads single rows of several tables. A row that cannot be read fails alone.
//!
//! Rows are read in portions, and the answer is bounded: a hundred rows of the largest size would be more than
//! a request may hold in memory. Rows beyond the bound fail with an error after which SDKs ask for just these
//! rows again. A row that is wider than a piece comes in part, with a token to go on from.

use lakeferry_model::{PrimaryKey, limits};
use lakeferry_store::Table;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::convert::{self, BatchTableRead, ReadOptions};
use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::proto::{
    BatchGetRowRequest, BatchGetRowResponse, RowInBatchGetRowResponse, TableInBatchGetRowResponse,
};
use lakeferry_wire::capacity;
use lakeferry_wire::row_token::RowToken;

use super::{Call, read};
use crate::error::ApiError;

/// Rows read at a time.
const PORTION: usize = 16;

/// Bytes of an answer, beyond which further rows are to be asked for again.
const ANSWER_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX;

pub async fn answer(call: Call, request: BatchGetRowRequest) -> Result<BatchGetRowResponse, ApiError> {
    let batch = convert::batch_get_row(request)?;
    batch.iter().try_for_each(|table| read::refuse_unserved(&table.options))?;
    let mut tables = Vec::with_capacity(batch.len());
    let mut answered_bytes = 0;
    for table in batch {
        tables.push(read_table(&call, table, &mut answered_bytes).await);
    }
    Ok(BatchGetRowResponse { tables })
}

async fn read_table(call: &Call, asked: BatchTableRead, answered_bytes: &mut usize) -> TableInBatchGetRowResponse {
    let BatchTableRead { table: name, keys, tokens, options } = asked;
    let table_name = name.to_string();
    let table = match call.readable(&name) {
        Ok(table) => table,
        Err(error) => {
            let rows = keys.iter().map(|_| refused(call, &error)).collect();
            return TableInBatchGetRowResponse { table_name, rows };
        }
    };
    let info = table.info();
    let keys: Vec<Result<PrimaryKey, ApiError>> =
        keys.into_iter().map(|key| info.schema.key(key).map_err(ApiError::from)).collect();
    let mut rows = Vec::with_capacity(keys.len());
    for (portion, tokens) in keys.chunks(PORTION).zip(tokens.chunks(PORTION)) {
        if *answered_bytes >= ANSWER_BYTES_MAX {
            let full = ApiError::new(ErrorCode::ServerBusy, "The answer is full; ask for this row again.");
            rows.extend(portion.iter().map(|_| refused(call, &full)));
            continue;
        }
        let read = read_portion(call, &table, &options, portion, tokens).await;
        *answered_bytes += read.iter().filter_map(|row| row.row.as_ref()).map(|row| row.len()).sum::<usize>();
        rows.extend(read);
    }
    TableInBatchGetRowResponse { table_name, rows }
}

async fn read_portion(
    call: &Call,
    table: &Table,
    options: &ReadOptions,
    portion: &[Result<PrimaryKey, ApiError>],
    tokens: &[Option<RowToken>],
) -> Vec<RowInBatchGetRowResponse> {
    let keys: Vec<PrimaryKey> = portion.iter().filter_map(|key| key.as_ref().ok().cloned()).collect();
    let found = table.get(&keys, call.deadline).await.map_err(ApiError::from);
    let mut found = match found {
        Ok(found) => found.into_iter(),
        Err(error) => return portion.iter().map(|_| refused(call, &error)).collect(),
    };
    let info = table.info();
    let lens = read::Lens::new(options, &info.schema);
    let answer = |(key, token): (&Result<PrimaryKey, ApiError>, &Option<RowToken>)| {
        key.as_ref().map_err(Clone::clone)?;
        let mut page = RowWriter::new();
        let piece = match found.next().expect("a read answers each of its keys") {
            Some(row) => lens.write_piece(row.view()?, &row.visibility(), token.as_ref(), &mut page)?,
            None => None,
        };
        let size = piece.as_ref().map_or(0, |piece| piece.sizes.all());
        Ok(RowInBatchGetRowResponse {
            is_ok: true,
            error: None,
            consumed: Some(capacity::read(size)),
            row: Some(page.finish()),
            next_token: piece.and_then(|piece| piece.next).map(|next| next.encode()),
        })
    };
    let rows: Vec<Result<_, ApiError>> = portion.iter().zip(tokens).map(answer).collect();
    rows.into_iter().map(|row| row.unwrap_or_else(|error| refused(call, &error))).collect()
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
