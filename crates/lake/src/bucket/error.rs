//! What can be wrong with a bucket, by what has to be done about it.

use std::error::Error as StdError;
use std::time::Duration;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// Why a call on a bucket failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The store itself says that there is no such bucket, or the directory is missing in its place.
    #[error("{what}")]
    Missing {
        /// What is missing where.
        what: String,
        /// What the store said.
        source: Option<Source>,
    },
    /// The store denies access.
    #[error("{what}")]
    Denied {
        /// What is denied.
        what: String,
        /// What the store said.
        source: Option<Source>,
    },
    /// Anything else: unreachable, out of time, out of space. What the call did is unknown.
    #[error("{what}")]
    Other {
        /// What failed.
        what: String,
        /// Whether the same call may succeed later without a person's help.
        retryable: bool,
        /// What the store said.
        source: Option<Source>,
    },
}

impl BucketError {
    /// Whether the store says that there is no such bucket.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether the store denies access.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// The error with its causes, for a sentence that a person reads.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // The stores' libraries paste their causes into their own messages.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        text
    }

    pub(crate) fn missing(what: String) -> Self {
        Self::Missing { what, source: None }
    }

    pub(crate) fn denied(what: String) -> Self {
        Self::Denied { what, source: None }
    }

    pub(crate) fn lasting(what: String) -> Self {
        Self::Other { what, retryable: false, source: None }
    }

    pub(crate) fn lasting_from(what: String, source: impl Into<Source>) -> Self {
        Self::Other { what, retryable: false, source: Some(source.into()) }
    }

    pub(crate) fn passing(what: String) -> Self {
        Self::Other { what, retryable: true, source: None }
    }

    pub(crate) fn passing_from(what: String, source: impl Into<Source>) -> Self {
        Self::Other { what, retryable: true, source: Some(source.into()) }
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::passing(format!("the store has not answered within {} s", limit.as_secs_f32()))
    }
}
