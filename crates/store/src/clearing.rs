//! Clearing away tables that nobody can reach: deleted ones, and those whose making ended in an error.
//!
//! 1. The catalog's entry is marked, so that a table of which a part is gone never comes back.
//! 2. The spaces of its partitions and indexes go, and then the entry.
//!
//! What fails is tried again in the background until it succeeds; after a crash the next start goes on with what is
//! marked.

use std::time::{Duration, Instant};

use lakeferry_model::{InstanceName, TableName};

use crate::catalog::TableRecord;
use crate::error::Error;
use crate::store::Store;
use crate::table::TableId;

/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(2);

impl Store {
    /// Clears away a table that is marked.
    pub(crate) async fn clear_away(&self, record: &TableRecord) -> Result<(), Error> {
        let deadline = Instant::now() + self.0.settings.table_call;
        for partition in &record.partitions {
            self.0.engine.drop_space(&partition.id.space(), deadline).await?;
        }
        let indexes = record.info.indexes.iter().chain(&record.dropped_indexes);
        for partition in indexes.filter_map(|index| index.partition) {
            self.0.engine.drop_space(&partition.space(), deadline).await?;
        }
        self.0.catalog.remove_table(record.info.id).await
    }

    /// Clears away what tables of that name left that nobody can reach.
    pub(crate) async fn clear_half_made(&self, name: &(InstanceName, TableName)) -> Result<(), Error> {
        let mut records = self.0.catalog.tables();
        records.retain(|record| (&record.info.instance, &record.info.schema.name) == (&name.0, &name.1));
        for record in records {
            self.mark_and_clear(record).await?;
        }
        Ok(())
    }

    /// Clears away what there is of a table that nobody can reach, now or later. Whoever calls holds the turn to
    /// change tables.
    pub(crate) async fn abandon(&self, table: TableId) {
        if let Err(error) = self.clear_rest(table).await {
            tracing::warn!(table = table.0, %error, "what is left of a table is cleared away later");
            self.clear_later(table);
        }
    }

    /// Goes on clearing away a table in the background.
    pub(crate) fn clear_later(&self, table: TableId) {
        let weak = self.downgrade();
        self.spawn_background(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let Some(store) = weak.upgrade() else { return };
                let _changing = store.0.changing.lock().await;
                match store.clear_rest(table).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(table = table.0, %error, "a table is still there in part"),
                }
            }
        });
    }

    async fn clear_rest(&self, table: TableId) -> Result<(), Error> {
        match self.0.catalog.table(table) {
            Some(record) => self.mark_and_clear(record).await,
            None => Ok(()),
        }
    }

    async fn mark_and_clear(&self, record: TableRecord) -> Result<(), Error> {
        let record = TableRecord { deleting: true, ..record };
        // Also if it is marked in memory: nobody may know whether that was written.
        self.0.catalog.put_table(record.clone()).await?;
        self.clear_away(&record).await
    }
}
