//! A row as one line of JSON: the primary key's columns first, then the attributes by name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakeferry_client::Row;
use lakeferry_model::ValueRef;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Writes a row. Of a column's versions the newest is taken; binary values become `{"base64": "…"}`, and
/// doubles that JSON has no number for become text.
pub fn json_row(row: &Row) -> String {
    serde_json::to_string(&Line(row)).expect("a row can always be written as JSON")
}

struct Line<'a>(&'a Row);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.key.columns() {
            map.serialize_entry(&**name, &Shown(value.as_ref()))?;
        }
        let mut last = None;
        for cell in &self.0.cells {
            // Versions of a column stand together, the newest first.
            if last != Some(&cell.name) {
                map.serialize_entry(&*cell.name, &Shown(cell.value.as_ref()))?;
                last = Some(&cell.name);
            }
        }
        map.end()
    }
}

struct Shown<'a>(ValueRef<'a>);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Integer(value) => serializer.serialize_i64(value),
            ValueRef::Double(value) if value.is_finite() => serializer.serialize_f64(value),
            ValueRef::Double(value) => serializer.collect_str(&value),
            ValueRef::Boolean(value) => serializer.serialize_bool(value),
            ValueRef::String(value) => serializer.serialize_str(value),
            ValueRef::Binary(value) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(value))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lakeferry_client::Key;
    use lakeferry_model::{Cell, Value};

    use super::*;

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
            ],
        };
        assert_eq!(
            json_row(&row),
            r#"{"source":"z\n","ts":7,"a":1.5,"b":{"base64":"AP8="},"c":"NaN","d":true}"#
        );
    }
}
