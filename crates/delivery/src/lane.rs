//! A lane of the incremental phase: from the change logs of its partitions to objects in the lake.
//!
//! 1. A cut that was prepared before a restart is done again.
//! 2. The lane reads the records after its progress and gathers them per folder.
//! 3. When a folder is full or old enough, memory is short, or everything was asked for, a cut is decided:
//!    it takes folders out of the gathering, names their objects, and is prepared.
//! 4. The cut is uploaded by a task of its own, while the lane reads on. There is one at a time.
//! 5. The cut is committed: progress moves to just before the first record that still waits.
//! 6. A lane that is told to leave brings its folders to one position first ([`level`]).
//!
//! What to do next is chosen by [`choose`] from a [`View`] alone; the lane then does it.

mod level;
mod redo;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_durable::Place;
use lakeferry_lake::{ColumnScout, FolderPath, ManifestRange, ManifestSpan};
use lakeferry_model::Micros;
use lakeferry_store::{Error, LogBlock, LogHead, PartitionId};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::cut::LaneTicket;
use crate::gather::{CutReason, CutRules, Gather, Gathered, SealedFolder, Slot};
use crate::memory::Lease;
use crate::placement::Placement;
use crate::progress::{Folder, Progress};
use crate::sample::look;
use crate::setup::Setup;
use crate::space::{CutKind, LaneCounters, PreparedCut, PreparedObject};
use crate::status::{LaneView, Position, Who};
use crate::stop::{Stop, Stopped};
use crate::task::{RunReason, Task, Wish};
use crate::trouble::Trouble;
use crate::upload::{Content, Delivered, Ended, Upload};
use step::{Flight, Step, View, choose};

/// The shortest time between a read that reached the log's end and the next one: the rows of many small
/// commits are read together.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// The shortest time between two writes that move progress over rows that produced nothing.
const ADVANCE_PAUSE: Duration = Duration::from_secs(1);

/// A lane of the incremental phase.
pub(crate) struct Lane {
    task: Arc<Task>,
    setup: Arc<Setup>,
    ticket: LaneTicket,
    stop: Stop,
    rules: CutRules,
    counters: LaneCounters,
    progress: Progress,
    placement: Placement,
    /// Looks out for columns that an open schema lacks.
    scout: Option<ColumnScout>,
    inputs: BTreeMap<PartitionId, Input>,
    gather: Gather,
    in_flight: Option<InFlight>,
    asked: watch::Receiver<u64>,
    wishes: watch::Receiver<Wish>,
    /// The heads up to which everything was asked for, while that is not done.
    asked_upto: Option<BTreeMap<PartitionId, u64>>,
    /// The partition that was read last: the next one comes first.
    latest: PartitionId,
    /// Progress is not moved again before this without an object.
    advance_after: Instant,
}

/// A partition's log as the lane reads it.
struct Input {
    heads: watch::Receiver<LogHead>,
    /// Everything up to this is gathered, on its way, or delivered.
    read: u64,
    /// Whether the last block ended before the log did.
    has_more: bool,
    /// Not read again before this, by the monotonic clock of the runtime.
    pause_until: Instant,
}

impl Input {
    /// Whether records lie behind the last block that was read.
    fn is_backlog(&self) -> bool {
        self.has_more && self.heads.borrow().sequence > self.read
    }
}

/// A cut on its way.
struct InFlight {
    upto: BTreeMap<PartitionId, u64>,
    folders: Vec<SealedFolder>,
    upload: JoinHandle<Uploaded>,
    /// What the upload came to, once a wait has seen it.
    ended: Option<Result<Uploaded, JoinError>>,
    _lease: Lease,
}

type Uploaded = (Upload, Result<Delivered, Ended>);

