//! Event times: a row's own time, read from one of its columns.
//!
//! The formats are the five that the protocol names. Text must fit its format whole; a weekday's name is
//! read and not compared with the date. A zone is `Z`, `UT`, `UTC`, `GMT`, one of the North American names of
//! RFC 822, or an offset such as `+0800`: other abbreviations mean different things to different people, and
//! are refused rather than guessed.

use chrono::{DateTime, NaiveDate, NaiveTime};
use lakeferry_model::delivery::EventTimeFormat;
use lakeferry_model::{Micros, ValueRef};

/// The last microsecond of the year 9999.
const LAST_MICROS: Micros = 253_402_300_799_999_999;

/// Why a value is no event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventTimeError {
    /// The value is not of the format's type.
    #[error("the event time has the wrong type")]
    Type,
    /// The text does not fit the format.
    #[error("the event time does not fit its format")]
    Unreadable,
    /// The time lies outside the years 1970 to 9999.
    #[error("the event time lies outside the years 1970 to 9999")]
    OutOfRange,
}

/// Reads an event time, in microseconds since the epoch.
///
/// # Errors
/// What keeps the value from being a time; the row then belongs to the folder of its commit time.
pub fn parse(format: EventTimeFormat, value: ValueRef<'_>) -> Result<Micros, EventTimeError> {
    let micros = match (format, value) {
        (EventTimeFormat::Unix, ValueRef::Integer(count)) => unix(count),
        (EventTimeFormat::Unix, _) => return Err(EventTimeError::Type),
        (_, ValueRef::String(text)) => {
            let read = match format {
                EventTimeFormat::Rfc822 => rfc822(text),
                EventTimeFormat::Rfc850 => rfc850(text),
                EventTimeFormat::Rfc1123 => rfc1123(text),
                EventTimeFormat::Rfc3339 | EventTimeFormat::Unix => rfc3339(text),
            };
            read.ok_or(EventTimeError::Unreadable)?
        }
        _ => return Err(EventTimeError::Type),
    };
    if (0..=LAST_MICROS).contains(&micros) { Ok(micros) } else { Err(EventTimeError::OutOfRange) }
}

/// Seconds, milliseconds or microseconds since the epoch, told apart by how many there are: seconds reach to the
/// year 5138; milliseconds and microseconds begin in March 1973.
fn unix(count: i64) -> Micros {
    const SECONDS_END: i64 = 100_000_000_000;
    const MILLIS_END: i64 = 1000 * SECONDS_END;
    if (-SECONDS_END..SECONDS_END).contains(&count) {
        count * 1_000_000
    } else if (-MILLIS_END..MILLIS_END).contains(&count) {
        count * 1000
    } else {
        count
    }
}

/// `[Mon, ]02 Jan 06 15:04[:05] MST`; the year may have four digits, as RFC 1123 asks of RFC 822.
fn rfc822(text: &str) -> Option<Micros> {
    let rest = match text.split_once(", ") {
        Some((weekday, rest)) if is_weekday(weekday, Length::Short) => rest,
        Some(_) => return None,
        None => text,
    };
    let [day, month, year, time, zone] = words(rest)?;
    let year = if year.len() == 4 { number(year, 4)? } else { short_year(year)? };
    let seconds_given = time.len() == "15:04:05".len();
    let time = if seconds_given { clock(time)? } else { clock_without_seconds(time)? };
    moment(date(day, month, year)?, time, zone)
}

/// `Monday, 02-Jan-06 15:04:05 MST`.
fn rfc850(text: &str) -> Option<Micros> {
    let (weekday, rest) = text.split_once(", ")?;
    if !is_weekday(weekday, Length::Long) {
        return None;
    }
    let [date_text, time, zone] = words(rest)?;
    let mut date_parts = date_text.split('-');
    let (day, month, year) = (date_parts.next()?, date_parts.next()?, date_parts.next()?);
    if date_parts.next().is_some() {
        return None;
    }
    moment(date(day, month, short_year(year)?)?, clock(time)?, zone)
}

/// `Mon, 02 Jan 2006 15:04:05 GMT`.
fn rfc1123(text: &str) -> Option<Micros> {
    let (weekday, rest) = text.split_once(", ")?;
    if !is_weekday(weekday, Length::Short) {
        return None;
    }
    let [day, month, year, time, zone] = words(rest)?;
    moment(date(day, month, number(year, 4)?)?, clock(time)?, zone)
}

