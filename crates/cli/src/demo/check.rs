//! Whether the lake says what the table says.
//!
//! 1. Of each primary key, the change with the greatest `$sequence` decides: the row as it stands there, or
//!    none after a delete. No change may be there twice.
//! 2. The rows that come out are held against the table's, every column of each.
//!
//! Nothing here knows where the changes and rows come from.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lakeferry_client::Row;
use lakeferry_model::{PrimaryKey, Value, ValueRef};

/// A row's attribute columns.
pub type Columns = BTreeMap<String, Value>;

/// Rows by their primary key.
pub type State = BTreeMap<PrimaryKey, Columns>;

/// One delivered row: a change of a table's row, or in the full phase the row as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    pub key: PrimaryKey,
    pub operation: Operation,
    pub sequence: i64,
    pub columns: Columns,
}

/// What a delivered row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A row of the full phase.
    Base,
    /// A row written or changed.
    Write,
    /// A row deleted.
    Delete,
}

/// A way in which the lake is not as the table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Difference {
    /// One change was delivered more than once.
    #[error("the change {sequence} of row {} is in the lake more than once", shown(key))]
    Twice { key: PrimaryKey, sequence: i64 },
    /// The table has a row that the lake does not have.
    #[error("row {} is in the table and not in the lake", shown(key))]
    NotInLake { key: PrimaryKey },
    /// The lake has a row that the table does not have.
    #[error("row {} is in the lake and not in the table", shown(key))]
    NotInTable { key: PrimaryKey },
    /// A column's values differ.
    #[error("{0}")]
    Column(Box<ColumnDifference>),
}

/// A column of a row whose values differ.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDifference {
    key: PrimaryKey,
    column: String,
    table: Option<Value>,
    lake: Option<Value>,
}

impl fmt::Display for ColumnDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, lake) = (shown_value(self.table.as_ref()), shown_value(self.lake.as_ref()));
        write!(
            f,
            "column {} of row {} is {table} in the table and {lake} in the lake",
            self.column,
            shown(&self.key)
        )
    }
}

/// The rows as the delivered changes leave them, in whatever order they come.
pub fn rebuild(delivered: impl IntoIterator<Item = Delivered>) -> Result<State, Difference> {
    let mut newest: BTreeMap<PrimaryKey, Delivered> = BTreeMap::new();
    let mut seen: BTreeSet<(PrimaryKey, i64)> = BTreeSet::new();
    for row in delivered {
        let (key, sequence) = (row.key.clone(), row.sequence);
        if !seen.insert((key.clone(), sequence)) {
            return Err(Difference::Twice { key, sequence });
        }
        match newest.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(mut entry) if entry.get().sequence < sequence => {
                entry.insert(row);
            }
            Entry::Occupied(_) => {}
        }
    }
    let standing = newest.into_iter().filter(|(_, row)| row.operation != Operation::Delete);
    Ok(standing.map(|(key, row)| (key, row.columns)).collect())
}

/// A row as the table tells it, with the newest version of each column.
pub fn row_of_table(row: Row) -> (PrimaryKey, Columns) {
    let key = PrimaryKey::new(row.key.columns().iter().map(|(_, value)| value.clone()).collect());
    let mut columns = Columns::new();
    for cell in row.cells {
        // The newest version comes first, and stays.
        columns.entry(cell.name.to_string()).or_insert(cell.value);
    }
    (key, columns)
}

/// Every way in which the two differ, in the order of the keys.
pub fn differences(table: &State, lake: &State) -> Vec<Difference> {
    let keys: BTreeSet<_> = table.keys().chain(lake.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        match (table.get(key), lake.get(key)) {
            (Some(table), Some(lake)) => add_columns(&mut found, key, table, lake),
            (Some(_), None) => found.push(Difference::NotInLake { key: key.clone() }),
            (None, _) => found.push(Difference::NotInTable { key: key.clone() }),
        }
    }
    found
}

fn add_columns(found: &mut Vec<Difference>, key: &PrimaryKey, table: &Columns, lake: &Columns) {
    let names: BTreeSet<_> = table.keys().chain(lake.keys()).collect();
    for name in names {
        let (table, lake) = (table.get(name), lake.get(name));
        if !equal(table, lake) {
            let (key, column) = (key.clone(), name.clone());
            let (table, lake) = (table.cloned(), lake.cloned());
            found.push(Difference::Column(Box::new(ColumnDifference { key, column, table, lake })));
        }
    }
}

