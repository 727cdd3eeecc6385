//! A space's log: a keyspace whose keys only rise, trimmed by dropping whole tables.
//!
//! Memtables are flushed in the order of the keys, so the tables of a log follow one another, and fjall moves them
//! to its last level without merging. A trim notes how far it goes, which counts at once; the tables that lie below
//! are then dropped by the writer, files and all, without a delete per entry. A table that a trim reaches into goes
//! with a later trim. The newest table stays until the journals that its entries were in are gone, since fjall tells
//! by the newest table what is flushed, and keeps full journals for ever where there is none.
//!
//! A trim is not written down. Entries that were trimmed and are still in a journal are back after a crash, and
//! whoever trims does it again.
//!
//! A keyspace per stretch of the log, dropped as a whole, would be simpler; but what fjall notes of keyspaces it never
//! frees (see `spares`).

use std::collections::VecDeque;

use bytes::Bytes;
use fjall::{AbstractTree, Keyspace};
use parking_lot::Mutex;

use super::journals::Journals;
use super::tree::Tree;
use crate::seam::SpaceId;

/// What is appended is counted in pieces of this size, so a trim lets go of whole ones in the count.
const PIECE_BYTES: u64 = 64 << 10;

/// A log, and what it holds by our own count. One thread writes, any reads.
pub(super) struct Log {
    pub(super) tree: Tree,
    extent: Mutex<Extent>,
}

#[derive(Default)]
struct Extent {
    /// In ascending order of their keys.
    pieces: VecDeque<Piece>,
    bytes: u64,
    trimmed_below: Bytes,
    /// The newest table if it is trimmed and not dropped yet, by its id, and the last journal that may have held
    /// its entries.
    kept: Option<(u64, u64)>,
}

struct Piece {
    /// Its greatest key.
    last: Bytes,
    bytes: u64,
}

impl Log {
    /// A log as it lies on disk and in the journal.
    pub(super) fn found(keyspace: Keyspace) -> fjall::Result<Self> {
        let mut extent = Extent::default();
        let mut tables = tables(&keyspace);
        tables.sort_by(|a, b| a.last.cmp(&b.last));
        for table in tables {
            extent.push(table.last, table.bytes);
        }
        let in_memory = keyspace.tree.version_memtable_size_sum();
        if in_memory > 0
            && let Some(last) = keyspace.last_key_value()
        {
            extent.push(Bytes::copy_from_slice(&last.key()?), in_memory);
        }
        Ok(Self { tree: Tree::new(keyspace), extent: Mutex::new(extent) })
    }

    /// Notes what was appended: its greatest key, and its bytes.
    pub(super) fn grow(&self, last: Bytes, bytes: u64) {
        let mut extent = self.extent.lock();
        match extent.pieces.back_mut() {
            Some(piece) if piece.bytes < PIECE_BYTES => {
                piece.last = last;
                piece.bytes += bytes;
                extent.bytes += bytes;
            }
            _ => extent.push(last, bytes),
        }
    }

    /// Lets go of what lies below a key, as far as the count goes. Says whether that was anything.
    pub(super) fn trim(&self, below: Bytes) -> bool {
        let mut extent = self.extent.lock();
        let mut gone = false;
        while let Some(piece) = extent.pieces.front()
            && piece.last < below
        {
            extent.bytes -= piece.bytes;
            extent.pieces.pop_front();
            gone = true;
        }
        if extent.trimmed_below < below {
            extent.trimmed_below = below;
        }
        gone
    }

    /// Bytes of keys and values that are not trimmed.
    pub(super) fn bytes(&self) -> u64 {
        self.extent.lock().bytes
    }

    /// Drops the tables that are trimmed to their ends. Says whether there were any.
    pub(super) fn drop_tables(&self, journals: &Journals) -> fjall::Result<bool> {
        let tables = tables(&self.tree.keyspace);
        // Dropping works on files: whoever asks for the bytes meanwhile must not wait for that.
        let below = self.extent.lock().droppable_below(&tables, journals);
        let has_some = tables.iter().any(|table| table.last < below);
        if has_some {
            self.tree.keyspace.tree.drop_range(..&below[..])?;
        }
        Ok(has_some)
    }

    /// Whether something that is trimmed is in memtables, or in a table that is kept, so that it can be dropped only
    /// later.
    pub(super) fn has_more_to_drop(&self) -> bool {
        self.extent.lock().kept.is_some()
            || self.tree.keyspace.sealed_memtable_count() > 0
            || self.has_trimmed_memtable()
    }