impl Lane {
    /// A lane that goes on from what is written down.
    pub(crate) async fn begin(task: Arc<Task>, ticket: LaneTicket, stop: Stop) -> Result<Self, Stopped> {
        // Before the schema: of a version that is just being replaced, nothing is prepared any more.
        let setup = task.setup();
        let stored = {
            let book = task.book_for(&ticket).await?;
            book.lanes.get(&ticket.lane).cloned().unwrap_or_default()
        };
        let now = Instant::now();
        let input = |partition| Input {
            heads: task.source.watch(partition),
            read: stored.progress.low(partition),
            has_more: true,
            pause_until: now,
        };
        let inputs = stored.progress.partitions().map(|partition| (partition, input(partition))).collect();
        let mut lane = Self {
            rules: task.cut_rules(),
            placement: setup.placement(&task.columns.current()),
            setup,
            scout: task.columns.scout(),
            gather: Gather::new(task.account.lease()),
            asked: task.asked(),
            wishes: task.wishes(),
            ticket,
            stop,
            counters: stored.counters,
            progress: stored.progress,
            inputs,
            in_flight: None,
            asked_upto: None,
            latest: PartitionId(0),
            advance_after: now,
            task,
        };
        if lane.task.is_asked_in_run() {
            lane.asked.mark_changed();
        }
        if let Some(cut) = stored.prepared {
            lane.redo(cut).await?;
        }
        Ok(lane)
    }

    /// Delivers until told to stop, or to leave: then nothing is prepared and no folder is ahead when it answers.
    pub(crate) async fn run(mut self, leave: Stop) -> Result<(), Stopped> {
        let ended = loop {
            if leave.check().is_err() {
                break self.level().await;
            }
            if let Err(stopped) = self.step(&leave).await {
                break Err(stopped);
            }
        };
        self.end_upload().await;
        ended
    }

    /// Ends the upload under way, so that nothing lands any more when the lane has ended.
    async fn end_upload(&mut self) {
        if let Some(flight) = self.in_flight.take() {
            flight.upload.abort();
            _ = flight.upload.await;
            self.task.clear_trouble(Who::Lane(self.ticket.lane));
        }
    }

    async fn step(&mut self, leave: &Stop) -> Result<(), Stopped> {
        self.stop.check()?;
        self.rules = self.task.cut_rules();
        self.hear_request();
        let view = self.view();
        match choose(&view) {
            Step::Collect => self.collect().await?,
            Step::Read(partition) => self.read(partition).await?,
            Step::Cut(reason) => self.cut(reason).await?,
            Step::Advance => self.advance().await?,
            Step::Wait(time) => self.wait(time, leave).await?,
            Step::Rest => {
                self.show_rest();
                return Err(Stopped);
            }
        }
        self.show();
        Ok(())
    }

    /// Whether everything that was asked for is read.
    fn is_asked(&self) -> bool {
        self.asked_upto
            .as_ref()
            .is_some_and(|upto| upto.iter().all(|(partition, head)| self.inputs[partition].read >= *head))
    }

    fn view(&self) -> View {
        let now = self.task.now();
        let in_backlog = self.inputs.values().any(Input::is_backlog);
        View {
            in_flight: match &self.in_flight {
                None => Flight::None,
                Some(flight) if flight.ended.is_some() || flight.upload.is_finished() => Flight::Ended,
                Some(_) => Flight::Under,
            },
            due: self.gather.due(now, &self.rules, in_backlog),
            due_in: self.gather.due_in(now, &self.rules),
            has_rows: !self.gather.is_empty(),
            is_asked: self.is_asked(),
            may_advance: self.advance_after <= Instant::now()
                && self.lows().iter().any(|(partition, low)| *low > self.progress.low(*partition)),
            readable: self.readable(),
            has_room: self.task.account.has_room(2 * self.task.env.settings.read_bytes as u64),
            tick: self.task.env.settings.tick,
            is_paused: self.task.is_paused(),
        }
    }

    /// Notes a request to deliver everything that is committed now.
    fn hear_request(&mut self) {
        if self.asked.has_changed().unwrap_or(false) {
            self.asked.mark_unchanged();
            let heads = self.inputs.iter().map(|(id, input)| (*id, input.heads.borrow().sequence));
            self.asked_upto = Some(heads.collect());
            for input in self.inputs.values_mut() {
                input.pause_until = Instant::now();
            }
        }
        if self.is_asked() && self.gather.is_empty() {
            self.asked_upto = None;
        }
    }

