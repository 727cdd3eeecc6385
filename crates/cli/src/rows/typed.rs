//! Types of columns: their names, values as text, and who decides where a file does not.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakeferry_model::{TableSchema, Value, ValueKind, ValueRef};

const KINDS: [(&str, ValueKind); 5] = [
    ("integer", ValueKind::Integer),
    ("double", ValueKind::Double),
    ("boolean", ValueKind::Boolean),
    ("string", ValueKind::String),
    ("binary", ValueKind::Binary),
];

/// The type of this name, in any case.
pub fn parse_kind(text: &str) -> Option<ValueKind> {
    KINDS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| kind)
}

/// A type's name, as headings of CSV have it.
pub fn kind_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Integer => "integer",
        ValueKind::Double => "double",
        ValueKind::Boolean => "boolean",
        ValueKind::String => "string",
        ValueKind::Binary => "binary",
    }
}

/// Reads a value of a type from text: what [`to_text`] writes, and more, such as `1e3` for a double.
///
/// # Errors
/// What the text should be.
pub fn from_text(kind: ValueKind, text: &str) -> Result<Value, String> {
    let refused = |what: &str| format!("`{}` is no {}: {what}", shortened(text), kind_name(kind));
    match kind {
        ValueKind::Integer => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| refused("write digits, from -9223372036854775808 to 9223372036854775807")),
        ValueKind::Double => {
            text.parse().map(Value::Double).map_err(|_| refused("write a number, NaN, inf or -inf"))
        }
        ValueKind::Boolean => text.parse().map(Value::Boolean).map_err(|_| refused("write true or false")),
        ValueKind::String => Ok(Value::String(text.into())),
        ValueKind::Binary => STANDARD
            .decode(text)
            .map(|bytes| Value::Binary(bytes.into()))
            .map_err(|_| refused("write it in base64")),
    }
}

/// Writes a value as text. Doubles always have a point, an exponent or a word, and all their digits.
pub fn to_text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Double(value) => format!("{value:?}"),
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::String(text) => text.to_owned(),
        ValueRef::Binary(bytes) => STANDARD.encode(bytes),
    }
}

/// The value as one of the type that was asked for, if that loses nothing: anything as text, text as what it says,
/// an integer as a double.
///
/// # Errors
/// Why it is no value of the type.
pub fn convert(value: Value, kind: ValueKind) -> Result<Value, String> {
    match (&value, kind) {
        _ if value.kind() == kind => Ok(value),
        (Value::String(text), _) => from_text(kind, text),
        // Text that other programs wrote without saying that it is text.
        (Value::Binary(bytes), ValueKind::String) => {
            let text = std::str::from_utf8(bytes).map_err(|_| "the bytes are no text".to_owned())?;
            Ok(Value::String(text.into()))
        }
        (_, ValueKind::String) => Ok(Value::String(to_text(value.as_ref()).into())),
        (Value::Integer(integer), ValueKind::Double) => {
            let double = double(*integer).map(Value::Double);
            double.ok_or_else(|| format!("{integer} has too many digits for a double"))
        }
        _ => Err(format!("`{}` is no {}", shortened(&to_text(value.as_ref())), kind_name(kind))),
    }
}

/// The same number, if there is one.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "what is lost is found out")]
fn double(integer: i64) -> Option<f64> {
    let double = integer as f64;
    // 2^63 itself would be cut to the greatest integer on the way back.
    (double < 9.2e18 && double as i64 == integer).then_some(double)
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What decides the type of a column beside the file itself.
#[derive(Debug, Clone, Default)]
pub struct Types {
    asked: HashMap<String, ValueKind>,
    key: Vec<(String, ValueKind)>,
    declared: HashMap<String, ValueKind>,
}

impl Types {
    /// A table's types, and those that were typed.
    pub fn new(schema: &TableSchema, asked: impl IntoIterator<Item = (String, ValueKind)>) -> Self {
        let key = schema.primary_key.iter().map(|column| (column.name.clone(), column.kind.value_kind()));
        let declared = schema.defined_columns.iter().map(|column| (column.name.clone(), column.kind.0));
        Self { asked: asked.into_iter().collect(), key: key.collect(), declared: declared.collect() }
    }

    /// The type that all values of the column must have: the one typed, or that of the primary key.
    pub fn must(&self, column: &str) -> Option<ValueKind> {
        let of_key = || self.key.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind);
        self.asked.get(column).copied().or_else(of_key)
    }

    /// The type that the table declares for an attribute column. Its values may have others.
    pub fn declared(&self, column: &str) -> Option<ValueKind> {
        self.declared.get(column).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_from_its_text() {
        let doubles = [0.0, -0.0, 0.1, 1e300, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
        let values = [i64::MIN, -1, 0, i64::MAX].map(Value::Integer).into_iter();
        let values = values.chain(doubles.map(Value::Double)).chain([true, false].map(Value::Boolean));
        let values = values.chain(["", "null", "1", "a\"b,\n"].map(|text| Value::String(text.into())));
        let values = values.chain([Value::Binary(vec![0, 255, 10].into()), Value::Binary(Vec::new().into())]);
        for value in values {
            let text = to_text(value.as_ref());
            let back = from_text(value.kind(), &text).unwrap();
            assert_eq!(back, value, "{text}");
            assert_eq!(to_text(back.as_ref()), text, "also the sign of zero");
        }
        let nan = from_text(ValueKind::Double, &to_text(ValueRef::Double(f64::NAN))).unwrap();
        assert!(matches!(nan, Value::Double(value) if value.is_nan()));
    }

    #[test]
    fn a_value_becomes_another_type_only_if_nothing_is_lost() {
        let to = |value: Value, kind| convert(value, kind).map(|value| to_text(value.as_ref()));
        assert_eq!(to(Value::Integer(7), ValueKind::Double).as_deref(), Ok("7.0"));
        assert!(to(Value::Integer((1 << 53) + 1), ValueKind::Double).is_err());
        assert!(to(Value::Integer(i64::MAX), ValueKind::Double).is_err());
        assert_eq!(to(Value::Double(7.0), ValueKind::String).as_deref(), Ok("7.0"));
        assert!(to(Value::Double(7.0), ValueKind::Integer).is_err());
        assert_eq!(to(Value::Binary(vec![65].into()), ValueKind::String).as_deref(), Ok("A"));
        assert!(to(Value::Binary(vec![255].into()), ValueKind::String).is_err());
        assert_eq!(to(Value::String("true".into()), ValueKind::Boolean).as_deref(), Ok("true"));
    }

    #[test]
    fn a_text_of_another_type_is_refused_with_what_to_write() {
        let said = |kind, text| from_text(kind, text).unwrap_err();
        assert!(said(ValueKind::Integer, "9223372036854775808").contains("9223372036854775807"));
        assert!(said(ValueKind::Boolean, "yes").contains("true or false"));
        assert!(said(ValueKind::Binary, "*").contains("base64"));
        assert!(said(ValueKind::Double, &"é".repeat(100)).contains("é…"));
    }
}
