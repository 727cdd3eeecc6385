//! The embedded engine: fjall, on the engine's own threads.
//!
//! All spaces lie in one fjall database. A space's table is a keyspace, and so is its log, which is trimmed by
//! dropping whole tables (see `log`). The keyspaces of dropped spaces are used again (see `spares`). Handles only put requests into queues; what happens to fjall happens on these threads:
//! - the *writer* (`writer`) alone changes anything: it commits the batches that wait, of all spaces, as one
//!   with one sync (`commit`), makes and drops spaces, trims, and does the upkeep that fjall does not do by
//!   itself (`upkeep`);
//! - a few *readers* (`reader`) answer reads, from the state that the writer last put up (`opened`);
//! - the *watch* looks whether the writer comes back from fjall.
//!
//! After a crash the journal holds every batch that was answered. After [`close`](Engine::close) it is empty,
//! so that a start has nothing to read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lakeferry_durable::{Timed, Timings};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::seam::{Engine, Error, Room, Space, SpaceId};

mod commit;
mod disk;
#[cfg(all(test, feature = "testing"))]
mod failures;
mod fault;
mod journals;
mod log;
mod numbers;
mod opened;
mod queue;
mod reader;
mod settings;
mod shared;
mod space;
mod spares;
mod torn;
mod tree;
pub mod tuning;
mod upkeep;
mod writer;

use disk::Disk;
pub use disk::{DiskSpace, Statvfs, SystemStatvfs};
use journals::Journals;
use opened::{Lives, Opened};
use queue::Queue;
pub use settings::{FjallSettings, ReserveSetting};
use shared::{Busy, Request, Shared, closed};
use space::{FjallSpace, request};

/// KiB of batches that may wait; those beyond wait on their callers' side.
const REQUESTS_KIB_MAX: u32 = 64 << 10;

/// How long dropping an engine waits for its threads.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// What an engine is made of beside its settings.
pub struct Parts {
    /// Tells how full the disk is.
    pub statvfs: Arc<dyn Statvfs>,
    /// Called from a thread of the engine's when a call into fjall has not come back for
    /// [`FjallSettings::stuck_after`]. Nothing but a new start of the process helps then.
    pub on_stuck: Box<dyn Fn() + Send>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { statvfs: Arc::new(SystemStatvfs), on_stuck: Box::new(|| {}) }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("statvfs", &self.statvfs).finish_non_exhaustive()
    }
}

/// Bounds of the times that commits take, in seconds.
const COMMIT_BOUNDS_S: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// What there is to watch of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// How long group commits take, each with its one sync of the journal.
    pub commit_times: Timed,
    /// Bytes of the journal on disk, in use or waiting for a flush.
    pub journal_bytes: u64,
    /// Bytes that are free on the disk; absent if the system does not say.
    pub free_bytes: Option<u64>,
    /// Bytes of free space below which row writes are refused; absent as well.
    pub reserve_bytes: Option<u64>,
}

/// An engine in a local directory.
///
/// It should be closed before it is dropped. Otherwise dropping it ends its threads, for which it blocks
/// shortly, and the next start has the journal to read; nothing is lost.
pub struct FjallEngine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallEngine").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl FjallEngine {
    /// Opens the engine in `dir`, making it if there is none. Blocks meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the directory cannot be written or another process has it open,
    /// [`Error::Corrupt`] if what lies there cannot be read.
    pub fn open(dir: &Path, settings: FjallSettings) -> Result<Self, Error> {
        Self::open_with(dir, settings, Parts::default())
    }

    /// Like [`FjallEngine::open`], of other parts.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(dir: &Path, settings: FjallSettings, parts: Parts) -> Result<Self, Error> {
        let lives = Lives::default();
        let opened = Opened::open(dir, &settings, &lives)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            commit_times: Timings::new(COMMIT_BOUNDS_S),
            disk: Disk::new(dir.to_owned(), settings.reserve, parts.statvfs),
            requests: Queue::new(REQUESTS_KIB_MAX),
            jobs: Queue::new(reader::JOBS_MAX),
            opened: RwLock::new(Some(Arc::new(opened))),
            lives,
            busy: Busy::new(),
            closing: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            settings,
        });
        let engine = Self { shared, threads: Mutex::default() };
        // If one cannot be started, dropping the engine ends the others.
        engine.start("lakeferry-engine-writer", writer::run)?;
        engine.start("lakeferry-engine-watch", move |shared| writer::watch(shared, parts.on_stuck))?;
        for _ in 0..engine.shared.settings.reader_threads.max(1) {
            engine.start("lakeferry-engine-reader", reader::run)?;
        }
        Ok(engine)
    }

    /// Whether a call into fjall has not come back for [`FjallSettings::stuck_after`].
    pub fn stuck(&self) -> bool {
        self.shared.busy.is_stuck()
    }

    /// How it stands with the engine's room: for those who watch it, not for deciding anything.
    ///
    /// Blocks shortly, to list the journals.
    pub fn gauges(&self) -> Gauges {
        let journals = Journals::find(&self.shared.dir).unwrap_or_default();
        let (free_bytes, reserve_bytes) = self.shared.disk.free_and_reserve().unzip();
        Gauges {
            commit_times: self.shared.commit_times.timed(),
            journal_bytes: journals.bytes,
            free_bytes,
            reserve_bytes,
        }
    }

    fn start(&self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = Builder::new().name(name.to_owned()).spawn(move || run(&shared));
        let thread = thread.map_err(|error| Error::Unavailable(format!("start a thread: {error}")))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    fn handle(&self, id: &SpaceId, life: Arc<opened::Life>) -> Arc<dyn Space> {
        Arc::new(FjallSpace { id: id.clone(), life, shared: Arc::clone(&self.shared) })
    }
}

#[async_trait]
impl Engine for FjallEngine {
    async fn open_space(&self, id: &SpaceId, deadline: Instant) -> Result<Arc<dyn Space>, Error> {
        let found = self.shared.opened()?.space(id).map(|space| Arc::clone(&space.life));
        let life = match found {
            Some(life) => life,
            None => {
                request(&self.shared, deadline, |reply| Request::OpenSpace { id: id.clone(), reply }).await?
            }
        };
        Ok(self.handle(id, life))
    }

    async fn spaces(&self, _deadline: Instant) -> Result<Vec<SpaceId>, Error> {
        Ok(self.shared.opened()?.space_ids())
    }

    async fn drop_space(&self, id: &SpaceId, deadline: Instant) -> Result<(), Error> {
        request(&self.shared, deadline, |reply| Request::DropSpace { id: id.clone(), reply }).await
    }

    fn room(&self) -> Room {
        self.shared.disk.room()
    }

    async fn close(&self, deadline: Instant) -> Result<(), Error> {
        let mut ended = self.shared.ended.subscribe();
        // Behind everything that was taken. Once it is in, nothing more is.
        let is_first = !self.shared.closing.swap(true, Ordering::AcqRel);
        if is_first {
            let _ = self.shared.requests.push(Request::Close { deadline }, 1, deadline).await;
            self.shared.requests.end();
        }
        match tokio::time::timeout_at(deadline.into(), ended.wait_for(|ended| *ended)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(Error::Deadline),
        }
    }
}

impl Drop for FjallEngine {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.requests.end();
        self.shared.jobs.end();
        let until = Instant::now() + ENDED_WITHIN;
        for thread in self.threads.get_mut().drain(..) {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < until {
                sleep(Duration::from_millis(1));
            }
        }
    }
}
