//! All delivery tasks, by table and name: making, finding and deleting them.
//!
//! Making and deleting take turns, over all tables: two tasks whose objects could share a name cannot both
//! exist, and that takes one look at all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_durable::Place;
use lakeferry_lake::{ObjectSchema, Prefix, Zone, check_dirty_prefix, check_suffix};
use lakeferry_model::delivery::{
    Mode, Phase, SchemaSpec, TaskEvent, TaskEventKind, TaskSpec, TaskStatus, Tuning, TuningChange,
};
use lakeferry_model::{RoleEntry, RoleName, TableSchema, TaskName, Violation};
use lakeferry_store::catalog::Number;
use lakeferry_store::{LogKeeper, PartitionId, Table, TableId};
use parking_lot::Mutex;

use crate::error::Error;
use crate::freshness::Freshness;
use crate::janitor::sweep;
use crate::settings::OBJECT_BYTES_MAX;
use crate::source::StoreTable;
use crate::space::{Stage, StoredTask, TaskEntry, TaskId, TaskSpace, Totals, Writes};
use crate::stop::Stopped;
use crate::task::{Env, RunReason, Task, soon};

/// By whom a task is asked for, which decides how strict the rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateVia {
    /// An SDK on the wire: what the official samples do is taken, doubts become warnings.
    Wire,
    /// Our own program or console: doubts are refused, with a way out.
    Own,
}

/// A task as described to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDescription {
    /// What was asked for.
    pub spec: TaskSpec,
    /// How it is doing.
    pub status: TaskStatus,
}

/// All tasks.
#[derive(Debug)]
pub(crate) struct Registry {
    env: Arc<Env>,
    tables: Mutex<HashMap<TableId, TableTasks>>,
    /// Held while a task is made or deleted.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct TableTasks {
    space: TaskSpace,
    tasks: BTreeMap<TaskName, Living>,
}

/// A task and its life in the background.
#[derive(Debug, Clone)]
struct Living {
    task: Arc<Task>,
    /// Becomes true when the life has ended.
    ended: tokio::sync::watch::Receiver<bool>,
}

impl Registry {
    pub(crate) fn new(env: Arc<Env>) -> Self {
        Self { env, tables: Mutex::new(HashMap::new()), turn: Arc::default() }
    }

