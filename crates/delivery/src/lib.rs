//! Delivery tasks: from tables to objects in the lake, each row once.
//!
//! ```text
//! store ─▶ source ─▶ scan ──▶ builder ─┐                  ┌─▶ objects
//!                └─▶ lane ──▶ gather ──┴─▶ cut ─▶ upload ─┴─▶ manifest ─▶ commit
//! ```
//!
//! - [`registry`]: all tasks: made, found, deleted. [`task`]: one task's life and its runs.
//! - [`scan`] with [`builder`]: the full phase. [`lane`] with [`gather`]: the incremental phase.
//! - [`cut`]: prepared, then committed or given up. [`upload`]: into the bucket. [`space`]: what is written.
//! - [`traffic`]: how many lanes it takes. [`limit`]: how fast it may be. [`freshness`]: how late rows come.
//!   [`history`]: what it has been through.
//! - [`progress`], [`status`]: how far it is. [`memory`]: the one budget. [`janitor`]: what was abandoned.
//!
//! Every cut is written down with the names of its objects before anything is uploaded, and committed after
//! all of it is: a crash at any instant ends in the same objects (`docs/design/0002-the-life-of-a-cut.md`).
//! Deliberately absent: Parquet and object stores, which only lake knows, and the wire.

mod builder;
mod claims;
mod cut;
mod destination;
mod dirty;
mod encode;
mod encoders;
mod error;
mod freshness;
mod gather;
mod history;
mod janitor;
mod lane;
mod limit;
mod memory;
mod placement;
mod progress;
mod registry;
mod sample;
mod scan;
mod settings;
mod setup;
mod shelf;
mod source;
mod space;
mod status;
mod stop;
mod task;
mod traffic;
mod trouble;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use lakeferry_durable::{Timed, Timings};
use lakeferry_lake::{Probe, Surroundings};
use lakeferry_model::delivery::{Mode, TaskError, TaskEvent, TaskSpec, Tuning, TuningChange};
use lakeferry_model::{BucketName, TaskName, Violation};
use lakeferry_store::{LogReaders, PartitionId, Store, Table, TableId};

pub use destination::{LakeBuckets, OpenBucket, ProbeNote};
pub use encode::{LANE_KEY, RUN_KEY, SEQUENCE_KEY, TASK_KEY};
pub use error::{Error, ErrorKind};
pub use freshness::Freshness;
pub use registry::{CreateVia, TaskDescription};
pub use settings::{OBJECT_BYTES_MAX, Settings};
pub use space::TaskId;

use claims::Claims;
use destination::Destinations;
use encoders::Encoders;
use janitor::Janitor;
use memory::Budget;
use registry::Registry;
use stop::Stopper;
use task::Env;

