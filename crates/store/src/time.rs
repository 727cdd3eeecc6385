//! The time that commits are given: the computer's, but for its jumps.
//!
//! - It never goes back.
//! - A jump forward of more than a minute against the monotonic clock is believed only after it has stayed so
//!   for a minute; until then time goes on from where it was. A commit time once given cannot be taken back, so
//!   a clock that is wrong for a moment must not push all later ones into the future.

use std::sync::Arc;
use std::time::Duration;

use lakeferry_model::{Clock, Micros};
use parking_lot::Mutex;

/// The jump that is doubted, and how long it is doubted.
const DOUBTED: Duration = Duration::from_secs(60);

/// The time of day, doubted where it jumps.
#[derive(Debug)]
pub struct BelievedClock {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What was answered last, and when that was by the monotonic clock.
    last: Micros,
    last_monotonic: Duration,
    /// Since when, by the monotonic clock, the time of day has been too far ahead.
    ahead_since: Option<Duration>,
}

impl BelievedClock {
    /// Believes the clock as it stands.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State { last: clock.now_micros(), last_monotonic: clock.monotonic(), ahead_since: None };
        Self { clock, state: Mutex::new(state) }
    }

    /// Now, in microseconds since the epoch. Never less than before.
    pub fn now(&self) -> Micros {
        let mut state = self.state.lock();
        let wall = self.clock.now_micros();
        let monotonic = self.clock.monotonic();
        let passed = monotonic.saturating_sub(state.last_monotonic);
        let expected = state.last.saturating_add(micros(passed));
        let believed = if wall <= expected.saturating_add(micros(DOUBTED)) {
            state.ahead_since = None;
            wall
        } else {
            let since = *state.ahead_since.get_or_insert(monotonic);
            if monotonic.saturating_sub(since) >= DOUBTED {
                state.ahead_since = None;
                wall
            } else {
                expected
            }
        };
        state.last = believed.max(state.last);
        state.last_monotonic = monotonic;
        state.last
    }
}

fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use lakeferry_model::ManualClock;

    use super::*;

    const SECOND: Micros = 1_000_000;

    #[test]
    fn time_never_goes_back() {
        let clock = ManualClock::at(1_000 * SECOND);
        let believed = BelievedClock::new(clock.clone());
        clock.jump_to(500 * SECOND);
        assert_eq!(believed.now(), 1_000 * SECOND);
    }

    #[test]
    fn a_small_jump_is_believed_at_once() {
        let clock = ManualClock::at(1_000 * SECOND);
        let believed = BelievedClock::new(clock.clone());
        clock.jump_to(1_059 * SECOND);
        assert_eq!(believed.now(), 1_059 * SECOND);
    }

    #[test]
    fn a_large_jump_is_believed_after_it_has_stayed_for_a_minute() {
        let clock = ManualClock::at(1_000 * SECOND);
        let believed = BelievedClock::new(clock.clone());
        clock.jump_to(9_000 * SECOND);
        assert_eq!(believed.now(), 1_000 * SECOND);
        clock.advance(Duration::from_secs(30));
        assert_eq!(believed.now(), 1_030 * SECOND);
        clock.advance(Duration::from_secs(30));
        assert_eq!(believed.now(), 9_060 * SECOND);
    }

    #[test]
    fn a_large_jump_that_is_taken_back_leaves_no_trace() {
        let clock = ManualClock::at(1_000 * SECOND);
        let believed = BelievedClock::new(clock.clone());
        clock.jump_to(9_000 * SECOND);
        believed.now();
        clock.jump_to(1_000 * SECOND);
        clock.advance(Duration::from_secs(120));
        assert_eq!(believed.now(), 1_120 * SECOND);
    }
}
