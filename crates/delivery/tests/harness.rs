//! A world that outlives its processes: what the engine and the lake hold. A process is a tokio runtime with a
//! store and its delivery; it ends by a crash, at any step that its fuse counts, as `kill -9` would end it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use lakeferry_delivery::{CreateVia, Delivery, OpenBucket, Settings};
use lakeferry_engine::{
    Area, Batch, Block, Engine, Error, MemoryEngine, Operation, Room, Scan, Space, SpaceId, Visitor,
    WriteError,
};
use lakeferry_lake::bucket::{Part, PutMode, ReadObject, Store as ObjectStore};
use lakeferry_lake::{
    Bucket, BucketError, BucketLimits, DecodedObject, FolderMark, ListedObject, PutOutcome, read_object,
};
use lakeferry_model::delivery::{
    Destination, Mode, Phase, SchemaSpec, TaskEventKind, TaskSpec, TaskStatus, Tuning, TuningChange,
};
use lakeferry_model::*;
use lakeferry_store::{Store, Table, TableSpec};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// 2020-08-31 16:03:00 UTC, the official example's time.
pub const START: Micros = 1_598_889_780_000_000;

/// The deadline of a call. Tests may stand still for minutes, when somebody else measures; no call is to fail of it.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// How long is waited for something, in time that the test runs.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// A pause longer than this between two looks is no wait: the test was stopped, or had no core.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// What outlives a process.
#[derive(Debug, Clone)]
pub struct World {
    pub engine: MemoryEngine,
    pub lake: Arc<Lake>,
    pub clock: Arc<ManualClock>,
    pub memory_bytes: u64,
    /// The wait after a first failure.
    pub retry_min: Duration,
    /// Bytes of changes per second with which lanes are busy.
    pub lane_bytes_per_s: u64,
}

/// Buckets in memory.
#[derive(Debug, Default)]
pub struct Lake {
    pub buckets: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
    /// Marks that told of more rows than their folders held when they were put.
    pub lies: Mutex<Vec<String>>,
    /// Names under which two different contents were seen.
    pub rewritten: Mutex<HashSet<String>>,
    /// Puts of names that contain this wait until it is empty.
    pub held: Mutex<String>,
    pub held_now: AtomicU64,
    pub released: Notify,
    /// Puts of names that contain one of these are denied.
    pub denied: Mutex<Vec<String>>,
    /// Writes that must not replace anything do.
    pub overwrites: AtomicBool,
    /// Probing and identifying wait, too.
    pub is_probe_held: AtomicBool,
}

impl Lake {
    pub fn hold(&self, part: &str) {
        part.clone_into(&mut self.held.lock());
    }

