//! What a table is: its primary key, its options, its stream.

use crate::key::{KeyBound, KeyRange, PrimaryKey};
use crate::limits;
use crate::name::{TableName, check_column_name};
use crate::value::{KeyValue, ValueKind};
use crate::violation::Violation;
use serde::{Deserialize, Serialize};

/// The type of a primary key column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyKind {
    /// A 64-bit signed integer.
    Integer,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Binary,
}

impl KeyKind {
    /// The same type among the types of all values.
    pub fn value_kind(self) -> ValueKind {
        match self {
            Self::Integer => ValueKind::Integer,
            Self::String => ValueKind::String,
            Self::Binary => ValueKind::Binary,
        }
    }
}

/// A primary key column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub kind: KeyKind,
    /// Whether the server picks the value of a new row.
    #[serde(default)]
    pub auto_increment: bool,
}

/// The type of a defined column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DefinedKind(pub ValueKind);

/// An attribute column that the table's maker declared. Declaring binds indexes and the automatic schema of
/// delivery; any row may still hold other columns, and other types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinedColumn {
    /// The column's name.
    pub name: String,
    /// Its declared type.
    pub kind: DefinedKind,
}

/// What is fixed when a table is made, its defined columns aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The table's name.
    pub name: TableName,
    /// 1 to 4 primary key columns.
    pub primary_key: Vec<KeyColumn>,
    /// Declared attribute columns.
    pub defined_columns: Vec<DefinedColumn>,
}

/// A table's options. Changed by UpdateTable, applied on read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOptions {
    /// Seconds that a cell lives from its timestamp on; `None` is for ever (-1 on the wire).
    pub time_to_live_s: Option<u32>,
    /// Versions kept of a column.
    pub versions_max: u32,
    /// Seconds that an explicit timestamp may lie away from the server's time.
    pub deviation_s: i64,
    /// Whether UpdateRow is allowed.
    pub allow_update: bool,
    /// Whether UpdateRow writes the columns that it does not name again, so that a row lives and expires as one.
    /// Fixed when the table is made.
    #[serde(default)]
    pub update_full_row: bool,
    /// Whether local transactions are allowed. Fixed when the table is made.
    #[serde(default = "allowed")]
    pub local_transactions: bool,
}

impl TableOptions {
    /// Below this timestamp cells have expired at `now_ms`, both in milliseconds since the epoch; `None` if they live
    /// for ever.
    pub fn expired_below_ms(&self, now_ms: i64) -> Option<i64> {
        self.time_to_live_s.map(|seconds| now_ms.saturating_sub(i64::from(seconds) * 1000))
    }
}

/// Tables of before the option allow what those allow that do not name it.
fn allowed() -> bool {
    true
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            time_to_live_s: None,
            versions_max: 1,
            deviation_s: 86_400,
            allow_update: true,
            update_full_row: false,
            local_transactions: allowed(),
        }
    }
}

/// Capacity units set aside. Told back to whoever asks; nothing is throttled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedThroughput {
    /// Read capacity units.
    pub read: i32,
    /// Write capacity units.
    pub write: i32,
}

/// A stream as its table's owner asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Hours that a record stays readable.
    pub expiration_hours: i32,
    /// Columns whose values before a change go into the change's record.
    pub origin_columns: Vec<String>,
}

impl TableSchema {
    /// Checks the rules that CreateTable enforces on a schema.
    ///
    /// # Errors
    /// The first broken rule, with the protocol's text.
    pub fn check(&self) -> Result<(), Violation> {
        check_key_column_count(self.primary_key.len())?;
        for (at, column) in self.primary_key.iter().enumerate() {
            check_column_name(&column.name)?;
            if self.primary_key[..at].iter().any(|earlier| earlier.name == column.name) {
                return Err(Violation::parameter(format!("Duplicated primary key name: '{}'.", column.name)));
            }
        }
        self.check_auto_increment()?;
        if self.defined_columns.len() > limits::DEFINED_COLUMNS_MAX {
            return Err(Violation::parameter("The number of defined columns must be in range: [0, 32]."));
        }
        for (at, column) in self.defined_columns.iter().enumerate() {
            check_column_name(&column.name)?;
            let name_taken = self.defined_columns[..at].iter().any(|earlier| earlier.name == column.name)
                || self.primary_key.iter().any(|key| key.name == column.name);
            if name_taken {
                return Err(Violation::parameter(format!("Duplicated column name: '{}'.", column.name)));
            }
        }
        Ok(())
    }

    /// Checks names and types of a key that came with its column names, and takes its values.
    ///
    /// # Errors
    /// The first primary key rule broken: size, then name, then type, column by column in schema order.
    pub fn key(&self, columns: Vec<(impl AsRef<str>, KeyValue)>) -> Result<PrimaryKey, Violation> {
        self.check_key_size(columns.len())?;
        for ((name, value), meta) in columns.iter().zip(&self.primary_key) {
            meta.check(name.as_ref(), Some(value.as_ref().kind()))?;
        }
        Ok(PrimaryKey::new(columns.into_iter().map(|(_, value)| value).collect()))
    }

