//! A partition: a contiguous range of a table's rows, with the log of its changes.
//!
//! Every write of rows ends in [`Partition::write`]:
//! 1. [`rows`]: the request locks its rows, once and in key order.
//! 2. It reads what its changes need, pending rows first, and [`apply`]s them in order.
//! 3. It leaves its rows as pending, queues them for the [`committer`], and unlocks.
//! 4. It waits for the committer's answer.
//!
//! Reads see only what is durable.

mod apply;
mod committer;
pub mod head;
mod read;
mod rows;
pub mod times;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use lakeferry_engine::{Area, Room, Space};
use lakeferry_model::{Row, RowChange, limits};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::error::Error;
use crate::table::TableInfo;
use apply::Rules;
use committer::{Committer, PreparedRow, Request, Write};
use head::{HEAD_KEY, Head, Kept, LogHead, LogKeeper, row_key};
pub use read::{LogBlock, RowBlock};
use rows::Rows;
use times::Times;

/// A partition's id, never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PartitionId(pub u64);

/// A partition. Handles are shared.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: PartitionId,
    /// The smallest row key that may lie here: the bytes of a value of the first primary key column, or none.
    start: Bytes,
    info: watch::Receiver<Arc<TableInfo>>,
    space: Arc<dyn Space>,
    engine: Arc<dyn lakeferry_engine::Engine>,
    rows: Arc<Rows>,
    times: Arc<Times>,
    head: watch::Receiver<LogHead>,
    trimmed: std::sync::atomic::AtomicU64,
    /// `None` once the partition is closed.
    queue: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    /// KiB of rows that wait for committers, over the whole store.
    waiting: Arc<Semaphore>,
    recent: Mutex<RecentCells>,
}

/// What a write did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// What the writer asked to be told.
    pub returned: Option<Row>,
}

/// What a partition is opened with.
pub struct Opening {
    /// Its id.
    pub id: PartitionId,
    /// The smallest row key that may lie in it.
    pub start: Bytes,
    /// The table it belongs to.
    pub info: watch::Receiver<Arc<TableInfo>>,
    /// The engine that holds it.
    pub engine: Arc<dyn lakeferry_engine::Engine>,
    /// The store's time.
    pub time: Arc<times::SharedTime>,
    /// KiB of rows that wait for committers, over the whole store.
    pub waiting: Arc<Semaphore>,
}

impl PartitionId {
    /// The engine's space that holds the partition.
    pub fn space(self) -> lakeferry_engine::SpaceId {
        lakeferry_engine::SpaceId::new(format!("partition-{}", self.0))
    }
}

impl Partition {
    /// Opens a partition, making its space if there is none, and starts its committer.
    ///
    /// # Errors
    /// If the engine cannot open it.
    pub async fn open(opening: Opening, deadline: Instant) -> Result<Self, Error> {
        let Opening { id, start, info, engine, time, waiting } = opening;
        let space = engine.open_space(&id.space(), deadline).await?;
        let read = space.read(Area::Table, vec![Bytes::from_static(HEAD_KEY)], deadline).await?;
        let head = match read.into_iter().flatten().next() {
            Some(bytes) => Head::decode(&bytes)?,
            None => {
                let stream = info.borrow().stream.is_some();
                Head { kept: Kept::default().with(LogKeeper::Stream, stream), ..Head::default() }
            }
        };
        let rows = Arc::new(Rows::default());
        let times = Arc::new(Times::new(time, head.commit_time));
        let (watch, watched) = watch::channel(head.log_head());
        let (queue, requests) = mpsc::unbounded_channel();
        let committer = Committer {
            space: space.clone(),
            head,
            rows: rows.clone(),
            times: times.clone(),
            watch,
            given: head.sequence,
        };
        tokio::spawn(committer.run(requests));
        Ok(Self(Arc::new(Inner {
            id,
            start,
            info,
            space,
            engine,
            rows,
            times,
            head: watched,
            trimmed: head.trimmed.into(),
            queue: Mutex::new(Some(queue)),
            waiting,
            recent: Mutex::new(RecentCells::default()),
        })))
    }

    /// Its id.
    pub fn id(&self) -> PartitionId {
        self.0.id
    }

    /// The smallest row key that may lie here; empty for the first partition.
    pub fn start(&self) -> &Bytes {
        &self.0.start
    }

    /// How far its log has come, as far as it is durable.
    pub fn head(&self) -> LogHead {
        *self.0.head.borrow()
    }

    /// Tells whenever the head moves.
    pub fn watch(&self) -> watch::Receiver<LogHead> {
        self.0.head.clone()
    }

    /// A time at or below which everything that is ever committed can be read now. It never goes back; no
    /// commit time at or below it is given afterwards. In microseconds since the epoch.
    pub fn closed_time(&self) -> i64 {
        self.0.times.closed()
    }

