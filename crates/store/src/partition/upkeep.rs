//! Writes beside the rows' own changes: entries of indexes, and rows without what nobody sees any more.
//!
//! They go through the same locks and the same committer as every write, but have no sequence and make no change
//! record. Who holds a row and finds nothing of it waiting knows it as it is; whoever changes it next is queued
//! behind, so what is made of the row here is never newer than the row.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Room, Scan};
use tokio::sync::oneshot;

use super::committer::{Request, Upkeep};
use super::head::{BARRIER_KEY, row_key};
use super::rows::{Held, Holder, Place};
use super::{Partition, wait};
use crate::entry::Visibility;
use crate::error::Error;
use crate::index::plan::Plans;

/// The key of no row: held by whoever queues upkeep that holds no rows.
const NO_ROW: Bytes = Bytes::new();
/// Entries that are removed together.
const REMOVED_MAX: usize = 4096;

impl Partition {
    /// Whether upkeep may write: at the disk's reserve it waits, as rows do.
    pub(crate) fn has_room(&self) -> bool {
        self.0.engine.room() == Room::Free
    }

    /// Writes entries that no row's change ever touches.
    ///
    /// # Errors
    /// As for rows: not written, or not known whether.
    pub(crate) async fn upkeep(&self, batch: Batch, deadline: Instant) -> Result<(), Error> {
        let held = self.0.rows.hold(vec![NO_ROW], Holder::Upkeep, deadline).await?;
        let place = held.place()?;
        self.queue_upkeep(place, batch, held, deadline).await
    }

    /// Waits until everything is durable that was queued before.
    ///
    /// # Errors
    /// If it is not known to be.
    pub(crate) async fn settle(&self, deadline: Instant) -> Result<(), Error> {
        self.upkeep(barrier(), deadline).await
    }

    /// Holds rows and writes what `make` makes of them: it gets the bytes of a key and the whole entry. Rows that
    /// are being changed are passed over, and so are those that are not there. `keys` are sorted and distinct.
    ///
    /// # Errors
    /// If the engine does not answer, `make` fails, the write does, or the change of a row that was passed over.
    pub(crate) async fn upkeep_rows(
        &self,
        keys: Vec<Bytes>,
        mut make: impl FnMut(&[u8], &[u8], &mut Batch) -> Result<(), Error> + Send,
        deadline: Instant,
    ) -> Result<(), Error> {
        let held = self.0.rows.hold(keys.clone(), Holder::Upkeep, deadline).await?;
        let place = held.place()?;
        let pending = held.pending(keys.iter());
        let is_any_passed_over = pending.iter().any(Option::is_some);
        let settled = keys.into_iter().zip(pending).filter(|(_, pending)| pending.is_none());
        let keys: Vec<Bytes> = settled.map(|(key, _)| key).collect();
        let entries = self.get(&keys, deadline).await?;
        let mut batch = Batch::default();
        for (key, entry) in keys.iter().zip(entries) {
            if let Some(entry) = entry {
                make(key, &entry, &mut batch)?;
            }
        }
        // A change that waits may fail. What is queued behind it fails then too, and the row is not left out.
        if is_any_passed_over && batch.is_empty() {
            batch = barrier();
        }
        self.queue_upkeep(place, batch, held, deadline).await
    }

    /// Writes what `make` makes of entries that only upkeep writes, as [`Partition::upkeep_rows`] does of rows. Other
    /// upkeep waits meanwhile.
    ///
    /// # Errors
    /// If the engine does not answer, `make` fails, or the write does.
    pub(crate) async fn upkeep_entries(
        &self,
        keys: Vec<Bytes>,
        mut make: impl FnMut(&[u8], &[u8], &mut Batch) -> Result<(), Error> + Send,
        deadline: Instant,
    ) -> Result<(), Error> {
        let held = self.0.rows.hold(vec![NO_ROW], Holder::Upkeep, deadline).await?;
        let place = held.place()?;
        // What is queued can be read only once it is durable.
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request::Upkeep(Upkeep { place, batch: barrier(), reply }))?;
        wait(answer, deadline).await?;
        let entries = self.get(&keys, deadline).await?;
        let mut batch = Batch::default();
        for (key, entry) in keys.iter().zip(entries) {
            if let Some(entry) = entry {
                make(key, &entry, &mut batch)?;
            }
        }
        self.queue_upkeep(place, batch, held, deadline).await
    }

    /// Removes the first entries whose keys begin so; answers whether more are left.
    ///
    /// # Errors
    /// If the engine does not answer, or they could not be removed.
    pub(crate) async fn remove_some(&self, prefix: &[u8], deadline: Instant) -> Result<bool, Error> {
        let scan = Scan {
            area: Area::Table,
            from: Bytes::copy_from_slice(prefix),
            to: Some(behind_prefix(prefix).into()),
            backward: false,
            entries_max: REMOVED_MAX,
            bytes_max: 1024 * 1024,
        };
        let block = self.0.space.scan(scan, deadline).await?;
        if block.is_empty() {
            return Ok(false);
        }
        let mut batch = Batch::default();
        for (key, _) in block.iter() {
            batch.delete(Bytes::copy_from_slice(key));
        }
        self.upkeep(batch, deadline).await?;
        Ok(block.more)
    }

    /// Reads one entry of the partition's table by its whole key.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub(crate) async fn entry(&self, key: Bytes, deadline: Instant) -> Result<Option<Bytes>, Error> {
        Ok(self.0.space.read(Area::Table, vec![key], deadline).await?.pop().flatten())
    }

    /// What of rows and entries must not be reclaimed now.
    pub(crate) fn lasting(&self) -> Visibility {
        self.0.info.borrow().lasting()
    }

    /// How the indexes of its table are kept now.
    pub(crate) fn plans(&self) -> Arc<Plans> {
        self.0.info.borrow().plans().clone()
    }

    /// The whole key of a row's entry.
    pub(crate) fn row_entry_key(&self, key: &[u8]) -> Bytes {
        let mut entry_key = Vec::with_capacity(key.len() + 1);
        row_key(key, &mut entry_key);
        entry_key.into()
    }

    /// Queues while the rows are held, then gives them back and waits.
    async fn queue_upkeep(
        &self,
        place: Place,
        batch: Batch,
        held: Held<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request::Upkeep(Upkeep { place, batch, reply }))?;
        drop(held);
        wait(answer, deadline).await
    }
}

/// A write that changes nothing; once it is durable, so is everything before it.
fn barrier() -> Batch {
    let mut batch = Batch::default();
    batch.put(BARRIER_KEY, Bytes::new());
    batch
}

/// The smallest key greater than all that begin so.
pub(crate) fn behind_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Prefixes begin with a tag below the greatest byte.
    vec![u8::MAX; prefix.len() + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_lies_behind_all_that_begin_so() {
        assert_eq!(behind_prefix(&[2, 0, 1]), [2, 0, 2]);
        assert_eq!(behind_prefix(&[2, 255, 255]), [3]);
        assert!(behind_prefix(&[255]) > vec![255]);
    }
}
