//! /tunnel/schedule: an operator suspends, resumes or ends channels.

use lakeferry_store::tunnel::ChannelId;
use lakeferry_wire::proto::tunnel::{ScheduleRequest, ScheduleResponse};

use super::{Call, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: ScheduleRequest) -> Result<ScheduleResponse, ApiError> {
    let found = call.tunnel(&request.tunnel_id)?;
    let channels = request.channels.iter().map(|channel| {
        Ok((ChannelId::new(channel.channel_id.as_str()), tunnel::status(channel.status)?))
    });
    let channels = channels.collect::<Result<Vec<_>, ApiError>>()?;
    found.schedule(&channels, call.deadline).await?;
    Ok(ScheduleResponse {})
}