    /// The greatest sequence that the log has let go.
    pub fn trimmed(&self) -> u64 {
        self.0.trimmed.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Switches the log on or off for one of its keepers. Answers the head after the switch: with the log on,
    /// every later sequence is in it.
    ///
    /// # Errors
    /// If it could not be written down; then it may be on or off.
    pub async fn keep_log(
        &self,
        keeper: LogKeeper,
        on: bool,
        deadline: Instant,
    ) -> Result<LogHead, Error> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request::KeepLog(keeper, on, reply))?;
        wait(answer, deadline).await
    }

    /// Lets the log go up to this sequence.
    ///
    /// # Errors
    /// If it could not be written down, or the engine does not give it back now. It may be tried again.
    pub async fn trim(&self, sequence: u64, deadline: Instant) -> Result<(), Error> {
        if sequence > self.trimmed() {
            let (reply, answer) = oneshot::channel();
            self.enqueue(Request::NoteTrimmed(sequence, reply))?;
            wait(answer, deadline).await?;
            self.0.trimmed.fetch_max(sequence, std::sync::atomic::Ordering::SeqCst);
        }
        let below = crate::record::log_key(sequence.saturating_add(1)).to_vec();
        Ok(self.0.space.trim(below.into(), deadline).await?)
    }

    /// Bytes that the log holds, roughly.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn log_bytes(&self, deadline: Instant) -> Result<u64, Error> {
        Ok(self.0.space.log_bytes(deadline).await?)
    }

    /// Takes no further requests; those that wait are still committed.
    pub fn close(&self) {
        self.0.queue.lock().take();
    }

    /// Writes rows, each with its key's bytes. Each succeeds or fails alone; the answers come in the order of
    /// the changes. Once queued it is committed, whatever becomes of the caller.
    pub async fn write(
        &self,
        changes: &[(Bytes, &RowChange)],
        deadline: Instant,
    ) -> Vec<Result<Written, Error>> {
        match self.try_write(changes, deadline).await {
            Ok(outcomes) => outcomes,
            Err(error) => changes.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn try_write(
        &self,
        changes: &[(Bytes, &RowChange)],
        deadline: Instant,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let inner = &*self.0;
        if let Room::AtReserve { free, reserve } = inner.engine.room() {
            return Err(Error::AtReserve { free, reserve });
        }
        let estimate: usize = changes.iter().map(|(key, change)| 2 * (key.len() + size(change)) + 128).sum();
        let kib = u32::try_from(estimate.div_ceil(1024)).unwrap_or(u32::MAX);
        let held_bytes = tokio::time::timeout_at(deadline.into(), inner.waiting.clone().acquire_many_owned(kib));
        let Ok(Ok(held_bytes)) = held_bytes.await else {
            return Err(Error::NotWritten("too many bytes wait to be written".into()));
        };
        let mut keys: Vec<Bytes> = changes.iter().map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let held = inner.rows.hold(keys, deadline).await?;
        let (pending, place) = held.look();
        let info = inner.info.borrow().clone();
        let now_ms = inner.times.shared().now() / 1000;
        let rules = Rules {
            options: &info.options,
            origin_columns: info.stream.as_ref().map_or(&[], |stream| &stream.spec.origin_columns),
            now_ms,
            entry_bytes_max: limits::ROW_BYTES_MAX,
        };
        let old = self.read_old(&rules, changes, held.keys(), pending, deadline).await?;
        let cell_ms = inner.recent.lock().take(held.keys(), changes.len(), now_ms);
        let applied = apply_all(&rules, changes, old, &cell_ms, estimate);

        let mut last: HashMap<&Bytes, &Option<Bytes>, RandomState> = HashMap::default();
        for row in &applied.rows {
            last.insert(&row.key, &row.entry);
        }
        if applied.rows.is_empty() {
            return Ok(applied.outcomes);
        }
        held.leave(place, last.into_iter());
        let (reply, answer) = oneshot::channel();
        let write = Write { place, rows: applied.rows, bytes: applied.bytes, reply, _held: held_bytes };
        if let Err(error) = self.enqueue(Request::Write(write)) {
            inner.rows.forget_pending();
            return Err(error);
        }
        drop(held);
        wait(answer, deadline).await?;
        Ok(applied.outcomes)
    }

    /// The rows that changes need to know, by key: entries without their heads.
    async fn read_old(
        &self,
        rules: &Rules<'_>,
        changes: &[(Bytes, &RowChange)],
        keys: &[Bytes],
        pending: Vec<Option<Option<Bytes>>>,
        deadline: Instant,
    ) -> Result<OldRows, Error> {
        let mut old = OldRows::default();
        if !changes.iter().any(|(_, change)| rules.need_old(change)) {
            return Ok(old);
        }
        let mut missing = Vec::new();
        for (key, pending) in keys.iter().zip(pending) {
            match pending {
                Some(entry) => {
                    old.insert(key.clone(), entry);
                }
                None => missing.push(key.clone()),
            }
        }
        let entry_keys = missing.iter().map(|key| {
            let mut entry_key = Vec::with_capacity(key.len() + 1);
            row_key(key, &mut entry_key);
            entry_key.into()
        });
        let read = self.0.space.read(Area::Table, entry_keys.collect(), deadline).await?;
        for (key, entry) in missing.into_iter().zip(read) {
            let columns = entry.map(|entry| {
                let columns = apply::entry_columns(&entry)?;
                Ok::<Bytes, Error>(entry.slice_ref(columns))
            });
            old.insert(key, columns.transpose()?);
        }
        Ok(old)
    }

    fn enqueue(&self, request: Request) -> Result<(), Error> {
        let closed = || Error::NotWritten("the partition is closed".into());
        let queue = self.0.queue.lock();
        queue.as_ref().ok_or_else(closed)?.send(request).map_err(|_| closed())
    }
}

type OldRows = HashMap<Bytes, Option<Bytes>, RandomState>;

struct AppliedRows {
    outcomes: Vec<Result<Written, Error>>,
    rows: Vec<PreparedRow>,
    bytes: usize,
}

/// Applies the changes in order; a later one sees what an earlier one made of the same row.
fn apply_all(
    rules: &Rules<'_>,
    changes: &[(Bytes, &RowChange)],
    mut old: OldRows,
    cell_ms: &[i64],
    estimate: usize,
) -> AppliedRows {
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut rows = Vec::with_capacity(changes.len());
    let mut bytes = 0;
    let know_old = !old.is_empty();
    let mut arena = Vec::with_capacity(estimate);
    let mut places = Vec::with_capacity(changes.len());
    for ((key, change), cell_ms) in changes.iter().zip(cell_ms) {
        let before = old.get(key).and_then(Option::as_deref);
        match rules.apply(before, change, key, *cell_ms, &mut arena) {
            Ok(applied) => {
                if know_old {
                    let after = applied.entry.clone().map(|entry| Bytes::copy_from_slice(&arena[entry]));
                    old.insert(key.clone(), after);
                }
                outcomes.push(Ok(Written { returned: applied.returned }));
                places.push((key.clone(), applied.entry, applied.record));
            }
            Err(error) => outcomes.push(Err(error)),
        }
    }
    let arena = Bytes::from(arena);
    for (key, entry, record) in places {
        bytes += key.len() + record.len() + entry.as_ref().map_or(0, ExactSizeIterator::len);
        let entry = entry.map(|entry| arena.slice(entry));
        rows.push(PreparedRow { key, entry, record: arena.slice(record) });
    }
    AppliedRows { outcomes, rows, bytes }
}

async fn wait<T>(answer: oneshot::Receiver<Result<T, Error>>, deadline: Instant) -> Result<T, Error> {
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(outcome)) => outcome,
        // The committer has it and has not answered.
        Ok(Err(_)) | Err(_) => Err(Error::Unknown(lakeferry_engine::Error::Deadline)),
    }
}

