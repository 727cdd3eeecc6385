//! Carries the changes of one partition into one global index.
//!
//! 1. Once: the partition's log is switched on; its head after that is where the follower begins. The place is
//!    written down in the index's own partition.
//! 2. If the index is to hold the rows that were there before: every row is entered as it is found. Changes made
//!    meanwhile lie behind the place and are carried afterwards, so that an entry that was true when it was found
//!    does not stay.
//! 3. For ever: a block of records is read, the entries they change are written, and with them, in one batch, how
//!    far that was. Only then the log may be let go up to there.
//!
//! After a crash 2 begins again, and 3 goes on from the place written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::Batch;

use super::life::ReadyWhenAll;
use super::plan::{Newest, Plan};
use crate::entry;
use crate::error::Error;
use crate::partition::head::{FOLLOWED_TAG, LogKeeper};
use crate::partition::{Partition, PartitionId};
use crate::record::{Action, RecordView, Told};

/// Bytes of log or rows that are held at a time.
const BLOCK_BYTES: usize = 1024 * 1024;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(30);
/// How long a follower that has come to the end waits for further changes to carry together with the first.
const GATHER: Duration = Duration::from_millis(5);
/// The pause after a failure, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause while the disk is at its reserve.
const RESERVE_PAUSE: Duration = Duration::from_secs(1);

/// How far a follower has come, for those who ask.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The partition whose changes it carries.
    pub partition: PartitionId,
    /// All changes up to this sequence are durable in the index.
    position: AtomicU64,
    /// Rows that were there before it are entered.
    scanned: AtomicBool,
    /// It has reached the head that it saw when it had entered them.
    caught_up: AtomicBool,
}

impl Progress {
    pub(crate) fn new(partition: PartitionId) -> Arc<Self> {
        Arc::new(Self {
            partition,
            position: AtomicU64::new(0),
            scanned: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
        })
    }

    /// All changes up to this sequence are durable in the index; 0 before it has begun.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }

    pub(crate) fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::SeqCst)
    }
}

/// Carries one partition's changes into one index.
#[derive(Debug)]
pub(crate) struct Follower {
    pub base: Partition,
    pub index: Partition,
    pub plan: Arc<Plan>,
    pub progress: Arc<Progress>,
    /// Told once when it has caught up.
    pub ready: Option<ReadyWhenAll>,
    /// Whether rows that are there already are to be entered first.
    pub with_rows: bool,
    /// The last row that was entered.
    pub entered: Option<Bytes>,
    /// The head to reach before it has caught up.
    pub target: u64,
}

impl Follower {
    /// Takes the place written down, or the log's head if there is none.
    ///
    /// # Errors
    /// If the engine does not answer, or the log cannot be switched on.
    pub(crate) async fn begin(&mut self, deadline: Instant) -> Result<(), Error> {
        let written = self.index.entry(self.place_key(), deadline).await?;
        let (scanned, position) = match written {
            Some(place) => decode_place(&place)?,
            None => {
                let head = self.base.keep_log(LogKeeper::Indexes, true, deadline).await?;
                let mut batch = Batch::default();
                batch.put(self.place_key(), encode_place(!self.with_rows, head.sequence));
                self.index.upkeep(batch, deadline).await?;
                (!self.with_rows, head.sequence)
            }
        };
        self.target = self.base.head().sequence;
        self.progress.scanned.store(scanned, Ordering::SeqCst);
        self.progress.position.store(position, Ordering::SeqCst);
        Ok(())
    }

