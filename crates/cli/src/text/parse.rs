//! What people type as flags: durations, sizes, columns.

use std::str::FromStr;
use std::time::Duration;

use lakeferry_model::delivery::{Encoding, EventTimeColumn, EventTimeFormat, FieldKind};

/// Reads `500ms`, `2s`, `1.5m`, `3h`; a bare number is seconds.
///
/// # Errors
/// What can be written instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (amount, unit) = number_and_unit(text);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("`{unit}` is no unit of time; write `500ms`, `90s`, `2m` or `1h`")),
    };
    let amount: f64 =
        amount.parse().map_err(|_| "write a number and a unit: `500ms`, `90s`, `2m` or `1h`".to_owned())?;
    Duration::try_from_secs_f64(amount * seconds_per_unit).map_err(|error| error.to_string())
}

/// Reads `64MiB`, `512K`, `1.5G`; a bare number is bytes. All units are powers of 1,024.
///
/// # Errors
/// What can be written instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (amount, unit) = number_and_unit(text);
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(format!("`{unit}` is no unit of size; write `512KiB`, `64MiB` or `1GiB`")),
    };
    let amount: f64 =
        amount.parse().map_err(|_| "write a number and a unit: `512KiB`, `64MiB` or `1GiB`".to_owned())?;
    #[expect(clippy::cast_precision_loss, reason = "units are powers of two")]
    let bytes = amount * unit_bytes as f64;
    if !(0.0..9.0e15).contains(&bytes) {
        return Err("the size is out of range".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(bytes as u64)
}

/// A limit that is set, or lifted with `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// Reads a duration in milliseconds, or `off`.
///
/// # Errors
/// What can be written instead.
pub fn duration_limit(text: &str) -> Result<Limit, String> {
    limit(text, |text| {
        u64::try_from(parse_duration(text)?.as_millis()).map_err(|_| "the time is out of range".to_owned())
    })
}

/// Reads a size, or `off`.
///
/// # Errors
/// What can be written instead.
pub fn size_limit(text: &str) -> Result<Limit, String> {
    limit(text, parse_size)
}

/// Reads a number, or `off`.
///
/// # Errors
/// What can be written instead.
pub fn number_limit(text: &str) -> Result<Limit, String> {
    limit(text, |text| text.parse().map_err(|_| "write a whole number".to_owned()))
}

fn limit(text: &str, parse: impl Fn(&str) -> Result<u64, String>) -> Result<Limit, String> {
    match text.trim() {
        "off" => Ok(Limit(None)),
        text => match parse(text).map_err(|error| format!("{error}, or `off` for no limit"))? {
            0 => Err("0 is no limit; write `off` to lift it".to_owned()),
            limit => Ok(Limit(Some(limit))),
        },
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// Reads `COLUMN:FORMAT`; the column's name may hold colons itself.
///
/// # Errors
/// What can be written instead.
pub fn event_time(text: &str) -> Result<EventTimeColumn, String> {
    const FORMATS: [(&str, EventTimeFormat); 5] = [
        ("rfc822", EventTimeFormat::Rfc822),
        ("rfc850", EventTimeFormat::Rfc850),
        ("rfc1123", EventTimeFormat::Rfc1123),
        ("rfc3339", EventTimeFormat::Rfc3339),
        ("unix", EventTimeFormat::Unix),
    ];
    let rule = "write COLUMN:FORMAT, the format one of rfc822, rfc850, rfc1123, rfc3339 and unix";
    let (column, format) = text.rsplit_once(':').ok_or(rule)?;
    let (_, format) = FORMATS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(format)).ok_or(rule)?;
    if column.is_empty() {
        return Err(rule.to_owned());
    }
    Ok(EventTimeColumn { column: column.to_owned(), format })
}

/// One column of a task's objects as typed: `SOURCE[:TARGET[:TYPE]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnArg {
    /// The table's column, or a reserved name.
    pub source: String,
    /// The column's name in the objects; the source's if left out.
    pub target: Option<String>,
    /// Its type in the objects; by the table if left out.
    pub kind: Option<ColumnType>,
    /// Its encoding in the objects.
    pub encoding: Encoding,
}

/// A column's type in the objects, with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    pub kind: FieldKind,
    /// `BINARY` for a UTF8 column that is a plain byte array; a decimal's precision and scale.
    pub extend: Option<String>,
}

impl ColumnType {
    pub fn plain(kind: FieldKind) -> Self {
        Self { kind, extend: None }
    }

    pub fn binary() -> Self {
        Self { kind: FieldKind::Utf8, extend: Some("BINARY".to_owned()) }
    }
}

impl FromStr for ColumnArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let source = parts.next().filter(|source| !source.is_empty());
        let target = parts.next().filter(|target| !target.is_empty());
        let (kind, encoding) = match parts.next() {
            None => (None, Encoding::Plain),
            Some(text) => {
                let (kind, encoding) = text.split_once('/').unwrap_or((text, "plain"));
                let kind = Some(kind).filter(|kind| !kind.is_empty()).map(field_kind).transpose()?;
                (kind, field_encoding(encoding)?)
            }
        };
        match (source, parts.next()) {
            (Some(source), None) => {
                Ok(Self { source: source.to_owned(), target: target.map(str::to_owned), kind, encoding })
            }
            _ => {
                Err("write SOURCE, SOURCE:TARGET, SOURCE:TARGET:TYPE or SOURCE:TARGET:TYPE/ENCODING"
                    .to_owned())
            }
        }
    }
}

