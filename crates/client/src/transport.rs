//! Signs a request, sends it, and checks the answer: everything that all calls have in common.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lakeferry_model::{Clock, SystemClock};
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;
use lakeferry_wire::sign::{self, SigningKey};
use lakeferry_wire::{compress, headers};
use prost::Message;

use crate::config::{ClientConfig, Signature};
use crate::error::{Error, ServiceError};
use crate::retry::{self, Backoff, Effect};
use crate::tls::{self, Connector};

/// The longest answer that is taken, in bytes; a page of rows is a few MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Calls one instance of one endpoint. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    /// The endpoint without a slash at its end.
    base: String,
    http: HttpClient<Connector, Full<Bytes>>,
    clock: Arc<dyn Clock>,
}

/// A request's body with its digest, so that a body that is sent often is digested once.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Bytes,
    md5: String,
    /// Its length before it was compressed, if it was.
    inflated_bytes: Option<usize>,
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let md5 = sign::content_md5(&bytes);
        Self { bytes, md5, inflated_bytes: None }
    }
}

impl Body {
    /// The body to be sent compressed, for servers that take it so.
    pub fn deflated(bytes: &[u8]) -> Self {
        let inflated_bytes = Some(bytes.len());
        Self { inflated_bytes, ..Self::from(Bytes::from(compress::deflate(bytes))) }
    }
}

/// An answer whose signature was checked.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request_id: String,
    pub(crate) body: Bytes,
}

/// One request as all its attempts send it.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Body,
    pub(crate) effect: Effect,
    pub(crate) dialect: Dialect,
}

/// What bodies are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The protocol's messages.
    Protocol,
    /// JSON.
    Json,
}