    /// Follows until its task is ended.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            while !self.index.has_room() {
                tokio::time::sleep(RESERVE_PAUSE).await;
            }
            match self.step().await {
                Ok(()) => pause = PAUSE,
                Err(error) => {
                    let (index, partition) = (self.index.id(), self.base.id());
                    tracing::warn!(?index, ?partition, %error, "a global index is held up");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        if !self.progress.scanned.load(Ordering::SeqCst) {
            return self.enter_some().await;
        }
        if !self.progress.caught_up() && self.progress.position() >= self.target {
            self.progress.caught_up.store(true, Ordering::SeqCst);
            if let Some(ready) = self.ready.take() {
                ready.tell().await;
            }
        }
        let position = self.progress.position();
        let mut head = self.base.watch();
        if head.borrow().sequence <= position {
            let moved = head.wait_for(|head| head.sequence > position).await.is_ok();
            if !moved {
                return Err(Error::NotWritten("the partition is closed".into()));
            }
            tokio::time::sleep(GATHER).await;
        }
        self.carry_some(position).await
    }

    /// Enters a block of rows; after the last one, notes that all are in.
    async fn enter_some(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + CALL;
        let block = self.base.scan(self.entered.as_deref(), None, BLOCK_BYTES, deadline).await?;
        let mut batch = Batch::default();
        for row in block.rows() {
            let (key, row) = row?;
            // Rows that have expired too: they may be seen again. Until then their entries do not stand.
            let newest = newest(row.cells())?;
            self.put(key, &newest, (row.sequence(), row.commit_time()), &mut batch)?;
        }
        let is_last = !block.more();
        if is_last {
            self.target = self.base.head().sequence;
            batch.put(self.place_key(), encode_place(true, self.progress.position()));
        }
        self.index.upkeep(batch, deadline).await?;
        self.entered = block.last_key().map(Bytes::copy_from_slice);
        self.progress.scanned.store(is_last, Ordering::SeqCst);
        Ok(())
    }

    /// Carries the next block of changes.
    async fn carry_some(&self, position: u64) -> Result<(), Error> {
        let deadline = Instant::now() + CALL;
        let head = self.base.head().sequence;
        let block = self.base.read_log(position, BLOCK_BYTES, deadline).await?;
        let mut batch = Batch::default();
        // Where the log holds nothing, nothing was committed.
        let mut reached = if block.more() { position } else { head };
        for record in block.records() {
            let record = record?;
            self.carry(&record, &mut batch, deadline).await?;
            reached = reached.max(record.sequence());
        }
        batch.put(self.place_key(), encode_place(true, reached));
        self.index.upkeep(batch, deadline).await?;
        self.progress.position.store(reached, Ordering::SeqCst);
        Ok(())
    }

    async fn carry(
        &self,
        record: &RecordView<'_>,
        batch: &mut Batch,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut before = Vec::new();
        let had_entry = self.plan.key(record.key(), &newest(record.origin()?)?, &mut before)?;
        let newest = newest(record.newest())?;
        let exists = match record.told() {
            Told::Change(Action::Delete) => false,
            // Deletes of single columns leave a row without cells, or none where none was: the record does not
            // tell which. The row itself does; if it changed since, later records follow.
            Told::Change(Action::Update) if newest.is_empty() => {
                let found = self.base.get(&[Bytes::copy_from_slice(record.key())], deadline).await?;
                found.into_iter().flatten().next().is_some()
            }
            Told::Change(_) | Told::Base => true,
        };
        let mut after = Vec::new();
        let has_entry = exists && self.plan.key(record.key(), &newest, &mut after)?;
        if had_entry && !(has_entry && before == after) {
            batch.delete(before);
        }
        if has_entry {
            let position = (record.sequence(), record.commit_time());
            batch.put(after, self.plan.entry(&newest, position));
        }
        Ok(())
    }

    fn put(
        &self,
        row_key: &[u8],
        newest: &Newest<'_>,
        position: (u64, i64),
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let mut key = Vec::new();
        if self.plan.key(row_key, newest, &mut key)? {
            batch.put(key, self.plan.entry(newest, position));
        }
        Ok(())
    }

    fn place_key(&self) -> Bytes {
        [&FOLLOWED_TAG[..], &self.base.id().0.to_be_bytes()].concat().into()
    }
}

/// The newest of these cells, in name order.
fn newest<'a>(cells: impl Iterator<Item = Result<entry::CellRef<'a>, Error>>) -> Result<Newest<'a>, Error> {
    let newest = cells.filter(|cell| cell.as_ref().map_or(true, |cell| cell.version == 0));
    newest.map(|cell| cell.map(|cell| (cell.name, cell.timestamp_ms, cell.value))).collect()
}

/// The place as it is written: whether the rows that were there are entered, and the position in the log.
fn encode_place(scanned: bool, position: u64) -> Vec<u8> {
    let mut place = vec![u8::from(scanned)];
    place.extend_from_slice(&position.to_le_bytes());
    place
}

fn decode_place(place: &[u8]) -> Result<(bool, u64), Error> {
    let damaged = || Error::Corrupt("the place of an index in a log is damaged".into());
    let (scanned, position) = place.split_first().ok_or_else(damaged)?;
    let position = position.try_into().map_err(|_| damaged())?;
    Ok((*scanned != 0, u64::from_le_bytes(position)))
}
