//! Numbers that only rise, over starts too.
//!
//! Fjall numbers batches, flushes, and the making and dropping of keyspaces, all from one counter. At a start it
//! sets the counter above the batches that live keyspaces hold, and forgets that keyspaces were made and dropped
//! after them. Numbers are then given a second time, and of a keyspace's making and its dropping the one with the
//! greater number counts: a dropped keyspace can come back with its rows, and a live one can be taken for dropped,
//! which deletes it.
//!
//! So the engine keeps a limit above every number in use. It is written down, durably, before the counter comes
//! near it; a start sets the counter to the limit and writes a new one down before any keyspace is made or dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace};

use super::commit::durability;

/// Where the limit is kept, in the engine's own keyspace.
const KEY: &str = "numbers";

/// How far the limit lies ahead of the counter when it is written. A start skips what is left of it.
const AHEAD: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Numbers {
    limit: AtomicU64,
}

impl Numbers {
    /// Sets the counter of a database that was just opened above every number it ever gave.
    pub(super) fn restore(db: &Database, keyspace: &Keyspace) -> fjall::Result<Self> {
        let kept = keyspace.get(KEY)?.and_then(|value| <[u8; 8]>::try_from(&*value).ok());
        let limit = kept.map_or(0, u64::from_be_bytes);
        db.supervisor.seqno.fetch_max(limit);
        // What is written from here on must be visible to snapshots.
        db.supervisor.snapshot_tracker.set(db.supervisor.seqno.get());
        let numbers = Self { limit: AtomicU64::new(limit) };
        numbers.keep_ahead(db, keyspace)?;
        Ok(numbers)
    }

    /// Moves the limit if the counter has come half way to it. Only the writer may call this.
    pub(super) fn keep_ahead(&self, db: &Database, keyspace: &Keyspace) -> fjall::Result<()> {
        let next = db.seqno();
        if next + AHEAD / 2 < self.limit.load(Ordering::Relaxed) {
            return Ok(());
        }
        let limit = next + AHEAD;
        let mut batch = db.batch().durability(durability());
        batch.insert(keyspace, KEY, limit.to_be_bytes());
        batch.commit()?;
        self.limit.store(limit, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fjall_engine::tuning::table_options;

    fn open(folder: &std::path::Path) -> (Database, Keyspace, Numbers) {
        let db = Database::builder(folder).open().unwrap();
        let keyspace = db.keyspace("own", table_options).unwrap();
        let numbers = Numbers::restore(&db, &keyspace).unwrap();
        (db, keyspace, numbers)
    }

    #[test]
    fn no_number_is_given_twice_when_keyspaces_were_the_last_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut highest = 0;
        for _ in 0..5 {
            let (db, _keyspace, _numbers) = open(folder.path());
            assert!(db.seqno() > highest, "{} comes after {highest}", db.seqno());
            for name in ["1", "2", "3"] {
                let keyspace = db.keyspace(name, table_options).unwrap();
                db.delete_keyspace(keyspace).unwrap();
            }
            highest = db.seqno();
        }
    }

    #[test]
    fn the_limit_stays_ahead_of_the_counter() {
        let folder = tempfile::tempdir().unwrap();
        let (db, keyspace, numbers) = open(folder.path());
        for _ in 0..3 {
            db.supervisor.seqno.fetch_max(numbers.limit.load(Ordering::Relaxed) - 1);
            numbers.keep_ahead(&db, &keyspace).unwrap();
            assert!(numbers.limit.load(Ordering::Relaxed) > db.seqno() + AHEAD / 2);
        }
    }
}
