//! A journal whose last batch is torn: some of its pages reached the disk before a power cut, some did not.
//!
//! Fjall cuts a journal where a batch breaks off. But pages may reach the disk in any order: a batch whose end is
//! there and whose middle is not looks like damage to it, and it does not start. Nobody was answered for such a batch,
//! since a group is answered when all of it is synced. So the journal in use is cut there, and what is cut off is kept
//! beside it.
//!
//! A bad batch before a whole one was not torn: what lies behind it was answered. It is damage, and left alone.
//!
//! ```text
//! batch = 01  items:u32  number:u64  item...  03  xxh3 of the items:u64  "FJL" 03
//! item  = 02  kind:u8  compression:u8  keyspace:u64  key:u16  value:u32  stored:u32  key bytes  stored bytes
//!       | 04  keyspace:u64
//! ```
//!
//! The cut is not synced. If a crash undoes it, the next start does it again.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// Bytes of an item before its key.
const ITEM_BYTES: usize = 21;
const CLEAR_BYTES: usize = 9;

/// Cuts a torn batch off the journal in use. Says whether there was one.
pub(super) fn cut_newest(dir: &Path) -> io::Result<bool> {
    let Some((number, path)) = newest(dir)? else { return Ok(false) };
    let journal = std::fs::read(&path)?;
    let Some(whole) = torn_behind(&journal) else { return Ok(false) };
    let length = journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (mut aside, kept) = aside(dir, number)?;
    aside.write_all(&journal[whole..length])?;
    tracing::error!(
        journal = %path.display(), bytes = length - whole, kept = %kept.display(),
        "the last batch of the journal is torn and was never answered; it is cut off"
    );
    OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
    Ok(true)
}

fn newest(dir: &Path) -> io::Result<Option<(u64, PathBuf)>> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        newest = newest.max(number.map(|number: u64| (number, path)));
    }
    Ok(newest)
}

/// A new file for what is cut off.
fn aside(dir: &Path, journal: u64) -> io::Result<(std::fs::File, PathBuf)> {
    let mut number = 0;
    loop {
        let path = dir.join(format!("{journal}.torn-{number}"));
        match std::fs::File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            other => return other.map(|file| (file, path)),
        }
    }
}

/// Where the last whole batch ends, if something lies behind it and no batch of that is whole.
fn torn_behind(journal: &[u8]) -> Option<usize> {
    let mut whole = 0;
    while let Some(length) = batch_length(&journal[whole..]) {
        whole += length;
    }
    let rest = &journal[whole..];
    let ends = rest.windows(TRAILER.len()).enumerate().filter(|(_, window)| *window == TRAILER);
    let mut behind_ends = ends.map(|(at, _)| at + TRAILER.len());
    let is_last = behind_ends.all(|at| batch_length(&rest[at..]).is_none());
    (is_last && rest.iter().any(|byte| *byte != 0)).then_some(whole)
}

/// The length of the batch that a journal begins with, if it is whole.
fn batch_length(journal: &[u8]) -> Option<usize> {
    let mut rest = journal;
    let start = take(&mut rest, 13)?;
    if start[0] != START {
        return None;
    }
    let items = rest;
    for _ in 0..number(&start[1..5]) {
        let length = item_length(rest)?;
        take(&mut rest, length)?;
    }
    let items = &items[..items.len() - rest.len()];
    let end = take(&mut rest, 13)?;
    let is_whole = end[0] == END && end[9..] == *TRAILER && number(&end[1..9]) == xxh3_64(items);
    is_whole.then_some(journal.len() - rest.len())
}

fn item_length(journal: &[u8]) -> Option<usize> {
    match *journal.first()? {
        ITEM => {
            let head = journal.get(..ITEM_BYTES)?;
            let bytes = number(&head[11..13]).checked_add(number(&head[17..21]))?;
            ITEM_BYTES.checked_add(usize::try_from(bytes).ok()?)
        }
        CLEAR => Some(CLEAR_BYTES),
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// A number of up to eight bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fjall_engine::tuning::table_options;

    /// The values of a database whose journal is changed before it is opened again.
    fn after(change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, fjall::Result<Vec<Vec<u8>>>) {
        let folder = tempfile::tempdir().unwrap();
        let db = fjall::Database::builder(folder.path()).open().unwrap();
        let keyspace = db.keyspace("s", table_options).unwrap();
        for number in 1..=3_u8 {
            let mut batch = db.batch();
            // Some are compressed, some are not.
            batch.insert(&keyspace, [number, 1], vec![number; 20_000]);
            batch.insert(&keyspace, [number, 2], [number; 100]);
            batch.commit().unwrap();
        }
        drop((keyspace, db));
        let (_, path) = newest(folder.path()).unwrap().unwrap();
        let mut journal = std::fs::read(&path).unwrap();
        change(&mut journal);
        std::fs::write(&path, journal).unwrap();
        let values = values(folder.path());
        (folder, values)
    }

    fn values(dir: &Path) -> fjall::Result<Vec<Vec<u8>>> {
        let db = fjall::Database::builder(dir).open()?;
        let keyspace = db.keyspace("s", table_options)?;
        keyspace.iter().map(|entry| Ok(entry.value()?.to_vec())).collect()
    }

    /// The place of the uncompressed value of a batch.
    fn value(journal: &[u8], number: u8) -> usize {
        journal.windows(100).position(|window| window == [number; 100]).unwrap()
    }

    #[test]
    fn a_torn_batch_is_cut_off_and_kept_aside() {
        let (folder, values_before) = after(|journal| {
            let at = value(journal, 3);
            journal[at..at + 50].fill(0);
        });
        assert!(matches!(values_before, Err(fjall::Error::JournalRecovery(_))), "{values_before:?}");
        assert!(cut_newest(folder.path()).unwrap());
        let kept: Vec<u8> = values(folder.path()).unwrap().iter().map(|value| value[0]).collect();
        assert_eq!(kept, [1, 1, 2, 2]);
        let (_, path) = newest(folder.path()).unwrap().unwrap();
        let torn = std::fs::read(path.with_extension("torn-0")).unwrap();
        assert!(torn.starts_with(&[START]) && torn.ends_with(TRAILER));
        assert!(!cut_newest(folder.path()).unwrap(), "it was done");
    }

    #[test]
    fn a_bad_batch_before_a_whole_one_is_damage_and_stays() {
        let (folder, values_before) = after(|journal| {
            let at = value(journal, 2);
            journal[at] ^= 1;
        });
        assert!(values_before.is_err());
        assert!(!cut_newest(folder.path()).unwrap());
        assert!(values(folder.path()).is_err());
    }

    #[test]
    fn a_journal_that_is_whole_stays_as_it_is() {
        let (folder, values_before) = after(|_| ());
        assert_eq!(values_before.unwrap().len(), 6);
        assert!(!cut_newest(folder.path()).unwrap());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for bytes in [&[1; 40][..], &[255; 40], &[1, 1, 0, 0, 0], &[]] {
            assert_eq!(batch_length(bytes), None);
        }
        let mut endless = vec![START, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, ITEM];
        endless.resize(64, 255);
        assert_eq!(torn_behind(&endless), Some(0));
    }
}
