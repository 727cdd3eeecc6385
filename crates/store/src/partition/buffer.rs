//! Rows that are written together, all or none: those of an atomic batch, and those of a transaction.
//!
//! Changes are applied one after the other, as on the common way, but their rows gather in a [`Buffer`], where the
//! next change sees them before those that wait in the committer and those in the engine. Then they are queued as
//! one request, which the committer never takes apart: one batch, which is written whole or not at all. A crash
//! before that leaves nothing of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::Violation;

use super::auto_keys::Completed;
use super::committer::PreparedRow;
use super::rows::{Claim, Held, Holder, PendingRows};
use super::write::{Begun, Piece, wait_if_any};
use super::{Keyed, Partition, Written};
use crate::error::Error;
use crate::table::TableInfo;

/// Bytes of rows and records that can be written together: what is held in memory for one request.
const TOGETHER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows as they will be, in the order of their changes.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// The table that they were made for: its options and indexes. None before the first.
    made_for: Option<Arc<TableInfo>>,
    rows: Vec<PreparedRow>,
    /// What the last change of each row made of it, by the row key's bytes: its entry without the head.
    after: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

/// What a request sees of rows that are not in the engine yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unwritten<'a> {
    held: Option<&'a Held<'a>>,
    /// Looked into from the last to the first.
    buffers: [Option<&'a Buffer>; 2],
}

/// What changes came to that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// What to answer for each change, once its row is written.
    pub outcomes: Vec<Result<Written, Error>>,
    /// Their rows.
    pub buffer: Buffer,
    saw_pending: bool,
}

impl Buffer {
    /// Bytes of rows and records.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the changes made of a row: its entry without the head, or none. `None` if they leave it alone.
    pub fn row(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.after.get(key)
    }

    /// All rows that the changes touched, in key order.
    pub fn touched(&self) -> &BTreeMap<Bytes, Option<Bytes>> {
        &self.after
    }

    /// Adds what came after this.
    pub fn append(&mut self, later: Self) {
        self.made_for = later.made_for.or(self.made_for.take());
        self.bytes += later.bytes;
        self.rows.extend(later.rows);
        self.after.extend(later.after);
    }

    fn add(&mut self, rows: Vec<PreparedRow>) {
        for row in rows {
            self.bytes += row.bytes();
            self.after.insert(row.key.clone(), row.entry.clone());
            self.rows.push(row);
        }
    }
}

impl<'a> Unwritten<'a> {
    /// What waits for the committer of the rows that are held.
    pub fn held(held: &'a Held<'a>) -> Self {
        Self { held: Some(held), buffers: [None, None] }
    }

    /// The rows of these keys as they wait, in the order of the keys.
    pub fn rows<'k>(&self, keys: &(impl Iterator<Item = &'k Bytes> + Clone)) -> PendingRows {
        let mut rows = match self.held {
            Some(held) => held.pending(keys.clone()),
            None => keys.clone().map(|_| None).collect(),
        };
        for buffer in self.buffers.into_iter().flatten() {
            for (row, key) in rows.iter_mut().zip(keys.clone()) {
                if let Some(own) = buffer.row(key) {
                    *row = Some(own.clone());
                }
            }
        }
        rows
    }
}

