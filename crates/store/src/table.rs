//! A table: its partitions in the order of their ranges, and the way of a request to them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::{
    IndexKind, IndexSpec, InstanceName, KeyRange, Micros, PrimaryKey, ReservedThroughput, RowChange,
    StreamSpec, TableOptions, TableSchema, Violation,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::entry::Visibility;
use crate::error::Error;
use crate::index::IndexInfo;
use crate::index::plan::CachedPlans;
use crate::key;
use crate::partition::{Keyed, Partition, RowBlock, Written};

/// A table's id, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u64);

/// A table as it stands in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its id.
    pub id: TableId,
    /// The instance it belongs to.
    pub instance: InstanceName,
    /// Its name and columns.
    pub schema: TableSchema,
    /// Its options.
    pub options: TableOptions,
    /// Capacity set aside.
    pub throughput: ReservedThroughput,
    /// When the throughput was set last, in microseconds since the epoch.
    pub throughput_at: Micros,
    /// Its stream, if it has one.
    pub stream: Option<StreamInfo>,
    /// When it was made, in microseconds since the epoch.
    pub created_at: Micros,
    /// Its secondary indexes, in the order of their making.
    #[serde(default)]
    pub indexes: Vec<IndexInfo>,
    /// Whether rows may hold more versions than the options let readers see.
    #[serde(default)]
    pub surplus_versions: bool,
    /// Below this timestamp in milliseconds cells stay hidden, however long the options let them live: their rows
    /// and entries may be reclaimed, some already and some not. It only rises.
    #[serde(default)]
    pub hidden_below_ms: Option<i64>,
    /// How its indexes are kept.
    #[serde(skip)]
    pub(crate) plans: CachedPlans,
}

impl TableInfo {
    /// What readers see of its rows at `now_ms`, in milliseconds since the epoch.
    pub fn visibility(&self, now_ms: i64) -> Visibility {
        Visibility::new(&self.options, now_ms).hiding_below(self.hidden_below_ms)
    }

    /// What readers see now or may see again under other options. The rest may be reclaimed.
    pub(crate) fn lasting(&self) -> Visibility {
        Visibility::for_ever(&self.options).hiding_below(self.hidden_below_ms)
    }

    /// Whether changes come to the same rows, records and entries of indexes under both. How far an index has come,
    /// and what is hidden for good, changes nothing of that.
    pub(crate) fn writes_alike(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other)
            || (self.id == other.id
                && self.schema == other.schema
                && self.options == other.options
                && self.plans().origin_columns == other.plans().origin_columns
                && self.index_specs().eq(other.index_specs()))
    }

    fn index_specs(&self) -> impl Iterator<Item = (TableId, &IndexSpec)> {
        self.indexes.iter().map(|index| (index.id, &index.spec))
    }

    /// Whether a global index follows its log.
    pub(crate) fn has_global_index(&self) -> bool {
        self.indexes.iter().any(|index| index.spec.kind == IndexKind::Global)
    }
}

/// A table's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// What the owner asked for.
    pub spec: StreamSpec,
    /// Names the stream in requests.
    pub id: String,
    /// When it was switched on, in microseconds since the epoch.
    pub enabled_at: Micros,
}

/// A table. Handles are shared.
#[derive(Debug, Clone)]
pub struct Table(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: TableId,
    info: watch::Sender<Arc<TableInfo>>,
    partitions: Vec<Partition>,
}

/// Rows of a range, and where to go on.
#[derive(Debug)]
pub struct RangePage {
    /// The rows, in the order of the range.
    pub blocks: Vec<RowBlock>,
    /// The key of the first row that was not read; `None` at the range's end.
    pub next: Option<PrimaryKey>,
}

/// How much a read of a range may bring.
#[derive(Debug, Clone, Copy)]
pub struct RangeLimits {
    /// Rows, invisible ones too; at least 1.
    pub rows_max: usize,
    /// Bytes of keys and entries, roughly; one row is always read.
    pub bytes_max: usize,
}

/// A row that was read by its key.
#[derive(Debug, Clone)]
pub struct RowBuf {
    block: RowBlock,
}

