//! Reads of a partition: single rows, blocks of rows, blocks of the log. All see only what is durable.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_engine::{Area, Block, Scan};

use super::{LogHead, Partition, Shown};
use crate::entry::{RowView, Visibility};
use crate::error::Error;
use crate::key;
use crate::record::{RecordView, log_key};
use crate::table::TableInfo;

/// Log records in a block at most.
const LOG_ENTRIES_MAX: usize = 65_536;
/// Rows in a block of a scan at most.
const SCAN_ROWS_MAX: usize = 65_536;
/// Bytes of a block after which it ends, at most: engines may set the memory aside before they read.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows that were read together.
#[derive(Debug, Clone)]
pub struct RowBlock {
    info: Arc<TableInfo>,
    visibility: Visibility,
    /// Bytes of each entry's key that come before the row's.
    prefix: usize,
    block: Block,
}

impl RowBlock {
    pub(crate) fn new(info: Arc<TableInfo>, now_ms: i64, prefix: usize, block: Block) -> Self {
        let visibility = info.visibility(now_ms);
        Self { info, visibility, prefix, block }
    }

    /// The table as it was when the rows were read.
    pub fn table(&self) -> &Arc<TableInfo> {
        &self.info
    }

    /// What readers see of the rows.
    pub fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// The number of rows, invisible ones too.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Bytes of keys and entries.
    pub fn bytes(&self) -> usize {
        self.block.bytes()
    }

    /// Whether the range holds more rows.
    pub fn more(&self) -> bool {
        self.block.more
    }

    /// The bytes of all keys and entries, in the order of the scan.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.block.iter().map(|(key, entry)| (&key[self.prefix..], entry))
    }

    /// The bytes of a row's key, and its entry, in the order of the scan.
    pub fn row(&self, index: usize) -> Result<(&[u8], RowView<'_>), Error> {
        let (key, entry) = self.block.entry(index);
        Ok((&key[self.prefix..], RowView::new(entry)?))
    }

    /// Bytes of a row's key and entry.
    pub(crate) fn row_bytes(&self, index: usize) -> usize {
        let (key, entry) = self.block.entry(index);
        key.len() + entry.len()
    }

    /// All rows in the order of the scan: the bytes of the key, and the row. Invisible ones are among them.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Result<(&[u8], RowView<'_>), Error>> {
        (0..self.block.len()).map(|index| self.row(index))
    }

    /// The visible rows on their way to the lake.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView<'_>, Error>> {
        (0..self.block.len()).filter_map(|index| {
            let (key, entry) = self.block.entry(index);
            RecordView::from_row(&key[self.prefix..], entry, self.visibility).transpose()
        })
    }

    /// The key's bytes of the last row.
    pub fn last_key(&self) -> Option<&[u8]> {
        self.block.last_key().map(|key| &key[self.prefix..])
    }
}

/// A row that is handed over as it lies in the engine's memory.
#[derive(Debug, Clone, Copy)]
pub struct VisitedRow<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The entry, as [`RowView::new`] reads it.
    pub entry: &'a [u8],
    /// What readers see of it.
    pub visibility: Visibility,
}

/// Looks at a row, and says whether to go on to the next.
pub type RowVisitor<'a> = dyn FnMut(VisitedRow<'_>) -> ControlFlow<()> + 'a;

/// Change records that were read together.
#[derive(Debug, Clone, Default)]
pub struct LogBlock {
    block: Block,
}

impl LogBlock {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> usize {
        self.block.bytes()
    }

    /// Whether the log holds more records.
    pub fn more(&self) -> bool {
        self.block.more
    }

    /// A record, and its bytes in the log. [`RecordView::from_log`] reads the bytes again later.
    pub fn record(&self, index: usize) -> Result<(RecordView<'_>, &[u8]), Error> {
        let (key, record) = self.block.entry(index);
        Ok((RecordView::from_log(key, record)?, record))
    }

    /// All records in sequence order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Result<RecordView<'_>, Error>> {
        (0..self.len()).map(|index| self.record(index).map(|(view, _)| view))
    }
}

