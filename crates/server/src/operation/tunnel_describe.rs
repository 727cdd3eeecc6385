//! /tunnel/describe: how a tunnel and its channels are doing.

use lakeferry_store::tunnel::{ChannelDescription, ChannelStatus, TunnelDescription};
use lakeferry_wire::proto::tunnel::{ChannelInfo, DescribeTunnelRequest, DescribeTunnelResponse};

use super::tunnel::{self, NANOS_PER_MICRO};
use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: DescribeTunnelRequest) -> Result<DescribeTunnelResponse, ApiError> {
    let (_, found) = call.named_tunnel(&request.table_name, &request.tunnel_name)?;
    let described = found.describe(call.deadline).await?;
    Ok(DescribeTunnelResponse {
        tunnel: tunnel::info(&found, &described),
        channels: described.channels.iter().map(channel_info).collect(),
        tunnel_rpo: Some(read_until(&described).saturating_mul(NANOS_PER_MICRO)),
    })
}

/// The time up to which the tunnel has read everything, in microseconds since the epoch: that of the channel that
/// is furthest behind.
pub fn read_until(described: &TunnelDescription) -> i64 {
    let reading = described.channels.iter().filter(|channel| channel.status != ChannelStatus::Terminated);
    reading.map(|channel| channel.read_until).min().unwrap_or(described.created_at)
}

fn channel_info(channel: &ChannelDescription) -> ChannelInfo {
    ChannelInfo {
        channel_id: channel.id.to_string(),
        channel_type: Some(tunnel::channel_kind(channel.is_base).to_owned()),
        channel_status: Some(tunnel::status_name(channel.status).to_owned()),
        client_id: Some(channel.client.as_ref().map(ToString::to_string).unwrap_or_default()),
        channel_rpo: Some(channel.read_until.saturating_mul(NANOS_PER_MICRO)),
        channel_count: Some(i64::try_from(channel.count).unwrap_or(i64::MAX)),
    }
}
