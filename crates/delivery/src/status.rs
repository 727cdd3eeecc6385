//! How a task is doing, kept up to date by its lanes and read by whoever asks, without waiting for anybody.
//!
//! The sync point is worked out when asked for. For each partition it is the closed time if everything
//! committed is in the lake, else the moment before the first record that waits. Both are taken only from
//! progress that is written down, so a restart finds the same answer again and the sync point never goes back
//! within a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_model::delivery::{Mode, Phase, TaskError, TaskEventKind, TaskStatus};
use lakeferry_model::{Clock, Micros};
use parking_lot::Mutex;

use lakeferry_store::{LogHead, PartitionId};

use crate::source::Source;
use crate::space::{Stage, StoredTask, TaskEntry, Totals};
use crate::trouble::{Trouble, code_name};

/// A task's board.
#[derive(Debug)]
pub(crate) struct Board(Mutex<State>);

#[derive(Debug)]
struct State {
    entry: Arc<TaskEntry>,
    totals: Totals,
    troubles: BTreeMap<Who, Shown>,
    lanes: BTreeMap<u32, LaneView>,
    /// Lanes of the incremental phase, at work or not.
    lane_count: u32,
    positions: BTreeMap<PartitionId, Position>,
    sync_shown: Micros,
    /// What the bucket cannot do, though it can be used.
    doubt: Option<&'static str>,
    /// Failures since the start, by code.
    failures: BTreeMap<&'static str, u64>,
    last_error: Option<String>,
}

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The task as a whole.
    Task,
    /// One of its lanes.
    Lane(u32),
    /// A lane of the full phase.
    ScanLane(u32),
    /// The look at the bucket.
    Destination,
}

#[derive(Debug)]
struct Shown {
    trouble: Trouble,
    /// Absent if it waits for somebody to do something.
    next_try_at: Option<Micros>,
}

/// What a lane is busy with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LaneView {
    /// Rows gathered or on their way.
    pub(crate) rows_gathered: u64,
    /// When the oldest folder is cut by its age, by the monotonic clock.
    pub(crate) next_cut_at: Option<Duration>,
}

/// How far a partition is delivered, as written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Everything up to this is in the lake.
    pub(crate) low: u64,
    /// Everything up to this is gathered or in the lake.
    pub(crate) read: u64,
    /// The commit time of the first record above `low`, if it was read.
    pub(crate) waiting_since: Option<Micros>,
    /// Everything committed up to this time was once seen to be in the lake.
    pub(crate) certain: Micros,
}

impl Position {
    /// A position up to which everything is delivered, at its commit time.
    pub(crate) fn at(sequence: u64, commit_time: Micros) -> Self {
        Self { low: sequence, read: sequence, waiting_since: None, certain: commit_time }
    }

    /// Learns from what is written down, what is committed and what is closed. `closed` was asked before
    /// `head`, so that every commit up to `closed` is at or below `head`.
    fn learn(&mut self, head: LogHead, closed: Micros) -> Micros {
        // A partition that was just opened may not answer a closed time as late as its last commit.
        let caught_up = (self.low >= head.sequence).then(|| closed.max(head.commit_time));
        let now_known = caught_up.or(self.waiting_since.map(|at| at - 1));
        self.certain = self.certain.max(now_known.unwrap_or(0));
        self.certain
    }
}

impl Board {
    /// A board that shows what was written down.
    pub(crate) fn new(stored: &StoredTask) -> Self {
        Self(Mutex::new(State {
            entry: Arc::new(stored.entry.clone()),
            totals: stored.totals.clone(),
            troubles: BTreeMap::new(),
            lanes: BTreeMap::new(),
            lane_count: stored.lane_count(),
            positions: BTreeMap::new(),
            sync_shown: 0,
            doubt: None,
            failures: BTreeMap::new(),
            last_error: stored
                .events
                .iter()
                .rev()
                .find(|event| event.kind == TaskEventKind::Trouble)
                .map(|event| event.text.clone()),
        }))
    }

    /// Shows a changed entry. A new run begins with an empty board.
    pub(crate) fn set_entry(&self, entry: &TaskEntry) {
        let mut state = self.0.lock();
        if state.entry.run != entry.run {
            state.totals = Totals::default();
            state.troubles.clear();
            state.lanes.clear();
            state.positions.clear();
            state.sync_shown = 0;
        }
        state.entry = Arc::new(entry.clone());
    }

    pub(crate) fn entry(&self) -> Arc<TaskEntry> {
        Arc::clone(&self.0.lock().entry)
    }

    /// Objects committed in this run.
    pub(crate) fn objects(&self) -> u64 {
        self.0.lock().totals.objects
    }

    /// Dirty fields in committed cuts of this run.
    pub(crate) fn dirty_fields(&self) -> u64 {
        let state = self.0.lock();
        state.totals.dirty_fields + state.totals.event_time_dirty
    }

