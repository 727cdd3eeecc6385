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
use lakeferry_wire::headers;
use lakeferry_wire::sign::{self, SignedRequest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(super) const INSTANCE: &str = "shop";
pub(super) const KEY_ID: &str = "testid";
pub(super) const SECRET: &str = "testsecret";
const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000001";

/// Plays back its answers in order. A request that is not signed as it should be fails the test when it ends.
pub(super) struct TestServer {
    pub(super) endpoint: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
    connections: usize,
}

/// A request that arrived, with a good signature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) signature_header: &'static str,
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
    pub(super) async fn playing(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let state =
            Arc::new(Mutex::new(State { answers: answers.into_iter().collect(), ..State::default() }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Self { endpoint, state, _tasks: tasks }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.lock().unwrap().connections += 1;
        connections.spawn(serve(stream, state.clone()));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
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
    let (method, path) = (method.to_owned(), path.to_owned());
    let answer = {
        let mut state = state.lock().unwrap();
        let signature_header = key.header();
        state.seen.push(Seen { method, path: path.clone(), body, signature_header });
        state.answers.pop_front().ok_or("there is no answer left")?
    };
    match answer.fault {
        Fault::HangUp => return Err("the connection is to be closed".into()),
        Fault::Silence => std::future::pending().await,
        _ => {}
    };
    let now = SystemClock::shared().now_micros();
    let date = headers::format_date(if answer.fault == Fault::Old { now - 3_600_000_000 } else { now });
    let md5 = sign::content_md5(&answer.body);
    let signed = [
        (headers::CONTENT_MD5, md5.as_str()),
        (headers::CONTENT_TYPE, headers::PROTOCOL_BUFFER),
        (headers::DATE, &date),
        (headers::REQUEST_ID, REQUEST_ID),
    ];
    let key = if answer.fault == Fault::OtherKey { sign::SigningKey::v2("other") } else { key };
    let signature = key.sign_response(&path, &signed);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in signed {
        response = response.header(name, value);
    }
    if answer.fault != Fault::Unsigned {
        response = response.header(headers::AUTHORIZATION, sign::authorization(KEY_ID, &signature));
    }
    let body = if answer.fault == Fault::OtherBody { Bytes::from_static(b"\x0a\x01u") } else { answer.body };
    Ok(response.body(Full::new(body))?)
}
