//! What a secondary index is: which columns make its keys, and which it carries along.
//!
//! An index reads as a table of its own. Its primary key is the columns declared, then those columns of the
//! table's primary key that are not among them, so that every row of the table has at most one entry. A row that
//! lacks one of the declared columns has none.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::name::TableName;
use crate::schema::{DefinedColumn, KeyColumn, KeyKind, TableOptions, TableSchema};
use crate::value::ValueKind;
use crate::violation::Violation;

/// How an index follows its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IndexKind {
    /// Soon after the change, by its log. Any columns may lead its key.
    Global,
    /// Together with the change. Its key begins as the table's does.
    Local,
}

/// An index as its maker asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSpec {
    /// Its name, taken from the same names as tables.
    pub name: TableName,
    /// How it follows its table.
    pub kind: IndexKind,
    /// The columns its primary key begins with: primary key or defined columns of the table.
    pub key_columns: Vec<String>,
    /// The defined columns that it carries along.
    pub defined_columns: Vec<String>,
}

impl IndexSpec {
    /// Checks the rules that need no table.
    ///
    /// # Errors
    /// The first broken rule, with the protocol's text where there is one.
    pub fn check_counts(&self) -> Result<(), Violation> {
        if !(1..=limits::KEY_COLUMNS_MAX).contains(&self.key_columns.len()) {
            return Err(Violation::parameter(
                "The number of primary key columns must be in range: [1, 4] in index.",
            ));
        }
        if self.defined_columns.len() > limits::DEFINED_COLUMNS_MAX {
            return Err(Violation::parameter(
                "The number of attribute columns must be in range: [0, 32] in index.",
            ));
        }
        let columns = self.key_columns.iter().chain(&self.defined_columns);
        for (at, name) in columns.clone().enumerate() {
            if columns.clone().take(at).any(|earlier| earlier == name) {
                return Err(Violation::parameter(format!("Duplicated column name: '{name}' in index.")));
            }
        }
        Ok(())
    }

    /// Checks that the table has the columns, and that they can do what the index needs of them.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self, table: &TableSchema) -> Result<(), Violation> {
        self.check_counts()?;
        for name in &self.key_columns {
            if key_column(table, name).is_none() && indexable(table, name)?.is_none() {
                return Err(no_such_column(name));
            }
        }
        for name in &self.defined_columns {
            if defined_column(table, name).is_none() {
                return Err(no_such_column(name));
            }
        }
        let first = table.primary_key.first().map(|column| &column.name);
        if self.kind == IndexKind::Local && self.key_columns.first() != first {
            return Err(Violation::parameter(
                "The first primary key column of a local index must be the first primary key column of the table.",
            ));
        }
        Ok(())
    }

    /// The index as a table of its own.
    ///
    /// # Errors
    /// If it names a column that cannot be in its key.
    pub fn schema(&self, table: &TableSchema) -> Result<TableSchema, Violation> {
        let declared = self.key_columns.iter().map(|name| match key_column(table, name) {
            Some(column) => Ok(KeyColumn { auto_increment: false, ..column.clone() }),
            None => indexable(table, name)?.ok_or_else(|| no_such_column(name)),
        });
        let mut primary_key = declared.collect::<Result<Vec<_>, _>>()?;
        let rest = table.primary_key.iter().filter(|column| !self.key_columns.contains(&column.name));
        primary_key.extend(rest.map(|column| KeyColumn { auto_increment: false, ..column.clone() }));
        let carried = self.defined_columns.iter().filter_map(|name| defined_column(table, name)).cloned();
        Ok(TableSchema { name: self.name.clone(), primary_key, defined_columns: carried.collect() })
    }

    /// Whether the index cannot do without the column.
    pub fn uses(&self, column: &str) -> bool {
        self.key_columns.iter().chain(&self.defined_columns).any(|name| name == column)
    }
}

/// Checks that a table with these options can have indexes: an entry stands for a row's newest version. Where rows
/// expire, they are only put whole and deleted.
///
/// # Errors
/// A parameter violation.
pub fn check_index_options(options: &TableOptions) -> Result<(), Violation> {
    if options.versions_max != 1 {
        return Err(Violation::parameter("The max versions of a table with indexes must be 1."));
    }
    if options.time_to_live_s.is_some() && options.allow_update {
        return Err(Violation::parameter(
            "The time to live of a table with indexes must be -1 unless allow_update is false.",
        ));
    }
    Ok(())
}

