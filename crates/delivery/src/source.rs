//! Where rows and changes come from: delivery's own seam to a table.
//!
//! The local store is the one source today; a remote table read through its tunnel may be another. A source
//! has partitions, each with rows that can be scanned and with a log of changes in one order. Blocks are the
//! store's own: they are what is cheap to read and to encode.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use lakeferry_lake::Operation;
use lakeferry_model::{Micros, TableSchema, ValueRef};
use lakeferry_store::{
    Action, Error, FoundValue, LogBlock, LogHead, LogKeeper, Partition, PartitionId, RecordView, RowBlock,
    RowShape, RowView, RowVisitor, Table, Told, Visibility, VisitedRow,
};
use tokio::sync::watch;

/// How long one read may take.
const READ: Duration = Duration::from_secs(10);

/// A table, as delivery reads it.
#[async_trait]
pub(crate) trait Source: Send + Sync + fmt::Debug + 'static {
    /// The table's primary key and defined columns.
    fn schema(&self) -> TableSchema;

    /// Its partitions, in the order of their keys.
    fn partitions(&self) -> Vec<PartitionId>;

    /// Switches the partition's log on, and answers its head after the switch: every later change is in it.
    async fn keep_log(&self, partition: PartitionId) -> Result<LogHead, Error>;

    /// How far the partition's log has come.
    fn head(&self, partition: PartitionId) -> LogHead;

    /// Tells whenever the partition's head moves.
    fn watch(&self, partition: PartitionId) -> watch::Receiver<LogHead>;

    /// A time at or below which everything that is ever committed can be read now.
    fn closed_time(&self, partition: PartitionId) -> Micros;

    /// The records behind the sequence `after`, about `bytes_max` of them.
    async fn read_log(&self, partition: PartitionId, after: u64, bytes_max: usize)
    -> Result<LogBlock, Error>;

    /// The rows behind the row key `after` and up to `until`, which is among them; about `bytes_max` of them.
    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<RowBlock, Error>;

    /// Hands the same rows over one after the other, on the caller's own thread, which may block. False once the
    /// range is read to its end. What was handed over before an error is as good as without it.
    fn visit(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
        visitor: &mut RowVisitor<'_>,
    ) -> Result<bool, Error>;

    /// Row keys that split the partition into at most `pieces` ranges of roughly one size: the last key of
    /// each but the last.
    async fn split_keys(&self, partition: PartitionId, pieces: usize) -> Result<Vec<Bytes>, Error>;
}

/// A row on its way to the lake.
pub(crate) trait Record {
    /// What it tells of.
    fn operation(&self) -> Operation;
    /// The sequence of the change; of a row, that of its last change.
    fn sequence(&self) -> u64;
    /// The commit time of the change; of a row, that of its last change.
    fn commit_time(&self) -> Micros;
    /// The row key's bytes.
    fn key(&self) -> &[u8];
    /// The newest cell of each column, in name order.
    fn cells(&self) -> impl Iterator<Item = Result<(&str, ValueRef<'_>), Error>>;
}

impl Record for RecordView<'_> {
    fn operation(&self) -> Operation {
        match self.told() {
            Told::Base => Operation::Base,
            Told::Change(Action::Put) => Operation::Put,
            Told::Change(Action::Update) => Operation::Update,
            Told::Change(Action::Delete) => Operation::Delete,
        }
    }

    fn sequence(&self) -> u64 {
        self.sequence()
    }

    fn commit_time(&self) -> Micros {
        self.commit_time()
    }

    fn key(&self) -> &[u8] {
        self.key()
    }

    #[inline]
    fn cells(&self) -> impl Iterator<Item = Result<(&str, ValueRef<'_>), Error>> {
        self.newest().map(|cell| cell.map(|cell| (cell.name, cell.value)))
    }
}

/// A row as a scan finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScannedRow<'a> {
    key: &'a [u8],
    row: RowView<'a>,
    visibility: Visibility,
}

