//! What is written down about the delivery tasks of one table: the space `tasks-{table id}`.
//!
//! Keys begin with a letter for their kind and the task's id; numbers in keys are big-endian. Values are JSON,
//! but positions, which are 8 bytes. `docs/design/0002-the-life-of-a-cut.md` draws all of them.
//!
//! A commit is one batch: progress, next sequences and totals move, and the prepared cut goes, together or
//! not at all. Every batch here only sets and removes keys, so one whose outcome is unknown is simply written
//! again.

mod entry;
mod folders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Engine, Scan, Space, SpaceId, WriteError};
use lakeferry_lake::ObjectSchema;
use lakeferry_model::delivery::TaskEvent;
use lakeferry_store::PartitionId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::progress::{Folder, Progress, ProgressChange};
use crate::stop::{Stop, Stopped};
use entry::FORMAT;
pub use entry::TaskId;
pub(crate) use entry::{
    Abandoned, CutKind, LaneCounters, Next, Pin, PreparedCut, PreparedObject, ScanRange, Stage, Stored,
    StoredLane, StoredTask, TaskEntry, Totals,
};

/// How long one call of the engine may take.
const CALL: Duration = Duration::from_secs(10);
/// The wait before a failed write is tried again.
const WRITE_AGAIN: Duration = Duration::from_millis(200);

/// The space of a table's tasks.
#[derive(Debug, Clone)]
pub(crate) struct TaskSpace {
    space: Arc<dyn Space>,
}

impl TaskSpace {
    /// The name of the space of the table's tasks.
    pub(crate) fn id(table_id: u64) -> SpaceId {
        SpaceId::new(format!("{PREFIX}{table_id}"))
    }

    /// The table whose tasks lie in the space, if it is such a space.
    pub(crate) fn table_id(space: &SpaceId) -> Option<u64> {
        space.as_str().strip_prefix(PREFIX)?.parse().ok()
    }

    pub(crate) async fn open(engine: &Arc<dyn Engine>, table_id: u64) -> Result<Self, Error> {
        let space = engine.open_space(&Self::id(table_id), call()).await.map_err(Error::ReadTasks)?;
        Ok(Self { space })
    }

    /// Reads everything but the tallies of folders. For the start, when nobody writes yet.
    pub(crate) async fn load(&self) -> Result<Stored, Error> {
        stored(self.entries(Bytes::new(), Some(Bytes::from_static(b"x"))).await?)
    }

    /// Reads the abandoned names.
    pub(crate) async fn abandoned(&self) -> Result<Vec<Abandoned>, Error> {
        let entries = self.entries(Bytes::from_static(b"a"), Some(Bytes::from_static(b"b"))).await?;
        entries.iter().map(|(_, value)| json(value)).collect()
    }

    /// Events of a task that are written down.
    #[cfg(test)]
    pub(crate) async fn event_count(&self, task: TaskId) -> usize {
        let (from, to) = (Key::new(b'h', task), Key::new(b'h', task).u64(u64::MAX));
        self.entries(from.0.into(), Some(to.0.into())).await.unwrap().len()
    }

    async fn entries(&self, mut from: Bytes, to: Option<Bytes>) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        let mut entries = Vec::new();
        loop {
            let scan = Scan {
                area: Area::Table,
                from,
                to: to.clone(),
                backward: false,
                entries_max: 4096,
                bytes_max: 1 << 20,
            };
            let block = self.space.scan(scan, call()).await.map_err(Error::ReadTasks)?;
            entries.extend(block.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            match block.last_key() {
                Some(last) if block.more => from = [last, &[0]].concat().into(),
                _ => return Ok(entries),
            }
        }
    }

    /// Writes a batch once.
    pub(crate) async fn write(&self, writes: Writes) -> Result<(), Error> {
        self.space.write(writes.0, call()).await.map_err(Error::WriteTasks)
    }

