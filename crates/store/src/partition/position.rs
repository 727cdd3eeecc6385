//! Where in its log a partition was at a time.

use std::time::Instant;

use lakeferry_model::Micros;

use super::Partition;
use crate::error::Error;

impl Partition {
    /// The greatest sequence whose record, and all before it, were committed before `time`, or are let go: whoever
    /// reads behind it reads the first record at or after `time`.
    ///
    /// # Errors
    /// If the engine does not answer, or a record is damaged.
    pub async fn position_before(&self, time: Micros, deadline: Instant) -> Result<u64, Error> {
        let (mut low, mut high) = (self.trimmed(), self.head().sequence);
        // All up to `low` are older; `high` is the greatest that may be.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.first_record(middle, deadline).await? {
                Some(record) if record.commit_time < time => low = record.sequence.max(middle),
                Some(_) => high = middle - 1,
                // Nothing lies at or behind the middle: the log was off for those.
                None => low = middle,
            }
        }
        Ok(low)
    }
}