    /// Whether the task has stopped because of its dirty fields.
    pub(crate) fn is_too_dirty(&self) -> bool {
        let state = self.0.lock();
        state.troubles.values().any(|shown| shown.trouble.code() == TaskError::TooManyDirtyFields)
    }

    pub(crate) fn set_totals(&self, totals: &Totals) {
        self.0.lock().totals = totals.clone();
    }

    pub(crate) fn set_lane(&self, lane: u32, view: LaneView) {
        self.0.lock().lanes.insert(lane, view);
    }

    /// Shows how many lanes the incremental phase has.
    pub(crate) fn set_lane_count(&self, book: &StoredTask) {
        self.0.lock().lane_count = book.lane_count();
    }

    /// Whether anything keeps the task from going on.
    pub(crate) fn has_trouble(&self) -> bool {
        !self.0.lock().troubles.is_empty()
    }

    /// Shows that no lane is at work: whatever they had gathered is to be read again.
    pub(crate) fn forget_lanes(&self) {
        let mut state = self.0.lock();
        state.lanes.clear();
        for position in state.positions.values_mut() {
            position.read = position.low;
        }
    }

    /// Shows how far a partition is; what was certain before stays so.
    pub(crate) fn set_position(&self, partition: PartitionId, position: Position) {
        let mut state = self.0.lock();
        let known = state.positions.entry(partition).or_insert(position);
        // What a position said before stays true, also if nobody asked for it: the first record that waited may
        // be on its way now, and nothing before it is.
        let before_waiting = known.waiting_since.map_or(0, |at| at - 1);
        let certain = known.certain.max(before_waiting).max(position.certain);
        *known = Position { certain, ..position };
    }

    /// A lane that has ended is busy with nothing.
    pub(crate) fn forget_lane(&self, lane: u32) {
        self.0.lock().lanes.remove(&lane);
    }

    /// Shows what the bucket cannot do, though it can be used.
    pub(crate) fn set_doubt(&self, doubt: Option<&'static str>) {
        self.0.lock().doubt = doubt;
    }

    /// Shows that what was read and not delivered of a partition is read again.
    pub(crate) fn set_unread(&self, partition: PartitionId) {
        if let Some(position) = self.0.lock().positions.get_mut(&partition) {
            position.read = position.low;
        }
    }

    /// Shows a trouble. Whether it is news: there was none before, or none of its code.
    pub(crate) fn set_trouble(&self, who: Who, trouble: Trouble, next_try_at: Option<Micros>) -> bool {
        let mut state = self.0.lock();
        let is_news = !state.troubles.values().any(|shown| shown.trouble.code() == trouble.code());
        *state.failures.entry(failure_code(&trouble)).or_insert(0) += 1;
        state.last_error = Some(trouble.text().to_owned());
        state.troubles.insert(who, Shown { trouble, next_try_at });
        is_news
    }

    /// Shows somebody's trouble no more. Whether it was the last one.
    pub(crate) fn clear_trouble(&self, who: Who) -> bool {
        let mut state = self.0.lock();
        state.troubles.remove(&who).is_some() && state.troubles.is_empty()
    }

    /// Shows no more that there are too many dirty fields: it is tried again whether there are.
    pub(crate) fn forget_too_dirty(&self) {
        let is_other = |shown: &Shown| shown.trouble.code() != TaskError::TooManyDirtyFields;
        self.0.lock().troubles.retain(|_, shown| is_other(shown));
    }

