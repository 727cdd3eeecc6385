//! How much a task reads of its logs, and how many lanes that is worth. Pure: no clock, no store.
//!
//! Time is cut into slots. A task gets one lane more when its lanes, on the average of all, have read above a mark
//! in each of the latest slots, and when each lane would then still read at least half of the mark: a partition
//! that alone has all the traffic gains nothing from more lanes, since no lane serves part of one. A burst that fits
//! in one slot, or reading once more what was gathered before a restart, is no reason.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lakeferry_store::PartitionId;
use parking_lot::Mutex;

/// Whole slots that are looked at.
pub(crate) const SLOTS: u32 = 3;

/// Bytes of change records that were read, by partition.
pub(crate) type Loads = BTreeMap<PartitionId, u64>;

/// What the lanes of a task read.
#[derive(Debug)]
pub(crate) struct Traffic(Mutex<Slots>);

#[derive(Debug)]
struct Slots {
    /// How long a slot is.
    slot: Duration,
    /// When the first slot began.
    since: Duration,
    /// What was read, by the number of the slot.
    read: VecDeque<(u128, Loads)>,
}

/// How many lanes a task may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// Bytes that a lane reads at least in a slot when it is busy.
    pub(crate) busy_bytes: u64,
}

/// Why a task should have another number of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpreadReason {
    /// It has fewer or more than it may have.
    Bounds,
    /// So many bytes were read in the latest slots.
    Busy(u64),
}

impl Traffic {
    /// Nothing was read yet. Slots are at least a millisecond long.
    pub(crate) fn new(slot: Duration) -> Self {
        let slot = slot.max(Duration::from_millis(1));
        Self(Mutex::new(Slots { slot, since: Duration::ZERO, read: VecDeque::new() }))
    }

    /// How long a slot is.
    pub(crate) fn slot(&self) -> Duration {
        self.0.lock().slot
    }

    /// Forgets what was read: the first slot begins now.
    pub(crate) fn begin(&self, now: Duration) {
        let mut slots = self.0.lock();
        slots.since = now;
        slots.read.clear();
    }

    /// Counts what was read of a partition.
    pub(crate) fn count(&self, now: Duration, partition: PartitionId, bytes: usize) {
        let mut slots = self.0.lock();
        let present = slots.number(now);
        if slots.read.back().is_none_or(|(number, _)| *number < present) {
            slots.read.push_back((present, Loads::new()));
        }
        while slots.read.front().is_some_and(|(number, _)| number + u128::from(SLOTS) < present) {
            slots.read.pop_front();
        }
        if let Some((_, loads)) = slots.read.back_mut() {
            *loads.entry(partition).or_default() += bytes as u64;
        }
    }

    /// What was read in each of the latest [`SLOTS`] whole slots; nothing before there are so many.
    pub(crate) fn recent(&self, now: Duration) -> Option<Vec<Loads>> {
        let slots = self.0.lock();
        let present = slots.number(now);
        let first = present.checked_sub(u128::from(SLOTS))?;
        let read = |wanted| slots.read.iter().find(|(number, _)| *number == wanted);
        Some(
            (first..present)
                .map(|number| read(number).map_or_else(Loads::new, |(_, loads)| loads.clone()))
                .collect(),
        )
    }
}

impl Slots {
    fn number(&self, now: Duration) -> u128 {
        now.saturating_sub(self.since).as_nanos() / self.slot.as_nanos()
    }
}

/// How many lanes should serve the partitions that `present` serve now, and why; nothing if they are right.
pub(crate) fn lanes_wanted(
    partitions: &[PartitionId],
    present: u32,
    bounds: &Bounds,
    recent: Option<&[Loads]>,
) -> Option<(u32, SpreadReason)> {
    let max = bounds.max.min(u32::try_from(partitions.len()).unwrap_or(u32::MAX)).max(1);
    let within = present.clamp(bounds.min.clamp(1, max), max);
    if within != present {
        return Some((within, SpreadReason::Bounds));
    }
    let recent = recent.filter(|_| present < max)?;
    let busy_bytes = bounds.busy_bytes.saturating_mul(present.into());
    let are_busy = recent.iter().all(|loads| loads.values().sum::<u64>() >= busy_bytes);
    let loads = total(recent);
    let more = present + 1;
    let mut by_lane: BTreeMap<u32, u64> = (0..more).map(|lane| (lane, 0)).collect();
    for (partition, lane) in divide(partitions, &loads, more) {
        *by_lane.entry(lane).or_default() += loads.get(&partition).copied().unwrap_or(0);
    }
    let least = by_lane.into_values().min().unwrap_or(0);
    let is_worth_it = least >= bounds.busy_bytes.saturating_mul(SLOTS.into()) / 2;
    (are_busy && is_worth_it).then(|| (more, SpreadReason::Busy(loads.values().sum())))
}

/// What was read in all of these slots.
pub(crate) fn total(recent: &[Loads]) -> Loads {
    let mut total = Loads::new();
    for (partition, bytes) in recent.iter().flatten() {
        *total.entry(*partition).or_default() += bytes;
    }
    total
}

