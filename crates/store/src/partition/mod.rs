//! A partition: a contiguous range of a table's rows, with the log of its changes.
//!
//! - [`write`]: the one way of every row write. It ends in the [`committer`], the partition's one writer. Rows that
//!   are written all or none go through a [`buffer`]; [`auto_keys`] completes the keys of inserted ones.
//! - [`upkeep`]: what is written beside the rows' own changes: indexes, and the reclaiming of what nobody sees.
//! - [`read`]: reads of rows and of the log, which see only what is durable.
//! - [`head`], [`times`]: how far the log has come, and in time.

mod apply;
mod auto_keys;
mod buffer;
mod cell_times;
mod committer;
mod condition;
pub mod head;
mod position;
mod read;
mod rows;
pub mod times;
mod upkeep;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Space};
use lakeferry_model::{Row, TableName};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::error::Error;
use crate::table::TableInfo;
use auto_keys::AutoKeys;
pub(crate) use buffer::Buffer;
use cell_times::CellTimes;
use committer::{Committer, Request};
use head::{HEAD_KEY, Head, LogHead, LogKeeper, ROW_TAG, ROWS_END};
pub use read::{LogBlock, RowBlock, RowVisitor, VisitedRow};
pub(crate) use rows::Claim;
use rows::Rows;
use times::Times;
pub use write::Keyed;

/// A partition's id, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u64);

/// A partition. Handles are shared.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Inner>, Arc<Shown>);

/// What of a partition's table a handle reads as rows.
#[derive(Debug)]
struct Shown {
    /// Begins the keys of these entries.
    prefix: Bytes,
    /// Greater than the keys of all of them.
    end: Bytes,
    /// The table that they are the rows of.
    info: watch::Receiver<Arc<TableInfo>>,
    /// The index that they are, which nobody writes to.
    index: Option<TableName>,
}

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
    trimmed: AtomicU64,
    /// `None` once the partition is closed.
    queue: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    /// KiB of rows that wait for committers, over the whole store.
    waiting: Arc<Semaphore>,
    waiting_kib_max: u32,
    row_bytes_max: usize,
    /// About the greatest old row that changes had to read lately: what the next ones must be ready for.
    old_row_bytes: AtomicUsize,
    cell_times: Mutex<CellTimes>,
    auto_keys: AutoKeys,
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
    /// How many these are when nothing waits.
    pub waiting_kib_max: u32,
    /// Bytes that a row's entry may take.
    pub row_bytes_max: usize,
    /// Whether it holds the entries of a global index, to which nobody writes rows.
    pub is_index: bool,
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
        let Opening { id, start, info, engine, time, waiting, waiting_kib_max, row_bytes_max, is_index } =
            opening;
        let space = engine.open_space(&id.space(), deadline).await?;
        let table = info.borrow().clone();
        let head = open_head(&*space, &table, deadline).await?;
        let set_aside = auto_keys::read_set_aside(&*space, deadline).await?;
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
            set_aside,
        };
        tokio::spawn(committer.run(requests));
        let shown = Shown {
            prefix: Bytes::from_static(&[ROW_TAG]),
            end: Bytes::from_static(ROWS_END),
            info: info.clone(),
            index: is_index.then(|| table.schema.name.clone()),
        };
        let inner = Inner {
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
            waiting_kib_max,
            row_bytes_max,
            old_row_bytes: AtomicUsize::new(0),
            cell_times: Mutex::new(CellTimes::above(head.commit_time)),
            auto_keys: AutoKeys::behind(set_aside),
        };
        Ok(Self(Arc::new(inner), Arc::new(shown)))
    }

    /// The same partition, read as the local index whose entries have keys that begin so.
    pub(crate) fn local_index(&self, prefix: Vec<u8>, info: watch::Receiver<Arc<TableInfo>>) -> Self {
        let index = Some(info.borrow().schema.name.clone());
        let end = upkeep::behind_prefix(&prefix).into();
        Self(self.0.clone(), Arc::new(Shown { prefix: prefix.into(), end, info, index }))
    }

    /// Its id.
    pub fn id(&self) -> PartitionId {
        self.0.id
    }

    /// The table as it stands now.
    pub(crate) fn table(&self) -> Arc<TableInfo> {
        self.0.info.borrow().clone()
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
        self.0.trimmed.load(Ordering::SeqCst)
    }

    /// Switches the log on or off for one of its keepers. Answers the head after the switch: with the log on,
    /// every later sequence is in it.
    ///
    /// # Errors
    /// If it could not be written down; then it may be on or off.
    pub async fn keep_log(&self, keeper: LogKeeper, on: bool, deadline: Instant) -> Result<LogHead, Error> {
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
            self.0.trimmed.fetch_max(sequence, Ordering::SeqCst);
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

    /// Whether the log holds anything that was not given back yet.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub(crate) async fn has_log(&self, deadline: Instant) -> Result<bool, Error> {
        Ok(self.log_bytes(deadline).await? > 0)
    }

    /// Takes no further requests; those that wait are still committed.
    pub fn close(&self) {
        self.0.queue.lock().take();
    }

    fn enqueue(&self, request: Request) -> Result<(), Error> {
        let queue = self.0.queue.lock();
        queue.as_ref().ok_or_else(closed)?.send(request).map_err(|_| closed())
    }
}

/// The head as it lies in the engine. Whether the stream and indexes keep the log is the catalog's to say: a crash
/// may have come between a change there and the switch here.
async fn open_head(space: &dyn Space, table: &TableInfo, deadline: Instant) -> Result<Head, Error> {
    let read = space.read(Area::Table, vec![Bytes::from_static(HEAD_KEY)], deadline).await?;
    let found = read.into_iter().flatten().next().map(|bytes| Head::decode(&bytes)).transpose()?;
    let mut head = found.unwrap_or_default();
    let kept = head
        .kept
        .with(LogKeeper::Stream, table.stream.is_some())
        .with(LogKeeper::Indexes, table.has_global_index());
    if found.is_some() && kept != head.kept {
        let mut batch = Batch::default();
        batch.put(HEAD_KEY, Head { kept, ..head }.encode());
        space.write(batch, deadline).await?;
    }
    head.kept = kept;
    Ok(head)
}

fn closed() -> Error {
    Error::NotWritten("the partition is closed".into())
}

async fn wait<T>(answer: oneshot::Receiver<Result<T, Error>>, deadline: Instant) -> Result<T, Error> {
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(outcome)) => outcome,
        // The committer has it and has not answered.
        Ok(Err(_)) | Err(_) => Err(Error::Unknown(lakeferry_engine::Error::Deadline)),
    }
}
