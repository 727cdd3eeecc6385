//! Reads a channel behind a position, a page at a time.
//!
//! Rows are read in key order within the channel's range; at its end the channel is finished. The log is read in
//! sequence order, from the tunnel's start time on, and never finished, unless the tunnel has an end and everything
//! before it is read. It may show a record before the partition's head does; that one is left to the next page, since
//! a position behind it would be taken for a made-up one.

use std::time::Instant;

use lakeferry_model::{Micros, Violation};

use super::entry::{Position, Source};
use crate::error::Error;
use crate::key;
use crate::partition::{LogBlock, Partition, RowBlock};

/// Rows or records of a page at most.
const PAGE_COUNT_MAX: usize = 5000;
/// Bytes of rows or records after which a page ends. Workers take a page of more than 900 KiB for a sign that
/// there is more, and hold several at once.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// What was read of a channel, and where to go on.
#[derive(Debug)]
pub struct Page {
    /// What was read.
    pub read: Read,
    /// The position behind it.
    pub next: Position,
    /// Rows or records up to there.
    pub count: u64,
    /// Whether there is more to read at once.
    pub more: bool,
}

/// What was read of a channel.
#[derive(Debug)]
pub enum Read {
    /// Rows, invisible ones too.
    Rows(RowBlock),
    /// Records: the first so many of the block.
    Log(LogBlock, usize),
    /// Nothing: the channel is finished.
    Nothing,
}

/// The commit times that a tunnel reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Changes of before are not read.
    pub(super) start: Micros,
    /// Changes of this time or later are not read.
    pub(super) end: Option<Micros>,
}

/// Checks that a position is one of the channel's.
///
/// # Errors
/// If a client made it up, or has it from another channel.
pub(super) fn check(
    position: &Position,
    source: &Source,
    partition: &Partition,
    has_end: bool,
) -> Result<(), Violation> {
    let fits = match (source, position) {
        (Source::Rows { after, until }, Position::Rows { after: read, .. }) => match read {
            None => true,
            Some(read) => {
                after.as_ref().is_none_or(|after| read > after)
                    && until.as_ref().is_none_or(|until| read <= until)
            }
        },
        (Source::Rows { .. }, Position::Finished) => true,
        (Source::Log, Position::Log { after, .. }) => *after <= partition.head().sequence,
        (Source::Log, Position::Finished) => has_end,
        (Source::Rows { .. }, Position::Log { .. }) | (Source::Log, Position::Rows { .. }) => false,
    };
    if fits { Ok(()) } else { Err(Violation::parameter("The token is none of this channel's.")) }
}

/// Reads a page. The position has been checked.
///
/// # Errors
/// [`Error::LogTrimmed`] if what comes next is gone, or if the engine does not answer.
pub(super) async fn read(
    position: Position,
    source: &Source,
    partition: &Partition,
    times: Times,
    deadline: Instant,
) -> Result<Page, Error> {
    match (source, position) {
        (Source::Rows { after, until }, Position::Rows { after: read, count }) => {
            let after = read.or_else(|| after.clone());
            read_rows(partition, after, until.as_deref(), count, deadline).await
        }
        (Source::Log, Position::Log { after, time, count }) => {
            read_log(partition, (after, time, count), times, deadline).await
        }
        (_, Position::Finished | Position::Rows { .. } | Position::Log { .. }) => {
            Ok(Page { read: Read::Nothing, next: Position::Finished, count: 0, more: false })
        }
    }
}

async fn read_rows(
    partition: &Partition,
    after: Option<Vec<u8>>,
    until: Option<&[u8]>,
    count: u64,
    deadline: Instant,
) -> Result<Page, Error> {
    let from = after.as_deref().map(key::successor).unwrap_or_default();
    let to = until.map(key::successor);
    let block = partition.rows(&from, to.as_deref(), false, PAGE_COUNT_MAX, PAGE_BYTES_MAX, deadline).await?;
    let mut count = count;
    for record in block.records() {
        record?;
        count += 1;
    }
    let last = block.last_key().filter(|_| block.more()).map(<[u8]>::to_vec);
    let next = match last {
        Some(last) => Position::Rows { after: Some(last), count },
        None => Position::Finished,
    };
    Ok(Page { more: block.more(), read: Read::Rows(block), next, count })
}

async fn read_log(
    partition: &Partition,
    (after, time, count): (u64, Micros, u64),
    Times { start, end }: Times,
    deadline: Instant,
) -> Result<Page, Error> {
    // Before the log: what is committed at or below it is in what is read next.
    let closed = end.map(|_| partition.closed_time());
    let read = partition.read_records_since(after, start, PAGE_COUNT_MAX, PAGE_BYTES_MAX, deadline);
    let (after, block) = read.await?;
    let (end, head) = (end.unwrap_or(Micros::MAX), partition.head().sequence);
    let (mut last, mut taken, mut at_end, mut more) = ((after, time), 0, false, block.more());
    for record in block.records() {
        let record = record?;
        if record.sequence() > head {
            more = true;
            break;
        }
        at_end = record.commit_time() >= end;
        if at_end {
            break;
        }
        last = (record.sequence(), record.commit_time());
        taken += 1;
    }
    let is_finished = at_end || (!more && closed.is_some_and(|closed| closed >= end - 1));
    let count = count + taken as u64;
    let next =
        if is_finished { Position::Finished } else { Position::Log { after: last.0, time: last.1, count } };
    Ok(Page { more: more && !is_finished, read: Read::Log(block, taken), next, count })
}
