//! How long something took, counted in a few steps: what a histogram is made of, without any format of one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations, counted by upper bounds. Counting takes no lock.
#[derive(Debug)]
pub struct Timings {
    bounds_s: &'static [f64],
    /// One more than there are bounds: the last counts what is beyond all of them.
    counts: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

/// What was counted up to a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// For each bound in seconds, how many took at most so long and longer than the bound before; the last bound is
    /// infinite.
    pub steps: Vec<(f64, u64)>,
    /// Seconds of all together.
    pub sum_s: f64,
}

impl Timings {
    /// Counts by these bounds, which rise.
    pub fn new(bounds_s: &'static [f64]) -> Self {
        debug_assert!(bounds_s.is_sorted());
        let counts = (0..=bounds_s.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_s, counts, sum_micros: AtomicU64::new(0) }
    }

    /// Counts one.
    pub fn record(&self, took: Duration) {
        self.record_many(took, 1);
    }

    /// Counts several that took equally long.
    pub fn record_many(&self, took: Duration, count: u64) {
        let seconds = took.as_secs_f64();
        let at = self.bounds_s.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds_s.len());
        self.counts[at].fetch_add(count, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).saturating_mul(count);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn timed(&self) -> Timed {
        let bounds = self.bounds_s.iter().copied().chain(std::iter::once(f64::INFINITY));
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "a sum of durations need not be exact")]
        let sum_s = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        Timed { steps: bounds.zip(counts).collect(), sum_s }
    }
}

impl Timed {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_under_the_first_bound_that_it_does_not_exceed() {
        let timings = Timings::new(&[0.1, 1.0]);
        for ms in [50, 100, 101, 1000] {
            timings.record(Duration::from_millis(ms));
        }
        timings.record_many(Duration::from_secs(9), 3);
        let timed = timings.timed();
        assert_eq!(timed.steps, [(0.1, 2), (1.0, 2), (f64::INFINITY, 3)]);
        assert_eq!(timed.count(), 7);
        assert!((timed.sum_s - 28.251).abs() < 1e-9, "{}", timed.sum_s);
    }
}
