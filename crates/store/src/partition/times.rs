//! Commit times and closed times of a partition.
//!
//! A commit time is given to every change while its group is formed; they rise within the partition. The closed
//! time is what the partition answers when asked how far it is complete: the smaller of now and the oldest group
//! under way. At or below a closed time that was answered, no commit time is given afterwards, not even after a
//! crash: answers stay below a floor that the catalog keeps ahead of use, and a restart begins above it.
//!
//! Where the clock was set back, now stands still until the clock has caught up, and commit times go on by a
//! microsecond each. Closed times go on with them, those of every partition: readers wait for the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use lakeferry_model::Micros;
use parking_lot::Mutex;

use crate::time::BelievedClock;

/// The time that all partitions of a store share.
#[derive(Debug)]
pub struct SharedTime {
    clock: BelievedClock,
    /// The floor at the start: up to there closed times may have been answered before it.
    first_floor: Micros,
    floor: AtomicI64,
    /// The greatest commit time given in any partition.
    given: AtomicI64,
    wanted: AtomicBool,
}

impl SharedTime {
    /// Begins above the floor that the catalog holds.
    pub fn new(clock: BelievedClock, floor: Micros) -> Arc<Self> {
        let (given, wanted) = (AtomicI64::new(0), AtomicBool::new(false));
        Arc::new(Self { clock, first_floor: floor, floor: floor.into(), given, wanted })
    }

    /// Now, as commits are given it.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Up to here a partition with nothing under way is complete: now, but above every commit time given.
    pub fn complete(&self) -> Micros {
        self.now().max(self.given.load(Ordering::SeqCst) + 1)
    }

    /// No closed time above this was answered yet.
    pub fn floor(&self) -> Micros {
        self.floor.load(Ordering::SeqCst)
    }

    /// Raises the floor; the catalog must hold the new one already.
    pub fn raise_floor(&self, floor: Micros) {
        self.floor.fetch_max(floor, Ordering::SeqCst);
    }

    /// Whether anybody asked for a closed time since the last call.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::SeqCst)
    }
}

/// The times of one partition.
#[derive(Debug)]
pub struct Times {
    shared: Arc<SharedTime>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last commit time given.
    last: Micros,
    /// The first commit time of the group under way.
    under_way: Option<Micros>,
    /// The greatest closed time answered.
    closed: Micros,
}

impl Times {
    /// Goes on after `last`, the commit time in the partition's head.
    pub fn new(shared: Arc<SharedTime>, last: Micros) -> Self {
        shared.given.fetch_max(last, Ordering::SeqCst);
        let state = State { last, under_way: None, closed: shared.first_floor };
        Self { shared, state: Mutex::new(state) }
    }

    /// The shared time.
    pub fn shared(&self) -> &Arc<SharedTime> {
        &self.shared
    }

    /// Gives the commit times of a group of `count` changes: this one, and each microsecond after it.
    pub fn begin_group(&self, count: usize) -> Micros {
        let now = self.shared.now();
        let mut state = self.state.lock();
        let first = now.max(state.last + 1).max(state.closed + 1);
        state.last = first + i64::try_from(count).unwrap_or(i64::MAX / 2) - 1;
        state.under_way = Some(first);
        self.shared.given.fetch_max(state.last, Ordering::SeqCst);
        first
    }

    /// The group is settled: durable, or certain never to be.
    pub fn end_group(&self) {
        self.state.lock().under_way = None;
    }

    /// The time up to which the partition is complete.
    pub fn closed(&self) -> Micros {
        let complete = self.shared.complete();
        self.shared.wanted.store(true, Ordering::SeqCst);
        let floor = self.shared.floor();
        let mut state = self.state.lock();
        let complete = state.under_way.map_or(complete, |first| complete.min(first - 1));
        state.closed = state.closed.max(complete.min(floor));
        state.closed
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::ManualClock;

    use super::*;

    fn times(now: Micros, floor: Micros) -> (Arc<ManualClock>, Times) {
        let clock = ManualClock::at(now);
        let shared = SharedTime::new(BelievedClock::new(clock.clone()), floor);
        (clock, Times::new(shared, 0))
    }

    #[test]
    fn no_commit_time_is_given_at_or_below_a_closed_time() {
        let (_, times) = times(1_000, 5_000);
        assert_eq!(times.closed(), 5_000, "after a restart everything below the floor is closed");
        assert_eq!(times.begin_group(3), 5_001);
        times.end_group();
        assert_eq!(times.begin_group(1), 5_004);
    }

    #[test]
    fn a_group_under_way_holds_the_closed_time_back() {
        let (clock, times) = times(1_000, 0);
        times.shared().raise_floor(1_000_000);
        let first = times.begin_group(2);
        clock.jump_to(2_000);
        assert_eq!(times.closed(), first - 1);
        times.end_group();
        assert_eq!(times.closed(), 2_000);
    }

    #[test]
    fn a_partition_that_is_made_later_does_not_start_in_the_future() {
        let (_, times) = times(1_000, 400);
        times.shared().raise_floor(9_000);
        let made_now = Times::new(times.shared().clone(), 0);
        assert_eq!(made_now.closed(), 1_000);
        assert_eq!(made_now.begin_group(1), 1_001);
    }

    #[test]
    fn closed_times_pass_what_is_committed_while_the_clock_stands_still() {
        let (clock, times) = times(9_000, 0);
        times.shared().raise_floor(1_000_000);
        let idle = Times::new(times.shared().clone(), 0);
        assert_eq!((times.closed(), idle.closed()), (9_000, 9_000));
        clock.jump_to(2_000);
        let first = times.begin_group(5);
        assert_eq!((times.closed(), idle.closed()), (first - 1, first + 5));
        times.end_group();
        assert_eq!(times.closed(), first + 5);
        assert_eq!(idle.begin_group(1), first + 6);
        // What was committed before a restart counts as well.
        let behind = Times::new(times.shared().clone(), 500_000);
        assert_eq!((behind.closed(), times.closed()), (500_001, 500_001));
    }

    #[test]
    fn closed_times_stay_below_the_floor_that_the_catalog_holds() {
        let (_, times) = times(1_000, 400);
        assert_eq!(times.closed(), 400);
        assert!(times.shared().take_wanted() && !times.shared().take_wanted());
        times.shared().raise_floor(2_000);
        assert_eq!(times.closed(), 1_000);
    }
}
