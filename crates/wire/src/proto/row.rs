//! Reading and writing rows. Rows and keys themselves are PlainBuffer in `bytes` fields.

use prost::Message;

use super::{ConsumedCapacity, Error};

#[derive(Clone, PartialEq, Message)]
pub struct Condition {
    #[prost(enumeration = "RowExistenceExpectation", required, tag = "1")]
    pub row_existence: i32,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub column_condition: Option<bytes::Bytes>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct TimeRange {
    #[prost(int64, optional, tag = "1")]
    pub start_time: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub end_time: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub specific_time: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReturnContent {
    #[prost(enumeration = "ReturnType", optional, tag = "1")]
    pub return_type: Option<i32>,
    #[prost(string, repeated, tag = "2")]
    pub return_column_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub primary_key: bytes::Bytes,
    #[prost(string, repeated, tag = "3")]
    pub columns_to_get: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub time_range: Option<TimeRange>,
    #[prost(int32, optional, tag = "5")]
    pub max_versions: Option<i32>,
    #[prost(bool, optional, tag = "6", default = "true")]
    pub cache_blocks: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub filter: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "8")]
    pub start_column: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub end_column: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub token: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "11")]
    pub transaction_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRowResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub row: bytes::Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub next_token: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PutRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub row: bytes::Bytes,
    #[prost(message, required, tag = "3")]
    pub condition: Condition,
    #[prost(message, optional, tag = "4")]
    pub return_content: Option<ReturnContent>,
    #[prost(string, optional, tag = "5")]
    pub transaction_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PutRowResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub row: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UpdateRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub row_change: bytes::Bytes,
    #[prost(message, required, tag = "3")]
    pub condition: Condition,
    #[prost(message, optional, tag = "4")]
    pub return_content: Option<ReturnContent>,
    #[prost(string, optional, tag = "5")]
    pub transaction_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UpdateRowResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub row: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub primary_key: bytes::Bytes,
    #[prost(message, required, tag = "3")]
    pub condition: Condition,
    #[prost(message, optional, tag = "4")]
    pub return_content: Option<ReturnContent>,
    #[prost(string, optional, tag = "5")]
    pub transaction_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteRowResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub row: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableInBatchGetRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub primary_key: Vec<bytes::Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub token: Vec<bytes::Bytes>,
    #[prost(string, repeated, tag = "4")]
    pub columns_to_get: Vec<String>,
    #[prost(message, optional, tag = "5")]
    pub time_range: Option<TimeRange>,
    #[prost(int32, optional, tag = "6")]
    pub max_versions: Option<i32>,
    #[prost(bool, optional, tag = "7", default = "true")]
    pub cache_blocks: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub filter: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "9")]
    pub start_column: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub end_column: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BatchGetRowRequest {
    #[prost(message, repeated, tag = "1")]
    pub tables: Vec<TableInBatchGetRowRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowInBatchGetRowResponse {
    #[prost(bool, required, tag = "1")]
    pub is_ok: bool,
    #[prost(message, optional, tag = "2")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub row: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub next_token: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableInBatchGetRowResponse {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<RowInBatchGetRowResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BatchGetRowResponse {
    #[prost(message, repeated, tag = "1")]
    pub tables: Vec<TableInBatchGetRowResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowInBatchWriteRowRequest {
    #[prost(enumeration = "OperationType", required, tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub row_change: bytes::Bytes,
    #[prost(message, required, tag = "3")]
    pub condition: Condition,
    #[prost(message, optional, tag = "4")]
    pub return_content: Option<ReturnContent>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableInBatchWriteRowRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<RowInBatchWriteRowRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BatchWriteRowRequest {
    #[prost(message, repeated, tag = "1")]
    pub tables: Vec<TableInBatchWriteRowRequest>,
    #[prost(string, optional, tag = "2")]
    pub transaction_id: Option<String>,
    #[prost(bool, optional, tag = "3")]
    pub is_atomic: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowInBatchWriteRowResponse {
    #[prost(bool, required, tag = "1")]
    pub is_ok: bool,
    #[prost(message, optional, tag = "2")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub row: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableInBatchWriteRowResponse {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<RowInBatchWriteRowResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BatchWriteRowResponse {
    #[prost(message, repeated, tag = "1")]
    pub tables: Vec<TableInBatchWriteRowResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRangeRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(enumeration = "Direction", required, tag = "2")]
    pub direction: i32,
    #[prost(string, repeated, tag = "3")]
    pub columns_to_get: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub time_range: Option<TimeRange>,
    #[prost(int32, optional, tag = "5")]
    pub max_versions: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    pub limit: Option<i32>,
    #[prost(bytes = "bytes", required, tag = "7")]
    pub inclusive_start_primary_key: bytes::Bytes,
    #[prost(bytes = "bytes", required, tag = "8")]
    pub exclusive_end_primary_key: bytes::Bytes,
    #[prost(bool, optional, tag = "9", default = "true")]
    pub cache_blocks: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub filter: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "11")]
    pub start_column: Option<String>,
    #[prost(string, optional, tag = "12")]
    pub end_column: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub token: Option<bytes::Bytes>,
    #[prost(string, optional, tag = "14")]
    pub transaction_id: Option<String>,
    #[prost(enumeration = "DataBlockType", optional, tag = "15", default = "PlainBuffer")]
    pub data_block_type_hint: Option<i32>,
    #[prost(bool, optional, tag = "16", default = "true")]
    pub return_entire_primary_keys: Option<bool>,
    #[prost(enumeration = "CompressType", optional, tag = "17", default = "None")]
    pub compress_type_hint: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetRangeResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub rows: bytes::Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub next_start_primary_key: Option<bytes::Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub next_token: Option<bytes::Bytes>,
    #[prost(enumeration = "DataBlockType", optional, tag = "5")]
    pub data_block_type: Option<i32>,
    #[prost(enumeration = "CompressType", optional, tag = "6")]
    pub compress_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BulkImportRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<RowInBulkImportRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowInBulkImportRequest {
    #[prost(enumeration = "OperationType", required, tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub row_change: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct BulkImportResponse {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<RowInBulkImportResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowInBulkImportResponse {
    #[prost(bool, required, tag = "1")]
    pub is_ok: bool,
    #[prost(message, optional, tag = "2")]
    pub error: Option<Error>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BulkExportRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, repeated, tag = "2")]
    pub columns_to_get: Vec<String>,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub inclusive_start_primary_key: bytes::Bytes,
    #[prost(bytes = "bytes", required, tag = "4")]
    pub exclusive_end_primary_key: bytes::Bytes,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub filter: Option<bytes::Bytes>,
    #[prost(enumeration = "DataBlockType", optional, tag = "6", default = "SimpleRowMatrix")]
    pub data_block_type_hint: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BulkExportResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub rows: bytes::Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub next_start_primary_key: Option<bytes::Bytes>,
    #[prost(enumeration = "DataBlockType", optional, tag = "4")]
    pub data_block_type: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RowExistenceExpectation {
    Ignore = 0,
    ExpectExist = 1,
    ExpectNotExist = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ReturnType {
    None = 0,
    Pk = 1,
    AfterModify = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OperationType {
    Put = 1,
    Update = 2,
    Delete = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Direction {
    Forward = 0,
    Backward = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataBlockType {
    PlainBuffer = 0,
    SimpleRowMatrix = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompressType {
    None = 0,
}
