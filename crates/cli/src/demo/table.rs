//! The demo's table, used over HTTP like by any client.

use lakeferry_client::{CreateTable, Range, RowWrite, TableWrites};
use lakeferry_model::{KeyKind, TableName};

use super::check::{self, State};
use crate::connection::{Connection, name};
use crate::failure::Failure;

/// The table's name, and the first folder of its objects.
pub const NAME: &str = "metrics";

/// Its primary key: what was looked at, and when, in microseconds since the epoch.
pub const KEY_COLUMNS: [(&str, KeyKind); 2] = [("source", KeyKind::String), ("ts", KeyKind::Integer)];

/// Rows of a request at most; the protocol's limit.
const BATCH_ROWS_MAX: usize = 200;

/// The table on its server.
pub struct Table<'a> {
    server: &'a Connection,
    name: TableName,
}

impl<'a> Table<'a> {
    /// Makes it.
    pub async fn make(server: &'a Connection) -> Result<Self, Failure> {
        let columns = KEY_COLUMNS.into_iter();
        let table = columns.fold(CreateTable::new(NAME), |table, (name, kind)| table.key(name, kind));
        server.client().create_table(table).await.map_err(|error| server.explain(error))?;
        Ok(Self { server, name: name::table(NAME)? })
    }

    /// Its name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Writes rows, none of which may come twice.
    pub async fn write(&self, rows: Vec<RowWrite>) -> Result<(), Failure> {
        for batch in rows.chunks(BATCH_ROWS_MAX) {
            let batch = [TableWrites::new(NAME, batch.iter().cloned())];
            let outcomes = self.server.client().batch_write_row(&batch).await;
            for outcome in outcomes.map_err(|error| self.server.explain(error))?.into_iter().flatten() {
                outcome.map_err(|error| self.server.explain(error.into()))?;
            }
        }
        Ok(())
    }

    /// Reads all rows.
    pub async fn read(&self) -> Result<State, Failure> {
        let mut rows = self.server.client().rows(NAME, Range::all(KEY_COLUMNS.map(|(name, _)| name)));
        let mut state = State::new();
        while let Some(page) = rows.next_page().await.map_err(|error| self.server.explain(error))? {
            state.extend(page.into_iter().map(check::row_of_table));
        }
        Ok(state)
    }
}
