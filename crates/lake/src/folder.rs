//! Folders: a destination prefix with its time variables filled in.
//!
//! A row's time falls into exactly one folder. Rows come by the million and mostly follow each other in time,
//! so [`FolderFinder`] remembers the spans of time that it has already turned into text.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use lakeferry_model::{Micros, Violation};

use crate::prefix::{Grain, Prefix};

/// The folder of an object within its bucket: one or more segments, no slash at either end.
#[derive(Debug, Clone, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "equal is what has equal text, wherever it lies")]
pub struct FolderPath(Arc<str>);

impl PartialEq for FolderPath {
    /// Those of one finder mostly lie in one place.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl FolderPath {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The folder as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The time zone of a task's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time, the default.
    pub const UTC: Self = Self(Tz::UTC);

    /// Finds a zone by its IANA name, such as `Asia/Shanghai`.
    ///
    /// # Errors
    /// A parameter violation, if there is no zone of that name.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        name.parse().map(Self).map_err(|_| {
            Violation::parameter(format!(
                "Invalid time zone: '{name}'. Name a zone of the IANA database, such as 'Asia/Shanghai'."
            ))
        })
    }

    /// The wall clock in this zone. Times outside the years 1970 to 9999 are taken as the nearest inside.
    pub(crate) fn wall_clock(self, at: Micros) -> NaiveDateTime {
        let seconds = at.div_euclid(1_000_000).clamp(0, LAST_SECOND);
        let utc = DateTime::from_timestamp(seconds, 0).expect("the seconds lie within years that chrono has");
        utc.with_timezone(&self.0).naive_local()
    }

    /// The last moment at which the wall clock of this zone shows this; nothing if it is skipped.
    pub(crate) fn latest(self, wall: NaiveDateTime) -> Option<Micros> {
        self.0.from_local_datetime(&wall).latest().map(|at| at.timestamp_micros())
    }

    fn offset_s(self, second: i64) -> i32 {
        let utc = DateTime::from_timestamp(second.clamp(0, LAST_SECOND), 0)
            .expect("the seconds lie within years that chrono has");
        self.0.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// Spans remembered by one finder; beyond it, all are forgotten and found again.
const SPANS_MAX: usize = 4096;

/// Finds the folders of many times, each text made once as long as it is remembered.
#[derive(Debug, Clone)]
pub struct FolderFinder {
    prefix: Prefix,
    zone: Zone,
    latest: (Range<i64>, FolderPath),
    /// By first second: the second after the last, and the folder.
    spans: BTreeMap<i64, (i64, FolderPath)>,
}

impl FolderFinder {
    /// A finder for one prefix in one zone.
    pub fn new(prefix: Prefix, zone: Zone) -> Self {
        let anywhere = prefix.folder(0, &zone);
        let span = if prefix.grain().is_some() { 0..0 } else { i64::MIN..i64::MAX };
        Self { prefix, zone, latest: (span, anywhere), spans: BTreeMap::new() }
    }

    /// The folder of a time. The same as [`Prefix::folder`], only sooner.
    pub fn folder(&mut self, at: Micros) -> &FolderPath {
        let second = at.div_euclid(1_000_000).clamp(0, LAST_SECOND);
        if !self.latest.0.contains(&second) {
            self.latest = self.remembered(second).unwrap_or_else(|| self.make(second));
        }
        &self.latest.1
    }

    fn remembered(&self, second: i64) -> Option<(Range<i64>, FolderPath)> {
        let (&start, (end, folder)) = self.spans.range(..=second).next_back()?;
        (second < *end).then(|| (start..*end, folder.clone()))
    }

    fn make(&mut self, second: i64) -> (Range<i64>, FolderPath) {
        let folder = self.prefix.folder(second.saturating_mul(1_000_000), &self.zone);
        let span = self.span(second);
        if self.spans.len() >= SPANS_MAX {
            self.spans.clear();
        }
        self.spans.insert(span.start, (span.end, folder.clone()));
        (span, folder)
    }

    /// The seconds around this one that surely share its folder.
    fn span(&self, second: i64) -> Range<i64> {
        let Some(grain) = self.prefix.grain() else { return i64::MIN..i64::MAX };
        // A month or a year may hold two changes of the clock that cancel out; a day never does.
        let length = match grain {
            Grain::Minute => 60,
            Grain::Hour => 3600,
            Grain::Day => 86_400,
        };
        let since_midnight =
            self.zone.wall_clock(second.saturating_mul(1_000_000)).num_seconds_from_midnight();
        let start = second - i64::from(since_midnight) % length;
        let end = start + length;
        let offset = self.zone.offset_s(second);
        if self.zone.offset_s(start) == offset && self.zone.offset_s(end - 1) == offset {
            start..end
        } else {
            second..second + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finder(prefix: &str, zone: &str) -> FolderFinder {
        FolderFinder::new(Prefix::parse(prefix).unwrap(), Zone::parse(zone).unwrap())
    }

    #[test]
    fn a_zone_must_be_known() {
        assert_eq!(Zone::parse("UTC").unwrap(), Zone::UTC);
        assert_eq!(Zone::parse("Asia/Shanghai").unwrap().to_string(), "Asia/Shanghai");
        assert!(Zone::parse("Atlantis").unwrap_err().message.contains("'Atlantis'"));
    }

    #[test]
    fn the_zone_decides_on_the_day() {
        let at = 1_598_889_600_000_000; // 2020-08-31T16:00:00Z
        assert_eq!(finder("d/$yyyy-$MM-$dd", "UTC").folder(at).as_str(), "d/2020-08-31");
        assert_eq!(finder("d/$yyyy-$MM-$dd", "Asia/Shanghai").folder(at).as_str(), "d/2020-09-01");
    }

    #[test]
    fn a_prefix_without_variables_is_one_folder() {
        let mut finder = finder("plain", "UTC");
        assert_eq!(finder.folder(i64::MIN).as_str(), "plain");
        assert_eq!(finder.folder(i64::MAX).as_str(), "plain");
    }

    #[test]
    fn the_finder_forgets_and_finds_again() {
        let mut finder = finder("$yyyy$MM$dd$HH$mm", "UTC");
        for minute in 0..2 * i64::try_from(SPANS_MAX).unwrap() {
            let at = minute * 60_000_000;
            let expected = finder.prefix.folder(at, &Zone::UTC);
            assert_eq!(*finder.folder(at), expected);
        }
        assert!(finder.spans.len() <= SPANS_MAX);
    }

    proptest! {
        #[test]
        fn the_finder_agrees_with_the_prefix(
            prefix in prop::sample::select(vec!["p/$yyyy", "p/$yyyy/$MM", "$dd", "$dd/$HH", "$yyyy$MM$dd$HH$mm"]),
            zone in prop::sample::select(vec![
                "UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Africa/Monrovia", "Asia/Kathmandu",
            ]),
            around in prop::sample::select(vec![
                0_i64, 63_593_070, 1_604_210_400, 1_615_705_200, 1_601_739_000, 253_402_300_799,
            ]),
            steps in prop::collection::vec(-9_000_i64..9_000, 1..40),
        ) {
            let mut finder = finder(prefix, zone);
            for step in steps {
                let at = (around + step) * 1_000_000 + 999_999;
                let expected = finder.prefix.folder(at, &finder.zone);
                prop_assert_eq!(finder.folder(at), &expected);
            }
        }
    }
}
