//! Counts, sizes, durations and times as people read them.

use std::time::Duration;

use chrono::DateTime;
use lakeferry_model::Micros;

/// A thing that is counted: its name for one, and for any other number.
pub type Unit = (&'static str, &'static str);

/// A number with its thousands set apart: `3,412`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 row`, `3,412 rows`.
pub fn counted(number: u64, (one, many): Unit) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Bytes in the largest unit of which there is one: `512 B`, `1.5 MiB`, `64 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is one of the next unit.
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let amount = format!("{amount:.1}");
    format!("{} {}", amount.strip_suffix(".0").unwrap_or(&amount), UNITS[unit])
}

/// A duration in its two largest units: `0.4s`, `3s`, `45s`, `1m12s`, `2h05m`, `3d04h`. Tenths only below ten seconds.
pub fn duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 100 {
        return match (tenths / 10, tenths % 10) {
            (seconds, 0) => format!("{seconds}s"),
            (seconds, tenth) => format!("{seconds}.{tenth}s"),
        };
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time of day in UTC: `2026-03-01 12:00:03 UTC`.
pub fn instant(micros: Micros) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => format!("{micros} us since the epoch"),
    }
}

/// The time of day alone, in UTC: `12:00:03`.
pub fn time_of_day(micros: Micros) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |time| time.format("%H:%M:%S").to_string())
}

/// Text on one line of so many characters at most; of a longer one the beginning.
pub fn shortened(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let kept: String = line.chars().take(chars_max - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown: Vec<_> = [0, 7, 999, 1_000, 3_412, 1_234_567].map(count).into();
        assert_eq!(shown, ["0", "7", "999", "1,000", "3,412", "1,234,567"]);
    }

    #[test]
    fn one_of_a_thing_is_singular() {
        let rows = ("row", "rows");
        assert_eq!([0, 1, 3_412].map(|n| counted(n, rows)), ["0 rows", "1 row", "3,412 rows"]);
    }

    #[test]
    fn sizes_change_unit_before_they_reach_1024() {
        let shown = [0, 1023, 1024, 1536, 1_048_575, 1_048_576, 5 << 30].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "1 MiB", "1 MiB", "5 GiB"]);
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let shown = [0, 400, 9_949, 9_950, 45_000, 59_600, 72_000, 7_500_000, 273_600_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0s", "0.4s", "9.9s", "10s", "45s", "1m00s", "1m12s", "2h05m", "3d04h"]);
    }

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(instant(1_598_889_780_000_000), "2020-08-31 16:03:00 UTC");
        assert_eq!(time_of_day(1_598_889_780_000_000), "16:03:00");
        assert_eq!(instant(i64::MAX), "9223372036854775807 us since the epoch");
    }

    #[test]
    fn long_text_is_cut_at_its_end_and_lines_become_one() {
        assert_eq!(shortened("größer\n als 8", 12), "größer als 8");
        assert_eq!(shortened("größer als 8", 11), "größer als…");
        assert_eq!(shortened("größer als 8", 8), "größer…");
    }
}
