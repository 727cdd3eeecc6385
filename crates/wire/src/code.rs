//! The protocol's error codes, with the HTTP status each one travels under and what clients do on seeing it.
//!
//! The code decides whether an SDK repeats the call, so a permanent failure must never carry a code that is
//! always retried, and a write that may have happened must not either.

use std::fmt;

/// Texts that clients and their tests know by heart.
pub mod message {
    /// With [`ConditionCheckFail`](super::ErrorCode::ConditionCheckFail).
    pub const CONDITION_CHECK_FAIL: &str = "Condition check failed.";
    /// With [`QuotaExhausted`](super::ErrorCode::QuotaExhausted).
    pub const TABLES_QUOTA: &str = "Number of tables exceeds the quota:64.";
    /// With [`QuotaExhausted`](super::ErrorCode::QuotaExhausted); the one text with which that code is retried.
    pub const TOO_FREQUENT_TABLE_OPERATIONS: &str = "Too frequent table operations.";
    /// With [`AuthFailed`](super::ErrorCode::AuthFailed).
    pub const SIGNATURE_MISMATCH: &str = "Signature mismatch.";
    /// With [`AuthFailed`](super::ErrorCode::AuthFailed).
    pub const NO_SUCH_ACCESS_KEY: &str = "The AccessKeyID does not exist.";
    /// With [`AuthFailed`](super::ErrorCode::AuthFailed).
    pub const NO_SUCH_INSTANCE: &str = "The instance is not found.";
    /// With [`AuthFailed`](super::ErrorCode::AuthFailed).
    pub const NO_PRIVILEGE: &str = "The user has no privilege to access the instance.";
    /// With [`ObjectNotExist`](super::ErrorCode::ObjectNotExist).
    pub const NO_SUCH_TABLE: &str = "Requested table does not exist.";
    /// With [`ParameterInvalid`](super::ErrorCode::ParameterInvalid), while an index is being built.
    pub const INDEX_BUILDING: &str = "Disallow read index table in building base state";
    /// With [`ObjectAlreadyExist`](super::ErrorCode::ObjectAlreadyExist).
    pub const TABLE_EXISTS: &str = "Requested table already exists.";
    /// With [`ObjectNotExist`](super::ErrorCode::ObjectNotExist).
    pub const NO_SUCH_STREAM: &str = "Requested stream does not exist.";
    /// With [`ObjectNotExist`](super::ErrorCode::ObjectNotExist).
    pub const NO_SUCH_SHARD: &str = "Requested shard does not exist.";
    /// With [`TrimmedDataAccess`](super::ErrorCode::TrimmedDataAccess).
    pub const STREAM_TRIMMED: &str = "Requested stream data is already trimmed or does not exist.";
    /// With [`TableNotReady`](super::ErrorCode::TableNotReady).
    pub const TABLE_NOT_READY: &str = "The table is not ready.";
    /// With [`RowOperationConflict`](super::ErrorCode::RowOperationConflict).
    pub const ROW_OPERATION_CONFLICT: &str = "Data is being modified by the other request.";
    /// With [`SessionNotExist`](super::ErrorCode::SessionNotExist).
    pub const NO_SUCH_TRANSACTION: &str = "Session not exist or may be timeout.";
    /// With [`RequestTimeout`](super::ErrorCode::RequestTimeout).
    pub const REQUEST_TIMEOUT: &str = "Request timeout.";
    /// With [`RequestBodyTooLarge`](super::ErrorCode::RequestBodyTooLarge).
    pub const BODY_TOO_LARGE: &str = "The size of POST data is too large.";
    /// With [`InternalServerError`](super::ErrorCode::InternalServerError).
    pub const INTERNAL: &str = "Internal server error.";
    /// With [`ServerBusy`](super::ErrorCode::ServerBusy).
    pub const SERVER_BUSY: &str = "Server is busy.";
    /// With [`ServerUnavailable`](super::ErrorCode::ServerUnavailable).
    pub const SERVER_UNAVAILABLE: &str = "Server is not available.";
    /// With [`PartitionUnavailable`](super::ErrorCode::PartitionUnavailable).
    pub const PARTITION_UNAVAILABLE: &str = "The partition is not available.";
    /// With [`Timeout`](super::ErrorCode::Timeout).
    pub const TIMEOUT: &str = "Operation timeout.";
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// An error code of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it travels: `OTSParameterInvalid` and so on.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it travels under.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

error_codes! {
    /// A parameter is malformed or out of its limits.
    ParameterInvalid = "OTSParameterInvalid", 400;
    /// A primary key does not fit the table's schema.
    InvalidPrimaryKey = "OTSInvalidPK", 400;
    /// The operation exists, but not here.
    UnsupportedOperation = "OTSUnsupportOperation", 400;
    /// The row was not as the write expected it; nothing was written.
    ConditionCheckFail = "OTSConditionCheckFail", 403;
    /// A quota is used up.
    QuotaExhausted = "OTSQuotaExhausted", 403;
    /// The table's throughput is used up. Always retried.
    NotEnoughCapacityUnit = "OTSNotEnoughCapacityUnit", 403;
    /// The caller is not who it says, or may not use the instance.
    AuthFailed = "OTSAuthFailed", 403;
    /// The caller may not do this.
    NoPermissionAccess = "OTSNoPermissionAccess", 403;
    /// There is no such table, task or other object.
    ObjectNotExist = "OTSObjectNotExist", 404;
    /// The table was made a moment ago. Always retried.
    TableNotReady = "OTSTableNotReady", 404;
    /// There is such a table, task or other object already.
    ObjectAlreadyExist = "OTSObjectAlreadyExist", 409;
    /// Another writer holds the row; nothing was written. Always retried.
    RowOperationConflict = "OTSRowOperationConflict", 409;
    /// The HTTP method is not POST.
    MethodNotAllowed = "OTSMethodNotAllowed", 405;
    /// The request did not arrive in time.
    RequestTimeout = "OTSRequestTimeout", 408;
    /// The body is larger than any legal request.
    RequestBodyTooLarge = "OTSRequestBodyTooLarge", 413;
    /// A mistake of the server's own.
    InternalServerError = "OTSInternalServerError", 500;
    /// Nothing was written, the server is busy. Always retried.
    ServerBusy = "OTSServerBusy", 503;
    /// The server cannot answer now; reads are retried.
    ServerUnavailable = "OTSServerUnavailable", 503;
    /// Nothing was written, the partition is away. Always retried.
    PartitionUnavailable = "OTSPartitionUnavailable", 503;
    /// The outcome is unknown: a write may have happened. Never retried for writes.
    Timeout = "OTSTimeout", 503;
    /// The storage is busy.
    StorageServerBusy = "OTSStorageServerBusy", 503;
    /// Reserved throughput was changed too often.
    TooFrequentReservedThroughputAdjustment = "OTSTooFrequentReservedThroughputAdjustment", 403;
    /// The row would hold too many columns.
    OutOfColumnCountLimit = "OTSOutOfColumnCountLimit", 400;
    /// The row would be larger than a row may be.
    OutOfRowSizeLimit = "OTSOutOfRowSizeLimit", 400;
    /// Another operation on the same object is under way.
    OperationConflict = "OTSOperationConflict", 409;
    /// Operations of this kind came too often.
    OperationThrottled = "OTSOperationThrottled", 403;
    /// Rows of an atomic batch lie under different partition keys.
    DataOutOfRange = "OTSDataOutOfRange", 400;
    /// There is no such transaction, or it has timed out.
    SessionNotExist = "OTSSessionNotExist", 404;
    /// The caller may not use the tunnel.
    PermissionDenied = "OTSPermissionDenied", 403;
    /// There is such a tunnel already.
    TunnelExist = "OTSTunnelExist", 409;
    /// The tunnel fell too far behind.
    TunnelExpired = "OTSTunnelExpired", 410;
    /// The tunnel's client or channel is gone.
    ResourceGone = "OTSResourceGone", 410;
    /// A checkpoint came with another sequence number than expected.
    SequenceNumberNotMatch = "OTSSequenceNumberNotMatch", 400;
    /// What a stream's reader asks for is gone from the log.
    TrimmedDataAccess = "OTSTrimmedDataAccess", 404;
    /// The tunnel service cannot answer now.
    TunnelServerUnavailable = "OTSTunnelServerUnavailable", 503;
}

impl ErrorCode {
    /// Finds the code by its text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether clients repeat a call that failed with this, whatever the call: the server answers it only when
    /// nothing was written.
    pub fn retried_always(self, message: &str) -> bool {
        match self {
            Self::RowOperationConflict
            | Self::NotEnoughCapacityUnit
            | Self::TableNotReady
            | Self::PartitionUnavailable
            | Self::ServerBusy => true,
            Self::QuotaExhausted => message == message::TOO_FREQUENT_TABLE_OPERATIONS,
            _ => false,
        }
    }

    /// Whether clients repeat a call that failed with this if the call may be repeated at all.
    pub fn retried_if_idempotent(self) -> bool {
        matches!(self, Self::TunnelServerUnavailable | Self::Timeout) || self.status() / 100 == 5
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<lakeferry_model::Rule> for ErrorCode {
    fn from(rule: lakeferry_model::Rule) -> Self {
        match rule {
            lakeferry_model::Rule::Parameter => Self::ParameterInvalid,
            lakeferry_model::Rule::PrimaryKey => Self::InvalidPrimaryKey,
            lakeferry_model::Rule::Scope => Self::DataOutOfRange,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_own_text() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::parse("OTSWhatever"), None);
    }

    #[test]
    fn an_unknown_outcome_is_not_retried_for_writes() {
        assert!(!ErrorCode::Timeout.retried_always(message::TIMEOUT));
        assert!(ErrorCode::Timeout.retried_if_idempotent());
    }

    #[test]
    fn a_quota_is_retried_only_with_the_text_that_says_it_passes() {
        assert!(!ErrorCode::QuotaExhausted.retried_always(message::TABLES_QUOTA));
        assert!(ErrorCode::QuotaExhausted.retried_always(message::TOO_FREQUENT_TABLE_OPERATIONS));
    }
}
