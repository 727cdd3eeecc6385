//! The store: instances and tables on an engine.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lakeferry_engine::{Engine, Room};
use lakeferry_model::{
    AccessKey, BucketEntry, BucketName, Clock, IndexSpec, InstanceEntry, InstanceName, KeyKind, KeyValue,
    ReservedThroughput, RoleEntry, RoleName, StreamSpec, TableName, TableOptions, TableSchema, Violation,
    check_index_count, check_index_options, limits,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, Number, PartitionRecord, TableRecord};
use crate::error::Error;
use crate::index::plan::CachedPlans;
use crate::index::{IndexPhase, Indexes};
use crate::key;
use crate::partition::head::LogKeeper;
use crate::partition::times::SharedTime;
use crate::partition::{Opening, Partition, PartitionId};
use crate::reclaim::reclaim;
use crate::table::{StreamInfo, Table, TableId, TableInfo};
use crate::time::BelievedClock;
use crate::transaction::{Transactions, end_expired};
use crate::trim::{LogReaders, keep_floor_ahead, trim_logs};

/// What the store may use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of rows that wait for committers, over all partitions. Further writers wait.
    pub waiting_bytes_max: usize,
    /// How long one call on the engine for a table's making or deleting may take.
    pub table_call: Duration,
    /// Bytes of rows that open transactions hold in memory, over all of them. Beyond it they write no further.
    pub transactions_bytes_max: usize,
    /// Bytes that a row may take with all its columns and versions. Every change of a row writes it whole, so
    /// large rows make small changes dear.
    pub row_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            waiting_bytes_max: 64 * 1024 * 1024,
            table_call: Duration::from_secs(30),
            transactions_bytes_max: 64 * 1024 * 1024,
            row_bytes_max: limits::ROW_BYTES_MAX,
        }
    }
}

impl Settings {
    fn waiting_kib_max(&self) -> u32 {
        u32::try_from(self.waiting_bytes_max / 1024).unwrap_or(u32::MAX).clamp(1, KIB_MAX)
    }
}

/// What a semaphore can count, on any machine.
const KIB_MAX: u32 = u32::MAX >> 3;

/// A table to make.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name and columns.
    pub schema: TableSchema,
    /// Its options.
    pub options: TableOptions,
    /// Capacity to set aside.
    pub throughput: ReservedThroughput,
    /// Its stream, if it has one.
    pub stream: Option<StreamSpec>,
    /// Values of the first primary key column that bound its partitions, ascending.
    pub split_points: Vec<KeyValue>,
}

/// Changes of a table; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TableUpdate {
    /// New options.
    pub options: Option<TableOptions>,
    /// New capacity.
    pub throughput: Option<ReservedThroughput>,
    /// The stream: `Some(None)` switches it off.
    pub stream: Option<Option<StreamSpec>>,
}

/// The store. Handles are shared.
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Arc<Inner>);

/// A store that may be gone: what background work holds, so that it ends with the store.
#[derive(Debug, Clone)]
pub(crate) struct WeakStore(Weak<Inner>);

