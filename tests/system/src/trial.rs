//! A trial: a server that is going to be killed, writers, a BASE_INC task, and the comparison at the end.
//!
//! 1. [`Trial::begin`] starts the server, makes the table with its indexes, puts rows, and makes a tunnel and the
//!    task.
//! 2. Whoever runs the trial lets writers run and has the server die as it likes.
//! 3. [`Trial::end`] stops the writers, waits until everything is delivered, and compares. By then there must be no
//!    object that a manifest does not name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lakeferry_client::{Error, ErrorCode};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::failure::{Failure, broken};
use crate::full_disk::FullDisk;
use crate::gate::Gate;
use crate::lake::{Lake, Object};
use crate::ledger::{Ledger, Report};
use crate::listener::Listener;
use crate::observer::Seen;
use crate::powercut::PowerCut;
use crate::row::{Delivered, Key, Row};
use crate::server::{Faults, Keeper, Program};
use crate::target::{INDEXES, LAKE, Plan, Target, TaskState, chain};
use crate::writer::{DEV_KEY, TABLE, Writer};

/// The task's name.
pub const TASK: &str = "trial";

/// The tunnel's name.
const TUNNEL: &str = "heard";

/// The file in which a first start leaves the operator's key.
pub const KEY_FILE: &str = "operator-key.toml";

const WRITERS: i64 = 4;
/// How long any single step of a trial may take, restarts included.
pub const STEP_MAX: Duration = Duration::from_secs(60);

/// What a trial is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program's binary.
    pub program: PathBuf,
    /// Where trials keep what they make.
    pub folder: PathBuf,
    /// The source of the power cut library, if the power is to be cut at each end.
    pub powercut: Option<PathBuf>,
    /// The source of the full disk library, if the disk is to be full at times.
    pub full_disk: Option<PathBuf>,
    /// What one of the server's lives is to suffer.
    pub faults: Faults,
    /// A store, and the bucket of it that the trial adds. The task's own bucket is a local one unless it is this.
    pub store: Option<(Gate, &'static str)>,
    /// Tasks to be made beside the trial's own.
    pub beside: Vec<Plan>,
    /// Rows that each writer puts before the task is made.
    pub keys_per_writer: i64,
    /// The task's object age, in milliseconds.
    pub object_age_ms: u64,
    /// How long a writer rests behind each batch.
    pub pause: Duration,
    /// What the writers' choices are drawn from.
    pub seed: u64,
}

/// A running trial.
#[derive(Debug)]
pub struct Trial {
    /// The server.
    pub keeper: Arc<Keeper>,
    lake: Arc<Lake>,
    ledger: Arc<Mutex<Ledger>>,
    stop_writers: Arc<AtomicBool>,
    stop_observer: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<Writer, Failure>>>,
    observer: JoinHandle<Result<Seen, Failure>>,
    listener: Listener,
}

/// A trial that has ended well.
#[derive(Debug)]
pub struct Ended {
    /// What was compared.
    pub report: Report,
    /// The time of the table's last commit, in microseconds since the epoch.
    pub written: i64,
    /// The table.
    pub table: BTreeMap<Key, Row>,
    /// What the task's last run delivered.
    pub rows: Vec<Delivered>,
}

impl Setup {
    /// Starts a server of this setup in a fresh folder, and says where its data lies.
    ///
    /// # Errors
    /// If the folder or the power cut library cannot be made.
    pub fn start(&self, arguments: &[&str]) -> Result<(Keeper, PathBuf), Failure> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).map_err(broken("clear the trial's folder"))?;
        }
        // The power is cut above the data directory, so that its own name is at stake too.
        let disk = self.folder.join("disk");
        std::fs::create_dir_all(&disk).map_err(broken("make the trial's folder"))?;
        let disk = disk.canonicalize().map_err(broken("find the trial's folder"))?;
        let engine = "home/data/engine";
        let power = |source: &PathBuf| PowerCut::new(source, &self.folder, &disk, &[engine]);
        let data = disk.join("home/data");
        let full_disk = FullDisk::of(&self.folder);
        let mut environment = match &self.full_disk {
            Some(source) => full_disk.environment(source, &self.folder, &disk)?,
            None => Vec::new(),
        };
        let ahead = clock_ahead(&self.folder);
        environment.push(("LAKEFERRY_CLOCK_AHEAD", ahead.display().to_string()));
        let program = Program {
            path: self.program.clone(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            data: data.clone(),
            log: self.folder.join("server.log"),
            cut: self.powercut.as_ref().map(power).transpose()?,
            faults: self.faults.clone(),
            environment,
            disk: full_disk,
            witness: Some((data.join(KEY_FILE), self.folder.join(KEY_FILE))),
        };
        Ok((Keeper::new(program), data))
    }

    /// The bucket of the task, when the data directory is `data`.
    fn bucket(&self, data: &Path) -> PathBuf {
        match &self.store {
            Some((gate, LAKE)) => gate.root().join(LAKE),
            _ => data.join("lake").join(LAKE),
        }
    }
}

