//! When a folder's time has passed: what a folder's name says of the times that fall into it.
//!
//! Only a prefix whose variables go from the year downwards without a gap makes folders that are one stretch of
//! time each. Others come again (`$HH` every day), and so are never over.

use chrono::{Months, NaiveDate, NaiveDateTime, TimeDelta};
use lakeferry_model::Micros;

use crate::folder::Zone;
use crate::prefix::{Prefix, Variable};

/// The longest stretch that a zone's wall clock may skip: a day, where a date line was moved.
const SKIPPED_STEPS_MAX: u32 = 4 * 26;

impl Prefix {
    /// The moment from which on no time falls into the folder any more, in microseconds since the epoch; nothing if
    /// the folder is none of this prefix, or its time comes again.
    ///
    /// Where clocks are set back, it is the later of two moments that the wall clock shows alike.
    pub fn folder_end(&self, folder: &str, zone: &Zone) -> Option<Micros> {
        let values = self.read_variables(folder)?;
        let given = values.iter().take_while(|value| value.is_some()).count();
        if given == 0 || values[given..].iter().any(Option::is_some) {
            return None;
        }
        let part = |at: usize, missing: u32| values[at].unwrap_or(missing);
        let day = NaiveDate::from_ymd_opt(i32::try_from(part(0, 0)).ok()?, part(1, 1), part(2, 1))?;
        let start = day.and_hms_opt(part(3, 0), part(4, 0), 0)?;
        let end = match given {
            1 => start.checked_add_months(Months::new(12))?,
            2 => start.checked_add_months(Months::new(1))?,
            3 => start.checked_add_signed(TimeDelta::days(1))?,
            4 => start.checked_add_signed(TimeDelta::hours(1))?,
            _ => start.checked_add_signed(TimeDelta::minutes(1))?,
        };
        latest_moment(end, zone)
    }

    /// Whether [`Prefix::folder_end`] knows an end for this prefix's folders.
    pub fn has_folder_ends(&self) -> bool {
        self.folder_end(self.folder(0, &Zone::UTC).as_str(), &Zone::UTC).is_some()
    }
}

/// The last moment at which the wall clock shows this; the first after it, if it is skipped.
fn latest_moment(wall: NaiveDateTime, zone: &Zone) -> Option<Micros> {
    let quarter = TimeDelta::minutes(15);
    let mut wall = wall;
    for _ in 0..SKIPPED_STEPS_MAX {
        if let Some(moment) = zone.latest(wall) {
            return Some(moment);
        }
        wall = wall.checked_add_signed(quarter)?;
    }
    None
}

/// The variables, from the longest to the shortest.
pub(crate) const BY_LENGTH: [Variable; 5] =
    [Variable::Year, Variable::Month, Variable::Day, Variable::Hour, Variable::Minute];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::FolderFinder;
    use proptest::prelude::*;

    fn end(prefix: &str, folder: &str, zone: &str) -> Option<Micros> {
        Prefix::parse(prefix).unwrap().folder_end(folder, &Zone::parse(zone).unwrap())
    }

    #[test]
    fn a_folder_ends_where_the_next_one_begins() {
        let at = |text: &str| Some(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros());
        assert_eq!(end("p/$yyyy", "p/2020", "UTC"), at("2021-01-01T00:00:00Z"));
        assert_eq!(end("p/$yyyy/$MM", "p/2020/12", "UTC"), at("2021-01-01T00:00:00Z"));
        assert_eq!(end("ds=$yyyy$MM$dd", "ds=20200831", "UTC"), at("2020-09-01T00:00:00Z"));
        assert_eq!(end("ds=$yyyy$MM$dd", "ds=20200831", "Asia/Shanghai"), at("2020-08-31T16:00:00Z"));
        assert_eq!(end("$yyyy$MM$dd/$HH", "20200831/16", "UTC"), at("2020-08-31T17:00:00Z"));
        assert_eq!(end("$yyyy$MM$dd/$HH$mm", "20200831/1603", "UTC"), at("2020-08-31T16:04:00Z"));
    }

    #[test]
    fn an_hour_that_comes_twice_ends_after_its_second_time() {
        // Berlin's clocks went from 03:00 back to 02:00 on 2020-10-25, at 01:00 UTC.
        let at = |text: &str| Some(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros());
        assert_eq!(end("$yyyy$MM$dd$HH", "2020102502", "Europe/Berlin"), at("2020-10-25T02:00:00Z"));
        assert_eq!(end("$yyyy$MM$dd$HH$mm", "202010250230", "Europe/Berlin"), at("2020-10-25T01:31:00Z"));
        // In spring, 02:00 was skipped.
        assert_eq!(end("$yyyy$MM$dd$HH", "2020032901", "Europe/Berlin"), at("2020-03-29T01:00:00Z"));
    }

    #[test]
    fn a_folder_whose_time_comes_again_or_is_none_never_ends() {
        for (prefix, folder) in [
            ("p", "p"),
            ("p/$HH", "p/03"),
            ("p/$yyyy/$dd", "p/2020/03"),
            ("p/$yyyy", "q/2020"),
            ("p/$yyyy", "p/2020/03"),
            ("p/$yyyy", "p/20x0"),
            ("p/$yyyy/$MM", "p/2020/13"),
            ("p/$yyyy-$yyyy", "p/2020-2021"),
        ] {
            assert_eq!(end(prefix, folder, "UTC"), None, "{prefix} {folder}");
        }
        assert!(Prefix::parse("p/$yyyy/$MM").unwrap().has_folder_ends());
        assert!(!Prefix::parse("p/$MM").unwrap().has_folder_ends());
    }

    proptest! {
        #[test]
        fn no_time_falls_into_a_folder_behind_its_end(
            prefix in prop::sample::select(vec!["p/$yyyy/$MM", "$yyyy$MM$dd", "$yyyy$MM$dd/$HH", "$yyyy$MM$dd$HH$mm"]),
            zone in prop::sample::select(vec![
                "UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia",
            ]),
            around in prop::sample::select(vec![
                0_i64, 1_325_239_200, 1_604_210_400, 1_615_705_200, 1_601_739_000, 1_604_206_800,
            ]),
            step in -100_000_i64..100_000,
            later in prop::collection::vec(0_i64..90_000, 1..20),
        ) {
            let (prefix, zone) = (Prefix::parse(prefix).unwrap(), Zone::parse(zone).unwrap());
            let at = (around + step).max(0) * 1_000_000;
            let folder = prefix.folder(at, &zone);
            let end = prefix.folder_end(folder.as_str(), &zone).unwrap();
            prop_assert!(end > at, "{} ends at {}", folder, end);
            let mut finder = FolderFinder::new(prefix, zone);
            for later in later {
                prop_assert_ne!(finder.folder(end + later * 1_000_000), &folder);
            }
        }
    }
}
