//! How long rows take from their commit into the lake, and whether the original's two promises hold.
//!
//! The promises, in the words of the original: "Latencies are within 3 minutes when data is written at a steady rate.
//! P99 is within 10 minutes", where P99 is "the average latency of the slowest 1% of requests over the last 10
//! seconds". A request is a row here. A row that still waits has no latency yet, but it breaks a promise as soon as
//! it has waited for longer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lakeferry_durable::{Timed, Timings};
use lakeferry_model::Micros;
use parking_lot::Mutex;

/// Seconds over which the latest rows are looked at.
const RECENT_S: u64 = 10;
/// The first promise.
const STEADY_MAX: Duration = Duration::from_secs(180);
/// The second promise.
const SLOWEST_MAX: Duration = Duration::from_secs(600);
/// Bounds of counted latencies, in seconds; both promises are among them.
const BOUNDS_S: &[f64] =
    &[0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 125.0, 180.0, 300.0, 600.0, 1800.0, 3600.0, 86400.0];

/// How fresh a task keeps the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    /// Rows of the incremental phase by their latency, since the start.
    pub latencies: Timed,
    /// The latency of the slowest row delivered in the last 10 seconds; absent if there was none.
    pub slowest: Option<Duration>,
    /// The mean latency of the slowest 1 % of the rows delivered in the last 10 seconds, at least one row; absent
    /// if there was none.
    pub slowest_mean: Option<Duration>,
    /// Whether no row of the last 10 seconds took longer than 3 minutes, and none has waited for so long.
    pub is_within_3_minutes: bool,
    /// Whether the mean of the slowest 1 % lies within 10 minutes, and no row has waited for so long.
    pub is_p99_within_10_minutes: bool,
}

/// The latencies of a task's rows.
#[derive(Debug)]
pub(crate) struct Latencies {
    all: Timings,
    /// By the second of delivery: how many rows had which latency, in steps of [`step`].
    recent: Mutex<VecDeque<(u64, BTreeMap<Duration, u64>)>>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { all: Timings::new(BOUNDS_S), recent: Mutex::default() }
    }
}

impl Latencies {
    /// Counts rows that were committed at these times and are in the lake now. `now` is the monotonic clock.
    pub(crate) fn record<'a>(
        &self,
        now: Duration,
        now_micros: Micros,
        committed: impl Iterator<Item = &'a CommitTimes>,
    ) {
        let mut recent = self.recent.lock();
        forget(&mut recent, now);
        if recent.back().is_none_or(|(second, _)| *second != now.as_secs()) {
            recent.push_back((now.as_secs(), BTreeMap::new()));
        }
        let (_, rows_by_latency) = recent.back_mut().expect("a second was added if there was none");
        for (at, rows) in committed.flat_map(|times| &times.spans) {
            let latency = Duration::from_micros(u64::try_from(now_micros - at).unwrap_or(0));
            self.all.record_many(latency, *rows);
            *rows_by_latency.entry(step(latency)).or_insert(0) += rows;
        }
    }

    /// How it goes, with what has waited longest.
    pub(crate) fn freshness(&self, now: Duration, waiting: Option<Duration>) -> Freshness {
        let mut recent = self.recent.lock();
        forget(&mut recent, now);
        let mut rows_by_latency: BTreeMap<Duration, u64> = BTreeMap::new();
        for (latency, rows) in recent.iter().flat_map(|(_, rows)| rows) {
            *rows_by_latency.entry(*latency).or_insert(0) += rows;
        }
        drop(recent);
        let slowest = rows_by_latency.last_key_value().map(|(latency, _)| *latency);
        let slowest_mean = slowest_mean(&rows_by_latency);
        let within = |max: Duration, latency: Option<Duration>| {
            latency.is_none_or(|latency| latency <= max) && waiting.is_none_or(|waiting| waiting <= max)
        };
        Freshness {
            latencies: self.all.timed(),
            slowest,
            slowest_mean,
            is_within_3_minutes: within(STEADY_MAX, slowest),
            is_p99_within_10_minutes: within(SLOWEST_MAX, slowest_mean),
        }
    }
}

fn forget(recent: &mut VecDeque<(u64, BTreeMap<Duration, u64>)>, now: Duration) {
    while recent.front().is_some_and(|(second, _)| second + RECENT_S < now.as_secs()) {
        recent.pop_front();
    }
}

