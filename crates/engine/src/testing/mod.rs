//! For tests: the contract suite, and engines that fail, wait and count around another one.

pub mod contract;
mod counting;
mod failing;
pub mod model;

pub use counting::{CountingEngine, Counts};
pub use failing::{FailingEngine, Fault, HeldWrite};

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::seam::{Area, Engine, Error, Scan, Space};

/// A place where an engine keeps its data, so that it can be opened again on it.
#[async_trait]
pub trait Home: Send + Sync {
    /// Opens the engine on what lies here, nothing at first. The one opened before is closed or dropped.
    async fn open(&self) -> Arc<dyn Engine>;
}

/// A deadline that no call reaches unless it hangs.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Reads an area, or the part of it from `from` (inclusive) to `to` (exclusive), in blocks of at most
/// `entries_max` entries.
///
/// # Errors
/// Those of [`Space::scan`].
///
/// # Panics
/// If a block breaks the rules of its scan: too large, empty though it says `more`, or out of order.
pub async fn collect(
    space: &dyn Space,
    area: Area,
    from: &[u8],
    to: Option<&[u8]>,
    backward: bool,
    entries_max: usize,
) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let mut entries: Vec<(Bytes, Bytes)> = Vec::new();
    let mut from = Bytes::copy_from_slice(from);
    let mut to = to.map(Bytes::copy_from_slice);
    loop {
        let scan =
            Scan { area, from: from.clone(), to: to.clone(), backward, entries_max, bytes_max: 1 << 20 };
        let block = space.scan(scan, soon()).await?;
        assert!(block.len() <= entries_max);
        for (key, value) in block.iter() {
            if let Some((last, _)) = entries.last() {
                assert_eq!(last > key, backward, "{last:?} comes before {key:?}");
            }
            entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        }
        if !block.more {
            return Ok(entries);
        }
        let last = Bytes::copy_from_slice(block.last_key().expect("there is more, so there was something"));
        if backward {
            to = Some(last);
        } else {
            // The smallest key above the last.
            from = [&last[..], &[0]].concat().into();
        }
    }
}

/// Chance that can be had again: the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// An index below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("it is below a usize")
    }

    /// Whether something happens that happens once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