/// `2006-01-02T15:04:05Z`, with a fraction or an offset.
fn rfc3339(text: &str) -> Option<Micros> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

fn moment(date: NaiveDate, time_s: i64, zone: &str) -> Option<Micros> {
    let midnight = date.and_time(NaiveTime::MIN).and_utc().timestamp();
    (midnight + time_s - zone_offset_s(zone)?).checked_mul(1_000_000)
}

fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    let words: Vec<&str> = text.split(' ').collect();
    words.try_into().ok()
}

#[derive(Clone, Copy)]
enum Length {
    Short,
    Long,
}

fn is_weekday(text: &str, length: Length) -> bool {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    NAMES.iter().any(|name| match length {
        Length::Short => name[..3].eq_ignore_ascii_case(text),
        Length::Long => name.eq_ignore_ascii_case(text),
    })
}

fn date(day: &str, month: &str, year: u32) -> Option<NaiveDate> {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = (1..).zip(NAMES).find(|(_, name)| name.eq_ignore_ascii_case(month))?.0;
    let day = number(day, day.len().clamp(1, 2))?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Two digits: 69 to 99 are of the twentieth century, as in POSIX.
fn short_year(text: &str) -> Option<u32> {
    let year = number(text, 2)?;
    Some(if year >= 69 { 1900 + year } else { 2000 + year })
}

/// Seconds since midnight.
fn clock(text: &str) -> Option<i64> {
    let (hours_and_minutes, seconds) = text.rsplit_once(':')?;
    // A leap second is the first of the next minute, as everywhere in POSIX time.
    let seconds = number(seconds, 2).filter(|seconds| *seconds <= 60)?;
    Some(clock_without_seconds(hours_and_minutes)? + i64::from(seconds))
}

fn clock_without_seconds(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    (hour < 24 && minute < 60).then(|| i64::from(hour * 3600 + minute * 60))
}

fn zone_offset_s(text: &str) -> Option<i64> {
    let hours = match text {
        "Z" | "UT" | "UTC" | "GMT" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return numeric_offset_s(text),
    };
    Some(hours * 3600)
}

/// `+0800`.
fn numeric_offset_s(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let value = i64::from(number(digits, 4)?);
    let (hours, minutes) = (value / 100, value % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Exactly so many digits, and nothing else.
fn number(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::EventTimeError::{OutOfRange, Type, Unreadable};
    use super::*;
    use EventTimeFormat::{Rfc822, Rfc850, Rfc1123, Rfc3339, Unix};
    use proptest::prelude::*;

    /// 2020-08-31T16:03:00Z.
    const AT: Micros = 1_598_889_780_000_000;

    fn check(format: EventTimeFormat, text: &str, expected: Result<Micros, EventTimeError>) {
        assert_eq!(parse(format, ValueRef::String(text)), expected, "{format:?} {text:?}");
    }

    #[test]
    fn rfc822_may_carry_a_weekday_and_seconds() {
        check(Rfc822, "31 Aug 20 16:03 GMT", Ok(AT));
        check(Rfc822, "31 Aug 20 16:03:09 UT", Ok(AT + 9_000_000));
        check(Rfc822, "Mon, 31 Aug 20 16:03 Z", Ok(AT));
        check(Rfc822, "Mon, 31 Aug 2020 16:03:00 +0000", Ok(AT));
        check(Rfc822, "31 Aug 20 12:03 EDT", Ok(AT));
        check(Rfc822, "1 Sep 20 00:03 +0800", Ok(AT));
        check(Rfc822, "31 Aug 69 16:03 GMT", Err(OutOfRange));
        check(Rfc822, "31 Aug 68 16:03 GMT", Ok(3_113_654_580_000_000));
        for bad in
            ["", "31 Aug 20 16:03", "31 Aug 20 16:03 CET", "32 Aug 20 16:03 GMT", "31 Aug 020 16:03 GMT"]
        {
            check(Rfc822, bad, Err(Unreadable));
        }
    }

    #[test]
    fn rfc850_has_the_weekday_in_full() {
        check(Rfc850, "Monday, 31-Aug-20 16:03:00 UTC", Ok(AT));
        check(Rfc850, "monday, 31-aug-20 09:03:00 PDT", Ok(AT));
        for bad in
            ["Mon, 31-Aug-20 16:03:00 UTC", "Monday, 31-Aug-2020 16:03:00 UTC", "Monday, 31-Aug-20 16:03 UTC"]
        {
            check(Rfc850, bad, Err(Unreadable));
        }
    }

    #[test]
    fn rfc1123_has_a_four_digit_year() {
        check(Rfc1123, "Mon, 31 Aug 2020 16:03:00 GMT", Ok(AT));
        check(Rfc1123, "Tue, 01 Sep 2020 00:03:00 +0800", Ok(AT));
        check(Rfc1123, "Thu, 01 Jan 1970 00:00:00 GMT", Ok(0));
        check(Rfc1123, "Sat, 31 Dec 2016 23:59:60 GMT", Ok(1_483_228_800_000_000));
        check(Rfc1123, "Wed, 31 Dec 1969 23:59:59 GMT", Err(OutOfRange));
        check(Rfc1123, "Fri, 31 Dec 9999 23:59:59 GMT", Ok(LAST_MICROS - 999_999));
        for bad in
            ["Mon, 31 Aug 20 16:03:00 GMT", "31 Aug 2020 16:03:00 GMT", "Mon, 31 Aug 2020 16:03:61 GMT"]
        {
            check(Rfc1123, bad, Err(Unreadable));
        }
    }

    #[test]
    fn rfc3339_may_carry_a_fraction_and_an_offset() {
        check(Rfc3339, "2020-08-31T16:03:00Z", Ok(AT));
        check(Rfc3339, "2020-08-31T16:03:00.000001Z", Ok(AT + 1));
        check(Rfc3339, "2020-09-01T00:03:00+08:00", Ok(AT));
        check(Rfc3339, "1969-12-31T23:59:59Z", Err(OutOfRange));
        check(Rfc3339, "9999-12-31T23:59:59.999999Z", Ok(LAST_MICROS));
        check(Rfc3339, "9999-12-31T23:59:59-01:00", Err(OutOfRange));
        for bad in ["2020-08-31", "2020-08-31T16:03:00", "+12020-08-31T16:03:00Z", "2020-13-31T16:03:00Z"] {
            check(Rfc3339, bad, Err(Unreadable));
        }
    }

    #[test]
    fn unix_is_an_integer() {
        assert_eq!(parse(Unix, ValueRef::Integer(1_598_889_780)), Ok(AT));
        assert_eq!(parse(Unix, ValueRef::Integer(-1)), Err(OutOfRange));
        assert_eq!(parse(Unix, ValueRef::Integer(i64::MAX)), Err(OutOfRange));
        assert_eq!(parse(Unix, ValueRef::Integer(LAST_MICROS + 1)), Err(OutOfRange));
        assert_eq!(parse(Unix, ValueRef::String("1598889780")), Err(Type));
        assert_eq!(parse(Unix, ValueRef::Double(1.0)), Err(Type));
        assert_eq!(parse(Rfc3339, ValueRef::Integer(1)), Err(Type));
    }

    #[test]
    fn unix_seconds_milliseconds_and_microseconds_are_told_apart() {
        for now in [1_598_889_780, 1_598_889_780_000, 1_598_889_780_000_000] {
            assert_eq!(parse(Unix, ValueRef::Integer(now)), Ok(AT));
        }
        assert_eq!(parse(Unix, ValueRef::Integer(99_999_999_999)), Ok(99_999_999_999_000_000));
        assert_eq!(parse(Unix, ValueRef::Integer(100_000_000_000)), Ok(100_000_000_000_000));
        assert_eq!(parse(Unix, ValueRef::Integer(100_000_000_000_000)), Ok(100_000_000_000_000));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[MonTue, 0-9:+JanAugGMTZ-]{0,34}") {
            for format in [Rfc822, Rfc850, Rfc1123, Rfc3339] {
                let _ = parse(format, ValueRef::String(&text));
            }
        }

        #[test]
        fn what_chrono_writes_is_read(seconds in 0_i64..253_402_300_799) {
            let text = DateTime::from_timestamp(seconds, 0).unwrap().to_rfc2822();
            prop_assert_eq!(parse(Rfc822, ValueRef::String(&text)), Ok(seconds * 1_000_000));
            prop_assert_eq!(parse(Rfc1123, ValueRef::String(&text)), Ok(seconds * 1_000_000));
        }
    }
}