    /// The next partition in turn that has records to read.
    fn readable(&self) -> Option<PartitionId> {
        let now = Instant::now();
        let has_news = |input: &Input| {
            let has_unread = input.heads.borrow().sequence > input.read;
            has_unread && (input.has_more || input.pause_until <= now)
        };
        let after = self.inputs.range((std::ops::Bound::Excluded(self.latest), std::ops::Bound::Unbounded));
        let turn = after.chain(self.inputs.range(..=self.latest));
        turn.into_iter().find(|(_, input)| has_news(input)).map(|(partition, _)| *partition)
    }

    async fn read(&mut self, partition: PartitionId) -> Result<(), Stopped> {
        self.latest = partition;
        let after = self.inputs[&partition].read;
        let block = self.read_block(partition, after).await?;
        self.task.traffic.count(self.task.now(), partition, block.bytes());
        let (read, gathered) = self.gather_block(partition, &block, after);
        let input = self.inputs.get_mut(&partition).expect("only own partitions are read");
        input.read = read;
        input.has_more = block.more();
        if !input.has_more {
            input.pause_until = Instant::now() + READ_PAUSE;
        }
        match gathered {
            Ok(()) => Ok(()),
            Err(error) => {
                input.has_more = true;
                let who = Who::Lane(self.ticket.lane);
                self.task.wait_in_trouble(who, Trouble::of(&error), 1, &self.stop).await
            }
        }
    }

    /// Reads a block, again and again until it is there.
    async fn read_block(&self, partition: PartitionId, after: u64) -> Result<LogBlock, Stopped> {
        let settings = &self.task.env.settings;
        let mut failures = 0;
        loop {
            let read = self.task.source.read_log(partition, after, settings.read_bytes);
            match self.stop.or(read).await? {
                Ok(block) => {
                    if failures > 0 {
                        self.task.clear_trouble(Who::Lane(self.ticket.lane));
                    }
                    return Ok(block);
                }
                Err(error) => {
                    failures += 1;
                    let who = Who::Lane(self.ticket.lane);
                    self.task.wait_in_trouble(who, Trouble::of(&error), failures, &self.stop).await?;
                }
            }
        }
    }

    /// Gathers a block's records. Answers how far was read, and what is wrong with the record behind that.
    fn gather_block(
        &mut self,
        partition: PartitionId,
        block: &LogBlock,
        after: u64,
    ) -> (u64, Result<(), Error>) {
        let now = self.task.now();
        let mut read = after;
        let mut latest = None;
        for at in 0..block.len() {
            match self.gather_record(partition, block, at, now, &mut latest) {
                Ok(sequence) => read = sequence,
                Err(error) => return (read, Err(error)),
            }
        }
        (read, Ok(()))
    }

    /// Gathers one record, and answers its sequence. `latest` is the slot of the record before it.
    #[inline]
    fn gather_record(
        &mut self,
        partition: PartitionId,
        block: &LogBlock,
        at: usize,
        now: Duration,
        latest: &mut Option<(FolderPath, Slot)>,
    ) -> Result<u64, Error> {
        let (view, record) = block.record(at)?;
        let sequence = view.sequence();
        let Some(place) = self.placement.place(&view)? else { return Ok(sequence) };
        if self.progress.may_be_delivered(partition, sequence)
            && self.progress.is_delivered(partition, place.folder.as_str(), sequence)
        {
            return Ok(sequence);
        }
        if let Some(scout) = &mut self.scout {
            look(scout, &view)?;
        }
        let slot = match latest {
            Some((folder, slot)) if folder == place.folder => *slot,
            _ => {
                let slot = self.gather.slot(place.folder, now);
                *latest = Some((place.folder.clone(), slot));
                slot
            }
        };
        let (commit_time, is_event_time_dirty) = (view.commit_time(), place.is_event_time_dirty);
        self.gather.push(slot, Gathered { partition, sequence, commit_time, is_event_time_dirty, record });
        Ok(sequence)
    }

