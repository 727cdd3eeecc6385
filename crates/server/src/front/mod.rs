//! The door: every request of the protocol passes here, in this order.
//!
//! 1. [`auth`]: headers, clock skew, access key, signature, instance. Nothing of the body is read.
//! 2. [`body`]: the body is read under the budget of bytes held at once, and its digest compared.
//! 3. The operation takes [`room`] if its answer may be large, decodes the body, does it, and encodes the answer. It
//!    runs on a task of its own: a caller that goes away does not stop a write that is under way.
//! 4. [`answer`]: the answer gets its headers and its signature.
//!
//! An error at any step becomes the protocol's error body under its HTTP status.

pub mod answer;
pub mod auth;
pub mod body;
mod room;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::headers;
use lakeferry_wire::operation::{Group, Operation, Support};
use prost::Message;
use uuid::Uuid;

use crate::error::ApiError;
use crate::operation;
use crate::shared::Shared;
use answer::Signer;
use room::{HeldAnswer, Room};

/// How much longer than to its deadline an operation is waited for: whoever keeps deadlines knows better what
/// has become of the request.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);

/// What requests are counted as that are of no operation or path.
pub const UNKNOWN: &str = "unknown";

/// Answers a request of the protocol.
pub async fn protocol(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let request_id = Uuid::new_v4();
    let begun = Instant::now();
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path();
    let compress = parts
        .headers
        .get(headers::RESPONSE_COMPRESS_TYPE)
        .is_some_and(|value| value.as_bytes() == headers::DEFLATE.as_bytes());
    let mut signer = None;
    let outcome = serve(&shared, &parts, &mut body, request_id, &mut signer).await;
    let outcome = outcome.map_err(|error| as_group_tells(error, path));
    if let Err(error) = &outcome {
        body::drain(&mut body).await;
        shared.metrics.count_error(error.code);
        if let Some(internal) = &error.internal {
            tracing::warn!(%request_id, path, code = error.code.as_str(), "{internal}");
        }
    }
    let now = shared.clock().now_micros();
    let response = answer::response(outcome, request_id, path, signer.as_ref(), compress, now);
    let operation = Operation::from_path(path).map_or(UNKNOWN, Operation::name);
    shared.metrics.count_request(operation, response.status().as_u16(), begun.elapsed());
    response
}

async fn serve(
    shared: &Arc<Shared>,
    parts: &Parts,
    body: &mut Body,
    request_id: Uuid,
    signer: &mut Option<Signer>,
) -> Result<HeldAnswer, ApiError> {
    if parts.method != Method::POST {
        return Err(ApiError::new(
            ErrorCode::MethodNotAllowed,
            "The protocol's operations are called by POST; the console's pages come later.",
        ));
    }
    let signed = auth::signed_request(parts)?;
    let caller = auth::authenticate(shared, &signed, signer)?;
    let instance = auth::instance(shared, &signed, &caller).await?;
    let deadline = Instant::now() + Duration::from_secs(shared.settings.request_s_max);
    let body = body::read(shared, body, &parts.headers, &signed, deadline).await?;
    let path = parts.uri.path();
    let operation = Operation::from_path(path).ok_or_else(|| {
        let name = path.trim_start_matches('/');
        ApiError::new(ErrorCode::UnsupportedOperation, format!("There is no operation '{name}'."))
    })?;
    match operation.support() {
        Support::Refused(_) => {
            let refusal = operation.refusal().unwrap_or_default();
            return Err(ApiError::new(ErrorCode::UnsupportedOperation, refusal));
        }
        Support::AnswersEmpty => return Ok(Bytes::new().into()),
        Support::Served => {}
    }
    let call =
        operation::Call { request_id, shared: shared.clone(), instance, deadline, body: body.bytes.clone() };
    let answers = shared.answers.clone();
    let task = tokio::spawn(async move {
        let room = Room::expect(&answers, operation, deadline).await?;
        let answer = operation::answer(operation, call).await;
        // The bytes of the request count against the budget until its work is done.
        drop(body);
        room.keep(answer?, deadline).await
    });
    match tokio::time::timeout_at((deadline + DEADLINE_GRACE).into(), task).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => {
            let internal = format!("{operation} panicked: {panic}");
            Err(ApiError::internal(ErrorCode::InternalServerError, message::INTERNAL, internal))
        }
        // It goes on; only its caller does not wait for it.
        Err(_) => Err(overdue(operation)),
    }
}

/// The answer while the operation goes on: whether a write will be done is not known.
fn overdue(operation: Operation) -> ApiError {
    if operation.is_idempotent() {
        ApiError::new(ErrorCode::ServerUnavailable, message::SERVER_UNAVAILABLE)
    } else {
        ApiError::new(ErrorCode::Timeout, message::TIMEOUT)
    }
}

/// What clients of the operation's group know the error as. Those of tunnels have a code of their own for what may
/// be sent again, and give up on others.
fn as_group_tells(error: ApiError, path: &str) -> ApiError {
    let is_tunnel = || Operation::from_path(path).is_some_and(|operation| operation.group() == Group::Tunnel);
    match error.code {
        // Nothing was written; where that is not known, the code is another.
        ErrorCode::ServerBusy | ErrorCode::ServerUnavailable if is_tunnel() => {
            ApiError { code: ErrorCode::TunnelServerUnavailable, ..error }
        }
        _ => error,
    }
}

/// The protocol's error body.
pub fn error_body(error: &ApiError) -> Bytes {
    error.to_message().encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tunnels_have_the_code_that_their_clients_send_again_for() {
        let told = |code, path| as_group_tells(ApiError::new(code, ""), path).code;
        for code in [ErrorCode::ServerBusy, ErrorCode::ServerUnavailable] {
            assert_eq!(told(code, "/tunnel/checkpoint"), ErrorCode::TunnelServerUnavailable);
            assert_eq!(told(code, "/GetRow"), code);
        }
        assert_eq!(told(ErrorCode::Timeout, "/tunnel/checkpoint"), ErrorCode::Timeout, "it may be written");
    }

    #[test]
    fn a_write_past_its_deadline_answers_timeout_and_a_read_unavailable() {
        for write in [Operation::PutRow, Operation::BatchWriteRow, Operation::TunnelCheckpoint] {
            assert_eq!(overdue(write).code, ErrorCode::Timeout);
        }
        for read in [Operation::GetRow, Operation::GetRange, Operation::BulkExport] {
            assert_eq!(overdue(read).code, ErrorCode::ServerUnavailable);
        }
    }

    #[test]
    fn errors_of_tunnels_carry_no_third_field() {
        let error = ApiError::new(ErrorCode::TunnelServerUnavailable, message::SERVER_BUSY);
        let body = lakeferry_wire::proto::Error::decode(error_body(&error)).unwrap();
        assert_eq!(body.access_denied_detail, None);
    }
}
