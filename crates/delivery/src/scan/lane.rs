//! One lane of the full phase: rows in, cuts out.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use lakeferry_durable::Place;
use lakeferry_lake::{ManifestRange, ManifestSpan, ObjectSchema};
use lakeferry_store::{PartitionId, VisitedRow};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Early;
use crate::builder::{Builder, Piece};
use crate::cut::LaneTicket;
use crate::encode::{Encoded, Failure};
use crate::encoders::MayBeOpen;
use crate::memory::Lease;
use crate::setup::Setup;
use crate::space::{CutKind, LaneCounters, PreparedCut, PreparedObject, ScanRange};
use crate::status::{LaneView, Who};
use crate::stop::{Stop, Stopped};
use crate::task::{RunReason, Task};
use crate::trouble::Trouble;
use crate::upload::{Content, Delivered, Ended, Upload};

/// How often a stretch looks whether to cut, at most, before the lane looks whether to stop or to wait.
const STRETCH_LOOKS: usize = 64;
/// How often it does where other work waits for the encoder.
const SHARED_LOOKS: usize = 8;

/// One lane of the full phase.
pub(super) struct ScanLane {
    task: Arc<Task>,
    setup: Arc<Setup>,
    ticket: LaneTicket,
    stop: Stop,
    pins: BTreeMap<PartitionId, u64>,
    counters: LaneCounters,
    builder: Option<Builder>,
    /// Leave to have an object open.
    may_be_open: Option<MayBeOpen>,
    /// Ranges as they will be once what is built is committed.
    moved: BTreeMap<u32, ScanRange>,
    /// Where those ranges stood before.
    moved_from: BTreeMap<u32, Option<Bytes>>,
    lease: Lease,
    in_flight: Option<InFlight>,
}

/// A cut on its way.
struct InFlight {
    upload: JoinHandle<(Upload, Result<Delivered, Ended>)>,
    moved: BTreeMap<u32, ScanRange>,
    rows: u64,
    _lease: Lease,
}

/// A part of a range, read and encoded in one go.
struct Stretch {
    /// The range, moved on behind what is built.
    range: ScanRange,
    builder: Builder,
    lease: Lease,
    /// Whether what is built is to be cut.
    is_full: bool,
    ended: Result<(), Failure>,
}

impl Stretch {
    /// Takes rows until there are enough for once, or the range or the room is at its end.
    fn go(&mut self, task: &Task, pin: Option<u64>) {
        let ScanRange { partition, after, until, .. } = self.range.clone();
        let look_bytes = task.scan_look_bytes();
        let (mut last, mut taken, mut unlooked, mut looks) = (Vec::new(), Ok(()), 0, 0);
        let mut take = |row: VisitedRow<'_>| {
            taken = self.builder.take(&row, pin);
            if taken.is_err() {
                return ControlFlow::Break(());
            }
            last.clear();
            last.extend_from_slice(row.key);
            unlooked += row.key.len() + row.entry.len();
            if unlooked >= look_bytes {
                unlooked = 0;
                self.look(task);
                looks += 1;
                if looks >= SHARED_LOOKS && task.env.encoders.are_wanted() {
                    return ControlFlow::Break(());
                }
            }
            if self.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let bytes_max = STRETCH_LOOKS * look_bytes;
        let (after, until) = (after.as_deref(), until.as_deref());
        let visited = task.source.visit(PartitionId(partition), after, until, bytes_max, &mut take);
        if !last.is_empty() {
            self.range.after = Some(last.into());
        }
        self.look(task);
        self.ended = taken.and_then(|()| {
            self.range.is_done = !visited.map_err(Failure::Scan)?;
            Ok(())
        });
    }

    /// Looks whether what is built is to be cut.
    fn look(&mut self, task: &Task) {
        let held = self.builder.held_bytes();
        self.lease.set(held);
        let has_room = task.account.has_room(2 * task.scan_look_bytes() as u64);
        let is_full = self.builder.is_full(task.cut_rules().object_bytes_max);
        self.is_full = is_full || (!has_room && held > 0);
    }
}

impl ScanLane {
    pub(super) async fn begin(task: Arc<Task>, ticket: LaneTicket, stop: Stop) -> Result<Self, Stopped> {
        let setup = task.setup();
        let (counters, pins) = {
            let book = task.book_for(&ticket).await?;
            let counters = book.lanes.get(&ticket.lane).map(|lane| lane.counters).unwrap_or_default();
            let pins = book.pins.iter().map(|(partition, pin)| (*partition, pin.sequence)).collect();
            (counters, pins)
        };
        Ok(Self {
            builder: Some(Builder::new(&task, &setup, ticket, counters.next_sequence)),
            lease: task.account.lease(),
            task,
            setup,
            ticket,
            stop,
            pins,
            counters,
            may_be_open: None,
            moved: BTreeMap::new(),
            moved_from: BTreeMap::new(),
            in_flight: None,
        })
    }