    pub fn release(&self) {
        self.hold("");
        self.is_probe_held.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    pub fn make(&self, bucket: &str) {
        self.buckets.lock().entry(bucket.to_owned()).or_default();
    }

    pub fn remove(&self, bucket: &str) -> Option<BTreeMap<String, Bytes>> {
        self.buckets.lock().remove(bucket)
    }

    async fn wait(&self, name: &str) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let held = self.held.lock().clone();
            let is_probe = name.starts_with("_lakeferry/probe");
            let is_held = (!held.is_empty() && name.contains(&held))
                || (is_probe && self.is_probe_held.load(Ordering::SeqCst));
            if !is_held {
                return;
            }
            self.held_now.fetch_add(1, Ordering::SeqCst);
            released.await;
            self.held_now.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Ends the process at its n-th step, before or after the step is done.
#[derive(Debug)]
pub struct Fuse {
    steps: AtomicU64,
    blows_at: u64,
    does_step: bool,
    is_blown: AtomicBool,
    blown: Notify,
    /// Writes of a task's entry wait while this is set.
    is_entry_held: AtomicBool,
    pub entries_held: AtomicU64,
    released: Notify,
    /// So many visits from now on fail once they have handed over three entries.
    pub visit_faults: AtomicU64,
}

impl Fuse {
    pub fn never() -> Arc<Self> {
        Self::at(u64::MAX, false)
    }

    pub fn at(step: u64, does_step: bool) -> Arc<Self> {
        Arc::new(Self {
            steps: AtomicU64::new(0),
            blows_at: step,
            does_step,
            is_blown: AtomicBool::new(false),
            blown: Notify::new(),
            is_entry_held: AtomicBool::new(false),
            entries_held: AtomicU64::new(0),
            released: Notify::new(),
            visit_faults: AtomicU64::new(0),
        })
    }

    pub fn has_blown(&self) -> bool {
        self.is_blown.load(Ordering::SeqCst)
    }

    /// Holds what changes a task's entry: an update, a new run, a pause.
    pub fn hold_entries(&self) {
        self.is_entry_held.store(true, Ordering::SeqCst);
    }

    pub fn release_entries(&self) {
        self.is_entry_held.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    async fn wait_with(&self, batch: &Batch) {
        let is_entry = |operation: Operation| matches!(operation, Operation::Put(key, _) if key[0] == b'e');
        if !self.is_entry_held.load(Ordering::SeqCst)
            || !batch.clone().into_operations().into_iter().any(is_entry)
        {
            return;
        }
        let released = self.released.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        if self.is_entry_held.load(Ordering::SeqCst) {
            self.entries_held.fetch_add(1, Ordering::SeqCst);
            released.await;
            self.entries_held.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Does a step, unless the process has ended or ends here: then this never returns.
    async fn step<T>(&self, counts: bool, step: impl Future<Output = T>) -> T {
        if self.has_blown() {
            std::future::pending::<()>().await;
        }
        let is_last = counts && self.steps.fetch_add(1, Ordering::SeqCst) + 1 == self.blows_at;
        if !is_last {
            return step.await;
        }
        self.is_blown.store(true, Ordering::SeqCst);
        if self.does_step {
            step.await;
        }
        self.blown.notify_waiters();
        std::future::pending().await
    }
}

#[derive(Debug)]
struct FusedEngine(MemoryEngine, Arc<Fuse>);

#[async_trait]
impl Engine for FusedEngine {
    async fn open_space(&self, id: &SpaceId, deadline: Instant) -> Result<Arc<dyn Space>, Error> {
        let space = self.1.step(false, self.0.open_space(id, deadline)).await?;
        Ok(Arc::new(FusedSpace(space, Arc::clone(&self.1))))
    }

    async fn spaces(&self, deadline: Instant) -> Result<Vec<SpaceId>, Error> {
        self.1.step(false, self.0.spaces(deadline)).await
    }

    async fn drop_space(&self, id: &SpaceId, deadline: Instant) -> Result<(), Error> {
        self.1.step(false, self.0.drop_space(id, deadline)).await
    }

    fn room(&self) -> Room {
        self.0.room()
    }

    async fn close(&self, deadline: Instant) -> Result<(), Error> {
        self.1.step(false, self.0.close(deadline)).await
    }
}

#[derive(Debug)]
struct FusedSpace(Arc<dyn Space>, Arc<Fuse>);

#[async_trait]
impl Space for FusedSpace {
    fn id(&self) -> &SpaceId {
        self.0.id()
    }

    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        self.1.step(false, self.0.read(area, keys, deadline)).await
    }

    async fn scan(&self, scan: Scan, deadline: Instant) -> Result<Block, Error> {
        self.1.step(false, self.0.scan(scan, deadline)).await
    }

    fn visit(&self, mut scan: Scan, deadline: Instant, visitor: &mut Visitor<'_>) -> Result<bool, Error> {
        let one_less = |faults: u64| faults.checked_sub(1);
        let fails = self.1.visit_faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if fails {
            scan.entries_max = scan.entries_max.min(3);
        }
        let block = Handle::current().block_on(self.scan(scan, deadline))?;
        let ended = block.iter().any(|(key, value)| visitor(key, value).is_break());
        if fails { Err(Error::Unavailable("a visit that fails".into())) } else { Ok(ended || block.more) }
    }

    async fn write(&self, batch: Batch, deadline: Instant) -> Result<(), WriteError> {
        let counts = self.0.id().as_str().starts_with("tasks-");
        if counts {
            self.1.wait_with(&batch).await;
        }
        self.1.step(counts, self.0.write(batch, deadline)).await
    }

    async fn trim(&self, below: Bytes, deadline: Instant) -> Result<(), Error> {
        self.1.step(false, self.0.trim(below, deadline)).await
    }

    async fn log_bytes(&self, deadline: Instant) -> Result<u64, Error> {
        self.0.log_bytes(deadline).await
    }
}

#[derive(Debug)]
struct FusedBuckets(Arc<Lake>, Arc<Fuse>);

impl OpenBucket for FusedBuckets {
    fn open(&self, entry: &BucketEntry, _role: Option<&AssumedRole>) -> Result<Bucket, BucketError> {
        // Two entries may mean one place.
        let name = entry.location.remote().map_or(entry.name.as_str(), |remote| &remote.bucket).to_owned();
        let store = LakeStore { name, lake: self.0.clone(), fuse: self.1.clone() };
        Ok(Bucket::over(entry.name.clone(), Arc::new(store), BucketLimits::default()))
    }
}

#[derive(Debug)]
struct LakeStore {
    name: String,
    lake: Arc<Lake>,
    fuse: Arc<Fuse>,
}

/// Whether a mark tells of no more than lies in its folder.
fn is_true(mark: &Bytes, objects: &BTreeMap<String, Bytes>) -> bool {
    let mark: FolderMark = serde_json::from_slice(mark).unwrap();
    let within = format!("{}/", mark.folder);
    let held = objects.iter().filter(|(name, _)| name.starts_with(&within) && !name.ends_with("/_SUCCESS"));
    let rows: usize = held.map(|(_, bytes)| read_object(bytes.clone()).unwrap().rows.len()).sum();
    rows as u64 >= mark.rows
}

impl LakeStore {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T, BucketError> {
        let mut buckets = self.lake.buckets.lock();
        let missing = || BucketError::Missing { what: format!("no bucket {}", self.name), source: None };
        Ok(look(buckets.get_mut(&self.name).ok_or_else(missing)?))
    }
}

#[async_trait]
impl ObjectStore for LakeStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        self.lake.wait(name).await;
        if self.lake.denied.lock().iter().any(|part| name.contains(part)) {
            return Err(BucketError::Denied { what: format!("{name} may not be written"), source: None });
        }
        let put = async {
            self.with(|objects| {
                if name.starts_with("_lakeferry/done/") && !is_true(&bytes, objects) {
                    self.lake.lies.lock().push(name.to_owned());
                }
                let keeps = !self.lake.overwrites.load(Ordering::SeqCst);
                if keeps && mode == PutMode::Create && objects.contains_key(name) {
                    return PutOutcome::Exists;
                }
                let before = objects.insert(name.to_owned(), bytes.clone());
                if before.is_some_and(|before| before != bytes) && is_delivered(name) {
                    self.lake.rewritten.lock().insert(name.to_owned());
                }
                PutOutcome::Created
            })
        };
        self.fuse.step(!name.starts_with("_lakeferry/complete"), put).await
    }

    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        self.lake.wait(name).await;
        let read = async {
            self.with(|objects| {
                let bytes = objects.get(name)?;
                let start = match part {
                    Part::Whole => 0,
                    Part::End(end) => bytes.len().saturating_sub(usize::try_from(end).unwrap()),
                };
                Some(ReadObject { bytes: bytes.slice(start..), object_bytes: bytes.len() as u64 })
            })
        };
        self.fuse.step(false, read).await
    }

    async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let delete = async { self.with(|objects| drop(objects.remove(name))) };
        self.fuse.step(!name.starts_with("_lakeferry/complete"), delete).await
    }

    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        self.lake.wait(&format!("{folder}/")).await;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let listed = async {
            self.with(|objects| {
                for (name, bytes) in objects.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                    show(ListedObject { name: name.clone(), bytes: bytes.len() as u64 });
                }
            })
        };
        self.fuse.step(false, listed).await
    }

    async fn clean_temporary(&self) -> Result<(), BucketError> {
        Ok(())
    }
}

