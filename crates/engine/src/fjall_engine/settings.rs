//! The settings of the embedded engine: plain data, each with its price.

use std::thread::available_parallelism;
use std::time::Duration;

/// Settings of a [`FjallEngine`](super::FjallEngine). The defaults suit a machine with 2 GiB to spare.
#[derive(Debug, Clone, PartialEq)]
pub struct FjallSettings {
    /// Bytes of blocks kept in memory. More makes repeated reads faster.
    pub cache_bytes: u64,
    /// Bytes of rows and change records that wait in memory to be written into tables, over all spaces. When
    /// they are reached, writes wait for the disk. More makes fewer and larger tables.
    pub write_buffer_bytes: u64,
    /// Bytes of journal files that are full. More lets idle spaces wait longer in memory; a start after a
    /// crash reads them all, at about 10 ms per MiB.
    pub journal_bytes: u64,
    /// Bytes of waiting batches that are written together. More saves syncs and makes each of them longer.
    pub group_bytes: u64,
    /// What must stay free on the disk.
    pub reserve: ReserveSetting,
    /// Threads that answer reads.
    pub reader_threads: usize,
    /// Threads of fjall that flush and compact.
    pub worker_threads: usize,
    /// A call into fjall that is not back after this long counts as stuck.
    pub stuck_after: Duration,
}

impl Default for FjallSettings {
    fn default() -> Self {
        let cores = available_parallelism().map_or(2, usize::from);
        Self {
            cache_bytes: 128 << 20,
            write_buffer_bytes: 128 << 20,
            journal_bytes: 256 << 20,
            group_bytes: 8 << 20,
            reserve: ReserveSetting::default(),
            reader_threads: cores.clamp(2, 4),
            worker_threads: cores.clamp(2, 4),
            stuck_after: Duration::from_secs(30),
        }
    }
}

/// How much of the disk must stay free, so that trimming and delivery can go on when rows no longer can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveSetting {
    /// This many bytes.
    Bytes(u64),
    /// This part of the disk, in percent.
    Percent(u8),
    /// The smaller of the two.
    Smaller {
        /// Bytes.
        bytes: u64,
        /// Percent of the disk.
        percent: u8,
    },
}

impl Default for ReserveSetting {
    /// The smaller of 1 GiB and 5 %.
    fn default() -> Self {
        Self::Smaller { bytes: 1 << 30, percent: 5 }
    }
}

impl ReserveSetting {
    /// The reserve in bytes, on a disk of `total` bytes.
    pub fn bytes(self, total: u64) -> u64 {
        let part = |percent: u8| total / 100 * u64::from(percent);
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => part(percent),
            Self::Smaller { bytes, percent } => bytes.min(part(percent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_keeps_five_percent_and_a_large_one_a_gibibyte() {
        assert_eq!(ReserveSetting::default().bytes(10_000_000_000), 500_000_000);
        assert_eq!(ReserveSetting::default().bytes(1 << 40), 1 << 30);
        assert_eq!(ReserveSetting::Percent(10).bytes(1_000), 100);
    }
}
