//! The types of delivered columns, and the encodings each can have.

use lakeferry_model::delivery::{DirtyReason, Encoding, Field, FieldKind};
use lakeferry_model::{ValueKind, ValueRef, Violation};
use serde::{Deserialize, Serialize};

/// The type of a delivered column.
///
/// The documented ones take values of their own type alone. The others take what converts exactly: a day, a
/// time of day and a timestamp take an integer in their own unit, or text in the form of RFC 3339; a decimal
/// takes an integer, or its digits as text; binary takes text too, as its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A boolean.
    Bool,
    /// A 64-bit signed integer.
    Int64,
    /// An IEEE 754 double.
    Double,
    /// UTF-8 text.
    Utf8,
    /// Any bytes, without a logical type.
    Binary,
    /// A day, counted from 1970-01-01.
    Date,
    /// A time of day in milliseconds.
    TimeMillis,
    /// A time of day in microseconds.
    TimeMicros,
    /// Milliseconds since the epoch.
    TimestampMillis,
    /// Microseconds since the epoch.
    TimestampMicros,
    /// An IEEE 754 single; takes a double that it can hold exactly.
    Float,
    /// A 32-bit signed integer.
    Int32,
    /// A decimal number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
}

impl From<ValueKind> for ColumnKind {
    fn from(kind: ValueKind) -> Self {
        match kind {
            ValueKind::Integer => Self::Int64,
            ValueKind::Double => Self::Double,
            ValueKind::Boolean => Self::Bool,
            ValueKind::String => Self::Utf8,
            ValueKind::Binary => Self::Binary,
        }
    }
}

impl ColumnKind {
    /// The type that a field asks for.
    ///
    /// # Errors
    /// A parameter violation: the type is one that no value of a table has, or its parameters are missing.
    pub fn of(field: &Field) -> Result<Self, Violation> {
        Ok(match field.kind {
            FieldKind::Utf8 if asks_for_binary(field) => Self::Binary,
            FieldKind::Utf8 => Self::Utf8,
            FieldKind::Bool => Self::Bool,
            FieldKind::Int64 => Self::Int64,
            FieldKind::Double => Self::Double,
            FieldKind::Date => Self::Date,
            FieldKind::TimeMillis => Self::TimeMillis,
            FieldKind::TimeMicros => Self::TimeMicros,
            FieldKind::TimestampMillis => Self::TimestampMillis,
            FieldKind::TimestampMicros => Self::TimestampMicros,
            FieldKind::Float => Self::Float,
            FieldKind::Int32 => Self::Int32,
            FieldKind::Decimal => decimal(field)?,
            FieldKind::List | FieldKind::Map | FieldKind::Interval | FieldKind::Int96 => {
                return Err(Violation::parameter(format!(
                    "Column '{}' cannot be delivered as {}: no Tablestore value has this type.",
                    field.target,
                    protocol_name(field.kind)
                )));
            }
        })
    }

    /// The type and its parameters as a field would name them.
    pub fn named(self) -> (FieldKind, Option<String>) {
        let kind = match self {
            Self::Bool => FieldKind::Bool,
            Self::Int64 => FieldKind::Int64,
            Self::Double => FieldKind::Double,
            Self::Utf8 => FieldKind::Utf8,
            Self::Binary => return (FieldKind::Utf8, Some(BINARY.to_owned())),
            Self::Date => FieldKind::Date,
            Self::TimeMillis => FieldKind::TimeMillis,
            Self::TimeMicros => FieldKind::TimeMicros,
            Self::TimestampMillis => FieldKind::TimestampMillis,
            Self::TimestampMicros => FieldKind::TimestampMicros,
            Self::Float => FieldKind::Float,
            Self::Int32 => FieldKind::Int32,
            Self::Decimal { precision, scale } => {
                return (FieldKind::Decimal, Some(format!("{precision},{scale}")));
            }
        };
        (kind, None)
    }

