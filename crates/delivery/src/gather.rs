//! Rows that wait for their cut, per folder. Pure: no clock, no store.
//!
//! A folder keeps its change records as they came, appended to chunks of memory, one run of chunks per
//! partition. Nothing is decoded and no builder is open while a folder waits, so ten thousand folders with a
//! row each cost little more than their rows. Within an object, records lie by partition and then by
//! sequence; the order in which a lane happened to read its partitions leaves no trace, so doing a cut again
//! gives the same bytes.

mod part;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lakeferry_lake::FolderPath;
use lakeferry_model::Micros;

use crate::freshness::CommitTimes;
use crate::memory::Lease;
use crate::progress::Folder;
use lakeferry_store::PartitionId;
pub(crate) use part::Part;

/// What a folder costs beside its chunks, roughly: names, maps, commit times.
const FOLDER_BYTES: u64 = 2048;

/// All folders of one lane that have rows waiting.
#[derive(Debug)]
pub(crate) struct Gather {
    folders: Vec<Option<GatheredFolder>>,
    free: Vec<usize>,
    by_path: HashMap<Folder, usize>,
    lease: Lease,
}

/// Where a folder lies in a [`Gather`]; good until folders are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// The rows of one folder.
#[derive(Debug)]
pub(crate) struct GatheredFolder {
    /// Where they go.
    pub(crate) path: FolderPath,
    /// The rows of each partition.
    pub(crate) parts: BTreeMap<PartitionId, Part>,
    /// Bytes of the gathered records.
    pub(crate) bytes: u64,
    /// Gathered records.
    pub(crate) rows: u64,
    /// When the first was gathered, by the monotonic clock.
    pub(crate) since: Duration,
    /// When the latest was gathered.
    last: Duration,
    /// When they were committed.
    pub(crate) committed: CommitTimes,
    held: u64,
}

/// Rules that end a folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutRules {
    pub(crate) object_bytes_max: u64,
    pub(crate) object_age_max: Duration,
    /// How long a folder may get no row; absent for no limit.
    pub(crate) inactivity_max: Option<Duration>,
}

/// Why folders are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutReason {
    /// They reached the object size.
    Size,
    /// Their first rows have waited long enough, or no row has come for long enough.
    Age,
    /// Memory is short: the older half.
    Memory,
    /// Everything was asked for.
    Asked,
}

/// One record to gather.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gathered<'a> {
    pub(crate) partition: PartitionId,
    pub(crate) sequence: u64,
    pub(crate) commit_time: Micros,
    pub(crate) is_event_time_dirty: bool,
    pub(crate) record: &'a [u8],
}

impl Gather {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { folders: Vec::new(), free: Vec::new(), by_path: HashMap::new(), lease }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// Records that wait.
    pub(crate) fn rows(&self) -> u64 {
        self.iter().map(|folder| folder.rows).sum()
    }

