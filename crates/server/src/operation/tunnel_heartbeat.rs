//! /tunnel/heartbeat: a client tells how its channels are doing, and learns which are its own now.

use lakeferry_store::tunnel::{ChannelId, ChannelReport, ClientId};
use lakeferry_wire::proto::tunnel::{HeartbeatRequest, HeartbeatResponse};

use super::{Call, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: HeartbeatRequest) -> Result<HeartbeatResponse, ApiError> {
    let found = call.tunnel(&request.tunnel_id)?;
    let reports = request.channels.iter().map(|channel| {
        let id = ChannelId::new(channel.channel_id.as_str());
        Ok(ChannelReport { id, version: channel.version, status: tunnel::status(channel.status)? })
    });
    let reports = reports.collect::<Result<Vec<_>, ApiError>>()?;
    let client = ClientId::new(request.client_id);
    let held = found.heartbeat(&client, &reports, call.deadline).await?;
    Ok(HeartbeatResponse { channels: held.iter().map(tunnel::channel).collect() })
}
