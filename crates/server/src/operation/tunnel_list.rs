//! /tunnel/list: the tunnels of a table, or of all tables of the instance.

use lakeferry_model::TableName;
use lakeferry_wire::proto::tunnel::{ListTunnelRequest, ListTunnelResponse};

use super::{Call, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: ListTunnelRequest) -> Result<ListTunnelResponse, ApiError> {
    let names = match request.table_name.filter(|name| !name.is_empty()) {
        Some(name) => vec![TableName::parse(&name)?],
        None => call.shared.store.tables(&call.instance),
    };
    let mut tunnels = Vec::new();
    for name in names {
        for found in call.shared.tunnels.list(&call.table(&name)?) {
            tunnels.push(tunnel::info(&found, &found.describe(call.deadline).await?));
        }
    }
    Ok(ListTunnelResponse { tunnels })
}
