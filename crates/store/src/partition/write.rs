//! The one way of every row write.
//!
//! 1. [`rows`](super::rows): the request locks its rows, once and in key order.
//! 2. It reads what its changes need, rows that wait first, and [`apply`](super::apply)s them in order.
//! 3. It leaves its rows as pending, queues them for the [`committer`](super::committer), and unlocks.
//! 4. It waits for the committer's answer.
//!
//! A request whose old rows are large does 2 and 3 piece by piece, so that its memory has a bound; its rows stay
//! locked all the while. A caller that is gone before its rows are queued leaves nothing behind; afterwards they
//! are committed all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use lakeferry_engine::{Area, Room};
use lakeferry_model::{ColumnCondition, RowChange};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::{self, Rules};
use super::auto_keys::Completed;
use super::buffer::Unwritten;
use super::committer::{PreparedRow, Request, Write};
use super::head::row_key;
use super::rows::{Held, Holder, Place};
use super::{Partition, Written, closed, wait};
use crate::aside::aside;
use crate::error::Error;
use crate::key::partition_key;
use crate::table::TableInfo;

/// Bytes of old rows that a request holds at a time, and one read more.
const OLD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows of the first read where nothing is known of their size, and of every read at most.
const FIRST_READ_ROWS: usize = 4;
const READ_ROWS_MAX: usize = 64;

/// A change with its row key's bytes.
pub type Keyed<'a> = (Bytes, &'a RowChange);

/// What the committer will say.
pub(super) type Answer = oneshot::Receiver<Result<(), Error>>;

/// Rows that were queued; no answer where there is nothing to wait for.
pub(super) struct Queued(pub Option<Answer>);