/// Checks how many indexes a table has.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_index_count(count: usize) -> Result<(), Violation> {
    if count <= limits::INDEXES_MAX {
        return Ok(());
    }
    Err(Violation::parameter(format!("Number of index per table exceeds the quota:{}.", limits::INDEXES_MAX)))
}

fn key_column<'a>(table: &'a TableSchema, name: &str) -> Option<&'a KeyColumn> {
    table.primary_key.iter().find(|column| column.name == name)
}

fn defined_column<'a>(table: &'a TableSchema, name: &str) -> Option<&'a DefinedColumn> {
    table.defined_columns.iter().find(|column| column.name == name)
}

/// The defined column as a column of an index's key; `None` if the table has no such column.
fn indexable(table: &TableSchema, name: &str) -> Result<Option<KeyColumn>, Violation> {
    let Some(column) = defined_column(table, name) else { return Ok(None) };
    let kind = match column.kind.0 {
        ValueKind::Integer => KeyKind::Integer,
        ValueKind::String => KeyKind::String,
        ValueKind::Binary => KeyKind::Binary,
        ValueKind::Double | ValueKind::Boolean => {
            let kind = column.kind.0.protocol_name().trim_start_matches("VT_");
            return Err(Violation::parameter(format!("{kind} is an invalid type for the primary key.")));
        }
    };
    Ok(Some(KeyColumn { name: name.to_owned(), kind, auto_increment: false }))
}

fn no_such_column(name: &str) -> Violation {
    Violation::parameter(format!(
        "The index column '{name}' is neither a primary key column nor a defined column of the table."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DefinedKind;

    fn table() -> TableSchema {
        let key = |name: &str, kind| KeyColumn { name: name.to_owned(), kind, auto_increment: false };
        let defined = |name: &str, kind| DefinedColumn { name: name.to_owned(), kind: DefinedKind(kind) };
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![
                key("a", KeyKind::String),
                KeyColumn { auto_increment: true, ..key("b", KeyKind::Integer) },
            ],
            defined_columns: vec![defined("c", ValueKind::Integer), defined("d", ValueKind::Double)],
        }
    }

    fn spec(kind: IndexKind, key: &[&str], carried: &[&str]) -> IndexSpec {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let name = TableName::parse("x").unwrap();
        IndexSpec { name, kind, key_columns: names(key), defined_columns: names(carried) }
    }

    #[test]
    fn the_key_of_an_index_is_completed_with_the_tables_own() {
        let schema = spec(IndexKind::Global, &["c"], &["d"]).schema(&table()).unwrap();
        let key: Vec<&str> = schema.primary_key.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(key, ["c", "a", "b"]);
        assert!(schema.primary_key.iter().all(|column| !column.auto_increment));
        assert_eq!(schema.defined_columns[0].name, "d");
        let turned = spec(IndexKind::Global, &["b", "a"], &[]).schema(&table()).unwrap();
        assert_eq!(turned.primary_key.len(), 2, "a column is in the key once");
    }

    #[test]
    fn what_an_index_may_name_is_checked_counts_first() {
        let message = |spec: IndexSpec| spec.check(&table()).unwrap_err().message;
        let range = "The number of primary key columns must be in range: [1, 4] in index.";
        assert_eq!(message(spec(IndexKind::Global, &[], &[])), range);
        assert_eq!(message(spec(IndexKind::Global, &["1", "2", "3", "4", "5"], &[])), range);
        let names: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            message(spec(IndexKind::Global, &["c"], &names)),
            "The number of attribute columns must be in range: [0, 32] in index."
        );
        assert!(message(spec(IndexKind::Global, &["none"], &[])).contains("'none'"));
        assert!(message(spec(IndexKind::Global, &["c"], &["a"])).contains("'a'"), "keys are carried anyway");
        assert_eq!(
            message(spec(IndexKind::Global, &["d"], &[])),
            "DOUBLE is an invalid type for the primary key."
        );
        assert!(message(spec(IndexKind::Global, &["c", "c"], &[])).contains("Duplicated"));
        assert!(message(spec(IndexKind::Local, &["c"], &[])).contains("local index"));
        assert!(spec(IndexKind::Local, &["a", "c"], &["d"]).check(&table()).is_ok());
    }
}