    /// Reads the tasks of all tables, finishes what a crash has left of deletions, and begins to live.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let engine = self.env.store.engine();
        let spaces = engine.spaces(soon()).await.map_err(Error::ReadTasks)?;
        let mut loaded = Vec::new();
        for table_id in spaces.iter().filter_map(TaskSpace::table_id) {
            let space = TaskSpace::open(engine, table_id).await?;
            let stored = space.load().await?;
            let Some(table) = self.env.store.table_by_id(TableId(table_id)) else {
                // The table is gone, and so are its tasks; abandoned names may be left.
                if stored.abandoned.is_empty() {
                    engine.drop_space(&TaskSpace::id(table_id), soon()).await.map_err(Error::ReadTasks)?;
                } else {
                    self.table_tasks(TableId(table_id), &space);
                }
                continue;
            };
            self.table_tasks(table.id(), &space);
            for stored in stored.tasks {
                loaded.push(self.load(&table, &space, stored).await?);
            }
        }
        self.clean_buckets().await;
        for (table, task) in loaded.into_iter().flatten() {
            self.begin(table, task);
        }
        self.env.janitor.wake();
        Ok(())
    }

    /// Removes what a crash has left of uploads, before any begins.
    async fn clean_buckets(&self) {
        for entry in self.env.store.buckets() {
            let Ok(Some(bucket)) = self.env.destinations.find_by_name(&entry.name, "") else { continue };
            let cleaned = tokio::time::timeout(CLEAN_MAX, bucket.clean_temporary()).await;
            if !matches!(cleaned, Ok(Ok(()))) {
                // A bucket that is missing or out of reach holds up nobody.
                tracing::debug!(bucket = %entry.name, "temporary files could not be removed");
            }
        }
    }

    /// A task as it is written down; nothing if it is deleted, which is then finished.
    async fn load(
        &self,
        table: &Table,
        space: &TaskSpace,
        stored: StoredTask,
    ) -> Result<Option<(TableId, Arc<Task>)>, Error> {
        let is_deleted = stored.entry.stage == Stage::Deleted;
        let source = StoreTable::shared(table.clone());
        let task = Task::new(Arc::clone(&self.env), source, space.clone(), stored)?;
        if is_deleted {
            task.burn(&*task.book.lock().await).await?;
            task.clear_away().await.map_err(|Stopped| Error::Closed)?;
            return Ok(None);
        }
        let identity = task.board.entry().bucket_identity;
        if let Some(Err(trouble)) = identity.map(|identity| task.claim_names(identity)) {
            tracing::warn!(task = %task.id, trouble = trouble.text(), "two tasks share names");
        }
        task.show_progress().await;
        Ok(Some((table.id(), task)))
    }

    /// Makes a task. When this answers, its log is pinned.
    pub(crate) async fn create(&self, table: &Table, spec: TaskSpec, via: CreateVia) -> Result<(), Error> {
        let deadline = soon();
        let schema = table.info().schema.clone();
        let (prefix, warnings) = check(&spec, &schema, via, None)?;
        let turn = self.take_turn(deadline).await?;
        self.check_is_free(table, &spec, &prefix)?;
        self.make_service_role().await?;
        let space = match self.space_of(table.id()) {
            Some(space) => space,
            None => TaskSpace::open(self.env.store.engine(), table.id().0).await?,
        };
        self.table_tasks(table.id(), &space);
        let number = self.env.store.catalog().give_numbers(Number::Task, 1).await?;
        let entry = TaskEntry::new(TaskId::of_number(number), spec, self.env.clock.now_micros(), warnings);
        let stored = StoredTask {
            entry: entry.clone(),
            schema: None,
            pins: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ranges: BTreeMap::new(),
            totals: Totals::default(),
            events: Vec::new(),
        };
        let source = StoreTable::shared(table.clone());
        let task = Task::new(Arc::clone(&self.env), source, space.clone(), stored)?;
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        if let Err(error) = space.write(writes).await {
            // It may be there all the same: nobody may take the name before it is surely gone.
            let closing = self.env.closing.handle();
            tokio::spawn(async move {
                let mut writes = Writes::default();
                writes.remove_task(&*task.book.lock().await);
                let _ = task.space.write_surely(writes, &closing).await;
                drop(turn);
            });
            return Err(error);
        }
        Place::TaskEntered.pass();
        task.note(TaskEventKind::Made, format!("made, to deliver into bucket '{}'", bucket_of(&task)));
        self.begin(table.id(), Arc::clone(&task));
        drop(turn);
        task.wait_until_live(deadline).await
    }

    /// Changes a task: `change` is given what was asked for last. When this answers, the change is written down.
    pub(crate) async fn update(
        &self,
        table: &Table,
        name: &TaskName,
        change: impl FnOnce(TaskSpec) -> Result<TaskSpec, Violation>,
        via: CreateVia,
    ) -> Result<(), Error> {
        let deadline = soon();
        let turn = self.take_turn(deadline).await?;
        let task = self.find(table, name)?.task;
        let before = task.asked_spec();
        let spec = change(before.clone())?;
        if spec.name != before.name || spec.mode != before.mode {
            return Err(
                Violation::parameter("The name and the mode of a delivery task cannot be changed.").into()
            );
        }
        let schema = &table.info().schema;
        let (prefix, mut warnings) = check(&spec, schema, via, Some(&before))?;
        if let SchemaSpec::Automatic { reserved } = spec.schema {
            let columns = match spec.schema == before.schema {
                true => task.columns.current(),
                false => Arc::new(ObjectSchema::automatic(schema, reserved)),
            };
            warnings.extend(columns.name_warnings(&prefix));
        }
        self.check_shares_no_names(Some(task.id), &spec, &prefix)?;
        // It goes on also if the caller waits no longer.
        let updated = tokio::spawn(async move {
            let updated = task.update(spec, warnings).await;
            drop(turn);
            updated
        });
        match tokio::time::timeout_at(deadline.into(), updated).await {
            Ok(Ok(updated)) => updated,
            Ok(Err(_)) | Err(_) => Err(Error::Deadline),
        }
    }

    /// Deletes a task. What is still under way after the wait is ended in the background.
    pub(crate) async fn delete(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        let turn = self.take_turn(soon()).await?;
        let living = self.find(table, name)?;
        living.task.mark_deleted().await?;
        living.task.end();
        if let Some(tasks) = self.tables.lock().get_mut(&table.id()) {
            tasks.tasks.remove(name);
        }
        self.let_log_go(table).await;
        drop(turn);
        let task = Arc::clone(&living.task);
        let mut ended = living.ended;
        let cleared = tokio::spawn(async move {
            // Lanes write nothing any more; but as long as one may upload, names are abandoned too early.
            let _ = ended.wait_for(|ended| *ended).await;
            let _ = task.clear_away().await;
        });
        if tokio::time::timeout(self.env.settings.delete_wait, cleared).await.is_err() {
            tracing::warn!(task = %living.task.id, "a deleted task's uploads end in the background");
        }
        Ok(())
    }

    /// Switches the table's log off on our account, if no task follows it any more.
    async fn let_log_go(&self, table: &Table) {
        if self.low_positions(table.id()).is_some() {
            return;
        }
        for partition in table.partitions() {
            if let Err(error) = partition.keep_log(LogKeeper::Readers, false, soon()).await {
                // It is trimmed all the same, since nobody reads it.
                tracing::warn!(partition = partition.id().0, %error, "a log that nobody reads stays on");
            }
        }
    }

    /// Names and modes of a table's tasks, by name.
    pub(crate) fn list(&self, table: TableId) -> Vec<(TaskName, Mode)> {
        let tables = self.tables.lock();
        let tasks = tables.get(&table).into_iter().flat_map(|tasks| &tasks.tasks);
        tasks.map(|(name, living)| (name.clone(), living.task.board.entry().spec.mode)).collect()
    }

    pub(crate) fn describe(&self, table: &Table, name: &TaskName) -> Result<TaskDescription, Error> {
        let task = self.find(table, name)?.task;
        let spec = task.asked_spec();
        Ok(TaskDescription { spec, status: task.board.status(&*task.source, &*self.env.clock) })
    }

    pub(crate) fn deliver_now(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.find(table, name)?.task.deliver_now();
        Ok(())
    }

    pub(crate) async fn set_paused(
        &self,
        table: &Table,
        name: &TaskName,
        is_paused: bool,
    ) -> Result<(), Error> {
        self.find(table, name)?.task.set_paused(is_paused).await
    }

    pub(crate) fn retry_now(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        self.find(table, name)?.task.retry_now();
        Ok(())
    }

    pub(crate) async fn tune(
        &self,
        table: &Table,
        name: &TaskName,
        change: &TuningChange,
    ) -> Result<(), Error> {
        // An update that is under way must not bring the old settings back.
        let _turn = self.take_turn(soon()).await?;
        self.find(table, name)?.task.tune(change).await
    }

    pub(crate) fn freshness(&self, table: &Table, name: &TaskName) -> Result<Freshness, Error> {
        let task = self.find(table, name)?.task;
        let status = task.board.status(&*task.source, &*self.env.clock);
        let behind = status.lag_s.or_else(|| self.seconds_since_made(&task));
        let waiting = behind.filter(|_| status.rows_waiting > 0).map(Duration::from_secs);
        Ok(task.latencies.freshness(task.now(), waiting))
    }

    /// How long a task has followed the log without a sync point, at the longest: it was made then. What waits in
    /// the full phase does not count as late.
    fn seconds_since_made(&self, task: &Task) -> Option<u64> {
        let entry = task.board.entry();
        let since_made = (self.env.clock.now_micros() - entry.created_at) / 1_000_000;
        (entry.follows_log() && entry.phase == Phase::Incr).then(|| u64::try_from(since_made).unwrap_or(0))
    }

    pub(crate) fn failures(
        &self,
        table: &Table,
        name: &TaskName,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        Ok(self.find(table, name)?.task.board.failures())
    }

    pub(crate) fn history(&self, table: &Table, name: &TaskName) -> Result<Vec<TaskEvent>, Error> {
        Ok(self.find(table, name)?.task.history.told())
    }

    pub(crate) async fn deliver_again(&self, table: &Table, name: &TaskName) -> Result<(), Error> {
        let task = self.find(table, name)?.task;
        let entry = task.board.entry();
        if entry.phase == Phase::Init {
            return Err(Error::Initializing(name.clone()));
        }
        task.try_to_begin_run(entry.run, RunReason::Asked).await
    }

    /// The lowest positions that any task of the table may still read, by partition; nothing if no task
    /// follows the log.
    pub(crate) fn low_positions(&self, table: TableId) -> Option<HashMap<PartitionId, u64>> {
        let tables = self.tables.lock();
        let tasks = tables.get(&table)?.tasks.values().map(|living| &living.task);
        let mut lowest: Option<HashMap<_, u64>> = None;
        for task in tasks.filter(|task| task.board.entry().follows_log()) {
            let lowest = lowest.get_or_insert_default();
            let mut lows = task.board.lows();
            // Before its pins are written, a task may need everything.
            if task.board.entry().stage == Stage::Entered {
                lows = task.source.partitions().into_iter().map(|partition| (partition, 0)).collect();
            }
            for (partition, low) in lows {
                let known = lowest.entry(partition).or_insert(low);
                *known = low.min(*known);
            }
        }
        lowest
    }

    /// Looks after abandoned names until delivery is closed.
    pub(crate) async fn look_after_abandoned(self: Arc<Self>) {
        let stop = self.env.closing.handle();
        while self.env.janitor.next_round(&stop).await.is_ok() {
            let spaces: Vec<(TableId, TaskSpace)> =
                self.tables.lock().iter().map(|(table, tasks)| (*table, tasks.space.clone())).collect();
            for (table, space) in spaces {
                let now = self.env.clock.now_micros();
                let Ok(left) = sweep(&space, &self.env.destinations, now, &stop).await else { return };
                if self.env.store.table_by_id(table).is_some() || (table == NO_TABLE && left > 0) {
                    continue;
                }
                if let Err(error) = self.clear_space(table, &space).await {
                    tracing::warn!(table = table.0, %error, "the tasks' space of a deleted table stays for now");
                }
            }
        }
    }

    /// Drops the space of a table that is gone. Names that are still looked after go to a space that all such tables
    /// share, so that tables that come and go leave no spaces behind.
    async fn clear_space(&self, table: TableId, space: &TaskSpace) -> Result<(), Error> {
        let stored = space.load().await?;
        // A deleted task whose uploads have not ended still abandons names there.
        if !stored.tasks.is_empty() {
            return Ok(());
        }
        let engine = self.env.store.engine();
        if !stored.abandoned.is_empty() {
            let shared = match self.space_of(NO_TABLE) {
                Some(space) => space,
                None => TaskSpace::open(engine, NO_TABLE.0).await?,
            };
            self.table_tasks(NO_TABLE, &shared);
            let mut writes = Writes::default();
            stored.abandoned.iter().for_each(|abandoned| writes.put_abandoned(abandoned));
            shared.write(writes).await?;
        }
        self.tables.lock().remove(&table);
        engine.drop_space(&TaskSpace::id(table.0), soon()).await.map_err(Error::ReadTasks)
    }

    /// Ends all lives, and waits for them until the deadline.
    pub(crate) async fn close(&self, deadline: Instant) {
        let living: Vec<Living> =
            self.tables.lock().values().flat_map(|tasks| tasks.tasks.values().cloned()).collect();
        for living in &living {
            living.task.end();
        }
        self.env.closing.stop();
        for mut living in living {
            let ended = living.ended.wait_for(|ended| *ended);
            if tokio::time::timeout_at(deadline.into(), ended).await.is_err() {
                tracing::warn!(task = %living.task.id, "a task did not end in time");
            }
        }
    }

    async fn take_turn(&self, deadline: Instant) -> Result<tokio::sync::OwnedMutexGuard<()>, Error> {
        self.env.closing.handle().check().map_err(|Stopped| Error::Closed)?;
        let turn = Arc::clone(&self.turn).lock_owned();
        tokio::time::timeout_at(deadline.into(), turn).await.map_err(|_| Error::Deadline)
    }

    fn check_is_free(&self, table: &Table, spec: &TaskSpec, prefix: &Prefix) -> Result<(), Error> {
        if self.find(table, &spec.name).is_ok() {
            let (table, task) = (table.info().schema.name.clone(), spec.name.clone());
            return Err(Error::Exists { table, task });
        }
        self.check_shares_no_names(None, spec, prefix)
    }

    /// Checks that no object of that task could have the name of an object of another.
    fn check_shares_no_names(
        &self,
        own: Option<TaskId>,
        spec: &TaskSpec,
        prefix: &Prefix,
    ) -> Result<(), Error> {
        let tables = self.tables.lock();
        let same_named = tables.values().filter_map(|tasks| tasks.tasks.get(&spec.name));
        for living in same_named.filter(|living| Some(living.task.id) != own) {
            if living.task.may_share_names(spec, prefix) {
                return Err(Error::NamesShared {
                    table: living.task.source.schema().name,
                    task: spec.name.clone(),
                    bucket: spec.destination.bucket.to_string(),
                });
            }
        }
        if let Some(other) = self.env.claims.find(own, &spec.name, prefix, &spec.destination.bucket) {
            return Err(Error::NamesShared {
                table: other.table,
                task: spec.name.clone(),
                bucket: other.bucket.to_string(),
            });
        }
        Ok(())
    }

    /// The service-linked role is made with the first task ever, as in the original. An operator who deletes
    /// it finds it deleted until it is made again.
    async fn make_service_role(&self) -> Result<(), Error> {
        let catalog = self.env.store.catalog();
        if !catalog.burned(SERVICE_ROLE_MADE).is_empty() {
            return Ok(());
        }
        let name = RoleName::parse(RoleEntry::SERVICE_LINKED)?;
        self.env
            .store
            .put_role(RoleEntry { name, created_at: self.env.clock.now_micros(), assumed: None })
            .await?;
        Ok(catalog.burn(vec![(SERVICE_ROLE_MADE.to_owned(), 1)]).await?)
    }

    fn space_of(&self, table: TableId) -> Option<TaskSpace> {
        self.tables.lock().get(&table).map(|tasks| tasks.space.clone())
    }

    fn table_tasks(&self, table: TableId, space: &TaskSpace) {
        let tasks = || TableTasks { space: space.clone(), tasks: BTreeMap::new() };
        self.tables.lock().entry(table).or_insert_with(tasks);
    }

    /// Registers a task and lets it live.
    fn begin(&self, table: TableId, task: Arc<Task>) {
        let (end, ended) = tokio::sync::watch::channel(false);
        let name = task.board.entry().name().clone();
        if let Some(tasks) = self.tables.lock().get_mut(&table) {
            tasks.tasks.insert(name, Living { task: Arc::clone(&task), ended });
        }
        tokio::spawn(async move {
            task.live().await;
            end.send_replace(true);
        });
    }

    fn find(&self, table: &Table, name: &TaskName) -> Result<Living, Error> {
        let tables = self.tables.lock();
        let living = tables.get(&table.id()).and_then(|tasks| tasks.tasks.get(name)).cloned();
        let missing = || Error::NoSuchTask { table: table.info().schema.name.clone(), task: name.clone() };
        living.ok_or_else(missing)
    }
}