impl RowBuf {
    /// A row of these bytes, if readers see it.
    pub(crate) fn visible(partition: &Partition, key: &[u8], entry: &[u8]) -> Result<Option<Self>, Error> {
        let row = Self { block: partition.lone_row(key, entry) };
        let visible = row.view()?.1.is_visible(&row.visibility())?;
        Ok(visible.then_some(row))
    }

    /// The key's bytes, and the row.
    ///
    /// # Errors
    /// If the entry is damaged.
    pub fn view(&self) -> Result<(&[u8], crate::entry::RowView<'_>), Error> {
        self.block.row(0)
    }

    /// Bytes of its key and its entry.
    pub fn bytes(&self) -> usize {
        self.block.bytes()
    }

    /// What readers see of it.
    pub fn visibility(&self) -> Visibility {
        self.block.visibility()
    }
}

impl Table {
    pub(crate) fn new(id: TableId, info: watch::Sender<Arc<TableInfo>>, partitions: Vec<Partition>) -> Self {
        debug_assert!(partitions.is_sorted_by(|a, b| a.start() < b.start()), "partitions lie in key order");
        Self(Arc::new(Inner { id, info, partitions }))
    }

    /// Its id.
    pub fn id(&self) -> TableId {
        self.0.id
    }

    /// The table as it stands now.
    pub fn info(&self) -> Arc<TableInfo> {
        self.0.info.borrow().clone()
    }

    pub(crate) fn set_info(&self, info: TableInfo) {
        self.0.info.send_replace(Arc::new(info));
    }

    /// Its partitions, in key order.
    pub fn partitions(&self) -> &[Partition] {
        &self.0.partitions
    }

    /// Writes rows. Each succeeds or fails alone; the answers come in the order of the changes. Changes of one
    /// row are applied in order.
    pub async fn write(&self, changes: Vec<RowChange>, deadline: Instant) -> Vec<Result<Written, Error>> {
        let keyed = keyed(&changes);
        if let [partition] = self.partitions() {
            return partition.write(&keyed, deadline).await;
        }
        self.write_apart(keyed, deadline).await
    }

    /// Writes rows of one partition key, all or none. The answers come in the order of the changes. Changes of one
    /// row are applied in order.
    ///
    /// # Errors
    /// If the rows do not share their partition key; else what the first change that failed failed on. Nothing is
    /// written then, unless the outcome is unknown.
    pub async fn write_together(
        &self,
        changes: Vec<RowChange>,
        deadline: Instant,
    ) -> Result<Vec<Written>, Error> {
        check_scope(&changes)?;
        let keyed = keyed(&changes);
        let Some((first, _)) = keyed.first() else { return Ok(Vec::new()) };
        self.partition_at(first).write_together(&keyed, deadline).await
    }

    /// The partition that a row key, or a partition key, lies in.
    pub(crate) fn partition_at(&self, key: &[u8]) -> &Partition {
        &self.partitions()[self.partition_of(key)]
    }