    /// Whether a column of the type can have this encoding: Parquet defines it, and the writer writes it.
    pub fn can_have(self, encoding: Encoding) -> bool {
        match encoding {
            Encoding::Plain => true,
            // Of two values a dictionary saves nothing; no writer has one.
            Encoding::PlainDictionary => self != Self::Bool,
            Encoding::DeltaBinaryPacked => match self {
                Self::Int64
                | Self::Int32
                | Self::Date
                | Self::TimeMillis
                | Self::TimeMicros
                | Self::TimestampMillis
                | Self::TimestampMicros => true,
                Self::Decimal { .. } => !self.has_fixed_length(),
                _ => false,
            },
            Encoding::DeltaByteArray => matches!(self, Self::Utf8 | Self::Binary) || self.has_fixed_length(),
            Encoding::DeltaLengthByteArray => matches!(self, Self::Utf8 | Self::Binary),
        }
    }

    /// Whether it is written as a byte array of fixed length.
    pub(crate) fn has_fixed_length(self) -> bool {
        matches!(self, Self::Decimal { precision, .. } if precision > DECIMAL_INTEGER_DIGITS_MAX)
    }

    /// Why a column of this type has left the value out.
    pub fn why_dirty(self, value: ValueRef<'_>) -> DirtyReason {
        if !self.can_take(value.kind()) {
            return DirtyReason::Type;
        }
        match value {
            ValueRef::String(_) => DirtyReason::Format,
            _ => DirtyReason::Range,
        }
    }

    /// Whether some value of that type can be delivered in a column of this one.
    pub(crate) fn can_take(self, value: ValueKind) -> bool {
        match self {
            Self::Bool => value == ValueKind::Boolean,
            Self::Int64 | Self::Int32 => value == ValueKind::Integer,
            Self::Double | Self::Float => value == ValueKind::Double,
            Self::Utf8 => value == ValueKind::String,
            Self::Binary => matches!(value, ValueKind::Binary | ValueKind::String),
            Self::Date
            | Self::TimeMillis
            | Self::TimeMicros
            | Self::TimestampMillis
            | Self::TimestampMicros
            | Self::Decimal { .. } => matches!(value, ValueKind::Integer | ValueKind::String),
        }
    }
}

/// Digits up to which a decimal is written as an integer; one of more is a byte array of fixed length.
const DECIMAL_INTEGER_DIGITS_MAX: u8 = 18;

/// What makes a UTF8 column a plain byte array.
const BINARY: &str = "BINARY";

fn asks_for_binary(field: &Field) -> bool {
    field.type_extend.as_deref().is_some_and(|extend| extend.eq_ignore_ascii_case(BINARY))
}

/// Whether a field names type parameters that its type has no use for.
pub(crate) fn has_idle_parameters(field: &Field) -> bool {
    let given = field.type_extend.as_deref().is_some_and(|extend| !extend.is_empty());
    given
        && match field.kind {
            FieldKind::Decimal => false,
            FieldKind::Utf8 => !asks_for_binary(field),
            _ => true,
        }
}

/// Reads `18,2`, also in parentheses and with the type's name in front.
fn decimal(field: &Field) -> Result<ColumnKind, Violation> {
    let read = || {
        let text = field.type_extend.as_deref()?.trim().to_ascii_uppercase();
        let text = text.strip_prefix("DECIMAL").unwrap_or(&text).trim();
        let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
        let (precision, scale) = text.split_once(',').unwrap_or((text, "0"));
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        ((1..=38).contains(&precision) && scale <= precision)
            .then_some(ColumnKind::Decimal { precision, scale })
    };
    read().ok_or_else(|| {
        Violation::parameter(format!(
            "Column '{}' is a DECIMAL: give its precision, 1 to 38, and its scale in typeExtend, such as '18,2'.",
            field.target
        ))
    })
}

pub(crate) fn protocol_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Bool => "BOOL",
        FieldKind::Int64 => "INT64",
        FieldKind::Utf8 => "UTF8",
        FieldKind::Double => "DOUBLE",
        FieldKind::Date => "DATE",
        FieldKind::Decimal => "DECIMAL",
        FieldKind::TimeMillis => "TIME_MILLIS",
        FieldKind::TimeMicros => "TIME_MICROS",
        FieldKind::TimestampMillis => "TIMESTAMP_MILLIS",
        FieldKind::TimestampMicros => "TIMESTAMP_MICROS",
        FieldKind::List => "LIST",
        FieldKind::Map => "MAP",
        FieldKind::Interval => "INTERVAL",
        FieldKind::Float => "FLOAT",
        FieldKind::Int32 => "INT32",
        FieldKind::Int96 => "INT96",
    }
}

