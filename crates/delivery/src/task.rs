//! A delivery task's life.
//!
//! 1. Its entry is written; the log is switched on, and where it stands is pinned. A crash between the two is
//!    finished at the next start.
//! 2. INIT: its columns are sampled and its destination is tried once, for two seconds at most.
//! 3. The names in its bucket are listed, so that its own go on above them.
//! 4. FULL, unless it is INC: the table as it is ([`crate::scan`]).
//! 5. INCR: lanes follow the log ([`crate::lane`]); a BASE task rests.
//!
//! A *run* goes through 3 to 5. "Deliver again", and a bucket that was made again, begin a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lakeferry_durable::Place;
use lakeferry_lake::{Bucket, FolderPath, ObjectSchema, Prefix, SyncMarks, Zone, object_name, recognise};
use lakeferry_model::delivery::{Destination, Mode, Phase, SchemaSpec, TaskSpec};
use lakeferry_model::{Clock, Micros, TaskName};
use lakeferry_store::{LogHead, PartitionId, Store};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cut::{LaneTicket, abandon};
use crate::destination::Destinations;
use crate::encode::Form;
use crate::encoders::Encoders;
use crate::error::Error;
use crate::gather::CutRules;
use crate::janitor::Janitor;
use crate::lane::Lane;
use crate::memory::{Account, Budget};
use crate::placement::Placement;
use crate::progress::Progress;
use crate::sample::{Columns, sample};
use crate::scan;
use crate::settings::Settings;
use crate::source::Source;
use crate::space::{Pin, Stage, StoredTask, TaskId, TaskSpace, Totals, Writes};
use crate::status::{Board, Position, Who};
use crate::stop::{Stop, Stopped, Stopper};
use crate::trouble::Trouble;

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) budget: Budget,
    pub(crate) encoders: Encoders,
    pub(crate) destinations: Destinations,
    pub(crate) janitor: Janitor,
    /// Says when the whole of delivery is closed.
    pub(crate) closing: Stopper,
}

/// A delivery task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) env: Arc<Env>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) space: TaskSpace,
    /// What lies in the space, as it is or is being written.
    pub(crate) book: tokio::sync::Mutex<StoredTask>,
    pub(crate) board: Board,
    pub(crate) columns: Columns,
    pub(crate) account: Account,
    prefix: Prefix,
    zone: Zone,
    /// Stops the run under way.
    run: Mutex<Stopper>,
    /// Set when the task is deleted or delivery is closed: no further run begins.
    is_over: AtomicBool,
    /// How often everything gathered was asked for.
    asked: watch::Sender<u64>,
    /// How often that was when the run began.
    asked_before: AtomicU64,
    /// Whether the pins are written.
    is_live: watch::Sender<bool>,
}

/// Why a new run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunReason {
    /// Somebody asked for it.
    Asked,
    /// The bucket was made again.
    Refounded,
}

impl Task {
    /// A task as it is written down. Nothing is begun.
    pub(crate) fn new(
        env: Arc<Env>,
        source: Arc<dyn Source>,
        space: TaskSpace,
        stored: StoredTask,
    ) -> Result<Arc<Self>, Error> {
        let spec = &stored.entry.spec;
        let prefix = Prefix::parse(&spec.destination.prefix)?;
        let zone = Zone::parse(&spec.destination.zone)?;
        let schema = match &stored.schema {
            Some(schema) => Arc::clone(schema),
            None => Arc::new(first_schema(spec, &*source, &env.settings)?),
        };
        let task = Self {
            id: stored.entry.id,
            board: Board::new(&stored),
            columns: Columns::new(schema),
            account: env.budget.account(stored.entry.id),
            prefix,
            zone,
            run: Mutex::new(Stopper::new()),
            is_over: AtomicBool::new(false),
            asked: watch::channel(0).0,
            asked_before: AtomicU64::new(0),
            is_live: watch::channel(stored.entry.stage != Stage::Entered).0,
            book: tokio::sync::Mutex::new(stored),
            env,
            source,
            space,
        };
        Ok(Arc::new(task))
    }

