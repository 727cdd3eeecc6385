//! Keys and rows, as an application writes them down and reads them. What can be a value is in [`values`].

mod values;

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{Cell, Filter, KeyValue, Value, ValueRef};
use lakeferry_wire::convert::{TimeRange, filter_bytes};
use lakeferry_wire::plain_buffer::{WireKeyValue, WireRow, encode};

pub use values::{IntoKeyValue, IntoValue};

/// A primary key: column names and values, in the table's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    columns: Vec<(ByteString, KeyValue)>,
    /// The column that the server is to pick a value for, and how many columns come before it.
    auto_increment: Option<(usize, ByteString)>,
}

/// What of a row to read; by default all columns, the newest version of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub(crate) columns: Vec<String>,
    pub(crate) versions_max: Option<i32>,
    pub(crate) time_range: Option<TimeRange>,
    pub(crate) start_column: Option<String>,
    pub(crate) end_column: Option<String>,
    /// The filter as requests carry it.
    pub(crate) filter: Option<Bytes>,
}

/// A row as it was read: its cells by name, newest version first.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its primary key.
    pub key: Key,
    /// Its cells.
    pub cells: Vec<Cell>,
}

impl Key {
    /// A key that begins with this column, or consists of it.
    pub fn new(name: impl Into<ByteString>, value: impl IntoKeyValue) -> Self {
        Self { columns: vec![(name.into(), value.into_key_value())], auto_increment: None }
    }

    /// A key of these columns; at least one.
    pub fn from_columns(columns: Vec<(ByteString, KeyValue)>) -> Self {
        Self { columns, auto_increment: None }
    }

    /// The key with one more column.
    #[must_use]
    pub fn and(mut self, name: impl Into<ByteString>, value: impl IntoKeyValue) -> Self {
        self.columns.push((name.into(), value.into_key_value()));
        self
    }

    /// The key with one more column, whose value the server picks: for writes alone. Ask for it with
    /// [`Put::returning_key`]. A table has at most one such column.
    #[must_use]
    pub fn and_auto_increment(mut self, name: impl Into<ByteString>) -> Self {
        self.auto_increment = Some((self.columns.len(), name.into()));
        self
    }

    /// Names and values in the table's order, but for the one that the server is to pick.
    pub fn columns(&self) -> &[(ByteString, KeyValue)] {
        &self.columns
    }

    /// The value of a column.
    pub fn get(&self, name: &str) -> Option<&KeyValue> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }

    pub(crate) fn borrowed(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        self.columns.iter().map(|(name, value)| (&**name, value.as_ref()))
    }

    pub(crate) fn encode(&self) -> Bytes {
        encode::key(self.borrowed())
    }

    /// `None` if a column holds no value but a bound.
    pub(crate) fn from_wire(columns: Vec<(ByteString, WireKeyValue)>) -> Option<Self> {
        let columns = columns.into_iter().map(|(name, value)| match value {
            WireKeyValue::Value(value) => Some((name, value)),
            WireKeyValue::InfMin | WireKeyValue::InfMax | WireKeyValue::AutoIncrement => None,
        });
        Some(Self::from_columns(columns.collect::<Option<_>>()?))
    }

    pub(crate) fn has_auto_increment(&self) -> bool {
        self.auto_increment.is_some()
    }

    /// All columns, the one that the server is to pick without a value.
    pub(crate) fn with_auto_increment(&self) -> Vec<(&str, Option<ValueRef<'_>>)> {
        let mut columns: Vec<_> = self.borrowed().map(|(name, value)| (name, Some(value))).collect();
        if let Some((before, name)) = &self.auto_increment {
            columns.insert(*before, (name, None));
        }
        columns
    }
}

impl Default for Read {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            versions_max: Some(1),
            time_range: None,
            start_column: None,
            end_column: None,
            filter: None,
        }
    }
}

impl Read {
    /// Only these columns. A row that has none of them is not found.
    #[must_use]
    pub fn columns<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.columns = names.into_iter().map(Into::into).collect();
        self
    }

    /// So many of the newest versions of each column.
    #[must_use]
    pub fn versions(mut self, versions_max: u32) -> Self {
        self.versions_max = Some(i32::try_from(versions_max).unwrap_or(i32::MAX));
        self
    }

    /// Only versions of this time; one exact time leaves no number of versions to ask for.
    #[must_use]
    pub fn time(mut self, range: TimeRange) -> Self {
        if matches!(range, TimeRange::At(_)) {
            self.versions_max = None;
        }
        self.time_range = Some(range);
        self
    }

    /// Only rows that pass, and of them so many columns. A filter sees the columns that are read, no others.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter_bytes(&filter.into());
        self
    }

    /// Only columns from this name on, in the order of their bytes; the name itself included.
    #[must_use]
    pub fn from_column(mut self, name: impl Into<String>) -> Self {
        self.start_column = Some(name.into());
        self
    }

    /// Only columns before this name, in the order of their bytes.
    #[must_use]
    pub fn until_column(mut self, name: impl Into<String>) -> Self {
        self.end_column = Some(name.into());
        self
    }
}

impl Row {
    /// The newest value of a column that was read.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.cells.iter().find(|cell| cell.name == *name).map(|cell| &cell.value)
    }

    /// The same, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same, if it is an integer.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The same, if it is a double.
    pub fn double(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// The same, if it is a boolean.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The same, if it is binary.
    pub fn binary(&self, name: &str) -> Option<&Bytes> {
        match self.get(name)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Adds the cells of the row's next piece.
    pub(crate) fn append(&mut self, piece: Self) {
        self.cells.extend(piece.cells);
    }

    /// `None` if a cell is not one that a query answers: without a value or a timestamp.
    pub(crate) fn from_wire(row: WireRow) -> Option<Self> {
        let cells = row
            .cells
            .into_iter()
            .map(|cell| Some(Cell { name: cell.name, timestamp_ms: cell.timestamp_ms?, value: cell.value? }));
        Some(Self { key: Key::from_wire(row.key)?, cells: cells.collect::<Option<_>>()? })
    }
}
