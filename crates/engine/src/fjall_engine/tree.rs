//! A keyspace, and what we know of its memtables.
//!
//! Fjall bounds the memtable of each keyspace but not their sum, and it counts what was dropped unflushed for
//! ever. So the engine counts for itself, and rotates memtables by its own choice.

use fjall::{AbstractTree, Keyspace};
use parking_lot::Mutex;

use super::tuning::MEMTABLE_BYTES;

/// Fjall stalls and then halts a commit at 20 runs in level 0 and at 4 sealed memtables; the writer waits
/// before it comes to that, where it can still answer its callers.
const RUNS_MAX: usize = 16;
const SEALED_MAX: usize = 3;

pub(super) struct Tree {
    pub(super) keyspace: Keyspace,
    /// Sizes of the memtables that were sealed, the last ones of which may not be flushed yet.
    sealed: Mutex<Vec<u64>>,
}

impl Tree {
    pub(super) fn new(keyspace: Keyspace) -> Self {
        Self { keyspace, sealed: Mutex::default() }
    }

    /// Bytes in the memtable that takes writes.
    pub(super) fn active_bytes(&self) -> u64 {
        self.keyspace.tree.active_memtable().size()
    }

    /// Bytes in memtables that wait to be flushed, or are being.
    pub(super) fn sealed_bytes(&self) -> u64 {
        let count = self.keyspace.sealed_memtable_count();
        let mut sealed = self.sealed.lock();
        let flushed = sealed.len().saturating_sub(count);
        sealed.drain(..flushed);
        // Those that fjall sealed by itself are not known, but for the size at which it does.
        let unknown = (count - sealed.len()) as u64 * MEMTABLE_BYTES;
        sealed.iter().sum::<u64>() + unknown
    }

    /// Whether everything is in tables.
    pub(super) fn is_flushed(&self) -> bool {
        self.active_bytes() == 0 && self.keyspace.sealed_memtable_count() == 0
    }

    /// Whether a commit would have to wait for the flushing or compacting of this keyspace.
    pub(super) fn is_crowded(&self) -> bool {
        self.keyspace.sealed_memtable_count() >= SEALED_MAX || self.keyspace.tree.l0_run_count() >= RUNS_MAX
    }

    /// Has the memtable flushed in the background, if there is anything in it. Says whether there was.
    pub(super) fn rotate(&self) -> fjall::Result<bool> {
        let bytes = self.active_bytes();
        if bytes == 0 {
            return Ok(false);
        }
        self.sealed.lock().push(bytes);
        self.keyspace.rotate_memtable()
    }
}
