//! What a write asks of its row's columns, held against the row as it is.

use lakeferry_model::filter::{ColumnValues, MissingRow};
use lakeferry_model::{ColumnCondition, KeyColumn, KeyValue, PrimaryKey, ValueRef};

use crate::entry::Column;

/// Whether the condition holds of a row: its visible columns in name order, `None` if there is no row.
pub fn holds(
    condition: &ColumnCondition,
    key_columns: &[KeyColumn],
    primary_key: &PrimaryKey,
    row: Option<&[Column<'_>]>,
) -> bool {
    match row {
        Some(columns) => condition.evaluate(&Row { key_columns, primary_key, columns }),
        None => condition.evaluate(&MissingRow),
    }
}

struct Row<'a, 'c> {
    key_columns: &'a [KeyColumn],
    primary_key: &'a PrimaryKey,
    columns: &'a [Column<'c>],
}

impl ColumnValues for Row<'_, '_> {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let of_key =
            self.key_columns.iter().zip(self.primary_key.values()).find(|(key, _)| key.name == column);
        let at = self.columns.binary_search_by(|other| other.name.cmp(column)).ok();
        // A column of the key hides one of its name among the others.
        let at = at.filter(|_| of_key.is_none());
        let versions =
            at.into_iter().flat_map(|at| self.columns[at].versions.iter().map(|(_, value)| *value));
        of_key.map(|(_, value)| KeyValue::as_ref(value)).into_iter().chain(versions)
    }
}
