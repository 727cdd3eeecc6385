//! Enters the rows that a table holds already into a new local index.
//!
//! Every change queued since the index is known keeps its entries; what was queued before is waited for. Then rows
//! are gone through in portions, each held while its entries are made and queued. Done twice it is the same as done
//! once, so after a crash it begins again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::Batch;

use super::life::ReadyWhenAll;
use super::plan::{Plan, newest_of_entry};
use crate::entry::{self, RowView};
use crate::error::Error;
use crate::partition::Partition;
use crate::table::Table;

/// Bytes of rows that are looked through at a time.
const BLOCK_BYTES: usize = 1024 * 1024;
/// Rows that are held at a time: writers of these wait for one read.
const HELD_MAX: usize = 64;
const CALL: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// Enters all rows of the table, however often it has to begin a portion again; then tells that it is done.
pub(crate) async fn build(table: Table, plan: Plan, ready: ReadyWhenAll) {
    for partition in table.partitions() {
        while let Err(error) = partition.settle(Instant::now() + CALL).await {
            held_up(partition, &error).await;
        }
        let mut after: Option<Bytes> = None;
        loop {
            match enter_some(partition, &plan, after.as_deref()).await {
                Ok(Some(last)) => after = Some(last),
                Ok(None) => break,
                Err(error) => held_up(partition, &error).await,
            }
        }
    }
    ready.tell().await;
}

async fn held_up(partition: &Partition, error: &Error) {
    tracing::warn!(partition = ?partition.id(), %error, "the building of a local index is held up");
    tokio::time::sleep(PAUSE).await;
}

/// Enters a block of rows; the last one's key, if there are more.
async fn enter_some(
    partition: &Partition,
    plan: &Plan,
    after: Option<&[u8]>,
) -> Result<Option<Bytes>, Error> {
    if !partition.has_room() {
        return Err(Error::NotWritten("the disk is at its reserve".into()));
    }
    let block = partition.scan(after, None, BLOCK_BYTES, Instant::now() + CALL).await?;
    let keys = block.rows().map(|row| row.map(|(key, _)| Bytes::copy_from_slice(key)));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    for portion in keys.chunks(HELD_MAX) {
        let enter = |key: &[u8], row: &[u8], batch: &mut Batch| enter(plan, key, row, batch);
        partition.upkeep_rows(portion.to_vec(), enter, Instant::now() + CALL).await?;
    }
    Ok(block.last_key().filter(|_| block.more()).map(Bytes::copy_from_slice))
}

fn enter(plan: &Plan, key: &[u8], row: &[u8], batch: &mut Batch) -> Result<(), Error> {
    let view = RowView::new(row)?;
    let newest = newest_of_entry(&row[entry::HEAD_BYTES..])?;
    let mut entry_key = Vec::new();
    if plan.key(key, &newest, &mut entry_key)? {
        batch.put(entry_key, plan.entry(&newest, (view.sequence(), view.commit_time())));
    }
    Ok(())
}
