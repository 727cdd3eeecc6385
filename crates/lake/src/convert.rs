//! Values of tables as values of columns, where that is exact.
//!
//! Each function answers nothing for a value that its type cannot hold as it is; the field is then dirty.

use chrono::{DateTime, NaiveDate};
use lakeferry_model::ValueRef;

const DAY_MICROS: i64 = 86_400_000_000;

/// Days since 1970-01-01, from such a number or from `2020-08-31`.
pub(crate) fn date(value: ValueRef<'_>) -> Option<i32> {
    match value {
        ValueRef::Integer(days) => i32::try_from(days).ok(),
        ValueRef::String(text) => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)?;
            i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
        }
        _ => None,
    }
}

/// Milliseconds since midnight, from such a number or from `16:03:00.250`.
pub(crate) fn time_millis(value: ValueRef<'_>) -> Option<i32> {
    let millis = match value {
        ValueRef::Integer(millis) => millis,
        ValueRef::String(text) => whole(clock_micros(text)?, 1000)?,
        _ => return None,
    };
    (0..DAY_MICROS / 1000).contains(&millis).then(|| i32::try_from(millis).ok())?
}

/// Microseconds since midnight, from such a number or from `16:03:00.250001`.
pub(crate) fn time_micros(value: ValueRef<'_>) -> Option<i64> {
    let micros = match value {
        ValueRef::Integer(micros) => micros,
        ValueRef::String(text) => clock_micros(text)?,
        _ => return None,
    };
    (0..DAY_MICROS).contains(&micros).then_some(micros)
}

/// Milliseconds since the epoch, from such a number or from text as in RFC 3339.
pub(crate) fn timestamp_millis(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(millis) => Some(millis),
        ValueRef::String(text) => whole(instant_micros(text)?, 1000),
        _ => None,
    }
}

/// Microseconds since the epoch, from such a number or from text as in RFC 3339.
pub(crate) fn timestamp_micros(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(micros) => Some(micros),
        ValueRef::String(text) => instant_micros(text),
        _ => None,
    }
}

/// A double that is a single too.
#[expect(clippy::cast_possible_truncation, reason = "what is cut off is compared right after")]
pub(crate) fn float(value: ValueRef<'_>) -> Option<f32> {
    let ValueRef::Double(double) = value else { return None };
    let single = double as f32;
    (double.is_nan() || f64::from(single) == double).then_some(single)
}

/// An integer of 32 bits.
pub(crate) fn int32(value: ValueRef<'_>) -> Option<i32> {
    let ValueRef::Integer(integer) = value else { return None };
    i32::try_from(integer).ok()
}

/// A decimal as its digits without the point, from an integer or from text such as `-12.50`.
pub(crate) fn decimal(value: ValueRef<'_>, precision: u8, scale: u8) -> Option<i128> {
    let digits = match value {
        ValueRef::Integer(integer) => {
            i128::from(integer).checked_mul(10_i128.checked_pow(u32::from(scale))?)?
        }
        ValueRef::String(text) => decimal_digits(text, scale)?,
        _ => return None,
    };
    (digits.unsigned_abs() < 10_u128.pow(u32::from(precision))).then_some(digits)
}

fn decimal_digits(text: &str, scale: u8) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (before, behind) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if before.is_empty() || !all_digits(before) || !all_digits(behind) {
        return None;
    }
    let behind = behind.trim_end_matches('0');
    let missing = usize::from(scale).checked_sub(behind.len())?;
    let digits = format!("{before}{behind}{}", "0".repeat(missing)).parse::<i128>().ok()?;
    Some(if negative { -digits } else { digits })
}

fn clock_micros(text: &str) -> Option<i64> {
    // With a day in front, the reader of instants does the rest.
    (text.len() >= 8 && text.is_ascii()).then(|| instant_micros(&format!("1970-01-01T{text}Z")))?
}

/// Nothing for what is finer than a microsecond, and for leap seconds, which no count holds.
fn instant_micros(text: &str) -> Option<i64> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    let nanos = instant.timestamp_subsec_nanos();
    (nanos < 1_000_000_000 && nanos % 1000 == 0).then(|| instant.timestamp_micros())
}

fn whole(count: i64, unit: i64) -> Option<i64> {
    (count.rem_euclid(unit) == 0).then(|| count.div_euclid(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValueRef::{Double, Integer, String};

    #[test]
    fn dates_are_days() {
        assert_eq!(date(Integer(18_505)), Some(18_505));
        assert_eq!(date(String("2020-08-31")), Some(18_505));
        for bad in [Integer(i64::MAX), String("2020-8-31"), String("2020-02-30"), Double(1.0)] {
            assert_eq!(date(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn times_of_day_stay_within_the_day() {
        assert_eq!(time_millis(String("16:03:00.250")), Some(57_780_250));
        assert_eq!(time_millis(String("16:03:00.2501")), None);
        assert_eq!(time_micros(String("16:03:00.2501")), Some(57_780_250_100));
        assert_eq!(time_millis(Integer(86_400_000)), None);
        assert_eq!(time_micros(Integer(86_399_999_999)), Some(86_399_999_999));
        assert_eq!(time_micros(String("24:00:00")), None);
        assert_eq!(time_micros(String("é6:03:00")), None);
    }

    #[test]
    fn timestamps_lose_nothing() {
        assert_eq!(timestamp_millis(String("2020-08-31T16:03:00.001Z")), Some(1_598_889_780_001));
        assert_eq!(timestamp_millis(String("2020-08-31T16:03:00.0001Z")), None);
        assert_eq!(timestamp_micros(String("1969-12-31T23:59:59.999999Z")), Some(-1));
        assert_eq!(timestamp_micros(String("1970-01-01T00:00:00.0000001Z")), None);
        assert_eq!(timestamp_micros(Integer(i64::MIN)), Some(i64::MIN));
    }

    #[test]
    fn narrow_numbers_take_what_they_can_hold() {
        assert_eq!(float(Double(0.5)), Some(0.5));
        assert_eq!(float(Double(0.1)), None);
        assert_eq!(float(Double(1e300)), None);
        assert_eq!(float(Double(f64::INFINITY)), Some(f32::INFINITY));
        assert!(float(Double(f64::NAN)).unwrap().is_nan());
        assert_eq!(int32(Integer(-7)), Some(-7));
        assert_eq!(int32(Integer(1 << 40)), None);
    }

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal(Integer(12), 4, 2), Some(1200));
        assert_eq!(decimal(Integer(123), 4, 2), None);
        assert_eq!(decimal(String("-12.50"), 4, 2), Some(-1250));
        assert_eq!(decimal(String("+0.1"), 4, 2), Some(10));
        assert_eq!(decimal(String("12.3450"), 9, 3), Some(12_345));
        for bad in ["", ".", ".5", "1.234", "1e3", "--1", "1.2.3", "１"] {
            assert_eq!(decimal(String(bad), 9, 2), None, "{bad}");
        }
        assert_eq!(decimal(Integer(i64::MAX), 38, 30), None);
        assert_eq!(decimal(String(&"9".repeat(60)), 38, 0), None);
    }
}
