//! The committer: the one writer of a partition.
//!
//! It takes requests in queue order and forms a group of what waits. It alone assigns sequences and commit
//! times, and writes rows, change records and the partition's head in one batch; it answers when that is
//! durable. While a group is in the engine, the next one gathers in the queue; the engine merges groups of
//! several partitions into one sync.
//!
//! After a group that failed, what waits is based on rows that may never be, and is refused. If it is not known
//! whether the group was written, the engine is asked until an empty write succeeds, so that nothing is under
//! way any more, and the head is read again: it was written with the group, so it tells whether the group was.
//! Meanwhile everything that comes is refused at once. Sequences that were given once are never given again.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Space, WriteError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::head::{BARRIER_KEY, HEAD_KEY, Head, LogHead, LogKeeper, SET_ASIDE_KEY, row_key};
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
    /// Write entries beside the rows' own changes.
    Upkeep(Upkeep),
    /// Note that the log up to this sequence is let go.
    NoteTrimmed(u64, oneshot::Sender<Result<(), Error>>),
    /// Set auto-increment values aside, up to this one, exclusive.
    SetAside(i64, oneshot::Sender<Result<(), Error>>),
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
    /// Its share of the budget of bytes that wait, given back with the request.
    pub _budget: Option<OwnedSemaphorePermit>,
}

/// Entries that have no sequence and make no change record.
#[derive(Debug)]
pub struct Upkeep {
    /// When its maker looked at the rows.
    pub place: Place,
    /// The entries, whole.
    pub batch: Batch,
    /// Answered when they are durable.
    pub reply: oneshot::Sender<Result<(), Error>>,
}

/// A row as it will be, and its record, both without their heads.
#[derive(Debug, Clone)]
pub struct PreparedRow {
    /// The row key's bytes.
    pub key: Bytes,
    /// The entry; `None` removes the row.
    pub entry: Option<Bytes>,
    /// The change record.
    pub record: Bytes,
    /// What changes beside the row: the entries of local indexes.
    pub beside: Vec<Beside>,
}

/// An index's entry beside a row: its whole key, and the entry behind its commit time; `None` removes it.
pub type Beside = (Bytes, Option<Bytes>);

impl PreparedRow {
    /// Bytes of it, roughly.
    pub fn bytes(&self) -> usize {
        let beside = self.beside.iter().map(|(key, entry)| key.len() + entry.as_ref().map_or(0, Bytes::len));
        self.key.len() + self.record.len() + self.entry.as_ref().map_or(0, Bytes::len) + beside.sum::<usize>()
    }
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
    /// The auto-increment values that are set aside for certain, exclusive.
    pub set_aside: i64,
}

