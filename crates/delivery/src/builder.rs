//! Turns scanned rows into objects. Computes only; it runs on blocking threads.
//!
//! A scan meets rows in the order of their keys, and their folders in no order at all. The folder that most
//! rows fall into is *hot*: its rows go straight into an open encoder. Rows of other folders are copied to a shelf
//! until the cut. When many rows in a row miss the hot folder, its object is closed and theirs becomes hot. So a
//! prefix without time variables, and a table whose keys follow time, are encoded on sight, without a copy; and
//! there is never more than one open encoder per lane.
//!
//! An object has the schema with which it was opened. Rows with columns that an open schema does not have yet miss,
//! too: the columns join when the next object is opened, so that no object is closed for each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeferry_lake::{ColumnScout, FolderPath};
use lakeferry_store::VisitedRow;

use crate::cut::LaneTicket;
use crate::dirty::CUT_BYTES_MAX;
use crate::encode::{Encoded, Failure, Form, ObjectId, RecordEncoder};
use crate::placement::Placement;
use crate::sample::look;
use crate::setup::Setup;
use crate::shelf::{Shelf, Slot};
use crate::source::{Record, ScannedRow};
use crate::task::Task;

/// So many rows in a row beside the hot folder make another one hot.
const MISSES_MAX: u32 = 1024;
/// What is set aside for an open encoder beside the budget: an object of the default size, and its last batch.
const OPEN_BYTES: u64 = 72 * 1024 * 1024;
/// Objects of one cut at which it is full, however small they are.
const PIECES_MAX: usize = 4096;

/// Builds the objects of one lane of the full phase.
pub(crate) struct Builder {
    task: Arc<Task>,
    setup: Arc<Setup>,
    ticket: LaneTicket,
    form: Form,
    placement: Placement,
    scout: Option<ColumnScout>,
    next_sequence: u64,
    hot: Option<Hot>,
    misses: u32,
    pieces: Vec<Piece>,
    aside: BTreeMap<FolderPath, Aside>,
    shelf: Shelf,
    /// What is left of the room for what the cut's rows have to leave out.
    dirty_room: usize,
    rows: u64,
}

/// A finished object of a cut that is not prepared yet.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) folder: FolderPath,
    pub(crate) sequence: u64,
    /// No schema of a cut's pieces has fewer columns than those before it.
    pub(crate) encoded: Encoded,
}

struct Hot {
    folder: FolderPath,
    sequence: u64,
    encoder: RecordEncoder,
}

/// Rows of a folder that wait on the shelf, and whether their event times are dirty.
#[derive(Default)]
struct Aside {
    rows: Vec<(Slot, bool)>,
    bytes: u64,
}

impl Builder {
    pub(crate) fn new(task: &Arc<Task>, setup: &Arc<Setup>, ticket: LaneTicket, next_sequence: u64) -> Self {
        let schema = task.columns.current();
        Self {
            form: setup.form(&schema),
            placement: setup.placement(&schema),
            setup: Arc::clone(setup),
            scout: task.columns.scout(),
            task: Arc::clone(task),
            ticket,
            next_sequence,
            hot: None,
            misses: 0,
            pieces: Vec::new(),
            aside: BTreeMap::new(),
            shelf: Shelf::default(),
            dirty_room: CUT_BYTES_MAX,
            rows: 0,
        }
    }

    /// Takes a row, unless no reader sees it or its last change came after `pin`. After an error the builder is of
    /// no use.
    #[inline]
    pub(crate) fn take(&mut self, visited: &VisitedRow<'_>, pin: Option<u64>) -> Result<(), Failure> {
        let Some(row) = ScannedRow::visible(visited)? else { return Ok(()) };
        if pin.is_some_and(|pin| row.sequence() > pin) {
            return Ok(());
        }
        let Some(place) = self.placement.place(&row)? else { return Ok(()) };
        self.rows += 1;
        // Most rows go this way: they are looked through once, for new columns and for their values.
        if let Some(hot) = self.hot.as_mut().filter(|hot| hot.folder == *place.folder)
            && hot.encoder.push_known(&row)?
        {
            self.misses = 0;
            return hot.encoder.count(
                &row,
                visited.key.len() + visited.entry.len(),
                place.is_event_time_dirty,
            );
        }
        let (folder, is_event_time_dirty) = (place.folder.clone(), place.is_event_time_dirty);
        self.take_unusual(visited, &row, folder, is_event_time_dirty)
    }