    /// Lives until the task is deleted or delivery is closed.
    pub(crate) async fn live(self: Arc<Self>) {
        while let Some(stop) = self.next_run() {
            let run = tokio::spawn({
                let task = Arc::clone(&self);
                async move { task.one_run(&stop).await }
            });
            match run.await {
                Ok(Ok(()) | Err(Stopped)) => {}
                Err(error) => {
                    tracing::error!(task = %self.id, %error, "a task's run ended without an answer");
                    tokio::time::sleep(self.env.settings.retry_max).await;
                }
            }
            self.board.forget_lanes();
        }
    }

    /// A handle that stops the next run, unless there is none.
    fn next_run(&self) -> Option<Stop> {
        let mut run = self.run.lock();
        if self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        self.asked_before.store(*self.asked.borrow(), Ordering::SeqCst);
        *run = Stopper::new();
        Some(run.handle())
    }

    /// Ends the task's life. It stops where it waits.
    pub(crate) fn end(&self) {
        let run = self.run.lock();
        self.is_over.store(true, Ordering::SeqCst);
        run.stop();
    }

    /// Waits until the pins are written.
    pub(crate) async fn wait_until_live(&self, deadline: Instant) -> Result<(), Error> {
        let mut is_live = self.is_live.subscribe();
        match tokio::time::timeout_at(deadline.into(), is_live.wait_for(|live| *live)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::Deadline),
        }
    }

    async fn one_run(self: &Arc<Self>, stop: &Stop) -> Result<(), Stopped> {
        self.finish_making(stop).await?;
        self.initialize(stop).await?;
        let run = self.settle_names(stop).await?;
        if self.phase().await == Phase::Full {
            scan::run(self, run, stop).await?;
        }
        if self.board.entry().follows_log() {
            self.follow(run, stop).await;
        } else {
            self.rest(stop).await;
        }
        Err(Stopped)
    }

    async fn phase(&self) -> Phase {
        self.book.lock().await.entry.phase
    }

    /// Switches the log on and pins where it stands, if that is not done yet.
    async fn finish_making(&self, stop: &Stop) -> Result<(), Stopped> {
        if self.book.lock().await.entry.stage != Stage::Entered {
            return Ok(());
        }
        let partitions = if self.board.entry().follows_log() { self.source.partitions() } else { Vec::new() };
        let mut heads = Vec::new();
        for partition in partitions {
            heads.push((partition, self.keep_log(partition, stop).await?));
        }
        let mut book = self.book.lock().await;
        let mut writes = Writes::default();
        self.pin(&mut book, &mut writes, &heads);
        book.entry.stage = Stage::Live;
        writes.put_entry(&book.entry);
        self.space.write_surely(writes, stop).await?;
        self.board.set_entry(&book.entry);
        self.show_pins(&book);
        self.is_live.send_replace(true);
        Ok(())
    }

    async fn keep_log(&self, partition: PartitionId, stop: &Stop) -> Result<LogHead, Stopped> {
        let mut failures = 0;
        loop {
            match stop.or(self.source.keep_log(partition)).await? {
                Ok(head) => return Ok(head),
                Err(error) => {
                    failures += 1;
                    self.wait_in_trouble(Who::Task, Trouble::of(&error), failures, stop).await?;
                }
            }
        }
    }

    /// Sets where a run begins: its pins, and the progress of its incremental lanes, over which the
    /// partitions are spread in turn.
    fn pin(&self, book: &mut StoredTask, writes: &mut Writes, heads: &[(PartitionId, LogHead)]) {
        let lanes = book.entry.spec.tuning.lanes_min.max(1);
        for (&(partition, head), turn) in heads.iter().zip(0_u32..) {
            let pin = Pin { sequence: head.sequence, commit_time: head.commit_time };
            book.pins.insert(partition, pin);
            writes.put_pin(self.id, partition, &pin);
            let lane = turn % lanes;
            book.lanes.entry(lane).or_default().progress.set_low(partition, head.sequence);
            writes.put_low(self.id, lane, partition, head.sequence);
        }
        book.entry.sync_floor = scan::floor_of(heads.iter().map(|(_, head)| head.commit_time));
    }

    fn show_pins(&self, book: &StoredTask) {
        for (partition, pin) in &book.pins {
            self.board.set_position(*partition, Position::at(pin.sequence, pin.commit_time));
        }
    }

    /// Shows how far the task is, before any of its lanes is begun: the first record that waits tells.
    pub(crate) async fn show_progress(&self) {
        let book = self.book.lock().await;
        self.show_pins(&book);
        let lanes = book.lanes.values();
        let lows = lanes.flat_map(|lane| lane.progress.partitions().map(|id| (id, lane.progress.low(id))));
        for (partition, low) in lows {
            let mut position = Position { certain: 0, ..Position::at(low, 0) };
            if self.source.head(partition).sequence > low {
                match self.source.read_log(partition, low, 1).await {
                    Ok(block) => {
                        let first = block.records().next().and_then(Result::ok);
                        position.waiting_since = first.map(|record| record.commit_time());
                    }
                    // The lane that reads it will say the same, and go on trying.
                    Err(error) => tracing::warn!(task = %self.id, %error, "the log could not be read"),
                }
            }
            self.board.set_position(partition, position);
        }
    }

    /// INIT: samples the columns and tries the destination once, both for a bounded time.
    async fn initialize(&self, stop: &Stop) -> Result<(), Stopped> {
        if self.phase().await != Phase::Init {
            return Ok(());
        }
        let limit = self.env.settings.init_max;
        let sampled = tokio::time::timeout(limit, sample(&*self.source, &self.columns));
        let tried = tokio::time::timeout(limit, self.try_destination());
        let (sampled, tried) = stop.or(async { tokio::join!(sampled, tried) }).await?;
        if !matches!(sampled, Ok(Ok(()))) {
            // The schema stays open: what a sample would have shown joins when it is first delivered.
            tracing::warn!(task = %self.id, "the table could not be sampled in time");
        }
        let trouble = match tried {
            Ok(Ok(_)) => None,
            Ok(Err(trouble)) => Some(trouble),
            Err(_) => Some(Trouble::Other("the bucket has not answered yet".to_owned())),
        };
        if let Some(trouble) = trouble {
            self.board.set_trouble(Who::Task, trouble, self.env.clock.now_micros());
        }
        let mut book = self.book.lock().await;
        if book.entry.stage != Stage::Live {
            return Err(Stopped);
        }
        let schema = self.columns.current();
        let warnings = name_warnings(&book, &schema, &self.prefix);
        book.entry.warnings.extend(warnings);
        book.entry.phase = if book.entry.spec.mode == Mode::Inc { Phase::Incr } else { Phase::Full };
        let mut writes = Writes::default();
        writes.put_schema(self.id, &schema);
        writes.put_entry(&book.entry);
        book.schema = Some(schema);
        self.space.write_surely(writes, stop).await?;
        self.board.set_entry(&book.entry);
        Ok(())
    }

    /// Whether the bucket can be written to; it gets an identity if it has none.
    async fn try_destination(&self) -> Result<Bucket, Trouble> {
        let entry = self.board.entry();
        let destination = &entry.spec.destination;
        let bucket = self.env.destinations.find(destination)?;
        let of_bucket = |error| Trouble::of_bucket(&destination.bucket, &error);
        bucket.probe().await.map_err(of_bucket)?;
        Ok(bucket)
    }

    /// Waits until the bucket can be used, sees that it is the one that it was, and goes on above the names
    /// that it holds already. Answers the run.
    async fn settle_names(&self, stop: &Stop) -> Result<u32, Stopped> {
        let mut failures = 0;
        loop {
            match stop.or(self.try_to_settle()).await? {
                Ok(settled) => {
                    self.clear_trouble(Who::Task);
                    return self.note_settled(settled, stop).await;
                }
                Err(trouble) => {
                    failures += 1;
                    self.wait_in_trouble(Who::Task, trouble, failures, stop).await?;
                }
            }
        }
    }

    async fn try_to_settle(&self) -> Result<Settled, Trouble> {
        let entry = self.board.entry();
        let name = &entry.spec.destination.bucket;
        let of_bucket = |error| Trouble::of_bucket(name, &error);
        let bucket = self.try_destination().await?;
        let identity = match entry.bucket_identity {
            None => Some(bucket.identify(self.env.clock.now_micros()).await.map_err(of_bucket)?),
            Some(_) => bucket.identity().await.map_err(of_bucket)?,
        };
        let identity = identity.map(|identity| identity.id);
        if entry.bucket_identity.is_some() && identity != entry.bucket_identity {
            return Ok(Settled::Refounded);
        }
        let mut highest = std::collections::BTreeMap::new();
        if !entry.are_names_listed {
            let (task, suffix) = (entry.name(), &entry.spec.destination.suffix);
            let mut note = |name: &str| {
                if let Some(parts) = recognise(name, task, suffix) {
                    let known = highest.entry(parts.lane).or_insert(0);
                    *known = parts.sequence.max(*known);
                }
            };
            let root = self.prefix.fixed_root();
            bucket.visit(&root, &mut |object| note(&object.name)).await.map_err(of_bucket)?;
        }
        Ok(Settled::Same { identity, highest })
    }

    async fn note_settled(&self, settled: Settled, stop: &Stop) -> Result<u32, Stopped> {
        let Settled::Same { identity, highest } = settled else {
            let run = self.board.entry().run;
            self.begin_run(run, RunReason::Refounded).await;
            return Err(Stopped);
        };
        let mut book = self.book.lock().await;
        if book.entry.stage != Stage::Live {
            return Err(Stopped);
        }
        let run = book.entry.run;
        if book.entry.are_names_listed && book.entry.bucket_identity == identity {
            return Ok(run);
        }
        let mut writes = Writes::default();
        for (lane, listed) in self.burned(&book).into_iter().chain(highest) {
            let counters = &mut book.lanes.entry(lane).or_default().counters;
            counters.next_sequence = counters.next_sequence.max(listed.saturating_add(1));
            writes.put_counters(self.id, lane, *counters);
        }
        book.entry.are_names_listed = true;
        book.entry.bucket_identity = identity;
        writes.put_entry(&book.entry);
        self.space.write_surely(writes, stop).await?;
        self.board.set_entry(&book.entry);
        Ok(run)
    }

    /// The highest sequences that deleted tasks of the same names have used, by lane.
    fn burned(&self, book: &StoredTask) -> Vec<(u32, u64)> {
        let destination = &book.entry.spec.destination;
        let names = burned_names(destination, book.entry.name());
        let burned = self.env.store.catalog().burned(&names);
        burned
            .iter()
            .filter_map(|(text, highest)| Some((text[names.len()..].parse().ok()?, *highest)))
            .collect()
    }

    /// Follows the log with all incremental lanes, until told to stop.
    async fn follow(self: &Arc<Self>, run: u32, stop: &Stop) {
        let lanes: Vec<u32> = {
            let book = self.book.lock().await;
            let serves = |progress: &Progress| progress.partitions().next().is_some();
            book.lanes.iter().filter(|(_, lane)| serves(&lane.progress)).map(|(lane, _)| *lane).collect()
        };
        let lanes = lanes.into_iter().map(|lane| keep_lane(Arc::clone(self), lane, run, stop.clone()));
        tokio::join!(futures::future::join_all(lanes), self.publish_marks(stop));
    }

    /// A BASE task that has finished has nothing to do but to say so.
    async fn rest(&self, stop: &Stop) {
        self.publish_marks(stop).await;
    }

    /// Says in the bucket how far the task is complete, whenever that moved along with an object, and every
    /// now and then without one.
    async fn publish_marks(&self, stop: &Stop) {
        let marks = SyncMarks::of(self.board.entry().name(), self.id.number());
        let mut published: Option<Mark> = None;
        while stop.sleep(self.env.settings.tick).await.is_ok() {
            let mark = Mark {
                sync_point: self.board.sync_point(&*self.source),
                objects: self.board.objects(),
                at: self.env.clock.monotonic(),
            };
            if !mark.is_worth_publishing(published.as_ref()) {
                continue;
            }
            let entry = self.board.entry();
            let Ok(bucket) = self.env.destinations.find(&entry.spec.destination) else { continue };
            match stop.or(marks.publish(&bucket, entry.run, mark.sync_point)).await {
                Ok(Ok(())) => {}
                // The lanes tell of a bucket's trouble; the mark is told again with the next one.
                Ok(Err(error)) => tracing::debug!(task = %self.id, %error, "a mark could not be published"),
                Err(Stopped) => return,
            }
            published = Some(mark);
        }
    }

    /// Begins a new run, if `run` is the present one: prepared cuts are given up, and all lanes start anew.
    pub(crate) async fn begin_run(&self, run: u32, reason: RunReason) {
        let closing = self.env.closing.handle();
        let begun = async {
            let mut book = self.book_for(&LaneTicket { lane: 0, run }).await?;
            let mut writes = Writes::default();
            abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
            for (number, lane) in &mut book.lanes {
                writes.remove_progress(self.id, *number, &lane.progress);
                lane.progress = Progress::default();
            }
            for number in std::mem::take(&mut book.ranges).into_keys() {
                writes.remove_range(self.id, number);
            }
            book.totals = Totals::default();
            writes.put_totals(self.id, &book.totals);
            if book.entry.follows_log() {
                let head = |partition| (partition, self.source.head(partition));
                let heads: Vec<_> = self.source.partitions().into_iter().map(head).collect();
                self.pin(&mut book, &mut writes, &heads);
            }
            let entry = &mut book.entry;
            entry.run += 1;
            entry.phase = Phase::Full;
            entry.are_names_listed = false;
            if reason == RunReason::Refounded {
                entry.bucket_identity = None;
                entry.note = Some("the bucket was made again, so everything is delivered again".to_owned());
            } else {
                entry.note = None;
            }
            writes.put_entry(entry);
            self.space.write_surely(writes, &closing).await?;
            self.board.set_entry(&book.entry);
            self.show_pins(&book);
            Ok::<(), Stopped>(())
        };
        if begun.await.is_ok() {
            Place::RunBegun.pass();
            tracing::info!(task = %self.id, ?reason, "a new run begins");
            self.env.janitor.wake();
            self.run.lock().stop();
        }
    }

    /// Asks the lanes to deliver everything that is committed now.
    pub(crate) fn deliver_now(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    /// Marks the task deleted. From now on none of its lanes can write anything, and its names are burned.
    pub(crate) async fn mark_deleted(&self) -> Result<(), Error> {
        let mut book = self.book.lock().await;
        match (book.entry.stage, book.entry.phase) {
            (Stage::Entered, _) | (_, Phase::Init) => {
                return Err(Error::Initializing(book.entry.name().clone()));
            }
            _ => {}
        }
        let mut entry = book.entry.clone();
        entry.stage = Stage::Deleted;
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        self.space.write(writes).await?;
        Place::TaskDeleted.pass();
        book.entry = entry;
        self.board.set_entry(&book.entry);
        self.burn(&book).await
    }

    /// Notes in the catalog which names were used, before anybody can make a task of the same name.
    pub(crate) async fn burn(&self, book: &StoredTask) -> Result<(), Error> {
        let destination = &book.entry.spec.destination;
        let names = burned_names(destination, book.entry.name());
        let highest = book
            .lanes
            .iter()
            .map(|(lane, stored)| (format!("{names}{lane}"), stored.counters.next_sequence - 1));
        Ok(self.env.store.catalog().burn(highest.collect()).await?)
    }

    /// Removes everything of a deleted task; the names of its prepared cuts are abandoned.
    pub(crate) async fn clear_away(&self) -> Result<(), Stopped> {
        let mut book = self.book.lock().await;
        let mut writes = Writes::default();
        abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
        writes.remove_task(&book);
        self.space.write_surely(writes, &self.env.closing.handle()).await?;
        self.env.janitor.wake();
        Ok(())
    }

    /// Shows a trouble, and waits as long as so many failures in a row call for.
    pub(crate) async fn wait_in_trouble(
        &self,
        who: Who,
        trouble: Trouble,
        failures: u32,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let wait = self.env.settings.backoff(failures);
        if failures == 1 {
            tracing::warn!(task = %self.id, ?who, trouble = trouble.text(), "delivery cannot go on, trying again");
        }
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.board.set_trouble(who, trouble, self.env.clock.now_micros().saturating_add(micros));
        self.account.set_failing(true);
        stop.sleep(wait).await
    }

    pub(crate) fn clear_trouble(&self, who: Who) {
        self.board.clear_trouble(who);
        self.account.set_failing(false);
    }

    /// The time passed, by the monotonic clock.
    pub(crate) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    pub(crate) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Whether everything was asked for since the run began, perhaps before its lanes were there.
    pub(crate) fn is_asked_in_run(&self) -> bool {
        *self.asked.borrow() > self.asked_before.load(Ordering::SeqCst)
    }

    pub(crate) fn cut_rules(&self) -> CutRules {
        let tuning = &self.board.entry().spec.tuning;
        CutRules {
            object_bytes_max: tuning.object_bytes_max,
            object_age_max: Duration::from_millis(tuning.object_age_ms_max),
        }
    }

    pub(crate) fn placement(&self) -> Placement {
        let event = self.board.entry().spec.destination.event_time.clone();
        let delivers_deletes = self.columns.current().delivers_deletes();
        let key_columns = self.source.schema().primary_key.into();
        Placement::new(&self.prefix, self.zone, event, key_columns, delivers_deletes)
    }

    /// How objects of that schema are made.
    pub(crate) fn form(&self, schema: &Arc<ObjectSchema>) -> Form {
        Form {
            schema: Arc::clone(schema),
            compression: self.board.entry().spec.tuning.compression,
            key_columns: self.source.schema().primary_key.into(),
        }
    }

    pub(crate) fn object_name(&self, folder: &FolderPath, lane: u32, sequence: u64) -> String {
        let entry = self.board.entry();
        let suffix = &entry.spec.destination.suffix;
        object_name(folder, entry.name(), lane, sequence, suffix).as_str().to_owned()
    }

    /// Bytes of rows that are scanned at a time: cuts fall between blocks, so they are small for small
    /// objects.
    pub(crate) fn scan_block_bytes(&self) -> usize {
        let eighth = self.board.entry().spec.tuning.object_bytes_max / 8;
        usize::try_from(eighth.clamp(4 * 1024, 2 * 1024 * 1024)).expect("2 MiB fits")
    }

    /// Whether objects of this task and of another with this name, bucket and prefix could share a name.
    pub(crate) fn may_share_names(&self, spec: &TaskSpec, prefix: &Prefix) -> bool {
        let entry = self.board.entry();
        entry.spec.name == spec.name
            && entry.spec.destination.bucket == spec.destination.bucket
            && self.prefix.may_share_folder(prefix)
    }
}

