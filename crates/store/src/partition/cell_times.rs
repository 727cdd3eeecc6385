//! The timestamps of cells whose writers name none: the server's time, in milliseconds.
//!
//! Successive writes of one row get rising ones, so that each makes a version of its own. Rows written within the
//! last millisecond are remembered for that. After a restart they go on above the last commit, also where the
//! clock went back: else a new version would hide behind an older one.
//!
//! While the clock stands still, or is behind the last commit, nothing is past. Once many rows are remembered, all go
//! on above the greatest timestamp that any of them got, and none needs to be remembered any more.

use std::collections::HashMap;
use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::RandomState;
use lakeferry_model::Micros;

/// Rows that are remembered before all are forgotten.
const ROWS_MAX: usize = 65_536;

/// The timestamps that the rows of a partition got lately.
#[derive(Debug)]
pub struct CellTimes {
    /// By the hash of the row's key: two rows that share one get higher timestamps than they need.
    given: HashMap<u64, i64, RandomState>,
    hasher: RandomState,
    /// What is remembered was given at this time or later.
    since_ms: i64,
    floor_ms: i64,
}

impl CellTimes {
    /// Begins above what rows got before this commit.
    pub fn above(commit_time: Micros) -> Self {
        let floor_ms = if commit_time > 0 { commit_time / 1000 + 1 } else { 0 };
        Self { given: HashMap::default(), hasher: RandomState::default(), since_ms: 0, floor_ms }
    }

    /// A timestamp for a change of each of these rows: now, or one above what the row had last.
    pub fn take<'k>(&mut self, keys: impl Iterator<Item = &'k Bytes>, now_ms: i64) -> Vec<i64> {
        if self.given.len() >= ROWS_MAX {
            let greatest = self.given.values().max().copied();
            self.floor_ms = greatest.map_or(self.floor_ms, |ms| ms.saturating_add(1));
            self.given.clear();
        }
        let now_ms = now_ms.max(self.floor_ms);
        if now_ms > self.since_ms {
            self.since_ms = now_ms;
            self.given.retain(|_, ms| *ms >= now_ms);
        }
        keys.map(|key| {
            let ms = self.given.entry(self.hasher.hash_one(key)).or_insert(i64::MIN);
            *ms = now_ms.max(ms.saturating_add(1));
            *ms
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(times: &mut CellTimes, keys: &[&'static str], now_ms: i64) -> Vec<i64> {
        let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect();
        times.take(keys.iter(), now_ms)
    }

    #[test]
    fn each_row_gets_now_and_then_one_more() {
        let mut times = CellTimes::above(0);
        assert_eq!(take(&mut times, &["a", "b", "a", "a"], 5), [5, 5, 6, 7]);
        assert_eq!(take(&mut times, &["a", "b", "c"], 6), [8, 6, 6], "a is ahead of the clock");
        assert_eq!(take(&mut times, &["a"], 20), [20]);
        assert_eq!(times.given.len(), 1, "what is past is forgotten");
    }

    #[test]
    fn timestamps_given_while_the_clock_stands_still_take_bounded_memory() {
        let mut times = CellTimes::above(0);
        let rows: Vec<Bytes> = (0..3 * ROWS_MAX).map(|row| row.to_string().into()).collect();
        for rows in rows.chunks(512) {
            times.take(rows.iter(), 5);
            assert!(times.given.len() < ROWS_MAX + 512, "{} rows are remembered", times.given.len());
        }
        let again = times.take(rows[..1].iter(), 5)[0];
        assert!(again > 5, "a row that was forgotten still gets a timestamp above its last");
        assert_eq!(take(&mut times, &["new"], 900), [900]);
    }

    #[test]
    fn after_a_restart_they_go_on_above_the_last_commit() {
        let mut times = CellTimes::above(9_500);
        assert_eq!(take(&mut times, &["a", "a"], 3), [10, 11]);
        assert_eq!(take(&mut times, &["a"], 40), [40]);
    }
}