/// Checks what can be checked without looking at other tasks or at the bucket. Answers the prefix, and what
/// is accepted with a doubt. What a task was made with over the wire, before this change of it, stays accepted.
fn check(
    spec: &TaskSpec,
    table: &TableSchema,
    via: CreateVia,
    before: Option<&TaskSpec>,
) -> Result<(Prefix, Vec<String>), Violation> {
    if via == CreateVia::Own && before.is_none() {
        TaskName::parse_documented(spec.name.as_str())?;
    }
    let destination = &spec.destination;
    for (what, text) in [("ossEndpoint", &destination.endpoint), ("ossStsRole", &destination.role)] {
        if text.is_empty() {
            // The Java SDK cannot describe a task without them.
            return Err(Violation::parameter(format!("The field '{what}' of a delivery task is empty.")));
        }
    }
    let prefix = Prefix::parse(&destination.prefix)?;
    Zone::parse(&destination.zone)?;
    check_suffix(&destination.suffix)?;
    if let Some(dirty) = &destination.dirty_prefix {
        check_dirty_prefix(dirty, &prefix)?;
    }
    check_tuning(&spec.tuning)?;
    let mut warnings = prefix.warnings();
    let known = before.map_or(Ok(Vec::new()), |before| doubts_of(before, table))?;
    match (&spec.schema, via) {
        (SchemaSpec::Manual(fields), CreateVia::Own) => {
            warnings.extend(ObjectSchema::check_strict(fields, table, &prefix, &known)?);
        }
        (SchemaSpec::Manual(fields), CreateVia::Wire) => {
            warnings.extend(ObjectSchema::check_wire(fields, table, &prefix)?);
        }
        (SchemaSpec::Automatic { reserved }, CreateVia::Own) => {
            // They are told of when the table was sampled.
            ObjectSchema::automatic(table, *reserved).check_names_strict(&prefix, &known)?;
        }
        (SchemaSpec::Automatic { .. }, CreateVia::Wire) => {}
    }
    Ok((prefix, warnings))
}