/// Divides partitions evenly among lanes, by what was read of each and then by their number. Each lane gets one at
/// least, if there are as many.
pub(crate) fn divide(partitions: &[PartitionId], loads: &Loads, lanes: u32) -> BTreeMap<PartitionId, u32> {
    let load = |partition: &PartitionId| loads.get(partition).copied().unwrap_or(0);
    let mut heaviest_first = partitions.to_vec();
    heaviest_first.sort_by_key(|partition| (std::cmp::Reverse(load(partition)), *partition));
    let mut by_lane: Vec<(u64, usize, u32)> = (0..lanes.max(1)).map(|lane| (0, 0, lane)).collect();
    let mut divided = BTreeMap::new();
    for partition in heaviest_first {
        let least = by_lane.iter_mut().min().expect("there is one lane at least");
        divided.insert(partition, least.2);
        least.0 += load(&partition);
        least.1 += 1;
    }
    divided
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [PartitionId; 4] = [PartitionId(1), PartitionId(2), PartitionId(3), PartitionId(4)];
    const BOUNDS: Bounds = Bounds { min: 1, max: 8, busy_bytes: 100 };

    fn loads(bytes: [u64; 4]) -> Loads {
        P.into_iter().zip(bytes).collect()
    }

    fn steady(bytes: [u64; 4]) -> Vec<Loads> {
        vec![loads(bytes); SLOTS as usize]
    }

    fn wanted(present: u32, recent: &[Loads]) -> Option<u32> {
        lanes_wanted(&P, present, &BOUNDS, Some(recent)).map(|(lanes, _)| lanes)
    }

    #[test]
    fn a_busy_task_gets_one_lane_more_and_no_more_than_partitions() {
        let busy = steady([100; 4]);
        assert_eq!([1, 2, 3, 4].map(|present| wanted(present, &busy)), [Some(2), Some(3), Some(4), None]);
        assert_eq!(lanes_wanted(&P, 1, &BOUNDS, Some(&busy)).unwrap().1, SpreadReason::Busy(1200));
    }

    #[test]
    fn a_quiet_task_keeps_its_lanes() {
        assert_eq!(wanted(1, &steady([24; 4])), None);
        assert_eq!(wanted(1, &steady([25; 4])), Some(2));
        assert_eq!(wanted(2, &steady([25; 4])), None);
        assert_eq!(wanted(2, &steady([0; 4])), None);
        assert_eq!(lanes_wanted(&P, 1, &BOUNDS, None), None);
    }

    #[test]
    fn a_burst_is_no_reason() {
        assert_eq!(wanted(1, &[loads([900; 4]), loads([900; 4]), loads([0; 4])]), None);
    }

    #[test]
    fn a_partition_with_all_the_traffic_gets_no_lanes_beside_it() {
        assert_eq!(wanted(1, &steady([1000, 10, 10, 10])), None);
        assert_eq!(wanted(1, &steady([1000, 20, 20, 20])), Some(2));
    }

    #[test]
    fn bounds_hold_at_once_and_without_traffic() {
        let at = |present, min, max| {
            lanes_wanted(&P, present, &Bounds { min, max, ..BOUNDS }, None).map(|(lanes, _)| lanes)
        };
        assert_eq!([at(1, 3, 8), at(1, 9, 9), at(4, 1, 2), at(3, 1, 8)], [Some(3), Some(4), Some(2), None]);
        let busy = steady([100; 4]);
        assert_eq!(lanes_wanted(&P, 2, &Bounds { max: 2, ..BOUNDS }, Some(&busy)), None);
    }

    #[test]
    fn partitions_are_divided_evenly_by_what_is_read_of_them() {
        let lanes = |bytes, lanes| divide(&P, &loads(bytes), lanes).into_values().collect::<Vec<_>>();
        assert_eq!(lanes([9, 5, 4, 1], 2), [0, 1, 1, 0]);
        assert_eq!(lanes([0; 4], 2), [0, 1, 0, 1]);
        assert_eq!(lanes([7, 0, 0, 0], 4), [0, 1, 2, 3]);
        assert_eq!(lanes([1; 4], 1), [0; 4]);
    }

    #[test]
    fn only_whole_slots_count() {
        let traffic = Traffic::new(Duration::from_secs(5));
        let at = Duration::from_secs;
        traffic.begin(at(100));
        for (second, bytes) in [(100, 1), (104, 2), (106, 4), (113, 8), (116, 16)] {
            traffic.count(at(second), P[0], bytes);
        }
        assert_eq!(traffic.recent(at(114)), None);
        let read = |second| {
            traffic.recent(at(second)).map(|recent| {
                recent.iter().map(|loads| total(std::slice::from_ref(loads))[&P[0]]).collect::<Vec<_>>()
            })
        };
        assert_eq!(read(116), Some(vec![3, 4, 8]));
        assert_eq!(read(121), Some(vec![4, 8, 16]));
        assert_eq!(traffic.recent(at(200)), Some(vec![Loads::new(); 3]));
        traffic.begin(at(116));
        assert_eq!(traffic.recent(at(121)), None);
    }
}
