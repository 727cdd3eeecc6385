//! Reclaims what nobody sees any more: cells past their time to live, and versions beyond the number kept.
//!
//! Reads and writes apply the table's options by themselves, so nothing here is in a hurry. A walk goes over the
//! partitions of one table after the other, a block at a time with a pause behind each. Rows of which enough is
//! hidden are held, read again, and written without what is hidden, or removed if nothing is left to see. Sequence
//! and commit time stay, and no change record is made: what expires in the table stays in the lake. A row that is
//! being changed is left to the next walk.
//!
//! Before anything goes, the walk writes down a mark: what has expired by now stays hidden for good. Only cells below
//! the mark are taken for expired, in rows and in entries of indexes alike. So a longer life, whenever it comes, and
//! a walk that ends halfway show an index what they show its table.
//!
//! A table whose cells live for ever is walked only after its versions were made fewer. A walk that is cut short by
//! a restart begins again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::Batch;
use lakeferry_model::{Micros, TableOptions};
use smallvec::smallvec;

use crate::entry::{self, Column, RowView, Visibility, encode_columns};
use crate::error::Error;
use crate::index::plan::{Plans, newest_of_entry};
use crate::partition::{Partition, RowBlock};
use crate::store::{Store, WeakStore};
use crate::table::{Table, TableId, TableInfo};

/// Bytes of rows that are looked through at a time.
const BLOCK_BYTES: usize = 512 * 1024;
/// The pause behind each block: with the blocks above at most 5 MiB are looked through a second.
const BLOCK_PAUSE: Duration = Duration::from_millis(100);
/// Rows that are held at a time: writers of these wait for one read.
const HELD_MAX: usize = 64;
/// The pause between two looks for tables to walk.
const ROUND: Duration = Duration::from_secs(10);
/// The time between two walks over a table whose cells expire: a part of what they live, within bounds.
const WALK_EVERY: std::ops::RangeInclusive<Micros> = 600_000_000..=6 * 3_600_000_000;
const WALKS_PER_LIFE: i64 = 24;
/// The pause before a walk that failed is tried again: other tables have their turn meanwhile.
const AGAIN_AFTER: Micros = 60_000_000;
/// A row is written again if at least one byte in so many is hidden.
const WORTH: usize = 4;
const CALL: Duration = Duration::from_secs(30);

/// Walks over all tables that may hide something, until the store is gone.
pub(crate) async fn reclaim(store: WeakStore) {
    let mut walks = Walks::default();
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(strong) = store.upgrade() else { return };
        let tables = strong.all_tables();
        walks.0.retain(|id, _| tables.iter().any(|table| table.id() == *id));
        let now = strong.time().now();
        let due = walks.choose(tables.iter().map(|table| (table.id(), table.info())), now);
        let due = due.and_then(|id| tables.into_iter().find(|table| table.id() == id));
        drop(strong);
        let Some(table) = due else { continue };
        let outcome = walk(&store, &table, BLOCK_PAUSE).await;
        walks.note(table.id(), outcome.is_ok(), now);
        if let Err(error) = outcome {
            tracing::debug!(table = table.id().0, %error, "a walk was cut short");
        }
    }
}

impl Store {
    /// Goes over a table once without pauses, and reclaims what is worth it.
    ///
    /// # Errors
    /// If the engine does not answer, or a write fails; what was reclaimed by then stays so.
    pub async fn reclaim_now(&self, table: &Table) -> Result<(), Error> {
        walk(&self.downgrade(), table, Duration::ZERO).await
    }
}

/// When tables were walked.
#[derive(Debug, Default)]
struct Walks(HashMap<TableId, Walk>);

#[derive(Debug, Default)]
struct Walk {
    /// When the last one began that came to its end.
    done_at: Option<Micros>,
    /// When the last one began.
    tried_at: Micros,
    /// Whether that one failed.
    failed: bool,
}