    /// Memory that waiting records hold.
    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.iter().map(|folder| folder.held).sum()
    }

    /// Finds a folder that is about to get a row at `now`, or begins it.
    pub(crate) fn slot(&mut self, path: &FolderPath, now: Duration) -> Slot {
        if let Some(&at) = self.by_path.get(path.as_str()) {
            if let Some(folder) = &mut self.folders[at] {
                folder.last = now;
            }
            return Slot(at);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.folders.push(None);
            self.folders.len() - 1
        });
        self.folders[at] = Some(GatheredFolder::begun(path.clone(), now));
        self.by_path.insert(Folder::from(path.as_str()), at);
        self.lease.grow(FOLDER_BYTES);
        Slot(at)
    }

    /// Adds a record; those of one partition come in the order of their sequences.
    ///
    /// # Panics
    /// If folders were taken out since the slot was given.
    pub(crate) fn push(&mut self, slot: Slot, record: Gathered<'_>) {
        let folder = self.folders[slot.0].as_mut().expect("a slot is used only until folders are taken");
        let grown = folder.push(record);
        if grown > 0 {
            self.lease.grow(grown);
        }
    }

    /// Why something should be cut now, if it should. In a backlog age ends no folder.
    pub(crate) fn due(&self, now: Duration, rules: &CutRules, in_backlog: bool) -> Option<CutReason> {
        if self.iter().any(|folder| folder.bytes >= rules.object_bytes_max) {
            return Some(CutReason::Size);
        }
        let aged = |folder: &GatheredFolder| folder.is_aged(now, rules);
        (!in_backlog && self.iter().any(aged)).then_some(CutReason::Age)
    }

    /// Until the first folder is to be cut by its age; absent if nothing waits.
    pub(crate) fn due_in(&self, now: Duration, rules: &CutRules) -> Option<Duration> {
        let first = self.iter().map(|folder| folder.ends_at(rules)).min()?;
        Some(first.saturating_sub(now))
    }

    /// Takes out the folders that the reason asks for, ordered by path, with their share of the memory.
    pub(crate) fn take(
        &mut self,
        reason: CutReason,
        now: Duration,
        rules: &CutRules,
    ) -> (Vec<GatheredFolder>, Lease) {
        let half_age = self.median_since();
        let chosen: Vec<usize> = (0..self.folders.len())
            .filter(|at| {
                self.folders[*at].as_ref().is_some_and(|folder| match reason {
                    CutReason::Size => folder.bytes >= rules.object_bytes_max,
                    CutReason::Age => folder.is_aged(now, rules),
                    CutReason::Memory => Some(folder.since) <= half_age,
                    CutReason::Asked => true,
                })
            })
            .collect();
        let mut taken: Vec<GatheredFolder> = chosen.into_iter().filter_map(|at| self.take_out(at)).collect();
        taken.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        let held = taken.iter().map(|folder| folder.held).sum();
        (taken, self.lease.split(held))
    }

    /// The first record of the partition that waits: its sequence and commit time.
    pub(crate) fn first_waiting(&self, partition: PartitionId) -> Option<(u64, Micros)> {
        self.iter().filter_map(|folder| folder.first(partition)).min()
    }

    fn iter(&self) -> impl Iterator<Item = &GatheredFolder> {
        self.folders.iter().flatten()
    }

    fn take_out(&mut self, at: usize) -> Option<GatheredFolder> {
        let folder = self.folders[at].take()?;
        self.by_path.remove(folder.path.as_str());
        self.free.push(at);
        Some(folder)
    }

    fn median_since(&self) -> Option<Duration> {
        let mut since: Vec<Duration> = self.iter().map(|folder| folder.since).collect();
        let middle = since.len().checked_sub(1)? / 2;
        Some(*since.select_nth_unstable(middle).1)
    }
}

impl GatheredFolder {
    fn begun(path: FolderPath, now: Duration) -> Self {
        Self {
            path,
            parts: BTreeMap::new(),
            bytes: 0,
            rows: 0,
            since: now,
            last: now,
            committed: CommitTimes::default(),
            held: FOLDER_BYTES,
        }
    }

    /// The sequence and commit time of the partition's first record here.
    pub(crate) fn first(&self, partition: PartitionId) -> Option<(u64, Micros)> {
        self.parts.get(&partition).map(|part| (part.first, part.first_commit_time))
    }

    fn is_aged(&self, now: Duration, rules: &CutRules) -> bool {
        now >= self.ends_at(rules)
    }

    /// When it is to be cut at the latest.
    fn ends_at(&self, rules: &CutRules) -> Duration {
        let aged = self.since + rules.object_age_max;
        rules.inactivity_max.map_or(aged, |quiet| aged.min(self.last + quiet))
    }

    /// Answers by how many bytes the folder's memory grew.
    fn push(&mut self, record: Gathered<'_>) -> u64 {
        let begun = || Part::begun(record.sequence, record.commit_time);
        let part = self.parts.entry(record.partition).or_insert_with(begun);
        part.event_time_dirty += u64::from(record.is_event_time_dirty);
        let grown = part.append(record.sequence, record.record);
        self.committed.add(record.commit_time);
        self.rows += 1;
        self.bytes += record.record.len() as u64;
        self.held += grown;
        grown
    }
}