fn size(change: &RowChange) -> usize {
    change.size(&[] as &[&str]) + 16 * change.operation.cells().len()
}

/// The timestamps that rows got lately: two writes of one row within a millisecond must not share theirs.
#[derive(Debug, Default)]
struct RecentCells {
    by_row: HashMap<u64, i64, RandomState>,
    hasher: RandomState,
    seen_ms: i64,
}

impl RecentCells {
    /// Rows remembered before those of the past are dropped.
    const ROWS_MAX: usize = 16 * 1024;

    /// A timestamp for each of `count` changes of these rows: now, or one above the greatest that any of the
    /// rows had. A row that is changed twice in a request gets two.
    fn take(&mut self, keys: &[Bytes], count: usize, now_ms: i64) -> Vec<i64> {
        use std::hash::BuildHasher;
        if now_ms > self.seen_ms || self.by_row.len() > Self::ROWS_MAX {
            self.seen_ms = now_ms;
            self.by_row.retain(|_, ms| *ms >= now_ms);
        }
        let hashes: Vec<u64> = keys.iter().map(|key| self.hasher.hash_one(key)).collect();
        let greatest = hashes.iter().filter_map(|hash| self.by_row.get(hash)).max();
        let first = greatest.map_or(now_ms, |ms| now_ms.max(ms + 1));
        // Only a request that names a row twice needs more than one timestamp.
        let rising = count > keys.len();
        let times: Vec<i64> =
            (0..count).map(|at| if rising { first + i64::try_from(at).unwrap_or(0) } else { first }).collect();
        let last = times.last().copied().unwrap_or(first);
        self.by_row.extend(hashes.into_iter().map(|hash| (hash, last)));
        times
    }
}
