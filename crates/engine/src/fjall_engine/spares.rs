//! Pairs of keyspaces, and whose they are: those that dropped spaces leave are used again.
//!
//! Fjall keeps a list of all keyspaces there ever were. It writes the list anew with each making and dropping, and
//! frees none of the old ones, in memory or on disk, before the next start: a thousand spaces made and dropped left
//! 4 GB behind. So a pair that was made is never deleted. It becomes a *spare*, which is emptied:
//!
//! 1. A note that it is nobody's, durable. From now on the space is gone.
//! 2. Once fjall flushes nothing of it any more: its memtables are cleared, and its tables dropped.
//! 3. A *mark* is written into both keyspaces, a tombstone of a key that is not there, and flushed. Fjall skips what
//!    lies in journals and has a lower number than the newest table, so nothing of the past life comes back from there.
//! 4. It is ready, unless something is left: fjall's threads seal memtables on their own, and one that is sealed just
//!    before it is cleared is flushed all the same. Then all of it begins anew.
//! 5. A note of its new owner, and of the mark's number as the owner's *birth*, durable. The view is renewed, since an
//!    older one still shows the tables that were dropped; then it is used.
//!
//! A crash before 3 is done leaves a spare that is emptied again. Tables that hold nothing but tombstones go when they
//! are merged, marks too: if after a start no table reaches up to a space's birth, what is older is removed from the
//! memtables that fjall has filled from its journals.
//!
//! ```text
//! pair/NAME    birth:u64  owner    in the engine's own keyspace; numbers are big-endian
//! ```
//!
//! No owner means a spare. A pair without a note belongs to the space of its name, as all did before there were notes.
//! Where that name is taken a number is added; such a pair without a note is a spare.

use std::thread::{Builder, JoinHandle};

use fjall::{AbstractTree, Database, Keyspace};

use super::commit::durability;
use super::log::log_name;
use super::tree::Tree;
use super::tuning::{log_options, table_options};
use crate::seam::SpaceId;

/// What notes are kept under, in the engine's own keyspace.
const NOTE: &str = "pair/";

/// The key whose tombstone marks a spare. Any would do.
const MARK: [u8; 1] = [0];

/// A number above all that are given: whoever reads with it sees everything.
const NUMBER_MAX: u64 = u64::MAX;

/// A table's keyspace and a log's.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) table: Keyspace,
    pub(super) log: Keyspace,
}

/// Whose a pair is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    /// What has a lower number than its birth is of an earlier life.
    Space {
        id: SpaceId,
        birth: u64,
    },
}

impl Pair {
    /// Makes a pair for a space.
    pub(super) fn make(db: &Database, id: &SpaceId) -> fjall::Result<Self> {
        let numbered = (1_u64..).map(|number| format!("{id}.{number}"));
        let mut names = std::iter::once(id.to_string()).chain(numbered);
        let name = names.find(|name| !db.keyspace_exists(name)).expect("numbers do not end");
        // A log without its table is none, so the table comes last.
        let log = db.keyspace(&log_name(&name), log_options)?;
        let table = db.keyspace(&name, table_options)?;
        Ok(Self { name, table, log })
    }

    /// Whose it is, by its note and its name.
    pub(super) fn owner(&self, notes: &Keyspace) -> fjall::Result<Owner> {
        let note = notes.get(note_key(&self.name))?;
        Ok(match note.as_deref().map(|note| note.split_first_chunk::<8>()) {
            Some(Some((birth, owner))) if !owner.is_empty() => {
                let id = SpaceId::new(String::from_utf8_lossy(owner));
                Owner::Space { id, birth: u64::from_be_bytes(*birth) }
            }
            None if !self.name.contains('.') => {
                Owner::Space { id: SpaceId::new(self.name.as_str()), birth: 0 }
            }
            _ => Owner::Nobody,
        })
    }

    /// Writes down whose it is.
    pub(super) fn note(&self, db: &Database, notes: &Keyspace, owner: &Owner) -> fjall::Result<()> {
        let (birth, owner) = match owner {
            Owner::Nobody => (0, ""),
            Owner::Space { id, birth } => (*birth, id.as_str()),
        };
        let mut batch = db.batch().durability(durability());
        batch.insert(notes, note_key(&self.name), [&birth.to_be_bytes(), owner.as_bytes()].concat());
        batch.commit()
    }

    /// Removes what a journal has brought back of lives before this birth.
    pub(super) fn forget_before(&self, db: &Database, birth: u64) -> fjall::Result<()> {
        let mut batch = db.batch().durability(None);
        for keyspace in [&self.table, &self.log] {
            if keyspace.tree.get_highest_persisted_seqno().unwrap_or(0) >= birth {
                continue;
            }
            for entry in keyspace.iter() {
                let key = entry.key()?;
                let newest = keyspace.tree.get_internal_entry(&key, NUMBER_MAX)?;
                if newest.is_some_and(|newest| newest.key.seqno < birth) {
                    batch.remove(keyspace, key);
                }
            }
        }
        batch.commit()
    }
}

