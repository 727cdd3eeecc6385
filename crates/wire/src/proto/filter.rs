//! Filters and column conditions, which lie serialized in `bytes` fields of row messages.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Filter {
    #[prost(enumeration = "FilterType", required, tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub filter: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct SingleColumnValueFilter {
    #[prost(enumeration = "ComparatorType", required, tag = "1")]
    pub comparator: i32,
    #[prost(string, required, tag = "2")]
    pub column_name: String,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub column_value: bytes::Bytes,
    #[prost(bool, required, tag = "4")]
    pub filter_if_missing: bool,
    #[prost(bool, required, tag = "5")]
    pub latest_version_only: bool,
    #[prost(message, optional, tag = "6")]
    pub value_trans_rule: Option<ValueTransferRule>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CompositeColumnValueFilter {
    #[prost(enumeration = "LogicalOperator", required, tag = "1")]
    pub combinator: i32,
    #[prost(message, repeated, tag = "2")]
    pub sub_filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ColumnPaginationFilter {
    #[prost(int32, required, tag = "1")]
    pub offset: i32,
    #[prost(int32, required, tag = "2")]
    pub limit: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ValueTransferRule {
    #[prost(string, required, tag = "1")]
    pub regex: String,
    #[prost(enumeration = "VariantType", optional, tag = "2")]
    pub cast_type: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FilterType {
    SingleColumnValue = 1,
    CompositeColumnValue = 2,
    ColumnPagination = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ComparatorType {
    Equal = 1,
    NotEqual = 2,
    GreaterThan = 3,
    GreaterEqual = 4,
    LessThan = 5,
    LessEqual = 6,
    Exist = 7,
    NotExist = 8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum LogicalOperator {
    Not = 1,
    And = 2,
    Or = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum VariantType {
    Integer = 0,
    Double = 1,
    String = 3,
    Null = 6,
    Blob = 7,
}