impl Walks {
    /// The table to walk next: of those that are due, the one whose last walk is the longest ago.
    fn choose(
        &self,
        tables: impl Iterator<Item = (TableId, Arc<TableInfo>)>,
        now: Micros,
    ) -> Option<TableId> {
        let due = tables.filter(|(id, info)| self.is_due(*id, info, now));
        due.map(|(id, _)| id).min_by_key(|id| self.0.get(id).map(|walk| walk.tried_at))
    }

    fn note(&mut self, table: TableId, is_done: bool, now: Micros) {
        let walk = self.0.entry(table).or_default();
        walk.tried_at = now;
        walk.failed = !is_done;
        if is_done {
            walk.done_at = Some(now);
        }
    }

    fn is_due(&self, table: TableId, info: &TableInfo, now: Micros) -> bool {
        let walk = self.0.get(&table);
        if walk.is_some_and(|walk| walk.failed && now.saturating_sub(walk.tried_at) < AGAIN_AFTER) {
            return false;
        }
        if info.surplus_versions {
            return true;
        }
        let Some(lived_s) = info.options.time_to_live_s else { return false };
        let every = i64::from(lived_s).saturating_mul(1_000_000) / WALKS_PER_LIFE;
        let every = every.clamp(*WALK_EVERY.start(), *WALK_EVERY.end());
        walk.and_then(|walk| walk.done_at).is_none_or(|at| now.saturating_sub(at) >= every)
    }
}

async fn walk(store: &WeakStore, table: &Table, pause: Duration) -> Result<(), Error> {
    if let Some(store) = store.upgrade() {
        store.hide_expired(table).await?;
    }
    let options = table.info().options.clone();
    for partition in table.partitions() {
        // Rows that were made under older options may still wait to be committed.
        partition.settle(Instant::now() + CALL).await?;
        let mut after: Option<Bytes> = None;
        loop {
            if !partition.has_room() {
                return Err(Error::NotWritten("the disk is at its reserve".into()));
            }
            let block = partition.scan(after.as_deref(), None, BLOCK_BYTES, Instant::now() + CALL).await?;
            reclaim_block(partition, &block).await?;
            let Some(last) = block.last_key().filter(|_| block.more()) else { break };
            after = Some(Bytes::copy_from_slice(last));
            tokio::time::sleep(pause).await;
        }
    }
    let indexes = store.upgrade().map(|store| store.global_indexes(table)).unwrap_or_default();
    for index in indexes.iter().filter(|_| table.info().hidden_below_ms.is_some()) {
        reclaim_entries(index, pause).await?;
    }
    let Some(store) = store.upgrade() else { return Ok(()) };
    store.no_surplus_any_more(table, &options).await
}

async fn reclaim_block(partition: &Partition, block: &RowBlock) -> Result<(), Error> {
    let lasting = partition.lasting();
    let mut keys = Vec::new();
    for row in block.rows() {
        let (key, row) = row?;
        if Choice::of(&row, &lasting)? != Choice::Leave {
            keys.push(Bytes::copy_from_slice(key));
        }
    }
    for portion in keys.chunks(HELD_MAX) {
        let make = |key: &[u8], entry: &[u8], batch: &mut Batch| {
            // By the options of now: what they show again since the block was read stays.
            let lasting = partition.lasting();
            reclaim_row(&partition.row_entry_key(key), entry, &lasting, batch)?;
            reclaim_beside(&partition.plans(), key, entry, &lasting, batch)
        };
        partition.upkeep_rows(portion.to_vec(), make, Instant::now() + CALL).await?;
    }
    Ok(())
}

fn reclaim_row(key: &Bytes, entry: &[u8], lasting: &Visibility, batch: &mut Batch) -> Result<(), Error> {
    let row = RowView::new(entry)?;
    match Choice::of(&row, lasting)? {
        Choice::Leave => {}
        Choice::Remove => batch.delete(key.clone()),
        Choice::Rewrite => batch.put(key.clone(), shown(&row, lasting)?),
    }
    Ok(())
}

