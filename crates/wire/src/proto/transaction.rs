//! Local transactions.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct StartLocalTransactionRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct StartLocalTransactionResponse {
    #[prost(string, required, tag = "1")]
    pub transaction_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct CommitTransactionRequest {
    #[prost(string, required, tag = "1")]
    pub transaction_id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct CommitTransactionResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct AbortTransactionRequest {
    #[prost(string, required, tag = "1")]
    pub transaction_id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct AbortTransactionResponse {}