/// Folders on their way to the lake, shared between the encoders.
pub(crate) type SealedFolder = Arc<GatheredFolder>;

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_lake::{Prefix, Zone};

    use crate::memory::Budget;
    use crate::space::TaskId;

    const P: PartitionId = PartitionId(1);
    const RULES: CutRules =
        CutRules { object_bytes_max: 100, object_age_max: Duration::from_secs(10), inactivity_max: None };

    fn gather() -> (Budget, Gather) {
        let budget = Budget::new(1 << 20);
        let lease = budget.account(TaskId::random()).lease();
        (budget, Gather::new(lease))
    }

    fn push(gather: &mut Gather, folder: &str, sequence: u64, bytes: usize, at_s: u64) {
        let path = Prefix::parse(folder).unwrap().folder(0, &Zone::UTC);
        let slot = gather.slot(&path, Duration::from_secs(at_s));
        let record = vec![7; bytes];
        let record = Gathered {
            partition: P,
            sequence,
            commit_time: i64::try_from(sequence).unwrap(),
            is_event_time_dirty: false,
            record: &record,
        };
        gather.push(slot, record);
    }

    fn taken(gather: &mut Gather, reason: CutReason, at_s: u64) -> Vec<String> {
        let (folders, _) = gather.take(reason, Duration::from_secs(at_s), &RULES);
        folders.iter().map(|folder| folder.path.as_str().to_owned()).collect()
    }

    #[test]
    fn a_full_folder_is_cut_alone() {
        let (_, mut gather) = gather();
        push(&mut gather, "slow", 1, 10, 0);
        push(&mut gather, "full", 2, 100, 0);
        assert_eq!(gather.due(Duration::ZERO, &RULES, true), Some(CutReason::Size));
        assert_eq!(taken(&mut gather, CutReason::Size, 0), ["full"]);
        assert_eq!(gather.due(Duration::ZERO, &RULES, true), None);
        assert_eq!(gather.first_waiting(P), Some((1, 1)));
    }

    #[test]
    fn age_ends_a_folder_but_not_in_a_backlog() {
        let (_, mut gather) = gather();
        push(&mut gather, "old", 1, 10, 0);
        push(&mut gather, "new", 2, 10, 5);
        let at = Duration::from_secs(10);
        assert_eq!(gather.due(at, &RULES, true), None);
        assert_eq!(gather.due(at, &RULES, false), Some(CutReason::Age));
        assert_eq!(gather.due_in(Duration::from_secs(4), &RULES), Some(Duration::from_secs(6)));
        assert_eq!(taken(&mut gather, CutReason::Age, 10), ["old"]);
    }

    #[test]
    fn a_folder_that_gets_no_more_rows_is_cut_before_its_age() {
        let rules = CutRules { inactivity_max: Some(Duration::from_secs(3)), ..RULES };
        let (_, mut gather) = gather();
        push(&mut gather, "quiet", 1, 10, 0);
        for at_s in 0..9 {
            push(&mut gather, "busy", 2 + at_s, 10, at_s);
        }
        let names = |gather: &mut Gather, at_s| -> Vec<String> {
            let (folders, _) = gather.take(CutReason::Age, Duration::from_secs(at_s), &rules);
            folders.iter().map(|folder| folder.path.as_str().to_owned()).collect()
        };
        assert_eq!(gather.due_in(Duration::from_secs(1), &rules), Some(Duration::from_secs(2)));
        assert_eq!(names(&mut gather, 9), ["quiet"]);
        assert_eq!(gather.due_in(Duration::from_secs(9), &rules), Some(Duration::from_secs(1)), "its age");
        assert_eq!(names(&mut gather, 10), ["busy"]);
    }

    #[test]
    fn memory_pressure_takes_the_older_half() {
        let (_, mut gather) = gather();
        for (at, folder) in ["a", "b", "c", "d"].iter().enumerate() {
            push(&mut gather, folder, at as u64, 10, at as u64);
        }
        assert_eq!(taken(&mut gather, CutReason::Memory, 4), ["a", "b"]);
        assert_eq!(taken(&mut gather, CutReason::Asked, 4), ["c", "d"]);
    }

    #[test]
    fn memory_pressure_takes_a_single_folder_whole() {
        let (_, mut gather) = gather();
        push(&mut gather, "only", 1, 10, 0);
        assert_eq!(taken(&mut gather, CutReason::Memory, 0), ["only"]);
    }

    #[test]
    fn memory_goes_back_when_folders_are_taken_and_dropped() {
        let (budget, mut gather) = gather();
        for sequence in 0..5000 {
            push(&mut gather, if sequence % 2 == 0 { "even" } else { "odd" }, sequence, 50, 0);
        }
        assert_eq!(budget.used(), gather.held());
        assert!(budget.used() >= 5000 * 52);
        let (folders, lease) = gather.take(CutReason::Asked, Duration::ZERO, &RULES);
        assert_eq!(folders.len(), 2);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn records_come_back_in_order() {
        let (_, mut gather) = gather();
        for sequence in 1..=300 {
            push(&mut gather, "f", sequence, 64, 0);
        }
        let (folders, _) = gather.take(CutReason::Asked, Duration::ZERO, &RULES);
        let sequences: Vec<u64> = folders[0].parts[&P].records().map(|(sequence, _)| sequence).collect();
        assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
        assert!(folders[0].parts[&P].records().all(|(_, record)| record == [7; 64]));
    }
}
