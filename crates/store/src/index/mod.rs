//! Secondary indexes: entries that lead from other columns to a table's rows, readable as tables of their own.
//!
//! - [`plan`]: what entry a row has in an index. Pure.
//! - A *local* index lies in the table's partitions. Its entries change in the batch of their row.
//! - A *global* index is a partition of its own. [`follower`]s carry every change there, one for each partition of
//!   the table, soon after it is committed; they hold the log back until they have it.
//! - [`life`]: made, filled from the rows that are there ([`building`]), [dropped](dropping).
//!
//! An entry is made from what the row was and is: the old one goes where the key differs, the new one is put. A
//! row's changes come in their order from one log, so carrying them again ends in the same entries. That is all a
//! follower needs after a crash; its position is written in the batch of the entries.
//!
//! The columns that keys of global indexes are made of are told with every change as they were before it. Who looked
//! at a table before it had the index looks again before it queues anything, so behind the head at which the log
//! was switched on every record tells them.

mod building;
mod dropping;
mod follower;
mod life;
pub(crate) mod plan;

use lakeferry_model::{IndexSpec, Micros, TableOptions, TableSchema, Violation};
use serde::{Deserialize, Serialize};

use crate::partition::PartitionId;
use crate::table::{TableId, TableInfo};
pub(crate) use life::Indexes;

/// A table's index as it stands in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexInfo {
    /// Its id, from those of tables.
    pub id: TableId,
    /// What its maker asked for.
    pub spec: IndexSpec,
    /// How far its making has come.
    pub phase: IndexPhase,
    /// Where a global index lies; nothing for a local one.
    pub partition: Option<PartitionId>,
    /// When it was made, in microseconds since the epoch.
    pub created_at: Micros,
}

/// How far the making of an index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IndexPhase {
    /// Rows that were there before it are being entered; it cannot be read yet.
    Building,
    /// It can be read.
    Ready,
}

/// An index, and how far it is behind its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    /// Its name and columns.
    #[serde(flatten)]
    pub spec: IndexSpec,
    /// How far its making has come.
    pub phase: IndexPhase,
    /// Changes that are not in it yet.
    pub behind_changes: u64,
    /// How old the oldest of these may be, in microseconds.
    pub behind_micros: Micros,
}

impl IndexInfo {
    /// The index as a table of its own.
    ///
    /// # Errors
    /// If the table lacks its columns, which the catalog does not let happen.
    pub(crate) fn table_info(&self, table: &TableInfo) -> Result<TableInfo, Violation> {
        let schema: TableSchema = self.spec.schema(&table.schema)?;
        Ok(TableInfo {
            id: self.id,
            schema,
            options: TableOptions { versions_max: 1, ..table.options.clone() },
            stream: None,
            created_at: self.created_at,
            indexes: Vec::new(),
            ..table.clone()
        })
    }
}
