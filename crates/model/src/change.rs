//! Changes of rows as their writers ask for them.

use std::collections::HashSet;

use bytestring::ByteString;

use crate::filter::ColumnCondition;
use crate::key::PrimaryKey;
use crate::limits;
use crate::name::check_column_name;
use crate::schema::check_key_column_count;
use crate::value::{Value, ValueRef};
use crate::violation::Violation;

/// What a writer wants done to one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange {
    /// Which row.
    pub primary_key: PrimaryKey,
    /// What to do to it.
    pub operation: RowOperation,
    /// What must hold for it to be done.
    pub condition: Condition,
    /// What to answer with.
    pub returning: Returning,
}

/// The operations on a row.
#[derive(Debug, Clone, PartialEq)]
pub enum RowOperation {
    /// Replaces the whole row by these cells. Of two for one column and timestamp, the last stays.
    Put(Vec<CellChange>),
    /// Puts these cells as a new row under a key that the store completes: it picks the value of the table's
    /// auto-increment column. What the change's primary key holds there counts for nothing.
    Insert(Vec<CellChange>),
    /// Changes columns of a new row under a key that the store completes. The row is made if anything is put into it.
    UpdateNew(Vec<CellChange>),
    /// Changes single columns, in this order. A row that is missing is made if anything is put into it.
    Update(Vec<CellChange>),
    /// Removes the row, if there is one.
    Delete,
}

/// What to do to one column.
#[derive(Debug, Clone, PartialEq)]
pub struct CellChange {
    /// The column.
    pub name: ByteString,
    /// What to do to it.
    pub update: ColumnUpdate,
}

/// The four operations on a column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnUpdate {
    /// Adds a version; without a timestamp the server picks it. In milliseconds since the epoch.
    Put(Value, Option<i64>),
    /// Removes the version with this timestamp, if there is one.
    DeleteVersion(i64),
    /// Removes all versions.
    DeleteAll,
    /// Adds to the newest version's integer, a missing one counting as 0, and puts the sum as a new version.
    Increment(i64),
}

/// What must hold of the row before it is changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    /// Whether the row must be there.
    pub existence: RowExistence,
    /// What its columns must be like. Of a row that is not there, every column is missing.
    pub columns: Option<ColumnCondition>,
}

/// Whether a row must be there to be changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowExistence {
    /// It may be there or not.
    #[default]
    Ignore,
    /// It must be there.
    ExpectExist,
    /// It must not be there.
    ExpectNotExist,
}

/// What a write answers with beside its success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Returning {
    /// Nothing.
    #[default]
    Nothing,
    /// The row's primary key.
    PrimaryKey,
    /// The primary key, and the new values of these columns, each incremented by this change.
    AfterModify(Vec<String>),
}

impl Condition {
    /// Whether anything must hold, so that the row has to be read.
    pub fn is_any(&self) -> bool {
        self.existence != RowExistence::Ignore || self.columns.is_some()
    }
}

impl Returning {
    /// Checks that each column to return is incremented, and named once.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, operation: &RowOperation) -> Result<(), Violation> {
        let Self::AfterModify(names) = self else { return Ok(()) };
        let cells = operation.cells();
        // Names that nobody has counted are not even looked for.
        if names.len() > cells.len() {
            return Err(Violation::parameter("More columns are to be returned than the row is given."));
        }
        let increments = cells.iter().filter(|cell| matches!(cell.update, ColumnUpdate::Increment(_)));
        let incremented: HashSet<&str> = increments.map(|cell| &*cell.name).collect();
        let mut seen = HashSet::with_capacity(names.len());
        for name in names {
            if !incremented.contains(name.as_str()) {
                return Err(Violation::parameter(format!(
                    "Column '{name}' cannot be returned after its change, because it is not incremented."
                )));
            }
            if !seen.insert(name) {
                return Err(Violation::parameter(format!("Column '{name}' is to be returned twice.")));
            }
        }
        Ok(())
    }
}

impl From<RowExistence> for Condition {
    fn from(existence: RowExistence) -> Self {
        Self { existence, columns: None }
    }
}

