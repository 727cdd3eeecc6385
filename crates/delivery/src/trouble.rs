//! What keeps a task from delivering, and what is done about it: the one place that decides.
//!
//! Nothing is ever skipped: every trouble is tried again, with a growing wait, until it is gone or the task is
//! deleted; but for too many dirty fields, which only an update of the task changes. The kinds differ in what the
//! status says, and so in what a person should do.

use lakeferry_lake::BucketError;
use lakeferry_model::BucketName;
use lakeferry_model::delivery::TaskError;

/// Why a task cannot go on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The role is missing, or the store denies access.
    Unauthorized(String),
    /// There is no such bucket, or it is not the one that the task means.
    InvalidBucket(String),
    /// More fields are dirty than the task may leave out.
    TooDirty(String),
    /// Anything else.
    Other(String),
}

impl Trouble {
    /// What a bucket's error means for a task.
    pub(crate) fn of_bucket(bucket: &BucketName, error: &BucketError) -> Self {
        let text = format!("bucket '{bucket}': {}", error.in_full());
        match error {
            BucketError::Missing { .. } => Self::InvalidBucket(text),
            BucketError::Denied { .. } => Self::Unauthorized(text),
            BucketError::Other { .. } => Self::Other(text),
        }
    }

    /// Anything that failed on our own side.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Other(chain(error))
    }

    /// The protocol's code.
    pub(crate) fn code(&self) -> TaskError {
        match self {
            Self::Unauthorized(_) => TaskError::Unauthorized,
            Self::InvalidBucket(_) => TaskError::InvalidOssBucket,
            Self::TooDirty(_) => TaskError::TooManyDirtyFields,
            Self::Other(_) => TaskError::Ok,
        }
    }

    /// The sentence for the status.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Unauthorized(text)
            | Self::InvalidBucket(text)
            | Self::TooDirty(text)
            | Self::Other(text) => text,
        }
    }
}

/// An error with all its causes, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