impl WeakStore {
    /// The store, if anybody still has it.
    pub(crate) fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub engine: Arc<dyn Engine>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub catalog: Catalog,
    time: Arc<SharedTime>,
    waiting: Arc<Semaphore>,
    transactions: Arc<Transactions>,
    pub tables: RwLock<HashMap<(InstanceName, TableName), Table>>,
    pub indexes: Indexes,
    // Tables are made, changed and deleted one at a time.
    pub changing: tokio::sync::Mutex<()>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store: all tables, after what an interrupted deletion left is cleared away.
    ///
    /// # Errors
    /// If the engine does not answer in time, or an entry is damaged.
    pub async fn open(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let catalog = Catalog::open(&engine, deadline).await?;
        let time = SharedTime::new(BelievedClock::new(clock.clone()), catalog.floor());
        let waiting = Arc::new(Semaphore::new(settings.waiting_kib_max() as usize));
        let transactions = Transactions::new(settings.transactions_bytes_max);
        let store = Self(Arc::new(Inner {
            engine,
            clock,
            settings,
            catalog,
            time,
            waiting,
            transactions,
            tables: RwLock::default(),
            indexes: Indexes::default(),
            changing: tokio::sync::Mutex::default(),
            background: Mutex::default(),
        }));
        for record in store.0.catalog.tables() {
            if record.deleting {
                store.clear_away(&record).await?;
            } else {
                let table = store.open_table(&record, deadline).await?;
                let name = (record.info.instance.clone(), record.info.schema.name.clone());
                store.0.tables.write().insert(name, table.clone());
                for index in &record.info.indexes {
                    store.open_index(&table, index).await?;
                }
                store.clear_dropped_indexes(&record);
            }
        }
        let floor = tokio::spawn(keep_floor_ahead(store.downgrade()));
        let expired = tokio::spawn(end_expired(store.downgrade()));
        store.0.background.lock().extend([floor, expired]);
        Ok(store)
    }

    /// Starts trimming logs and reclaiming what nobody sees. Before this no log is let go, since nobody can tell who still reads it.
    pub fn start_background(&self, readers: Arc<dyn LogReaders>) {
        self.spawn_background(trim_logs(self.downgrade(), readers));
        self.spawn_background(reclaim(self.downgrade()));
    }

    /// Takes no further writes, commits those that wait, and closes the engine.
    ///
    /// # Errors
    /// If the engine cannot write down what it holds in time; nothing answered is lost.
    pub async fn close(&self, deadline: Instant) -> Result<(), Error> {
        for task in self.0.background.lock().drain(..) {
            task.abort();
        }
        self.0.indexes.close();
        self.0.transactions.end_all();
        for table in self.all_tables() {
            for partition in table.partitions() {
                partition.close();
            }
        }
        // All permits are back when nothing waits any more.
        let all = self.0.settings.waiting_kib_max();
        if tokio::time::timeout_at(deadline.into(), self.0.waiting.acquire_many(all)).await.is_err() {
            tracing::warn!("writes were still under way when the store was closed");
        }
        Ok(self.0.engine.close(deadline).await?)
    }

