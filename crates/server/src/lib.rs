//! The HTTP front: the Tablestore protocol and the JSON API on one address.
//!
//! [`Server::open`] puts the parts together: the engine, the store on it, delivery on that, and the address in
//! front. [`Server::run`] answers until it is told to stop, then ends in order: requests, delivery, store,
//! engine. A kill at any instant needs none of that; the next start only takes longer.
//!
//! - [`connection`]: how long callers are waited for.
//! - [`front`]: the door of the protocol; [`operation`]: one file per operation.
//! - [`api`]: the JSON API for what the protocol has no words for.
//! - [`settings`], [`first_key`], [`metrics`].

mod api;
mod connection;
mod error;
mod first_key;
mod front;
mod metrics;
mod operation;
pub mod settings;
mod shared;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use http::StatusCode;
use lakeferry_delivery::Delivery;
use lakeferry_durable::Sync;
use lakeferry_engine::fjall_engine::Parts;
use lakeferry_engine::{FjallEngine, FjallSettings, ReserveSetting};
use lakeferry_model::Clock;
use lakeferry_store::Store;
use lakeferry_store::tunnel::Tunnels;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify};

use connection::Connections;
use error::chain;
use front::body::BodyBudget;
use metrics::{Metrics, Readings};
use settings::Settings;
use shared::Shared;

pub use first_key::KEY_FILE;
/// The lake, for programs that read back what was delivered.
pub use lakeferry_lake as lake;

/// How long the parts may take to open; recovery of a full journal is the longest of it.
const OPEN_S_MAX: u64 = 120;
/// The engine's folder in the data directory.
const ENGINE_FOLDER: &str = "engine";

/// A server that is open and not yet running.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    key: Option<FirstKey>,
    stuck: Arc<Notify>,
    // Removed when the server goes, if it keeps nothing.
    _ephemeral: Option<tempfile::TempDir>,
}

/// Where the first operator's key is.
#[derive(Debug, Clone)]
pub struct FirstKey {
    /// Its public half.
    pub access_key_id: String,
    /// The file that holds it.
    pub path: PathBuf,
    /// Whether this start made it.
    pub made_now: bool,
}

/// Why a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop, and all is written down.
    Stopped,
    /// A commit did not come back. The process should start itself again; nothing answered is lost.
    Stuck,
}

/// Why a server cannot open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("use the data directory `{}`", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine cannot open, for example because another server has it.
    #[error("open the engine in `{}`", path.display())]
    Engine {
        /// The data directory.
        path: PathBuf,
        /// What the engine says.
        source: lakeferry_engine::Error,
    },
    /// The store cannot open.
    #[error("open the store")]
    Store(#[from] lakeferry_store::Error),
    /// Delivery cannot open.
    #[error("open delivery")]
    Delivery(#[from] lakeferry_delivery::Error),
    /// The tunnels cannot open.
    #[error("open the tunnels")]
    Tunnels(#[from] lakeferry_store::tunnel::Error),
    /// The address cannot be listened at.
    #[error("listen at {address}; `--listen` takes another address, and port 0 any free port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Server {
    /// Opens everything. Tasks go on from where they were; requests wait until [`Server::run`].
    ///
    /// With `ephemeral` the data lie in a directory of their own that goes with the server.
    ///
    /// # Errors
    /// The first part that cannot open, and why.
    pub async fn open(
        mut settings: Settings,
        ephemeral: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let data_error = |path: &Path, source| OpenError::Data { path: path.to_owned(), source };
        let temporary = if ephemeral {
            let folder = tempfile::Builder::new().prefix("lakeferry-").tempdir();
            let folder = folder.map_err(|source| data_error(&std::env::temp_dir(), source))?;
            folder.path().clone_into(&mut settings.data);
            Some(folder)
        } else {
            None
        };
        // Listening comes first: a taken address is told before anything is opened or made.
        let address = settings.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| OpenError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| OpenError::Listen { address, source })?;
        // Local buckets are made within `lake`, never `lake` itself: one that is missing is a disk that is away.
        // fjall would make `engine` by itself, but does not sync its name.
        for folder in [settings.lake_dir(), settings.data.join(ENGINE_FOLDER)] {
            make_data_folder(&folder).map_err(|source| data_error(&folder, source))?;
        }

        let stuck = Arc::new(Notify::new());
        let engine = Arc::new(open_engine(&settings, &stuck).await?);
        let deadline = Instant::now() + Duration::from_secs(OPEN_S_MAX);
        let store =
            Store::open(engine.clone(), clock, lakeferry_store::Settings::default(), deadline).await?;
        let key = first_key::ensure(&store, &settings, |name| std::env::var(name).ok()).await?;
        let delivery = Delivery::open(store.clone(), delivery_settings(&settings)).await?;
        let tunnels = Tunnels::open(store.clone(), deadline).await?;
        store.start_background(Arc::new(delivery.clone()));
        let bodies = BodyBudget::new(settings.request_mib_max);
        let answers = BodyBudget::new(settings.request_mib_max);
        let shared = Arc::new(Shared {
            settings,
            engine,
            store,
            delivery,
            tunnels,
            bodies,
            answers,
            metrics: Metrics::default(),
            changing: Mutex::default(),
        });
        Ok(Self { shared, listener, address, key, stuck, _ephemeral: temporary })
    }

    /// The address that it answers at; the port is real where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Where the first key is kept; `None` with `--dev`, whose keys are known.
    pub fn first_key(&self) -> Option<&FirstKey> {
        self.key.as_ref()
    }

    /// Answers until `shutdown` ends, then stops within the settings' time.
    ///
    /// # Errors
    /// If the address is lost, or the last writes cannot be written down; nothing answered is lost then.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<Ended> {
        let stop_within = Duration::from_secs(self.shared.settings.stop_s_max);
        let app = router(&self.shared).into_make_service_with_connect_info::<SocketAddr>();
        let stopping = Arc::new(Notify::new());
        let signal = {
            let stopping = stopping.clone();
            async move {
                shutdown.await;
                stopping.notify_one();
            }
        };
        let deadline = Duration::from_secs(self.shared.settings.request_s_max);
        // The peer's address is told of listeners that are tapped.
        let listener = Connections::new(self.listener, deadline).tap_io(|_| ());
        let serving = axum::serve(listener, app).with_graceful_shutdown(signal);
        let requests_ended = async {
            stopping.notified().await;
            // Half of the time goes to requests under way, the rest to delivery and the engine.
            tokio::time::sleep(stop_within / 2).await;
        };
        tokio::select! {
            served = serving.into_future() => served?,
            () = requests_ended => tracing::warn!("requests were still under way when the server stopped"),
            () = self.stuck.notified() => return Ok(Ended::Stuck),
        }
        let deadline = Instant::now() + stop_within / 2;
        self.shared.delivery.close(deadline).await;
        self.shared.store.close(deadline).await.map_err(|error| io::Error::other(chain(&error)))?;
        Ok(Ended::Stopped)
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics_text))
        .merge(api::router(shared))
        .fallback(front::protocol)
        .with_state(shared.clone())
}

