//! What the engine's handles and its threads share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lakeferry_durable::Timings;
use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use super::disk::Disk;
use super::opened::{Life, Lives, Opened};
use super::queue::Queue;
use super::reader::Job;
use super::settings::FjallSettings;
use crate::seam::{Batch, Error, SpaceId, WriteError};

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) settings: FjallSettings,
    /// How long group commits took.
    pub(super) commit_times: Timings,
    pub(super) disk: Disk,
    pub(super) requests: Queue<Request>,
    pub(super) jobs: Queue<Job>,
    /// The database, if it is open at the moment. Whoever takes it gives it back soon: it can be dropped and
    /// opened again only when nobody has it.
    pub(super) opened: RwLock<Option<Arc<Opened>>>,
    pub(super) lives: Lives,
    pub(super) busy: Busy,
    /// Set when the engine is told to close; nothing new is taken from then on.
    pub(super) closing: AtomicBool,
    /// Becomes true when the writer has ended and the database is dropped.
    pub(super) ended: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn opened(&self) -> Result<Arc<Opened>, Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        self.opened.read().clone().ok_or_else(|| Error::Unavailable("it is being opened again".into()))
    }
}

pub(super) fn closed() -> Error {
    Error::Unavailable("it is closed".into())
}

/// What the writer is asked for.
pub(super) enum Request {
    Write(WriteRequest),
    OpenSpace { id: SpaceId, reply: oneshot::Sender<Result<Arc<Life>, Error>> },
    DropSpace { id: SpaceId, reply: oneshot::Sender<Result<(), Error>> },
    Trim { id: SpaceId, life: Arc<Life>, below: bytes::Bytes, reply: oneshot::Sender<Result<(), Error>> },
    Close { deadline: Instant },
}

pub(super) struct WriteRequest {
    pub(super) id: SpaceId,
    pub(super) life: Arc<Life>,
    pub(super) batch: Batch,
    pub(super) deadline: Instant,
    pub(super) ticket: Arc<Ticket>,
    pub(super) reply: oneshot::Sender<Result<(), WriteError>>,
}

impl WriteRequest {
    pub(super) fn answer(self, outcome: Result<(), WriteError>) {
        // The caller may have stopped waiting.
        let _ = self.reply.send(outcome);
    }

    pub(super) fn refuse(self, cause: Error) {
        self.answer(Err(WriteError::NotWritten(cause)));
    }
}

/// Who decides about a waiting write: the writer by taking it, or the caller by giving it up at its deadline.
/// Only one of them can, so a write that was given up is never done.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicU8);

impl Ticket {
    const WAITING: u8 = 0;
    const TAKEN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    pub(super) fn take(&self) -> bool {
        self.leave_waiting_for(Self::TAKEN)
    }

    pub(super) fn give_up(&self) -> bool {
        self.leave_waiting_for(Self::GIVEN_UP)
    }

    fn leave_waiting_for(&self, next: u8) -> bool {
        self.0.compare_exchange(Self::WAITING, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Since when the writer is in a call into fjall, seen from another thread.
#[derive(Debug)]
pub(super) struct Busy {
    origin: Instant,
    /// Milliseconds after the origin, plus one; 0 while it is in none, [`LOST`](Self::LOST) when it is dead.
    since: AtomicU64,
    stuck: AtomicBool,
}

impl Busy {
    const LOST: u64 = u64::MAX;

    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), since: AtomicU64::new(0), stuck: AtomicBool::new(false) }
    }

    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.since.store(self.now() + 1, Ordering::Release);
        let result = call();
        self.since.store(0, Ordering::Release);
        self.stuck.store(false, Ordering::Release);
        result
    }

    /// Looks whether the call has taken longer than this. True only the first time it is found so.
    pub(super) fn found_stuck(&self, after: Duration) -> bool {
        let since = self.since.load(Ordering::Acquire);
        let is_long = || Duration::from_millis(self.now().saturating_sub(since - 1)) >= after;
        let is_stuck = since == Self::LOST || (since > 0 && is_long());
        is_stuck && !self.stuck.swap(true, Ordering::AcqRel)
    }

    /// Notes that the writer panicked and will never come back.
    pub(super) fn lose(&self) {
        self.since.store(Self::LOST, Ordering::Release);
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_either_taken_or_given_up() {
        let ticket = Ticket::default();
        assert!(ticket.take());
        assert!(!ticket.give_up());
        let ticket = Ticket::default();
        assert!(ticket.give_up());
        assert!(!ticket.take());
    }

    #[test]
    fn a_call_that_does_not_come_back_is_found_once() {
        let busy = Busy::new();
        assert!(!busy.found_stuck(Duration::ZERO));
        busy.during(|| {
            assert!(busy.found_stuck(Duration::ZERO));
            assert!(!busy.found_stuck(Duration::ZERO));
            assert!(busy.is_stuck());
        });
        assert!(!busy.is_stuck());
    }

    #[test]
    fn a_writer_that_died_counts_as_stuck_at_once() {
        let busy = Busy::new();
        busy.lose();
        assert!(busy.found_stuck(Duration::MAX));
    }
}
