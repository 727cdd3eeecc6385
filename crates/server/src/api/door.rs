//! The JSON API's door: the same checks in the same order as the protocol's, and signed answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::BodyExt;
use lakeferry_model::{AccessKey, InstanceName};
use lakeferry_wire::code::{ErrorCode, message};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::front::UNKNOWN;
use crate::front::answer::{Signer, fields, signed};
use crate::front::body::HeldBody;
use crate::front::{auth, body};
use crate::shared::Shared;

const JSON: &str = "application/json";
/// The route of paths that there are not.
pub const ANYTHING: &str = "/api/v1/{*path}";

/// A request that has passed the door.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key that signed it.
    pub key: Arc<AccessKey>,
    /// When it must be answered.
    pub deadline: Instant,
}

impl Caller {
    /// Refuses everybody but operators.
    ///
    /// # Errors
    /// If the key is an application's.
    pub fn must_operate(&self) -> Result<(), ApiError> {
        auth::operator(&self.key)
    }

    /// The instance of that name, if the key may use it and it is there.
    ///
    /// # Errors
    /// What the protocol answers to each of these.
    pub fn instance(&self, shared: &Shared, name: &str) -> Result<InstanceName, ApiError> {
        let not_found =
            || ApiError::new(ErrorCode::ObjectNotExist, format!("There is no instance '{name}'."));
        let instance = InstanceName::parse(name).map_err(|_| not_found())?;
        if !self.key.may_use(&instance) {
            return Err(ApiError::new(ErrorCode::AuthFailed, message::NO_PRIVILEGE));
        }
        if shared.store.instance_exists(&instance) { Ok(instance) } else { Err(not_found()) }
    }
}

/// Lets a request pass to its handler, and signs the handler's answer.
pub async fn pass(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let (request_id, begun) = (uuid::Uuid::new_v4(), Instant::now());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let route = match route.filter(|route| route != ANYTHING) {
        Some(route) => format!("{} {route}", request.method()),
        None => UNKNOWN.to_owned(),
    };
    let mut signer = None;
    let answer = match admit(&shared, request, &mut signer).await {
        Ok(request) => finish(next.run(request)).await,
        Err(error) => error.into_response(),
    };
    if let Some(Internal(text)) = answer.extensions().get() {
        tracing::warn!(%request_id, path, "{text}");
    }
    let status = answer.status();
    let route = if status == StatusCode::METHOD_NOT_ALLOWED { UNKNOWN } else { &route };
    shared.metrics.count_request(route, status.as_u16(), begun.elapsed());
    let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    let mut fields = fields(&body, JSON, request_id, shared.clock().now_micros());
    fields.push((http::header::CONTENT_TYPE.as_str(), JSON.to_owned()));
    signed(status, body, &fields, &path, signer.as_ref())
}

/// Lets the handler end what it has begun, also if the caller goes away.
async fn finish(handler: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(handler).await.unwrap_or_else(|panic| {
        let internal = format!("a handler of the JSON API panicked: {panic}");
        ApiError::internal(ErrorCode::InternalServerError, message::INTERNAL, internal).into_response()
    })
}

async fn admit(
    shared: &Arc<Shared>,
    request: Request,
    signer: &mut Option<Signer>,
) -> Result<Request, ApiError> {
    let (mut parts, mut body) = request.into_parts();
    let deadline = Instant::now() + Duration::from_secs(shared.settings.request_s_max);
    let admitted = check(shared, &parts, &mut body, deadline, signer).await;
    let (key, held) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            body::drain(&mut body).await;
            return Err(error);
        }
    };
    parts.extensions.insert(Caller { key, deadline });
    Ok(Request::from_parts(parts, Body::from(held.bytes)))
}

async fn check(
    shared: &Shared,
    parts: &Parts,
    body: &mut Body,
    deadline: Instant,
    signer: &mut Option<Signer>,
) -> Result<(Arc<AccessKey>, HeldBody), ApiError> {
    let signed = auth::signed_request(parts)?;
    let key = auth::authenticate(shared, &signed, signer)?;
    let held = body::read(shared, body, &parts.headers, &signed, deadline).await?;
    Ok((key, held))
}

/// The answer to a path that there is not.
pub async fn no_such_path() -> ApiError {
    ApiError::new(ErrorCode::ObjectNotExist, "There is nothing at this path.")
}

/// The answer to a method that a path does not have.
pub async fn no_such_method() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, "This path does not have that method.")
}

/// What only the log gets of an error, on its way there.
#[derive(Debug, Clone)]
struct Internal(String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(json!({
            "code": self.code.as_str(),
            "message": self.message,
            "hint": self.hint(),
        }));
        let mut response = (status, body).into_response();
        if let Some(internal) = self.internal {
            response.extensions_mut().insert(Internal(internal));
        }
        response
    }
}

/// A body that is JSON of this shape. An empty one counts as `{}`.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(ApiError::malformed)?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // A struct could be read from an array as well, field by field.
        let body: Value = serde_json::from_slice(bytes).map_err(ApiError::malformed)?;
        if !body.is_object() {
            return Err(ApiError::malformed("the body is no JSON object"));
        }
        serde_json::from_value(body).map(Self).map_err(ApiError::malformed)
    }
}