impl Client {
    /// A client with no connection yet. The first call makes one.
    ///
    /// # Errors
    /// The endpoint is malformed, or TLS cannot be set up for it.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        Self::with_clock(config, SystemClock::shared())
    }

    /// A client that takes the time of day from `clock`.
    ///
    /// # Errors
    /// The endpoint is malformed, or TLS cannot be set up for it.
    pub fn with_clock(config: ClientConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let base = check_endpoint(&config.endpoint)?;
        let connector = tls::connector(base.starts_with("https"), &config.tls_roots)
            .map_err(|source| Error::Tls { endpoint: config.endpoint.clone(), source })?;
        let http = HttpClient::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { inner: Arc::new(Inner { config, base, http, clock }) })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Sends a message and takes the answer's.
    ///
    /// # Errors
    /// See [`Error`]; failed attempts have been repeated where that is safe.
    pub async fn call<Answer: Message + Default>(
        &self,
        operation: Operation,
        request: &impl Message,
    ) -> Result<Answer, Error> {
        self.call_with_id(operation, request).await.map(|(answer, _)| answer)
    }

    /// Sends a body that was encoded before, and gives the answer's body as it came.
    ///
    /// # Errors
    /// See [`Error`]; failed attempts have been repeated where that is safe.
    pub async fn call_raw(&self, operation: Operation, body: impl Into<Body>) -> Result<Bytes, Error> {
        self.exchange(operation, body.into()).await.map(|answer| answer.body)
    }

    /// Whether somebody at the endpoint says that it is well. Asks once, unsigned.
    pub async fn is_healthy(&self) -> bool {
        let Ok(uri) = format!("{}/health", self.inner.base).parse::<Uri>() else { return false };
        let answer = tokio::time::timeout(self.inner.config.attempt_time_max, self.inner.http.get(uri)).await;
        matches!(answer, Ok(Ok(response)) if response.status() == StatusCode::OK)
    }

    pub(crate) async fn call_with_id<A: Message + Default>(
        &self,
        operation: Operation,
        request: &impl Message,
    ) -> Result<(A, String), Error> {
        let body = self.pack(request.encode_to_vec());
        let answer = self.exchange(operation, body).await?;
        let message = A::decode(answer.body).map_err(|error| Error::malformed(operation, error))?;
        Ok((message, answer.request_id))
    }

    /// The body as it is to be sent.
    fn pack(&self, bytes: Vec<u8>) -> Body {
        match self.inner.config.compress_requests_from {
            Some(bytes_min) if bytes.len() >= bytes_min => Body::deflated(&bytes),
            _ => Bytes::from(bytes).into(),
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.inner.config.retry_time_max)
    }

    async fn exchange(&self, operation: Operation, body: Body) -> Result<Answer, Error> {
        let call = Call {
            method: Method::POST,
            path: operation.path(),
            body,
            effect: Effect::of(operation),
            dialect: Dialect::Protocol,
        };
        self.send(&call, Backoff::of(operation, self.inner.config.retry_time_max)).await
    }

    /// Sends a call until it succeeds, fails for good, or its time is used up.
    pub(crate) async fn send(&self, call: &Call<'_>, mut backoff: Backoff) -> Result<Answer, Error> {
        loop {
            let started = Instant::now();
            let error = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) if !retry::may_repeat(&error, call.effect) => return Err(error),
                Err(error) => error,
            };
            backoff.spend(started.elapsed());
            let Some(pause) = backoff.next() else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let waited = self.inner.config.attempt_time_max;
        match tokio::time::timeout(waited, self.attempt_patiently(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::NoAnswer { endpoint: self.inner.config.endpoint.clone(), waited }),
        }
    }

    async fn attempt_patiently(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let endpoint = || self.inner.config.endpoint.clone();
        let (request, key) = self.sign(call)?;
        let response = self.inner.http.request(request).await.map_err(|source| {
            if source.is_connect() {
                Error::Connect { endpoint: endpoint(), source }
            } else {
                Error::Exchange { endpoint: endpoint(), source: source.into() }
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| Error::Exchange { endpoint: endpoint(), source })?.to_bytes();
        let received = Received { call, key: &key, status: head.status, headers: &head.headers, body };
        self.check(&received)
    }

    pub(crate) fn sign(&self, call: &Call<'_>) -> Result<(Request<Full<Bytes>>, SigningKey), Error> {
        let Inner { config, base, clock, .. } = &*self.inner;
        let now = clock.now_micros();
        let date = headers::format_date(now);
        let sign_date = headers::format_sign_date(now);
        let secret = config.access_key_secret.reveal();
        let mut signed = vec![
            (headers::DATE, date.as_str()),
            (headers::APIVERSION, headers::API_VERSION),
            (headers::ACCESS_KEY_ID, &config.access_key_id),
            (headers::CONTENT_MD5, &call.body.md5),
        ];
        if !config.instance.is_empty() {
            signed.push((headers::INSTANCE_NAME, &config.instance));
        }
        if let Some(token) = &config.security_token {
            signed.push((headers::STS_TOKEN, token.reveal()));
        }
        let inflated_bytes = call.body.inflated_bytes.map(|bytes| bytes.to_string());
        if let Some(bytes) = &inflated_bytes {
            signed.extend([
                (headers::REQUEST_COMPRESS_TYPE, headers::DEFLATE),
                (headers::REQUEST_COMPRESS_SIZE, bytes),
            ]);
        }
        if config.compress_answers {
            signed.push((headers::RESPONSE_COMPRESS_TYPE, headers::DEFLATE));
        }
        let key = match &config.signature {
            Signature::V2 => SigningKey::v2(secret),
            Signature::V4 { region } => {
                signed.extend([(headers::SIGN_DATE, sign_date.as_str()), (headers::SIGN_REGION, region)]);
                SigningKey::v4(secret, &sign_date, region)
            }
        };
        let to_sign = sign::string_to_sign(call.method.as_str(), call.path, "", &signed);
        let signature = key.sign_request(&to_sign);
        signed.push((key.header(), &signature));

        let mut request = Request::builder().method(&call.method).uri(format!("{base}{}", call.path));
        for (name, value) in signed {
            request = request.header(name, value);
        }
        if call.dialect == Dialect::Json {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        Ok((request.body(Full::new(call.body.bytes.clone()))?, key))
    }

    /// Decides what an answer is: a success, an error, or not the server's at all.
    fn check(&self, received: &Received<'_>) -> Result<Answer, Error> {
        let request_id = received.header(headers::REQUEST_ID).unwrap_or_default().to_owned();
        let trusted = received.check_origin(&self.inner.config.access_key_id, self.inner.clock.now_micros());
        let untrusted = |reason| Error::Untrusted { request_id: request_id.clone(), reason };
        if received.status.is_success() {
            let body = trusted.map_err(untrusted)?;
            return Ok(Answer { request_id, body });
        }
        let error = received.service_error(trusted.as_ref().unwrap_or(&received.body), &request_id);
        // Whoever does not know our key cannot sign for it, and an answer from before the key was looked up
        // carries no signature. But one that is there has to be right.
        let is_signed = received.header(headers::AUTHORIZATION).is_some();
        if is_signed && error.code() != Some(ErrorCode::AuthFailed) {
            trusted.map_err(untrusted)?;
        }
        Err(error.into())
    }
}

/// An answer nobody has checked yet.
struct Received<'a> {
    call: &'a Call<'a>,
    key: &'a SigningKey,
    status: StatusCode,
    headers: &'a HeaderMap,
    body: Bytes,
}

impl Received<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer's body, if it was signed for this call by who knows the key.
    fn check_origin(&self, access_key_id: &str, now: lakeferry_model::Micros) -> Result<Bytes, &'static str> {
        let body = self.checked_body()?;
        let date = self.header(headers::DATE).and_then(headers::parse_date).ok_or("it has no date")?;
        self.header(headers::CONTENT_TYPE).ok_or("it has no content type")?;
        let authorization = self.header(headers::AUTHORIZATION).ok_or("it is not signed")?;
        if now.abs_diff(date) > sign::SKEW_MAX.unsigned_abs() {
            return Err("its date is more than 15 minutes away");
        }
        let (id, signature) = sign::parse_authorization(authorization).ok_or("its signature is malformed")?;
        let all: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        if id != access_key_id || !self.key.verifies_response(self.call.path, &all, signature) {
            return Err("its signature does not match");
        }
        Ok(body)
    }

    /// The body, decompressed, if it is the one that its digest is of.
    fn checked_body(&self) -> Result<Bytes, &'static str> {
        let md5 = self.header(headers::CONTENT_MD5).ok_or("it has no digest")?;
        let is_digested = |body: &[u8]| md5 == sign::content_md5(body);
        let Some(kind) = self.header(headers::RESPONSE_COMPRESS_TYPE) else {
            let body = Some(self.body.clone()).filter(|body| is_digested(body));
            return body.ok_or("its body does not match its digest");
        };
        let length = self.header(headers::RESPONSE_COMPRESS_SIZE).and_then(|size| size.parse().ok());
        let length = length.filter(|length| kind == headers::DEFLATE && *length <= ANSWER_BYTES_MAX);
        let length = length.ok_or("its compression is malformed")?;
        let body = compress::inflate(&self.body, length).ok().filter(|body| body.len() == length);
        let body = body.ok_or("its body cannot be inflated")?;
        // Servers differ on which of the two the digest is of; the signature covers it in any case.
        if is_digested(&body) || is_digested(&self.body) {
            Ok(body.into())
        } else {
            Err("its body does not match its digest")
        }
    }

    fn service_error(&self, body: &Bytes, request_id: &str) -> ServiceError {
        let (code, message) = match self.call.dialect {
            Dialect::Protocol => protocol_error(body),
            Dialect::Json => crate::json::error(body),
        }
        .unwrap_or_else(|| {
            (format!("HTTP {}", self.status.as_u16()), "the answer holds no error".to_owned())
        });
        ServiceError { status: self.status.as_u16(), code, message, request_id: request_id.to_owned() }
    }
}

fn protocol_error(body: &Bytes) -> Option<(String, String)> {
    let error = proto::Error::decode(body.clone()).ok().filter(|error| !error.code.is_empty())?;
    Some((error.code, error.message.unwrap_or_default()))
}

/// Gives the endpoint without a slash at its end.
fn check_endpoint(endpoint: &str) -> Result<String, Error> {
    let invalid = |reason| Error::Endpoint { endpoint: endpoint.to_owned(), reason };
    let uri: Uri = endpoint.parse().map_err(|_| invalid("it is no URL"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(invalid("it must begin with http:// or https://")),
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(invalid("it must end after host and port"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}