    /// Whether the memtable that takes writes holds anything that is trimmed.
    pub(super) fn has_trimmed_memtable(&self) -> bool {
        let first = self.tree.keyspace.tree.active_memtable().iter().next();
        first.is_some_and(|entry| entry.key.user_key[..] < self.extent.lock().trimmed_below[..])
    }
}

/// A table of a log.
struct Table {
    id: u64,
    /// The greatest number of its entries.
    seqno: u64,
    first: Bytes,
    last: Bytes,
    bytes: u64,
}

fn tables(keyspace: &Keyspace) -> Vec<Table> {
    let version = keyspace.tree.current_version();
    // Tombstones are of earlier lives (see `spares`), and no entries.
    let of_entries =
        version.iter_tables().filter(|table| table.metadata.item_count > table.metadata.tombstone_count);
    let tables = of_entries.map(|table| Table {
        id: table.metadata.id,
        seqno: table.get_highest_seqno(),
        first: Bytes::copy_from_slice(table.metadata.key_range.min()),
        last: Bytes::copy_from_slice(table.metadata.key_range.max()),
        bytes: table.metadata.file_size,
    });
    tables.collect()
}

impl Extent {
    fn push(&mut self, last: Bytes, bytes: u64) {
        self.pieces.push_back(Piece { last, bytes });
        self.bytes += bytes;
    }

    /// The key below which tables may be dropped now.
    fn droppable_below(&mut self, tables: &[Table], journals: &Journals) -> Bytes {
        let newest = tables.iter().max_by_key(|table| table.seqno);
        let newest = newest.filter(|table| table.last < self.trimmed_below);
        self.kept = newest.map(|table| match self.kept {
            Some(kept) if kept.0 == table.id => kept,
            _ => (table.id, journals.newest),
        });
        match (newest, self.kept) {
            (Some(newest), Some((_, journal))) if !journals.are_gone_up_to(journal) => newest.first.clone(),
            _ => self.trimmed_below.clone(),
        }
    }
}

/// The name of the keyspace of a pair's log.
pub(super) fn log_name(pair: &str) -> String {
    format!("{pair}.log")
}

/// What a keyspace is for, by its name: of a pair, whose name is that of a space, with a number behind or without.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyspaceName {
    Table(String),
    Log(String),
    Other,
}

