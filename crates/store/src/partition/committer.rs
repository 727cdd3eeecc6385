//! The committer: the one writer of a partition.
//!
//! It takes requests in queue order and forms a group of what waits. It alone assigns sequences and commit
//! times, and writes rows, change records and the partition's head in one batch; it answers when that is
//! durable. While a group is in the engine, the next one gathers in the queue; the engine merges groups of
//! several partitions into one sync.
//!
//! After a group that failed, what waits is based on rows that may never be. It is refused, the engine is asked
//! until an empty write succeeds, so that nothing is under way any more, and the head is read again: it was
//! written with the group, so it tells whether the group was. Sequences that were given once are never given
//! again.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Space, WriteError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::head::{BARRIER_KEY, HEAD_KEY, Head, LogHead, LogKeeper, row_key};
use super::rows::{Place, Rows};
use super::times::Times;
use crate::entry;
use crate::error::Error;
use crate::record::{self, log_key};

/// Rows of one group at most.
const GROUP_ROWS_MAX: usize = 4096;
/// Bytes of one group, roughly: the request that passes it is its last.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A group that is not back by then has an unknown outcome.
const COMMIT_S_MAX: u64 = 60;
/// The pause between two tries to reach a failed engine, at first and at most.
const RECOVER_MS: Range<u64> = 20..1000;

/// What the committer is asked to do, in queue order.
#[derive(Debug)]
pub enum Request {
    /// Write rows.
    Write(Write),
    /// Switch the log on or off for one of its keepers; answers the head after the switch.
    KeepLog(LogKeeper, bool, oneshot::Sender<Result<LogHead, Error>>),
    /// Note that the log up to this sequence is let go.
    NoteTrimmed(u64, oneshot::Sender<Result<(), Error>>),
}

/// The rows of one request.
#[derive(Debug)]
pub struct Write {
    /// When it looked at its rows, and which pending ones are its own.
    pub place: Place,
    /// What to write, in the order of the request.
    pub rows: Vec<PreparedRow>,
    /// Bytes of all of it.
    pub bytes: usize,
    /// Answered when it is durable.
    pub reply: oneshot::Sender<Result<(), Error>>,
    /// Its place in the budget of bytes that wait.
    pub _held: OwnedSemaphorePermit,
}

/// A row as it will be, and its record, both without their heads.
#[derive(Debug)]
pub struct PreparedRow {
    /// The row key's bytes.
    pub key: Bytes,
    /// The entry; `None` removes the row.
    pub entry: Option<Bytes>,
    /// The change record.
    pub record: Bytes,
}

/// The committer of one partition.
#[derive(Debug)]
pub struct Committer {
    /// Where it writes.
    pub space: Arc<dyn Space>,
    /// The partition's head as it is durable.
    pub head: Head,
    /// The rows that wait.
    pub rows: Arc<Rows>,
    /// Gives commit times.
    pub times: Arc<Times>,
    /// Tells the head to whoever watches.
    pub watch: watch::Sender<LogHead>,
    /// The greatest sequence ever given; above the head's after a group that failed.
    pub given: u64,
}

