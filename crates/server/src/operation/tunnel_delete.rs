//! /tunnel/delete: deletes a tunnel; its workers end.

use lakeferry_wire::proto::tunnel::{DeleteTunnelRequest, DeleteTunnelResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: DeleteTunnelRequest) -> Result<DeleteTunnelResponse, ApiError> {
    let (table, _) = call.named_tunnel(&request.table_name, &request.tunnel_name)?;
    call.shared.tunnels.delete(&table, &request.tunnel_name, call.deadline).await?;
    Ok(DeleteTunnelResponse {})
}
