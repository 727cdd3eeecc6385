//! Delivery tasks.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct CreateDeliveryTaskRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub task_name: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub task_config: Option<OssTaskConfig>,
    #[prost(enumeration = "DeliveryTaskType", optional, tag = "4")]
    pub task_type: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CreateDeliveryTaskResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct DeleteDeliveryTaskRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub task_name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct DeleteDeliveryTaskResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeDeliveryTaskRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub task_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribeDeliveryTaskResponse {
    #[prost(message, optional, tag = "1")]
    pub task_config: Option<OssTaskConfig>,
    #[prost(message, optional, tag = "2")]
    pub task_sync_stat: Option<TaskSyncStat>,
    #[prost(enumeration = "DeliveryTaskType", optional, tag = "3")]
    pub task_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListDeliveryTaskRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListDeliveryTaskResponse {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<DeliveryTaskInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub struct UpdateDeliveryTaskRequest {
    #[prost(string, optional, tag = "1")]
    pub table: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub task_name: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub task_config: Option<OssTaskConfig>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct UpdateDeliveryTaskResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct OssTaskConfig {
    #[prost(string, optional, tag = "1")]
    pub oss_prefix: Option<String>,
    #[prost(enumeration = "TimeFormatter", optional, tag = "2")]
    pub formatter: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub oss_dirty_prefix: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub oss_bucket: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub oss_endpoint: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub oss_sts_role: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub event_time_column: Option<EventColumn>,
    #[prost(enumeration = "Format", optional, tag = "8")]
    pub format: Option<i32>,
    #[prost(message, repeated, tag = "11")]
    pub schema: Vec<ParquetSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParquetSchema {
    #[prost(string, optional, tag = "1")]
    pub column_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub oss_column_name: Option<String>,
    #[prost(enumeration = "DataType", optional, tag = "3")]
    pub r#type: Option<i32>,
    #[prost(enumeration = "Encoding", optional, tag = "4")]
    pub encode: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub type_extend: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EventColumn {
    #[prost(string, optional, tag = "1")]
    pub column_name: Option<String>,
    #[prost(enumeration = "EventTimeFormat", optional, tag = "2")]
    pub time_format: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskSyncStat {
    #[prost(enumeration = "TaskSyncPhase", optional, tag = "1")]
    pub task_sync_phase: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub current_sync_timestamp: Option<i64>,
    #[prost(enumeration = "ErrorType", optional, tag = "3")]
    pub error_code: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub detail: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeliveryTaskInfo {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub task_name: Option<String>,
    #[prost(enumeration = "DeliveryTaskType", optional, tag = "3")]
    pub task_type: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DeliveryTaskType {
    Base = 0,
    Inc = 1,
    BaseInc = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Format {
    Parquet = 0,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Encoding {
    Plain = 0,
    PlainDictionary = 1,
    DeltaBinaryPacked = 2,
    DeltaByteArray = 3,
    DeltaLengthByteArray = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TimeFormatter {
    YdmFormatter = 0,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ErrorType {
    Ok = 0,
    Unauthorized = 1,
    InvalidOssBucket = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TaskSyncPhase {
    Init = 0,
    Full = 1,
    Incr = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventTimeFormat {
    Rfc822 = 1,
    Rfc850 = 2,
    Rfc1123 = 3,
    Rfc3339 = 4,
    Unix = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    Bool = 0,
    Int64 = 1,
    Utf8 = 2,
    Double = 3,
    Date = 4,
    Decimal = 5,
    TimeMillis = 6,
    TimeMicros = 7,
    TimestampMillis = 8,
    TimestampMicros = 9,
    List = 10,
    Map = 11,
    Interval = 12,
    Float = 13,
    Int32 = 14,
    Int96 = 15,
}