impl Partition {
    /// Reads single rows by their keys' bytes; entries in the order of the keys.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn get(&self, keys: &[Bytes], deadline: Instant) -> Result<Vec<Option<Bytes>>, Error> {
        let keys = keys.iter().map(|key| self.1.entry_key(key));
        Ok(self.0.space.read(Area::Table, keys.collect(), deadline).await?)
    }

    /// A row that was read by its key, as a block of its own.
    pub(crate) fn lone_row(&self, key: &[u8], entry: &[u8]) -> RowBlock {
        self.block_of([(key, entry)].into_iter())
    }

    /// Rows by their keys' bytes and entries, in the order of a scan, as a block of their own.
    pub(crate) fn block_of<'b>(&self, rows: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> RowBlock {
        let mut block = Block::default();
        for (key, entry) in rows {
            block.push(&self.1.entry_key(key), entry);
        }
        self.rows_as_of_now()(block)
    }

    /// Claims a partition key, given by its bytes, for one writer alone.
    pub(crate) async fn claim(&self, key: Bytes, deadline: Instant) -> Result<super::Claim, Error> {
        self.0.rows.claim(key, deadline).await
    }

    /// Reads rows with keys from `from` (inclusive) to `to` (exclusive; absent: the partition's end), as bytes of
    /// [`crate::key`]; backward from the greatest. The block ends at `rows_max` rows, or with the row that makes it
    /// reach `bytes_max`.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn rows(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        backward: bool,
        rows_max: usize,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<RowBlock, Error> {
        let scan = self.1.scan_of(from, to, backward, rows_max, bytes_max);
        let rows = self.rows_as_of_now();
        Ok(rows(self.0.space.scan(scan, deadline).await?))
    }

    /// Reads the next block of rows behind `after` and up to `until` (inclusive; absent: the partition's end).
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn scan(
        &self,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<RowBlock, Error> {
        let scan = self.1.scan_behind(after, until, bytes_max);
        let rows = self.rows_as_of_now();
        Ok(rows(self.0.space.scan(scan, deadline).await?))
    }

    /// Hands the same rows over one after the other, on the caller's own thread, without a copy: for work that goes
    /// through them at once. The answer is false once the range is read to its end, and true where it may hold
    /// more. What was handed over before an error is as good as without it.
    ///
    /// # Errors
    /// If the engine does not answer.
    ///
    /// # Panics
    /// On a thread that must not block, such as the runtime's own; and as the visitor panics.
    pub fn visit(
        &self,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
        deadline: Instant,
        visitor: &mut RowVisitor<'_>,
    ) -> Result<bool, Error> {
        let mut scan = self.1.scan_behind(after, until, bytes_max);
        scan.entries_max = usize::MAX;
        let visibility = self.1.info.borrow().visibility(self.0.times.shared().now() / 1000);
        let prefix = self.1.prefix.len();
        let more = self.0.space.visit(scan, deadline, &mut |key, entry| {
            visitor(VisitedRow { key: &key[prefix..], entry, visibility })
        })?;
        Ok(more)
    }

    /// Makes rows of a block that is read from now on, as the table's options show them now.
    fn rows_as_of_now(&self) -> impl FnOnce(Block) -> RowBlock {
        let info = self.1.info.borrow().clone();
        let now_ms = self.0.times.shared().now() / 1000;
        let prefix = self.1.prefix.len();
        move |block| RowBlock::new(info, now_ms, prefix, block)
    }

    /// Reads the log behind the sequence `after`, a block at a time.
    ///
    /// # Errors
    /// [`Error::LogTrimmed`] if records behind `after` are gone already, or if the engine does not answer.
    pub async fn read_log(&self, after: u64, bytes_max: usize, deadline: Instant) -> Result<LogBlock, Error> {
        self.read_records(after, LOG_ENTRIES_MAX, bytes_max, deadline).await
    }

    /// The same, with at most `count_max` records.
    ///
    /// # Errors
    /// As [`Partition::read_log`].
    pub async fn read_records(
        &self,
        after: u64,
        count_max: usize,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<LogBlock, Error> {
        let trimmed = self.trimmed();
        if after < trimmed {
            return Err(Error::LogTrimmed { trimmed });
        }
        let scan = Scan {
            area: Area::Log,
            from: Bytes::copy_from_slice(&log_key(after.saturating_add(1))),
            to: None,
            backward: false,
            entries_max: count_max.min(LOG_ENTRIES_MAX),
            bytes_max: bytes_max.min(BLOCK_BYTES_MAX),
        };
        let block = self.0.space.scan(scan, deadline).await?;
        // It may have been let go while it was read.
        let trimmed = self.trimmed();
        if after < trimmed { Err(Error::LogTrimmed { trimmed }) } else { Ok(LogBlock { block }) }
    }

    /// The sequence and commit time of the first record at or behind `sequence`.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn first_record(&self, sequence: u64, deadline: Instant) -> Result<Option<LogHead>, Error> {
        let scan = Scan {
            area: Area::Log,
            from: Bytes::copy_from_slice(&log_key(sequence)),
            to: None,
            backward: false,
            entries_max: 1,
            bytes_max: 1,
        };
        let block = LogBlock { block: self.0.space.scan(scan, deadline).await? };
        let record = block.records().next().transpose()?;
        Ok(record.map(|record| LogHead { sequence: record.sequence(), commit_time: record.commit_time() }))
    }

    /// Row keys that cut the partition into at most `pieces` parts of roughly one size, ascending: the key of the
    /// last row of each part but the last. Fewer where there are few rows, or where they crowd.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn split_keys(&self, pieces: usize, deadline: Instant) -> Result<Vec<Bytes>, Error> {
        let edge = async |backward| {
            let block = self.rows(&[], None, backward, 1, 1, deadline).await?;
            Ok::<_, Error>(block.last_key().map(Bytes::copy_from_slice))
        };
        let (Some(first), Some(last)) = (edge(false).await?, edge(true).await?) else {
            return Ok(Vec::new());
        };
        let mut keys: Vec<Bytes> = Vec::new();
        for piece in 1..pieces {
            let between = between(&first, &last, piece, pieces);
            let block = self.rows(&between, None, false, 1, 1, deadline).await?;
            let Some(key) = block.last_key() else { continue };
            if key < last.as_ref() && keys.last().is_none_or(|before| before.as_ref() < key) {
                keys.push(Bytes::copy_from_slice(key));
            }
        }
        Ok(keys)
    }
}

