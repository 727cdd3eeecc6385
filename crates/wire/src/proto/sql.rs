//! Split points and SQL.

use prost::Message;

use super::{ConsumedCapacity, PrimaryKeySchema, ReservedThroughput};

#[derive(Clone, PartialEq, Message)]
pub struct ComputeSplitPointsBySizeRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(int64, required, tag = "2")]
    pub split_size: i64,
    #[prost(int64, optional, tag = "3")]
    pub split_size_unit_in_byte: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    pub split_point_limit: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ComputeSplitPointsBySizeResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(message, repeated, tag = "2")]
    pub schema: Vec<PrimaryKeySchema>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub split_points: Vec<bytes::Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub locations: Vec<SplitLocation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SplitLocation {
    #[prost(string, required, tag = "1")]
    pub location: String,
    #[prost(sint64, required, tag = "2")]
    pub repeat: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ComputeSplitsRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub search_index_splits_options: Option<SearchIndexSplitsOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchIndexSplitsOptions {
    #[prost(string, optional, tag = "1")]
    pub index_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ComputeSplitsResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub session_id: Option<bytes::Bytes>,
    #[prost(int32, optional, tag = "2")]
    pub splits_size: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SqlQueryRequest {
    #[prost(string, required, tag = "1")]
    pub query: String,
    #[prost(enumeration = "SqlPayloadVersion", optional, tag = "2")]
    pub version: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    pub sql_version: Option<i64>,
    #[prost(string, optional, tag = "5")]
    pub search_token: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SqlQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub consumes: Vec<TableConsumedCapacity>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub rows: Option<bytes::Bytes>,
    #[prost(enumeration = "SqlPayloadVersion", optional, tag = "3")]
    pub version: Option<i32>,
    #[prost(enumeration = "SqlStatementType", optional, tag = "4")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "5")]
    pub search_consumes: Vec<SearchConsumedCapacity>,
    #[prost(string, optional, tag = "8")]
    pub next_search_token: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableConsumedCapacity {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(message, optional, tag = "3")]
    pub reserved_throughput: Option<ReservedThroughput>,
    #[prost(bool, optional, tag = "4")]
    pub is_timeseries_meta: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchConsumedCapacity {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(message, optional, tag = "4")]
    pub reserved_throughput: Option<ReservedThroughput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SqlPayloadVersion {
    PlainBuffer = 1,
    FlatBuffers = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SqlStatementType {
    Select = 1,
    CreateTable = 2,
    ShowTable = 3,
    DescribeTable = 4,
    DropTable = 5,
    AlterTable = 6,
}
