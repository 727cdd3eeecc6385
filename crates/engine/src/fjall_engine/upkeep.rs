//! Upkeep: what the writer does for fjall between commits.
//!
//! Fjall works when it is written to, and only for the keyspace that is. Left alone, an idle space's few rows
//! in memory hold every later journal file back, and replaced and dropped tables stay until the next flush. So
//! the writer
//! - rotates memtables: each at its size, and the largest ones when all together hold too much;
//! - drops the tables of logs that are trimmed, a few at a time;
//! - empties what dropped spaces left, for others to use;
//! - makes a *checkpoint* after logs were trimmed, if full journals lie about: every memtable is flushed, so
//!   that every full journal can go;
//! - gives fjall a *kick*, a write into a keyspace of the engine's own that is flushed at once. A flush is when
//!   fjall replaces a full journal, removes those that are flushed, and frees what no snapshot sees.
//!
//! What remains after everything is trimmed is one journal file of at most 64 MB or so.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::commit::probe;
use super::journals::Journals;
use super::opened::{Opened, SpaceData};
use super::settings::FjallSettings;
use super::tree::Tree;
use super::tuning::MEMTABLE_BYTES;
use super::writer::Failed;
use crate::seam::SpaceId;

/// How often the writer looks after fjall, busy or idle.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Dropping tables of a log costs some milliseconds, and writers wait meanwhile.
const LOGS_PER_TICK: usize = 8;

/// A log's memtable that a trim reaches into is flushed if it holds this much, so that the next trim can drop it.
const ROTATED_FROM_BYTES: u64 = 1 << 20;

/// A trim's bytes must be back within a minute; two checkpoints and their flushes fit into it.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);

/// When fjall is kicked after memtables were rotated or tables dropped: once they are flushed, and once tables are
/// merged.
const KICKED_AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// Fjall replaces its journal at a flush if it holds this much; without a flush it would never.
const JOURNAL_FILE_BYTES: u64 = 64_000_000;

/// The memtables of all spaces are summed up again after this many bytes.
const SUMMED_EVERY_BYTES: u64 = 1 << 20;

pub(super) struct Upkeep {
    dir: PathBuf,
    write_buffer_bytes: u64,
    journal_bytes: u64,
    next_tick: Instant,
    /// Spaces whose logs may have tables to drop, each once.
    trimmed: VecDeque<SpaceId>,
    /// Whether logs were trimmed since the last checkpoint.
    owes_checkpoint: bool,
    last_checkpoint: Option<Instant>,
    kicks: VecDeque<Instant>,
    bytes_since_sum: u64,
    /// What all memtables held when they were last summed up, and what was written since.
    memtable_bytes: u64,
}

impl Upkeep {
    pub(super) fn new(dir: &Path, settings: &FjallSettings) -> Self {
        Self {
            dir: dir.to_owned(),
            write_buffer_bytes: settings.write_buffer_bytes,
            journal_bytes: settings.journal_bytes,
            next_tick: Instant::now(),
            trimmed: VecDeque::new(),
            owes_checkpoint: false,
            last_checkpoint: None,
            kicks: VecDeque::new(),
            bytes_since_sum: 0,
            memtable_bytes: 0,
        }
    }

    /// How long the writer may wait for requests before it must look after fjall.
    pub(super) fn idle_for(&self) -> Duration {
        self.next_tick.saturating_duration_since(Instant::now())
    }

    /// Trims a space's log. Its tables are dropped soon.
    pub(super) fn trim(&mut self, space: &SpaceData, below: Bytes) -> Result<(), Failed> {
        self.owes_checkpoint |= space.log.trim(below);
        if !self.trimmed.contains(&space.id) {
            self.trimmed.push_back(space.id.clone());
        }
        // So that little that is not trimmed comes into the table.
        if space.log.tree.active_bytes() >= ROTATED_FROM_BYTES && space.log.has_trimmed_memtable() {
            self.rotate(&space.log.tree)?;
        }
        Ok(())
    }

    /// Drops what is trimmed, of so many logs and as far as there is time.
    pub(super) fn drop_trimmed(
        &mut self,
        opened: &Opened,
        logs_max: usize,
        until: Instant,
    ) -> Result<(), Failed> {
        if self.trimmed.is_empty() {
            return Ok(());
        }
        let Some(journals) = self.journals() else { return Ok(()) };
        let mut dropped = 0;
        for _ in 0..self.trimmed.len() {
            if dropped == logs_max || Instant::now() >= until {
                break;
            }
            let Some(space) = self.trimmed.pop_front().and_then(|id| opened.space(&id)) else { continue };
            let has_dropped = space.log.drop_tables(&journals).map_err(|error| {
                Failed(format!("trimmed tables of `{}` could not be dropped: {error}", space.id))
            })?;
            if has_dropped {
                tracing::debug!(space = %space.id, "trimmed tables are dropped");
                dropped += 1;
                self.kick_later();
            }
            if space.log.has_more_to_drop() {
                self.trimmed.push_back(space.id.clone());
            }
        }
        Ok(())
    }

