//! How fjall is set up: the options of the database and of the two kinds of keyspaces, in one place, so that a
//! benchmark of bare fjall measures the same thing.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions};

use super::settings::FjallSettings;

/// A memtable is flushed when it holds this many bytes.
pub const MEMTABLE_BYTES: u64 = 32 << 20;

/// Size of a table's data blocks before compression. A scan reads fewer and larger pieces from larger blocks,
/// a point read searches more.
///
/// Fjall writes a keyspace's block size down when it makes the keyspace: another number here holds for new ones only.
///
/// A block has an entry more than this and a trailer. With a little less than 8 KiB it still fits into 8 KiB, which
/// is what the allocator has; of the next larger size, a fifth would be empty, and the cache is full of blocks.
const TABLE_BLOCK_BYTES: u32 = (8 << 10) - 512;

/// A log is only ever scanned. A little less than 32 KiB for the same reason, and for new logs only, too.
const LOG_BLOCK_BYTES: u32 = (32 << 10) - 1024;

/// The smallest bound on journals that fjall takes.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;

/// The database in `dir`, made or opened.
pub fn database_builder(dir: &Path, settings: &FjallSettings) -> DatabaseBuilder<Database> {
    Database::builder(dir)
        .cache_size(settings.cache_bytes)
        .max_journaling_size(settings.journal_bytes.max(JOURNAL_BYTES_MIN))
        .worker_threads(settings.worker_threads.max(1))
        // Durability is asked for with each batch; fjall shall not flush its buffer between them.
        .manual_journal_persist(true)
}

/// A keyspace for a table area: rows come and go, are read singly and scanned whole.
pub fn table_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .manual_journal_persist(true)
        .data_block_size_policy(BlockSizePolicy::all(TABLE_BLOCK_BYTES))
        // Rows that are not there are asked for often (`PutRow` with a condition), so the last level has its
        // filters too.
        .expect_point_read_hits(false)
        .compaction_strategy(Arc::new(Leveled::default()))
}

/// A keyspace for a log: written in order, scanned in order, dropped table by table. No filters, since
/// nobody asks for single keys; no compression, since most of it is gone before it was ever read from disk.
pub fn log_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .manual_journal_persist(true)
        .data_block_size_policy(BlockSizePolicy::all(LOG_BLOCK_BYTES))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::None))
        .compaction_strategy(Arc::new(Leveled::default()))
}
