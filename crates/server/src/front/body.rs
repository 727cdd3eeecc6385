//! Reads bodies under a budget of bytes held at once, and compares their digest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use lakeferry_model::limits::REQUEST_BYTES_MAX;
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::sign::SignedRequest;
use lakeferry_wire::{compress, headers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::shared::Shared;

/// Bytes of a refused body that are read on, and how long that may take.
const DRAIN_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// The bytes of bodies that may be held at once, in KiB.
#[derive(Debug, Clone)]
pub struct BodyBudget {
    free: Arc<Semaphore>,
    kib_max: u32,
}

/// A body, and its place in the budget.
pub struct HeldBody {
    /// The body, decompressed.
    pub bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl BodyBudget {
    /// A budget of that many MiB.
    pub fn new(mib: u64) -> Self {
        let kib_max = u32::try_from(mib.saturating_mul(1024)).unwrap_or(u32::MAX);
        // More permits than a semaphore of a small computer takes are as many as it can count.
        let permits =
            usize::try_from(kib_max).map_or(Semaphore::MAX_PERMITS, |kib| kib.min(Semaphore::MAX_PERMITS));
        Self { free: Arc::new(Semaphore::new(permits)), kib_max }
    }

    /// Holds so many bytes of it, as soon as there are; for more than it has, all of it.
    ///
    /// # Errors
    /// If there are not until the deadline.
    pub async fn hold(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(self.kib_max);
        match tokio::time::timeout_at(deadline.into(), self.free.clone().acquire_many_owned(kib)).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nothing was handed to a committer yet: the caller may send it again.
            Ok(Err(_)) | Err(_) => Err(ApiError::new(ErrorCode::ServerBusy, message::SERVER_BUSY)),
        }
    }
}

/// Reads the body, at most [`REQUEST_BYTES_MAX`] long before and after decompression.
///
/// # Errors
/// If it is longer, its digest is another, it does not arrive in time, or it does not decompress.
pub async fn read(
    shared: &Shared,
    body: &mut Body,
    request_headers: &HeaderMap,
    signed: &SignedRequest<'_>,
    deadline: Instant,
) -> Result<HeldBody, ApiError> {
    let too_large = || ApiError::new(ErrorCode::RequestBodyTooLarge, message::BODY_TOO_LARGE);
    let announced = |name| request_headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    let length: Option<usize> = announced(http::header::CONTENT_LENGTH.as_str());
    let compressed = signed.header(headers::REQUEST_COMPRESS_TYPE);
    let inflated: Option<usize> = announced(headers::REQUEST_COMPRESS_SIZE);
    // A body of unknown length may turn out to be the largest one.
    let expected = length.unwrap_or(REQUEST_BYTES_MAX).max(inflated.unwrap_or(0));
    if expected > REQUEST_BYTES_MAX {
        return Err(too_large());
    }
    let held = shared.bodies.hold(expected, deadline).await?;
    let bytes = tokio::time::timeout_at(deadline.into(), collect(body, length.unwrap_or(0)))
        .await
        .map_err(|_| ApiError::new(ErrorCode::RequestTimeout, message::REQUEST_TIMEOUT))??;
    signed.check_body(&bytes)?;
    let bytes = match compressed {
        None => bytes,
        Some(headers::DEFLATE) => {
            let inflated = inflated.ok_or_else(|| {
                ApiError::parameter(format!("Missing header: '{}'.", headers::REQUEST_COMPRESS_SIZE))
            })?;
            compress::inflate(&bytes, inflated).map_err(ApiError::malformed)?.into()
        }
        Some(other) => return Err(ApiError::parameter(format!("Unsupported compress type: '{other}'."))),
    };
    Ok(HeldBody { bytes, _held: held })
}

/// Reads on what is left of a refused request's body and forgets it, within bounds. A caller that is still
/// sending when the connection closes might never see the answer.
pub async fn drain(body: &mut Body) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it was all does not matter.
    _ = tokio::time::timeout(DRAIN_WITHIN, all).await;
}

async fn collect(body: &mut Body, expected: usize) -> Result<Bytes, ApiError> {
    let broken = |error: axum::Error| ApiError::malformed(format!("the body broke off: {error}"));
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(ApiError::new(ErrorCode::RequestBodyTooLarge, message::BODY_TOO_LARGE));
        }
        // A body that comes in one piece, as small ones do, is not copied.
        if whole.is_empty() && data.len() == expected {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(expected);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_budget_answers_busy_until_something_is_given_back() {
        let budget = BodyBudget::new(1);
        let now = Instant::now();
        let held = budget.hold(1 << 20, now).await.unwrap();
        let error = budget.hold(1, now).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ServerBusy);
        drop(held);
        assert!(budget.hold(2 << 20, now).await.is_ok(), "more than all is all");
    }
}