/// A pair that is nobody's.
pub(super) struct Spare {
    pair: Pair,
    trees: [Tree; 2],
    stage: Stage,
    /// The number of its newest mark. Everything older is of earlier lives.
    birth: u64,
}

enum Stage {
    /// Holds what its last owner left, or may.
    Full,
    /// Its tables are being dropped, which waits for a merge that is under way.
    Dropping(JoinHandle<fjall::Result<()>>),
    /// Its mark waits to be flushed.
    Marked,
    Ready,
}

/// All spares. Only the writer changes them.
#[derive(Default)]
pub(super) struct Spares(Vec<Spare>);

impl Spares {
    pub(super) fn add(&mut self, pair: Pair) {
        let trees = [pair.table.clone(), pair.log.clone()].map(Tree::new);
        self.0.push(Spare { pair, trees, stage: Stage::Full, birth: 0 });
    }

    /// Goes on emptying, as far as that waits for nobody.
    pub(super) fn empty(&mut self, db: &Database) -> fjall::Result<()> {
        // One thread at a time drops tables.
        let mut is_dropping = self.0.iter().any(Spare::is_dropping);
        for spare in &mut self.0 {
            while spare.step(db, is_dropping)? {}
            is_dropping |= spare.is_dropping();
        }
        Ok(())
    }

    /// Takes one that is ready, with the number below which everything is of earlier lives.
    pub(super) fn take(&mut self) -> Option<(Pair, u64)> {
        let at = self.0.iter().rposition(|spare| matches!(spare.stage, Stage::Ready))?;
        let spare = self.0.swap_remove(at);
        Some((spare.pair, spare.birth))
    }

    /// Whether one will be ready as soon as its mark is flushed.
    pub(super) fn is_one_marked(&self) -> bool {
        self.0.iter().any(|spare| matches!(spare.stage, Stage::Marked))
    }

    pub(super) fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.0.iter().flat_map(|spare| &spare.trees)
    }
}

impl Spare {
    fn is_dropping(&self) -> bool {
        matches!(&self.stage, Stage::Dropping(thread) if !thread.is_finished())
    }

    /// Takes the next step, if it need not wait. Says whether there may be another one.
    fn step(&mut self, db: &Database, is_other_dropping: bool) -> fjall::Result<bool> {
        let is_flushing = self.trees.iter().any(|tree| tree.keyspace.sealed_memtable_count() > 0);
        match std::mem::replace(&mut self.stage, Stage::Full) {
            Stage::Ready => self.stage = Stage::Ready,
            Stage::Marked if is_flushing => self.stage = Stage::Marked,
            Stage::Marked if self.is_empty()? => self.stage = Stage::Ready,
            Stage::Marked => return Ok(true),
            Stage::Dropping(thread) if !thread.is_finished() => self.stage = Stage::Dropping(thread),
            Stage::Dropping(thread) => {
                thread.join().unwrap_or(Err(fjall::Error::Poisoned))?;
                return Ok(true);
            }
            Stage::Full if is_flushing => {}
            Stage::Full if self.trees.iter().any(|tree| tree.keyspace.tree.table_count() > 0) => {
                if !is_other_dropping {
                    self.stage = Stage::Dropping(self.drop_tables()?);
                }
            }
            Stage::Full => {
                self.mark(db)?;
                self.stage = Stage::Marked;
            }
        }
        Ok(false)
    }

    fn drop_tables(&self) -> fjall::Result<JoinHandle<fjall::Result<()>>> {
        let keyspaces = [self.pair.table.clone(), self.pair.log.clone()];
        let work =
            move || keyspaces.iter().try_for_each(|keyspace| Ok(keyspace.tree.drop_range::<&[u8], _>(..)?));
        Ok(Builder::new().name("lakeferry-engine-emptier".to_owned()).spawn(work)?)
    }

    fn is_empty(&self) -> fjall::Result<bool> {
        let mut entries = self.trees.iter().map(|tree| tree.keyspace.tree.is_empty(NUMBER_MAX, None));
        entries.try_fold(true, |are_empty, is_empty| Ok(are_empty && is_empty?))
    }

    fn mark(&mut self, db: &Database) -> fjall::Result<()> {
        let mut batch = db.batch().durability(None);
        for tree in &self.trees {
            tree.keyspace.tree.clear_active_memtable();
            batch.remove(&tree.keyspace, MARK);
        }
        // No batch has a lower number than the counter before it.
        self.birth = db.seqno();
        batch.commit()?;
        self.trees.iter().try_for_each(|tree| tree.rotate().map(|_| ()))
    }
}

/// The database is not opened again while something of it is at work.
impl Drop for Spares {
    fn drop(&mut self) {
        for spare in self.0.drain(..) {
            if let Stage::Dropping(thread) = spare.stage {
                // What it did not get done is done after the next start.
                let _ = thread.join();
            }
        }
    }
}

fn note_key(pair: &str) -> String {
    format!("{NOTE}{pair}")
}
