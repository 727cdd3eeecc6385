//! Writes of rows: puts, updates and deletes, what they depend on, and what they answer with.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{
    CellChange, ColumnCondition, ColumnUpdate, Condition, Returning, RowExistence, RowOperation,
};
use lakeferry_wire::convert::condition_message;
use lakeferry_wire::plain_buffer::encode;
use lakeferry_wire::proto;

use crate::row::{IntoValue, Key};

/// A row to put in the place of whatever is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Put(RowWrite);

/// Changes of single columns of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Update(RowWrite);

/// A row to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete(RowWrite);

/// Any of the three writes; batches mix them.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWrite {
    pub(crate) key: Key,
    pub(crate) operation: RowOperation,
    pub(crate) returning: Returning,
    condition: Condition,
}

macro_rules! conditions {
    ($($name:ident)*) => {$(
        impl $name {
            /// Fails with `OTSConditionCheckFail` unless the row is there.
            #[must_use]
            pub fn only_if_exists(mut self) -> Self {
                self.0.condition.existence = RowExistence::ExpectExist;
                self
            }

            /// Fails with `OTSConditionCheckFail` if the row is there.
            #[must_use]
            pub fn only_if_missing(mut self) -> Self {
                self.0.condition.existence = RowExistence::ExpectNotExist;
                self
            }

            /// Fails with `OTSConditionCheckFail` unless this holds of the row's columns. A row that is not there
            /// lacks every column.
            #[must_use]
            pub fn only_if(mut self, condition: impl Into<ColumnCondition>) -> Self {
                self.0.condition.columns = Some(condition.into());
                self
            }

            /// Answers with the row's primary key.
            #[must_use]
            pub fn returning_key(mut self) -> Self {
                self.0.returning = Returning::PrimaryKey;
                self
            }
        }

        impl From<$name> for RowWrite {
            fn from(write: $name) -> Self {
                write.0
            }
        }
    )*};
}

conditions! { Put Update Delete }

impl Put {
    /// A row with no columns yet but its key.
    pub fn new(key: Key) -> Self {
        Self(RowWrite::new(key, RowOperation::Put(Vec::new())))
    }

    /// Adds a column; the server picks its version.
    #[must_use]
    pub fn set(self, name: impl Into<ByteString>, value: impl IntoValue) -> Self {
        self.cell(name, ColumnUpdate::Put(value.into_value(), None))
    }

    /// Adds a version of a column, in milliseconds since the epoch.
    #[must_use]
    pub fn set_at(self, name: impl Into<ByteString>, value: impl IntoValue, timestamp_ms: i64) -> Self {
        self.cell(name, ColumnUpdate::Put(value.into_value(), Some(timestamp_ms)))
    }

    fn cell(mut self, name: impl Into<ByteString>, update: ColumnUpdate) -> Self {
        self.0.push(name.into(), update);
        self
    }
}

impl Update {
    /// No changes yet.
    pub fn new(key: Key) -> Self {
        Self(RowWrite::new(key, RowOperation::Update(Vec::new())))
    }

    /// Puts a new version of a column; the server picks which.
    #[must_use]
    pub fn set(self, name: impl Into<ByteString>, value: impl IntoValue) -> Self {
        self.cell(name, ColumnUpdate::Put(value.into_value(), None))
    }

    /// Puts a version of a column, in milliseconds since the epoch.
    #[must_use]
    pub fn set_at(self, name: impl Into<ByteString>, value: impl IntoValue, timestamp_ms: i64) -> Self {
        self.cell(name, ColumnUpdate::Put(value.into_value(), Some(timestamp_ms)))
    }

    /// Adds to a column's newest integer; a missing one counts as 0.
    #[must_use]
    pub fn increment(self, name: impl Into<ByteString>, by: i64) -> Self {
        self.cell(name, ColumnUpdate::Increment(by))
    }

    /// Removes all versions of a column.
    #[must_use]
    pub fn remove(self, name: impl Into<ByteString>) -> Self {
        self.cell(name, ColumnUpdate::DeleteAll)
    }

    /// Removes one version of a column.
    #[must_use]
    pub fn remove_version(self, name: impl Into<ByteString>, timestamp_ms: i64) -> Self {
        self.cell(name, ColumnUpdate::DeleteVersion(timestamp_ms))
    }

    /// Answers with the new values of these columns, each of which this update increments.
    #[must_use]
    pub fn returning<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.0.returning = Returning::AfterModify(columns.into_iter().map(Into::into).collect());
        self
    }

    fn cell(mut self, name: impl Into<ByteString>, update: ColumnUpdate) -> Self {
        self.0.push(name.into(), update);
        self
    }
}

impl Delete {
    /// The row of this key, whether it is there or not.
    pub fn new(key: Key) -> Self {
        Self(RowWrite::new(key, RowOperation::Delete))
    }
}

impl From<Key> for Delete {
    fn from(key: Key) -> Self {
        Self::new(key)
    }
}

impl RowWrite {
    fn new(key: Key, operation: RowOperation) -> Self {
        let condition = Condition::default();
        Self { key, operation, returning: Returning::Nothing, condition }
    }

    /// Its primary key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it does.
    pub fn operation(&self) -> &RowOperation {
        &self.operation
    }

    /// The size that a batch's limit of 4 MiB counts, in bytes: names and values, and 8 for each explicit
    /// timestamp.
    pub fn size(&self) -> usize {
        let key: usize = self.key.columns().iter().map(|(name, value)| name.len() + value.size()).sum();
        key + self.operation.cells().iter().map(cell_size).sum::<usize>()
    }

    fn push(&mut self, name: ByteString, update: ColumnUpdate) {
        match &mut self.operation {
            RowOperation::Put(cells)
            | RowOperation::Insert(cells)
            | RowOperation::Update(cells)
            | RowOperation::UpdateNew(cells) => cells.push(CellChange { name, update }),
            RowOperation::Delete => {}
        }
    }

    pub(crate) fn encode_row(&self) -> Bytes {
        match &self.operation {
            RowOperation::Put(cells) | RowOperation::Update(cells) if self.key.has_auto_increment() => {
                encode::insert(self.key.with_auto_increment(), cells)
            }
            operation => encode::change(self.key.borrowed(), operation),
        }
    }

    pub(crate) fn condition(&self) -> proto::Condition {
        condition_message(&self.condition)
    }

    pub(crate) fn operation_type(&self) -> proto::OperationType {
        match self.operation {
            RowOperation::Put(_) | RowOperation::Insert(_) => proto::OperationType::Put,
            RowOperation::Update(_) | RowOperation::UpdateNew(_) => proto::OperationType::Update,
            RowOperation::Delete => proto::OperationType::Delete,
        }
    }
}

fn cell_size(cell: &CellChange) -> usize {
    cell.name.len()
        + match &cell.update {
            ColumnUpdate::Put(value, timestamp) => value.size() + timestamp.map_or(0, |_| 8),
            ColumnUpdate::DeleteVersion(_) | ColumnUpdate::Increment(_) => 8,
            ColumnUpdate::DeleteAll => 0,
        }
}
