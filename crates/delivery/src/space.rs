//! What is written down about the delivery tasks of one table: the space `tasks-{table id}`.
//!
//! Keys begin with a letter for their kind and the task's id; numbers in keys are big-endian. Values are JSON,
//! but positions, which are 8 bytes. `docs/design/0002-the-life-of-a-cut.md` draws all of them.
//!
//! A commit is one batch: progress, next sequences and totals move, and the prepared cut goes, together or
//! not at all. Every batch here only sets and removes keys, so one whose outcome is unknown is simply written
//! again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Engine, Scan, Space, SpaceId, WriteError};
use lakeferry_lake::ObjectSchema;
use lakeferry_model::delivery::{Mode, Phase, TaskSpec};
use lakeferry_model::{BucketName, Micros, TaskName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::progress::{Folder, Progress, ProgressChange};
use crate::stop::{Stop, Stopped};
use lakeferry_store::PartitionId;

/// The format of the entries here; a newer one is refused.
const FORMAT: u32 = 1;
/// How long one call of the engine may take.
const CALL: Duration = Duration::from_secs(10);
/// The wait before a failed write is tried again.
const WRITE_AGAIN: Duration = Duration::from_millis(200);

/// A task's id, never used again: a number that the catalog gives, under a random half, so that objects of two
/// deployments in one bucket cannot be mistaken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(u64);

impl TaskId {
    /// The id of the task with this number, which the catalog gives once. Below 2^53, so that every reader
    /// of JSON gets it right.
    pub(crate) fn of_number(number: u64) -> Self {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        Self((random >> 32) << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
    }

    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self::of_number(Uuid::new_v4().as_u64_pair().1)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task as it was asked for, and how far its life has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskEntry {
    pub(crate) format: u32,
    pub(crate) id: TaskId,
    pub(crate) spec: TaskSpec,
    pub(crate) created_at: Micros,
    pub(crate) stage: Stage,
    /// The phase of this run; an INC task that scans the table again is in FULL here and reports INCR.
    pub(crate) phase: Phase,
    pub(crate) run: u32,
    /// Where the sync point begins when FULL is over.
    pub(crate) sync_floor: Micros,
    /// Whether the names in the bucket were listed, so that sequences go on above them.
    pub(crate) are_names_listed: bool,
    /// What the bucket said of itself when the task first saw it.
    pub(crate) bucket_identity: Option<Uuid>,
    /// What was accepted with a doubt.
    pub(crate) warnings: Vec<String>,
    /// What a person should know of this run.
    pub(crate) note: Option<String>,
}

/// How far the making or the end of a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The entry is written; the log is not pinned yet.
    Entered,
    /// The pins are written.
    Live,
    /// Deleted; what is left is being cleared away.
    Deleted,
}

/// Where a run begins in a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) sequence: u64,
    pub(crate) commit_time: Micros,
}

/// What a lane counts. Never goes back, not with a new run either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneCounters {
    pub(crate) next_sequence: u64,
    pub(crate) next_cut: u64,
}

impl LaneCounters {
    pub(crate) fn take_sequence(&mut self) -> u64 {
        let taken = self.next_sequence;
        self.next_sequence += 1;
        taken
    }

    pub(crate) fn take_cut(&mut self) -> u64 {
        let taken = self.next_cut;
        self.next_cut += 1;
        taken
    }
}

impl Default for LaneCounters {
    fn default() -> Self {
        Self { next_sequence: 1, next_cut: 1 }
    }
}

/// What a run has delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
    pub(crate) dirty_fields: u64,
    pub(crate) event_time_dirty: u64,
    pub(crate) undelivered: BTreeMap<String, u64>,
    pub(crate) last_object_at: Option<Micros>,
    pub(crate) last_object: Option<String>,
}

/// A range of row keys that the full phase scans, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScanRange {
    pub(crate) partition: u64,
    /// Rows up to this are in the lake; absent: none.
    #[serde(with = "hex_key")]
    pub(crate) after: Option<Bytes>,
    /// The last row key of the range; absent: to the partition's end.
    #[serde(with = "hex_key")]
    pub(crate) until: Option<Bytes>,
    pub(crate) is_done: bool,
}

