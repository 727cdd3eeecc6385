//! The tunnel service, which has a schema of its own: some names repeat with other fields.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Error {
    #[prost(string, required, tag = "1")]
    pub code: String,
    #[prost(string, optional, tag = "2")]
    pub message: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub tunnel_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Tunnel {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, required, tag = "3")]
    pub tunnel_name: String,
    #[prost(enumeration = "TunnelType", required, tag = "4")]
    pub tunnel_type: i32,
    #[prost(message, optional, tag = "5")]
    pub stream_tunnel_config: Option<StreamTunnelConfig>,
    #[prost(bool, optional, tag = "6")]
    pub need_all_time_series_columns: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateTunnelRequest {
    #[prost(message, required, tag = "1")]
    pub tunnel: Tunnel,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateTunnelResponse {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteTunnelRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, required, tag = "2")]
    pub tunnel_name: String,
    #[prost(string, optional, tag = "3")]
    pub tunnel_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct DeleteTunnelResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct ListTunnelRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TunnelInfo {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub tunnel_type: String,
    #[prost(string, required, tag = "3")]
    pub table_name: String,
    #[prost(string, required, tag = "4")]
    pub instance_name: String,
    #[prost(string, required, tag = "5")]
    pub stream_id: String,
    #[prost(string, required, tag = "6")]
    pub stage: String,
    #[prost(bool, optional, tag = "7")]
    pub expired: Option<bool>,
    #[prost(string, optional, tag = "8")]
    pub tunnel_name: Option<String>,
    #[prost(bool, optional, tag = "9")]
    pub public: Option<bool>,
    #[prost(message, optional, tag = "10")]
    pub stream_tunnel_config: Option<StreamTunnelConfig>,
    #[prost(int64, optional, tag = "11")]
    pub create_time: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListTunnelResponse {
    #[prost(message, repeated, tag = "1")]
    pub tunnels: Vec<TunnelInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeTunnelRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, required, tag = "2")]
    pub tunnel_name: String,
    #[prost(string, optional, tag = "3")]
    pub tunnel_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ChannelInfo {
    #[prost(string, required, tag = "1")]
    pub channel_id: String,
    #[prost(string, optional, tag = "2")]
    pub channel_type: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub channel_status: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub client_id: Option<String>,
    #[prost(int64, optional, tag = "5")]
    pub channel_rpo: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub channel_count: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeTunnelResponse {
    #[prost(message, required, tag = "1")]
    pub tunnel: TunnelInfo,
    #[prost(message, repeated, tag = "2")]
    pub channels: Vec<ChannelInfo>,
    #[prost(int64, optional, tag = "3")]
    pub tunnel_rpo: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRpoRequest {
    #[prost(string, optional, tag = "1")]
    pub tunnel_id: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub limit: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRpoResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub rpo_infos: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub tunnel_rpo_infos: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "3")]
    pub tunnel_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClientConfig {
    #[prost(int64, optional, tag = "1")]
    pub timeout: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub client_tag: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(message, optional, tag = "2")]
    pub client_config: Option<ClientConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConnectResponse {
    #[prost(string, required, tag = "1")]
    pub client_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Channel {
    #[prost(string, required, tag = "1")]
    pub channel_id: String,
    #[prost(int64, required, tag = "2")]
    pub version: i64,
    #[prost(enumeration = "ChannelStatus", required, tag = "3")]
    pub status: i32,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub detail: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct HeartbeatRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(message, repeated, tag = "3")]
    pub channels: Vec<Channel>,
}

#[derive(Clone, PartialEq, Message)]
pub struct HeartbeatResponse {
    #[prost(message, repeated, tag = "1")]
    pub channels: Vec<Channel>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ShutdownRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ShutdownResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct LockChannelRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(string, required, tag = "3")]
    pub channel_id: String,
    #[prost(string, required, tag = "4")]
    pub lock_id: String,
    #[prost(int64, required, tag = "5")]
    pub timeout: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct LockChannelResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct UnlockChannelRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(string, required, tag = "3")]
    pub channel_id: String,
    #[prost(string, required, tag = "4")]
    pub lock_id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct UnlockChannelResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct GetCheckpointRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(string, required, tag = "3")]
    pub channel_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetCheckpointResponse {
    #[prost(string, required, tag = "1")]
    pub checkpoint: String,
    #[prost(int64, required, tag = "2")]
    pub sequence_number: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct CheckpointRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(string, required, tag = "3")]
    pub channel_id: String,
    #[prost(string, required, tag = "4")]
    pub checkpoint: String,
    #[prost(int64, required, tag = "5")]
    pub sequence_number: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CheckpointResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct ReadRecordsRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(string, required, tag = "2")]
    pub client_id: String,
    #[prost(string, required, tag = "3")]
    pub channel_id: String,
    #[prost(string, required, tag = "4")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Record {
    #[prost(enumeration = "ActionType", required, tag = "1")]
    pub action_type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub record: bytes::Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub origin_record: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadRecordsResponse {
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
    #[prost(string, required, tag = "2")]
    pub next_token: String,
    #[prost(bool, optional, tag = "3")]
    pub may_more_record: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Token {
    #[prost(int64, required, tag = "1")]
    pub version: i64,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub content: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct TokenContent {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub primary_key: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "2")]
    pub iterator: Option<String>,
    #[prost(int64, optional, tag = "3")]
    pub timestamp: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TokenContentV2 {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub primary_key: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "2")]
    pub iterator: Option<String>,
    #[prost(int64, optional, tag = "3")]
    pub timestamp: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub total_count: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamTunnelConfig {
    #[prost(enumeration = "StartOffsetFlag", optional, tag = "1")]
    pub flag: Option<i32>,
    #[prost(uint64, optional, tag = "2")]
    pub start_offset: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub end_offset: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScheduleRequest {
    #[prost(string, required, tag = "1")]
    pub tunnel_id: String,
    #[prost(message, repeated, tag = "3")]
    pub channels: Vec<Channel>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ScheduleResponse {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TunnelType {
    BaseData = 1,
    Stream = 2,
    BaseAndStream = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ChannelStatus {
    Open = 1,
    Closing = 2,
    Close = 3,
    Terminated = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ActionType {
    PutRow = 1,
    UpdateRow = 2,
    DeleteRow = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum StartOffsetFlag {
    Latest = 0,
    Earliest = 1,
}
