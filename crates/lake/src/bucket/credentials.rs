//! Who the service is towards a store: what is asked when credentials are missing, expired or refused.
//!
//! Keys of the bucket table are used as they are. Others come from the process's environment or from the computer
//! (instance, container, managed identity); a role may be assumed with either. What expires is fetched again
//! before it does, also in the middle of an upload: every request asks anew.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;

use super::answer::{Refusal, answer, refusal};
use super::error::BucketError;

/// Credentials of a library, with errors that say where they were looked for.
pub(super) struct Told<C> {
    inner: Arc<dyn CredentialProvider<Credential = C>>,
    place: &'static str,
}

impl<C> Told<C> {
    pub(super) fn new(inner: Arc<dyn CredentialProvider<Credential = C>>, place: &'static str) -> Self {
        Self { inner, place }
    }
}

impl<C> fmt::Debug for Told<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("place", &self.place).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Send + Sync> CredentialProvider for Told<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        self.inner.get_credential().await.map_err(|error| {
            let place = self.place;
            if refusal(&error).is_some() {
                return error;
            }
            match answer(&error) {
                Some(answer) if matches!(answer.status, 400..=499) && !matches!(answer.status, 408 | 429) => {
                    let text = format!("{place} gives no credentials: it answers {}", answer.status);
                    refused(text)
                }
                _ => failed(format!("{place} cannot be reached for credentials"), error),
            }
        })
    }
}

/// An error that a person must mend.
pub(super) fn refused(text: String) -> object_store::Error {
    object_store::Error::Generic { store: "credentials", source: Box::new(Refusal { text }) }
}

/// An error that may pass by itself.
pub(super) fn failed(
    text: String,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> object_store::Error {
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Unreachable {
        text: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    }
    let source = Unreachable { text, source: source.into() };
    object_store::Error::Generic { store: "credentials", source: Box::new(source) }
}

/// An entry from which nobody can tell who the service is.
pub(super) fn nobody(bucket: &str, missing: &str) -> BucketError {
    BucketError::denied(format!("there are no credentials for bucket `{bucket}`: {missing}"))
}
