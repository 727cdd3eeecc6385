//! Rows as JSON lines: one object a line, the primary key's columns first, then the attributes by name.
//!
//! | Value | JSON |
//! |---|---|
//! | STRING | `"text"` |
//! | BOOLEAN | `true`, `false` |
//! | INTEGER | `7`: a number without point and exponent |
//! | DOUBLE | `7.0`, `1e+300`: a number with one |
//! | BINARY | `{"base64": "AP8="}` |
//! | DOUBLE that JSON has no number for | `{"double": "NaN"}`, `"inf"`, `"-inf"` |
//! | no value | `null`, or no such name |
//!
//! A whole number in a column that the table declares DOUBLE is read as a double, as people write `7` for `7.0`. An
//! integer that does stand there is written as `{"integer": "7"}`, so that it comes back as one. Where a type was
//! asked for, a value becomes it if that loses nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use lakeferry_client::Row;
use lakeferry_model::{Value, ValueKind, ValueRef};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::typed::{Types, convert, from_text};

/// A row's columns, in the order of the file.
pub type Cells = Vec<(ByteString, Option<Value>)>;

/// Reads one line.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn read(line: &str, types: &Types) -> Result<Cells, String> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let entries = deserializer.deserialize_map(Entries).map_err(|error| told(&error))?;
    deserializer.end().map_err(|error| told(&error))?;
    let mut cells: Cells = Vec::with_capacity(entries.len());
    for (name, raw) in entries {
        if cells.iter().any(|(earlier, _)| *earlier == *name) {
            return Err(format!("column `{name}` comes twice"));
        }
        let value = value(raw.get(), &name, types).map_err(|why| format!("column `{name}`: {why}"))?;
        cells.push((name.into(), value));
    }
    Ok(cells)
}

/// Reads one value; nothing for a null.
fn value(json: &str, column: &str, types: &Types) -> Result<Option<Value>, String> {
    let asked = types.must(column);
    let natural = match json.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => {
            Value::String(serde_json::from_str::<String>(json).map_err(|error| told(&error))?.into())
        }
        Some(b't' | b'f') => Value::Boolean(json == "true"),
        Some(b'{') => marked(json)?,
        Some(b'[') => return Err("a list is no value of a table; write it as text, in quotes".to_owned()),
        _ if json.contains(['.', 'e', 'E']) => match from_text(ValueKind::Double, json)? {
            Value::Double(value) if value.is_infinite() => return Err(format!("`{json}` is out of range")),
            value => value,
        },
        _ => from_text(ValueKind::Integer, json)?,
    };
    let wished = asked.or(match (&natural, types.declared(column)) {
        (Value::Integer(_), Some(ValueKind::Double)) if !json.starts_with('{') => Some(ValueKind::Double),
        _ => None,
    });
    match wished {
        Some(kind) if kind != natural.kind() => convert(natural, kind).map(Some),
        _ => Ok(Some(natural)),
    }
}

/// A value that says its type: an object with one name.
fn marked(json: &str) -> Result<Value, String> {
    let refused = || {
        "an object is no value of a table, but for {\"base64\": \"…\"}, {\"integer\": \"…\"} and \
         {\"double\": \"…\"}; write it as text, in quotes"
            .to_owned()
    };
    let mut entries: Vec<(String, &RawValue)> =
        serde_json::Deserializer::from_str(json).deserialize_map(Entries).map_err(|error| told(&error))?;
    let (Some((name, raw)), true) = (entries.pop(), entries.is_empty()) else { return Err(refused()) };
    let text: String = serde_json::from_str(raw.get()).map_err(|_| refused())?;
    match name.as_str() {
        "base64" => from_text(ValueKind::Binary, &text),
        "integer" => from_text(ValueKind::Integer, &text),
        "double" => from_text(ValueKind::Double, &text),
        _ => Err(refused()),
    }
}

/// Writes a row. Of a column's versions the newest is taken.
pub fn write(row: &Row, types: &Types) -> String {
    serde_json::to_string(&Line { row, types }).expect("a row can always be written as JSON")
}

struct Line<'a> {
    row: &'a Row,
    types: &'a Types,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.row.key.columns() {
            map.serialize_entry(&**name, &Shown { value: value.as_ref(), mark_integer: false })?;
        }
        let mut last = None;
        for cell in &self.row.cells {
            // Versions of a column stand together, the newest first.
            if last != Some(&cell.name) {
                let mark_integer = self.types.declared(&cell.name) == Some(ValueKind::Double);
                map.serialize_entry(&*cell.name, &Shown { value: cell.value.as_ref(), mark_integer })?;
                last = Some(&cell.name);
            }
        }
        map.end()
    }
}

struct Shown<'a> {
    value: ValueRef<'a>,
    /// Whether a bare integer would be read as something else.
    mark_integer: bool,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mark, text) = match self.value {
            ValueRef::Integer(value) if !self.mark_integer => return serializer.serialize_i64(value),
            ValueRef::Double(value) if value.is_finite() => return serializer.serialize_f64(value),
            ValueRef::Boolean(value) => return serializer.serialize_bool(value),
            ValueRef::String(value) => return serializer.serialize_str(value),
            ValueRef::Integer(value) => ("integer", value.to_string()),
            ValueRef::Double(value) => ("double", value.to_string()),
            ValueRef::Binary(value) => ("base64", STANDARD.encode(value)),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(mark, &text)?;
        map.end()
    }
}