    /// The engine, for those that keep spaces of their own.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The catalog's own entries.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Whether there is room for more rows.
    pub fn room(&self) -> Room {
        self.0.engine.room()
    }

    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    /// Lets work go on in the background until it ends or the store does.
    pub(crate) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.0.background.lock();
        background.retain(|task| !task.is_finished());
        background.push(tokio::spawn(work));
    }

    pub(crate) fn transactions(&self) -> &Arc<Transactions> {
        &self.0.transactions
    }

    pub(crate) fn time(&self) -> &Arc<SharedTime> {
        &self.0.time
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// If there is one of that name, or it cannot be written.
    pub async fn create_instance(&self, name: &InstanceName) -> Result<InstanceEntry, Error> {
        let entry = InstanceEntry { name: name.clone(), created_at: self.0.clock.now_micros() };
        self.0.catalog.add_instance(entry.clone()).await?;
        Ok(entry)
    }

    /// Makes a table. It can be used at once.
    ///
    /// # Errors
    /// If a rule is broken, the name is taken, the instance is missing or full, or it cannot be written.
    pub async fn create_table(&self, instance: &InstanceName, spec: TableSpec) -> Result<Table, Error> {
        self.create_indexed_table(instance, spec, Vec::new()).await
    }

    /// Makes a table with indexes. All of them can be used at once.
    ///
    /// # Errors
    /// As for [`Store::create_table`], and if an index breaks a rule or its name is taken.
    pub async fn create_indexed_table(
        &self,
        instance: &InstanceName,
        spec: TableSpec,
        indexes: Vec<IndexSpec>,
    ) -> Result<Table, Error> {
        check_index_count(indexes.len())?;
        spec.schema.check()?;
        check_split_points(&spec)?;
        let _changing = self.0.changing.lock().await;
        if !self.instance_exists(instance) {
            return Err(Error::NoSuchInstance(instance.clone()));
        }
        let name = (instance.clone(), spec.schema.name.clone());
        if self.0.tables.read().contains_key(&name) || self.0.indexes.contains(&name.0, &name.1) {
            return Err(Error::TableExists(name.1));
        }
        if self.tables(instance).len() >= limits::TABLES_MAX {
            return Err(Error::TableQuota(instance.clone()));
        }
        let mut record = self.new_record(instance, spec).await?;
        for index in indexes {
            self.check_index(&record.info, &index)?;
            record.info.indexes.push(self.new_index(index, IndexPhase::Ready).await?);
        }
        self.clear_half_made(&name).await?;
        match self.make(&record).await {
            Ok(table) => {
                self.0.tables.write().insert(name, table.clone());
                Ok(table)
            }
            Err(error) => {
                self.forget_indexes(&record.info);
                // Nobody was told that there is such a table, so it must not be there after the next start either.
                self.abandon(record.info.id).await;
                Err(error)
            }
        }
    }

    async fn make(&self, record: &TableRecord) -> Result<Table, Error> {
        self.0.catalog.put_table(record.clone()).await?;
        let table = self.open_table(record, Instant::now() + self.0.settings.table_call).await?;
        for index in &record.info.indexes {
            self.open_index(&table, index).await?;
        }
        Ok(table)
    }

    /// The tables of an instance, by name.
    pub fn tables(&self, instance: &InstanceName) -> Vec<TableName> {
        let tables = self.0.tables.read();
        let mut names: Vec<TableName> =
            tables.keys().filter(|(of, _)| of == instance).map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// All tables of all instances, by id.
    pub fn all_tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.0.tables.read().values().cloned().collect();
        tables.sort_unstable_by_key(Table::id);
        tables
    }

    /// A table.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn table(&self, instance: &InstanceName, name: &TableName) -> Result<Table, Error> {
        let tables = self.0.tables.read();
        let found = tables.get(&(instance.clone(), name.clone()));
        found.cloned().ok_or_else(|| match self.0.indexes.contains(instance, name) {
            true => Error::IsIndex(name.clone()),
            false => Error::NoSuchTable(name.clone()),
        })
    }

    /// A table by its id.
    pub fn table_by_id(&self, id: TableId) -> Option<Table> {
        self.0.tables.read().values().find(|table| table.id() == id).cloned()
    }

    /// Changes a table's options, capacity or stream.
    ///
    /// # Errors
    /// If there is no such table, or it cannot be written.
    pub async fn update_table(
        &self,
        instance: &InstanceName,
        name: &TableName,
        update: TableUpdate,
    ) -> Result<Table, Error> {
        let _changing = self.0.changing.lock().await;
        let table = self.table(instance, name)?;
        let mut info = (*table.info()).clone();
        if let Some(options) = update.options.as_ref().filter(|_| !info.indexes.is_empty()) {
            check_index_options(options)?;
        }
        if let Some(Some(_)) = &update.stream {
            // Before there is a stream, and again for one that there is: what fails here has changed nothing that
            // anybody sees. A log that is kept for no stream is trimmed all the same, and not kept any more after
            // the next start.
            self.keep_logs(&table, true).await?;
        }
        // The time of commits: a stream tells every change that is committed at or after it.
        let now = self.0.time.now();
        let goes_off = matches!(update.stream, Some(None));
        if let Some(options) = update.options {
            info.surplus_versions |= options.versions_max < info.options.versions_max;
            info.options = options;
        }
        if let Some(throughput) = update.throughput {
            info.throughput = throughput;
            info.throughput_at = now;
        }
        if let Some(stream) = update.stream {
            info.stream = stream.map(|spec| match info.stream.take() {
                Some(known) => StreamInfo { spec, ..known },
                None => stream_info(name, spec, now),
            });
        }
        let written = self.put_info(&table, info, |_| ()).await;
        let may_be_written = written.as_ref().map_or_else(Error::may_be_written, |()| true);
        if goes_off && may_be_written {
            self.keep_logs(&table, false).await?;
        }
        written.map(|()| table)
    }

    /// Has all partitions of a table keep their logs for its stream, or not.
    async fn keep_logs(&self, table: &Table, on: bool) -> Result<(), Error> {
        let deadline = Instant::now() + self.0.settings.table_call;
        for partition in table.partitions() {
            partition.keep_log(LogKeeper::Stream, on, deadline).await?;
        }
        Ok(())
    }

    /// Deletes a table with all its rows. Its name is free at once.
    ///
    /// # Errors
    /// If there is no such table, or it cannot be written. Once it is marked, the deletion goes on in the background
    /// and after a crash.
    pub async fn delete_table(&self, instance: &InstanceName, name: &TableName) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let table = self.table(instance, name)?;
        let record = TableRecord { deleting: true, ..self.record(&table)? };
        let written = self.0.catalog.put_table(record.clone()).await;
        if matches!(&written, Err(error) if !error.may_be_written()) {
            return written;
        }
        self.forget_indexes(&table.info());
        // One that may be marked takes no rows any more: it is marked again before anything of it goes.
        self.0.tables.write().remove(&(instance.clone(), name.clone()));
        self.0.transactions.end_those_on(table.id());
        for partition in table.partitions() {
            partition.close();
        }
        match written {
            Ok(()) => self.clear_away(&record).await.unwrap_or_else(|error| {
                tracing::warn!(table = table.id().0, %error, "what is left of a table is cleared away later");
                self.clear_later(table.id());
            }),
            Err(_) => self.clear_later(table.id()),
        }
        written
    }

    pub(crate) fn record(&self, table: &Table) -> Result<TableRecord, Error> {
        let found = self.0.catalog.table(table.id());
        found.ok_or_else(|| Error::NoSuchTable(table.info().schema.name.clone()))
    }

    async fn new_record(&self, instance: &InstanceName, spec: TableSpec) -> Result<TableRecord, Error> {
        let now = self.0.time.now();
        let id = TableId(self.0.catalog.give_numbers(Number::Table, 1).await?);
        let count = spec.split_points.len() as u64 + 1;
        let first = self.0.catalog.give_numbers(Number::Partition, count).await?;
        let starts = spec.split_points.iter().map(|point| {
            let mut start = Vec::new();
            key::encode_value(point, &mut start);
            start
        });
        let partitions = std::iter::once(Vec::new())
            .chain(starts)
            .zip(first..)
            .map(|(start, id)| PartitionRecord { id: PartitionId(id), start })
            .collect();
        let stream = spec.stream.map(|stream| stream_info(&spec.schema.name, stream, now));
        let info = TableInfo {
            id,
            instance: instance.clone(),
            schema: spec.schema,
            options: spec.options,
            throughput: spec.throughput,
            throughput_at: now,
            stream,
            created_at: now,
            indexes: Vec::new(),
            surplus_versions: false,
            hidden_below_ms: None,
            plans: CachedPlans::default(),
        };
        Ok(TableRecord { info, partitions, deleting: false, dropped_indexes: Vec::new() })
    }

    async fn open_table(&self, record: &TableRecord, deadline: Instant) -> Result<Table, Error> {
        let (sender, info) = watch::channel(Arc::new(record.info.clone()));
        let mut partitions = Vec::with_capacity(record.partitions.len());
        for partition in &record.partitions {
            let opening = self.opening(partition.id, partition.start.clone(), info.clone(), false);
            partitions.push(Partition::open(opening, deadline).await?);
        }
        Ok(Table::new(record.info.id, sender, partitions))
    }

    /// What a partition is opened with.
    pub(crate) fn opening(
        &self,
        id: PartitionId,
        start: Vec<u8>,
        info: watch::Receiver<Arc<TableInfo>>,
        is_index: bool,
    ) -> Opening {
        Opening {
            id,
            start: start.into(),
            info,
            engine: self.0.engine.clone(),
            time: self.0.time.clone(),
            waiting: self.0.waiting.clone(),
            waiting_kib_max: self.0.settings.waiting_kib_max(),
            row_bytes_max: self.0.settings.row_bytes_max,
            is_index,
        }
    }
}