    /// Writes a batch again and again until it is durable. The batches here may be repeated.
    pub(crate) async fn write_surely(&self, writes: Writes, stop: &Stop) -> Result<(), Stopped> {
        if writes.0.is_empty() {
            return Ok(());
        }
        loop {
            match self.space.write(writes.0.clone(), call()).await {
                Ok(()) => return Ok(()),
                Err(WriteError::NotWritten(error) | WriteError::Unknown(error)) => {
                    tracing::warn!(space = %self.space.id(), %error, "progress could not be written, trying again");
                    stop.sleep(WRITE_AGAIN).await?;
                }
            }
        }
    }
}

const PREFIX: &str = "tasks-";

fn call() -> Instant {
    Instant::now() + CALL
}

/// A batch for a table's space.
#[derive(Debug, Default)]
pub(crate) struct Writes(Batch);

impl Writes {
    pub(crate) fn put_entry(&mut self, entry: &TaskEntry) {
        self.put(Key::new(b'e', entry.id), entry);
    }

    pub(crate) fn put_schema(&mut self, task: TaskId, schema: &ObjectSchema) {
        self.put(Key::new(b'm', task), schema);
    }

    pub(crate) fn put_totals(&mut self, task: TaskId, totals: &Totals) {
        self.put(Key::new(b't', task), totals);
    }

    pub(crate) fn put_pin(&mut self, task: TaskId, partition: PartitionId, pin: &Pin) {
        self.put(Key::new(b'n', task).u64(partition.0), pin);
    }

    pub(crate) fn put_counters(&mut self, task: TaskId, lane: u32, counters: LaneCounters) {
        self.put(Key::new(b'l', task).u32(lane), &counters);
    }

    pub(crate) fn put_prepared(&mut self, task: TaskId, lane: u32, cut: &PreparedCut) {
        self.put(Key::new(b'c', task).u32(lane), cut);
    }

    pub(crate) fn remove_prepared(&mut self, task: TaskId, lane: u32) {
        self.0.delete(Key::new(b'c', task).u32(lane).0);
    }

    pub(crate) fn put_range(&mut self, task: TaskId, number: u32, range: &ScanRange) {
        self.put(Key::new(b's', task).u32(number), range);
    }

    pub(crate) fn remove_range(&mut self, task: TaskId, number: u32) {
        self.0.delete(Key::new(b's', task).u32(number).0);
    }

    pub(crate) fn put_event(&mut self, task: TaskId, event: &TaskEvent) {
        self.put(Key::new(b'h', task).u64(event.number), event);
    }

    pub(crate) fn remove_event(&mut self, task: TaskId, number: u64) {
        self.0.delete(Key::new(b'h', task).u64(number).0);
    }

    pub(crate) fn put_low(&mut self, task: TaskId, lane: u32, partition: PartitionId, low: u64) {
        self.0.put(Key::new(b'p', task).u32(lane).u64(partition.0).0, low.to_be_bytes().to_vec());
    }

    /// Moves a partition with no folder ahead from one lane to another.
    pub(crate) fn move_partition(
        &mut self,
        task: TaskId,
        partition: PartitionId,
        (from, to): (u32, u32),
        low: u64,
    ) {
        self.0.delete(Key::new(b'p', task).u32(from).u64(partition.0).0);
        self.put_low(task, to, partition, low);
    }

    pub(crate) fn move_progress(&mut self, task: TaskId, lane: u32, change: &ProgressChange) {
        for (partition, low) in &change.lows {
            self.put_low(task, lane, *partition, *low);
        }
        for (partition, folder) in &change.level {
            self.0.delete(Key::new(b'f', task).u32(lane).u64(partition.0).text(folder).0);
        }
        for (partition, folder, position) in &change.ahead {
            let key = Key::new(b'f', task).u32(lane).u64(partition.0).text(folder);
            self.0.put(key.0, position.to_be_bytes().to_vec());
        }
    }