/// Removes the entries of local indexes that have expired with the row, or before it.
fn reclaim_beside(
    plans: &Plans,
    key: &[u8],
    entry: &[u8],
    lasting: &Visibility,
    batch: &mut Batch,
) -> Result<(), Error> {
    if plans.local.is_empty() {
        return Ok(());
    }
    let newest = newest_of_entry(&entry[entry::HEAD_BYTES..])?;
    for plan in &plans.local {
        let mut entry_key = Vec::new();
        let stands = lasting.shows_version(0, plan.stands_ms(&newest));
        if !stands && plan.key(key, &newest, &mut entry_key)? {
            batch.delete(entry_key);
        }
    }
    Ok(())
}

/// Removes the entries of a global index whose rows have expired.
async fn reclaim_entries(index: &Partition, pause: Duration) -> Result<(), Error> {
    let mut after: Option<Bytes> = None;
    loop {
        let block = index.scan(after.as_deref(), None, BLOCK_BYTES, Instant::now() + CALL).await?;
        let mut keys = Vec::new();
        for row in block.rows() {
            let (key, row) = row?;
            if row.stands(&index.lasting()) == Some(false) {
                keys.push(Bytes::copy_from_slice(key));
            }
        }
        for portion in keys.chunks(HELD_MAX) {
            let remove = |key: &[u8], entry: &[u8], batch: &mut Batch| {
                if RowView::new(entry)?.stands(&index.lasting()) == Some(false) {
                    batch.delete(index.row_entry_key(key));
                }
                Ok(())
            };
            index.upkeep_entries(portion.to_vec(), remove, Instant::now() + CALL).await?;
        }
        let Some(last) = block.last_key().filter(|_| block.more()) else { return Ok(()) };
        after = Some(Bytes::copy_from_slice(last));
        tokio::time::sleep(pause).await;
    }
}

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Nothing: it hides nothing, or too little.
    Leave,
    /// Write it without what it hides.
    Rewrite,
    /// It hides everything.
    Remove,
}

impl Choice {
    fn of(row: &RowView<'_>, lasting: &Visibility) -> Result<Self, Error> {
        let (mut hidden, mut seen, mut any) = (0, 0, false);
        for cell in row.raw_cells() {
            let cell = cell?;
            let bytes = cell.value.size() + 2;
            if lasting.shows_version(cell.version, cell.timestamp_ms) {
                seen += bytes + cell.name.len();
                any = true;
            } else {
                hidden += bytes;
            }
        }
        Ok(match (hidden, any) {
            (0, _) => Self::Leave,
            (_, false) => Self::Remove,
            (hidden, true) if hidden * WORTH >= hidden + seen => Self::Rewrite,
            _ => Self::Leave,
        })
    }
}

/// The row's entry with what is seen of it alone.
fn shown(row: &RowView<'_>, lasting: &Visibility) -> Result<Vec<u8>, Error> {
    let mut columns: Vec<Column<'_>> = Vec::new();
    for cell in row.cells() {
        let cell = cell?;
        if !lasting.shows(&cell) {
            continue;
        }
        let version = (cell.timestamp_ms, cell.value);
        match columns.last_mut() {
            Some(column) if column.name == cell.name => column.versions.push(version),
            _ => columns.push(Column { name: cell.name, versions: smallvec![version] }),
        }
    }
    let mut entry = Vec::new();
    entry::encode_head(row.sequence(), row.commit_time(), &mut entry);
    encode_columns(&columns, usize::MAX, &mut entry);
    Ok(entry)
}