impl Committer {
    /// Serves the queue until all its senders are gone.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Request>) {
        let mut next = queue.recv().await;
        while let Some(request) = next.take() {
            let outcome = match request {
                Request::Write(write) => {
                    let group;
                    (group, next) = self.group(write, &mut queue);
                    self.commit(group).await
                }
                Request::KeepLog(keeper, on, reply) => {
                    let changed = Head { kept: self.head.kept.with(keeper, on), ..self.head };
                    let outcome = self.write_head(changed).await;
                    // Whoever asked may be gone; the switch holds all the same.
                    let _ = reply.send(answer(&outcome).map(|()| self.head.log_head()));
                    outcome
                }
                Request::Upkeep(upkeep) => self.keep_up(upkeep).await,
                Request::NoteTrimmed(trimmed, reply) => {
                    let changed = Head { trimmed: trimmed.max(self.head.trimmed), ..self.head };
                    let outcome = self.write_head(changed).await;
                    let _ = reply.send(answer(&outcome));
                    outcome
                }
                Request::SetAside(end, reply) => {
                    let outcome = self.write_set_aside(end).await;
                    let _ = reply.send(answer(&outcome));
                    outcome
                }
            };
            if let Err(WriteError::Unknown(_)) = outcome {
                if let Some(request) = next.take() {
                    request.refuse();
                }
                self.settle(&mut queue).await;
            }
            if next.is_none() {
                next = queue.recv().await;
            }
        }
    }

    /// A request with those that wait behind it; and the one behind these that did not fit.
    fn group(&self, first: Write, queue: &mut mpsc::UnboundedReceiver<Request>) -> (Group, Option<Request>) {
        let mut group = Group::default();
        self.admit(first, &mut group);
        while group.rows < GROUP_ROWS_MAX && group.bytes < GROUP_BYTES_MAX {
            match queue.try_recv() {
                Ok(Request::Write(write)) => self.admit(write, &mut group),
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    fn admit(&self, write: Write, group: &mut Group) {
        if !self.rows.is_current(write.place.epoch) {
            Request::Write(write).refuse();
            return;
        }
        group.rows += write.rows.len();
        group.bytes += write.bytes;
        group.writes.push(write);
    }

    /// Writes the group and answers its requests.
    async fn commit(&mut self, group: Group) -> Result<(), WriteError> {
        let outcome = if group.rows == 0 { Ok(()) } else { self.write_group(&group).await };
        if let Err(error) = &outcome {
            tracing::warn!(space = %self.space.id(), %error, "a group of writes failed");
            let known = matches!(error, WriteError::NotWritten(_));
            self.rows.forget_pending(known);
            if known {
                self.times.end_group();
            }
        }
        for write in group.writes {
            if outcome.is_ok() {
                self.rows.committed(write.place.ticket, write.rows.iter().map(|row| &row.key));
            }
            // Whether the outcome is known or not, requests are answered before the engine is back.
            let _ = write.reply.send(answer(&outcome));
        }
        outcome
    }

    async fn write_group(&mut self, group: &Group) -> Result<(), WriteError> {
        let commit_time = self.times.begin_group(group.rows);
        let (batch, head) = self.batch(group, commit_time);
        self.given = head.sequence;
        self.space.write(batch, Instant::now() + Duration::from_secs(COMMIT_S_MAX)).await?;
        // Before anybody is answered: who has its answer finds its change in the log. And before its time may be
        // closed: who asks for the closed time and then for the head is told of every change up to that time.
        self.show(head);
        self.times.end_group();
        Ok(())
    }

    async fn write_head(&mut self, head: Head) -> Result<(), WriteError> {
        let mut batch = Batch::default();
        batch.put(HEAD_KEY, head.encode());
        self.write_beside(batch).await?;
        self.show(head);
        Ok(())
    }

    /// Writes entries beside rows, if what their maker saw still holds.
    async fn keep_up(&self, upkeep: Upkeep) -> Result<(), WriteError> {
        if !self.rows.is_current(upkeep.place.epoch) {
            Request::Upkeep(upkeep).refuse();
            return Ok(());
        }
        let outcome = self.write_beside(upkeep.batch).await;
        // Whoever asked may be gone.
        let _ = upkeep.reply.send(answer(&outcome));
        outcome
    }

    async fn write_set_aside(&mut self, end: i64) -> Result<(), WriteError> {
        // Of two that asked at the same time, the second must not take back what the first was given.
        let end = end.max(self.set_aside);
        let mut batch = Batch::default();
        batch.put(SET_ASIDE_KEY, end.to_le_bytes().to_vec());
        self.write_beside(batch).await?;
        self.set_aside = end;
        Ok(())
    }

    /// Writes what is no group of rows. Rows that wait stay as they are if it is certain that it was not written.
    async fn write_beside(&self, batch: Batch) -> Result<(), WriteError> {
        let outcome = self.space.write(batch, Instant::now() + Duration::from_secs(COMMIT_S_MAX)).await;
        if let Err(WriteError::Unknown(_)) = &outcome {
            self.rows.forget_pending(false);
        }
        outcome
    }

    fn show(&mut self, head: Head) {
        self.head = head;
        self.watch.send_replace(head.log_head());
    }

    /// The group's batch, and the head after it.
    fn batch(&self, group: &Group, commit_time: i64) -> (Batch, Head) {
        let mut head = self.head;
        head.sequence = self.given.max(head.sequence);
        let keep_log = head.kept.any();
        let mut arena = Vec::with_capacity(group.bytes + group.rows * 64);
        let mut entries = Vec::with_capacity(group.rows);
        let mut beside_rows = Vec::new();
        let mut records = Vec::new();
        for (row, commit_time) in group.writes.iter().flat_map(|write| &write.rows).zip(commit_time..) {
            head.sequence += 1;
            head.commit_time = commit_time;
            let mut piece = |write: &dyn Fn(&mut Vec<u8>)| {
                let start = arena.len();
                write(&mut arena);
                start..arena.len()
            };
            let key = piece(&|out| row_key(&row.key, out));
            let mut entry = |format: u8, rest: &Bytes| {
                piece(&|out| {
                    entry::encode_head_of(format, head.sequence, commit_time, out);
                    out.extend_from_slice(rest);
                })
            };
            entries.push((key, row.entry.as_ref().map(|rest| entry(entry::FORMAT, rest))));
            let mut beside = |rest| entry(entry::INDEX_FORMAT, rest);
            beside_rows
                .extend(row.beside.iter().map(|(key, rest)| (key.clone(), rest.as_ref().map(&mut beside))));
            if keep_log {
                let record = piece(&|out| {
                    record::encode_head(commit_time, out);
                    out.extend_from_slice(&row.record);
                });
                records.push((head.sequence, record));
            }
        }
        let arena = Bytes::from(arena);
        let mut batch = Batch::default();
        let rows = entries.into_iter().map(|(key, entry)| (arena.slice(key), entry));
        // Several changes of one row, and of its entries beside it, lie in their order: the last one stays.
        for (key, entry) in rows.chain(beside_rows) {
            match entry {
                Some(entry) => batch.put(key, arena.slice(entry)),
                None => batch.delete(key),
            }
        }
        for (sequence, record) in records {
            batch.append(log_key(sequence).to_vec(), arena.slice(record));
        }
        batch.put(HEAD_KEY, head.encode());
        (batch, head)
    }

    /// Waits until nothing is under way in the engine, and takes the head from there. Refuses what comes
    /// meanwhile; gives up when nothing can come any more.
    async fn settle(&mut self, queue: &mut mpsc::UnboundedReceiver<Request>) {
        let head = {
            let settled = settled_head(&*self.space);
            tokio::pin!(settled);
            loop {
                tokio::select! {
                    head = &mut settled => break head,
                    request = queue.recv() => match request {
                        Some(request) => request.refuse(),
                        None => return,
                    },
                }
            }
        };
        // A head that was never written is the one before the first group.
        self.show(head.unwrap_or(self.head));
        self.times.end_group();
        self.rows.settle();
    }
}

/// The head in the engine once nothing is under way there, however long that takes.
async fn settled_head(space: &dyn Space) -> Option<Head> {
    let mut pause = Duration::from_millis(RECOVER_MS.start);
    loop {
        match try_settled_head(space).await {
            Ok(head) => return head,
            Err(error) => tracing::warn!(space = %space.id(), %error, "the engine is not back yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(RECOVER_MS.end));
    }
}

async fn try_settled_head(space: &dyn Space) -> Result<Option<Head>, Error> {
    let deadline = Instant::now() + Duration::from_secs(COMMIT_S_MAX);
    // The engine writes in order: when this is durable, everything before it is settled.
    let mut barrier = Batch::default();
    barrier.put(BARRIER_KEY, Bytes::new());
    space.write(barrier, deadline).await?;
    let read = space.read(Area::Table, vec![Bytes::from_static(HEAD_KEY)], deadline).await?;
    read.into_iter().flatten().next().map(|bytes| Head::decode(&bytes)).transpose()
}

impl Request {
    /// Answers that nothing of it was written.
    fn refuse(self) {
        let error = || Error::NotWritten("an earlier write to this partition has failed".into());
        // Whoever asked may be gone.
        match self {
            Self::Write(write) => drop(write.reply.send(Err(error()))),
            Self::KeepLog(_, _, reply) => drop(reply.send(Err(error()))),
            Self::NoteTrimmed(_, reply) | Self::SetAside(_, reply) => drop(reply.send(Err(error()))),
            Self::Upkeep(upkeep) => drop(upkeep.reply.send(Err(error()))),
        }
    }
}

fn answer(outcome: &Result<(), WriteError>) -> Result<(), Error> {
    outcome.clone().map_err(Error::from)
}

/// Requests that are written together.
#[derive(Debug, Default)]
struct Group {
    writes: Vec<Write>,
    rows: usize,
    bytes: usize,
}
