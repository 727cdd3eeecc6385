//! GetShardIterator: where a shard begins, or where it was at a time.

use lakeferry_wire::convert::ShardIterator;
use lakeferry_wire::proto::{GetShardIteratorRequest, GetShardIteratorResponse};

use super::{Call, stream};
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: GetShardIteratorRequest,
) -> Result<GetShardIteratorResponse, ApiError> {
    if request.token.is_some_and(|token| !token.is_empty()) {
        // A position is found at once: no answer ever asks to call again.
        return Err(ApiError::parameter("The token is not one of this server's."));
    }
    if request.timestamp.is_some_and(|timestamp| timestamp < 0) {
        return Err(ApiError::parameter("The timestamp must not be less than 0."));
    }
    let found = stream::find(&call, &request.stream_id)?;
    let shard = found.shard(&request.shard_id)?;
    let enabled_at = found.stream.enabled_at;
    // The log may be older than the stream, kept on account of delivery.
    let time = request.timestamp.map_or(enabled_at, |timestamp| timestamp.max(enabled_at));
    let since = (time > call.shared.store.clock().now_micros()).then_some(time);
    let after = shard.position_before(time, call.deadline).await?;
    let iterator = ShardIterator { table: found.table.id().0, shard: shard.id().0, enabled_at, after, since };
    Ok(GetShardIteratorResponse { shard_iterator: iterator.to_string(), next_token: None })
}
