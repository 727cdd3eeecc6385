//! When writes arrived in the lake, and how the original defines that this was soon enough.
//!
//! "Latencies are within 3 minutes when data is written at a steady rate. P99 is within 10 minutes", where "P99
//! indicates the average latency of the slowest 1% of requests over the last 10 seconds". A request is a write of a
//! row here; it is over when the row is in the lake.

use std::time::Duration;

/// What "the last 10 seconds" are.
const RECENT: Duration = Duration::from_secs(10);
/// How often somebody may look back over them.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// Where the shown distribution is cut, in seconds.
const BOUNDS_S: [u64; 7] = [15, 30, 60, 90, 110, 120, 125];

/// A write that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// When, since some common beginning.
    pub at: Duration,
    /// How long it took from its answer.
    pub latency: Duration,
}

/// Writes that have arrived, in the order in which they did.
#[derive(Debug)]
pub struct Arrivals(Vec<Arrival>);

impl Arrivals {
    /// These.
    pub fn new(mut all: Vec<Arrival>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many took no longer.
    pub fn within(&self, max: Duration) -> usize {
        self.0.iter().filter(|arrival| arrival.latency <= max).count()
    }

    /// The latency that so many hundredths of the writes did not exceed; 100 for the slowest. Zero if there are none.
    pub fn percentile(&self, hundredths: usize) -> Duration {
        let mut latencies: Vec<_> = self.0.iter().map(|arrival| arrival.latency).collect();
        latencies.sort_unstable();
        let at = latencies.len().saturating_sub(1) * hundredths / 100;
        latencies.get(at).copied().unwrap_or_default()
    }

    /// The mean latency of the slowest 1 %, at least of one, of what arrived in the 10 seconds before somebody
    /// looked: the greatest that anybody would have seen who looked each second and at each arrival.
    pub fn slowest_hundredth_of_any_10_s(&self) -> Duration {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return Duration::ZERO };
        let mut looks: Vec<Duration> = self.0.iter().map(|arrival| arrival.at).collect();
        let mut look = first.at;
        while look <= last.at + RECENT {
            looks.push(look);
            look += LOOKED_EVERY;
        }
        looks.sort_unstable();
        looks.dedup();
        looks.into_iter().map(|look| self.slowest_hundredth_at(look)).max().unwrap_or_default()
    }

    fn slowest_hundredth_at(&self, look: Duration) -> Duration {
        let begin = self.0.partition_point(|arrival| arrival.at + RECENT < look);
        let end = self.0.partition_point(|arrival| arrival.at <= look);
        let mut recent: Vec<_> = self.0[begin..end].iter().map(|arrival| arrival.latency).collect();
        recent.sort_unstable_by(|one, other| other.cmp(one));
        let slowest = &recent[..recent.len().div_ceil(100)];
        let number = u32::try_from(slowest.len()).unwrap_or(u32::MAX);
        slowest.iter().sum::<Duration>().checked_div(number).unwrap_or_default()
    }

    /// The share of writes between each two bounds, in a line.
    pub fn distribution(&self) -> String {
        let mut text = String::new();
        let mut below = 0;
        for bound in BOUNDS_S {
            let within = self.within(Duration::from_secs(bound));
            text += &format!("{:>6.2} % to {bound} s", self.percent(within - below));
            below = within;
        }
        format!("{text}{:>6.2} % longer", self.percent(self.count() - below))
    }

    fn percent(&self, part: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share that is shown with two digits")]
        let share = part as f64 / self.count().max(1) as f64;
        share * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn arrivals(all: &[(u32, u32, usize)]) -> Arrivals {
        let one = |&(at, latency, times): &(u32, u32, usize)| {
            std::iter::repeat_n(Arrival { at: S * at, latency: S * latency }, times)
        };
        Arrivals::new(all.iter().flat_map(one).collect())
    }

    #[test]
    fn the_slowest_hundredth_is_that_of_the_last_10_seconds_at_any_look() {
        assert_eq!(arrivals(&[]).slowest_hundredth_of_any_10_s(), Duration::ZERO);
        assert_eq!(arrivals(&[(100, 7, 1)]).slowest_hundredth_of_any_10_s(), S * 7);
        // Two of two hundred, and their mean.
        assert_eq!(
            arrivals(&[(100, 90, 1), (100, 70, 1), (109, 1, 198)]).slowest_hundredth_of_any_10_s(),
            S * 90
        );
        assert_eq!(
            arrivals(&[(100, 90, 1), (100, 70, 1), (100, 1, 198)]).slowest_hundredth_of_any_10_s(),
            S * 80
        );
        // When the many quick ones of second 100 are out of sight, the slow one of second 105 is alone.
        assert_eq!(arrivals(&[(100, 1, 199), (105, 80, 1)]).slowest_hundredth_of_any_10_s(), S * 80);
    }

    #[test]
    fn a_distribution_counts_each_write_once() {
        let all = arrivals(&[(1, 10, 1), (2, 60, 1), (3, 125, 1), (4, 126, 1)]);
        assert_eq!((all.count(), all.within(S * 125), all.percentile(100)), (4, 3, S * 126));
        let expected = " 25.00 % to 15 s  0.00 % to 30 s 25.00 % to 60 s  0.00 % to 90 s  0.00 % to 110 s  0.00 % to 120 s 25.00 % to 125 s 25.00 % longer";
        assert_eq!(all.distribution(), expected);
    }
}