/// Bounds of the times that cuts take, in seconds.
const CUT_BOUNDS_S: &[f64] = &[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

/// All delivery tasks of a store. Handles are shared.
#[derive(Debug, Clone)]
pub struct Delivery {
    registry: Arc<Registry>,
    env: Arc<Env>,
}

impl Delivery {
    /// Reads the tasks of all tables and lets them live, on the present tokio runtime.
    ///
    /// The store's trimmer may be started only after this: before, nobody tells it what tasks still read.
    ///
    /// # Errors
    /// If the engine does not answer, or an entry is damaged.
    pub async fn open(store: Store, settings: Settings) -> Result<Self, Error> {
        let buckets = Arc::new(LakeBuckets(Surroundings::new(settings.lake_dir.clone())));
        Self::open_with(store, settings, buckets).await
    }

    /// The same with buckets of another making.
    ///
    /// # Errors
    /// As [`Delivery::open`].
    pub async fn open_with(
        store: Store,
        settings: Settings,
        buckets: Arc<dyn OpenBucket>,
    ) -> Result<Self, Error> {
        let env = Arc::new(Env {
            clock: Arc::clone(store.clock()),
            budget: Budget::new(settings.memory_bytes),
            encoders: Encoders::new(settings.encoders),
            destinations: Destinations::new(store.clone(), buckets, settings.look_every),
            claims: Claims::default(),
            janitor: Janitor::default(),
            cut_times: Timings::new(CUT_BOUNDS_S),
            closing: Stopper::new(),
            settings,
            store,
        });
        let registry = Arc::new(Registry::new(Arc::clone(&env)));
        registry.start().await?;
        tokio::spawn(Arc::clone(&registry).look_after_abandoned());
        Ok(Self { registry, env })
    }

    /// Makes a task. When this answers, its log is pinned: every later change is delivered.
    ///
    /// # Errors
    /// `Invalid` for a broken rule, `Exists` for a name that is taken or whose objects could share names with
    /// another task's, `Unknown` if it goes on in the background.
    pub async fn create(&self, table: &Table, spec: TaskSpec, via: CreateVia) -> Result<(), Error> {
        self.registry.create(table, spec, via).await
    }

    /// Names and modes of a table's tasks, by name.
    pub fn list(&self, table: &Table) -> Vec<(TaskName, Mode)> {
        self.registry.list(table.id())
    }

    /// The names of a table's tasks: a table that has any must not be deleted.
    pub fn task_names(&self, table: &Table) -> Vec<TaskName> {
        self.list(table).into_iter().map(|(name, _)| name).collect()
    }

    /// What a task was asked for, and how it is doing. It waits for nobody.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn describe(&self, table: &Table, name: &TaskName) -> Result<TaskDescription, Error> {
        self.registry.describe(table, name)
    }

    /// Changes a task, given what was asked for last. When this answers, the change is written down. Columns,
    /// compression and tuning come into force with the next cut, another destination and other bounds of lanes
    /// where no folder is ahead; all of it is described at once.
    ///
    /// # Errors
    /// `Initializing` in INIT; `Invalid` and `Exists` as for [`Delivery::create`], also for another name or mode;
    /// `Unknown` if it goes on in the background; if there is no such task.
    pub async fn update(
        &self,
        table: &Table,
        name: &TaskName,
        change: impl FnOnce(TaskSpec) -> Result<TaskSpec, Violation>,
        via: CreateVia,
    ) -> Result<(), Error> {
        self.registry.update(table, name, change, via).await
    }

    /// Deletes a task: its names are burned, its log is let go, and its uploads are aborted. Objects that are
    /// committed stay. A task of the same name can be made at once.
    ///
    /// # Errors
    /// `Initializing` in INIT; if there is no such task, or the engine does not answer.
    pub async fn delete(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.delete(table, name).await
    }

    /// Asks a task to deliver everything that is committed now, without waiting for size or age. It answers
    /// before that is done.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn deliver_now(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.deliver_now(table, name)
    }

    /// Begins a new run: everything is delivered again, beside what lies in the bucket.
    ///
    /// # Errors
    /// `Initializing` in INIT; if there is no such task.
    pub async fn deliver_again(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.deliver_again(table, name).await
    }

    /// Tries a bucket of the table out, as a task does when it begins; with that role, an ARN or a short name, if
    /// the bucket has no credentials of its own.
    ///
    /// # Errors
    /// What keeps tasks from using it: the protocol's code, and a sentence.
    pub async fn check_bucket(
        &self,
        name: &BucketName,
        role: Option<&str>,
    ) -> Result<Probe, (TaskError, String)> {
        let checked = self.env.destinations.check(name, role, self.env.clock.now_micros()).await;
        checked.map_err(|trouble| (trouble.code(), trouble.text().to_owned()))
    }

    /// What was last tried out of a bucket since the start, by a task or an operator.
    pub fn probe_of(&self, name: &BucketName) -> Option<ProbeNote> {
        self.env.destinations.probe_of(name)
    }

    /// Pauses a task, also over restarts. A cut that is on its way is committed before it rests, or given up if
    /// it has to wait for its store. Its log stays pinned meanwhile. A paused one stays paused.
    ///
    /// # Errors
    /// If there is no such task, or the engine does not answer; `Unknown` if it may be paused all the same.
    pub async fn pause(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.set_paused(table, name, true).await
    }

    /// Lets a paused task go on from where it was. One that is not paused goes on.
    ///
    /// # Errors
    /// As [`Delivery::pause`].
    pub async fn resume(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.set_paused(table, name, false).await
    }

    /// Has a task in trouble try again at once, instead of at its next try.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn retry_now(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.registry.retry_now(table, name)
    }

    /// Changes those settings of a task that need no new version of its configuration. They hold at once, also
    /// for what is gathered already; other bounds of lanes as soon as all folders are cut up to one position.
    ///
    /// # Errors
    /// `Invalid` for a value out of its range; else as [`Delivery::pause`].
    pub async fn tune(&self, table: &Table, name: &TaskName, change: &TuningChange) -> Result<(), Error> {
        self.registry.tune(table, name, change).await
    }

    /// What a task has been through, oldest first: its latest 200 events, also of earlier starts.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn history(&self, table: &Table, name: &TaskName) -> Result<Vec<TaskEvent>, Error> {
        self.registry.history(table, name)
    }

    /// What a new task gets that names nothing else.
    pub fn defaults(&self) -> &Tuning {
        &self.env.settings.defaults
    }

    /// How fresh a task keeps the lake.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn freshness(&self, table: &Table, name: &TaskName) -> Result<Freshness, Error> {
        self.registry.freshness(table, name)
    }

    /// Failed attempts of a task since the start, by the protocol's code, or `OTHER` where it has none.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn failures(&self, table: &Table, name: &TaskName) -> Result<BTreeMap<&'static str, u64>, Error> {
        self.registry.failures(table, name)
    }

    /// How long cuts of all tasks take, from being prepared to being committed.
    pub fn cut_times(&self) -> Timed {
        self.env.cut_times.timed()
    }

    /// Bytes that gathered rows of all tasks hold now.
    pub fn memory_bytes(&self) -> u64 {
        self.env.budget.used()
    }

    /// Ends all tasks where they wait, and waits for them until the deadline. What is prepared and not
    /// committed is done again at the next start.
    pub async fn close(&self, deadline: Instant) {
        self.registry.close(deadline).await;
    }
}

#[async_trait]
impl LogReaders for Delivery {
    async fn low_positions(
        &self,
        table: TableId,
    ) -> Result<Option<HashMap<PartitionId, u64>>, lakeferry_store::Error> {
        Ok(self.registry.low_positions(table))
    }
}
