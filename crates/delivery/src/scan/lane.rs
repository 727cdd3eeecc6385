//! One lane of the full phase: blocks in, cuts out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use lakeferry_durable::Place;
use lakeferry_lake::{ManifestRange, ManifestSpan};
use lakeferry_store::{Error, PartitionId, RowBlock};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::Early;
use crate::builder::{Builder, Piece};
use crate::cut::LaneTicket;
use crate::memory::Lease;
use crate::space::{CutKind, LaneCounters, PreparedCut, PreparedObject, ScanRange};
use crate::status::{LaneView, Who};
use crate::stop::{Stop, Stopped};
use crate::task::{RunReason, Task};
use crate::trouble::Trouble;
use crate::upload::{Content, Delivered, Ended, Upload};

/// One lane of the full phase.
pub(super) struct ScanLane {
    task: Arc<Task>,
    ticket: LaneTicket,
    stop: Stop,
    pins: BTreeMap<PartitionId, u64>,
    counters: LaneCounters,
    builder: Option<Builder>,
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

impl ScanLane {
    pub(super) async fn begin(task: Arc<Task>, ticket: LaneTicket, stop: Stop) -> Result<Self, Stopped> {
        let (counters, pins) = {
            let book = task.book_for(&ticket).await?;
            let counters = book.lanes.get(&ticket.lane).map(|lane| lane.counters).unwrap_or_default();
            let pins = book.pins.iter().map(|(partition, pin)| (*partition, pin.sequence)).collect();
            (counters, pins)
        };
        Ok(Self {
            builder: Some(Builder::new(&task, ticket, counters.next_sequence)),
            lease: task.account.lease(),
            task,
            ticket,
            stop,
            pins,
            counters,
            moved: BTreeMap::new(),
            moved_from: BTreeMap::new(),
            in_flight: None,
        })
    }

    /// Scans ranges from the queue until it is empty, and commits all of it.
    pub(super) async fn run(mut self, queue: &Mutex<VecDeque<u32>>) -> Result<(), Early> {
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
        let mut ahead = self.read_ahead(&range);
        loop {
            let block = self.block(&mut ahead, &range).await?;
            if let Some(last) = block.last_key() {
                range.after = Some(Bytes::copy_from_slice(last));
            }
            range.is_done = !block.more();
            if !range.is_done {
                ahead = self.read_ahead(&range);
            }
            self.build(block, PartitionId(range.partition)).await?;
            self.moved.insert(number, range.clone());
            if self.must_cut() {
                self.cut().await?;
                self.moved_from.insert(number, range.after.clone());
            }
            if range.is_done {
                return Ok(());
            }
        }
    }

    /// Begins to read the block after the range's position.
    fn read_ahead(&self, range: &ScanRange) -> JoinHandle<Result<RowBlock, Error>> {
        let (source, range) = (Arc::clone(&self.task.source), range.clone());
        let bytes_max = self.task.scan_block_bytes();
        tokio::spawn(async move {
            let partition = PartitionId(range.partition);
            source.scan(partition, range.after.as_deref(), range.until.as_deref(), bytes_max).await
        })
    }

    /// The block that was begun, read again and again if it fails.
    async fn block(
        &mut self,
        ahead: &mut JoinHandle<Result<RowBlock, Error>>,
        range: &ScanRange,
    ) -> Result<RowBlock, Stopped> {
        let who = Who::ScanLane(self.ticket.lane);
        let mut failures = 0;
        loop {
            let trouble = match self.stop.or(&mut *ahead).await? {
                Ok(Ok(block)) => {
                    if failures > 0 {
                        self.task.clear_trouble(who);
                    }
                    return Ok(block);
                }
                Ok(Err(error)) => Trouble::of(&error),
                Err(error) => Trouble::of(&error),
            };
            failures += 1;
            self.task.wait_in_trouble(who, trouble, failures, &self.stop).await?;
            *ahead = self.read_ahead(range);
        }
    }

    /// Encodes a block's rows, as far as they may be encoded on sight.
    async fn build(&mut self, block: RowBlock, partition: PartitionId) -> Result<(), Early> {
        let pin = self.pins.get(&partition).copied();
        let mut builder = self.builder.take().expect("the builder is here between two blocks");
        let build = move || {
            let built = builder.take(block, pin);
            (builder, built)
        };
        let (builder, built) = self.task.env.encoders.run(build).await;
        let rows_gathered = builder.rows() + self.in_flight.as_ref().map_or(0, |flight| flight.rows);
        self.task.board.set_lane(self.ticket.lane, LaneView { rows_gathered, next_cut_at: None });
        let held = builder.held_bytes();
        self.builder = Some(builder);
        self.lease.set(held);
        match built {
            Ok(()) => Ok(()),
            Err(error) => {
                // What is half-way in an encoder is of no use: everything since the last commit is done again.
                let who = Who::ScanLane(self.ticket.lane);
                self.task.wait_in_trouble(who, Trouble::of(&error), 1, &self.stop).await?;
                Err(Early::Again)
            }
        }
    }

    fn must_cut(&self) -> bool {
        let builder = self.builder.as_ref().expect("the builder is here between two blocks");
        let has_room = self.task.account.has_room(2 * self.task.scan_block_bytes() as u64);
        builder.is_full(self.task.cut_rules().object_bytes_max) || (!has_room && builder.held_bytes() > 0)
    }

    /// Cuts everything that is built, once the cut before it is committed.
    async fn cut(&mut self) -> Result<(), Early> {
        self.collect().await?;
        let builder = self.builder.take().expect("the builder is here between two blocks");
        let (pieces, builder) = self.task.env.encoders.run(move || builder.finish()).await;
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
        if pieces.is_empty() {
            // Rows that were all left out, or none at all: the ranges move on without an object.
            let nothing = Delivered::default();
            return Ok(self.task.commit_scan(&self.ticket, &moved, &nothing, &self.stop).await?);
        }
        let cut = self.prepared(&pieces);
        self.task.prepare(&self.ticket, &cut, self.counters, &self.stop).await?;
        Place::CutPrepared.pass();
        self.send(cut, pieces, moved, &moved_from);
        Ok(())
    }

    fn prepared(&mut self, pieces: &[Piece]) -> PreparedCut {
        let object = |piece: &Piece| PreparedObject {
            folder: piece.folder.as_str().to_owned(),
            name: self.task.object_name(&piece.folder, self.ticket.lane, piece.sequence),
            sequence: piece.sequence,
        };
        let objects = pieces.iter().map(object).collect();
        PreparedCut {
            number: self.counters.take_cut(),
            run: self.ticket.run,
            kind: CutKind::Scan,
            schema: self.task.columns.current(),
            objects,
        }
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
        let (task, stop) = (Arc::clone(&self.task), self.stop.clone());
        let upload = Upload::new(task, self.ticket, who, cut, ranges, contents, stop);
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
            Err(Ended::NamesTaken(_)) => Err(Early::Again),
            Err(Ended::Stopped) => Err(Early::Stopped),
            Err(Ended::Refounded) => {
                self.task.begin_run(self.ticket.run, RunReason::Refounded).await;
                Err(Early::Stopped)
            }
        }
    }
}