/// What was found in the bucket before a run's first cut.
enum Settled {
    /// The bucket is the one it was, or the first that was seen; the highest sequences in it by lane.
    Same { identity: Option<uuid::Uuid>, highest: std::collections::BTreeMap<u32, u64> },
    /// It was made again.
    Refounded,
}

/// What a "complete up to" mark is made of.
struct Mark {
    sync_point: Micros,
    objects: u64,
    at: Duration,
}

impl Mark {
    /// How long a sync point may move without an object before it is published.
    const PAUSE: Duration = Duration::from_secs(60);

    fn is_worth_publishing(&self, published: Option<&Self>) -> bool {
        let Some(before) = published else { return self.sync_point > 0 };
        let has_moved = self.sync_point > before.sync_point;
        has_moved && (self.objects != before.objects || self.at.saturating_sub(before.at) >= Self::PAUSE)
    }
}

/// Keeps a lane going: one that ends by a mistake of ours begins again from its progress.
async fn keep_lane(task: Arc<Task>, lane: u32, run: u32, stop: Stop) {
    while stop.check().is_ok() {
        let (task_, stop_) = (Arc::clone(&task), stop.clone());
        let worker = tokio::spawn(async move {
            let lane = Lane::begin(task_, lane, run, stop_).await?;
            Err::<(), Stopped>(lane.run().await)
        });
        if let Err(error) = worker.await {
            tracing::error!(task = %task.id, lane, %error, "a lane ended without an answer");
        }
        if stop.sleep(task.env.settings.retry_min).await.is_err() {
            return;
        }
    }
}

/// What the catalog's entries of a task's burned names begin with; the lane follows. No part can hold a line
/// feed.
fn burned_names(destination: &Destination, task: &TaskName) -> String {
    format!("names\n{}\n{}\n{task}\n", destination.bucket, destination.prefix.trim_matches('/'))
}

/// The schema that a task begins with.
fn first_schema(spec: &TaskSpec, source: &dyn Source, settings: &Settings) -> Result<ObjectSchema, Error> {
    let table = source.schema();
    Ok(match &spec.schema {
        SchemaSpec::Manual(fields) => ObjectSchema::manual(fields, &table)?,
        SchemaSpec::Automatic { reserved } => {
            ObjectSchema::automatic(&table, *reserved).open_to(settings.automatic_columns_max)
        }
    })
}

/// Doubts about the names of sampled columns; those of a manual schema were told when the task was made.
fn name_warnings(book: &StoredTask, schema: &ObjectSchema, prefix: &Prefix) -> Vec<String> {
    match &book.entry.spec.schema {
        SchemaSpec::Manual(_) => Vec::new(),
        SchemaSpec::Automatic { .. } => schema.name_warnings(prefix),
    }
}

/// The deadline of a call that is made in a request.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
