//! What a request is refused with: two messages, one for the caller and one for the log.

use lakeferry_model::Violation;
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::proto;
use lakeferry_wire::sign::SignError;

/// An error of the protocol, as the caller gets it.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// What it means to the caller: whether to send again, and what to change.
    pub code: ErrorCode,
    /// What the caller reads. No row values, no secrets, no paths of the server.
    pub message: String,
    /// What only the log gets.
    pub internal: Option<String>,
}

impl ApiError {
    /// An error that says to the caller all there is to say.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), internal: None }
    }

    /// An error of which the caller gets only the protocol's text.
    pub fn internal(code: ErrorCode, message: &str, internal: impl Into<String>) -> Self {
        Self { code, message: message.to_owned(), internal: Some(internal.into()) }
    }

    /// A malformed or unfit parameter.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ParameterInvalid, message)
    }

    /// The body does not decode as the operation's message.
    pub fn malformed(what: impl std::fmt::Display) -> Self {
        Self::parameter(format!("Failed to parse the request: {what}."))
    }

    /// What the caller can do about it.
    pub fn hint(&self) -> &'static str {
        match self.code {
            ErrorCode::AuthFailed => "Check the access key, its secret, and the instance's name.",
            ErrorCode::NoPermissionAccess => "Use an operator's access key.",
            ErrorCode::ObjectNotExist => "Check the names in the path, or make what is missing first.",
            ErrorCode::ObjectAlreadyExist => "Choose another name, or use what is there.",
            ErrorCode::OperationConflict => "Try again in a few seconds.",
            ErrorCode::ServerBusy | ErrorCode::ServerUnavailable => {
                "Nothing was done: send the request again, with a growing pause."
            }
            ErrorCode::Timeout => "Whether it was done is not known: look first, then send it again.",
            ErrorCode::InternalServerError => "Look for the request id in the server's log.",
            _ => "Change the request: sent again as it is, it is refused again.",
        }
    }

    /// The protocol's message of it.
    pub fn to_message(&self) -> proto::Error {
        proto::Error {
            code: self.code.as_str().to_owned(),
            message: Some(self.message.clone()),
            access_denied_detail: None,
        }
    }

    /// Only an operator's key may do this.
    pub fn operators_only() -> Self {
        let message = "This needs an operator's access key.";
        Self::new(ErrorCode::NoPermissionAccess, message)
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::new(violation.rule.into(), violation.message)
    }
}

impl From<SignError> for ApiError {
    fn from(error: SignError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<proto::bounded::BoundedError> for ApiError {
    fn from(error: proto::bounded::BoundedError) -> Self {
        Self::malformed(error)
    }
}

impl From<lakeferry_store::Error> for ApiError {
    fn from(error: lakeferry_store::Error) -> Self {
        use lakeferry_store::ErrorKind;
        let chain = chain(&error);
        match error.kind() {
            ErrorKind::Invalid(violation) => violation.clone().into(),
            ErrorKind::ConditionFailed => {
                Self::new(ErrorCode::ConditionCheckFail, message::CONDITION_CHECK_FAIL)
            }
            // Nothing of the row was handed to a committer, so SDKs may send it again.
            ErrorKind::Conflict => {
                Self::new(ErrorCode::RowOperationConflict, message::ROW_OPERATION_CONFLICT)
            }
            ErrorKind::NoSuchTransaction => {
                Self::new(ErrorCode::SessionNotExist, message::NO_SUCH_TRANSACTION)
            }
            ErrorKind::NoSuchTable => Self::new(ErrorCode::ObjectNotExist, message::NO_SUCH_TABLE),
            ErrorKind::NoSuchInstance => Self::new(ErrorCode::AuthFailed, message::NO_SUCH_INSTANCE),
            ErrorKind::IsIndex(name) => Self::parameter(format!(
                "'{name}' is a secondary index, which is only read; use the table that it belongs to."
            )),
            ErrorKind::IndexBuilding => Self::parameter(message::INDEX_BUILDING),
            ErrorKind::TableExists => Self::new(ErrorCode::ObjectAlreadyExist, message::TABLE_EXISTS),
            ErrorKind::Exists => Self::new(ErrorCode::ObjectAlreadyExist, chain),
            ErrorKind::NotFound => Self::new(ErrorCode::ObjectNotExist, chain),
            ErrorKind::QuotaExhausted => Self::new(ErrorCode::QuotaExhausted, message::TABLES_QUOTA),
            ErrorKind::RowTooLarge => Self::new(ErrorCode::OutOfRowSizeLimit, chain),
            ErrorKind::AtReserve => Self::internal(
                ErrorCode::ServerUnavailable,
                "The disk is at its reserve of free space; make room, then write again.",
                chain,
            ),
            // A read found no answer; a write that ends here was not handed to a committer either.
            ErrorKind::Unavailable if matches!(error, lakeferry_store::Error::Read(_)) => {
                Self::internal(ErrorCode::ServerUnavailable, message::SERVER_UNAVAILABLE, chain)
            }
            // Nothing was handed to a committer, so SDKs may send it again, increments too.
            ErrorKind::Unavailable => Self::internal(ErrorCode::ServerBusy, message::SERVER_BUSY, chain),
            // No SDK sends a write again after this.
            ErrorKind::Unknown => Self::internal(ErrorCode::Timeout, message::TIMEOUT, chain),
            ErrorKind::Corrupt => Self::internal(ErrorCode::InternalServerError, message::INTERNAL, chain),
        }
    }
}

impl From<lakeferry_delivery::Error> for ApiError {
    fn from(error: lakeferry_delivery::Error) -> Self {
        use lakeferry_delivery::ErrorKind;
        let error = match error {
            lakeferry_delivery::Error::Invalid(violation) => return violation.into(),
            lakeferry_delivery::Error::Store(error) => return error.into(),
            error => error,
        };
        let told = chain(&error);
        match error.kind() {
            ErrorKind::Invalid => Self::parameter(told),
            ErrorKind::NotFound => Self::new(ErrorCode::ObjectNotExist, told),
            ErrorKind::Exists => Self::new(ErrorCode::ObjectAlreadyExist, told),
            // No SDK sends it again by itself; the message says when it helps.
            ErrorKind::Initializing => Self::new(ErrorCode::OperationConflict, told),
            ErrorKind::Unavailable => Self::internal(ErrorCode::ServerBusy, message::SERVER_BUSY, told),
            ErrorKind::Unknown => Self::internal(ErrorCode::Timeout, message::TIMEOUT, told),
            ErrorKind::Corrupt => Self::internal(ErrorCode::InternalServerError, message::INTERNAL, told),
        }
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