    /// Checks the bounds of a range, which came with their column names, and their order.
    ///
    /// # Errors
    /// The first broken rule: primary key rules of either bound, then the order of the two.
    pub fn range(
        &self,
        start: Vec<(impl AsRef<str>, KeyBound)>,
        end: Vec<(impl AsRef<str>, KeyBound)>,
        backward: bool,
    ) -> Result<KeyRange, Violation> {
        let start = self.bound(start)?;
        let end = self.bound(end)?;
        match (backward, start.cmp(&end)) {
            (false, std::cmp::Ordering::Less) | (true, std::cmp::Ordering::Greater) => {
                Ok(KeyRange { start, end, backward })
            }
            (false, _) => Err(Violation::parameter("Begin key must less than end key in FORWARD")),
            (true, _) => Err(Violation::parameter("Begin key must more than end key in BACKWARD")),
        }
    }

    fn bound(&self, columns: Vec<(impl AsRef<str>, KeyBound)>) -> Result<Vec<KeyBound>, Violation> {
        self.check_key_size(columns.len())?;
        for ((name, bound), meta) in columns.iter().zip(&self.primary_key) {
            let kind = match bound {
                KeyBound::Value(value) => Some(value.as_ref().kind()),
                KeyBound::InfMin | KeyBound::InfMax => None,
            };
            meta.check(name.as_ref(), kind)?;
        }
        Ok(columns.into_iter().map(|(_, bound)| bound).collect())
    }

    /// The place of the auto-increment column in the primary key, if there is one.
    pub fn auto_increment(&self) -> Option<usize> {
        self.primary_key.iter().position(|column| column.auto_increment)
    }

    /// The server picks the values of one column at most, of an integer column that is not the partition key.
    fn check_auto_increment(&self) -> Result<(), Violation> {
        let Some(at) = self.auto_increment() else { return Ok(()) };
        let column = &self.primary_key[at];
        let message = if at == 0 {
            format!("The first primary key column '{}' cannot be AUTO_INCREMENT.", column.name)
        } else if column.kind != KeyKind::Integer {
            format!("The AUTO_INCREMENT primary key column '{}' must be INTEGER.", column.name)
        } else if self.primary_key[at + 1..].iter().any(|column| column.auto_increment) {
            "At most one primary key column can be AUTO_INCREMENT.".to_owned()
        } else {
            return Ok(());
        };
        Err(Violation::parameter(message))
    }

    /// Checks a partition key that came with its column's name: the first primary key column alone.
    ///
    /// # Errors
    /// The first rule broken: the number of columns, then the name, then the type.
    pub fn partition_key(&self, columns: Vec<(impl AsRef<str>, KeyValue)>) -> Result<KeyValue, Violation> {
        let one = || Violation::parameter("StartLocalTransaction support only one primary key.");
        let [(name, value)] = <[_; 1]>::try_from(columns).map_err(|_| one())?;
        self.primary_key.first().ok_or_else(one)?.check(name.as_ref(), Some(value.as_ref().kind()))?;
        Ok(value)
    }

    fn check_key_size(&self, count: usize) -> Result<(), Violation> {
        if count == self.primary_key.len() {
            return Ok(());
        }
        // Only the keys of indexes are longer than a table's can be.
        check_index_key_column_count(count)?;
        if self.primary_key.len() <= limits::KEY_COLUMNS_MAX {
            check_key_column_count(count)?;
        }
        let expected = self.primary_key.len();
        Err(Violation::primary_key(format!("Validate PK size fail. Input: {count}, Meta: {expected}.")))
    }

    /// Summed size of the primary key's column names, in bytes.
    pub fn key_name_bytes(&self) -> usize {
        self.primary_key.iter().map(|column| column.name.len()).sum()
    }
}

impl KeyColumn {
    fn check(&self, name: &str, kind: Option<ValueKind>) -> Result<(), Violation> {
        if name != self.name {
            let meta = &self.name;
            return Err(Violation::primary_key(format!(
                "Validate PK name fail. Input: {name}, Meta: {meta}."
            )));
        }
        let expected = self.kind.value_kind();
        match kind {
            Some(kind) if kind != expected => Err(Violation::primary_key(format!(
                "Validate PK type fail. Input: {}, Meta: {}.",
                kind.protocol_name(),
                expected.protocol_name()
            ))),
            _ => Ok(()),
        }
    }
}

/// Checks the number of primary key columns of a table or of a key.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_key_column_count(count: usize) -> Result<(), Violation> {
    if (1..=limits::KEY_COLUMNS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Violation::parameter("The number of primary key columns must be in range: [1, 4]."))
}

/// Checks the number of primary key columns of a key that may be an index's; which one it is tells the table.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_index_key_column_count(count: usize) -> Result<(), Violation> {
    if (1..=limits::INDEX_KEY_COLUMNS_MAX).contains(&count) { Ok(()) } else { check_key_column_count(0) }
}