/// A cut whose names are fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreparedCut {
    pub(crate) number: u64,
    pub(crate) run: u32,
    pub(crate) kind: CutKind,
    pub(crate) schema: Arc<ObjectSchema>,
    pub(crate) objects: Vec<PreparedObject>,
}

/// What a cut was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CutKind {
    /// The log, up to these positions by partition; it is done again after a crash.
    Log {
        /// Positions by partition id.
        upto: BTreeMap<u64, u64>,
    },
    /// A scan; it is given up after a crash.
    Scan,
}

/// An object of a prepared cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreparedObject {
    pub(crate) folder: String,
    pub(crate) name: String,
    pub(crate) sequence: u64,
}

/// A name whose object, should it appear, is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Abandoned {
    pub(crate) task: TaskId,
    pub(crate) bucket: BucketName,
    pub(crate) name: String,
    /// After this it is not looked after any more.
    pub(crate) until: Micros,
}

/// Everything that is written down about one task.
#[derive(Debug, Clone)]
pub(crate) struct StoredTask {
    pub(crate) entry: TaskEntry,
    pub(crate) schema: Option<Arc<ObjectSchema>>,
    pub(crate) pins: BTreeMap<PartitionId, Pin>,
    pub(crate) lanes: BTreeMap<u32, StoredLane>,
    pub(crate) ranges: BTreeMap<u32, ScanRange>,
    pub(crate) totals: Totals,
}

/// Everything that is written down about one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredLane {
    pub(crate) counters: LaneCounters,
    pub(crate) progress: Progress,
    pub(crate) prepared: Option<PreparedCut>,
}

/// What a table's space holds.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) tasks: Vec<StoredTask>,
    pub(crate) abandoned: Vec<Abandoned>,
}

impl TaskEntry {
    /// A task that was just asked for.
    pub(crate) fn new(id: TaskId, spec: TaskSpec, created_at: Micros, warnings: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            id,
            spec,
            created_at,
            stage: Stage::Entered,
            phase: Phase::Init,
            run: 1,
            sync_floor: 0,
            are_names_listed: false,
            bucket_identity: None,
            warnings,
            note: None,
        }
    }

    pub(crate) fn name(&self) -> &TaskName {
        &self.spec.name
    }

    /// Whether the task follows the log.
    pub(crate) fn follows_log(&self) -> bool {
        self.spec.mode != Mode::Base
    }

    /// The phase as described to others.
    pub(crate) fn reported_phase(&self) -> Phase {
        match (self.spec.mode, self.phase) {
            (Mode::Inc, Phase::Full) => Phase::Incr,
            (_, phase) => phase,
        }
    }
}

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

    /// Reads everything. For the start, when nobody writes yet.
    pub(crate) async fn load(&self) -> Result<Stored, Error> {
        let mut entries = Vec::new();
        let mut from = Bytes::new();
        loop {
            let scan = Scan {
                area: Area::Table,
                from,
                to: None,
                backward: false,
                entries_max: 4096,
                bytes_max: 1 << 20,
            };
            let block = self.space.scan(scan, call()).await.map_err(Error::ReadTasks)?;
            entries.extend(block.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            match block.last_key() {
                Some(last) if block.more => from = [last, &[0]].concat().into(),
                _ => return stored(entries),
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
/// Bits of a task's id that are its number.
const NUMBER_BITS: u32 = 21;

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

    pub(crate) fn put_low(&mut self, task: TaskId, lane: u32, partition: PartitionId, low: u64) {
        self.0.put(Key::new(b'p', task).u32(lane).u64(partition.0).0, low.to_be_bytes().to_vec());
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
        key.extend_from_slice(&task.0.to_be_bytes());
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
        Ok(TaskId(u64::from_be_bytes(self.take()?)))
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

/// Row keys in JSON: hexadecimal text.
mod hex_key {
    use std::fmt::Write;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(key: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(key) = key else { return serializer.serialize_none() };
        let mut text = String::with_capacity(key.len() * 2);
        for byte in key {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        serializer.serialize_some(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let key: Option<Vec<u8>> = pairs.map(byte).collect();
        key.map(|key| Some(key.into())).ok_or_else(|| D::Error::custom("a row key is not hexadecimal"))
    }
}
