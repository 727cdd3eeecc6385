//! Dirty fields: values that do not fit their columns, kept for somebody to look at.
//!
//! A cut with dirty fields has one dirty object: a line of JSON per field. Lines, because one column of values
//! holds all the types that a table has, and because they are read by people and by `grep` as well as by query
//! engines (`read_json('…/*.jsonl')`). All values are text, so nothing is lost to a reader's numbers: integers
//! in decimal, doubles in the shortest form that reads back the same, binaries in Base64.
//!
//! The same rows with the same schema give the same lines. An object's name holds the task's id, which nobody
//! else ever has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeferry_model::delivery::DirtyReason;
use lakeferry_model::{Micros, TaskName, ValueKind, ValueRef, Violation};
use serde::Serialize;

use crate::SERVICE_FOLDER;
use crate::prefix::Prefix;

/// Bytes of a value that are kept, before it is written as text.
pub const DIRTY_VALUE_BYTES_MAX: usize = 64 * 1024;

/// A dirty field, as its line tells it.
#[derive(Debug, Serialize)]
pub struct DirtyField<'a> {
    /// The task's name.
    pub task: &'a str,
    /// The task's id.
    pub task_id: u64,
    /// The row's primary key, column by column.
    pub primary_key: &'a [DirtyValue<'a>],
    /// The position of the change in its partition's log; of a scanned row, that of its last change.
    pub sequence: u64,
    /// When that change became durable, in microseconds since the epoch.
    pub commit_time: Micros,
    /// BASE, PUT, UPDATE or DELETE.
    pub operation: &'a str,
    /// Why the field is dirty.
    pub reason: DirtyReason,
    /// The column of the objects that has no value for it; absent for an event time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// The table's column and its value; no value if the row lacks the column.
    #[serde(flatten)]
    pub field: DirtyValue<'a>,
}

/// A column's name and value.
#[derive(Debug, Serialize)]
pub struct DirtyValue<'a> {
    /// The column in the table.
    pub column: &'a str,
    /// The value's type.
    #[serde(rename = "type")]
    pub kind: Option<ValueKind>,
    /// The value as text.
    pub value: Option<String>,
    /// Bytes of the whole value, if only its beginning is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_from_bytes: Option<usize>,
}

impl<'a> DirtyValue<'a> {
    /// A value, of which at most so many bytes are kept.
    pub fn new(column: &'a str, value: Option<ValueRef<'_>>, bytes_max: usize) -> Self {
        let (text, cut_from_bytes) = value.map_or((None, None), |value| {
            let (text, cut_from) = as_text(value, bytes_max);
            (Some(text), cut_from)
        });
        Self { column, kind: value.map(ValueRef::kind), value: text, cut_from_bytes }
    }
}

impl DirtyField<'_> {
    /// Appends the field's line.
    pub fn append_to(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, self).expect("a dirty field has only texts for keys");
        lines.push(b'\n');
    }
}

fn as_text(value: ValueRef<'_>, bytes_max: usize) -> (String, Option<usize>) {
    match value {
        ValueRef::Integer(integer) => (integer.to_string(), None),
        ValueRef::Double(double) => (double.to_string(), None),
        ValueRef::Boolean(boolean) => (boolean.to_string(), None),
        ValueRef::String(text) => {
            let mut kept = text.len().min(bytes_max);
            while !text.is_char_boundary(kept) {
                kept -= 1;
            }
            (text[..kept].to_owned(), (kept < text.len()).then_some(text.len()))
        }
        ValueRef::Binary(bytes) => {
            let kept = bytes.len().min(bytes_max);
            (BASE64.encode(&bytes[..kept]), (kept < bytes.len()).then_some(bytes.len()))
        }
    }
}

/// The name of a cut's dirty object, under the task's dirty prefix or under the service's own.
pub fn dirty_name(
    prefix: Option<&str>,
    (task, task_id): (&TaskName, u64),
    run: u32,
    lane: u32,
    cut: u64,
) -> String {
    let own = format!("{SERVICE_FOLDER}/dirty");
    let folder = prefix.map_or(own.as_str(), |prefix| prefix.trim_matches('/'));
    format!("{folder}/{task}-{task_id}/run-{run}/lane-{lane}/{cut:020}.jsonl")
}

