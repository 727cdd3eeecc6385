//! Where in its log a partition was at a time, and reads from a time on.

use std::time::Instant;

use lakeferry_model::Micros;

use super::{LogBlock, Partition};
use crate::error::Error;

impl Partition {
    /// The greatest sequence whose record, and all before it, were committed before `time`, or are let go: whoever
    /// reads behind it reads the first record at or after `time`.
    ///
    /// # Errors
    /// If the engine does not answer, or a record is damaged.
    pub async fn position_before(&self, time: Micros, deadline: Instant) -> Result<u64, Error> {
        let head = self.head().sequence;
        let (mut low, mut high) = (self.trimmed(), head);
        // All up to `low` are older; `high` is the greatest that may be.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.first_record(middle, deadline).await? {
                Some(record) if record.commit_time < time => low = record.sequence.max(middle),
                // Or nothing lies at or behind the middle: the log was off for those.
                Some(_) | None => high = middle - 1,
            }
        }
        // Up to the next record there is nothing to read.
        let next = self.first_record(low.saturating_add(1), deadline).await?;
        // A record may be found before the head tells of it.
        Ok(next.map_or(head, |record| head.min(record.sequence - 1)))
    }

    /// Reads the log behind the sequence `after`, without what was committed before `time`: at most `count_max`
    /// records, and the sequence behind which they lie.
    ///
    /// # Errors
    /// As [`Partition::read_log`].
    pub async fn read_records_since(
        &self,
        mut after: u64,
        time: Micros,
        count_max: usize,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<(u64, LogBlock), Error> {
        loop {
            let block = self.read_records(after, count_max, bytes_max, deadline).await?;
            // Commit times rise with the sequence: it is enough to look at the first.
            let first = block.records().next().transpose()?;
            let first = first.map(|record| (record.sequence(), record.commit_time()));
            match first {
                Some((sequence, committed)) if committed < time => {
                    after = self.position_before(time, deadline).await?.max(sequence);
                }
                _ => return Ok((after, block)),
            }
        }
    }
}