    /// Scans ranges from the queue until it is empty, and commits all of it.
    pub(super) async fn run(mut self, queue: &Mutex<VecDeque<u32>>) -> Result<(), Early> {
        let ended = self.scan_all(queue).await;
        if let Some(flight) = self.in_flight.take() {
            // What is given up must not land any more.
            flight.upload.abort();
            _ = flight.upload.await;
            self.task.clear_trouble(Who::ScanLane(self.ticket.lane));
        }
        ended
    }

    async fn scan_all(&mut self, queue: &Mutex<VecDeque<u32>>) -> Result<(), Early> {
        loop {
            let next = queue.lock().pop_front();
            let Some(number) = next else { break };
            self.scan_range(number).await?;
        }
        self.cut().await?;
        self.collect().await?;
        self.task.board.set_lane(self.ticket.lane, LaneView::default());
        Ok(())
    }

    async fn scan_range(&mut self, number: u32) -> Result<(), Early> {
        let mut range = {
            let book = self.task.book_for(&self.ticket).await?;
            book.ranges.get(&number).cloned().ok_or(Early::Again)?
        };
        self.moved_from.insert(number, range.after.clone());
        let mut failures = 0;
        loop {
            if self.task.is_paused() {
                // What is built is scanned again when the task is resumed.
                self.collect().await?;
                return Err(Early::Again);
            }
            let (moved, is_full, ended) = self.stretch(range).await?;
            range = moved;
            self.moved.insert(number, range.clone());
            // While a lane waits for the engine to read again, no object stays open.
            if is_full || matches!(ended, Err(Failure::Scan(_))) {
                self.cut().await?;
                self.moved_from.insert(number, range.after.clone());
            }
            self.see(ended, &mut failures).await?;
            if range.is_done {
                return Ok(());
            }
        }
    }

    /// Has an encoder go on in a range: how far it came, whether what is built is to be cut, and
    /// how it ended.
    async fn stretch(&mut self, range: ScanRange) -> Result<(ScanRange, bool, Result<(), Failure>), Early> {
        self.may_open().await?;
        let pin = self.pins.get(&PartitionId(range.partition)).copied();
        let builder = self.builder.take().expect("the builder is here between two stretches");
        let lease = std::mem::replace(&mut self.lease, self.task.account.lease());
        let mut stretch = Stretch { range, builder, lease, is_full: false, ended: Ok(()) };
        let task = Arc::clone(&self.task);
        let work = self.task.env.encoders.run(move || {
            stretch.go(&task, pin);
            stretch
        });
        // A disk that hangs holds the encoder, but not who says stop.
        let Stretch { range, builder, lease, is_full, ended } = self.stop.or(work).await?;
        let rows_gathered = builder.rows() + self.in_flight.as_ref().map_or(0, |flight| flight.rows);
        self.task.board.set_lane(self.ticket.lane, LaneView { rows_gathered, next_cut_at: None });
        self.builder = Some(builder);
        self.lease = lease;
        Ok((range, is_full, ended))
    }

    /// Waits until an object may be open. What is on its way is committed first: the wait may be long.
    async fn may_open(&mut self) -> Result<(), Early> {
        if self.may_be_open.is_none() {
            self.may_be_open = self.task.env.encoders.try_open();
        }
        if self.may_be_open.is_none() {
            self.collect().await?;
            let encoders = self.task.env.encoders.clone();
            self.may_be_open = Some(self.stop.or(encoders.open()).await?);
        }
        Ok(())
    }

    /// Waits where a stretch ended in trouble.
    async fn see(&mut self, ended: Result<(), Failure>, failures: &mut u32) -> Result<(), Early> {
        let who = Who::ScanLane(self.ticket.lane);
        match ended {
            Ok(()) => {
                if std::mem::take(failures) > 0 {
                    self.task.clear_trouble(who);
                }
                Ok(())
            }
            // What was read before is taken, and the range moved on behind it.
            Err(Failure::Scan(error)) => {
                *failures += 1;
                Ok(self.task.wait_in_trouble(who, Trouble::of(&error), *failures, &self.stop).await?)
            }
            // What is half-way in an encoder is of no use: everything since the last commit is done again.
            Err(error) => {
                self.task.wait_in_trouble(who, Trouble::of(&error), 1, &self.stop).await?;
                Err(Early::Again)
            }
        }
    }

