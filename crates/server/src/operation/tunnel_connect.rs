//! /tunnel/connect: makes a worker a client of a tunnel.

use lakeferry_wire::proto::tunnel::{ConnectRequest, ConnectResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: ConnectRequest) -> Result<ConnectResponse, ApiError> {
    let tunnel = call.tunnel(&request.tunnel_id)?;
    let config = request.client_config.unwrap_or_default();
    let timeout_s = u32::try_from(config.timeout().max(0)).unwrap_or(u32::MAX);
    let client = tunnel.connect(timeout_s, config.client_tag(), call.deadline).await?;
    Ok(ConnectResponse { client_id: client.to_string() })
}