impl RowChange {
    /// Checks the rules that need no table: counts, names, sizes, timestamps, what is to be returned.
    ///
    /// `key_names` are the primary key's column names as the request gave them.
    ///
    /// # Errors
    /// The first broken rule, with the protocol's text.
    pub fn check(&self, key_names: &[impl AsRef<str>]) -> Result<(), Violation> {
        check_key_column_count(self.primary_key.values().len())?;
        for (name, value) in key_names.iter().zip(self.primary_key.values()) {
            check_key_value(name.as_ref(), value.as_ref())?;
        }
        let cells = self.operation.cells();
        check_written_column_count(cells.len())?;
        cells.iter().try_for_each(CellChange::check)?;
        self.returning.check(&self.operation)
    }

    /// The size that the limit of a batch counts: names and values, and 8 per explicit timestamp, in bytes.
    pub fn size(&self, key_names: &[impl AsRef<str>]) -> usize {
        let key_names: usize = key_names.iter().map(|name| name.as_ref().len()).sum();
        let cells: usize = self.operation.cells().iter().map(CellChange::size).sum();
        key_names + self.primary_key.size() + cells
    }
}

impl RowOperation {
    /// Whether the store is to complete the key.
    pub fn picks_key(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::UpdateNew(_))
    }

    /// The changes of columns; none for a delete.
    pub fn cells(&self) -> &[CellChange] {
        match self {
            Self::Put(cells) | Self::Insert(cells) | Self::Update(cells) | Self::UpdateNew(cells) => cells,
            Self::Delete => &[],
        }
    }
}

impl CellChange {
    fn check(&self) -> Result<(), Violation> {
        check_column_name(&self.name)?;
        let timestamp = match &self.update {
            ColumnUpdate::Put(value, timestamp) => {
                check_value(&self.name, value.as_ref())?;
                *timestamp
            }
            ColumnUpdate::DeleteVersion(timestamp) => Some(*timestamp),
            ColumnUpdate::DeleteAll | ColumnUpdate::Increment(_) => None,
        };
        match timestamp {
            Some(ms) if !(0..limits::TIMESTAMP_MS_END).contains(&ms) => {
                Err(Violation::parameter("Timestamp must be in range [0, INT64_MAX/1000)."))
            }
            _ => Ok(()),
        }
    }

    fn size(&self) -> usize {
        self.name.len()
            + match &self.update {
                ColumnUpdate::Put(value, timestamp) => value.size() + timestamp.map_or(0, |_| 8),
                ColumnUpdate::DeleteVersion(_) | ColumnUpdate::Increment(_) => 8,
                ColumnUpdate::DeleteAll => 0,
            }
    }
}

/// Checks how many attribute columns a written row has.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_written_column_count(count: usize) -> Result<(), Violation> {
    if count <= limits::WRITTEN_COLUMNS_MAX {
        return Ok(());
    }
    Err(Violation::parameter(format!(
        "The number of attribute columns exceeds the limit, limit count: {}, column count: {count}.",
        limits::WRITTEN_COLUMNS_MAX
    )))
}

/// Checks the length of a primary key value.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_key_value(name: &str, value: ValueRef<'_>) -> Result<(), Violation> {
    let length = match value {
        ValueRef::String(text) => text.len(),
        ValueRef::Binary(bytes) => bytes.len(),
        ValueRef::Integer(_) | ValueRef::Double(_) | ValueRef::Boolean(_) => return Ok(()),
    };
    if length <= limits::KEY_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Violation::parameter(format!(
        "The length of primary key column: '{name}' exceeds the MaxLength:{} with CurrentLength:{length}.",
        limits::KEY_VALUE_BYTES_MAX
    )))
}

/// Checks the length of an attribute value.
pub(crate) fn check_value(name: &str, value: ValueRef<'_>) -> Result<(), Violation> {
    let length = match value {
        ValueRef::String(text) => text.len(),
        ValueRef::Binary(bytes) => bytes.len(),
        ValueRef::Integer(_) | ValueRef::Double(_) | ValueRef::Boolean(_) => return Ok(()),
    };
    if length <= limits::VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(Violation::parameter(format!(
        "The length of attribute column: '{name}' exceeds the MaxLength:{} with CurrentLength:{length}.",
        limits::VALUE_BYTES_MAX
    )))
}