impl<'a> ScannedRow<'a> {
    /// The row that was handed over; nothing if no reader would see it.
    #[inline]
    pub(crate) fn visible(visited: &VisitedRow<'a>) -> Result<Option<Self>, Error> {
        let row = Self::of(visited)?;
        Ok(row.row.is_visible(&row.visibility)?.then_some(row))
    }

    /// The row that was handed over.
    #[inline]
    pub(crate) fn of(visited: &VisitedRow<'a>) -> Result<Self, Error> {
        let VisitedRow { key, entry, visibility } = *visited;
        Ok(Self { key, row: RowView::new(entry)?, visibility })
    }
}

impl Record for ScannedRow<'_> {
    fn operation(&self) -> Operation {
        Operation::Base
    }

    fn sequence(&self) -> u64 {
        self.row.sequence()
    }

    fn commit_time(&self) -> Micros {
        self.row.commit_time()
    }

    fn key(&self) -> &[u8] {
        self.key
    }

    #[inline]
    fn cells(&self) -> impl Iterator<Item = Result<(&str, ValueRef<'_>), Error>> {
        let visibility = self.visibility;
        self.row.cells().filter_map(move |cell| match cell {
            Ok(cell) => (cell.version == 0 && visibility.shows(&cell)).then_some(Ok((cell.name, cell.value))),
            Err(error) => Some(Err(error)),
        })
    }
}

impl<'a> ScannedRow<'a> {
    /// Hands over the newest cell of each column by the numbers that a shape gives. False if the shape lacks one: what
    /// was handed over is to be forgotten.
    #[inline]
    pub(crate) fn read_by<E: From<Error>>(
        &self,
        shape: &mut RowShape,
        take: impl FnMut(usize, FoundValue<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        shape.read(&self.row, &self.visibility, take)
    }
}

/// A table of the local store.
#[derive(Debug)]
pub(crate) struct StoreTable {
    table: Table,
}

impl StoreTable {
    pub(crate) fn shared(table: Table) -> Arc<dyn Source> {
        Arc::new(Self { table })
    }

    /// # Panics
    /// If the partition is not of this table; ids come from the table itself, and partitions stay.
    fn partition(&self, id: PartitionId) -> &Partition {
        let found = self.table.partitions().iter().find(|partition| partition.id() == id);
        found.expect("a task reads only the partitions of its own table")
    }
}

#[async_trait]
impl Source for StoreTable {
    fn schema(&self) -> TableSchema {
        self.table.info().schema.clone()
    }

    fn partitions(&self) -> Vec<PartitionId> {
        self.table.partitions().iter().map(Partition::id).collect()
    }

    async fn keep_log(&self, partition: PartitionId) -> Result<LogHead, Error> {
        self.partition(partition).keep_log(LogKeeper::Readers, true, deadline()).await
    }

    fn head(&self, partition: PartitionId) -> LogHead {
        self.partition(partition).head()
    }

    fn watch(&self, partition: PartitionId) -> watch::Receiver<LogHead> {
        self.partition(partition).watch()
    }

    fn closed_time(&self, partition: PartitionId) -> Micros {
        self.partition(partition).closed_time()
    }

    async fn read_log(
        &self,
        partition: PartitionId,
        after: u64,
        bytes_max: usize,
    ) -> Result<LogBlock, Error> {
        self.partition(partition).read_log(after, bytes_max, deadline()).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<RowBlock, Error> {
        self.partition(partition).scan(after, until, bytes_max, deadline()).await
    }

    fn visit(
        &self,
        partition: PartitionId,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        bytes_max: usize,
        visitor: &mut RowVisitor<'_>,
    ) -> Result<bool, Error> {
        self.partition(partition).visit(after, until, bytes_max, deadline(), visitor)
    }

    async fn split_keys(&self, partition: PartitionId, pieces: usize) -> Result<Vec<Bytes>, Error> {
        self.partition(partition).split_keys(pieces, deadline()).await
    }
}

fn deadline() -> Instant {
    Instant::now() + READ
}