/// Equal to the bit: a double that is no number equals itself.
fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Double(a)), Some(Value::Double(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// The names of all attribute columns.
pub fn column_names(state: &State) -> BTreeSet<&str> {
    state.values().flat_map(Columns::keys).map(String::as_str).collect()
}

fn shown(key: &PrimaryKey) -> String {
    let values: Vec<_> = key.values().iter().map(|value| shown_ref(value.as_ref())).collect();
    format!("({})", values.join(", "))
}

fn shown_value(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), |value| shown_ref(value.as_ref()))
}

fn shown_ref(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Double(value) => format!("{value:?}"),
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::String(value) => format!("{value:?}"),
        ValueRef::Binary(value) => format!("{} bytes", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_client::Key;
    use lakeferry_model::{Cell, KeyValue};

    use super::*;

    fn key(name: &str) -> PrimaryKey {
        PrimaryKey::new(vec![KeyValue::String(name.into())])
    }

    fn columns(columns: &[(&str, i64)]) -> Columns {
        columns.iter().map(|(name, value)| ((*name).to_owned(), Value::Integer(*value))).collect()
    }

    fn delivered(name: &str, operation: Operation, sequence: i64, of: &[(&str, i64)]) -> Delivered {
        Delivered { key: key(name), operation, sequence, columns: columns(of) }
    }

    fn told(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_greatest_sequence_decides_in_whatever_order_the_changes_come() {
        let mut changes = vec![
            delivered("a", Operation::Base, 3, &[("x", 1), ("y", 1)]),
            delivered("a", Operation::Write, 7, &[("x", 2)]),
            delivered("b", Operation::Write, 4, &[("x", 1)]),
            delivered("b", Operation::Delete, 9, &[]),
            delivered("c", Operation::Delete, 5, &[]),
            delivered("c", Operation::Write, 6, &[("x", 3)]),
        ];
        let expected = State::from([(key("a"), columns(&[("x", 2)])), (key("c"), columns(&[("x", 3)]))]);
        assert_eq!(rebuild(changes.clone()), Ok(expected.clone()));
        changes.reverse();
        assert_eq!(rebuild(changes), Ok(expected));
    }

    #[test]
    fn a_change_delivered_twice_is_found_even_if_it_changes_nothing() {
        let change = delivered("a", Operation::Write, 7, &[("x", 2)]);
        let newer = delivered("a", Operation::Write, 8, &[("x", 3)]);
        let difference = rebuild([change.clone(), newer, change]).unwrap_err();
        assert_eq!(difference, Difference::Twice { key: key("a"), sequence: 7 });
    }

    #[test]
    fn rows_and_columns_that_differ_are_named() {
        let table = State::from([
            (key("a"), columns(&[("x", 1), ("y", 2)])),
            (key("b"), columns(&[])),
            (key("d"), columns(&[("x", 1)])),
        ]);
        let lake = State::from([
            (key("a"), columns(&[("x", 9), ("z", 3)])),
            (key("c"), columns(&[])),
            (key("d"), columns(&[("x", 1)])),
        ]);
        assert_eq!(
            told(&differences(&table, &lake)),
            [
                "column x of row (\"a\") is 1 in the table and 9 in the lake",
                "column y of row (\"a\") is 2 in the table and missing in the lake",
                "column z of row (\"a\") is missing in the table and 3 in the lake",
                "row (\"b\") is in the table and not in the lake",
                "row (\"c\") is in the lake and not in the table",
            ]
        );
        assert!(differences(&table, &table).is_empty());
    }

    #[test]
    fn doubles_are_held_against_each_other_to_the_bit() {
        let state =
            |value| State::from([(key("a"), Columns::from([("x".to_owned(), Value::Double(value))]))]);
        assert!(differences(&state(f64::NAN), &state(f64::NAN)).is_empty());
        assert_eq!(differences(&state(0.0), &state(-0.0)).len(), 1);
    }

    #[test]
    fn of_a_columns_versions_the_newest_counts() {
        let cell =
            |timestamp_ms, value| Cell { name: "x".into(), timestamp_ms, value: Value::Integer(value) };
        let row = Row { key: Key::new("id", "a"), cells: vec![cell(9, 2), cell(8, 1)] };
        assert_eq!(row_of_table(row), (key("a"), columns(&[("x", 2)])));
    }
}
