//! A space's log: segments in a row, each a keyspace of its own.
//!
//! Entries are appended to the last segment. It is followed by a new one when it is full, or *sealed* because
//! a trim has come as far as into it. A segment that a trim has passed leaves the row at once and is dropped
//! whole, files and all, by the writer; that is how trimmed bytes come back without a delete per entry.
//!
//! Nothing but the keyspaces' names is written down: after a start the row is made from them, in the order
//! of their numbers. A trim is not written down either, so trimmed segments that were not dropped before a
//! crash are back after it, and whoever trims does it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::tree::Tree;
use crate::seam::SpaceId;

/// A segment below this size is not worth the milliseconds of replacing it while it is written to.
const REPLACED_FROM_BYTES: u64 = 1 << 20;

/// A small segment that is trimmed to its end is dropped once nothing was appended for this long.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// The row of a log's segments. One thread writes, any reads.
#[derive(Default)]
pub(super) struct Log {
    segments: RwLock<Vec<Arc<Segment>>>,
    last_number: AtomicU64,
    trimmed_below: Mutex<Bytes>,
}

/// One segment. It holds at least one entry.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) tree: Tree,
    /// Its lowest key.
    first: Bytes,
    state: Mutex<State>,
}

struct State {
    last: Bytes,
    bytes: u64,
    appended_at: Instant,
    sealed: bool,
}

impl Segment {
    pub(super) fn new(number: u64, tree: Tree, first: Bytes) -> Self {
        let state = State { last: first.clone(), bytes: 0, appended_at: Instant::now(), sealed: false };
        Self { number, tree, first, state: Mutex::new(state) }
    }

    /// Notes what was appended: its greatest key, and its bytes.
    pub(super) fn grow(&self, last: Bytes, bytes: u64) {
        let mut state = self.state.lock();
        state.last = last;
        state.bytes += bytes;
        state.appended_at = Instant::now();
    }

    fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    fn takes_more(&self, segment_bytes: u64) -> bool {
        let state = self.state.lock();
        !state.sealed && state.bytes < segment_bytes
    }

    /// Whether every entry lies below `key`.
    fn is_below(&self, key: &[u8]) -> bool {
        self.state.lock().last < key
    }
}

impl Log {
    /// A log of the segments that were found, in any order.
    pub(super) fn found(mut segments: Vec<Segment>) -> Self {
        segments.sort_by_key(|segment| segment.number);
        let last_number = segments.last().map_or(0, |segment| segment.number);
        Self {
            segments: RwLock::new(segments.into_iter().map(Arc::new).collect()),
            last_number: AtomicU64::new(last_number),
            trimmed_below: Mutex::default(),
        }
    }

    /// A number for a new segment. Never given twice, even if the segment is never pushed: the keyspace that
    /// had it may not be dropped yet.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn push(&self, segment: Arc<Segment>) {
        self.segments.write().push(segment);
    }

    /// The segment that takes the next entry, if none must be made for it.
    pub(super) fn open_segment(&self, segment_bytes: u64) -> Option<Arc<Segment>> {
        self.segments.read().last().filter(|segment| segment.takes_more(segment_bytes)).cloned()
    }

    pub(super) fn last(&self) -> Option<Arc<Segment>> {
        self.segments.read().last().cloned()
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    /// The segments that may hold keys from `from` (inclusive) to `to` (exclusive), in ascending order.
    pub(super) fn covering(&self, from: &[u8], to: Option<&[u8]>) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let start = segments.partition_point(|segment| segment.first <= from).saturating_sub(1);
        let end = to.map_or(segments.len(), |to| segments.partition_point(|segment| segment.first < to));
        segments.get(start..end).unwrap_or_default().to_vec()
    }

    /// The only segment that may hold `key`.
    pub(super) fn holding(&self, key: &[u8]) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.first <= key);
        segments.get(after.checked_sub(1)?).cloned()
    }

    /// Takes the segments out of the row that hold nothing from `below` on, and seals the last one if that is
    /// worth it, so that the next trim can take it.
    pub(super) fn trim(&self, below: Bytes) -> Vec<Arc<Segment>> {
        let mut segments = self.segments.write();
        let mut passed = segments.iter().take_while(|segment| segment.is_below(&below)).count();
        if passed == segments.len()
            && let Some(last) = segments.last()
            && last.takes_more(REPLACED_FROM_BYTES)
        {
            passed -= 1;
        }
        let gone = segments.drain(..passed).collect();
        if let Some(last) = segments.last()
            && last.first < below
            && last.bytes() >= REPLACED_FROM_BYTES
        {
            last.state.lock().sealed = true;
        }
        let mut trimmed_below = self.trimmed_below.lock();
        if *trimmed_below < below {
            *trimmed_below = below;
        }
        gone
    }

    /// Takes the last segment out of the row if it is trimmed to its end and nothing was appended for a while.
    pub(super) fn trim_idle(&self, now: Instant) -> Option<Arc<Segment>> {
        let mut segments = self.segments.write();
        let [last] = segments.as_slice() else { return None };
        let is_idle = now.saturating_duration_since(last.state.lock().appended_at) >= IDLE_AFTER;
        if is_idle && last.is_below(&self.trimmed_below.lock()) { segments.pop() } else { None }
    }

    /// Bytes of keys and values, of what is not trimmed or not yet dropped for it.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.read().iter().map(|segment| segment.bytes()).sum()
    }
}