impl Partition {
    /// Writes rows, each with its key's bytes, all or none. The answers come in the order of the changes. Once
    /// queued they are committed, whatever becomes of the caller.
    ///
    /// # Errors
    /// What the first change that failed failed on; then nothing is written, unless the outcome is unknown.
    pub async fn write_together(
        &self,
        changes: &[Keyed<'_>],
        deadline: Instant,
    ) -> Result<Vec<Written>, Error> {
        let Begun { budget, held, repeats } = self.begin(changes, deadline).await?;
        let mut budget = Some(budget);
        let completed = self.complete(changes, deadline).await?;
        let completed = completed.as_ref().map(Completed::keyed);
        let changes = completed.as_deref().unwrap_or(changes);
        loop {
            let place = held.place()?;
            let Some(filled) = self.fill(changes, repeats, Some(&held), None, deadline).await? else {
                continue;
            };
            let Filled { outcomes, buffer: Buffer { made_for, rows, .. }, saw_pending } = filled;
            let outcome: Result<Vec<Written>, Error> = outcomes.into_iter().collect();
            let Some(made_for) = made_for else { return outcome };
            // One that failed on account of rows that wait is told so only once these are durable.
            let rows = if outcome.is_ok() { rows } else { Vec::new() };
            let queued = self.queue(&made_for, rows, saw_pending, place, &held, &mut budget)?;
            // The table is another one now: once more, for that.
            let Some(queued) = queued else { continue };
            drop(held);
            wait_if_any(queued.0, deadline).await?;
            return outcome;
        }
    }

    /// Applies changes to rows of a claimed partition key, as `before` leaves them, without writing them.
    ///
    /// # Errors
    /// If nothing of it could be done. Changes that break a rule have that for their outcome.
    /// [`Error::NoSuchTransaction`] if the table is not any more what `before` was made for.
    pub(crate) async fn apply_claimed(
        &self,
        changes: &[Keyed<'_>],
        before: &Buffer,
        deadline: Instant,
    ) -> Result<Filled, Error> {
        self.check_open()?;
        let completed = self.complete(changes, deadline).await?;
        let completed = completed.as_ref().map(Completed::keyed);
        let changes = completed.as_deref().unwrap_or(changes);
        let filled = self.fill(changes, true, None, Some(before), deadline).await?;
        let filled = filled.ok_or(Error::NoSuchTransaction)?;
        match (&before.made_for, &filled.buffer.made_for) {
            (Some(before), Some(now)) if !before.writes_alike(now) => Err(Error::NoSuchTransaction),
            _ => Ok(filled),
        }
    }

    /// Writes the rows of a claimed partition key, all or none. Once queued they are committed, whatever becomes
    /// of the caller.
    ///
    /// # Errors
    /// If nothing was written, or the outcome is unknown. [`Error::NoSuchTransaction`] if the table is not any more
    /// what the rows were made for.
    pub(crate) async fn write_claimed(
        &self,
        buffer: &Buffer,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.check_open()?;
        let Some(made_for) = &buffer.made_for else { return Ok(()) };
        let mut budget = Some(self.wait_for_budget(buffer.bytes, deadline).await?);
        let keys = buffer.after.keys().cloned().collect();
        let held = self.0.rows.hold(keys, Holder::Owner(claim), deadline).await?;
        let place = held.place()?;
        let queued = self.queue(made_for, buffer.rows.clone(), false, place, &held, &mut budget)?;
        drop(held);
        wait_if_any(queued.ok_or(Error::NoSuchTransaction)?.0, deadline).await
    }

    /// Applies changes one after the other. `None` if the table became another one meanwhile.
    async fn fill(
        &self,
        changes: &[Keyed<'_>],
        repeats: bool,
        held: Option<&Held<'_>>,
        before: Option<&Buffer>,
        deadline: Instant,
    ) -> Result<Option<Filled>, Error> {
        let mut filled = Filled::default();
        while filled.outcomes.len() < changes.len() {
            let unwritten = Unwritten { held, buffers: [before, Some(&filled.buffer)] };
            let rest = &changes[filled.outcomes.len()..];
            let piece = self.piece(rest, repeats, &unwritten, deadline).await?;
            if filled.buffer.made_for.as_ref().is_some_and(|made_for| !made_for.writes_alike(&piece.info)) {
                return Ok(None);
            }
            filled.add(piece);
            if filled.buffer.bytes > TOGETHER_BYTES_MAX {
                return Err(too_large(filled.buffer.bytes));
            }
        }
        Ok(Some(filled))
    }
}

impl Filled {
    fn add(&mut self, piece: Piece) {
        self.buffer.made_for = Some(piece.info);
        self.outcomes.extend(piece.outcomes);
        self.buffer.add(piece.rows);
        self.saw_pending |= piece.saw_pending;
    }
}

fn too_large(bytes: usize) -> Error {
    Violation::parameter(format!(
        "The rows to be written together take {bytes} bytes with all their columns and versions; at most {TOGETHER_BYTES_MAX} are possible."
    ))
    .into()
}
