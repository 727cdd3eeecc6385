//! The columns of a file that has columns, CSV or Parquet: each holds values of one name and one type.
//!
//! A table's column may hold values of several types. It becomes as many columns of the file, of which each row
//! fills at most one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lakeferry_client::Row;
use lakeferry_model::{TableSchema, ValueKind, ValueRef};

use super::typed::kind_name;

/// Columns at most that a file is made with.
const COLUMNS_MAX: usize = 10_000;

/// The columns of a file to be written, in their order.
#[derive(Debug, Clone)]
pub struct Layout {
    columns: Vec<(String, ValueKind)>,
    places: HashMap<String, Vec<(ValueKind, usize)>>,
}

/// The names and types of a table's cells, as they are found.
#[derive(Debug, Default)]
pub struct Found {
    kinds: BTreeMap<String, BTreeSet<ValueKind>>,
}

impl Found {
    /// Looks at a row.
    ///
    /// # Errors
    /// There are too many columns for a file.
    pub fn look_at(&mut self, row: &Row) -> Result<(), String> {
        for cell in newest(row) {
            if let Some(kinds) = self.kinds.get_mut(&*cell.name) {
                kinds.insert(cell.value.kind());
            } else {
                self.kinds.insert(cell.name.to_string(), BTreeSet::from([cell.value.kind()]));
            }
        }
        if self.kinds.len() <= COLUMNS_MAX {
            Ok(())
        } else {
            Err(format!("the rows have more than {COLUMNS_MAX} columns"))
        }
    }
}

impl Layout {
    /// The key first, then these columns.
    pub fn new(schema: &TableSchema, columns: impl IntoIterator<Item = (String, ValueKind)>) -> Self {
        let key = schema.primary_key.iter().map(|column| (column.name.clone(), column.kind.value_kind()));
        let mut layout = Self { columns: Vec::new(), places: HashMap::new() };
        for (name, kind) in key.chain(columns) {
            layout.places.entry(name.clone()).or_default().push((kind, layout.columns.len()));
            layout.columns.push((name, kind));
        }
        layout
    }

    /// The key first, then the columns that were found: those that the table declares in its order, the others by
    /// name.
    pub fn of_found(schema: &TableSchema, mut found: Found) -> Self {
        let mut columns = Vec::new();
        for declared in &schema.defined_columns {
            let kinds = found.kinds.remove(&declared.name).unwrap_or_default();
            columns.extend(kinds.into_iter().map(|kind| (declared.name.clone(), kind)));
        }
        for (name, kinds) in found.kinds {
            columns.extend(kinds.into_iter().map(|kind| (name.clone(), kind)));
        }
        Self::new(schema, columns)
    }

    /// Names and types. A name comes more than once if its column has several types.
    pub fn columns(&self) -> &[(String, ValueKind)] {
        &self.columns
    }

    /// Whether the name has several columns.
    pub fn is_mixed(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|places| places.len() > 1)
    }

    /// The values of a row with the places of their columns.
    ///
    /// # Errors
    /// A cell has no column: it was written since the columns were looked for, or the types that were typed are
    /// not those of the table.
    pub fn values<'a>(&self, row: &'a Row) -> Result<Vec<(usize, ValueRef<'a>)>, String> {
        let key = row.key.columns().iter().map(|(name, value)| (&**name, value.as_ref()));
        let cells = newest(row).map(|cell| (&*cell.name, cell.value.as_ref()));
        key.chain(cells).map(|(name, value)| Ok((self.place(name, value.kind())?, value))).collect()
    }

    fn place(&self, name: &str, kind: ValueKind) -> Result<usize, String> {
        let places = self.places.get(name).into_iter().flatten();
        places.into_iter().find(|(of, _)| *of == kind).map(|(_, place)| *place).ok_or_else(|| {
            format!("the file has no column for `{name}` with a value of type {}", kind_name(kind))
        })
    }
}

/// The newest version of each column.
fn newest(row: &Row) -> impl Iterator<Item = &lakeferry_model::Cell> {
    let mut last = None;
    row.cells.iter().filter(move |cell| {
        let is_newest = last != Some(&cell.name);
        last = Some(&cell.name);
        is_newest
    })
}

#[cfg(test)]
mod tests {
    use lakeferry_client::Key;
    use lakeferry_model::{Cell, DefinedColumn, DefinedKind, KeyColumn, KeyKind, TableName, Value};

    use super::*;

    fn schema() -> TableSchema {
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn { name: "id".into(), kind: KeyKind::Integer, auto_increment: false }],
            defined_columns: vec![DefinedColumn { name: "z".into(), kind: DefinedKind(ValueKind::Double) }],
        }
    }

    fn row(cells: &[(&str, Value)]) -> Row {
        let cell = |(name, value): &(&str, Value)| Cell {
            name: (*name).into(),
            timestamp_ms: 1,
            value: value.clone(),
        };
        Row { key: Key::new("id", 1), cells: cells.iter().map(cell).collect() }
    }

    #[test]
    fn a_column_of_two_types_becomes_two_and_declared_ones_come_first() {
        let mut found = Found::default();
        let first = row(&[("a", Value::Integer(1)), ("z", Value::Double(1.5))]);
        let second = row(&[("a", Value::Boolean(true)), ("a", Value::Double(0.0))]);
        found.look_at(&first).unwrap();
        found.look_at(&second).unwrap();
        let layout = Layout::of_found(&schema(), found);
        let names: Vec<_> = layout.columns().iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let expected = [
            ("id", ValueKind::Integer),
            ("z", ValueKind::Double),
            ("a", ValueKind::Integer),
            ("a", ValueKind::Boolean),
        ];
        assert_eq!(names, expected);
        assert!(layout.is_mixed("a") && !layout.is_mixed("z"));
        let places = |row: &Row| layout.values(row).map(|values| values.iter().map(|(at, _)| *at).collect());
        assert_eq!(places(&first), Ok(vec![0, 2, 1]));
        assert_eq!(places(&second), Ok(vec![0, 3]), "only the newest version is written");
        let other: Result<Vec<usize>, _> = places(&row(&[("a", Value::String("x".into()))]));
        assert!(other.unwrap_err().contains("`a` with a value of type string"));
    }
}