    /// Takes a row of another folder, or with columns that were never seen.
    fn take_unusual(
        &mut self,
        visited: &VisitedRow<'_>,
        row: &ScannedRow<'_>,
        folder: FolderPath,
        is_event_time_dirty: bool,
    ) -> Result<(), Failure> {
        let row_bytes = visited.key.len() + visited.entry.len();
        let widens = self.scout(row)?;
        if let Some(hot) = self.hot.as_mut().filter(|hot| hot.folder == folder && !widens) {
            self.misses = 0;
            hot.encoder.push_new(row)?;
            return hot.encoder.count(row, row_bytes, is_event_time_dirty);
        }
        self.misses += 1;
        if self.hot.is_none() || self.misses >= MISSES_MAX {
            let encoder = self.make_hot(folder)?;
            encoder.push_new(row)?;
            return encoder.count(row, row_bytes, is_event_time_dirty);
        }
        let aside = self.aside.entry(folder).or_default();
        aside.rows.push((self.shelf.put(visited), is_event_time_dirty));
        aside.bytes += row_bytes as u64;
        Ok(())
    }

    /// Closes everything that is open, and begins anew. An error leaves a builder that is of no use.
    pub(crate) fn finish(mut self) -> (Result<Vec<Piece>, Failure>, Self) {
        let finished = self.close_all();
        let next = Self::new(&self.task, &self.setup, self.ticket, self.next_sequence);
        (finished.map(|()| self.pieces), next)
    }

    /// Whether the cut should be made: an object reached its size, or there are very many.
    pub(crate) fn is_full(&self, object_bytes_max: u64) -> bool {
        self.hot.as_ref().is_some_and(|hot| hot.encoder.record_bytes() >= object_bytes_max)
            || self.aside.values().any(|aside| aside.bytes >= object_bytes_max)
            || self.pieces.len() + self.aside.len() >= PIECES_MAX
            || self.pieces.iter().map(|piece| piece.encoded.byte_count).sum::<u64>() >= object_bytes_max
    }

    /// Rows that were taken and are not cut yet.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Memory held, but for what is set aside for the open encoder ([`OPEN_BYTES`]).
    pub(crate) fn held_bytes(&self) -> u64 {
        let piece_bytes = |piece: &Piece| piece.encoded.byte_count + piece.encoded.dirty.lines.len() as u64;
        let open = self.hot.as_ref().map_or(0, |hot| hot.encoder.memory_bytes());
        let pieces = self.pieces.iter().map(piece_bytes).sum::<u64>();
        self.shelf.bytes() + pieces + open.saturating_sub(OPEN_BYTES)
    }

    /// The first sequence that no object has.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Whether the row has columns that the schema lacks and may get.
    #[inline]
    fn scout(&mut self, row: &ScannedRow<'_>) -> Result<bool, Failure> {
        self.scout.as_mut().map_or(Ok(false), |scout| Ok(look(scout, row)?))
    }

    /// Lets the columns join that were found.
    fn widen(&mut self) {
        if self.scout.as_ref().is_some_and(|scout| scout.found().next().is_some()) {
            let schema = self.task.columns.widen(&mut self.scout);
            self.form = self.setup.form(&schema);
        }
    }

    fn make_hot(&mut self, folder: FolderPath) -> Result<&mut RecordEncoder, Failure> {
        self.close_hot()?;
        self.misses = 0;
        self.widen();
        let (sequence, encoder) = self.begin_object()?;
        Ok(&mut self.hot.insert(Hot { folder, sequence, encoder }).encoder)
    }

    fn begin_object(&mut self) -> Result<(u64, RecordEncoder), Failure> {
        let sequence = self.next_sequence;
        let (task, LaneTicket { lane, run }) = (self.task.id, self.ticket);
        let encoder =
            RecordEncoder::new(&self.form, &ObjectId { task, run, lane, sequence }, self.dirty_room)?;
        self.next_sequence += 1;
        Ok((sequence, encoder))
    }

    fn close_hot(&mut self) -> Result<(), Failure> {
        if let Some(Hot { folder, sequence, encoder }) = self.hot.take() {
            self.add_piece(folder, sequence, encoder)?;
        }
        Ok(())
    }

    fn add_piece(
        &mut self,
        folder: FolderPath,
        sequence: u64,
        encoder: RecordEncoder,
    ) -> Result<(), Failure> {
        let encoded = encoder.finish()?;
        self.dirty_room -= encoded.dirty.lines.len();
        self.pieces.push(Piece { folder, sequence, encoded });
        Ok(())
    }

    fn close_all(&mut self) -> Result<(), Failure> {
        self.close_hot()?;
        self.widen();
        for (folder, aside) in std::mem::take(&mut self.aside) {
            let (sequence, mut encoder) = self.begin_object()?;
            for (slot, is_event_time_dirty) in aside.rows {
                let row = ScannedRow::of(&self.shelf.get(slot))?;
                if !encoder.push_known(&row)? {
                    encoder.push_new(&row)?;
                }
                encoder.count(&row, 0, is_event_time_dirty)?;
            }
            self.add_piece(folder, sequence, encoder)?;
        }
        self.shelf.clear();
        Ok(())
    }
}