/// The catalog's entries, under the store's own name.
impl Store {
    /// All instances, by name.
    pub fn instances(&self) -> Vec<InstanceEntry> {
        self.0.catalog.instances()
    }

    /// Whether there is such an instance.
    pub fn instance_exists(&self, name: &InstanceName) -> bool {
        self.0.catalog.instance_exists(name)
    }

    /// A bucket.
    pub fn bucket(&self, name: &BucketName) -> Option<Arc<BucketEntry>> {
        self.0.catalog.bucket(name)
    }

    /// All buckets, by name.
    pub fn buckets(&self) -> Vec<Arc<BucketEntry>> {
        self.0.catalog.buckets()
    }

    /// Adds a bucket or changes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_bucket(&self, entry: BucketEntry) -> Result<(), Error> {
        self.0.catalog.put_bucket(entry).await
    }

    /// A role.
    pub fn role(&self, name: &RoleName) -> Option<Arc<RoleEntry>> {
        self.0.catalog.role(name)
    }

    /// All roles, by name.
    pub fn roles(&self) -> Vec<Arc<RoleEntry>> {
        self.0.catalog.roles()
    }

    /// Adds a role.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_role(&self, entry: RoleEntry) -> Result<(), Error> {
        self.0.catalog.put_role(entry).await
    }

    /// Forgets a role.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_role(&self, name: &RoleName) -> Result<(), Error> {
        self.0.catalog.remove_role(name).await
    }

    /// An access key.
    pub fn key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.0.catalog.key(id)
    }

    /// All access keys, by id.
    pub fn keys(&self) -> Vec<Arc<AccessKey>> {
        self.0.catalog.keys()
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_key(&self, key: AccessKey) -> Result<(), Error> {
        self.0.catalog.put_key(key).await
    }

    /// Forgets an access key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_key(&self, id: &str) -> Result<(), Error> {
        self.0.catalog.remove_key(id).await
    }
}

