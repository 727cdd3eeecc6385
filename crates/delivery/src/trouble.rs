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
            BucketError::Missing { .. } => {
                Self::InvalidBucket(format!("{text}; make the bucket, and delivery goes on by itself"))
            }
            BucketError::Denied { .. } => Self::Unauthorized(format!(
                "{text}; let the bucket's key or role read, list, write and delete, and delivery goes on by itself"
            )),
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

/// The code's name in the protocol, or in its style.
pub(crate) fn code_name(code: TaskError) -> &'static str {
    match code {
        TaskError::Ok => "OK",
        TaskError::Unauthorized => "UNAUTHORIZED",
        TaskError::InvalidOssBucket => "INVALID_OSS_BUCKET",
        TaskError::TooManyDirtyFields => "TOO_MANY_DIRTY_FIELDS",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_mend_says_what_to_do_and_has_the_protocols_code() {
        let bucket = BucketName::parse("lake").unwrap();
        let what = || "cannot write `p/x`".to_owned();
        let missing = Trouble::of_bucket(&bucket, &BucketError::Missing { what: what(), source: None });
        assert_eq!(missing.code(), TaskError::InvalidOssBucket);
        assert!(missing.text().contains("make the bucket"), "{}", missing.text());
        let denied = Trouble::of_bucket(&bucket, &BucketError::Denied { what: what(), source: None });
        assert_eq!(denied.code(), TaskError::Unauthorized);
        assert!(denied.text().contains("key or role"), "{}", denied.text());
        let other = BucketError::Other { what: what(), retryable: true, source: None };
        assert_eq!(Trouble::of_bucket(&bucket, &other).code(), TaskError::Ok);
    }
}