    /// Decides a cut, prepares it, and sends it on its way.
    async fn cut(&mut self, reason: CutReason) -> Result<(), Stopped> {
        let (folders, lease) = self.gather.take(reason, self.task.now(), &self.rules);
        let upto: BTreeMap<PartitionId, u64> =
            self.inputs.iter().map(|(partition, input)| (*partition, input.read)).collect();
        tracing::debug!(task = %self.task.id, lane = self.ticket.lane, ?reason, folders = folders.len(), "cut");
        if reason == CutReason::Asked {
            self.asked_upto = None;
        }
        Place::CutDecided.pass();
        let schema = self.task.columns.widen(&mut self.scout);
        let objects = folders
            .iter()
            .map(|folder| {
                let sequence = self.counters.take_sequence();
                PreparedObject {
                    folder: folder.path.as_str().to_owned(),
                    name: self.setup.object_name(&folder.path, self.ticket.lane, sequence),
                    sequence,
                }
            })
            .collect();
        let kind = CutKind::Log { upto: upto.iter().map(|(partition, to)| (partition.0, *to)).collect() };
        let cut = self.setup.cut(self.ticket, self.counters.take_cut(), kind, schema, objects);
        self.task.prepare(&self.ticket, &cut, self.counters).await?;
        Place::CutPrepared.pass();
        let folders: Vec<SealedFolder> = folders.into_iter().map(Arc::new).collect();
        self.send(cut, upto, folders, lease);
        Ok(())
    }

    fn send(
        &mut self,
        cut: PreparedCut,
        upto: BTreeMap<PartitionId, u64>,
        folders: Vec<SealedFolder>,
        lease: Lease,
    ) {
        let contents = folders.iter().map(|folder| Content::Folder(Arc::clone(folder))).collect();
        let who = Who::Lane(self.ticket.lane);
        let range = |(partition, through): (&PartitionId, &u64)| ManifestRange {
            partition: partition.0,
            span: ManifestSpan::Log { after: self.progress.low(*partition), through: *through },
        };
        let ranges = upto.iter().map(range).collect();
        let (task, setup, stop) = (Arc::clone(&self.task), Arc::clone(&self.setup), self.stop.clone());
        let upload = Upload::new(task, setup, (self.ticket, who), cut, ranges, contents, stop);
        let upload = tokio::spawn(upload.run());
        self.in_flight = Some(InFlight { upto, folders, upload, ended: None, _lease: lease });
    }

    /// Commits the cut that was uploaded, or does what its end asks for.
    async fn collect(&mut self) -> Result<(), Stopped> {
        let Some(mut flight) = self.in_flight.take() else { return Ok(()) };
        let uploaded = match flight.ended.take() {
            Some(uploaded) => uploaded,
            None => (&mut flight.upload).await,
        };
        let (mut upload, ended) = uploaded.map_err(|error| {
            // A panic of an encoder is a mistake of ours: the lane ends, and is begun again from its progress.
            tracing::error!(task = %self.task.id, %error, "a cut's upload ended without an answer");
            Stopped
        })?;
        match ended {
            Ok(delivered) => self.commit(&flight, &delivered).await,
            Err(Ended::Stopped) => Err(Stopped),
            // It stays prepared, and is done again when the task is resumed.
            Err(Ended::Paused) => {
                self.show_rest();
                Err(Stopped)
            }
            Err(Ended::Refounded(configuration)) => {
                self.task.begin_run(self.ticket.run, RunReason::Refounded(configuration)).await;
                Err(Stopped)
            }
            Err(Ended::TooDirty(_)) if upload.cut().configuration < self.setup.version => {
                // What was wrong may have been changed since: its rows are cut again, as the task is now.
                self.task.give_up(&self.ticket, upload.cut()).await?;
                Err(Stopped)
            }
            Err(Ended::TooDirty(text)) => {
                let stopped = self.task.stand_still(Who::Lane(self.ticket.lane), text, &self.stop).await;
                self.show_rest();
                Err(stopped)
            }
            Err(Ended::NamesTaken(taken)) => {
                for at in taken {
                    let sequence = self.counters.take_sequence();
                    let name = self.setup.object_name(&flight.folders[at].path, self.ticket.lane, sequence);
                    upload.rename(at, name, sequence);
                }
                self.task.prepare(&self.ticket, upload.cut(), self.counters).await?;
                flight.upload = tokio::spawn(upload.run());
                self.in_flight = Some(flight);
                Ok(())
            }
        }
    }

