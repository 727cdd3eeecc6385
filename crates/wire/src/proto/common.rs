//! Errors and capacity units, which most answers carry.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Error {
    #[prost(string, required, tag = "1")]
    pub code: String,
    #[prost(string, optional, tag = "2")]
    pub message: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub access_denied_detail: Option<AccessDeniedDetail>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AccessDeniedDetail {
    #[prost(string, required, tag = "1")]
    pub auth_action: String,
    #[prost(string, required, tag = "2")]
    pub auth_principal_type: String,
    #[prost(string, required, tag = "3")]
    pub auth_principal_owner_id: String,
    #[prost(string, required, tag = "4")]
    pub auth_principal_display_name: String,
    #[prost(string, required, tag = "5")]
    pub policy_type: String,
    #[prost(string, required, tag = "6")]
    pub no_permission_type: String,
    #[prost(string, optional, tag = "7")]
    pub encoded_diagnostic_message: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CapacityUnit {
    #[prost(int32, optional, tag = "1")]
    pub read: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub write: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CapacityDataSize {
    #[prost(int64, optional, tag = "1")]
    pub read_size: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub write_size: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ConsumedCapacity {
    #[prost(message, required, tag = "1")]
    pub capacity_unit: CapacityUnit,
    #[prost(message, optional, tag = "2")]
    pub capacity_data_size: Option<CapacityDataSize>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ReservedThroughput {
    #[prost(message, required, tag = "1")]
    pub capacity_unit: CapacityUnit,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct ReservedThroughputDetails {
    #[prost(message, required, tag = "1")]
    pub capacity_unit: CapacityUnit,
    #[prost(int64, required, tag = "2")]
    pub last_increase_time: i64,
    #[prost(int64, optional, tag = "3")]
    pub last_decrease_time: Option<i64>,
}