/// The mean of the slowest hundredth of the rows, at least of one.
fn slowest_mean(rows_by_latency: &BTreeMap<Duration, u64>) -> Option<Duration> {
    let all: u64 = rows_by_latency.values().sum();
    let wanted = all.div_ceil(100);
    let mut left = wanted;
    let mut sum = 0.0;
    for (latency, rows) in rows_by_latency.iter().rev() {
        let taken = left.min(*rows);
        #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
        let rows = taken as f64;
        sum += latency.as_secs_f64() * rows;
        left -= taken;
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
    (wanted > 0).then(|| Duration::try_from_secs_f64(sum / wanted as f64).unwrap_or_default())
}

/// A latency as it is counted: finer than anybody looks, so that an hour of backlog takes little memory; never shorter
/// than it was.
fn step(latency: Duration) -> Duration {
    let step_ms = match latency.as_secs() {
        0..10 => 10,
        10..600 => 100,
        600..36_000 => 10_000,
        _ => 600_000,
    };
    let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(ms.div_ceil(step_ms) * step_ms)
}

/// When gathered records were committed: how many in which span of time, each span by its first commit.
#[derive(Debug, Default)]
pub(crate) struct CommitTimes {
    spans: Vec<(Micros, u64)>,
    /// The span of the latest record.
    latest: usize,
}

/// Spans begin so far apart at least.
const SPAN_MICROS: Micros = 100_000;
/// Spans of one folder at most; then neighbours are joined, which makes rows look older than they are.
const SPANS_MAX: usize = 64;

impl CommitTimes {
    /// Notes a record.
    #[inline]
    pub(crate) fn add(&mut self, at: Micros) {
        match self.spans.get_mut(self.latest) {
            Some((start, rows)) if *start <= at && at < *start + SPAN_MICROS => *rows += 1,
            _ => self.add_span(at),
        }
    }

    #[cold]
    fn add_span(&mut self, at: Micros) {
        if self.spans.len() >= SPANS_MAX {
            self.spans.sort_unstable();
            let joined = |pair: &[(Micros, u64)]| (pair[0].0, pair.iter().map(|(_, rows)| rows).sum());
            self.spans = self.spans.chunks(2).map(joined).collect();
        }
        self.latest = self.spans.len();
        self.spans.push((at, 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn times(of: &[(Micros, u64)]) -> CommitTimes {
        let mut times = CommitTimes::default();
        for (at_s, rows) in of {
            (0..*rows).for_each(|_| times.add(at_s * 1_000_000));
        }
        times
    }

    #[test]
    fn the_slowest_hundredth_is_looked_at_over_ten_seconds() {
        let latencies = Latencies::default();
        let committed = times(&[(0, 1), (20, 1), (99, 198)]);
        latencies.record(S * 5, 100_000_000, std::iter::once(&committed));
        let told = latencies.freshness(S * 5, None);
        assert_eq!((told.slowest, told.slowest_mean), (Some(S * 100), Some(S * 90)));
        assert_eq!(told.latencies.count(), 200);
        assert_eq!(latencies.freshness(S * 15, None).slowest, Some(S * 100));
        let later = latencies.freshness(S * 16, None);
        assert_eq!((later.slowest, later.slowest_mean), (None, None));
        assert_eq!(later.latencies.count(), 200);
    }

    #[test]
    fn a_late_row_breaks_the_first_promise_and_only_many_the_second() {
        let latencies = Latencies::default();
        let one = times(&[(0, 1), (1_000, 150)]);
        latencies.record(S, 1_001_000_000, std::iter::once(&one));
        let told = latencies.freshness(S, None);
        assert!(!told.is_within_3_minutes && told.is_p99_within_10_minutes, "{told:?}");
        let more = times(&[(0, 2)]);
        latencies.record(S, 1_001_000_000, std::iter::once(&more));
        assert!(!latencies.freshness(S, None).is_p99_within_10_minutes);
    }

    #[test]
    fn a_latency_is_never_counted_shorter_than_it_was() {
        for (ms, counted_ms) in [(0, 0), (1, 10), (180_000, 180_000), (180_001, 180_100), (600_001, 610_000)]
        {
            assert_eq!(step(Duration::from_millis(ms)), Duration::from_millis(counted_ms));
        }
    }

    #[test]
    fn a_row_that_waits_for_too_long_breaks_a_promise_before_it_is_delivered() {
        let latencies = Latencies::default();
        let told = |waiting_s: u64| latencies.freshness(S, Some(S * u32::try_from(waiting_s).unwrap()));
        assert!(told(180).is_within_3_minutes);
        assert!(!told(181).is_within_3_minutes && told(181).is_p99_within_10_minutes);
        assert!(!told(601).is_p99_within_10_minutes);
    }

    #[test]
    fn many_spans_are_joined_and_no_row_is_lost_or_made_younger() {
        let mut times = CommitTimes::default();
        for at in 0..10_000 {
            times.add(at * 1_000_000);
        }
        assert!(times.spans.len() <= SPANS_MAX);
        assert_eq!(times.spans.iter().map(|(_, rows)| rows).sum::<u64>(), 10_000);
        assert_eq!(times.spans.iter().map(|(at, _)| *at).min(), Some(0));
    }
}
