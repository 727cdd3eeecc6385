//! The keys at which a table falls into parts of about one size, for readers that share it out among them.
//!
//! The table is walked once, in blocks; a point is set with the first row that comes after a part is full. A walk
//! has a time to end by. What lies behind is one last part, however large: parts are a hint to readers, who read
//! every row in any case.

use std::time::Instant;

use lakeferry_model::PrimaryKey;

use crate::error::Error;
use crate::key;
use crate::partition::PartitionId;
use crate::table::Table;

/// Bytes of rows that are held at a time.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// A table in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPoints {
    /// The first row of each part but the first, in order.
    pub points: Vec<PrimaryKey>,
    /// The partitions in which parts begin, in order, with the number of parts that do.
    pub places: Vec<(PartitionId, u64)>,
}

impl Table {
    /// Parts of about `part_bytes` bytes of keys and entries, split at no more than `points_max` points. The walk
    /// ends at `until`.
    ///
    /// # Errors
    /// If the engine does not answer by `deadline`, or a key is damaged.
    pub async fn split_points(
        &self,
        part_bytes: u64,
        points_max: usize,
        until: Instant,
        deadline: Instant,
    ) -> Result<SplitPoints, Error> {
        let first = self.partitions().first().map(|partition| partition.id());
        let mut walk = Walk { part_bytes: part_bytes.max(1), filled: 0, begun: Vec::new() };
        'partitions: for partition in self.partitions() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let block = partition.scan(after.as_deref(), None, BLOCK_BYTES, deadline).await?;
                for index in 0..block.len() {
                    walk.row(block.row_bytes(index), partition.id(), || Ok(block.row(index)?.0.to_vec()))?;
                }
                if Instant::now() >= until {
                    break 'partitions;
                }
                let Some(last) = block.last_key().filter(|_| block.more()) else { break };
                after = Some(last.to_vec());
            }
        }
        let begun = thinned(walk.begun, points_max);
        let columns = &self.info().schema.primary_key;
        let points = begun.iter().map(|(_, row)| key::decode(row, columns)).collect::<Result<_, _>>()?;
        let mut places: Vec<(PartitionId, u64)> = Vec::new();
        for place in first.into_iter().chain(begun.iter().map(|(place, _)| *place)) {
            match places.last_mut() {
                Some((last, count)) if *last == place => *count += 1,
                _ => places.push((place, 1)),
            }
        }
        Ok(SplitPoints { points, places })
    }
}

struct Walk {
    part_bytes: u64,
    /// Bytes in the part that is being filled.
    filled: u64,
    /// The first row of each part behind the first, and where it lies.
    begun: Vec<(PartitionId, Vec<u8>)>,
}

impl Walk {
    fn row(
        &mut self,
        bytes: usize,
        place: PartitionId,
        key: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        if self.filled >= self.part_bytes {
            self.begun.push((place, key()?));
            self.filled = 0;
        }
        self.filled += bytes as u64;
        Ok(())
    }
}

/// At most `count_max` of these, evenly chosen.
fn thinned<T>(all: Vec<T>, count_max: usize) -> Vec<T> {
    let count = all.len();
    if count <= count_max {
        return all;
    }
    // Of count + 1 parts, the ends of the first count_max of count_max + 1 equal groups.
    let chosen = |group: usize| (group + 1) * (count + 1) / (count_max + 1) - 1;
    let mut wanted = (0..count_max).map(chosen).peekable();
    let keep = |(index, item)| wanted.next_if_eq(&index).map(|_| item);
    all.into_iter().enumerate().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_too_many_are_joined_evenly() {
        assert_eq!(thinned(vec![1, 2, 3], 5), [1, 2, 3]);
        assert_eq!(thinned(vec![1, 2, 3], 1), [2]);
        assert_eq!(thinned((1..=99).collect(), 3), [25, 50, 75]);
        assert_eq!(thinned(vec![1, 2, 3], 0), [0; 0]);
        for max in 0..20 {
            assert_eq!(thinned((0..20).collect::<Vec<_>>(), max).len(), max);
        }
    }
}
