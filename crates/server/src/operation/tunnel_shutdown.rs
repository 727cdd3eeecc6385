//! /tunnel/shutdown: lets a client go; its channels are free at once.

use lakeferry_store::tunnel::ClientId;
use lakeferry_wire::proto::tunnel::{ShutdownRequest, ShutdownResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: ShutdownRequest) -> Result<ShutdownResponse, ApiError> {
    let tunnel = call.tunnel(&request.tunnel_id)?;
    tunnel.shutdown(&ClientId::new(request.client_id), call.deadline).await?;
    Ok(ShutdownResponse {})
}