    /// Writes to all partitions concerned at once.
    async fn write_apart(&self, keyed: Vec<Keyed<'_>>, deadline: Instant) -> Vec<Result<Written, Error>> {
        let count = keyed.len();
        let parts = self.apart(keyed, |(key, _)| key);
        let writes = parts
            .iter()
            .map(|(partition, places, part)| async move { (places, partition.write(part, deadline).await) });
        let mut outcomes: Vec<Option<Result<Written, Error>>> = (0..count).map(|_| None).collect();
        for (places, part) in futures::future::join_all(writes).await {
            for (place, outcome) in places.iter().zip(part) {
                outcomes[*place] = Some(outcome);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("every change lies in one partition")).collect()
    }

    /// Reads rows by their keys, in the order of the keys. Rows that nobody sees any more are not there.
    ///
    /// # Errors
    /// If the engine does not answer, or an entry is damaged.
    pub async fn get(&self, keys: &[PrimaryKey], deadline: Instant) -> Result<Vec<Option<RowBuf>>, Error> {
        let encoded: Vec<Bytes> = keys.iter().map(|key| key::encoded(key).into()).collect();
        let mut rows: Vec<Option<RowBuf>> = vec![None; keys.len()];
        for (partition, places, part) in self.apart(encoded, |key| key) {
            let entries = partition.get(&part, deadline).await?;
            for ((place, key), entry) in places.into_iter().zip(&part).zip(entries) {
                let Some(entry) = entry else { continue };
                rows[place] = RowBuf::visible(partition, key, &entry)?;
            }
        }
        Ok(rows)
    }

    /// Reads the beginning of a range.
    ///
    /// # Errors
    /// If the engine does not answer, or a key is damaged.
    pub async fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
        deadline: Instant,
    ) -> Result<RangePage, Error> {
        let (from, to) = ends_of(range);
        let mut page = RangePage { blocks: Vec::new(), next: None };
        let mut rows_left = limits.rows_max.max(1);
        let mut bytes_left = limits.bytes_max.max(1);
        let mut indexes: Vec<usize> = self.partitions_between(&from, &to).collect();
        if range.backward {
            indexes.reverse();
        }
        for index in indexes {
            let partition = &self.partitions()[index];
            let (mut from, mut to) = (from.clone(), to.clone());
            loop {
                // When the page is full, one more row tells where to go on.
                let full = rows_left == 0 || bytes_left == 0;
                let (rows, bytes) = if full { (1, 1) } else { (rows_left, bytes_left) };
                let block = partition.rows(&from, Some(&to), range.backward, rows, bytes, deadline).await?;
                let Some(last) = block.last_key().map(<[u8]>::to_vec) else { break };
                if full {
                    page.next = Some(key::decode(&last, &block.table().schema.primary_key)?);
                    return Ok(page);
                }
                rows_left = rows_left.saturating_sub(block.len());
                bytes_left = bytes_left.saturating_sub(block.bytes());
                if range.backward {
                    to = last
                } else {
                    from = key::successor(&last)
                }
                let more = block.more();
                page.blocks.push(block);
                if !more {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// What concerns single rows, by partition: each with its places in the whole. Partitions that nothing concerns
    /// are left out.
    fn apart<T>(&self, whole: Vec<T>, key: impl Fn(&T) -> &Bytes) -> Vec<(&Partition, Vec<usize>, Vec<T>)> {
        let mut parts: Vec<_> =
            self.partitions().iter().map(|partition| (partition, Vec::new(), Vec::new())).collect();
        for (place, one) in whole.into_iter().enumerate() {
            let (_, places, part) = &mut parts[self.partition_of(key(&one))];
            places.push(place);
            part.push(one);
        }
        parts.retain(|(_, places, _)| !places.is_empty());
        parts
    }

    fn partition_of(&self, key: &[u8]) -> usize {
        let behind = self.partitions().partition_point(|partition| partition.start().as_ref() <= key);
        behind.saturating_sub(1)
    }

    fn partitions_between(&self, from: &[u8], to: &[u8]) -> std::ops::Range<usize> {
        let first = self.partition_of(from);
        let end = self.partitions().partition_point(|partition| partition.start().as_ref() < to);
        first..end.max(first + 1)
    }
}

/// The changes, each with its key's bytes.
pub(crate) fn keyed(changes: &[RowChange]) -> Vec<Keyed<'_>> {
    let mut arena = Vec::with_capacity(changes.len() * 32);
    let ends: Vec<usize> = changes
        .iter()
        .map(|change| {
            key::encode(&change.primary_key, &mut arena);
            arena.len()
        })
        .collect();
    let arena = Bytes::from(arena);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| arena.slice(start..*end)).zip(changes).collect()
}

/// Rows that are written together share their partition key.
fn check_scope(changes: &[RowChange]) -> Result<(), Error> {
    let mut keys = changes.iter().map(|change| &change.primary_key.values()[..1]);
    let Some(first) = keys.next() else { return Ok(()) };
    match keys.find(|key| *key != first) {
        None => Ok(()),
        Some(other) => Err(Violation::out_of_atomic(&first[0], &other[0]).into()),
    }
}

/// The first row key's bytes of a range, and the first behind it.
pub(crate) fn ends_of(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let (start, end) = (key::encode_bound(&range.start), key::encode_bound(&range.end));
    if range.backward {
        // Backward, the start belongs to the range and the end does not: both move by a hair.
        (key::successor(&end), key::successor(&start))
    } else {
        (start, end)
    }
}

impl RangePage {
    /// The number of rows, invisible ones too.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(RowBlock::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}
