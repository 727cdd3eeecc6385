//! /tunnel/create: makes a tunnel. A table without a stream gets one, as in the original.

use lakeferry_model::{Micros, StreamSpec, TableName};
use lakeferry_store::TableUpdate;
use lakeferry_store::tunnel::{StartAt, TunnelKind, TunnelSpec};
use lakeferry_wire::proto::tunnel::{
    CreateTunnelRequest, CreateTunnelResponse, StartOffsetFlag, StreamTunnelConfig, Tunnel, TunnelType,
};

use super::Call;
use super::tunnel::NANOS_PER_MICRO;
use crate::error::ApiError;

/// Hours that a stream which is made for a tunnel keeps its records, as documented.
const EXPIRATION_HOURS: i32 = 168;

pub async fn answer(call: Call, request: CreateTunnelRequest) -> Result<CreateTunnelResponse, ApiError> {
    let asked = request.tunnel;
    let name = TableName::parse(&asked.table_name)?;
    let spec = spec(&asked)?;
    // Nobody switches the stream off, or deletes the table, in between.
    let _held = call.shared.hold_tables(call.deadline).await?;
    let mut table = call.table(&name)?;
    // One that is refused leaves the table without a stream.
    call.shared.tunnels.check(&table, &spec)?;
    if spec.kind != TunnelKind::BaseData {
        // Also for a table that has its stream: all its partitions are told again to keep their logs.
        let known = table.info().stream.as_ref().map(|stream| stream.spec.clone());
        let new = || StreamSpec { expiration_hours: EXPIRATION_HOURS, origin_columns: Vec::new() };
        let stream = known.unwrap_or_else(new);
        let update = TableUpdate { stream: Some(Some(stream)), ..TableUpdate::default() };
        table = call.shared.store.update_table(&call.instance, &name, update).await?;
    }
    let id = call.shared.tunnels.create(&table, spec, call.deadline).await?;
    Ok(CreateTunnelResponse { tunnel_id: id.to_string() })
}

fn spec(asked: &Tunnel) -> Result<TunnelSpec, ApiError> {
    let kind = match TunnelType::try_from(asked.tunnel_type) {
        Ok(TunnelType::BaseData) => TunnelKind::BaseData,
        Ok(TunnelType::Stream) => TunnelKind::Stream,
        Ok(TunnelType::BaseAndStream) => TunnelKind::BaseAndStream,
        Err(_) => return Err(ApiError::parameter(format!("Invalid tunnel type: {}.", asked.tunnel_type))),
    };
    let (start, end) = asked.stream_tunnel_config.as_ref().map(offsets).transpose()?.unwrap_or_default();
    Ok(TunnelSpec { name: asked.tunnel_name.clone(), kind, start, end })
}

fn offsets(config: &StreamTunnelConfig) -> Result<(StartAt, Option<Micros>), ApiError> {
    let flag = config.flag.unwrap_or_default();
    let flag = StartOffsetFlag::try_from(flag)
        .map_err(|_| ApiError::parameter(format!("Invalid start offset flag: {flag}.")))?;
    // An offset of 0 stands for none, as clients have it.
    let micros = |nanos: Option<u64>| {
        let nanos = nanos.filter(|nanos| *nanos != 0)?;
        Some(Micros::try_from(nanos).unwrap_or(Micros::MAX) / NANOS_PER_MICRO)
    };
    let start = match (micros(config.start_offset), flag) {
        (Some(time), _) => StartAt::Time(time),
        (None, StartOffsetFlag::Latest) => StartAt::Latest,
        (None, StartOffsetFlag::Earliest) => StartAt::Earliest,
    };
    Ok((start, micros(config.end_offset)))
}