    /// Removes a lane's progress, for a new run or for good.
    pub(crate) fn remove_progress(&mut self, task: TaskId, lane: u32, progress: &Progress) {
        for (partition, folders) in progress.keys() {
            self.0.delete(Key::new(b'p', task).u32(lane).u64(partition.0).0);
            for folder in folders {
                self.0.delete(Key::new(b'f', task).u32(lane).u64(partition.0).text(folder).0);
            }
        }
    }

    pub(crate) fn put_abandoned(&mut self, abandoned: &Abandoned) {
        self.put(abandoned_key(abandoned), abandoned);
    }

    pub(crate) fn remove_abandoned(&mut self, abandoned: &Abandoned) {
        self.0.delete(abandoned_key(abandoned).0);
    }

    /// Removes everything of a task but its abandoned names.
    pub(crate) fn remove_task(&mut self, task: &StoredTask) {
        let id = task.entry.id;
        for (lane, stored) in &task.lanes {
            self.remove_progress(id, *lane, &stored.progress);
            self.remove_prepared(id, *lane);
            self.0.delete(Key::new(b'l', id).u32(*lane).0);
        }
        for number in task.ranges.keys() {
            self.remove_range(id, *number);
        }
        for partition in task.pins.keys() {
            self.0.delete(Key::new(b'n', id).u64(partition.0).0);
        }
        for kind in [b'e', b'm', b't'] {
            self.0.delete(Key::new(kind, id).0);
        }
    }

    fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("our own entries have only text keys");
        self.0.put(key.0, value);
    }
}

fn abandoned_key(abandoned: &Abandoned) -> Key {
    Key(vec![b'a']).text(abandoned.bucket.as_str()).text("\0").text(&abandoned.name)
}

/// A key as it is put together.
struct Key(Vec<u8>);

impl Key {
    fn new(kind: u8, task: TaskId) -> Self {
        let mut key = vec![kind];
        key.extend_from_slice(&task.number().to_be_bytes());
        Self(key)
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

/// A key as it is taken apart.
struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Error::Damaged("a key is too short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn task(&mut self) -> Result<TaskId, Error> {
        Ok(TaskId::of_key(u64::from_be_bytes(self.take()?)))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn partition(&mut self) -> Result<PartitionId, Error> {
        Ok(PartitionId(u64::from_be_bytes(self.take()?)))
    }

    fn text(self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.0).map_err(|_| Error::Damaged("a key holds no text"))
    }
}

fn stored(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Stored, Error> {
    let mut stored = Stored::default();
    // Task entries come first, so that what hangs on them finds them.
    let (heads, parts): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, _)| key.first() == Some(&b'e'));
    for (_, value) in heads {
        let entry: TaskEntry = json(&value)?;
        if entry.format > FORMAT {
            return Err(Error::TooNew(entry.format));
        }
        stored.tasks.push(StoredTask {
            entry,
            schema: None,
            pins: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ranges: BTreeMap::new(),
            totals: Totals::default(),
            events: Vec::new(),
        });
    }
    for (key, value) in parts {
        if key.first() == Some(&b'a') {
            stored.abandoned.push(json(&value)?);
            continue;
        }
        let (kind, rest) = key.split_first().ok_or(Error::Damaged("a key is empty"))?;
        let mut key = KeyReader(rest);
        let id = key.task()?;
        if let Some(task) = stored.tasks.iter_mut().find(|task| task.entry.id == id) {
            task.take(*kind, key, &value)?;
        }
    }
    Ok(stored)
}

impl StoredTask {
    fn take(&mut self, kind: u8, mut key: KeyReader<'_>, value: &[u8]) -> Result<(), Error> {
        match kind {
            b'h' => self.events.push(json(value)?),
            b'm' => self.schema = Some(Arc::new(json(value)?)),
            b't' => self.totals = json(value)?,
            b'n' => drop(self.pins.insert(key.partition()?, json(value)?)),
            b's' => drop(self.ranges.insert(key.u32()?, json(value)?)),
            b'l' => self.lane(&mut key)?.counters = json(value)?,
            b'c' => self.lane(&mut key)?.prepared = Some(json(value)?),
            b'p' => {
                let lane = self.lane(&mut key)?;
                lane.progress.set_low(key.partition()?, position(value)?);
            }
            b'f' => {
                let lane = self.lane(&mut key)?;
                let partition = key.partition()?;
                lane.progress.set_ahead(partition, Folder::from(key.text()?), position(value)?);
            }
            _ => return Err(Error::Damaged("a key is of an unknown kind")),
        }
        Ok(())
    }

