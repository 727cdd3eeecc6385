//! Tables, their options, streams and defined columns, and secondary indexes.

use prost::Message;

use super::{ReservedThroughput, ReservedThroughputDetails};

#[derive(Clone, PartialEq, Message)]
pub struct PrimaryKeySchema {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "PrimaryKeyType", required, tag = "2")]
    pub r#type: i32,
    #[prost(enumeration = "PrimaryKeyOption", optional, tag = "3")]
    pub option: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DefinedColumnSchema {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(enumeration = "DefinedColumnType", required, tag = "2")]
    pub r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartitionRange {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub begin: bytes::Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub end: bytes::Bytes,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct TableOptions {
    #[prost(int32, optional, tag = "1")]
    pub time_to_live: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub max_versions: Option<i32>,
    #[prost(enumeration = "BloomFilterType", optional, tag = "3")]
    pub bloom_filter_type: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub block_size: Option<i32>,
    #[prost(int64, optional, tag = "5")]
    pub deviation_cell_version_in_sec: Option<i64>,
    #[prost(bool, optional, tag = "6")]
    pub allow_update: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub update_full_row: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct IndexMeta {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub primary_key: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub defined_column: Vec<String>,
    #[prost(enumeration = "IndexUpdateMode", required, tag = "4")]
    pub index_update_mode: i32,
    #[prost(enumeration = "IndexType", required, tag = "5")]
    pub index_type: i32,
    #[prost(enumeration = "IndexSyncPhase", optional, tag = "6")]
    pub index_sync_phase: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableMeta {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub primary_key: Vec<PrimaryKeySchema>,
    #[prost(message, repeated, tag = "3")]
    pub defined_column: Vec<DefinedColumnSchema>,
    #[prost(message, repeated, tag = "4")]
    pub index_meta: Vec<IndexMeta>,
    #[prost(string, optional, tag = "5")]
    pub table_id: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub global_table_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamSpecification {
    #[prost(bool, required, tag = "1")]
    pub enable_stream: bool,
    #[prost(int32, optional, tag = "2")]
    pub expiration_time: Option<i32>,
    #[prost(string, repeated, tag = "3")]
    pub columns_to_get: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamDetails {
    #[prost(bool, required, tag = "1")]
    pub enable_stream: bool,
    #[prost(string, optional, tag = "2")]
    pub stream_id: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub expiration_time: Option<i32>,
    #[prost(int64, optional, tag = "4")]
    pub last_enable_time: Option<i64>,
    #[prost(string, repeated, tag = "5")]
    pub column_to_get: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SseSpecification {
    #[prost(bool, required, tag = "1")]
    pub enable: bool,
    #[prost(enumeration = "SseKeyType", optional, tag = "2")]
    pub key_type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub key_id: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub role_arn: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SseDetails {
    #[prost(bool, required, tag = "1")]
    pub enable: bool,
    #[prost(enumeration = "SseKeyType", optional, tag = "2")]
    pub key_type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub key_id: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub role_arn: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateTableRequest {
    #[prost(message, required, tag = "1")]
    pub table_meta: TableMeta,
    #[prost(message, required, tag = "2")]
    pub reserved_throughput: ReservedThroughput,
    #[prost(message, optional, tag = "3")]
    pub table_options: Option<TableOptions>,
    #[prost(message, repeated, tag = "4")]
    pub partitions: Vec<PartitionRange>,
    #[prost(message, optional, tag = "5")]
    pub stream_spec: Option<StreamSpecification>,
    #[prost(message, optional, tag = "6")]
    pub sse_spec: Option<SseSpecification>,
    #[prost(message, repeated, tag = "7")]
    pub index_metas: Vec<IndexMeta>,
    #[prost(bool, optional, tag = "8")]
    pub enable_local_txn: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CreateTableResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct UpdateTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, optional, tag = "2")]
    pub reserved_throughput: Option<ReservedThroughput>,
    #[prost(message, optional, tag = "3")]
    pub table_options: Option<TableOptions>,
    #[prost(message, optional, tag = "4")]
    pub stream_spec: Option<StreamSpecification>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UpdateTableResponse {
    #[prost(message, required, tag = "1")]
    pub reserved_throughput_details: ReservedThroughputDetails,
    #[prost(message, required, tag = "2")]
    pub table_options: TableOptions,
    #[prost(message, optional, tag = "3")]
    pub stream_details: Option<StreamDetails>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeTableResponse {
    #[prost(message, required, tag = "1")]
    pub table_meta: TableMeta,
    #[prost(message, required, tag = "2")]
    pub reserved_throughput_details: ReservedThroughputDetails,
    #[prost(message, required, tag = "3")]
    pub table_options: TableOptions,
    #[prost(enumeration = "TableStatus", required, tag = "4")]
    pub table_status: i32,
    #[prost(message, optional, tag = "5")]
    pub stream_details: Option<StreamDetails>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub shard_splits: Vec<bytes::Bytes>,
    #[prost(message, optional, tag = "7")]
    pub sse_details: Option<SseDetails>,
    #[prost(message, repeated, tag = "8")]
    pub index_metas: Vec<IndexMeta>,
    #[prost(int64, optional, tag = "9")]
    pub creation_time: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ListTableRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct ListTableResponse {
    #[prost(string, repeated, tag = "1")]
    pub table_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct DeleteTableResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct LoadTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct LoadTableResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct UnloadTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct UnloadTableResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct CreateIndexRequest {
    #[prost(string, required, tag = "1")]
    pub main_table_name: String,
    #[prost(message, required, tag = "2")]
    pub index_meta: IndexMeta,
    #[prost(bool, optional, tag = "3")]
    pub include_base_data: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CreateIndexResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct DropIndexRequest {
    #[prost(string, required, tag = "1")]
    pub main_table_name: String,
    #[prost(string, required, tag = "2")]
    pub index_name: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct DropIndexResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct AddDefinedColumnRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub columns: Vec<DefinedColumnSchema>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct AddDefinedColumnResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteDefinedColumnRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, repeated, tag = "2")]
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct DeleteDefinedColumnResponse {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PrimaryKeyType {
    Integer = 1,
    String = 2,
    Binary = 3,
    Boolean = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PrimaryKeyOption {
    AutoIncrement = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DefinedColumnType {
    Integer = 1,
    Double = 2,
    Boolean = 3,
    String = 4,
    Blob = 7,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum IndexUpdateMode {
    AsyncIndex = 0,
    SyncIndex = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum IndexType {
    GlobalIndex = 0,
    LocalIndex = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum IndexSyncPhase {
    Invalid = 0,
    Full = 1,
    Incr = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SseKeyType {
    KmsService = 1,
    Byok = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TableStatus {
    Active = 1,
    Inactive = 2,
    Loading = 3,
    Unloading = 4,
    Updating = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum BloomFilterType {
    None = 1,
    Cell = 2,
    Row = 3,
}