impl KeyspaceName {
    pub(super) fn parse(name: &str) -> Self {
        let (pair, is_log) = name.strip_suffix(".log").map_or((name, false), |pair| (pair, true));
        let (space, number) = pair.split_once('.').unwrap_or((pair, "1"));
        let fits = SpaceId::fits(space) && number.parse::<u64>().is_ok();
        match is_log {
            _ if !fits => Self::Other,
            true => Self::Log(pair.to_owned()),
            false => Self::Table(pair.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fjall_engine::tuning::log_options;

    struct Fixture {
        _folder: tempfile::TempDir,
        db: fjall::Database,
        log: Log,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = fjall::Database::builder(folder.path()).open().unwrap();
            let log = Log::found(db.keyspace("s.log", log_options).unwrap()).unwrap();
            Self { _folder: folder, db, log }
        }

        /// Appends two entries, and has them flushed into a table of their own.
        fn add_table(&self, first: &'static str, last: &'static str) {
            self.append(first);
            self.append(last);
            self.log.tree.keyspace.rotate_memtable_and_wait().unwrap();
        }

        fn append(&self, key: &'static str) {
            self.log.tree.keyspace.insert(key, "value").unwrap();
            self.log.grow(key.into(), PIECE_BYTES);
        }

        fn keys(&self) -> Vec<String> {
            let keys = self.log.tree.keyspace.iter().map(|entry| entry.key().unwrap().to_vec());
            keys.map(|key| String::from_utf8(key).unwrap()).collect()
        }

        fn table_count(&self) -> usize {
            self.log.tree.keyspace.tree.table_count()
        }
    }

    /// Only the journal in use is there.
    const NO_FULL: Journals = Journals { oldest: 1, newest: 1, newest_bytes: 0, bytes: 0 };

    #[test]
    fn a_trim_drops_the_tables_it_passed_and_leaves_the_one_it_reached() {
        let fixture = Fixture::new();
        for (first, last) in [("b", "c"), ("f", "g"), ("k", "l")] {
            fixture.add_table(first, last);
        }
        assert!(fixture.log.trim("g".into()));
        assert!(fixture.log.drop_tables(&NO_FULL).unwrap());
        assert_eq!(fixture.keys(), ["f", "g", "k", "l"]);
        assert!(!fixture.log.drop_tables(&NO_FULL).unwrap(), "it was done");
        assert!(fixture.log.trim("k".into()));
        assert!(fixture.log.drop_tables(&NO_FULL).unwrap());
        assert_eq!(fixture.keys(), ["k", "l"]);
        assert!(!fixture.log.trim("a".into()), "a trim never goes back");
        assert!(fixture.log.trim("m".into()));
        assert!(fixture.log.drop_tables(&NO_FULL).unwrap());
        assert_eq!(fixture.table_count(), 0);
        fixture.add_table("m", "n");
        assert!(!fixture.log.drop_tables(&NO_FULL).unwrap());
        assert_eq!(fixture.keys(), ["m", "n"]);
    }

    #[test]
    fn the_newest_table_stays_as_long_as_the_journals_of_its_entries() {
        let fixture = Fixture::new();
        fixture.add_table("b", "c");
        fixture.add_table("f", "g");
        fixture.log.trim("m".into());
        assert!(
            fixture.log.drop_tables(&Journals { oldest: 3, newest: 5, newest_bytes: 0, bytes: 0 }).unwrap()
        );
        assert_eq!(fixture.keys(), ["f", "g"]);
        assert!(fixture.log.has_more_to_drop());
        assert!(
            !fixture.log.drop_tables(&Journals { oldest: 5, newest: 9, newest_bytes: 0, bytes: 0 }).unwrap()
        );
        assert!(
            fixture.log.drop_tables(&Journals { oldest: 6, newest: 9, newest_bytes: 0, bytes: 0 }).unwrap()
        );
        assert_eq!(fixture.table_count(), 0);
        assert!(!fixture.log.drop_tables(&NO_FULL).unwrap());
        assert!(!fixture.log.has_more_to_drop());
    }

    #[test]
    fn what_is_trimmed_in_memory_goes_once_it_is_flushed() {
        let fixture = Fixture::new();
        fixture.append("b");
        assert!(!fixture.log.has_more_to_drop());
        fixture.log.trim("c".into());
        assert!(fixture.log.has_more_to_drop());
        assert!(!fixture.log.drop_tables(&NO_FULL).unwrap());
        fixture.log.tree.keyspace.rotate_memtable_and_wait().unwrap();
        assert!(fixture.log.drop_tables(&NO_FULL).unwrap());
        assert_eq!(fixture.keys(), [] as [&str; 0]);
    }

    #[test]
    fn the_bytes_are_those_that_are_not_trimmed_and_are_found_again() {
        let fixture = Fixture::new();
        fixture.add_table("b", "c");
        fixture.append("f");
        assert_eq!(fixture.log.bytes(), 3 * PIECE_BYTES);
        fixture.log.trim("c".into());
        assert_eq!(fixture.log.bytes(), 2 * PIECE_BYTES);
        let found = Log::found(fixture.db.keyspace("s.log", log_options).unwrap()).unwrap();
        assert!(found.bytes() > 0);
        found.trim("f".into());
        assert!(found.bytes() > 0, "the entry in memory is not trimmed");
        found.trim("g".into());
        assert_eq!(found.bytes(), 0);
    }

    #[test]
    fn tables_of_a_log_are_moved_but_never_merged() {
        let fixture = Fixture::new();
        let keys: Vec<String> = (100..140).map(|number| number.to_string()).collect();
        for key in &keys {
            fixture.log.tree.keyspace.insert(key, "value").unwrap();
            fixture.log.tree.keyspace.rotate_memtable_and_wait().unwrap();
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while fixture.log.tree.keyspace.tree.level_table_count(6) != Some(keys.len()) {
            assert!(std::time::Instant::now() < until, "{} tables in all", fixture.table_count());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(fixture.keys(), keys);
    }

    #[test]
    fn keyspaces_are_known_by_their_names() {
        for pair in ["p-7", "p-7.2"] {
            assert_eq!(KeyspaceName::parse(pair), KeyspaceName::Table(pair.to_owned()));
            assert_eq!(KeyspaceName::parse(&log_name(pair)), KeyspaceName::Log(pair.to_owned()));
        }
        for other in ["_kick", "", "P", "p.log.x", "p.log.1", ".log"] {
            assert_eq!(KeyspaceName::parse(other), KeyspaceName::Other, "{other}");
        }
    }
}