impl Shown {
    fn entry_key(&self, key: &[u8]) -> Bytes {
        [&self.prefix, key].concat().into()
    }

    fn scan_behind(&self, after: Option<&[u8]>, until: Option<&[u8]>, bytes_max: usize) -> Scan {
        let from = after.map(key::successor).unwrap_or_default();
        self.scan_of(&from, until.map(key::successor).as_deref(), false, SCAN_ROWS_MAX, bytes_max)
    }

    fn scan_of(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        backward: bool,
        rows_max: usize,
        bytes_max: usize,
    ) -> Scan {
        Scan {
            area: Area::Table,
            from: self.entry_key(from),
            to: Some(to.map_or_else(|| self.end.clone(), |to| self.entry_key(to))),
            backward,
            entries_max: rows_max.min(SCAN_ROWS_MAX),
            bytes_max: bytes_max.min(BLOCK_BYTES_MAX),
        }
    }
}

/// Bytes at `piece / pieces` of the way between two keys, by the eight bytes behind what they share.
fn between(first: &[u8], last: &[u8], piece: usize, pieces: usize) -> Vec<u8> {
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(&key[shared.min(key.len())..]) {
            *to = *from;
        }
        u128::from(u64::from_be_bytes(bytes))
    };
    let (low, high) = (number(first), number(last));
    let middle = low + high.saturating_sub(low) * piece as u128 / pieces.max(1) as u128;
    let mut key = first[..shared].to_vec();
    key.extend_from_slice(&u64::try_from(middle).unwrap_or(u64::MAX).to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_between_two_keys_lies_between_them() {
        for (first, last) in [(&b"user-000"[..], &b"user-999"[..]), (b"a", b"b"), (b"", b"zz")] {
            for piece in 1..4 {
                let point = between(first, last, piece, 4);
                assert!(
                    first <= point.as_slice() && point.as_slice() <= last,
                    "{first:?} {point:?} {last:?}"
                );
            }
        }
    }
}
