//! What can become of a call that did not succeed.

use std::fmt;
use std::time::Duration;

use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::proto;

use crate::tls::TlsError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is none that can be called.
    #[error("invalid endpoint `{endpoint}`: {reason}")]
    Endpoint {
        /// The endpoint as configured.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The endpoint is to be called through TLS, and that cannot be set up.
    #[error("prepare tls for {endpoint}")]
    Tls {
        /// The endpoint as configured.
        endpoint: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The call cannot be put into a request.
    #[error("build request")]
    Request(#[from] http::Error),
    /// The server answered with an error.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// No connection came about; nothing was sent.
    #[error("connect to {endpoint}")]
    Connect {
        /// The endpoint as configured.
        endpoint: String,
        /// What the network said.
        source: hyper_util::client::legacy::Error,
    },
    /// The connection broke. Whether the server acted is unknown.
    #[error("exchange with {endpoint}")]
    Exchange {
        /// The endpoint as configured.
        endpoint: String,
        /// What the network said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came in time. Whether the server acted is unknown.
    #[error("no answer from {endpoint} within {waited:?}")]
    NoAnswer {
        /// The endpoint as configured.
        endpoint: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// The answer is not the server's: a header is missing, or its digest or signature does not match.
    #[error("answer to request {request_id} cannot be trusted: {reason}")]
    Untrusted {
        /// The server's name for the request; empty if it gave none.
        request_id: String,
        /// What is wrong with the answer.
        reason: &'static str,
    },
    /// The answer is signed, but not what the protocol says.
    #[error("answer to {call} is malformed: {reason}")]
    Malformed {
        /// The call.
        call: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// An error as the server answered it, for a call or for one row of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ServiceError {
    /// The HTTP status; 200 for a row of a batch.
    pub status: u16,
    /// The code as it came.
    pub code: String,
    /// The server's words.
    pub message: String,
    /// The server's name for the request; empty if it gave none.
    pub request_id: String,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if self.request_id.is_empty() { Ok(()) } else { write!(f, " (request {})", self.request_id) }
    }
}

impl Error {
    /// The protocol's code, if the server answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Service(error) => error.code(),
            _ => None,
        }
    }

    /// The server's name for the request, if it gave one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Service(ServiceError { request_id, .. }) | Self::Untrusted { request_id, .. } => {
                Some(request_id.as_str()).filter(|id| !id.is_empty())
            }
            _ => None,
        }
    }

    /// Whether the server may have acted on the call although it failed.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Service(error) => error.status / 100 == 5 && !error.is_retried_always(),
            Self::Exchange { .. }
            | Self::NoAnswer { .. }
            | Self::Untrusted { .. }
            | Self::Malformed { .. } => true,
            Self::Endpoint { .. } | Self::Tls { .. } | Self::Request(_) | Self::Connect { .. } => false,
        }
    }

    pub(crate) fn malformed(call: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Malformed { call: call.to_string(), reason: reason.to_string() }
    }
}

impl ServiceError {
    /// The protocol's code, if it is one of those known.
    pub fn code(&self) -> Option<ErrorCode> {
        ErrorCode::parse(&self.code)
    }

    pub(crate) fn of_row(error: Option<proto::Error>, request_id: &str) -> Self {
        let error = error.unwrap_or_default();
        Self {
            status: 200,
            code: error.code,
            message: error.message.unwrap_or_default(),
            request_id: request_id.to_owned(),
        }
    }

    /// Whether some official client repeats any call that failed so: nothing was written. The Java client's codes
    /// are the common ones; Python and Go each add some.
    pub(crate) fn is_retried_always(&self) -> bool {
        self.code().is_some_and(|code| {
            let added =
                [ErrorCode::OperationConflict, ErrorCode::OperationThrottled, ErrorCode::StorageServerBusy];
            code.retried_always(&self.message) || added.contains(&code)
        })
    }
}
