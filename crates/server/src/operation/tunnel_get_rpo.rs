//! /tunnel/getrpo: how far a tunnel's channels are, as JSON in the one form that its one client reads.

use std::collections::BTreeMap;

use lakeferry_store::tunnel::ChannelDescription;
use lakeferry_wire::proto::tunnel::{GetRpoRequest, GetRpoResponse};
use serde::Serialize;

use super::tunnel::{self, NANOS_PER_MICRO};
use super::{Call, tunnel_describe};
use crate::error::ApiError;

/// How far a channel, or the channels of one kind, are; times in nanoseconds since the epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Latency {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_typ: Option<&'static str>,
    status: &'static str,
    total_count: u64,
    access_time: i64,
    rpo_time: i64,
}

pub async fn answer(call: Call, request: GetRpoRequest) -> Result<GetRpoResponse, ApiError> {
    let found = call.tunnel(request.tunnel_id())?;
    let described = found.describe(call.deadline).await?;
    let now = call.shared.clock().now_micros().saturating_mul(NANOS_PER_MICRO);
    let latency = |channel: &ChannelDescription| {
        let kind = tunnel::channel_kind(channel.is_base);
        let latency = Latency {
            channel_typ: Some(kind),
            status: tunnel::status_name(channel.status),
            total_count: channel.count,
            access_time: now,
            rpo_time: channel.read_until.saturating_mul(NANOS_PER_MICRO),
        };
        (channel.id.to_string(), BTreeMap::from([(kind, latency)]))
    };
    let channels: BTreeMap<String, _> = described.channels.iter().map(latency).collect();
    let mut kinds: BTreeMap<&str, Latency> = BTreeMap::new();
    for latencies in channels.values() {
        for (kind, latency) in latencies {
            let whole = kinds.entry(kind).or_insert_with(|| Latency {
                channel_typ: None,
                total_count: 0,
                rpo_time: tunnel_describe::read_until(&described).saturating_mul(NANOS_PER_MICRO),
                ..latency.clone()
            });
            whole.total_count += latency.total_count;
        }
    }
    Ok(GetRpoResponse {
        rpo_infos: Some(json(&channels).into()),
        tunnel_rpo_infos: Some(json(&kinds).into()),
        tunnel_id: Some(described.id.to_string()),
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names and numbers have a form in JSON")
}
