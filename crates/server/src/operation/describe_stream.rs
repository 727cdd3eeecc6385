//! DescribeStream: what a stream is, and its shards, page by page.

use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::proto::{DescribeStreamRequest, DescribeStreamResponse, StreamShard, StreamStatus};

use super::Call;
use super::stream::{self, shard_id};
use crate::error::ApiError;

pub async fn answer(call: Call, request: DescribeStreamRequest) -> Result<DescribeStreamResponse, ApiError> {
    let limit = match request.shard_limit.map(usize::try_from) {
        None => usize::MAX,
        Some(Ok(limit @ 1..)) => limit,
        Some(_) => return Err(ApiError::parameter("The shard limit must be greater than 0.")),
    };
    let found = stream::find(&call, &request.stream_id)?;
    let mut ids: Vec<String> = found.table.partitions().iter().map(shard_id).collect();
    if let Some(first) = &request.inclusive_start_shard_id {
        let at = ids.iter().position(|id| id == first).ok_or_else(|| {
            ApiError::new(ErrorCode::ObjectNotExist, message::NO_SUCH_SHARD)
        })?;
        ids.drain(..at);
    }
    let next_shard_id = ids.get(limit).cloned();
    ids.truncate(limit);
    // Partitions do not split yet, so that no shard has a parent.
    let shard = |shard_id| StreamShard { shard_id, parent_id: None, parent_sibling_id: None };
    Ok(DescribeStreamResponse {
        stream_id: found.stream.id,
        expiration_time: found.stream.spec.expiration_hours,
        table_name: found.name.as_str().to_owned(),
        creation_time: found.stream.enabled_at,
        stream_status: StreamStatus::Active.into(),
        shards: ids.into_iter().map(shard).collect(),
        next_shard_id,
        is_timeseries_data_table: None,
    })
}