impl Committer {
    /// Serves the queue until all its senders are gone.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Request>) {
        let mut next = queue.recv().await;
        while let Some(request) = next.take() {
            match request {
                Request::Write(write) => next = self.write_group(write, &mut queue).await,
                Request::KeepLog(keeper, on, reply) => {
                    let changed = Head { kept: self.head.kept.with(keeper, on), ..self.head };
                    let outcome = self.write_head(changed).await;
                    // Whoever asked may be gone; the switch holds all the same.
                    let _ = reply.send(outcome.map(|()| self.head.log_head()));
                }
                Request::NoteTrimmed(trimmed, reply) => {
                    let changed = Head { trimmed: trimmed.max(self.head.trimmed), ..self.head };
                    let _ = reply.send(self.write_head(changed).await);
                }
            }
            if next.is_none() {
                next = queue.recv().await;
            }
        }
    }

    /// Writes a request with those that wait behind it. Returns the one that did not fit into the group.
    async fn write_group(
        &mut self,
        first: Write,
        queue: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Option<Request> {
        let mut group = Group::default();
        self.admit(first, &mut group);
        let mut left = None;
        while group.rows < GROUP_ROWS_MAX && group.bytes < GROUP_BYTES_MAX {
            match queue.try_recv() {
                Ok(Request::Write(write)) => self.admit(write, &mut group),
                Ok(other) => {
                    left = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        if !group.writes.is_empty() {
            self.commit(group).await;
        }
        left
    }

    fn admit(&self, write: Write, group: &mut Group) {
        if !self.rows.is_current(write.place.epoch) {
            let reason = "an earlier write to this partition has failed".to_owned();
            let _ = write.reply.send(Err(Error::NotWritten(reason)));
            return;
        }
        group.rows += write.rows.len();
        group.bytes += write.bytes;
        group.writes.push(write);
    }

    async fn commit(&mut self, group: Group) {
        let commit_time = self.times.begin_group(group.rows);
        let (batch, head) = self.batch(&group, commit_time);
        self.given = head.sequence;
        let deadline = Instant::now() + Duration::from_secs(COMMIT_S_MAX);
        match self.space.write(batch, deadline).await {
            Ok(()) => {
                self.head = head;
                self.times.end_group();
                for write in group.writes {
                    let keys = write.rows.into_iter().map(|row| row.key);
                    self.rows.committed(write.place.ticket, keys);
                    let _ = write.reply.send(Ok(()));
                }
                self.watch.send_replace(self.head.log_head());
            }
            Err(error) => self.fail(group, &error).await,
        }
    }

    /// The group's batch, and the head after it.
    fn batch(&self, group: &Group, commit_time: i64) -> (Batch, Head) {
        let mut head = self.head;
        head.sequence = self.given.max(head.sequence);
        let keep_log = head.kept.any();
        let mut arena = Vec::with_capacity(group.bytes + group.rows * 64);
        let mut places = Vec::with_capacity(group.rows);
        for (row, commit_time) in group.writes.iter().flat_map(|write| &write.rows).zip(commit_time..) {
            head.sequence += 1;
            head.commit_time = commit_time;
            let mut piece = |write: &dyn Fn(&mut Vec<u8>)| {
                let start = arena.len();
                write(&mut arena);
                start..arena.len()
            };
            let key = piece(&|out| row_key(&row.key, out));
            let entry = row.entry.as_ref().map(|columns| {
                piece(&|out| {
                    entry::encode_head(head.sequence, commit_time, out);
                    out.extend_from_slice(columns);
                })
            });
            let record = keep_log.then(|| {
                piece(&|out| {
                    record::encode_head(commit_time, out);
                    out.extend_from_slice(&row.record);
                })
            });
            places.push((key, entry, record, head.sequence));
        }
        let arena = Bytes::from(arena);
        let mut batch = Batch::default();
        for (key, entry, record, sequence) in places {
            let key = arena.slice(key);
            match entry {
                Some(entry) => batch.put(key, arena.slice(entry)),
                None => batch.delete(key),
            }
            if let Some(record) = record {
                batch.append(log_key(sequence).to_vec(), arena.slice(record));
            }
        }
        batch.put(HEAD_KEY, head.encode());
        (batch, head)
    }

    async fn fail(&mut self, group: Group, error: &WriteError) {
        tracing::warn!(space = %self.space.id(), %error, "a group of writes failed");
        self.rows.forget_pending();
        // Whether the outcome is known or not, the requests are answered before the engine is back.
        for write in group.writes {
            let _ = write.reply.send(Err(error.clone().into()));
        }
        self.settle().await;
    }

    async fn write_head(&mut self, head: Head) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.put(HEAD_KEY, head.encode());
        let deadline = Instant::now() + Duration::from_secs(COMMIT_S_MAX);
        match self.space.write(batch, deadline).await {
            Ok(()) => {
                self.head = head;
                self.watch.send_replace(head.log_head());
                Ok(())
            }
            Err(error) => {
                self.rows.forget_pending();
                self.settle().await;
                Err(error.into())
            }
        }
    }

    /// Waits until nothing is under way in the engine, and takes the head from there.
    async fn settle(&mut self) {
        let mut pause = Duration::from_millis(RECOVER_MS.start);
        loop {
            match self.read_settled_head().await {
                Ok(head) => {
                    self.head = head;
                    self.times.end_group();
                    self.watch.send_replace(head.log_head());
                    return;
                }
                // The engine is closed for good when the store is; the queue's senders are gone then too, and
                // the runtime ends this task with the process.
                Err(error) => {
                    tracing::debug!(space = %self.space.id(), %error, "the engine is not back yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(RECOVER_MS.end));
        }
    }

    async fn read_settled_head(&self) -> Result<Head, Error> {
        let deadline = Instant::now() + Duration::from_secs(COMMIT_S_MAX);
        // The engine writes in order: when this is durable, everything before it is settled.
        let mut barrier = Batch::default();
        barrier.put(BARRIER_KEY, Bytes::new());
        self.space.write(barrier, deadline).await?;
        let read = self.space.read(Area::Table, vec![Bytes::from_static(HEAD_KEY)], deadline).await?;
        read.into_iter().flatten().next().map_or(Ok(self.head), |bytes| Head::decode(&bytes))
    }
}

/// Requests that are written together.
#[derive(Debug, Default)]
struct Group {
    writes: Vec<Write>,
    rows: usize,
    bytes: usize,
}