/// The name of a segment's keyspace.
pub(super) fn segment_name(space: &SpaceId, number: u64) -> String {
    format!("{space}.log.{number}")
}

/// What a keyspace is for, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyspaceName {
    Table(SpaceId),
    Segment(SpaceId, u64),
    Other,
}

impl KeyspaceName {
    pub(super) fn parse(name: &str) -> Self {
        let (space, number) = match name.split_once(".log.") {
            Some((space, number)) => (space, Some(number)),
            None => (name, None),
        };
        let fits = (1..=64).contains(&space.len())
            && space.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match number.map(str::parse) {
            _ if !fits => Self::Other,
            None => Self::Table(SpaceId::new(space)),
            Some(Ok(number)) => Self::Segment(SpaceId::new(space), number),
            Some(Err(_)) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fjall_engine::tuning::log_options;

    struct Fixture {
        _folder: tempfile::TempDir,
        db: fjall::Database,
        log: Log,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = fjall::Database::builder(folder.path()).open().unwrap();
            Self { _folder: folder, db, log: Log::default() }
        }

        /// Adds a segment from one key to another that holds this many bytes.
        fn add(&self, first: &'static str, last: &'static str, bytes: u64) {
            let number = self.log.next_number();
            let keyspace = self.db.keyspace(&format!("s.log.{number}"), log_options).unwrap();
            let segment = Segment::new(number, Tree::new(keyspace), first.into());
            segment.grow(last.into(), bytes);
            self.log.push(Arc::new(segment));
        }

        fn numbers(&self) -> Vec<u64> {
            numbers(&self.log.segments())
        }
    }

    fn numbers(segments: &[Arc<Segment>]) -> Vec<u64> {
        segments.iter().map(|segment| segment.number).collect()
    }

    #[test]
    fn a_range_is_read_from_the_segments_that_may_hold_it() {
        let fixture = Fixture::new();
        fixture.add("b", "c", 1);
        fixture.add("f", "g", 1);
        fixture.add("k", "l", 1);
        let covering = |from: &str, to: Option<&str>| {
            numbers(&fixture.log.covering(from.as_bytes(), to.map(str::as_bytes)))
        };
        assert_eq!(covering("a", None), [1, 2, 3]);
        assert_eq!(covering("a", Some("b")), [] as [u64; 0]);
        assert_eq!(covering("c", Some("f")), [1]);
        assert_eq!(covering("f", Some("k")), [2]);
        assert_eq!(covering("z", None), [3]);
        assert!(fixture.log.holding(b"a").is_none());
        assert_eq!(fixture.log.holding(b"g").unwrap().number, 2);
    }

    #[test]
    fn a_trim_takes_what_it_passed_and_seals_what_it_reached() {
        let fixture = Fixture::new();
        for (first, last) in [("b", "c"), ("f", "g"), ("k", "l")] {
            fixture.add(first, last, REPLACED_FROM_BYTES);
        }
        assert_eq!(numbers(&fixture.log.trim("f".into())), [1]);
        assert_eq!(numbers(&fixture.log.trim("g".into())), [] as [u64; 0]);
        assert!(fixture.log.open_segment(u64::MAX).is_some());
        assert_eq!(numbers(&fixture.log.trim("l".into())), [2]);
        assert!(fixture.log.open_segment(u64::MAX).is_none(), "the trim reached into the last segment");
        assert_eq!(numbers(&fixture.log.trim("m".into())), [3]);
        assert_eq!(fixture.numbers(), [] as [u64; 0]);
        assert_eq!(fixture.log.next_number(), 4);
    }

    #[test]
    fn a_small_segment_is_dropped_only_when_nothing_is_appended() {
        let fixture = Fixture::new();
        fixture.add("b", "c", 10);
        assert!(fixture.log.trim("z".into()).is_empty());
        assert!(fixture.log.trim_idle(Instant::now()).is_none());
        let later = Instant::now() + IDLE_AFTER;
        assert_eq!(fixture.log.trim_idle(later).unwrap().number, 1);
        fixture.add("zz", "zz", 10);
        assert!(fixture.log.trim_idle(later + IDLE_AFTER).is_none(), "it is not trimmed");
    }

    #[test]
    fn a_full_segment_takes_no_more() {
        let fixture = Fixture::new();
        fixture.add("b", "c", 10);
        assert!(fixture.log.open_segment(11).is_some());
        assert!(fixture.log.open_segment(10).is_none());
    }

    #[test]
    fn keyspaces_are_known_by_their_names() {
        let space = SpaceId::new("p-7");
        assert_eq!(KeyspaceName::parse("p-7"), KeyspaceName::Table(space.clone()));
        assert_eq!(KeyspaceName::parse(&segment_name(&space, 12)), KeyspaceName::Segment(space, 12));
        for other in ["_kick", "", "P", "p.log.x", ".log.1"] {
            assert_eq!(KeyspaceName::parse(other), KeyspaceName::Other, "{other}");
        }
    }
}
