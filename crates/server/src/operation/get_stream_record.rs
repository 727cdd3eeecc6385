//! GetStreamRecord: reads a shard behind an iterator.

use lakeferry_model::limits::{RANGE_BYTES_MAX, RANGE_ROWS_MAX};
use lakeferry_store::{Error, TableId};
use lakeferry_wire::capacity;
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::convert::ShardIterator;
use lakeferry_wire::proto::{GetStreamRecordRequest, GetStreamRecordResponse, StreamRecord};

use super::stream::Found;
use super::{Call, record, stream};
use crate::error::ApiError;

/// Bytes of a stream's id with which its records can be read, as in the original, whose test knows it.
const STREAM_ID_BYTES_MAX: usize = 255;

pub async fn answer(
    call: Call,
    request: GetStreamRecordRequest,
) -> Result<GetStreamRecordResponse, ApiError> {
    let iterator: ShardIterator = request.shard_iterator.parse()?;
    let limit = match request.limit.map(usize::try_from) {
        None => RANGE_ROWS_MAX,
        Some(Ok(limit @ 1..)) => limit.min(RANGE_ROWS_MAX),
        Some(_) => return Err(ApiError::parameter("The limit must be greater than 0.")),
    };
    let found = found(&call, &iterator)?;
    if found.stream.id.len() > STREAM_ID_BYTES_MAX {
        return Err(ApiError::parameter(format!("Invalid stream id: '{}'.", found.stream.id)));
    }
    let shard = found.shard(&iterator.shard.to_string())?;
    let since = iterator.since.unwrap_or(i64::MIN);
    let read = shard.read_records_since(iterator.after, since, limit, RANGE_BYTES_MAX, call.deadline).await;
    let (mut after, block) = read.map_err(|error| match error {
        Error::LogTrimmed { .. } => ApiError::new(ErrorCode::TrimmedDataAccess, message::STREAM_TRIMMED),
        error => error.into(),
    })?;
    let info = found.table.info();
    let mut stream_records = Vec::with_capacity(block.len());
    for record in block.records() {
        let record = record?;
        after = record.sequence();
        let record = record::change(&record, &info)?;
        stream_records.push(StreamRecord {
            action_type: record.action.into(),
            record: record.record,
            origin_record: record.origin,
        });
    }
    // Behind a record that was told there are only later ones.
    let since = iterator.since.filter(|_| block.is_empty());
    Ok(GetStreamRecordResponse {
        // A page that is as long as it may be says that there may be more, whether there is or not: clients know
        // it so.
        may_more_record: Some(block.more() || block.len() == limit),
        stream_records,
        next_shard_iterator: Some(ShardIterator { after, since, ..iterator }.to_string()),
        consumed: Some(capacity::read(block.bytes())),
    })
}

/// The stream that the iterator is of.
fn found(call: &Call, iterator: &ShardIterator) -> Result<Found, ApiError> {
    let table = call.shared.store.table_by_id(TableId(iterator.table));
    let table = table.filter(|table| table.info().instance == call.instance);
    let found = table.and_then(Found::of);
    found.filter(|found| found.stream.enabled_at == iterator.enabled_at).ok_or_else(stream::missing)
}
