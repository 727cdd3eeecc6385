//! A delivery task's life.
//!
//! 1. Its entry is written; the log is switched on, and where it stands is pinned. A crash between the two is
//!    finished at the next start.
//! 2. INIT: its columns are sampled and its destination is tried once, for two seconds at most.
//! 3. The names in its bucket are listed, so that its own go on above them.
//! 4. FULL, unless it is INC: the table as it is ([`crate::scan`]).
//! 5. INCR: lanes follow the log ([`crate::lane`]), as many as it takes ([`lanes`]); a BASE task rests.
//!
//! An update has the lanes begin again, with another version of the configuration ([`update`]).
//!
//! A *run* goes through 3 to 5. "Deliver again", and a bucket that was made again, begin a new one.

mod control;
mod folders;
mod lanes;
mod looks;
mod making;
mod marks;
mod names;
mod runs;
mod update;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lakeferry_durable::{Place, Timings};
use lakeferry_lake::Prefix;
use lakeferry_model::delivery::{Destination, Phase, TaskError, TaskEventKind, TaskSpec};
use lakeferry_model::{Clock, Micros};
use lakeferry_store::Store;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use crate::claims::{Claim, Claims};
use crate::destination::Destinations;
use crate::encoders::Encoders;
use crate::error::Error;
use crate::freshness::Latencies;
use crate::gather::CutRules;
use crate::history::History;
use crate::janitor::Janitor;
use crate::limit::Limiter;
use crate::memory::{Account, Budget};
use crate::sample::Columns;
use crate::scan;
use crate::settings::Settings;
use crate::setup::Setup;
use crate::source::Source;
use crate::space::{Stage, StoredTask, TaskId, TaskSpace};
use crate::status::{Board, Who};
use crate::stop::{Stop, Stopped, Stopper};
use crate::traffic::{SLOTS, Traffic};
use crate::trouble::{Trouble, code_name};
pub(crate) use control::{Paused, Wish};
pub(crate) use folders::Tally;
use making::first_schema;
pub(crate) use runs::RunReason;

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
    pub(crate) claims: Claims,
    /// How long cuts take from being prepared to being committed.
    pub(crate) cut_times: Timings,
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
    pub(crate) history: History,
    pub(crate) limiter: Limiter,
    pub(crate) latencies: Latencies,
    /// What its incremental lanes read.
    pub(crate) traffic: Traffic,
    /// What was last asked of it.
    wishes: watch::Sender<Wish>,
    /// Ends with the task's life, over all its runs.
    life: Stopper,
    /// What cuts depend on beside their rows and schema, as it is in force.
    setup: Mutex<Arc<Setup>>,
    /// Stops the run under way.
    run: Mutex<Stopper>,
    /// Set when the task is deleted or delivery is closed: no further run begins.
    is_over: AtomicBool,
    /// How often everything gathered was asked for.
    asked: watch::Sender<u64>,
    /// How often that was when the run began: lanes that begin again in the same run have heard nothing of what
    /// was asked for meanwhile.
    asked_before: AtomicU64,
    /// Whether the pins are written.
    is_live: watch::Sender<bool>,
}

impl Task {
    /// A task as it is written down. Nothing is begun.
    pub(crate) fn new(
        env: Arc<Env>,
        source: Arc<dyn Source>,
        space: TaskSpace,
        mut stored: StoredTask,
    ) -> Result<Arc<Self>, Error> {
        let board = Board::new(&stored);
        let history = History::new(std::mem::take(&mut stored.events));
        let spec = &stored.entry.spec;
        let setup = Setup::of(&stored.entry, source.schema().primary_key.into())?;
        let schema = match &stored.schema {
            Some(schema) => Arc::clone(schema),
            None => Arc::new(first_schema(spec, &*source, &env.settings)?),
        };
        let task = Self {
            id: stored.entry.id,
            board,
            columns: Columns::new(schema),
            account: env.budget.account(stored.entry.id),
            history,
            limiter: Limiter::default(),
            latencies: Latencies::default(),
            traffic: Traffic::new(env.settings.lane_busy_for / SLOTS),
            wishes: watch::channel(Wish::written(stored.entry.is_paused)).0,
            life: Stopper::new(),
            setup: Mutex::new(Arc::new(setup)),
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
        let over = self.life.handle();
        tokio::join!(Arc::clone(&self).live_runs(), self.history.keep(self.id, &self.space, &over));
        self.history.keep_last(self.id, &self.space).await;
    }

    async fn live_runs(self: Arc<Self>) {
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
            // What the lanes were stopped in the middle of may be abandoned, and has landed by now.
            self.env.janitor.wake();
        }
    }

    /// A handle that stops the next run, unless there is none.
    fn next_run(&self) -> Option<Stop> {
        let mut run = self.run.lock();
        if self.is_over.load(Ordering::SeqCst) {
            return None;
        }
        *run = Stopper::new();
        Some(run.handle())
    }

    /// Ends the task's life. It stops where it waits.
    pub(crate) fn end(&self) {
        let run = self.run.lock();
        self.is_over.store(true, Ordering::SeqCst);
        run.stop();
        self.life.stop();
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
        // The run is over when its lanes are, not when the looking is.
        let watching = async {
            self.watch_destination(run, stop).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = self.deliver(run, stop) => ended,
            () = watching => Err(Stopped),
        }
    }