    async fn commit(&mut self, flight: &InFlight, delivered: &Delivered) -> Result<(), Stopped> {
        let folders: Vec<Folder> =
            flight.folders.iter().map(|folder| Folder::from(folder.path.as_str())).collect();
        let change = self.progress.change(&folders, &flight.upto, &self.lows());
        self.task.commit_log(&self.ticket, &change, delivered, &self.stop).await?;
        Place::CutCommitted.pass();
        let committed = flight.folders.iter().map(|folder| &folder.committed);
        self.task.latencies.record(self.task.now(), self.task.env.clock.now_micros(), committed);
        self.progress.apply(&change);
        self.advance_after = Instant::now() + ADVANCE_PAUSE.min(self.task.env.settings.tick);
        Ok(())
    }

    async fn advance(&mut self) -> Result<(), Stopped> {
        let change = self.progress.change(&[], &BTreeMap::new(), &self.lows());
        self.task.advance(&self.ticket, &change).await?;
        self.progress.apply(&change);
        self.advance_after = Instant::now() + ADVANCE_PAUSE.min(self.task.env.settings.tick);
        Ok(())
    }

    /// For each partition, the position before which nothing waits.
    fn lows(&self) -> BTreeMap<PartitionId, u64> {
        let low = |(partition, input): (&PartitionId, &Input)| {
            let waiting = self.first_waiting(*partition);
            (*partition, waiting.map_or(input.read, |(sequence, _)| sequence - 1))
        };
        self.inputs.iter().map(low).collect()
    }

    /// The first record of the partition that is not in the lake: its sequence and commit time.
    fn first_waiting(&self, partition: PartitionId) -> Option<(u64, Micros)> {
        let on_their_way = self.in_flight.iter().flat_map(|flight| &flight.folders);
        let first = on_their_way.filter_map(|folder| folder.first(partition)).min();
        [first, self.gather.first_waiting(partition)].into_iter().flatten().min()
    }

    async fn wait(&mut self, time: Duration, leave: &Stop) -> Result<(), Stopped> {
        let now = Instant::now();
        let mut sleep_until = now + time;
        let mut news = Vec::new();
        for input in self.inputs.values_mut() {
            if input.pause_until > now {
                sleep_until = sleep_until.min(input.pause_until);
            } else {
                news.push(Box::pin(input.heads.changed()));
            }
        }
        let any_news = async {
            if news.is_empty() {
                std::future::pending::<()>().await;
            }
            let (moved, ..) = futures::future::select_all(news).await;
            if moved.is_err() {
                // The partition is closed: nothing new will come from it.
                std::future::pending::<()>().await;
            }
        };
        let in_flight = &mut self.in_flight;
        let landed = async {
            match in_flight {
                Some(flight) => flight.ended = Some((&mut flight.upload).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.told() => return Err(Stopped),
            () = leave.told() => {}
            () = landed => {}
            _ = self.asked.changed() => self.asked.mark_changed(),
            _ = self.wishes.changed() => {}
            () = any_news => {}
            () = tokio::time::sleep_until(sleep_until) => {}
        }
        Ok(())
    }

    /// Shows on the board that the lane rests: what it has gathered is read again when the task is resumed.
    fn show_rest(&self) {
        self.task.board.forget_lane(self.ticket.lane);
        for partition in self.inputs.keys() {
            self.task.board.set_unread(*partition);
        }
    }

    /// Shows on the board what the lane is at.
    fn show(&self) {
        let on_their_way = self.in_flight.iter().flat_map(|flight| &flight.folders);
        let rows_gathered = self.gather.rows() + on_their_way.map(|folder| folder.rows).sum::<u64>();
        let due_in = self.gather.due_in(self.task.now(), &self.rules);
        let next_cut_at = due_in.map(|due_in| self.task.now() + due_in);
        self.task.board.set_lane(self.ticket.lane, LaneView { rows_gathered, next_cut_at });
        for (partition, input) in &self.inputs {
            let low = self.progress.low(*partition);
            let waiting = self.first_waiting(*partition).filter(|(sequence, _)| sequence - 1 == low);
            let position = Position {
                low,
                read: input.read,
                waiting_since: waiting.map(|(_, commit_time)| commit_time),
                certain: 0,
            };
            self.task.board.set_position(*partition, position);
        }
    }
}