impl Partition {
    /// Writes rows, each with its key's bytes. Each succeeds or fails alone; the answers come in the order of
    /// the changes. Once queued it is committed, whatever becomes of the caller.
    pub async fn write(&self, changes: &[Keyed<'_>], deadline: Instant) -> Vec<Result<Written, Error>> {
        let mut outcomes = Vec::with_capacity(changes.len());
        match self.write_pieces(changes, &mut outcomes, deadline).await {
            Ok(()) => {}
            Err(Error::Conflict) if changes.len() > 1 => {
                return self.write_beside_claims(changes, deadline).await;
            }
            Err(error) => outcomes.resize(changes.len(), Err(error)),
        }
        outcomes
    }

    /// Writes those rows that no transaction keeps for itself; the others fail alone.
    async fn write_beside_claims(
        &self,
        changes: &[Keyed<'_>],
        deadline: Instant,
    ) -> Vec<Result<Written, Error>> {
        let claimed = self.0.rows.claimed(changes.iter().map(|(key, _)| key));
        let free = changes.iter().zip(&claimed).filter(|(_, claimed)| !**claimed);
        let free: Vec<Keyed<'_>> = free.map(|(change, _)| change.clone()).collect();
        let mut outcomes = Vec::with_capacity(free.len());
        if !free.is_empty()
            && let Err(error) = self.write_pieces(&free, &mut outcomes, deadline).await
        {
            outcomes.resize(free.len(), Err(error));
        }
        let mut outcomes = outcomes.into_iter();
        let outcome = |claimed: bool| {
            let outcome = if claimed { None } else { outcomes.next() };
            outcome.unwrap_or(Err(Error::Conflict))
        };
        claimed.into_iter().map(outcome).collect()
    }

    /// Adds the outcomes of pieces that are durable. An error is that of all changes behind these.
    async fn write_pieces(
        &self,
        changes: &[Keyed<'_>],
        outcomes: &mut Vec<Result<Written, Error>>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let Begun { budget, held, repeats } = self.begin(changes, deadline).await?;
        let mut waiting = Some(budget);
        let completed = self.complete(changes, deadline).await?;
        let completed = completed.as_ref().map(Completed::keyed);
        let changes = completed.as_deref().unwrap_or(changes);
        loop {
            let rest = &changes[outcomes.len()..];
            let place = held.place()?;
            let piece = self.piece(rest, repeats, &Unwritten::held(&held), deadline).await?;
            let is_last = piece.outcomes.len() == rest.len();
            let mut none = None;
            let budget = if is_last { &mut waiting } else { &mut none };
            let Some(queued) =
                self.queue(&piece.info, piece.rows, piece.saw_pending, place, &held, budget)?
            else {
                continue;
            };
            let answer = queued.0;
            if is_last {
                drop(held);
                wait_if_any(answer, deadline).await?;
                outcomes.extend(piece.outcomes);
                return Ok(());
            }
            wait_if_any(answer, deadline).await?;
            outcomes.extend(piece.outcomes);
        }
    }

    /// Refuses what cannot be written now; else waits for its turn and holds all rows of the changes.
    pub(super) async fn begin(&self, changes: &[Keyed<'_>], deadline: Instant) -> Result<Begun<'_>, Error> {
        self.check_open()?;
        let budget = self.wait_for_budget(self.budget_for(changes, deadline), deadline).await?;
        let mut keys: Vec<Bytes> = changes.iter().map(key_to_hold).collect();
        keys.sort_unstable();
        keys.dedup();
        let repeats = keys.len() < changes.len();
        let held = self.0.rows.hold(keys, Holder::Anybody, deadline).await?;
        Ok(Begun { budget, held, repeats })
    }

    /// # Errors
    /// If it is an index, the partition is closed, or the disk at its reserve.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if let Some(index) = &self.1.index {
            return Err(Error::IsIndex(index.clone()));
        }
        // At once, and not only after a wait for what is closed along with it.
        if self.0.queue.lock().is_none() {
            return Err(closed());
        }
        match self.0.engine.room() {
            Room::Free => Ok(()),
            Room::AtReserve { free, reserve } => Err(Error::AtReserve { free, reserve }),
        }
    }

    /// Bytes of the changes, and of the old rows that they may need.
    fn budget_for(&self, changes: &[Keyed<'_>], deadline: Instant) -> usize {
        let info = self.table();
        let rules = self.rules(&info, deadline);
        let needing_old = changes.iter().filter(|(_, change)| rules.need_old(change)).count();
        let old = needing_old.saturating_mul(self.0.old_row_bytes.load(Ordering::Relaxed));
        // Of the old rows, a piece is in memory at a time; of each, the new entry and the record too.
        room_for(changes) + 3 * old.min(OLD_BYTES_MAX)
    }

    /// Waits until so many bytes fit into what may wait. One request at a time may be larger than that.
    pub(super) async fn wait_for_budget(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let inner = &*self.0;
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let kib = kib.min(inner.waiting_kib_max);
        let permit = match inner.waiting.clone().try_acquire_many_owned(kib) {
            Ok(permit) => return Ok(permit),
            Err(_) => inner.waiting.clone().acquire_many_owned(kib),
        };
        match tokio::time::timeout_at(deadline.into(), permit).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::NotWritten("too many bytes wait to be written".into())),
        }
    }

    /// Applies as many of the changes, from the first on, as their old rows allow; at least one. `repeats` tells
    /// whether rows may be named twice.
    pub(super) async fn piece(
        &self,
        changes: &[Keyed<'_>],
        repeats: bool,
        unwritten: &Unwritten<'_>,
        deadline: Instant,
    ) -> Result<Piece, Error> {
        let inner = &*self.0;
        let info = self.table();
        let rules = self.rules(&info, deadline);
        let now_ms = rules.now_ms;
        let needs_old = changes.iter().any(|(_, change)| rules.need_old(change));
        let (count, old) = match needs_old {
            true => self.read_old(changes, unwritten, deadline).await?,
            false => (changes.len(), OldRows::default()),
        };
        let changes = &changes[..count];
        let cell_ms = inner.cell_times.lock().take(changes.iter().map(|(key, _)| key), now_ms);
        let apply = || apply_all(&rules, changes, old, repeats && needs_old, &cell_ms, &info);
        let conditions = changes.iter().filter_map(|(_, change)| change.condition.columns.as_ref());
        let takes_long = conditions.into_iter().any(ColumnCondition::may_take_long);
        Ok(if takes_long { aside(apply) } else { apply() })
    }

    /// By which changes of the table are applied now.
    fn rules<'a>(&self, info: &'a TableInfo, deadline: Instant) -> Rules<'a> {
        Rules {
            options: &info.options,
            key_columns: &info.schema.primary_key,
            origin_columns: &info.plans().origin_columns,
            hidden_below_ms: info.hidden_below_ms,
            now_ms: self.0.times.shared().now() / 1000,
            entry_bytes_max: self.0.row_bytes_max,
            picks_keys: info.schema.auto_increment().is_some(),
            indexes: info.plans(),
            deadline,
        }
    }

    /// The rows of the first changes as they are before them, and how many changes these are: at least one, and
    /// no more than the bound of bytes allows.
    async fn read_old(
        &self,
        changes: &[Keyed<'_>],
        unwritten: &Unwritten<'_>,
        deadline: Instant,
    ) -> Result<(usize, OldRows), Error> {
        let seen = &self.0.old_row_bytes;
        let mut old = OldRows::default();
        let (mut count, mut bytes) = (0, 0);
        while count < changes.len() && (count == 0 || bytes < OLD_BYTES_MAX) {
            let expected = seen.load(Ordering::Relaxed);
            let step = match expected {
                0 => FIRST_READ_ROWS,
                row_bytes => (OLD_BYTES_MAX.saturating_sub(bytes) / row_bytes).clamp(1, READ_ROWS_MAX),
            };
            let end = changes.len().min(count + step);
            let keys = changes[count..end].iter().map(|(key, _)| key);
            let greatest = self.read_rows(keys, unwritten, &mut old, &mut bytes, deadline).await?;
            // It falls slowly, so that one small row does not make the next read a large one.
            seen.store(greatest.max(expected - expected / 16).max(1), Ordering::Relaxed);
            count = end;
        }
        Ok((count, old))
    }

    /// Adds rows, without the heads of their entries, to `old`, and their bytes to `bytes`. The greatest one's.
    async fn read_rows<'k>(
        &self,
        keys: impl Iterator<Item = &'k Bytes> + Clone,
        unwritten: &Unwritten<'_>,
        old: &mut OldRows,
        bytes: &mut usize,
        deadline: Instant,
    ) -> Result<usize, Error> {
        let mut missing = Vec::new();
        for (key, pending) in keys.clone().zip(unwritten.rows(&keys)) {
            match pending {
                Some(entry) => {
                    old.saw_pending = true;
                    old.rows.insert(key.clone(), entry);
                }
                None if old.rows.contains_key(key) => {}
                None => missing.push(key.clone()),
            }
        }
        let entry_keys = missing.iter().map(|key| {
            let mut entry_key = Vec::with_capacity(key.len() + 1);
            row_key(key, &mut entry_key);
            entry_key.into()
        });
        let mut greatest = 0;
        if missing.is_empty() {
            return Ok(greatest);
        }
        let read = self.0.space.read(Area::Table, entry_keys.collect(), deadline).await?;
        for (key, entry) in missing.into_iter().zip(read) {
            let size = entry.as_ref().map_or(0, Bytes::len);
            *bytes += size;
            greatest = greatest.max(size);
            let columns = entry.map(|entry| {
                let columns = apply::entry_columns(&entry)?;
                Ok::<Bytes, Error>(entry.slice_ref(columns))
            });
            old.rows.insert(key, columns.transpose()?);
        }
        Ok(greatest)
    }

    /// Leaves rows as pending and queues them, both or neither: neither if the table is not any more what they were
    /// made for. What an index needs of them, and of their records, holds from one place in the queue on.
    pub(super) fn queue(
        &self,
        made_for: &Arc<TableInfo>,
        rows: Vec<PreparedRow>,
        saw_pending: bool,
        place: Place,
        held: &Held<'_>,
        budget: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Option<Queued>, Error> {
        // Changes that failed on account of rows that wait may be told so only once these are durable.
        if rows.is_empty() && !saw_pending {
            return Ok(Some(Queued(None)));
        }
        let queue = self.0.queue.lock();
        let queue = queue.as_ref().ok_or_else(closed)?;
        if !made_for.writes_alike(&self.0.info.borrow()) {
            return Ok(None);
        }
        held.leave(place, rows.iter().map(|row| (&row.key, &row.entry)));
        let bytes = rows.iter().map(PreparedRow::bytes).sum();
        let (reply, answer) = oneshot::channel();
        let write = Write { place, rows, bytes, reply, _budget: budget.take() };
        queue.send(Request::Write(write)).map_err(|_| closed())?;
        Ok(Some(Queued(Some(answer))))
    }
}

/// A request that has its turn and its rows.
pub(super) struct Begun<'a> {
    /// Its share of what may wait.
    pub budget: OwnedSemaphorePermit,
    /// Its rows.
    pub held: Held<'a>,
    /// Whether rows may be named twice.
    pub repeats: bool,
}

/// A row's own key; of an inserted row, which has none yet, the partition key, so that rows come to be in the order
/// of the values that are picked for them.
fn key_to_hold((key, change): &Keyed<'_>) -> Bytes {
    if change.operation.picks_key() { key.slice_ref(partition_key(key)) } else { key.clone() }
}

pub(super) async fn wait_if_any(answer: Option<Answer>, deadline: Instant) -> Result<(), Error> {
    match answer {
        Some(answer) => wait(answer, deadline).await,
        None => Ok(()),
    }
}

/// Rows as they are before the changes: entries without their heads, `None` for rows that are not there.
#[derive(Debug, Default)]
struct OldRows {
    rows: HashMap<Bytes, Option<Bytes>, RandomState>,
    /// Whether one of them is not durable yet.
    saw_pending: bool,
}

/// Changes that were applied together.
pub(super) struct Piece {
    /// The table for which they were.
    pub info: Arc<TableInfo>,
    pub outcomes: Vec<Result<Written, Error>>,
    pub rows: Vec<PreparedRow>,
    pub saw_pending: bool,
}

/// Applies the changes in order; if a row `repeats`, a later one sees what an earlier one made of it.
fn apply_all(
    rules: &Rules<'_>,
    changes: &[Keyed<'_>],
    mut old: OldRows,
    repeats: bool,
    cell_ms: &[i64],
    info: &Arc<TableInfo>,
) -> Piece {
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut places = Vec::with_capacity(changes.len());
    let mut arena = Vec::with_capacity(room_for(changes));
    for ((key, change), cell_ms) in changes.iter().zip(cell_ms) {
        let before = old.rows.get(key).and_then(Option::as_deref);
        match rules.apply(before, change, key, *cell_ms, &mut arena) {
            Ok(mut applied) => {
                if repeats {
                    let after = applied.entry.clone().map(|entry| Bytes::copy_from_slice(&arena[entry]));
                    old.rows.insert(key.clone(), after);
                }
                outcomes.push(Ok(Written { returned: applied.returned.take() }));
                places.push((key, applied));
            }
            Err(error) => outcomes.push(Err(error)),
        }
    }
    let arena = Bytes::from(arena);
    let slice = |range| arena.slice(range);
    let prepared = places.into_iter().map(|(key, applied)| PreparedRow {
        key: key.clone(),
        entry: applied.entry.map(slice),
        record: arena.slice(applied.record),
        beside: applied.beside.into_iter().map(|(key, entry)| (slice(key), entry.map(slice))).collect(),
    });
    Piece { info: info.clone(), outcomes, rows: prepared.collect(), saw_pending: old.saw_pending }
}

/// Bytes that the changes' entries and records take, roughly.
fn room_for(changes: &[Keyed<'_>]) -> usize {
    let size = |change: &RowChange| change.size(&[] as &[&str]) + 16 * change.operation.cells().len();
    changes.iter().map(|(key, change)| 2 * (key.len() + size(change)) + 128).sum()
}