/// Objects whose bytes are fixed with their cut.
fn is_delivered(name: &str) -> bool {
    !name.starts_with("_lakeferry/") || name.starts_with("_lakeferry/dirty/")
}

impl Default for World {
    fn default() -> Self {
        let lake = Arc::new(Lake::default());
        lake.make("lake");
        Self {
            engine: MemoryEngine::default(),
            lake,
            clock: ManualClock::at(START),
            memory_bytes: 1 << 28,
            retry_min: Duration::from_millis(5),
            lane_bytes_per_s: 8 << 20,
        }
    }
}

impl World {
    /// Starts a process whose fuse never blows.
    pub fn start(&self) -> Process {
        self.start_with(Fuse::never())
    }

    pub fn start_with(&self, fuse: Arc<Fuse>) -> Process {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (world, fuse_) = (self.clone(), Arc::clone(&fuse));
        // It may be blown before it is open.
        let opening = async move {
            let blown = fuse_.blown.notified();
            tokio::pin!(blown);
            blown.as_mut().enable();
            tokio::select! {
                opened = world.open(Arc::clone(&fuse_)) => Some(opened),
                () = blown => None,
            }
        };
        let opened = runtime.block_on(runtime.spawn(opening)).unwrap();
        Process { runtime: Some(runtime), opened, fuse, world: self.clone() }
    }

