//! A filter on its way through many rows: prepared once, then evaluated on rows as they are stored.
//!
//! Of each row, the columns that the filter looks at are picked out in one walk, which ends behind the last of
//! them. Nothing else of the row is looked at.

use std::time::Instant;

use lakeferry_model::filter::ColumnValues;
use lakeferry_model::{ColumnCondition, TableSchema, ValueRef};
use lakeferry_store::Visibility;
use lakeferry_store::key::{self, KeyPart};
use lakeferry_wire::code::{ErrorCode, message};
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
    /// When to give up, of a condition that may take long.
    deadline: Option<Instant>,
}

impl<'a> Sieve<'a> {
    /// Prepares a condition for rows of which these columns are asked for.
    pub fn new(
        condition: &'a ColumnCondition,
        asked: &Columns<'a>,
        schema: &'a TableSchema,
        deadline: Instant,
    ) -> Self {
        let is_key = |name: &&str| schema.primary_key.iter().any(|key| key.name == **name);
        let (keys, names): (Vec<&str>, Vec<&str>) = condition.columns().into_iter().partition(is_key);
        Self {
            condition,
            schema,
            columns: asked.among(names),
            looks_at_key: !keys.is_empty(),
            newest_only: condition.looks_at_newest_only(),
            deadline: condition.may_take_long().then_some(deadline),
        }
    }

    /// Whether it may take long to see if a row passes.
    pub fn may_take_long(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether the row passes.
    ///
    /// # Errors
    /// If its bytes are damaged, or it is not known before the deadline.
    pub fn passes(
        &self,
        (key, row): StoredRow<'_>,
        versions: &Versions,
        visibility: &Visibility,
    ) -> Result<bool, ApiError> {
        let mut seen = Seen {
            schema: self.schema,
            key: SmallVec::new(),
            cells: SmallVec::new(),
            deadline: self.deadline,
        };
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
        let passes = self.condition.evaluate(&seen);
        if self.may_take_long() && !seen.has_time() {
            let internal = "a filter took too long";
            let (code, message) = (ErrorCode::ServerUnavailable, message::SERVER_UNAVAILABLE);
            return Err(ApiError::internal(code, message, internal));
        }
        Ok(passes)
    }
}

/// What a condition sees of a row.
struct Seen<'a, 'r> {
    schema: &'a TableSchema,
    /// All columns of the key, or none if the condition looks at none.
    key: SmallVec<[KeyPart<'r>; 4]>,
    cells: SmallVec<[(&'r str, ValueRef<'r>); 4]>,
    deadline: Option<Instant>,
}

impl ColumnValues for Seen<'_, '_> {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let of_key = self.schema.primary_key.iter().zip(&self.key).find(|(key, _)| key.name == column);
        let cells = self.cells.iter().filter(move |(name, _)| *name == column);
        of_key.map(|(_, part)| part.as_ref()).into_iter().chain(cells.map(|(_, value)| *value))
    }

    fn has_time(&self) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}
