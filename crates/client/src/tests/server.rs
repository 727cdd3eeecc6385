//! A server that plays back answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lakeferry_model::SystemClock;
use lakeferry_wire::sign::{self, SignedRequest};
use lakeferry_wire::{compress, headers};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(super) const INSTANCE: &str = "shop";
pub(super) const KEY_ID: &str = "testid";
pub(super) const SECRET: &str = "testsecret";
/// The certificate of a server that is asked through TLS: for 127.0.0.1, signed by itself.
pub(super) const CERTIFICATE: &[u8] = include_bytes!("tls/cert.pem");
const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000001";

/// Plays back its answers in order. A request that is not signed as it should be fails the test when it ends.
pub(super) struct TestServer {
    pub(super) endpoint: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

struct State {
    script: Script,
    seen: Vec<Seen>,
    connections: usize,
}

/// Where answers come from.
enum Script {
    /// They were given, one for each request.
    Answers(VecDeque<Answer>),
    /// They are made when they are asked for.
    Made(Maker),
}

/// Makes an answer of a request's path and body.
type Maker = Box<dyn FnMut(&str, Bytes) -> Answer + Send>;

/// A request that arrived, with a good signature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) signature_header: &'static str,
    pub(super) security_token: Option<String>,
    /// Whether the body was compressed; [`Self::body`] is what it was before.
    pub(super) is_deflated: bool,
}

/// What to answer, and what to do wrong about it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: u16,
    body: Bytes,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// Nothing is wrong.
    None,
    /// The body is another one than was signed.
    OtherBody,
    /// Another key signed it.
    OtherKey,
    /// It is not signed at all.
    Unsigned,
    /// It says that it is an hour old.
    Old,
    /// The connection is closed instead.
    HangUp,
    /// No answer ever comes.
    Silence,
    /// Nothing, but its body is compressed.
    Deflated,
    /// The same, and the digest is that of the bytes that travel.
    DeflatedOtherDigest,
    /// Its compressed body is another one than was signed.
    DeflatedOtherBody,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), fault: Fault::None }
    }

    pub(super) fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }
}

impl TestServer {
    /// Plays back these answers, in their order.
    pub(super) async fn playing(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(Script::Answers(answers.into_iter().collect()), None).await
    }

    /// The same, through TLS.
    pub(super) async fn playing_securely(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(Script::Answers(answers.into_iter().collect()), Some(acceptor())).await
    }

    /// Answers what `answer` makes of path and body.
    pub(super) async fn answering(answer: impl FnMut(&str, Bytes) -> Answer + Send + 'static) -> Self {
        Self::start(Script::Made(Box::new(answer)), None).await
    }

    async fn start(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { script, seen: Vec::new(), connections: 0 }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone(), tls));
        Self { endpoint, state, _tasks: tasks }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.lock().unwrap().connections += 1;
        let (state, tls) = (state.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, state).await,
                // A client that does not trust us hangs up here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, state: Arc<Mutex<State>>) {
    let service = service_fn(|request| answer(request, state.clone()));
    // A fault ends the connection in the middle; the client is what is tested.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (method, path) = (head.method.as_str(), head.uri.path());
    if path == "/health" {
        return Ok(Response::new(Full::new(Bytes::from_static(b"ok"))));
    }
    let pairs = head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signed = SignedRequest::new(method, path, head.uri.query().unwrap_or_default(), pairs);
    signed.check_date(SystemClock::shared().now_micros())?;
    signed.check_body(&body)?;
    let key = signed.verify(SECRET)?;
    assert_eq!(signed.header(headers::INSTANCE_NAME), Some(INSTANCE));
    let inflated = signed.header(headers::REQUEST_COMPRESS_SIZE).map(|size| size.parse().unwrap());
    let body = match inflated {
        Some(size) => compress::inflate(&body, size).unwrap().into(),
        None => body,
    };
    let security_token = signed.header(headers::STS_TOKEN).map(str::to_owned);
    let takes_deflated = signed.header(headers::RESPONSE_COMPRESS_TYPE).is_some();
    let (method, path) = (method.to_owned(), path.to_owned());
    let answer = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen {
            method,
            path: path.clone(),
            body: body.clone(),
            signature_header: key.header(),
            security_token,
            is_deflated: inflated.is_some(),
        });
        match &mut state.script {
            Script::Answers(answers) => answers.pop_front().ok_or("there is no answer left")?,
            Script::Made(answer) => answer(&path, body),
        }
    };
    match answer.fault {
        Fault::HangUp => return Err("the connection is to be closed".into()),
        Fault::Silence => std::future::pending().await,
        _ => {}
    };
    let now = SystemClock::shared().now_micros();
    let date = headers::format_date(if answer.fault == Fault::Old { now - 3_600_000_000 } else { now });
    let (sent, digested) = match answer.fault {
        Fault::OtherBody => (Bytes::from_static(b"\x0a\x01u"), answer.body.clone()),
        Fault::Deflated => (compress::deflate(&answer.body).into(), answer.body.clone()),
        Fault::DeflatedOtherDigest => {
            let deflated = Bytes::from(compress::deflate(&answer.body));
            (deflated.clone(), deflated)
        }
        Fault::DeflatedOtherBody => {
            (compress::deflate(&vec![0; answer.body.len()]).into(), answer.body.clone())
        }
        _ => (answer.body.clone(), answer.body.clone()),
    };
    let md5 = sign::content_md5(&digested);
    let mut signed = vec![
        (headers::CONTENT_MD5, md5.as_str()),
        (headers::CONTENT_TYPE, headers::PROTOCOL_BUFFER),
        (headers::DATE, &date),
        (headers::REQUEST_ID, REQUEST_ID),
    ];
    let length = answer.body.len().to_string();
    if matches!(answer.fault, Fault::Deflated | Fault::DeflatedOtherDigest | Fault::DeflatedOtherBody) {
        assert!(takes_deflated, "nobody asked for a compressed answer");
        signed.push((headers::RESPONSE_COMPRESS_TYPE, headers::DEFLATE));
        signed.push((headers::RESPONSE_COMPRESS_SIZE, &length));
    }
    let key = if answer.fault == Fault::OtherKey { sign::SigningKey::v2("other") } else { key };
    let signature = key.sign_response(&path, &signed);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in signed {
        response = response.header(name, value);
    }
    if answer.fault != Fault::Unsigned {
        response = response.header(headers::AUTHORIZATION, sign::authorization(KEY_ID, &signature));
    }
    Ok(response.body(Full::new(sent))?)
}
