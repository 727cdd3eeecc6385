//! What an operator may set about delivery. Plain data, printed at start.

use std::path::PathBuf;
use std::time::Duration;

use lakeferry_model::delivery::Tuning;

/// Bytes of records that one object may gather at most: it is encoded in memory.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Settings of all delivery tasks. A task's own ([`Tuning`]) are fixed when it is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of local buckets.
    pub lake_dir: PathBuf,
    /// Bytes that gathered rows of all tasks may hold together.
    ///
    /// More lets slow folders grow into larger objects; under pressure objects get smaller, nothing stops.
    pub memory_bytes: u64,
    /// Objects that are encoded at one time; each takes a core and, in the full phase, one open object's
    /// memory.
    pub encoders: usize,
    /// Lanes of the full phase. Each reads and encodes in turn: a core for a lane.
    pub scan_lanes: u32,
    /// Objects of one cut that are encoded and uploaded at one time. Each holds its encoded bytes meanwhile.
    pub uploads_max: usize,
    /// What a new task gets that names nothing else.
    pub defaults: Tuning,
    /// Columns up to which an automatic schema stays open. A task keeps the number that its schema was made with.
    pub automatic_columns_max: usize,
    /// Bytes of change records that a lane reads at a time.
    pub read_bytes: usize,
    /// Bytes of change records per second that the incremental lanes of a task read on average when it gets one
    /// more, within its bounds.
    ///
    /// Lower spreads tasks over more lanes sooner, which makes more and smaller objects.
    pub lane_bytes_per_s: u64,
    /// How long they must have read so much.
    pub lane_busy_for: Duration,
    /// The longest that a lane sleeps before it looks at the clock again.
    pub tick: Duration,
    /// The wait after a first failure; each further one doubles it.
    pub retry_min: Duration,
    /// The longest wait between two tries.
    pub retry_max: Duration,
    /// How often a task looks whether its bucket is still there and may be written to, also while it has nothing
    /// to write; and the longest wait for what a person must mend. A request each time, shared by the tasks of a
    /// bucket.
    pub look_every: Duration,
    /// A task whose upload takes longer than this may not borrow memory.
    pub slow_after: Duration,
    /// How long a new task may sample its table and try its destination. It is out of INIT within two seconds, with
    /// what is written down before and behind that.
    pub init_max: Duration,
    /// How long deleting a task waits for its uploads to end.
    pub delete_wait: Duration,
    /// How long an abandoned name is deleted again, since a slow upload may still land.
    pub abandoned_for: Duration,
}

impl Settings {
    /// The defaults, with local buckets under `lake_dir`.
    pub fn new(lake_dir: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            lake_dir: lake_dir.into(),
            memory_bytes: 176 * 1024 * 1024,
            encoders: cores,
            scan_lanes: u32::try_from(cores).unwrap_or(u32::MAX),
            uploads_max: 8,
            defaults: Tuning::default(),
            automatic_columns_max: 1024,
            read_bytes: 512 * 1024,
            // An object of the default size fills in 8 seconds, far below its age.
            lane_bytes_per_s: 8 * 1024 * 1024,
            lane_busy_for: Duration::from_secs(15),
            tick: Duration::from_secs(1),
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(10),
            look_every: Duration::from_secs(4),
            slow_after: Duration::from_secs(10),
            init_max: Duration::from_millis(1500),
            delete_wait: Duration::from_secs(8),
            abandoned_for: Duration::from_secs(600),
        }
    }

    /// The wait after the `failures`th failure in a row, counted from 1.
    pub fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.retry_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.retry_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_bucket_shows_and_heals_within_ten_seconds() {
        let settings = Settings::new("lake");
        // A look that was just made is used once more, then comes the next; a store that answers does so in two
        // seconds.
        assert!(settings.look_every * 3 / 2 + Duration::from_secs(2) <= Duration::from_secs(10));
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let settings = Settings::new("lake");
        assert_eq!(settings.backoff(1), settings.retry_min);
        assert_eq!(settings.backoff(3), settings.retry_min * 4);
        assert_eq!(settings.backoff(60), settings.retry_max);
    }
}