    async fn open(&self, fuse: Arc<Fuse>) -> (Store, Delivery) {
        let engine = Arc::new(FusedEngine(self.engine.reopen(), Arc::clone(&fuse)));
        let store = Store::open(engine, self.clock.clone(), lakeferry_store::Settings::default(), soon());
        let store = store.await.unwrap();
        let settings = Settings {
            memory_bytes: self.memory_bytes,
            scan_lanes: 2,
            encoders: 2,
            tick: Duration::from_millis(5),
            retry_min: self.retry_min,
            retry_max: self.retry_min * 4,
            look_every: Duration::from_millis(20),
            slow_after: Duration::from_millis(50),
            lane_bytes_per_s: self.lane_bytes_per_s,
            lane_busy_for: Duration::from_secs(3),
            ..Settings::new("unused")
        };
        let buckets = Arc::new(FusedBuckets(Arc::clone(&self.lake), fuse));
        let delivery = Delivery::open_with(store.clone(), settings, buckets).await.unwrap();
        (store, delivery)
    }

    /// The data objects of a bucket, by name.
    pub fn objects_in(&self, bucket: &str) -> BTreeMap<String, DecodedObject> {
        let buckets = self.lake.buckets.lock();
        let objects = buckets.get(bucket).into_iter().flatten();
        objects
            .filter(|(name, _)| !name.starts_with("_lakeferry/") && !name.ends_with("/_SUCCESS"))
            .map(|(name, bytes)| (name.clone(), read_object(bytes.clone()).unwrap()))
            .collect()
    }

    pub fn objects(&self) -> BTreeMap<String, DecodedObject> {
        self.objects_in("lake")
    }

    pub fn names(&self) -> Vec<String> {
        self.objects().into_keys().collect()
    }

    /// The marks of complete folders, by folder.
    pub fn marks(&self) -> BTreeMap<String, FolderMark> {
        let buckets = self.lake.buckets.lock();
        let marks = buckets.get("lake").into_iter().flatten();
        let marks = marks.filter(|(name, _)| name.starts_with("_lakeferry/done/"));
        let marks = marks.map(|(_, bytes)| serde_json::from_slice::<FolderMark>(bytes).unwrap());
        marks.map(|mark| (mark.folder.clone(), mark)).collect()
    }

    /// All delivered rows as (id, value), sorted; a missing value is -1.
    pub fn rows(&self) -> Vec<(i64, i64)> {
        let mut rows = Vec::new();
        for object in self.objects().values() {
            let ids = integers(object, "id");
            rows.extend(ids.into_iter().zip(integers(object, "v")));
        }
        rows.sort_unstable();
        rows
    }
}

pub fn integers(object: &DecodedObject, column: &str) -> Vec<i64> {
    let Some(values) = object.column(column) else { return vec![-1; object.rows.len()] };
    let integer = |value: Option<&Value>| match value {
        Some(Value::Integer(value)) => *value,
        None => -1,
        other => panic!("{column} is {other:?}"),
    };
    values.into_iter().map(integer).collect()
}

/// A store with its delivery.
pub struct Process {
    runtime: Option<tokio::runtime::Runtime>,
    opened: Option<(Store, Delivery)>,
    pub fuse: Arc<Fuse>,
    world: World,
}

impl Process {
    pub fn delivery(&self) -> &Delivery {
        &self.opened.as_ref().expect("it was opened").1
    }

    pub fn store(&self) -> &Store {
        &self.opened.as_ref().expect("it was opened").0
    }