pub(crate) fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Plain => "PLAIN",
        Encoding::PlainDictionary => "PLAIN_DICTIONARY",
        Encoding::DeltaBinaryPacked => "DELTA_BINARY_PACKED",
        Encoding::DeltaByteArray => "DELTA_BYTE_ARRAY",
        Encoding::DeltaLengthByteArray => "DELTA_LENGTH_BYTE_ARRAY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(kind: FieldKind, extend: Option<&str>) -> Result<ColumnKind, Violation> {
        ColumnKind::of(&Field {
            source: "s".to_owned(),
            target: "t".to_owned(),
            kind,
            encoding: Encoding::Plain,
            type_extend: extend.map(str::to_owned),
        })
    }

    #[test]
    fn a_decimal_names_its_precision_and_scale() {
        let expected = ColumnKind::Decimal { precision: 18, scale: 2 };
        for text in ["18,2", " 18 , 2 ", "(18,2)", "decimal(18, 2)"] {
            assert_eq!(kind(FieldKind::Decimal, Some(text)).unwrap(), expected, "{text}");
        }
        assert_eq!(kind(FieldKind::Decimal, Some("9")), Ok(ColumnKind::Decimal { precision: 9, scale: 0 }));
        for text in [None, Some(""), Some("0"), Some("39,1"), Some("2,3"), Some("a,b")] {
            assert!(kind(FieldKind::Decimal, text).unwrap_err().message.contains("'t'"), "{text:?}");
        }
    }

    #[test]
    fn binary_is_utf8_with_a_parameter() {
        assert_eq!(kind(FieldKind::Utf8, Some("BINARY")), Ok(ColumnKind::Binary));
        assert_eq!(kind(FieldKind::Utf8, Some("")), Ok(ColumnKind::Utf8));
        assert_eq!(ColumnKind::Binary.named(), (FieldKind::Utf8, Some("BINARY".to_owned())));
    }

    #[test]
    fn a_dirty_field_says_whether_its_type_its_range_or_its_form_is_wrong() {
        use ValueRef::{Binary, Double, Integer, String};
        let decimal = ColumnKind::Decimal { precision: 4, scale: 2 };
        for (kind, value, reason) in [
            (ColumnKind::Int64, Double(1.0), DirtyReason::Type),
            (ColumnKind::Utf8, Binary(b"x"), DirtyReason::Type),
            (ColumnKind::Int32, Integer(1 << 40), DirtyReason::Range),
            (ColumnKind::Float, Double(0.1), DirtyReason::Range),
            (decimal, Integer(123), DirtyReason::Range),
            (ColumnKind::Date, String("31.8.2020"), DirtyReason::Format),
            (ColumnKind::Date, Integer(i64::MAX), DirtyReason::Range),
        ] {
            assert_eq!(kind.why_dirty(value), reason, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_decimal_is_encoded_as_the_integer_or_the_bytes_that_it_is_written_as() {
        let can_have = |precision| {
            let kind = ColumnKind::Decimal { precision, scale: 0 };
            [Encoding::PlainDictionary, Encoding::DeltaBinaryPacked, Encoding::DeltaByteArray]
                .map(|encoding| kind.can_have(encoding))
        };
        assert_eq!(can_have(18), [true, true, false]);
        assert_eq!(can_have(19), [true, false, true]);
    }

    #[test]
    fn types_that_no_value_has_are_refused_by_name() {
        for (refused, name) in [
            (FieldKind::Int96, "INT96"),
            (FieldKind::List, "LIST"),
            (FieldKind::Map, "MAP"),
            (FieldKind::Interval, "INTERVAL"),
        ] {
            assert!(kind(refused, None).unwrap_err().message.contains(name));
        }
    }
}