/// The file that says by how many seconds the clock of the trial in this folder is ahead.
pub fn clock_ahead(folder: &Path) -> PathBuf {
    folder.join("clock-ahead")
}

impl Trial {
    /// Makes everything up to the task and starts the writers. The server may die meanwhile.
    ///
    /// # Errors
    /// If a step does not succeed within its time.
    pub async fn begin(setup: &Setup) -> Result<Self, Failure> {
        let (keeper, data) = setup.start(&["--dev"])?;
        let keeper = Arc::new(keeper);
        until_done(&keeper, "make the table", |target| async move { target.make_table(TABLE).await }).await?;

        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let writer = |number| {
            Writer::new(number, setup.keys_per_writer, Arc::clone(&ledger), setup.seed).resting(setup.pause)
        };
        let mut writers: Vec<_> = (0..WRITERS).map(writer).collect();
        for writer in &mut writers {
            writer.put_all(&keeper).await?;
        }
        if setup.faults.life == 2 {
            early_life(&keeper, setup).await?;
        }
        let tunnel = until_done(&keeper, "make the tunnel", |target| async move {
            target.make_tunnel(TABLE, TUNNEL).await
        })
        .await?;
        let listener = Listener::start(Arc::clone(&keeper), tunnel);
        if let Some((gate, bucket)) = &setup.store {
            let add = |target: Target| async move { target.add_bucket(bucket, gate).await };
            until_done(&keeper, "add the bucket", add).await?;
        }
        ledger.lock().note_task();
        let task = Plan::whole(TASK, "data/$yyyy/$MM/$dd/$HH/$mm", setup.object_age_ms);
        for plan in std::iter::once(&task).chain(&setup.beside) {
            let make = |target: Target| async move { target.make_task(TABLE, plan).await };
            until_done(&keeper, "make a task", make).await?;
        }

        let lake = Arc::new(Lake::new(setup.bucket(&data), "data"));
        let (stop_writers, stop_observer) = (Arc::default(), Arc::default());
        let watched = Seen::watch(TASK, Arc::clone(&lake), Arc::clone(&keeper), Arc::clone(&stop_observer));
        let observer = tokio::spawn(watched);
        let mut trial = Self {
            keeper,
            lake,
            ledger,
            stop_writers,
            stop_observer,
            writers: Vec::new(),
            observer,
            listener,
        };
        trial.resume(writers);
        Ok(trial)
    }

    /// The folder of the task's bucket.
    pub fn bucket(&self) -> &Path {
        self.lake.bucket()
    }

    /// Stops the writers, and notes that a new run of the task is about to begin.
    ///
    /// # Errors
    /// If a writer failed.
    pub async fn rest(&mut self) -> Result<Vec<Writer>, Failure> {
        self.stop_writers.store(true, Ordering::Relaxed);
        let mut writers = Vec::new();
        for writer in self.writers.drain(..) {
            writers.push(writer.await.map_err(broken("run a writer"))??);
        }
        self.ledger.lock().note_task();
        Ok(writers)
    }

    /// Lets writers run.
    pub fn resume(&mut self, writers: Vec<Writer>) {
        self.stop_writers.store(false, Ordering::Relaxed);
        let run = |writer: Writer| {
            tokio::spawn(writer.run(Arc::clone(&self.keeper), Arc::clone(&self.stop_writers)))
        };
        self.writers = writers.into_iter().map(run).collect();
    }

    /// Ends the writers, waits until the lake has everything, and compares.
    ///
    /// # Errors
    /// What was lost, or why nothing can be said.
    pub async fn end(self) -> Result<Ended, Failure> {
        self.stop_writers.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.map_err(broken("run a writer"))??;
        }
        // Not the computer's time: after a crash, commit times go on a little ahead of it.
        let last_commit = |target: Target| async move { target.last_commit(TABLE).await };
        let written = until_done(&self.keeper, "ask for the last commit", last_commit).await?;
        let state = until_task(&self.keeper, "the sync point passes the last write", |state| {
            state.phase == "INCR" && state.sync_point > written
        })
        .await?;
        self.lake.until_named(Instant::now() + STEP_MAX).await?;
        self.stop_observer.store(true, Ordering::Relaxed);
        let seen = self.observer.await.map_err(broken("watch the task"))?;