fn stream_info(table: &TableName, spec: StreamSpec, now: i64) -> StreamInfo {
    StreamInfo { spec, id: format!("{table}_{now}"), enabled_at: now }
}

/// The rules of a pre-split table, with the protocol's texts.
fn check_split_points(spec: &TableSpec) -> Result<(), Violation> {
    if spec.split_points.len() >= limits::PARTITIONS_AT_CREATE_MAX {
        return Err(Violation::parameter("The count of partitions cannot be greater than 10"));
    }
    let kind = spec.schema.primary_key.first().map(|column| column.kind);
    for point in &spec.split_points {
        let (fits, empty, length) = match point {
            KeyValue::Integer(i64::MIN | i64::MAX) => {
                let message = "The value of partition range can not be INT64_MIN or INT64_MAX.";
                return Err(Violation::parameter(message));
            }
            KeyValue::Integer(_) => (kind == Some(KeyKind::Integer), "", 1),
            KeyValue::String(text) => (kind == Some(KeyKind::String), "string", text.len()),
            KeyValue::Binary(bytes) => (kind == Some(KeyKind::Binary), "binary", bytes.len()),
        };
        if !fits {
            let message = "The value type of partition does not match with primary key.";
            return Err(Violation::parameter(message));
        }
        if length == 0 {
            let message = format!("The value of partition range can not be empty {empty}.");
            return Err(Violation::parameter(message));
        }
        if length > limits::SPLIT_POINT_BYTES_MAX {
            return Err(Violation::parameter(format!(
                "The value of partition range exceeds the MaxLength:{} with CurrentLength:{length}.",
                limits::SPLIT_POINT_BYTES_MAX
            )));
        }
    }
    if !spec.split_points.is_sorted_by(|a, b| a < b) {
        return Err(Violation::parameter("The partition ranges must be ascending and must not overlap."));
    }
    Ok(())
}
