//! How far a lane has come: pure bookkeeping, no I/O.
//!
//! For each partition a low position, before which everything is in the lake, and for each folder that is
//! ahead of it the position up to which that folder is delivered. A full folder can so be cut alone while a
//! slow one keeps gathering; after a restart reading begins at the low position and skips what a folder has.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lakeferry_store::PartitionId;

/// A folder's path, shared.
pub(crate) type Folder = Arc<str>;

/// A lane's progress as it is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    partitions: BTreeMap<PartitionId, PartitionProgress>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PartitionProgress {
    low: u64,
    ahead: BTreeMap<Folder, u64>,
    /// The greatest position in `ahead`: above it nothing needs to be looked up.
    ahead_max: u64,
}

/// What to write so that progress moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProgressChange {
    /// New low positions.
    pub(crate) lows: Vec<(PartitionId, u64)>,
    /// Folders that are ahead now.
    pub(crate) ahead: Vec<(PartitionId, Folder, u64)>,
    /// Folders that are ahead no more.
    pub(crate) level: Vec<(PartitionId, Folder)>,
}

impl Progress {
    /// Sets what was read back from the task's space.
    pub(crate) fn set_low(&mut self, partition: PartitionId, low: u64) {
        self.partitions.entry(partition).or_default().low = low;
    }

    /// Sets what was read back from the task's space.
    pub(crate) fn set_ahead(&mut self, partition: PartitionId, folder: Folder, position: u64) {
        let progress = self.partitions.entry(partition).or_default();
        progress.ahead_max = progress.ahead_max.max(position);
        progress.ahead.insert(folder, position);
    }

    /// The partitions that the lane serves.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions.keys().copied()
    }

    /// Takes a partition away, and answers its low position.
    pub(crate) fn give_up(&mut self, partition: PartitionId) -> u64 {
        self.partitions.remove(&partition).map_or(0, |progress| progress.low)
    }

    /// Every partition with its folders that are ahead.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (PartitionId, impl Iterator<Item = &Folder>)> {
        self.partitions.iter().map(|(partition, progress)| (*partition, progress.ahead.keys()))
    }

    /// Everything of the partition up to this is in the lake.
    pub(crate) fn low(&self, partition: PartitionId) -> u64 {
        self.partitions.get(&partition).map_or(0, |progress| progress.low)
    }

    /// The furthest position that any folder of the partition has come to.
    pub(crate) fn furthest(&self, partition: PartitionId) -> u64 {
        let progress = self.partitions.get(&partition);
        progress.map_or(0, |progress| progress.ahead.values().copied().max().unwrap_or(0).max(progress.low))
    }

    /// Whether no folder is ahead anywhere.
    pub(crate) fn is_level(&self) -> bool {
        self.partitions.values().all(|progress| progress.ahead.is_empty())
    }

    /// Whether any folder may be ahead at this position: only then is [`Self::is_delivered`] worth asking.
    pub(crate) fn may_be_delivered(&self, partition: PartitionId, sequence: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|progress| sequence <= progress.ahead_max)
    }

    /// Whether the folder has the record already.
    pub(crate) fn is_delivered(&self, partition: PartitionId, folder: &str, sequence: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|progress| {
            sequence <= progress.low
                || progress.ahead.get(folder).is_some_and(|position| sequence <= *position)
        })
    }

    /// The change that follows when `folders` are delivered up to `upto`.
    ///
    /// `lows` gives each partition's new low position: just before the first record that still waits, or what
    /// was read if none does. It never lies below the present one.
    pub(crate) fn change(
        &self,
        folders: &[Folder],
        upto: &BTreeMap<PartitionId, u64>,
        lows: &BTreeMap<PartitionId, u64>,
    ) -> ProgressChange {
        let mut change = ProgressChange::default();
        let cut: HashSet<&Folder> = folders.iter().collect();
        for (&partition, progress) in &self.partitions {
            let low = lows.get(&partition).copied().unwrap_or(progress.low).max(progress.low);
            if low > progress.low {
                change.lows.push((partition, low));
            }
            let reached = upto.get(&partition).copied().unwrap_or(0);
            for (folder, position) in &progress.ahead {
                let position = if cut.contains(folder) { reached.max(*position) } else { *position };
                if position <= low {
                    change.level.push((partition, Arc::clone(folder)));
                }
            }
            if reached > low {
                let ahead = folders.iter().map(|folder| (partition, Arc::clone(folder), reached));
                change.ahead.extend(ahead);
            }
        }
        change
    }

    /// Applies what was written.
    pub(crate) fn apply(&mut self, change: &ProgressChange) {
        for (partition, folder) in &change.level {
            if let Some(progress) = self.partitions.get_mut(partition) {
                progress.ahead.remove(folder);
            }
        }
        for (partition, low) in &change.lows {
            self.set_low(*partition, *low);
        }
        for (partition, folder, position) in &change.ahead {
            self.set_ahead(*partition, Arc::clone(folder), *position);
        }
    }
}

impl ProgressChange {
    /// Whether there is nothing to write.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lows.is_empty() && self.ahead.is_empty() && self.level.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(7);

    fn progress(low: u64, ahead: &[(&str, u64)]) -> Progress {
        let mut progress = Progress::default();
        progress.set_low(P, low);
        for (folder, position) in ahead {
            progress.set_ahead(P, Folder::from(*folder), *position);
        }
        progress
    }

    fn cut(progress: &mut Progress, folders: &[&str], upto: u64, low: u64) {
        let folders: Vec<Folder> = folders.iter().map(|folder| Folder::from(*folder)).collect();
        let change = progress.change(&folders, &BTreeMap::from([(P, upto)]), &BTreeMap::from([(P, low)]));
        progress.apply(&change);
    }

    #[test]
    fn a_folder_cut_alone_runs_ahead_of_the_others() {
        let mut progress = progress(0, &[]);
        cut(&mut progress, &["full"], 10, 2);
        assert_eq!(progress.low(P), 2);
        assert!(progress.is_delivered(P, "full", 10));
        assert!(!progress.is_delivered(P, "full", 11));
        assert!(!progress.is_delivered(P, "slow", 3));
        assert!(progress.is_delivered(P, "slow", 2));
    }

    #[test]
    fn a_low_position_that_catches_up_takes_the_folder_keys_away() {
        let mut progress = progress(2, &[("full", 10)]);
        cut(&mut progress, &["slow"], 12, 12);
        assert_eq!(progress.low(P), 12);
        assert!(progress.is_level());
    }

    #[test]
    fn progress_moves_over_rows_that_produce_nothing() {
        let mut progress = progress(2, &[]);
        cut(&mut progress, &[], 0, 9);
        assert_eq!(progress.low(P), 9);
        let again = progress.change(&[], &BTreeMap::new(), &BTreeMap::from([(P, 9)]));
        assert!(again.is_empty());
    }

    #[test]
    fn a_low_position_never_goes_back() {
        let progress = progress(5, &[]);
        let change = progress.change(&[], &BTreeMap::new(), &BTreeMap::from([(P, 3)]));
        assert!(change.is_empty());
    }
}
