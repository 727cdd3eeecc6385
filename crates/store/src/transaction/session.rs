//! What an open transaction holds: its claim, and what it has changed.

use std::time::{Duration, Instant};

use lakeferry_model::{KeyValue, RowChange, Violation, limits};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};

use super::no_room;
use crate::error::Error;
use crate::partition::{Buffer, Claim, Partition, Written};
use crate::table::{Table, keyed};

/// An open transaction.
#[derive(Debug)]
pub(super) struct Session {
    table: Table,
    partition_key: KeyValue,
    /// When its time is over, on the clock that never goes back.
    ends_at: Duration,
    /// `None` once it is over. Held while it is at work: one call at a time.
    work: Mutex<Option<Work>>,
}

/// What it has changed.
#[derive(Debug)]
pub(super) struct Work {
    claim: Claim,
    buffer: Buffer,
    /// Bytes that were written, as the limit counts them.
    written_bytes: usize,
    /// Its share of what open transactions may hold.
    room: OwnedSemaphorePermit,
}

impl Session {
    pub fn new(
        table: Table,
        partition_key: KeyValue,
        ends_at: Duration,
        claim: Claim,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let work = Work { claim, buffer: Buffer::default(), written_bytes: 0, room };
        Self { table, partition_key, ends_at, work: Mutex::new(Some(work)) }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    pub fn partition_key(&self) -> &KeyValue {
        &self.partition_key
    }

    pub fn ends_at(&self) -> Duration {
        self.ends_at
    }

    /// Applies changes; if `together`, all or none.
    pub async fn write(
        &self,
        changes: Vec<RowChange>,
        together: bool,
        deadline: Instant,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let mut held = self.at_work(deadline).await?;
        let work = held.as_mut().ok_or(Error::NoSuchTransaction)?;
        let written_bytes = work.written_bytes + self.size(&changes);
        if written_bytes > limits::TRANSACTION_BYTES_MAX {
            return Err(too_much(written_bytes));
        }
        let filled = self.partition(work).apply_claimed(&keyed(&changes), &work.buffer, deadline).await;
        let filled = match filled {
            Ok(filled) => filled,
            Err(error) => {
                if matches!(error, Error::NoSuchTransaction) {
                    held.take();
                }
                return Err(error);
            }
        };
        if together && let Some(Err(error)) = filled.outcomes.iter().find(|outcome| outcome.is_err()) {
            return Err(error.clone());
        }
        let kib = u32::try_from(filled.buffer.bytes().div_ceil(1024)).map_err(|_| no_room())?;
        let room = work.room.semaphore().clone().try_acquire_many_owned(kib).map_err(|_| no_room())?;
        work.room.merge(room);
        work.written_bytes = written_bytes;
        work.buffer.append(filled.buffer);
        Ok(filled.outcomes)
    }

    /// Writes what was changed. The transaction stays open if nothing was.
    pub async fn commit(&self, deadline: Instant) -> Result<(), Error> {
        let mut held = self.at_work(deadline).await?;
        let work = held.as_ref().ok_or(Error::NoSuchTransaction)?;
        let outcome = if work.buffer.is_empty() {
            Ok(())
        } else {
            self.partition(work).write_claimed(&work.buffer, &work.claim, deadline).await
        };
        if is_end(&outcome) {
            held.take();
        }
        outcome
    }

    pub async fn abort(&self, deadline: Instant) -> Result<(), Error> {
        self.at_work(deadline).await?.take().map(drop).ok_or(Error::NoSuchTransaction)
    }

    /// Ends it, unless it is at work.
    pub fn try_end(&self) -> bool {
        self.work.try_lock().map(|mut work| work.take()).is_ok()
    }

    /// What was changed so far, held until the look is over.
    ///
    /// # Errors
    /// [`Error::NoSuchTransaction`] if it is over.
    pub async fn look(&self, deadline: Instant) -> Result<tokio::sync::MappedMutexGuard<'_, Buffer>, Error> {
        let work = self.at_work(deadline).await?;
        MutexGuard::try_map(work, |work| work.as_mut().map(|work| &mut work.buffer))
            .map_err(|_| Error::NoSuchTransaction)
    }

    fn partition(&self, work: &Work) -> &Partition {
        self.table.partition_at(work.claim.key())
    }

    async fn at_work(&self, deadline: Instant) -> Result<MutexGuard<'_, Option<Work>>, Error> {
        let work = tokio::time::timeout_at(deadline.into(), self.work.lock()).await;
        work.map_err(|_| Error::NotWritten("the transaction is at work".into()))
    }

    /// The size of the changes as limits count it.
    fn size(&self, changes: &[RowChange]) -> usize {
        let info = self.table.info();
        let names: Vec<&str> = info.schema.primary_key.iter().map(|column| column.name.as_str()).collect();
        changes.iter().map(|change| change.size(&names)).sum()
    }
}

/// Whether a commit that ended so has ended its transaction.
pub(super) fn is_end(commit: &Result<(), Error>) -> bool {
    matches!(commit, Ok(()) | Err(Error::Unknown(_) | Error::NoSuchTransaction))
}

fn too_much(bytes: usize) -> Error {
    Violation::parameter(format!(
        "The total data size of the transaction exceeds the limit, limit size: {}, data size: {bytes}.",
        limits::TRANSACTION_BYTES_MAX
    ))
    .into()
}
