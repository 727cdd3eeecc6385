//! What a lane does next, chosen from what it sees. Pure.

use std::time::Duration;

use lakeferry_store::PartitionId;

use crate::gather::CutReason;

/// What a lane should do next. Choosing touches no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Commit the cut that has been uploaded, or see why it was not.
    Collect,
    /// Read a block of this partition's log.
    Read(PartitionId),
    /// Cut folders.
    Cut(CutReason),
    /// Write down that rows which produced nothing are behind.
    Advance,
    /// Wait for news, at most this long.
    Wait(Duration),
    /// End, since the task is paused and nothing is on its way.
    Rest,
}

/// All that the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The state of the cut on its way.
    pub(super) in_flight: Flight,
    /// Why folders should be cut by their size or age.
    pub(super) due: Option<CutReason>,
    /// Until the oldest folder is due by its age.
    pub(super) due_in: Option<Duration>,
    /// Whether rows are gathered.
    pub(super) has_rows: bool,
    /// Whether everything read so far was asked for.
    pub(super) is_asked: bool,
    /// Whether progress lags behind what is known, and may be written now.
    pub(super) may_advance: bool,
    /// A partition with records to read.
    pub(super) readable: Option<PartitionId>,
    /// Whether the memory for another block is there.
    pub(super) has_room: bool,
    /// The longest wait.
    pub(super) tick: Duration,
    /// Whether the task is paused.
    pub(super) is_paused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flight {
    None,
    Under,
    Ended,
}

pub(super) fn choose(view: &View) -> Step {
    let may_cut = view.in_flight == Flight::None;
    match view {
        View { in_flight: Flight::Ended, .. } => return Step::Collect,
        View { is_paused: true, in_flight: Flight::Under, .. } => return Step::Wait(view.tick),
        View { is_paused: true, .. } => return Step::Rest,
        View { due: Some(reason), .. } if may_cut => return Step::Cut(*reason),
        View { is_asked: true, has_rows: true, .. } if may_cut => return Step::Cut(CutReason::Asked),
        View { may_advance: true, .. } if may_cut => return Step::Advance,
        _ => {}
    }
    // A folder that is full already must not grow while the cut before it is on its way.
    let may_gather = view.due != Some(CutReason::Size);
    if let Some(partition) = view.readable.filter(|_| may_gather) {
        if view.has_room {
            return Step::Read(partition);
        }
        if may_cut {
            // With nothing gathered, others hold the memory; one block is read all the same, or this lane
            // would never come round.
            return if view.has_rows { Step::Cut(CutReason::Memory) } else { Step::Read(partition) };
        }
    }
    let due_in = view.due_in.filter(|due_in| !due_in.is_zero());
    Step::Wait(due_in.map_or(view.tick, |due_in| due_in.min(view.tick)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(1);

    fn view() -> View {
        View {
            in_flight: Flight::None,
            due: None,
            due_in: None,
            has_rows: false,
            is_asked: false,
            may_advance: false,
            readable: None,
            has_room: true,
            tick: Duration::from_secs(1),
            is_paused: false,
        }
    }

    #[test]
    fn an_idle_lane_waits_for_news_or_for_its_oldest_folder() {
        assert_eq!(choose(&view()), Step::Wait(Duration::from_secs(1)));
        let due_in = Some(Duration::from_millis(300));
        assert_eq!(choose(&View { due_in, ..view() }), Step::Wait(Duration::from_millis(300)));
    }

    #[test]
    fn a_due_folder_is_cut_before_more_is_read() {
        let due = View { due: Some(CutReason::Age), readable: Some(P), has_rows: true, ..view() };
        assert_eq!(choose(&due), Step::Cut(CutReason::Age));
    }

    #[test]
    fn a_lane_reads_on_while_a_cut_is_on_its_way() {
        let under = View { in_flight: Flight::Under, readable: Some(P), has_rows: true, ..view() };
        assert_eq!(choose(&under), Step::Read(P));
        let aged = View { due: Some(CutReason::Age), ..under };
        assert_eq!(choose(&aged), Step::Read(P));
        let full = View { due: Some(CutReason::Size), ..under };
        assert_eq!(choose(&full), Step::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn without_memory_the_older_half_is_cut_or_the_cut_under_way_is_awaited() {
        let short = View { has_room: false, readable: Some(P), has_rows: true, ..view() };
        assert_eq!(choose(&short), Step::Cut(CutReason::Memory));
        let under = View { in_flight: Flight::Under, ..short };
        assert_eq!(choose(&under), Step::Wait(Duration::from_secs(1)));
        assert_eq!(choose(&View { has_rows: false, ..short }), Step::Read(P));
    }

    #[test]
    fn what_was_asked_for_is_cut_once_it_is_read() {
        let asked = View { is_asked: true, has_rows: true, ..view() };
        assert_eq!(choose(&asked), Step::Cut(CutReason::Asked));
        assert_eq!(choose(&View { has_rows: false, ..asked }), Step::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn a_paused_lane_commits_its_cut_and_then_rests_whatever_is_due() {
        let paused = View { is_paused: true, due: Some(CutReason::Size), readable: Some(P), ..view() };
        assert_eq!(choose(&paused), Step::Rest);
        assert_eq!(choose(&View { in_flight: Flight::Ended, ..paused }), Step::Collect);
        let under = View { in_flight: Flight::Under, ..paused };
        assert_eq!(choose(&under), Step::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn an_uploaded_cut_is_committed_before_anything_else() {
        let ended = View { in_flight: Flight::Ended, due: Some(CutReason::Size), has_rows: true, ..view() };
        assert_eq!(choose(&ended), Step::Collect);
    }
}