    /// Failures since the start, by code.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().failures.clone()
    }

    /// The lowest positions that the task may still read from, by partition; what the log must be kept for.
    pub(crate) fn lows(&self) -> BTreeMap<PartitionId, u64> {
        self.0.lock().positions.iter().map(|(partition, position)| (*partition, position.low)).collect()
    }

    /// A time before which everything committed is in the lake; 0 while absent.
    pub(crate) fn sync_point(&self, source: &dyn Source) -> Micros {
        let mut state = self.0.lock();
        if state.entry.phase != Phase::Incr || state.entry.stage != Stage::Live {
            return 0;
        }
        let floor = state.entry.sync_floor;
        if state.entry.spec.mode == Mode::Base {
            return floor;
        }
        // Without all partitions the least of them is not known.
        let are_all_known = state.positions.len() == source.partitions().len();
        let learned = state.positions.iter_mut().map(|(partition, position)| {
            let closed = source.closed_time(*partition);
            position.learn(source.head(*partition), closed)
        });
        let reached = learned.min().filter(|_| are_all_known).unwrap_or(0);
        state.sync_shown = state.sync_shown.max(reached).max(floor);
        state.sync_shown
    }

    /// The whole status.
    pub(crate) fn status(&self, source: &dyn Source, clock: &dyn Clock) -> TaskStatus {
        let sync_point = self.sync_point(source);
        let state = self.0.lock();
        let (now, now_micros) = (clock.monotonic(), clock.now_micros());
        // A code of the protocol says more than a failure without one.
        let shown = state.troubles.values().max_by_key(|shown| shown.trouble.code() != TaskError::Ok);
        let next_cut_at = state.lanes.values().filter_map(|lane| lane.next_cut_at).min();
        let totals = &state.totals;
        TaskStatus {
            phase: state.entry.reported_phase(),
            sync_point,
            error: shown.map_or(TaskError::Ok, |shown| shown.trouble.code()),
            detail: state.detail(shown, now_micros),
            run: state.entry.run,
            lanes: state.lane_count,
            rows_waiting: state.rows_waiting(source),
            rows_delivered: totals.rows,
            bytes_delivered: totals.bytes,
            objects: totals.objects,
            dirty_fields: totals.dirty_fields + totals.event_time_dirty,
            dirty_reasons: totals.dirty_reasons(),
            dirty_columns: totals.dirty_columns(),
            undelivered_columns: totals
                .undelivered
                .iter()
                .map(|(name, count)| (name.clone(), *count))
                .collect(),
            undelivered_kinds: totals.undelivered_kinds.clone(),
            configuration: state.entry.configuration,
            next_configuration: state.entry.next.as_ref().map(|_| state.entry.configuration + 1),
            last_object_at: totals.last_object_at,
            last_object: totals.last_object.clone(),
            next_cut_in_ms: next_cut_at
                .map(|at| u64::try_from(at.saturating_sub(now).as_millis()).unwrap_or(u64::MAX)),
            next_try_at: shown.and_then(|shown| shown.next_try_at),
            warnings: state.entry.next.as_ref().map_or(&state.entry.warnings, |next| &next.warnings).clone(),
            is_paused: state.entry.is_paused,
            lag_s: state.lag_s(sync_point, now_micros),
            last_error: state.last_error.clone(),
        }
    }
}

/// A failure's code for those who count: the protocol's, or `OTHER`.
fn failure_code(trouble: &Trouble) -> &'static str {
    match trouble.code() {
        TaskError::Ok => "OTHER",
        code => code_name(code),
    }
}

impl State {
    fn rows_waiting(&self, source: &dyn Source) -> u64 {
        let unread: u64 = match self.entry.follows_log() {
            false => 0,
            true => self
                .positions
                .iter()
                .map(|(partition, position)| source.head(*partition).sequence.saturating_sub(position.read))
                .sum(),
        };
        unread + self.lanes.values().map(|lane| lane.rows_gathered).sum::<u64>()
    }

    /// How far the lake is behind. A BASE task has nothing to follow.
    fn lag_s(&self, sync_point: Micros, now: Micros) -> Option<u64> {
        let is_following = self.entry.follows_log() && sync_point > 0;
        is_following.then(|| u64::try_from((now - sync_point) / 1_000_000).unwrap_or(0))
    }

    fn detail(&self, shown: Option<&Shown>, now: Micros) -> String {
        if let Some(Shown { trouble, next_try_at }) = shown {
            let Some(next_try_at) = next_try_at else { return trouble.text().to_owned() };
            let seconds = next_try_at.saturating_sub(now).max(0) / 1_000_000 + 1;
            return format!("{}; next try in {seconds} s", trouble.text());
        }
        let going = match (self.entry.phase, self.entry.spec.mode) {
            (Phase::Init, _) => "being initialized",
            (Phase::Full, _) => "delivering the table as it is",
            (Phase::Incr, Mode::Base) => "the table is delivered",
            (Phase::Incr, _) => "delivering changes",
        };
        let going = match &self.entry.next {
            Some(_) => "delivering what is gathered, before a change of the task comes into force",
            None => going,
        };
        let run = if self.entry.run > 1 { format!(" (run {})", self.entry.run) } else { String::new() };
        let going = match (self.entry.is_paused, self.lanes.is_empty()) {
            (false, _) => going,
            (true, true) => "paused; what comes waits in the log until the task is resumed",
            (true, false) => "being paused: a cut is on its way",
        };
        let mut detail = format!("{going}{run}");
        for more in [self.entry.note.as_deref(), self.doubt].into_iter().flatten() {
            detail.push_str("; ");
            detail.push_str(more);
        }
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64, commit_time: Micros) -> LogHead {
        LogHead { sequence, commit_time }
    }

    #[test]
    fn a_caught_up_partition_is_complete_up_to_its_closed_time() {
        let mut position = Position::at(5, 100);
        assert_eq!(position.learn(head(5, 100), 170), 170);
        assert_eq!(position.learn(head(5, 180), 170), 180);
    }

    #[test]
    fn a_waiting_record_holds_the_sync_point_just_before_it() {
        let mut position = Position { waiting_since: Some(150), ..Position::at(5, 100) };
        assert_eq!(position.learn(head(6, 150), 170), 149);
    }

    #[test]
    fn an_unread_record_leaves_the_sync_point_where_it_was() {
        let mut position = Position::at(5, 100);
        assert_eq!(position.learn(head(5, 100), 140), 140);
        assert_eq!(position.learn(head(6, 150), 170), 140);
    }
}