    fn lane(&mut self, key: &mut KeyReader<'_>) -> Result<&mut StoredLane, Error> {
        Ok(self.lanes.entry(key.u32()?).or_default())
    }
}

fn json<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(Error::DamagedEntry)
}

fn position(value: &[u8]) -> Result<u64, Error> {
    let value = value.try_into().map_err(|_| Error::Damaged("a position is not 8 bytes long"))?;
    Ok(u64::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_engine::MemoryEngine;
    use lakeferry_model::delivery::{Destination, Mode, SchemaSpec, TaskSpec, Tuning};
    use lakeferry_model::{BucketName, KeyColumn, KeyKind, TableName, TableSchema, TaskName};

    fn spec() -> TaskSpec {
        TaskSpec {
            name: TaskName::parse("first").unwrap(),
            mode: Mode::BaseInc,
            destination: Destination {
                bucket: BucketName::parse("lake").unwrap(),
                endpoint: "e".to_owned(),
                role: "r".to_owned(),
                prefix: "p/$yyyy".to_owned(),
                event_time: None,
                zone: "UTC".to_owned(),
                suffix: ".parquet".to_owned(),
                dirty_prefix: None,
            },
            schema: SchemaSpec::Automatic { reserved: true },
            tuning: Tuning::default(),
        }
    }

    fn schema() -> ObjectSchema {
        let key = KeyColumn { name: "id".to_owned(), kind: KeyKind::Integer, auto_increment: false };
        let name = TableName::parse("t").unwrap();
        ObjectSchema::automatic(&TableSchema { name, primary_key: vec![key], defined_columns: vec![] }, true)
    }

    #[tokio::test]
    async fn what_is_written_about_a_task_is_read_back_and_removed_without_a_trace() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let space = TaskSpace::open(&engine, 7).await.unwrap();
        let (id, partition) = (TaskId::of_number(1), PartitionId(3));
        let entry = TaskEntry::new(id, spec(), 5, vec!["doubt".to_owned()]);
        let range = ScanRange {
            partition: 3,
            after: Some(Bytes::from_static(b"\x00\xff")),
            until: None,
            is_done: false,
        };
        let cut = PreparedCut {
            number: 4,
            run: 1,
            kind: CutKind::Log { upto: BTreeMap::from([(3, 12)]) },
            configuration: 2,
            compression: Some(lakeferry_model::delivery::Compression::None),
            dirty: Some("d/1".to_owned()),
            schema: Arc::new(schema()),
            objects: vec![PreparedObject { folder: "p".to_owned(), name: "p/x".to_owned(), sequence: 9 }],
        };
        let ahead = vec![(partition, Folder::from("p/2020"), 11)];
        let change = ProgressChange { lows: vec![(partition, 10)], ahead, level: vec![] };
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        writes.put_schema(id, &schema());
        writes.put_totals(id, &Totals { rows: 2, ..Totals::default() });
        writes.put_pin(id, partition, &Pin { sequence: 8, commit_time: 9 });
        writes.put_counters(id, 1, LaneCounters { next_sequence: 10, next_cut: 5 });
        writes.put_prepared(id, 1, &cut);
        writes.put_range(id, 0, &range);
        writes.move_progress(id, 1, &change);
        space.write(writes).await.unwrap();

        let stored = space.load().await.unwrap().tasks.remove(0);
        assert_eq!((stored.entry.id, &stored.entry.spec, stored.entry.stage), (id, &spec(), Stage::Entered));
        assert_eq!((stored.totals.rows, stored.schema.as_deref()), (2, Some(&schema())));
        assert_eq!(stored.pins[&partition].sequence, 8);
        assert_eq!(stored.ranges[&0], range);
        let lane = &stored.lanes[&1];
        assert_eq!((lane.counters.next_sequence, lane.counters.next_cut), (10, 5));
        assert_eq!(lane.prepared, Some(cut));
        assert_eq!(lane.progress.low(partition), 10);
        assert!(lane.progress.is_delivered(partition, "p/2020", 11));

        let mut writes = Writes::default();
        writes.remove_task(&stored);
        space.write(writes).await.unwrap();
        assert_eq!(space.entries(Bytes::new(), None).await.unwrap(), []);
    }

    /// Takes fields away that programs before this one did not know.
    fn without(value: impl Serialize, fields: &[&str]) -> serde_json::Value {
        let mut value = serde_json::to_value(value).unwrap();
        for &field in fields {
            let (path, name) = field.rsplit_once('/').unwrap_or(("", field));
            let path = if path.is_empty() { String::new() } else { format!("/{path}") };
            value.pointer_mut(&path).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        }
        value
    }

    #[tokio::test]
    async fn entries_of_older_programs_open() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let space = TaskSpace::open(&engine, 7).await.unwrap();
        let id = TaskId::of_number(1);
        let entry = TaskEntry::new(id, spec(), 5, vec![]);
        let tuning = ["inactivity_ms_max", "bytes_per_s_max", "rows_per_s_max", "lateness_ms"];
        let tuning = tuning.into_iter().chain(["has_success_objects", "compression", "dirty_fields_max"]);
        let tuning = tuning.map(|name| format!("spec/tuning/{name}")).collect::<Vec<_>>();
        let fields = ["configuration", "next", "is_paused"].into_iter();
        let fields: Vec<&str> = fields.chain(tuning.iter().map(String::as_str)).collect();
        let cut = PreparedCut {
            number: 4,
            run: 1,
            kind: CutKind::Log { upto: BTreeMap::from([(3, 12)]) },
            configuration: 1,
            compression: None,
            dirty: None,
            schema: Arc::new(schema()),
            objects: vec![],
        };
        let totals = Totals { rows: 2, ..Totals::default() };
        let abandoned = Abandoned {
            task: id,
            bucket: spec().destination.bucket,
            role: String::new(),
            name: "p/x".to_owned(),
            is_own_name: false,
            until: 7,
        };
        let mut writes = Writes::default();
        writes.put(Key::new(b'e', id), &without(&entry, &fields));
        writes.put(Key::new(b'c', id).u32(0), &without(&cut, &["configuration", "compression", "dirty"]));
        writes.put(Key::new(b't', id), &without(&totals, &["undelivered_kinds", "dirty"]));
        writes.put(abandoned_key(&abandoned), &without(&abandoned, &["is_own_name", "role"]));
        space.write(writes).await.unwrap();

        let stored = space.load().await.unwrap();
        assert_eq!(stored.abandoned, [abandoned]);
        let task = &stored.tasks[0];
        assert_eq!((&task.entry.spec, task.entry.configuration, &task.entry.next), (&spec(), 1, &None));
        assert!(!task.entry.is_paused);
        assert_eq!((task.totals.clone(), task.lanes[&0].prepared.clone()), (totals, Some(cut)));
    }

    #[tokio::test]
    async fn an_entry_of_a_newer_program_is_refused() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let space = TaskSpace::open(&engine, 7).await.unwrap();
        let mut entry = TaskEntry::new(TaskId::of_number(1), spec(), 5, vec![]);
        entry.format = FORMAT + 1;
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        space.write(writes).await.unwrap();
        assert!(matches!(space.load().await, Err(Error::TooNew(_))));
    }

    #[test]
    fn task_ids_are_safe_in_json_and_differ_between_deployments() {
        let (one, other) = (TaskId::of_number(1), TaskId::of_number(1));
        assert!(one.number() < 1 << 53 && one != other);
        assert_ne!(TaskId::of_number(1).number() % 8, TaskId::of_number(2).number() % 8);
    }
}
