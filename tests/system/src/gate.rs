//! A real S3 endpoint behind a gate: requests whose path holds a certain text wait until they are let go.
//!
//! Beside the S3 protocol it takes `GET /-gate/COMMAND?ARGUMENT`:
//! - `hold?PART`: from now on requests whose path has PART wait; those that waited for another text go on.
//! - `release?COUNT`: the oldest COUNT that wait go on. `open`: all do, and none waits any more.
//! - `held`: how many wait. `objects?PREFIX`: the keys that are there, one per line.
//!
//! `POST /-gate/sts` is an STS: roles assumed there have credentials that end soon. Trials that run the endpoint
//! in their own process also have it suffer: see [`StoreFault`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, oneshot};
use tokio::task::JoinHandle;

use crate::failure::{Failure, broken};
use crate::session::Sessions;
use crate::store_fault::{HungUp, StoreFault, Suffering};

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Serves the folder `root`, whose folders are the buckets, until the process ends.
///
/// # Errors
/// If the folder or the address cannot be used.
pub async fn serve(root: &Path, buckets: &[String], listen: SocketAddr) -> Result<(), Failure> {
    let (gate, accepting) = Gate::start(root, buckets, listen).await?;
    println!("ready: {}", gate.url());
    accepting.await.map_err(broken("accept"))?
}

/// The endpoint; its copies are one.
#[derive(Clone)]
pub struct Gate {
    store: S3Service,
    root: PathBuf,
    address: SocketAddr,
    sessions: Sessions,
    state: Arc<Mutex<State>>,
    /// Shared by requests that the store works on.
    working: Arc<RwLock<()>>,
}

#[derive(Default)]
struct State {
    /// What a path must have to be held.
    part: Option<String>,
    /// Those that wait, the oldest first.
    waiting: VecDeque<Waiting>,
    /// What requests suffer.
    suffering: Option<Suffering>,
}

struct Waiting {
    path: String,
    go: oneshot::Sender<()>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("root", &self.root)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// Makes the buckets and answers from then on, until the task is aborted.
    ///
    /// # Errors
    /// If the folder or the address cannot be used.
    pub async fn start(
        root: &Path,
        buckets: &[String],
        listen: SocketAddr,
    ) -> Result<(Self, JoinHandle<Result<(), Failure>>), Failure> {
        for bucket in buckets {
            std::fs::create_dir_all(root.join(bucket)).map_err(broken("make a bucket"))?;
        }
        let files =
            FileSystem::new(root).map_err(|error| Failure::Broken(format!("open the store: {error:?}")))?;
        let sessions = Sessions::default();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(sessions.clone());
        let listener = TcpListener::bind(listen).await.map_err(broken("listen"))?;
        let address = listener.local_addr().map_err(broken("listen"))?;
        let (store, root) = (builder.build(), root.to_owned());
        let gate = Self { store, root, address, sessions, state: Arc::default(), working: Arc::default() };
        let accepting = tokio::spawn(gate.clone().accept(listener));
        Ok((gate, accepting))
    }