/// The encodings, by the protocol's names.
const ENCODINGS: [(&str, Encoding); 5] = [
    ("plain", Encoding::Plain),
    ("plain_dictionary", Encoding::PlainDictionary),
    ("delta_binary_packed", Encoding::DeltaBinaryPacked),
    ("delta_byte_array", Encoding::DeltaByteArray),
    ("delta_length_byte_array", Encoding::DeltaLengthByteArray),
];

fn field_encoding(text: &str) -> Result<Encoding, String> {
    let found = ENCODINGS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, encoding)| encoding).ok_or_else(|| {
        let names: Vec<_> = ENCODINGS.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is no encoding; there are {}", names.join(", "))
    })
}

/// The types that the program offers: those that some Tablestore value has.
const FIELD_KINDS: [(&str, FieldKind, bool); 14] = [
    ("bool", FieldKind::Bool, false),
    ("int64", FieldKind::Int64, false),
    ("double", FieldKind::Double, false),
    ("utf8", FieldKind::Utf8, false),
    ("binary", FieldKind::Utf8, true),
    ("int32", FieldKind::Int32, false),
    ("float", FieldKind::Float, false),
    ("date", FieldKind::Date, false),
    ("decimal", FieldKind::Decimal, false),
    ("time_millis", FieldKind::TimeMillis, false),
    ("time_micros", FieldKind::TimeMicros, false),
    ("timestamp_millis", FieldKind::TimestampMillis, false),
    ("timestamp_micros", FieldKind::TimestampMicros, false),
    // As people write it.
    ("string", FieldKind::Utf8, false),
];

/// Reads a type's name; a decimal's precision and scale follow it in parentheses.
fn field_kind(text: &str) -> Result<ColumnType, String> {
    let (name, extend) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or("a parenthesis is left open")?)),
        None => (text, None),
    };
    let found = FIELD_KINDS.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    let typed = found.map(|(_, kind, binary)| match (binary, extend) {
        (true, None) => ColumnType::binary(),
        (_, extend) => ColumnType { kind, extend: extend.map(str::to_owned) },
    });
    typed.ok_or_else(|| {
        let names: Vec<_> = FIELD_KINDS.iter().map(|(name, ..)| *name).collect();
        format!("`{text}` is no column type; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_value_or_off() {
        assert_eq!(size_limit("1KiB"), Ok(Limit(Some(1024))));
        assert_eq!(duration_limit("2s"), Ok(Limit(Some(2000))));
        assert_eq!(number_limit("off"), Ok(Limit(None)));
        assert!(number_limit("0").unwrap_err().contains("off"));
        assert!(size_limit("much").unwrap_err().contains("`off`"));
    }

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        let read = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("2"), Ok(2_000));
        assert_eq!(read("1.5m"), Ok(90_000));
        assert_eq!(read("1 h"), Ok(3_600_000));
        assert!(read("2 days").unwrap_err().contains("days"));
        assert!(read("soon").is_err() && read("-1s").is_err() && read("").is_err());
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("512k"), Ok(512 << 10));
        assert_eq!(parse_size("1.5 GB"), Ok(3 << 29));
        assert_eq!(parse_size("17"), Ok(17));
        assert!(parse_size("1 parsec").is_err() && parse_size("99999999999G").is_err());
    }

    #[test]
    fn an_event_time_is_a_column_and_a_format() {
        let read = event_time("at:home:RFC3339").unwrap();
        assert_eq!((read.column.as_str(), read.format), ("at:home", EventTimeFormat::Rfc3339));
        assert!(event_time("at").is_err() && event_time(":unix").is_err() && event_time("at:iso").is_err());
    }

    #[test]
    fn a_column_is_a_source_with_an_optional_target_and_type() {
        let read = |text: &str| text.parse::<ColumnArg>();
        let column = |source: &str, target: Option<&str>, kind| ColumnArg {
            source: source.into(),
            target: target.map(Into::into),
            kind,
            encoding: Encoding::Plain,
        };
        assert_eq!(read("a"), Ok(column("a", None, None)));
        assert_eq!(read("a:b"), Ok(column("a", Some("b"), None)));
        assert_eq!(read("a::Int64"), Ok(column("a", None, Some(ColumnType::plain(FieldKind::Int64)))));
        assert_eq!(
            read("$operation:op:BINARY"),
            Ok(column("$operation", Some("op"), Some(ColumnType::binary())))
        );
        let decimal = ColumnType { kind: FieldKind::Decimal, extend: Some("18,2".into()) };
        assert_eq!(read("a::decimal(18,2)"), Ok(column("a", None, Some(decimal))));
        let packed = ColumnArg { encoding: Encoding::DeltaBinaryPacked, ..column("a", None, None) };
        assert_eq!(read("a::/delta_binary_packed"), Ok(packed.clone()));
        let packed = ColumnArg { kind: Some(ColumnType::plain(FieldKind::Int64)), ..packed };
        assert_eq!(read("a::int64/DELTA_BINARY_PACKED"), Ok(packed));
        assert!(read("a::int64/rle").unwrap_err().contains("plain_dictionary"));
        assert!(read("a::decimal(1").is_err());
        assert!(read("").is_err() && read("a:b:int64:x").is_err());
        assert!(read("a:b:int96").unwrap_err().contains("timestamp_micros"));
    }
}