    /// Cuts everything that is built. The objects are closed while the cut before this one is committed.
    async fn cut(&mut self) -> Result<(), Early> {
        let builder = self.builder.take().expect("the builder is here between two stretches");
        let task = Arc::clone(&self.task);
        let may_be_open = self.may_be_open.take();
        let closing = async {
            let closed = task.env.encoders.run(move || builder.finish()).await;
            drop(may_be_open);
            closed
        };
        let (collected, (pieces, builder)) = tokio::join!(self.collect(), closing);
        collected?;
        let pieces = match pieces {
            Ok(pieces) => pieces,
            Err(error) => {
                let who = Who::ScanLane(self.ticket.lane);
                self.task.wait_in_trouble(who, Trouble::of(&error), 1, &self.stop).await?;
                return Err(Early::Again);
            }
        };
        self.counters.next_sequence = builder.next_sequence();
        self.builder = Some(builder);
        let moved = std::mem::take(&mut self.moved);
        let moved_from = std::mem::take(&mut self.moved_from);
        Place::CutDecided.pass();
        let Some(Piece { encoded: Encoded { schema, .. }, .. }) = pieces.last() else {
            // Rows that were all left out, or none at all: the ranges move on without an object.
            let nothing = Delivered::default();
            return Ok(self.task.commit_scan(&self.ticket, &moved, &nothing, &self.stop).await?);
        };
        let cut = self.prepared(&pieces, Arc::clone(schema));
        self.task.prepare(&self.ticket, &cut, self.counters).await?;
        Place::CutPrepared.pass();
        self.send(cut, pieces, moved, &moved_from);
        Ok(())
    }

    fn prepared(&mut self, pieces: &[Piece], schema: Arc<ObjectSchema>) -> PreparedCut {
        let object = |piece: &Piece| PreparedObject {
            folder: piece.folder.as_str().to_owned(),
            name: self.setup.object_name(&piece.folder, self.ticket.lane, piece.sequence),
            sequence: piece.sequence,
        };
        let objects = pieces.iter().map(object).collect();
        let number = self.counters.take_cut();
        self.setup.cut(self.ticket, number, CutKind::Scan, schema, objects)
    }

    fn send(
        &mut self,
        cut: PreparedCut,
        pieces: Vec<Piece>,
        moved: BTreeMap<u32, ScanRange>,
        moved_from: &BTreeMap<u32, Option<Bytes>>,
    ) {
        let hex = |key: &Bytes| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let range = |(number, range): (&u32, &ScanRange)| ManifestRange {
            partition: range.partition,
            span: ManifestSpan::Scan {
                after: moved_from.get(number).and_then(Option::as_ref).map(hex),
                through: if range.is_done { range.until.as_ref() } else { range.after.as_ref() }.map(hex),
            },
        };
        let ranges = moved.iter().map(range).collect();
        let rows = pieces.iter().map(|piece| piece.encoded.rows).sum();
        let bytes = pieces.iter().map(|piece| piece.encoded.byte_count).sum();
        let contents = pieces.into_iter().map(|piece| Content::Encoded(piece.encoded)).collect();
        let who = Who::ScanLane(self.ticket.lane);
        let (task, setup, stop) = (Arc::clone(&self.task), Arc::clone(&self.setup), self.stop.clone());
        let upload = Upload::new(task, setup, (self.ticket, who), cut, ranges, contents, stop);
        let upload = tokio::spawn(upload.run());
        // What the cut holds is given back with it.
        self.lease.set(bytes);
        let lease = std::mem::replace(&mut self.lease, self.task.account.lease());
        self.in_flight = Some(InFlight { upload, moved, rows, _lease: lease });
    }

    /// Waits for the cut that is on its way, and commits it.
    async fn collect(&mut self) -> Result<(), Early> {
        let Some(flight) = self.in_flight.take() else { return Ok(()) };
        let Ok((_, ended)) = flight.upload.await else { return Err(Early::Again) };
        match ended {
            Ok(delivered) => {
                self.task.commit_scan(&self.ticket, &flight.moved, &delivered, &self.stop).await?;
                Place::CutCommitted.pass();
                Ok(())
            }
            Err(Ended::NamesTaken(_) | Ended::Paused) => Err(Early::Again),
            Err(Ended::Stopped) => Err(Early::Stopped),
            Err(Ended::Refounded(configuration)) => {
                self.task.begin_run(self.ticket.run, RunReason::Refounded(configuration)).await;
                Err(Early::Stopped)
            }
            Err(Ended::TooDirty(text)) => {
                let who = Who::ScanLane(self.ticket.lane);
                Err(self.task.stand_still(who, text, &self.stop).await.into())
            }
        }
    }
}
