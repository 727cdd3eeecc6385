//! Upkeep: what the writer does for fjall between commits.
//!
//! Fjall works when it is written to, and only for the keyspace that is. Left alone, an idle space's few rows
//! in memory hold every later journal file back, a journal holds the files of every dropped keyspace that it
//! mentions, and replaced tables stay until the next flush. So the writer
//! - rotates memtables: each at its size, and the largest ones when all together hold too much;
//! - drops trimmed segments, a few at a time;
//! - makes a *checkpoint* after segments were dropped, if full journals lie about: every memtable is flushed,
//!   so that every full journal can go, and with it the dropped files;
//! - gives fjall a *kick*, a write into a keyspace of the engine's own that is flushed at once. A flush is when
//!   fjall replaces a full journal, removes those that are flushed, and frees what no snapshot sees.
//!
//! What remains after everything is trimmed is one journal file of at most 64 MB or so.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit::probe;
use super::log::Segment;
use super::opened::{Opened, SpaceData};
use super::settings::FjallSettings;
use super::tree::Tree;
use super::tuning::MEMTABLE_BYTES;
use super::writer::Failed;
use crate::seam::SpaceId;

/// How often the writer looks after fjall, busy or idle.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A dropped keyspace costs some milliseconds, and writers wait meanwhile.
const DROPPED_PER_TICK: usize = 8;

/// A trim's bytes must be back within a minute; two checkpoints and their flushes fit into it.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);

/// When fjall is kicked after memtables were rotated: once they are flushed, and once tables are merged.
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
    /// Segments to drop, of these spaces.
    trimmed: VecDeque<(SpaceId, Arc<Segment>)>,
    /// Whether segments were dropped since the last checkpoint.
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

    /// Takes segments that left their log's row, to be dropped soon.
    pub(super) fn drop_later(&mut self, id: &SpaceId, segments: impl IntoIterator<Item = Arc<Segment>>) {
        self.trimmed.extend(segments.into_iter().map(|segment| (id.clone(), segment)));
    }

    /// Drops these segments, and those of their space that wait to be dropped. A later space of the name must
    /// find none of them.
    pub(super) fn drop_now(
        &mut self,
        opened: &Opened,
        id: &SpaceId,
        segments: Vec<Arc<Segment>>,
    ) -> Result<(), Failed> {
        self.drop_later(id, segments);
        let (now, later): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.trimmed).into_iter().partition(|(of, _)| of == id);
        self.trimmed = later;
        self.drop_segments(opened, now)
    }

    /// Drops what waits to be dropped, as far as there is time.
    pub(super) fn drop_trimmed(&mut self, opened: &Opened, until: Instant) -> Result<(), Failed> {
        while Instant::now() < until
            && let Some(segment) = self.trimmed.pop_front()
        {
            self.drop_segments(opened, [segment])?;
        }
        Ok(())
    }

    fn drop_segments(
        &mut self,
        opened: &Opened,
        segments: impl IntoIterator<Item = (SpaceId, Arc<Segment>)>,
    ) -> Result<(), Failed> {
        for (id, segment) in segments {
            self.owes_checkpoint = true;
            tracing::debug!(space = %id, number = segment.number, "a trimmed segment is dropped");
            opened.db.delete_keyspace(segment.tree.keyspace.clone()).map_err(|error| {
                Failed(format!("segment {} of `{id}` could not be dropped: {error}", segment.number))
            })?;
        }
        Ok(())
    }

    /// Whether a write to these spaces must wait until fjall has flushed or merged something.
    pub(super) fn must_wait<'a>(
        &mut self,
        opened: &Opened,
        mut spaces: impl Iterator<Item = &'a Arc<SpaceData>>,
    ) -> bool {
        let is_crowded = |space: &Arc<SpaceData>| {
            space.table.is_crowded() || space.log.last().is_some_and(|segment| segment.tree.is_crowded())
        };
        if spaces.any(is_crowded) {
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
        for space in opened.spaces() {
            self.drop_later(&space.id, space.log.trim_idle(now));
        }
        let some: Vec<_> = self.trimmed.drain(..self.trimmed.len().min(DROPPED_PER_TICK)).collect();
        self.drop_segments(opened, some)?;
        if self.must_checkpoint(opened, now) {
            self.last_checkpoint = Some(now);
            self.owes_checkpoint = false;
            self.checkpoint(opened)?;
        }
        let is_due = self.kicks.front().is_some_and(|at| *at <= now);
        if is_due {
            self.kicks.pop_front();
        }
        let journal_bytes = newest_journal_bytes(&self.dir).map_err(|error| Failed(error.to_string()))?;
        if is_due || journal_bytes > JOURNAL_FILE_BYTES {
            self.kick(opened)?;
        }
        Ok(())
    }

    fn must_checkpoint(&self, opened: &Opened, now: Instant) -> bool {
        let is_early = self.last_checkpoint.is_some_and(|last| now < last + CHECKPOINT_EVERY);
        let full_journals = opened.db.journal_count() as u64 - 1;
        let is_pressed = full_journals * JOURNAL_FILE_BYTES > self.journal_bytes;
        full_journals > 0 && !is_early && (is_pressed || (self.owes_checkpoint && self.trimmed.is_empty()))
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
        if was_there && self.kicks.is_empty() {
            let now = Instant::now();
            self.kicks.extend(KICKED_AFTER.map(|after| now + after));
        }
        Ok(was_there)
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

/// Bytes written to the journal in use. Its length says nothing, since fjall makes it long from the start.
fn newest_journal_bytes(dir: &Path) -> io::Result<u64> {
    let mut newest = (0, 0);
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        // One that is flushed may be removed at any moment.
        if let (Some(number), Ok(metadata)) = (number, path.metadata()) {
            newest = newest.max((number, metadata.blocks() * 512));
        }
    }
    Ok(newest.1)
}
