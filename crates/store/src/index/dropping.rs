//! Indexes that are dropped, and those whose making failed halfway.
//!
//! 1. The table's catalog entry moves the index among those dropped. Its name is free.
//! 2. Once that is known to be written, in the background: a global index's space goes and its table's log is let go;
//!    a local one's entries go from its table's partitions. Before that a crash may bring the index back, and it must
//!    have its entries then.
//! 3. The catalog entry forgets it. Its id is never used again.
//!
//! After a crash 2 begins again.

use std::time::{Duration, Instant};

use lakeferry_model::{InstanceName, TableName};

use super::IndexInfo;
use super::plan::local_prefix;
use crate::catalog::TableRecord;
use crate::error::Error;
use crate::partition::head::LogKeeper;
use crate::store::{Store, WeakStore};
use crate::table::{Table, TableId};

/// The pause before what failed in the background is tried again.
const PAUSE: Duration = Duration::from_secs(2);

impl Store {
    /// Drops an index. Its name is free at once; its entries are removed in the background.
    ///
    /// # Errors
    /// If there is no such table or index, or it cannot be written.
    pub async fn drop_index(
        &self,
        instance: &InstanceName,
        table: &TableName,
        index: &TableName,
    ) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let table = self.table(instance, table)?;
        let info = table.info();
        let dropped = info.indexes.iter().find(|known| known.spec.name == *index);
        let dropped = dropped.ok_or_else(|| Error::NoSuchIndex(index.clone()))?;
        let written = self.put_dropped(&table, dropped).await;
        if matches!(&written, Err(error) if !error.may_be_written()) {
            return written;
        }
        self.0.indexes.forget(instance, index);
        self.clear_in_background(table.id(), dropped.clone());
        written
    }

    /// Drops an index whose making has failed halfway. If that cannot be written now, its name is taken until it
    /// can be.
    pub(super) async fn give_up(&self, table: &Table, index: IndexInfo) {
        self.0.indexes.forget(&table.info().instance, &index.spec.name);
        if let Err(error) = self.put_dropped(table, &index).await {
            tracing::warn!(index = index.id.0, %error, "an index that could not be made is still there");
        }
        self.clear_in_background(table.id(), index);
    }

    /// Moves an index among those dropped, if it is not there yet.
    async fn put_dropped(&self, table: &Table, index: &IndexInfo) -> Result<(), Error> {
        let mut info = (*table.info()).clone();
        info.indexes.retain(|known| known.id != index.id);
        let drop = |record: &mut TableRecord| {
            record.dropped_indexes.retain(|dropped| dropped.id != index.id);
            record.dropped_indexes.push(index.clone());
        };
        self.put_info(table, info, drop).await
    }

    /// Goes on removing the entries of indexes that were dropped.
    pub(crate) fn clear_dropped_indexes(&self, record: &TableRecord) {
        for index in &record.dropped_indexes {
            self.clear_in_background(record.info.id, index.clone());
        }
    }

    fn clear_in_background(&self, table: TableId, index: IndexInfo) {
        let weak = self.downgrade();
        self.spawn_background(async move {
            let clear = |store: Store| {
                let index = index.clone();
                async move { store.clear_index(table, &index).await }
            };
            until_done(&weak, index.id, "a dropped index is still there", clear).await;
        });
    }

    /// The table, once it is known to be written that the index is dropped: a table that may still have it at the
    /// next start must have its entries then. `None` if the table is gone.
    async fn ensure_dropped(&self, table: TableId, index: &IndexInfo) -> Result<Option<Table>, Error> {
        let _changing = self.0.changing.lock().await;
        let Some(table) = self.table_by_id(table) else { return Ok(None) };
        let is_dropped = self.record(&table)?.dropped_indexes.iter().any(|dropped| dropped.id == index.id);
        if !is_dropped || !self.0.catalog.is_settled(table.id()) {
            self.put_dropped(&table, index).await?;
        }
        Ok(Some(table))
    }

    async fn clear_index(&self, table: TableId, index: &IndexInfo) -> Result<(), Error> {
        let Some(table) = self.ensure_dropped(table, index).await? else { return Ok(()) };
        let soon = || Instant::now() + self.0.settings.table_call;
        match index.partition {
            Some(partition) => {
                let _changing = self.0.changing.lock().await;
                let kept = table.info().has_global_index();
                for partition in table.partitions() {
                    partition.keep_log(LogKeeper::Indexes, kept, soon()).await?;
                }
                self.0.engine.drop_space(&partition.space(), soon()).await?;
            }
            None => {
                for partition in table.partitions() {
                    // What was queued for the index is written before it is removed.
                    partition.settle(soon()).await?;
                    while partition.remove_some(&local_prefix(index.id), soon()).await? {}
                }
            }
        }
        let _changing = self.0.changing.lock().await;
        let Some(table) = self.table_by_id(table.id()) else { return Ok(()) };
        let forget =
            |record: &mut TableRecord| record.dropped_indexes.retain(|dropped| dropped.id != index.id);
        let info = (*table.info()).clone();
        self.put_info(&table, info, forget).await
    }
}

/// Tries once and again until it is done, or the store is gone.
pub(super) async fn until_done<F: Future<Output = Result<(), Error>>>(
    store: &WeakStore,
    index: TableId,
    warning: &str,
    attempt: impl Fn(Store) -> F,
) {
    while let Some(store) = store.upgrade() {
        let Err(error) = attempt(store).await else { return };
        tracing::warn!(index = index.0, %error, "{warning}");
        tokio::time::sleep(PAUSE).await;
    }
}