/// The metrics, open to callers on this computer alone. Elsewhere a scraper runs beside the server.
async fn metrics_text(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Response {
    if !peer.ip().is_loopback() {
        return (StatusCode::FORBIDDEN, "metrics are told on the loopback address only\n").into_response();
    }
    let readings = Readings {
        tasks: api::all_tasks(&shared),
        cut_times: shared.delivery.cut_times(),
        delivery_memory_bytes: shared.delivery.memory_bytes(),
        // Its journals are listed, which is a read of one folder.
        engine: lakeferry_store::aside(|| shared.engine.gauges()),
    };
    let text = shared.metrics.text(readings);
    ([(http::header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0")], text).into_response()
}

/// Makes a folder, and those above it, each with a durable name before anything lies in it.
fn make_data_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if !folder.is_dir() {
        parent.map_or(Ok(()), make_data_folder)?;
        fs::create_dir(folder)?;
    }
    // Also of one that was there: the start that made it may have been ended before it came to this.
    Sync::DataFolder.folder(parent.unwrap_or(Path::new(".")))
}

/// Opens the engine aside: recovery of a full journal takes seconds.
async fn open_engine(settings: &Settings, stuck: &Arc<Notify>) -> Result<FjallEngine, OpenError> {
    let path = settings.data.join(ENGINE_FOLDER);
    let (dir, engine) = (path.clone(), engine_settings(settings));
    let parts = Parts { on_stuck: on_stuck(stuck), ..Parts::default() };
    let opened = tokio::task::spawn_blocking(move || FjallEngine::open_with(&dir, engine, parts)).await;
    let opened = opened.unwrap_or_else(|panic| Err(lakeferry_engine::Error::Unavailable(panic.to_string())));
    opened.map_err(|source| OpenError::Engine { path, source })
}

fn engine_settings(settings: &Settings) -> FjallSettings {
    let mib = |mib: u64| mib << 20;
    FjallSettings {
        cache_bytes: mib(settings.engine.cache_mib),
        write_buffer_bytes: mib(settings.engine.write_buffer_mib),
        journal_bytes: mib(settings.engine.journal_mib),
        reserve: settings
            .engine
            .reserve_mib
            .map_or_else(ReserveSetting::default, |reserve| ReserveSetting::Bytes(mib(reserve))),
        ..FjallSettings::default()
    }
}

fn on_stuck(stuck: &Arc<Notify>) -> Box<dyn Fn() + Send> {
    let stuck = stuck.clone();
    Box::new(move || {
        tracing::error!("a commit has not come back; the server starts itself again");
        stuck.notify_one();
    })
}

fn delivery_settings(settings: &Settings) -> lakeferry_delivery::Settings {
    lakeferry_delivery::Settings {
        memory_bytes: settings.delivery.memory_mib << 20,
        automatic_columns_max: settings.delivery.automatic_columns,
        lane_bytes_per_s: settings.delivery.lane_mib_per_s << 20,
        ..lakeferry_delivery::Settings::new(settings.lake_dir())
    }
}
