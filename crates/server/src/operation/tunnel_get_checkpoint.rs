//! /tunnel/getcheckpoint: where a client goes on with a channel.

use lakeferry_store::tunnel::{ChannelId, ClientId};
use lakeferry_wire::proto::tunnel::{GetCheckpointRequest, GetCheckpointResponse};

use super::{Call, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetCheckpointRequest) -> Result<GetCheckpointResponse, ApiError> {
    let found = call.tunnel(&request.tunnel_id)?;
    let (client, channel) = (ClientId::new(request.client_id), ChannelId::new(request.channel_id));
    let (position, sequence_number) = found.checkpoint_of(&client, &channel, call.deadline).await?;
    let checkpoint = tunnel::token(&position, &found.table().info().schema)?;
    Ok(GetCheckpointResponse { checkpoint, sequence_number })
}
