//! HTTP towards stores, and towards those that hand out credentials: one client library for all of them, the one
//! that `object_store` brings.
//!
//! Names below `.localhost` are this computer, whatever its resolver says (RFC 6761): stores that put the bucket
//! before the host can be run on the loopback address.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use lakeferry_model::RemoteBucket;
use object_store::client::ReqwestConnector;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use std::time::Duration;

use super::BucketLimits;
use super::error::BucketError;

/// How the store of that bucket is connected to.
pub(super) fn options(remote: &RemoteBucket, limits: &BucketLimits) -> Result<ClientOptions, BucketError> {
    let plain_http = remote.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_allow_http(plain_http)
        .with_connect_timeout(limits.connect)
        // Every call is bounded from outside, by its size.
        .with_timeout_disabled();
    if let Some(path) = &remote.ca_file {
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("the certificates in `{}` cannot be read", path.display());
            BucketError::lasting_from(what, error)
        };
        let pem = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(error.into()))?;
        if certificates.is_empty() {
            return Err(unreadable("there is none".into()));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// The delivery loop decides on retries; these only smooth over a connection that was cut.
pub(super) fn brief_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(3),
    }
}

/// A client that sends requests as they are.
#[derive(Debug, Clone)]
pub(super) struct Client(HttpClient);

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) fn new(options: &ClientOptions) -> Result<Self, BucketError> {
        let client = Connector.connect(options);
        client.map(Self).map_err(|error| BucketError::lasting_from("no client can be made".to_owned(), error))
    }

    /// Sends a request, and reads the first words of the answer.
    pub(super) async fn begin(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.execute(request).await
    }

    /// Sends a request, and reads the answer to its end.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<Reply, HttpError> {
        let (parts, body) = self.begin(request).await?.into_parts();
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.bytes().await? })
    }
}

/// Makes clients that find names below `.localhost`.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Localhost(client)))
    }
}

#[derive(Debug)]
struct Localhost(HttpClient);

#[async_trait]
impl HttpService for Localhost {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some((uri, host)) = on_this_computer(request.uri()) {
            *request.uri_mut() = uri;
            request.headers_mut().insert(http::header::HOST, host);
        }
        self.0.execute(request).await
    }
}

/// The address of a name below `.localhost`, and the name for the header that tells it. Without TLS alone, whose
/// certificates are for names.
fn on_this_computer(uri: &Uri) -> Option<(Uri, HeaderValue)> {
    let authority = uri.authority()?;
    if uri.scheme_str() != Some("http") || !authority.host().ends_with(".localhost") {
        return None;
    }
    let host = HeaderValue::from_str(authority.as_str()).ok()?;
    let address = authority.port().map_or_else(|| "127.0.0.1".to_owned(), |port| format!("127.0.0.1:{port}"));
    let mut parts = uri.clone().into_parts();
    parts.authority = address.parse().ok();
    Some((Uri::from_parts(parts).ok()?, host))
}

impl Reply {
    /// The body as text, as far as it is text.
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for Reply {
    /// The first words of the answer, for whoever looks for the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(400).collect();
        write!(f, "{} {}", self.status, text.trim())
    }
}

/// A request with a body.
pub(super) fn request(request: Request<Bytes>) -> HttpRequest {
    request.map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_computer() {
        let uri: Uri = "http://lake.localhost:81/a?b".parse().unwrap();
        let (there, host) = on_this_computer(&uri).unwrap();
        assert_eq!(
            (there.to_string().as_str(), host.to_str().unwrap()),
            ("http://127.0.0.1:81/a?b", "lake.localhost:81")
        );
        for other in ["http://lake.localhost.example/a", "https://lake.localhost/a", "http://10.0.0.1/a"] {
            assert_eq!(on_this_computer(&other.parse().unwrap()), None, "{other}");
        }
    }
}