/// Checks a folder that a task names for its dirty fields: fixed, and beside the data, so that whoever reads
/// all objects of the task meets nothing else.
///
/// # Errors
/// A parameter violation that says what is wrong.
pub fn check_dirty_prefix(dirty: &str, data: &Prefix) -> Result<(), Violation> {
    let parsed = Prefix::parse(dirty)?;
    let refused = |why: &str| Err(Violation::parameter(format!("Invalid dirty prefix: '{dirty}'. {why}")));
    if parsed.has_variables() {
        return refused("It has no variables.");
    }
    if data.may_hold(&parsed) {
        return refused("It must not lie where the task's data lies.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: Option<ValueRef<'_>>, bytes_max: usize) -> serde_json::Value {
        let key = [DirtyValue::new("id", Some(ValueRef::Integer(i64::MIN)), 64)];
        let field = DirtyField {
            task: "first",
            task_id: 7,
            primary_key: &key,
            sequence: 3,
            commit_time: 5,
            operation: "PUT",
            reason: DirtyReason::Type,
            target: Some("n64"),
            field: DirtyValue::new("n", value, bytes_max),
        };
        let mut lines = Vec::new();
        field.append_to(&mut lines);
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&lines).unwrap()
    }

    #[test]
    fn a_line_tells_all_of_a_field() {
        let expected = serde_json::json!({
            "task": "first", "task_id": 7, "sequence": 3, "commit_time": 5, "operation": "PUT",
            "primary_key": [{"column": "id", "type": "INTEGER", "value": "-9223372036854775808"}],
            "reason": "type", "target": "n64", "column": "n", "type": "STRING", "value": "two\nlines",
        });
        assert_eq!(line(Some(ValueRef::String("two\nlines")), 100), expected);
    }

    #[test]
    fn values_are_text_that_loses_nothing() {
        for (value, text) in [
            (ValueRef::Double(0.1), "0.1"),
            (ValueRef::Double(f64::NAN), "NaN"),
            (ValueRef::Boolean(true), "true"),
            (ValueRef::Binary(&[0, 255]), "AP8="),
        ] {
            assert_eq!(line(Some(value), 100)["value"], text);
        }
        assert_eq!(line(None, 100)["value"], serde_json::Value::Null);
    }

    #[test]
    fn a_long_value_is_cut_and_says_how_long_it_was() {
        let cut = line(Some(ValueRef::String("aé")), 2);
        assert_eq!((&cut["value"], &cut["cut_from_bytes"]), (&"a".into(), &3.into()));
        let cut = line(Some(ValueRef::Binary(&[1; 100])), 2);
        assert_eq!((&cut["value"], &cut["cut_from_bytes"]), (&"AQE=".into(), &100.into()));
    }

    #[test]
    fn names_lie_beside_manifests_unless_a_prefix_is_given() {
        let task = TaskName::parse("first").unwrap();
        let name = |prefix| dirty_name(prefix, (&task, 7), 2, 0, 13);
        assert_eq!(name(None), "_lakeferry/dirty/first-7/run-2/lane-0/00000000000000000013.jsonl");
        assert_eq!(name(Some("/bad/rows/")), "bad/rows/first-7/run-2/lane-0/00000000000000000013.jsonl");
    }

    #[test]
    fn a_dirty_prefix_lies_beside_the_data() {
        let check = |dirty, data| check_dirty_prefix(dirty, &Prefix::parse(data).unwrap()).is_ok();
        assert!(check("dirty", "p/$yyyy") && check("p2", "p") && check("p-1999", "p"));
        for (dirty, data) in [
            ("p", "p"),
            ("p/dirty", "p"),
            ("p/dirty", "p/year=$yyyy"),
            ("2020/x", "$yyyy"),
            ("$yyyy", "p"),
            ("_lakeferry/x", "p"),
            ("", "p"),
        ] {
            assert!(!check(dirty, data), "{dirty} {data}");
        }
    }
}