    async fn deliver(self: &Arc<Self>, run: u32, stop: &Stop) -> Result<(), Stopped> {
        if self.phase().await == Phase::Full {
            scan::run(self, run, stop).await?;
        }
        if self.has_next() {
            self.level(run, stop).await?;
            Place::UpdateLevel.pass();
            self.take_next(run, stop).await?;
            // The next run of the lanes settles the names of the new destination first.
            return Ok(());
        }
        if self.board.entry().follows_log() {
            self.follow(run, stop).await;
        } else {
            self.rest(run, stop).await;
        }
        Err(Stopped)
    }

    async fn phase(&self) -> Phase {
        self.book.lock().await.entry.phase
    }

    /// A BASE task that has finished has nothing to do but to say so.
    async fn rest(&self, run: u32, stop: &Stop) {
        self.publish_marks(run, stop).await;
    }

    /// Asks the lanes to deliver everything that is committed now.
    pub(crate) fn deliver_now(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    /// Notes an event in the task's history.
    pub(crate) fn note(&self, kind: TaskEventKind, text: String) {
        self.history.note(self.env.clock.now_micros(), kind, text);
    }

    /// Has the lanes begin again in the same run; whoever stands still goes on.
    pub(crate) fn restart(&self) {
        self.run.lock().stop();
    }

    /// Shows what keeps the task from going on.
    pub(crate) fn show_trouble(&self, who: Who, trouble: Trouble, next_try_at: Option<Micros>) {
        let text = match trouble.code() {
            TaskError::Ok => trouble.text().to_owned(),
            code => format!("{}: {}", code_name(code), trouble.text()),
        };
        if self.board.set_trouble(who, trouble, next_try_at) {
            self.note(TaskEventKind::Trouble, text);
        }
    }

    /// Shows that somebody's trouble is over.
    pub(crate) fn clear_trouble(&self, who: Who) {
        if self.board.clear_trouble(who) {
            self.note(TaskEventKind::Recovered, "delivery goes on".to_owned());
        }
        self.account.set_failing(false);
    }

    /// Shows somebody's trouble no more, since nobody tries any more; it may be there still.
    pub(crate) fn forget_trouble(&self, who: Who) {
        self.board.clear_trouble(who);
        self.account.set_failing(false);
    }

    /// The time passed, by the monotonic clock.
    pub(crate) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// Tells whenever something is asked of the task.
    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wishes.subscribe()
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
            inactivity_max: tuning.inactivity_ms_max.map(Duration::from_millis),
        }
    }

    /// Bytes of rows after which a scan looks whether to cut: few for small objects.
    pub(crate) fn scan_look_bytes(&self) -> usize {
        let eighth = self.board.entry().spec.tuning.object_bytes_max / 8;
        usize::try_from(eighth.clamp(4 * 1024, 448 * 1024)).expect("448 KiB fit")
    }

    /// Claims the names that the task uses in the place of that identity, and those that it is going to use.
    pub(crate) fn claim_names(&self, identity: Uuid) -> Result<(), Trouble> {
        let entry = self.board.entry();
        let destination = &entry.spec.destination;
        self.env.claims.claim(self.id, self.claim(destination, identity))?;
        self.reserve_names();
        if self.board.entry().stage == Stage::Deleted {
            // Its names were let go meanwhile, for good.
            self.env.claims.release(self.id);
        }
        Ok(())
    }

    /// Claims the names of the destination that waits to come into force, as far as its place is known, in place of
    /// those that waited before.
    pub(crate) fn reserve_names(&self) {
        let entry = self.board.entry();
        let Some(next) = entry.next.as_ref().map(|next| &next.spec.destination) else {
            // It may have waited for something before.
            self.env.claims.unreserve(self.id);
            return;
        };
        if let Some(identity) = self.env.claims.identity_of(&next.bucket)
            && let Err(trouble) = self.env.claims.reserve(self.id, self.claim(next, identity))
        {
            // Once it is in force, it waits for the names, and says so.
            tracing::warn!(task = %self.id, trouble = trouble.text(), "a task is updated to names of another");
        }
    }

    fn claim(&self, destination: &Destination, identity: Uuid) -> Claim {
        Claim {
            table: self.source.schema().name,
            task: self.board.entry().name().clone(),
            prefix: Prefix::parse(&destination.prefix).expect("the prefix has passed its rules"),
            bucket: destination.bucket.clone(),
            identity,
        }
    }

    /// Whether objects of this task and of another with this name, bucket and prefix could share a name.
    pub(crate) fn may_share_names(&self, spec: &TaskSpec, prefix: &Prefix) -> bool {
        let entry = self.board.entry();
        let next = entry.next.as_ref().map(|next| &next.spec.destination);
        // Until it comes into force, what it delivers may go to any mixture of the two.
        let own: Vec<_> = std::iter::once(&entry.spec.destination).chain(next).collect();
        entry.spec.name == spec.name
            && own.iter().any(|own| own.bucket == spec.destination.bucket)
            && own.iter().any(|own| Prefix::parse(&own.prefix).is_ok_and(|own| own.may_share_folder(prefix)))
    }
}

/// The deadline of a call that is made in a request.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