/// What of a task's columns was accepted with a doubt.
fn doubts_of(spec: &TaskSpec, table: &TableSchema) -> Result<Vec<String>, Violation> {
    let prefix = Prefix::parse(&spec.destination.prefix)?;
    match &spec.schema {
        SchemaSpec::Manual(fields) => ObjectSchema::check_wire(fields, table, &prefix),
        SchemaSpec::Automatic { reserved } => {
            Ok(ObjectSchema::automatic(table, *reserved).name_warnings(&prefix))
        }
    }
}

fn bucket_of(task: &Task) -> String {
    task.board.entry().spec.destination.bucket.to_string()
}

/// Checks that a task can be tuned like that.
pub(crate) fn check_tuning(tuning: &Tuning) -> Result<(), Violation> {
    let wrong = if tuning.object_age_ms_max == 0 {
        "object_age_ms_max must be at least 1"
    } else if tuning.inactivity_ms_max == Some(0) {
        "inactivity_ms_max must be at least 1"
    } else if tuning.object_bytes_max == 0 || tuning.object_bytes_max > OBJECT_BYTES_MAX {
        "object_bytes_max must be 1 to 1073741824"
    } else if tuning.lanes_min == 0 || tuning.lanes_min > LANES_MAX {
        "lanes_min must be 1 to 1024"
    } else if tuning.lanes_max < tuning.lanes_min {
        "lanes_max must be at least lanes_min"
    } else if tuning.bytes_per_s_max == Some(0) || tuning.rows_per_s_max == Some(0) {
        "a limit per second must be at least 1; to stop a task, pause it"
    } else if tuning.lateness_ms > LATENESS_MS_MAX {
        "lateness_ms must be at most 31536000000, a year"
    } else {
        return Ok(());
    };
    Err(Violation::parameter(format!("Invalid delivery task: {wrong}.")))
}

/// In the place of the tables that are gone; ids of tables begin at 1.
const NO_TABLE: TableId = TableId(0);
/// Among the catalog's numbers that never go back: that the service-linked role was made once.
const SERVICE_ROLE_MADE: &str = "service role";
/// How long removing temporary files may hold up the start.
const CLEAN_MAX: Duration = Duration::from_secs(2);
/// How long after its time a folder may be marked at the latest: a year.
const LATENESS_MS_MAX: u64 = 365 * 86_400_000;
/// Lanes of one task at most.
const LANES_MAX: u32 = 1024;
