//! ListStream: the streams of an instance, or that of one table.

use lakeferry_model::TableName;
use lakeferry_wire::proto::{ListStreamRequest, ListStreamResponse, Stream};

use super::stream::{self, Found};
use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: ListStreamRequest) -> Result<ListStreamResponse, ApiError> {
    let found = match request.table_name.filter(|name| !name.is_empty()) {
        Some(name) => Found::of(call.table(&TableName::parse(&name)?)?).into_iter().collect(),
        None => stream::all(&call),
    };
    let streams = found.into_iter().map(|found| Stream {
        stream_id: found.stream.id,
        table_name: found.name.as_str().to_owned(),
        creation_time: found.stream.enabled_at,
    });
    Ok(ListStreamResponse { streams: streams.collect() })
}
