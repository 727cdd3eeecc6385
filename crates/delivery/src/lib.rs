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
//! - [`progress`], [`status`]: how far it is. [`memory`]: the one budget. [`janitor`]: what was abandoned.
//!
//! Every cut is written down with the names of its objects before anything is uploaded, and committed after
//! all of it is: a crash at any instant ends in the same objects (`docs/design/0002-the-life-of-a-cut.md`).
//! Deliberately absent: Parquet and object stores, which only lake knows, and the wire.

mod builder;
mod cut;
mod destination;
mod dirty;
mod encode;
mod encoders;
mod error;
mod gather;
mod janitor;
mod lane;
mod memory;
mod placement;
mod progress;
mod registry;
mod sample;
mod scan;
mod settings;
mod setup;
mod source;
mod space;
mod status;
mod stop;
mod task;
mod trouble;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use lakeferry_model::delivery::{Mode, TaskSpec, Tuning};
use lakeferry_model::{TaskName, Violation};
use lakeferry_store::{LogReaders, PartitionId, Store, Table, TableId};

pub use destination::{LakeBuckets, OpenBucket};
pub use encode::{LANE_KEY, RUN_KEY, SEQUENCE_KEY, TASK_KEY};
pub use error::{Error, ErrorKind};
pub use registry::{CreateVia, TaskDescription};
pub use settings::Settings;
pub use space::TaskId;

use destination::Destinations;
use encoders::Encoders;
use janitor::Janitor;
use memory::Budget;
use registry::Registry;
use stop::Stopper;
use task::Env;

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
        let buckets = Arc::new(LakeBuckets(settings.lake_dir.clone()));
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
            destinations: Destinations::new(store.clone(), buckets),
            janitor: Janitor::default(),
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
    /// compression and tuning come into force with the next cut, another destination where no folder is ahead;
    /// all of it is described at once. Lanes of the incremental phase stay as many as they are in this run.
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

    /// What a new task gets that names nothing else.
    pub fn defaults(&self) -> &Tuning {
        &self.env.settings.defaults
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