impl Store {
    /// Notes that what has expired by now is hidden for good.
    async fn hide_expired(&self, table: &Table) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        if self.table_by_id(table.id()).is_none() {
            return Ok(());
        }
        let mut info = (*table.info()).clone();
        let expired = info.options.expired_below_ms(self.time().now() / 1000);
        info.hidden_below_ms = info.hidden_below_ms.max(expired);
        let is_noted = info.hidden_below_ms == self.record(table)?.info.hidden_below_ms;
        if is_noted && self.0.catalog.is_settled(table.id()) {
            return Ok(());
        }
        self.put_info(table, info, |_| ()).await
    }

    /// Notes that a walk under these options has left no surplus versions.
    async fn no_surplus_any_more(&self, table: &Table, options: &TableOptions) -> Result<(), Error> {
        if !table.info().surplus_versions {
            return Ok(());
        }
        let _changing = self.0.changing.lock().await;
        let mut info = (*table.info()).clone();
        // Under options that have changed meanwhile the next walk is still needed.
        if info.options != *options || self.table_by_id(table.id()).is_none() {
            return Ok(());
        }
        info.surplus_versions = false;
        self.put_info(table, info, |_| ()).await
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{InstanceName, ReservedThroughput, TableName, TableSchema, ValueRef};

    use super::*;

    fn with_surplus(id: u64) -> (TableId, Arc<TableInfo>) {
        let schema = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: Vec::new(),
            defined_columns: Vec::new(),
        };
        let info = TableInfo {
            id: TableId(id),
            instance: InstanceName::parse("i").unwrap(),
            schema,
            options: TableOptions::default(),
            throughput: ReservedThroughput::default(),
            throughput_at: 0,
            stream: None,
            created_at: 0,
            indexes: Vec::new(),
            surplus_versions: true,
            hidden_below_ms: None,
            plans: crate::index::plan::CachedPlans::default(),
        };
        (TableId(id), Arc::new(info))
    }

    #[test]
    fn a_table_that_cannot_be_walked_does_not_hold_up_the_others() {
        let tables = || [1, 2, 3].map(with_surplus).into_iter();
        let mut walks = Walks::default();
        let mut walked = Vec::new();
        for round in 0..8 {
            let now = round * 10_000_000;
            let Some(table) = walks.choose(tables(), now) else { continue };
            walked.push(table.0);
            walks.note(table, table.0 != 1, now);
        }
        assert_eq!(walked, [1, 2, 3, 2, 3, 2, 1, 3]);
    }

    fn entry(versions: &[(i64, i64)]) -> Vec<u8> {
        let mut entry = Vec::new();
        entry::encode_head(7, 9, &mut entry);
        let versions = versions.iter().map(|(ms, value)| (*ms, ValueRef::Integer(*value))).collect();
        encode_columns(&[Column { name: "c", versions }], usize::MAX, &mut entry);
        entry
    }

    fn lasting(versions_max: u32) -> Visibility {
        let options = TableOptions { versions_max, time_to_live_s: Some(1), ..TableOptions::default() };
        Visibility::new(&options, 10_000)
    }

    #[test]
    fn a_row_is_written_again_only_if_enough_is_hidden() {
        let choice = |versions: &[(i64, i64)], max| {
            Choice::of(&RowView::new(&entry(versions)).unwrap(), &lasting(max)).unwrap()
        };
        assert_eq!(choice(&[(9_500, 1)], 1), Choice::Leave);
        assert_eq!(choice(&[(9_500, 2), (9_400, 1)], 1), Choice::Rewrite);
        assert_eq!(choice(&[(9_900, 4), (9_800, 3), (9_700, 2), (9_600, 1), (8_000, 0)], 9), Choice::Leave);
        assert_eq!(choice(&[(8_000, 1)], 1), Choice::Remove);
        assert_eq!(choice(&[], 1), Choice::Leave, "a row that never had cells stays");
    }

    #[test]
    fn what_is_left_keeps_its_place_in_the_order_of_changes() {
        let before = entry(&[(9_500, 3), (9_400, 2), (8_000, 1)]);
        let after = shown(&RowView::new(&before).unwrap(), &lasting(5)).unwrap();
        assert_eq!(after, entry(&[(9_500, 3), (9_400, 2)]));
    }
}