    /// Whether a write to these spaces must wait until fjall has flushed or merged something.
    pub(super) fn must_wait<'a>(
        &mut self,
        opened: &Opened,
        mut spaces: impl Iterator<Item = &'a Arc<SpaceData>>,
    ) -> bool {
        if spaces.any(|space| space.table.is_crowded() || space.log.tree.is_crowded()) {
            return true;
        }
        if self.memtable_bytes > self.write_buffer_bytes {
            self.sum_memtables(opened);
        }
        self.memtable_bytes > self.write_buffer_bytes
    }

    /// Looks after the memtables that were written to.
    pub(super) fn after_commit<'a>(
        &mut self,
        opened: &Opened,
        trees: impl Iterator<Item = &'a Tree>,
        bytes: u64,
    ) -> Result<(), Failed> {
        self.memtable_bytes += bytes;
        self.bytes_since_sum += bytes;
        for tree in trees {
            if tree.active_bytes() >= MEMTABLE_BYTES {
                self.rotate(tree)?;
            }
        }
        if self.bytes_since_sum >= SUMMED_EVERY_BYTES {
            self.relieve(opened)?;
        }
        Ok(())
    }

    /// Rotates the largest memtables until those that take writes hold at most half of what all may.
    fn relieve(&mut self, opened: &Opened) -> Result<(), Failed> {
        self.bytes_since_sum = 0;
        let mut active = self.sum_memtables(opened);
        while active > self.write_buffer_bytes / 2 {
            let mut largest = 0;
            opened.each_tree(|tree| largest = largest.max(tree.active_bytes()));
            let mut result = Ok(false);
            opened.each_tree(|tree| {
                if matches!(result, Ok(false)) && tree.active_bytes() == largest {
                    result = tree.rotate();
                }
            });
            if !self.rotated(result)? {
                break;
            }
            active = active.saturating_sub(largest);
        }
        Ok(())
    }

    /// Sums up what all memtables hold; answers what those hold that take writes.
    fn sum_memtables(&mut self, opened: &Opened) -> u64 {
        let (mut active, mut sealed) = (0, 0);
        opened.each_tree(|tree| {
            active += tree.active_bytes();
            sealed += tree.sealed_bytes();
        });
        self.memtable_bytes = active + sealed;
        active
    }

    /// What is due. Called often; does nothing between two ticks.
    pub(super) fn tick(&mut self, opened: &Opened) -> Result<(), Failed> {
        let now = Instant::now();
        if now < self.next_tick {
            return Ok(());
        }
        self.next_tick = now + TICK;
        probe(opened)?;
        let kept = opened.keep_numbers_ahead();
        kept.map_err(|error| Failed(format!("the limit of numbers could not be moved: {error}")))?;
        opened.renew_view();
        self.empty_spares(opened)?;
        self.drop_trimmed(opened, LOGS_PER_TICK, now + TICK)?;
        if self.must_checkpoint(opened, now) {
            self.last_checkpoint = Some(now);
            self.owes_checkpoint = false;
            self.checkpoint(opened)?;
        }
        let is_due = self.kicks.front().is_some_and(|at| *at <= now);
        if is_due {
            self.kicks.pop_front();
        }
        if is_due || self.journals().is_some_and(|journals| journals.newest_bytes > JOURNAL_FILE_BYTES) {
            self.kick(opened)?;
        }
        Ok(())
    }

    /// Sees to what a dropped space leaves.
    pub(super) fn after_drop(&mut self, opened: &Opened) -> Result<(), Failed> {
        self.kick_later();
        self.empty_spares(opened)
    }

    fn empty_spares(&mut self, opened: &Opened) -> Result<(), Failed> {
        let emptied = opened.empty_spares();
        emptied.map_err(|error| Failed(format!("what a dropped space left could not be emptied: {error}")))
    }

    /// The journals, if the system tells of them now. It may be out of file descriptors, which says nothing about the
    /// database; the next tick asks again.
    fn journals(&self) -> Option<Journals> {
        let found = Journals::find(&self.dir);
        found.inspect_err(|error| tracing::warn!(%error, "the journals could not be listed")).ok()
    }

    fn must_checkpoint(&self, opened: &Opened, now: Instant) -> bool {
        let is_early = self.last_checkpoint.is_some_and(|last| now < last + CHECKPOINT_EVERY);
        let full_journals = opened.db.journal_count() as u64 - 1;
        let is_pressed = full_journals * JOURNAL_FILE_BYTES > self.journal_bytes;
        full_journals > 0 && !is_early && (is_pressed || self.owes_checkpoint)
    }

    /// Has every memtable flushed, and fjall's housekeeping done after.
    pub(super) fn checkpoint(&mut self, opened: &Opened) -> Result<(), Failed> {
        let mut failure = None;
        opened.each_tree(|tree| {
            if let Err(error) = tree.rotate() {
                failure = Some(error);
            }
        });
        self.rotated(failure.map_or(Ok(true), Err))?;
        self.kick(opened)
    }

    fn rotate(&mut self, tree: &Tree) -> Result<bool, Failed> {
        self.rotated(tree.rotate())
    }

    fn rotated(&mut self, result: fjall::Result<bool>) -> Result<bool, Failed> {
        let was_there =
            result.map_err(|error| Failed(format!("a memtable could not be rotated: {error}")))?;
        if was_there {
            self.kick_later();
        }
        Ok(was_there)
    }

    fn kick_later(&mut self) {
        let [soon, later] = KICKED_AFTER.map(|after| Instant::now() + after);
        if self.kicks.front().is_none_or(|at| *at > soon) {
            self.kicks.push_front(soon);
        }
        if self.kicks.len() == 1 {
            self.kicks.push_back(later);
        }
    }

    /// Sets fjall's housekeeping going.
    pub(super) fn kick(&mut self, opened: &Opened) -> Result<(), Failed> {
        // A kick that waits to be flushed will do.
        if opened.kick.is_crowded() {
            return Ok(());
        }
        let failed = |error: fjall::Error| Failed(format!("fjall could not be kicked: {error}"));
        let mut batch = opened.db.batch().durability(None);
        batch.insert(&opened.kick.keyspace, "kick", "");
        batch.commit().map_err(failed)?;
        // What the view still sees cannot be freed.
        opened.renew_view();
        opened.kick.rotate().map_err(failed)?;
        Ok(())
    }
}