    /// Runs a call in the process; nothing if the process ends before the answer.
    pub fn try_run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let fuse = Arc::clone(&self.fuse);
        let runtime = self.runtime.as_ref().expect("it runs");
        runtime.block_on(async move {
            let blown = fuse.blown.notified();
            tokio::pin!(blown);
            blown.as_mut().enable();
            if fuse.has_blown() {
                return None;
            }
            tokio::select! {
                done = runtime.spawn(call) => Some(done.unwrap()),
                () = blown => None,
            }
        })
    }

    pub fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        self.try_run(call).expect("the process goes on")
    }

    /// Waits until something holds; false if the process ends before.
    pub fn reaches(&self, what: &str, mut holds: impl FnMut() -> bool) -> bool {
        let (mut waited, mut looked_at) = (Duration::ZERO, Instant::now());
        loop {
            if self.fuse.has_blown() {
                return false;
            }
            if holds() {
                return true;
            }
            assert!(waited < WAIT_MAX, "{what} was not reached: {:?}", self.statuses());
            std::thread::sleep(Duration::from_millis(1));
            waited += looked_at.elapsed().min(LOOK_MAX);
            looked_at = Instant::now();
        }
    }

    /// Whether no task has anything to do by itself.
    pub fn is_idle(&self) -> bool {
        let is_idle = |status: TaskStatus| status.phase == Phase::Incr;
        self.statuses().into_iter().all(is_idle)
    }

    fn statuses(&self) -> Vec<TaskStatus> {
        let Some((store, delivery)) = &self.opened else { return Vec::new() };
        let tables = store.all_tables();
        let described = tables.iter().flat_map(|table| {
            delivery.list(table).into_iter().map(|(name, _)| delivery.describe(table, &name).unwrap().status)
        });
        described.collect()
    }

    /// Ends the process at once, whatever it is doing.
    pub fn crash(self) {
        drop(self);
    }

    /// The table `t` with an integer key, made if it is missing, in so many partitions.
    pub fn table_in(&self, partitions: i64) -> Option<Table> {
        self.table_named("t", partitions)
    }

    pub fn table(&self) -> Table {
        self.table_in(1).expect("the process goes on")
    }

    pub fn table_named(&self, name: &str, partitions: i64) -> Option<Table> {
        let store = self.store().clone();
        let instance = InstanceName::parse("i").unwrap();
        let name = TableName::parse(name).unwrap();
        let bucket = BucketEntry {
            name: BucketName::parse("lake").unwrap(),
            location: BucketLocation::Local,
            created_at: START,
        };
        self.try_run(async move {
            if let Ok(table) = store.table(&instance, &name) {
                return table;
            }
            if !store.instance_exists(&instance) {
                store.create_instance(&instance).await.unwrap();
                store.put_bucket(bucket).await.unwrap();
            }
            let spec = TableSpec {
                schema: TableSchema {
                    name,
                    primary_key: vec![KeyColumn {
                        name: "id".to_owned(),
                        kind: KeyKind::Integer,
                        auto_increment: false,
                    }],
                    defined_columns: vec![],
                },
                options: TableOptions::default(),
                throughput: ReservedThroughput::default(),
                stream: None,
                split_points: (1..partitions).map(|at| KeyValue::Integer(at * 100)).collect(),
            };
            store.create_table(&instance, spec).await.unwrap()
        })
    }

    pub fn write(&self, table: &Table, rows: impl IntoIterator<Item = (i64, i64)>) {
        let changes = rows.into_iter().map(|(id, v)| put(id, vec![("v", Value::Integer(v))])).collect();
        assert!(self.try_write(table, changes).is_some(), "the process goes on");
    }

    pub fn try_write(&self, table: &Table, changes: Vec<RowChange>) -> Option<()> {
        let table = table.clone();
        let written = self.try_run(async move { table.write(changes, soon()).await })?;
        written.into_iter().for_each(|written| drop(written.unwrap()));
        Some(())
    }

    pub fn create(&self, table: &Table, spec: TaskSpec) {
        self.try_create(table, spec).expect("the process goes on").unwrap();
    }

    pub fn try_create(&self, table: &Table, spec: TaskSpec) -> Option<Result<(), lakeferry_delivery::Error>> {
        let (delivery, table) = (self.delivery().clone(), table.clone());
        self.try_run(async move { delivery.create(&table, spec, CreateVia::Wire).await })
    }

    pub fn update(
        &self,
        table: &Table,
        name: &str,
        change: impl FnOnce(&mut TaskSpec) + Send + 'static,
    ) -> Result<(), lakeferry_delivery::Error> {
        self.update_via(table, name, CreateVia::Wire, change)
    }

    pub fn update_via(
        &self,
        table: &Table,
        name: &str,
        via: CreateVia,
        change: impl FnOnce(&mut TaskSpec) + Send + 'static,
    ) -> Result<(), lakeferry_delivery::Error> {
        self.try_update(table, name, via, change).expect("the process goes on")
    }

    /// Changes a task, once it may be changed.
    pub fn try_update(
        &self,
        table: &Table,
        name: &str,
        via: CreateVia,
        change: impl FnOnce(&mut TaskSpec) + Send + 'static,
    ) -> Option<Result<(), lakeferry_delivery::Error>> {
        if !self.reaches("the end of INIT", || self.phase_of(table, name) != Phase::Init) {
            return None;
        }
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        let change = |mut spec: TaskSpec| {
            change(&mut spec);
            Ok(spec)
        };
        self.try_run(async move { delivery.update(&table, &name, change, via).await })
    }

    /// That of a task that there is not is beyond INIT.
    fn phase_of(&self, table: &Table, name: &str) -> Phase {
        let described = self.delivery().describe(table, &task_name(name));
        described.map_or(Phase::Incr, |described| described.status.phase)
    }

    pub fn delete(&self, table: &Table, name: &str) -> Result<(), lakeferry_delivery::Error> {
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        self.run(async move { delivery.delete(&table, &name).await })
    }

    pub fn deliver_now(&self, table: &Table, name: &str) {
        self.delivery().deliver_now(table, &task_name(name)).unwrap();
    }

    pub fn pause(&self, table: &Table, name: &str) {
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        self.run(async move { delivery.pause(&table, &name).await }).unwrap();
    }

    pub fn resume(&self, table: &Table, name: &str) {
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        self.run(async move { delivery.resume(&table, &name).await }).unwrap();
    }

    pub fn tune(
        &self,
        table: &Table,
        name: &str,
        change: TuningChange,
    ) -> Result<(), lakeferry_delivery::Error> {
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        self.run(async move { delivery.tune(&table, &name, &change).await })
    }

    /// Kinds and texts of a task's events.
    pub fn history(&self, table: &Table, name: &str) -> Vec<(TaskEventKind, String)> {
        let events = self.delivery().history(table, &task_name(name)).unwrap();
        events.into_iter().map(|event| (event.kind, event.text)).collect()
    }

    pub fn deliver_again(&self, table: &Table, name: &str) {
        let (delivery, table, name) = (self.delivery().clone(), table.clone(), task_name(name));
        self.run(async move { delivery.deliver_again(&table, &name).await }).unwrap();
    }

    pub fn status(&self, table: &Table, name: &str) -> TaskStatus {
        self.delivery().describe(table, &task_name(name)).unwrap().status
    }

    /// Waits until so many rows lie in the lake, in committed objects.
    pub fn wait_for_rows(&self, table: &Table, name: &str, rows: u64) -> bool {
        self.reaches("the number of rows", || self.status(table, name).rows_delivered == rows)
    }

    pub fn world(&self) -> &World {
        &self.world
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.fuse.is_blown.store(true, Ordering::SeqCst);
            // A step that is under way must not be done in the time of the next process.
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

pub fn task_name(name: &str) -> TaskName {
    TaskName::parse(name).unwrap()
}

pub fn put(id: i64, cells: Vec<(&str, Value)>) -> RowChange {
    let cells = cells
        .into_iter()
        .map(|(name, value)| CellChange { name: name.into(), update: ColumnUpdate::Put(value, None) })
        .collect();
    change(id, RowOperation::Put(cells))
}

pub fn change(id: i64, operation: RowOperation) -> RowChange {
    RowChange {
        primary_key: PrimaryKey::new(vec![KeyValue::Integer(id)]),
        operation,
        condition: Condition::default(),
        returning: Returning::Nothing,
    }
}

/// A task with an automatic schema into one folder, with objects of 64 MiB.
pub fn spec(name: &str, mode: Mode) -> TaskSpec {
    TaskSpec {
        name: task_name(name),
        mode,
        destination: Destination {
            bucket: BucketName::parse("lake").unwrap(),
            endpoint: "http://any".to_owned(),
            role: "role".to_owned(),
            prefix: "p".to_owned(),
            event_time: None,
            zone: "UTC".to_owned(),
            suffix: String::new(),
            dirty_prefix: None,
        },
        schema: SchemaSpec::Automatic { reserved: false },
        tuning: Tuning::default(),
    }
}
