//! A filter on its way through many rows: prepared once, then evaluated on rows as they are stored.
//!
//! Of each row, the columns that the filter looks at are picked out in one walk, which ends behind the last of
//! them. Nothing else of the row is looked at.

use lakeferry_model::filter::ColumnValues;
use lakeferry_model::{ColumnCondition, TableSchema, ValueRef};
use lakeferry_store::Visibility;
use lakeferry_store::key::{self, KeyPart};
use smallvec::SmallVec;

use super::cells::Cells;
use super::columns::Columns;
use super::{StoredRow, Versions};
use crate::error::ApiError;

/// A condition that rows must pass to be shown.
pub struct Sieve<'a> {
    condition: &'a ColumnCondition,
    schema: &'a TableSchema,
    /// The attribute columns that it looks at, of those that are asked for: others are missing to it.
    columns: Columns<'a>,
    looks_at_key: bool,
    newest_only: bool,
}

impl<'a> Sieve<'a> {
    /// Prepares a condition for rows of which these columns are asked for.
    pub fn new(condition: &'a ColumnCondition, asked: &Columns<'a>, schema: &'a TableSchema) -> Self {
        let is_key = |name: &&str| schema.primary_key.iter().any(|key| key.name == **name);
        let (keys, names): (Vec<&str>, Vec<&str>) = condition.columns().into_iter().partition(is_key);
        Self {
            condition,
            schema,
            columns: asked.among(names),
            looks_at_key: !keys.is_empty(),
            newest_only: condition.looks_at_newest_only(),
        }
    }

    /// Whether the row passes.
    ///
    /// # Errors
    /// If its bytes are damaged.
    pub fn passes(
        &self,
        (key, row): StoredRow<'_>,
        versions: &Versions,
        visibility: &Visibility,
    ) -> Result<bool, ApiError> {
        let mut seen = Seen { schema: self.schema, key: SmallVec::new(), cells: SmallVec::new() };
        if self.looks_at_key {
            for part in key::parts(key, &self.schema.primary_key) {
                seen.key.push(part?);
            }
        }
        if !self.columns.is_empty() {
            let max = if self.newest_only { 1 } else { versions.max };
            let versions = Versions { max, ..*versions };
            let mut cells = Cells::new(row, *visibility, versions, &self.columns, None)?;
            while let Some(cell) = cells.next()? {
                seen.cells.push((cell.name, cell.value));
            }
        }
        Ok(self.condition.evaluate(&seen))
    }
}

/// What a condition sees of a row.
struct Seen<'a, 'r> {
    schema: &'a TableSchema,
    /// All columns of the key, or none if the condition looks at none.
    key: SmallVec<[KeyPart<'r>; 4]>,
    cells: SmallVec<[(&'r str, ValueRef<'r>); 4]>,
}

impl ColumnValues for Seen<'_, '_> {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let of_key = self.schema.primary_key.iter().zip(&self.key).find(|(key, _)| key.name == column);
        let cells = self.cells.iter().filter(move |(name, _)| *name == column);
        of_key.map(|(_, part)| part.as_ref()).into_iter().chain(cells.map(|(_, value)| *value))
    }
}
