//! /tunnel/checkpoint: writes down how far a client has read a channel. It is durable when this is answered.

use lakeferry_store::tunnel::{ChannelId, ClientId};
use lakeferry_wire::proto::tunnel::{CheckpointRequest, CheckpointResponse};

use super::{Call, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: CheckpointRequest) -> Result<CheckpointResponse, ApiError> {
    let found = call.tunnel(&request.tunnel_id)?;
    let (client, channel) = (ClientId::new(request.client_id), ChannelId::new(request.channel_id));
    found.check_readable(&client, &channel, call.deadline).await?;
    let position = tunnel::position(&request.checkpoint, &found.table().info().schema)?;
    found.checkpoint(&client, &channel, position, request.sequence_number, call.deadline).await?;
    Ok(CheckpointResponse {})
}