        let table =
            until_done(&self.keeper, "read the table", |target| async move { target.read(TABLE).await });
        let table = table.await?;
        let objects = self.lake.read()?;
        let rows = rows_of_run(&objects, state.run);
        // What is lost comes first: a sync point that lies is the lesser matter.
        let report = self.ledger.lock().compare(rows.clone(), &table)?;
        seen?.check(&objects)?;
        indexes_tell(&self.keeper, &table).await?;
        self.listener.end(&table, &rows, Instant::now() + STEP_MAX).await?;
        Ok(Ended { report, written, table, rows })
    }
}

/// The rows of those objects that belong to a run.
pub fn rows_of_run(objects: &[Object], run: i64) -> Vec<Delivered> {
    let run = run.to_string();
    let of_run = objects.iter().filter(|object| object.metadata.get("lakeferry.run") == Some(&run));
    of_run.flat_map(|object| object.rows.iter().cloned()).collect()
}

/// Checks that each index holds the table's rows and no others; a global one may come a little later.
async fn indexes_tell(keeper: &Keeper, table: &BTreeMap<Key, Row>) -> Result<(), Failure> {
    let wanted: BTreeMap<Key, i64> = table.iter().map(|(key, row)| (*key, row.write)).collect();
    let end = Instant::now() + STEP_MAX;
    for (index, _, key) in INDEXES {
        loop {
            let read = |target: Target| async move { target.read_index(index, key).await };
            let found = until_done(keeper, "read an index", read).await?;
            if found == wanted {
                break;
            }
            if Instant::now() > end {
                let keys = wanted.keys().chain(found.keys());
                let key = keys.into_iter().find(|key| found.get(key) != wanted.get(key));
                let (found, row) = (key.and_then(|key| found.get(key)), key.and_then(|key| table.get(key)));
                return Err(Failure::Lost(format!(
                    "the index {index} has {found:?} for {key:?}, the table {row:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Has another task deliver in the first life. It makes durable what is made once and for all: a bucket that
/// lost its identity in the second life, say, would have everything delivered again, and hide what is lost.
async fn early_life(keeper: &Keeper, setup: &Setup) -> Result<(), Failure> {
    const EARLY: &str = "early";
    let early = Plan::whole(EARLY, EARLY, setup.object_age_ms);
    let make = |target: Target| async move { target.make_task(TABLE, &early).await };
    until_done(keeper, "make an early task", make).await?;
    until_state(keeper, EARLY, "its full phase ends", |state| state.phase == "INCR").await?;
    keeper.kill().await;
    keeper.life(2).await.map(drop)
}

/// Calls until it succeeds, whoever answers by then.
///
/// # Errors
/// If it does not succeed in time, or the server cannot be started again.
pub async fn until_done<T, F>(keeper: &Keeper, what: &str, call: impl Fn(Target) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Error>>,
{
    let end = Instant::now() + STEP_MAX;
    loop {
        let target = Target::at(&keeper.address().await?, DEV_KEY)?;
        match call(target).await {
            Ok(done) => return Ok(done),
            // What trials ask for was made before, and is gone for good.
            Err(error) if Instant::now() > end || error.code() == Some(ErrorCode::ObjectNotExist) => {
                return Err(Failure::Lost(format!("{what}: {}", chain(&error))));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Looks at the trial's task until it is as wanted.
///
/// # Errors
/// If it does not come to that in time.
pub async fn until_task(
    keeper: &Keeper,
    what: &str,
    wanted: impl Fn(&TaskState) -> bool,
) -> Result<TaskState, Failure> {
    until_state(keeper, TASK, what, wanted).await
}

/// Looks at a task until it is as wanted.
///
/// # Errors
/// If it does not come to that in time.
pub async fn until_state(
    keeper: &Keeper,
    task: &str,
    what: &str,
    wanted: impl Fn(&TaskState) -> bool,
) -> Result<TaskState, Failure> {
    let end = Instant::now() + STEP_MAX;
    loop {
        let look = |target: Target| async move { target.task(TABLE, task).await };
        let state = until_done(keeper, what, look).await?;
        if wanted(&state) {
            return Ok(state);
        }
        if Instant::now() > end {
            return Err(Failure::Lost(format!(
                "not within {STEP_MAX:?}: {what}; the task says {}",
                state.all
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A trial's folder that held up is not needed any more; one that did not is kept to be looked at.
pub fn clear(folder: &Path) {
    // What stays lies below the target directory, and is cleared by the next trial of that name.
    _ = std::fs::remove_dir_all(folder);
}