/// Takes the names and the bare texts of an object's values, in their order, doubles of names included.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a name for each column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// What the JSON library says, without the place: it counts lines within the one line that it was given.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("{}, at column {}", &text[..end], error.column())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lakeferry_client::Key;
    use lakeferry_model::{Cell, DefinedColumn, DefinedKind, KeyColumn, KeyKind, TableName, TableSchema};

    use super::*;

    fn types(asked: &[(&str, ValueKind)]) -> Types {
        let schema = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn { name: "id".into(), kind: KeyKind::Binary, auto_increment: false }],
            defined_columns: vec![DefinedColumn {
                name: "price".into(),
                kind: DefinedKind(ValueKind::Double),
            }],
        };
        Types::new(&schema, asked.iter().map(|(name, kind)| ((*name).to_owned(), *kind)))
    }

    fn one(json: &str, asked: &[(&str, ValueKind)]) -> Result<Option<Value>, String> {
        read(json, &types(asked)).map(|mut cells| cells.pop().unwrap().1)
    }

    #[test]
    fn a_row_is_one_line_with_its_key_first_and_the_newest_of_each_column() {
        let cell = |name: &str, value| Cell { name: name.into(), timestamp_ms: 0, value };
        let row = Row {
            key: Key::new("source", "z\n").and("ts", 7),
            cells: vec![
                cell("a", Value::Double(1.5)),
                cell("a", Value::Double(0.5)),
                cell("b", Value::Binary(Bytes::from_static(&[0, 255]))),
                cell("c", Value::Double(f64::NAN)),
                cell("d", Value::Boolean(true)),
                cell("price", Value::Integer(3)),
            ],
        };
        let line = write(&row, &types(&[]));
        let expected = r#"{"source":"z\n","ts":7,"a":1.5,"b":{"base64":"AP8="},"c":{"double":"NaN"},"#;
        assert_eq!(line, format!("{expected}{}", r#""d":true,"price":{"integer":"3"}}"#));
    }

    #[test]
    fn every_value_comes_back_as_it_was() {
        let doubles = [0.0, -0.0, 0.1, 5.0, 1e300, -2.5e-308, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
        let mut values: Vec<Value> = doubles.map(Value::Double).into();
        values.extend([i64::MIN, i64::MAX, 0, 9_007_199_254_740_993].map(Value::Integer));
        values.extend([true, false].map(Value::Boolean));
        values.extend(["", "NaN", "7", "null", "é\u{1F980}\0\"\\\n"].map(|text| Value::String(text.into())));
        values.extend([Value::Binary(Bytes::new()), Value::Binary(vec![0, 159, 146, 150].into())]);
        for value in values {
            for column in ["v", "price"] {
                let cell = Cell { name: column.into(), timestamp_ms: 1, value: value.clone() };
                let row = Row { key: Key::new("id", vec![0_u8, 255]), cells: vec![cell] };
                let line = write(&row, &types(&[]));
                let cells = read(&line, &types(&[])).unwrap();
                assert_eq!(cells[0].1, Some(Value::Binary(vec![0, 255].into())));
                assert_eq!(cells[1].1.as_ref(), Some(&value), "{line}");
            }
        }
    }

    #[test]
    fn the_sign_of_zero_and_nan_survive() {
        let Ok(Some(Value::Double(zero))) = one(r#"{"v":-0.0}"#, &[]) else { panic!() };
        assert!(zero == 0.0 && zero.is_sign_negative());
        let Ok(Some(Value::Double(nan))) = one(r#"{"v":{"double":"NaN"}}"#, &[]) else { panic!() };
        assert!(nan.is_nan());
    }

    #[test]
    fn a_whole_number_is_a_double_where_one_is_declared_or_asked_for() {
        assert_eq!(one(r#"{"price":7}"#, &[]), Ok(Some(Value::Double(7.0))));
        assert_eq!(one(r#"{"v":7}"#, &[]), Ok(Some(Value::Integer(7))));
        assert_eq!(one(r#"{"v":7}"#, &[("v", ValueKind::Double)]), Ok(Some(Value::Double(7.0))));
        assert!(one(r#"{"price":9007199254740993}"#, &[]).unwrap_err().contains("too many digits"));
        assert!(one(r#"{"price":9223372036854775807}"#, &[]).is_err());
    }

    #[test]
    fn text_is_read_as_the_type_that_was_asked_for() {
        let read = |json: &str, kind| one(json, &[("v", kind)]);
        assert_eq!(
            read(r#"{"v":"9223372036854775807"}"#, ValueKind::Integer),
            Ok(Some(Value::Integer(i64::MAX)))
        );
        assert_eq!(read(r#"{"v":"AP8="}"#, ValueKind::Binary), Ok(Some(Value::Binary(vec![0, 255].into()))));
        assert!(read(r#"{"v":true}"#, ValueKind::Integer).unwrap_err().contains("`v`"));
        assert_eq!(one(r#"{"id":"AP8="}"#, &[]), Ok(Some(Value::Binary(vec![0, 255].into()))));
        assert_eq!(read(r#"{"v":null}"#, ValueKind::Integer), Ok(None));
    }

    #[test]
    fn what_no_table_can_hold_is_refused_with_what_to_write() {
        for (json, told) in [
            (r#"{"v":[1]}"#, "in quotes"),
            (r#"{"v":{"a":1}}"#, "in quotes"),
            (r#"{"v":9223372036854775808}"#, "9223372036854775807"),
            (r#"{"v":1e999}"#, "out of range"),
            (r#"{"v":1,"v":2}"#, "twice"),
            (r#"{"v":1"#, "at column 6"),
            (r#"[1]"#, "an object with a name for each column"),
            (r#"{"v":1} {"v":2}"#, "trailing"),
        ] {
            let said = read(json, &types(&[])).unwrap_err();
            assert!(said.contains(told), "{json}: {said}");
        }
    }
}