    async fn accept(self, listener: TcpListener) -> Result<(), Failure> {
        loop {
            let (socket, _) = listener.accept().await.map_err(broken("accept"))?;
            let gate = self.clone();
            let service = service_fn(move |request| {
                let gate = gate.clone();
                async move { gate.answer(request).await }
            });
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away in the middle is its own matter.
                _ = connection.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder whose folders are the buckets.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// From now on every other request suffers this; `seed` says which ones.
    pub fn suffer(&self, fault: StoreFault, seed: u64) {
        self.state.lock().suffering = Some(Suffering::new(fault, seed));
    }

    /// How many requests have met the fault of the moment.
    pub fn met(&self) -> u64 {
        self.state.lock().suffering.as_ref().map_or(0, Suffering::met)
    }

    /// Holds all requests.
    pub fn hold_all(&self) {
        self.state.lock().hold("");
    }

    /// How many requests wait.
    pub fn held(&self) -> usize {
        self.state.lock().held()
    }

    /// Nothing is held and nothing suffers any more.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.suffering = None;
        state.open();
    }

    /// Moves a bucket's folder away or back, while the store works on no request.
    ///
    /// # Errors
    /// What the system says.
    pub async fn move_folder(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _alone = self.working.write().await;
        std::fs::rename(from, to)
    }

    /// Answers as the store does, faults aside.
    pub async fn pass(&self, request: Request<s3s::Body>) -> Response<Body> {
        let _working = self.working.read().await;
        let bucket = request.uri().path().split('/').nth(1).unwrap_or_default();
        // The store would make it.
        if !bucket.is_empty() && !self.root.join(bucket).is_dir() {
            return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
        }
        match self.store.call(request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")),
        }
    }

    /// Who may call.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

impl Gate {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, HungUp> {
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/-gate/") {
            Some("sts" | "sts/") => return Ok(text(StatusCode::OK, self.sessions.assume())),
            Some(command) => {
                let argument = decoded(request.uri().query().unwrap_or_default());
                return Ok(self.command(command, &argument));
            }
            None => {}
        }
        let held = self.state.lock().admit(path);
        if let Some(go) = held {
            // A gate that is gone holds nobody.
            _ = go.await;
        }
        let fault = self.state.lock().suffering.as_mut().and_then(Suffering::draw);
        match fault {
            Some(fault) => fault.meet(self, request).await,
            None => Ok(self.pass(request.map(s3s::Body::from)).await),
        }
    }

    fn command(&self, command: &str, argument: &str) -> Response<Body> {
        let mut state = self.state.lock();
        let told = match command {
            "hold" => state.hold(argument),
            "release" => match argument.parse() {
                Ok(count) => state.release(count),
                Err(_) => return text(StatusCode::BAD_REQUEST, "release?COUNT".to_owned()),
            },
            "open" => state.open(),
            "held" => state.held().to_string(),
            "objects" => self.objects(argument).join("\n"),
            _ => return text(StatusCode::NOT_FOUND, format!("no command `{command}`")),
        };
        text(StatusCode::OK, told)
    }

    /// The keys with the prefix, over all buckets. The store keeps an object in a file of its name.
    fn objects(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for bucket in crate::files::folders(&self.root) {
            let files = crate::files::files_below(&bucket);
            keys.extend(
                files.iter().filter_map(|file| file.strip_prefix(&bucket).ok()?.to_str().map(str::to_owned)),
            );
        }
        keys.retain(|key| key.starts_with(prefix));
        keys
    }
}

impl State {
    fn admit(&mut self, path: String) -> Option<oneshot::Receiver<()>> {
        let part = self.part.as_ref()?;
        if !path.contains(part.as_str()) {
            return None;
        }
        let (go, wait) = oneshot::channel();
        self.waiting.push_back(Waiting { path, go });
        Some(wait)
    }

    fn hold(&mut self, part: &str) -> String {
        self.part = Some(part.to_owned());
        let (stay, go): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.path.contains(part));
        self.waiting = stay;
        go.into_iter().for_each(Waiting::go);
        String::new()
    }

    fn release(&mut self, count: usize) -> String {
        self.waiting.retain(|waiting| !waiting.go.is_closed());
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count).for_each(Waiting::go);
        String::new()
    }

    fn open(&mut self) -> String {
        self.part = None;
        self.release(usize::MAX)
    }

    fn held(&self) -> usize {
        self.waiting.iter().filter(|waiting| !waiting.go.is_closed()).count()
    }
}

impl Waiting {
    fn go(self) {
        // The client may have given up.
        _ = self.go.send(());
    }
}

/// A refusal as the protocol words it.
pub fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    text(status, format!("<Error><Code>{code}</Code><Message>as the trial asks</Message></Error>"))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Undoes percent encoding, as far as the gate's arguments need it.
fn decoded(query: &str) -> String {
    query.replace("%2F", "/").replace("%2f", "/").replace("%3D", "=")
}
