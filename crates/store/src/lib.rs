//! Rows on an engine: the catalog, reads, writes, and the log of every change.
//!
//! A [`Store`] holds the tables of all instances. A [`Table`] sends a request's rows to its [`Partition`]s, and
//! each partition's committer writes rows and change records in one batch. What is read is durable.
//!
//! - [`key`], [`entry`], [`record`]: primary keys, rows and change records as bytes.
//! - [`partition`]: the write path, reads, and the log.
//! - [`index`]: secondary indexes, local and global.
//! - [`reclaim`]: what nobody sees any more is written away.
//! - [`transaction`]: rows of one partition key, read and written as one.
//! - [`catalog`]: instances, tables, buckets, roles, keys.
//! - [`tunnel`]: rows and logs read by groups of clients, whose positions are kept here.
//!
//! Deliberately absent: the wire, the lake, and who reads the log ([`LogReaders`] tells how far they are).

mod aside;
pub mod catalog;
mod clearing;
mod defined_columns;
pub mod entry;
mod error;
mod index;
pub mod key;
pub mod partition;
mod reclaim;
pub mod record;
mod shape;
mod split_points;
mod store;
mod table;
mod time;
mod transaction;
mod trim;
pub mod tunnel;
mod walk;

pub use aside::aside;
pub use entry::{CellRef, RawCell, RawCells, RowView, Visibility};
pub use error::{Error, ErrorKind};
pub use index::{IndexInfo, IndexPhase, IndexReport};
pub use partition::head::{LogHead, LogKeeper};
pub use partition::{LogBlock, Partition, PartitionId, RowBlock, RowVisitor, VisitedRow, Written};
pub use record::{Action, Changed, RecordView, Told};
pub use shape::{FoundValue, RowShape};
pub use split_points::SplitPoints;
pub use store::{Settings, Store, TableSpec, TableUpdate};
pub use table::{RangeLimits, RangePage, RowBuf, StreamInfo, Table, TableId, TableInfo};
pub use transaction::Transaction;
pub use trim::LogReaders;
pub use walk::{ColumnWalk, StoredVersion};
