//! A soak: writers and three tasks for a while, on a server that is started again each minute.
//!
//! - The trial's own BASE_INC task delivers into a local bucket; an INC task into a bucket that goes away and
//!   returns; a BASE task delivers the whole table again every few minutes.
//! - By turns the server is stopped in order and killed.
//! - In the end the writers stop. The BASE_INC task's rows are compared with what was answered; the INC task's must
//!   be the same changes, each once; and the BASE task's, delivered once more, the table row by row.
//!
//! Lag, memory and open files are sampled all the while, written down, and shown as a small plot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::failure::{Failure, broken};
use crate::gate::Gate;
use crate::lake::Lake;
use crate::row::{Delivered, Key, Operation, Row, partition_of};
use crate::samples::Samples;
use crate::server::Keeper;
use crate::target::{LAKE, Plan, Target};
use crate::trial::{Ended, STEP_MAX, Setup, TASK, Trial, clear, rows_of_run, until_done, until_state};
use crate::writer::{DEV_KEY, TABLE};

/// The INC task, and its bucket.
const CHANGES: &str = "changes";
const AWAY: &str = "away";
/// The BASE task.
const WHOLE: &str = "whole";

const SAMPLED_EVERY: Duration = Duration::from_secs(1);
/// The server is started again so often, in seconds.
const RESTART_S: u64 = 60;
/// In each stretch of so many seconds, the bucket is away in these.
const STRETCH_S: u64 = 120;
const AWAY_S: std::ops::Range<u64> = 20..50;
/// The whole table is delivered again so often, in seconds, for the first time after half of it.
const AGAIN_S: u64 = 180;

const SAMPLED: [&str; 6] = [
    "lag of BASE_INC (s)",
    "lag of INC (s)",
    "memory (MiB)",
    "open files",
    "lives of the server",
    "bucket away",
];

struct Soak {
    keeper: Arc<Keeper>,
    /// The bucket that stays.
    lake: PathBuf,
    away: Away,
    samples: Samples,
    begun: Instant,
}

/// Runs for so many minutes, and compares.
///
/// # Errors
/// What was lost, or why nothing can be said.
pub async fn run(setup: &Setup, minutes: u64) -> Result<(), Failure> {
    println!("    {minutes} minutes; --seed={} writes the same rows", setup.seed);
    let store = setup.folder.with_extension("store");
    clear(&store);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (gate, accepting) = Gate::start(&store, &[AWAY.to_owned()], listen).await?;
    let age_ms = setup.object_age_ms;
    let changes = Plan { name: CHANGES, mode: "INC", bucket: AWAY, prefix: CHANGES, age_ms };
    let whole = Plan { name: WHOLE, mode: "BASE", bucket: LAKE, prefix: WHOLE, age_ms };
    let setup = Setup { store: Some((gate.clone(), AWAY)), beside: vec![changes, whole], ..setup.clone() };
    let trial = Trial::begin(&setup).await?;

    let keeper = Arc::clone(&trial.keeper);
    let away = Away {
        gate: gate.clone(),
        bucket: gate.root().join(AWAY),
        elsewhere: setup.folder.join("bucket-elsewhere"),
    };
    let lake = trial.bucket().to_owned();
    let mut soak = Soak { keeper, lake, away, samples: Samples::of(&SAMPLED), begun: Instant::now() };
    let lasted = soak.last(Duration::from_secs(minutes * 60)).await;
    soak.away.is_to_be(false).await?;
    let csv = setup.folder.with_extension("csv");
    soak.samples.write(&csv)?;
    println!("{}    samples: {}", soak.samples.plot(), csv.display());
    lasted?;

    let ended = trial.end().await?;
    soak.same_changes(&ended).await?;
    soak.same_table(&ended).await?;
    ended.report.tell()?;
    accepting.abort();
    clear(&setup.folder);
    clear(&store);
    Ok(())
}

impl Soak {
    async fn last(&mut self, time: Duration) -> Result<(), Failure> {
        let mut restarts = 0;
        let mut runs_asked = 0;
        while self.begun.elapsed() < time {
            let second = self.begun.elapsed().as_secs();
            self.away.is_to_be(AWAY_S.contains(&(second % STRETCH_S))).await?;
            if second / RESTART_S > restarts {
                restarts += 1;
                self.restart(restarts).await?;
            }
            if (second + AGAIN_S / 2) / AGAIN_S > runs_asked {
                runs_asked += 1;
                self.deliver_again().await?;
            }
            self.sample().await;
            tokio::time::sleep(SAMPLED_EVERY).await;
        }
        Ok(())
    }

    async fn restart(&self, number: u64) -> Result<(), Failure> {
        let (_, life) = self.keeper.life(0).await?;
        if number % 2 == 1 {
            self.keeper.stop().await?;
        } else {
            self.keeper.kill().await;
        }
        self.keeper.life(life + 1).await.map(drop)
    }

    /// Has the BASE task deliver again, and gives the number of that run.
    async fn deliver_again(&self) -> Result<i64, Failure> {
        let look = |target: Target| async move { Ok(target.task(TABLE, WHOLE).await?.run) };
        let before = until_done(&self.keeper, "look at the BASE task", look).await?;
        until_done(&self.keeper, "deliver again", |target| async move {
            // The answer may be lost although the run has begun.
            match target.task(TABLE, WHOLE).await?.run {
                run if run == before => target.deliver_again(TABLE, WHOLE).await,
                _ => Ok(()),
            }
        })
        .await?;
        Ok(before + 1)
    }

    async fn sample(&mut self) {
        let at = self.begun.elapsed();
        let (base_inc, inc) = (self.lag_of(TASK).await, self.lag_of(CHANGES).await);
        let pid = self.keeper.pid();
        let lives = self.keeper.life_now().map(u64::from);
        let values = vec![
            base_inc,
            inc,
            pid.and_then(memory_mib),
            pid.and_then(open_files),
            lives,
            Some(u64::from(self.away.is_away())),
        ];
        self.samples.add(at, values);
    }

    /// The lag that a task tells, in seconds; none while nobody answers.
    async fn lag_of(&self, task: &str) -> Option<u64> {
        let address = self.keeper.address_now()?;
        let state = Target::at(&address, DEV_KEY).ok()?.task(TABLE, task).await.ok()?;
        state.all["lag_s"].as_u64()
    }

    /// Checks that the INC task has delivered each change of the BASE_INC task once: both began while nothing was
    /// written.
    async fn same_changes(&self, ended: &Ended) -> Result<(), Failure> {
        let passed = "the INC task's sync point passes the last write";
        let state =
            until_state(&self.keeper, CHANGES, passed, |state| state.sync_point > ended.written).await?;
        let lake = Lake::new(self.away.bucket.clone(), CHANGES);
        lake.until_named(Instant::now() + STEP_MAX).await?;
        let mut found = BTreeMap::new();
        for row in rows_of_run(&lake.read()?, state.run) {
            if let Some(twice) = found.insert(place_of(&row), row) {
                return Err(Failure::Lost(format!("the INC task has delivered twice: {twice:?}")));
            }
        }
        let changes = ended.rows.iter().filter(|row| row.operation != Operation::Base);
        let wanted: BTreeMap<_, _> = changes.map(|row| (place_of(row), row)).collect();
        let places: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
        match places.into_iter().find(|place| wanted.get(place).copied() != found.get(place)) {
            None => Ok(()),
            Some(place) => Err(Failure::Lost(format!(
                "the INC task has delivered {:?}, the BASE_INC task {:?}",
                found.get(place),
                wanted.get(place)
            ))),
        }
    }

    /// Has the BASE task deliver once more, and checks that its rows are the table's.
    async fn same_table(&self, ended: &Ended) -> Result<(), Failure> {
        let run = self.deliver_again().await?;
        let done = "the BASE task delivers the table again";
        until_state(&self.keeper, WHOLE, done, |state| state.run == run && state.phase == "INCR").await?;
        let lake = Lake::new(self.lake.clone(), WHOLE);
        lake.until_named(Instant::now() + STEP_MAX).await?;
        let mut found: BTreeMap<Key, Row> = BTreeMap::new();
        for row in rows_of_run(&lake.read()?, run) {
            let values = row.values().filter(|_| row.operation == Operation::Base);
            let Some(values) = values else {
                return Err(Failure::Lost(format!("the BASE task has delivered {row:?}")));
            };
            if found.insert(row.key, values).is_some() {
                return Err(Failure::Lost(format!("the BASE task has delivered twice: {row:?}")));
            }
        }
        let keys: BTreeSet<_> = ended.table.keys().chain(found.keys()).collect();
        match keys.into_iter().find(|key| ended.table.get(key) != found.get(key)) {
            None => Ok(()),
            Some(key) => Err(Failure::Lost(format!(
                "{key:?}: the BASE task has delivered {:?}, the table has {:?}",
                found.get(key),
                ended.table.get(key)
            ))),
        }
    }
}

fn place_of(row: &Delivered) -> (usize, i64) {
    (partition_of(row.key), row.sequence)
}

/// A bucket that goes away, with all that is in it, and returns.
struct Away {
    gate: Gate,
    bucket: PathBuf,
    elsewhere: PathBuf,
}

impl Away {
    fn is_away(&self) -> bool {
        self.elsewhere.exists()
    }

    async fn is_to_be(&self, away: bool) -> Result<(), Failure> {
        let (here, elsewhere) = (&self.bucket, &self.elsewhere);
        let moved = match (self.is_away(), away) {
            (false, true) => self.gate.move_folder(here, elsewhere).await,
            (true, false) => self.gate.move_folder(elsewhere, here).await,
            _ => Ok(()),
        };
        moved.map_err(broken("move the bucket"))
    }
}

/// The memory that a process has, in MiB.
fn memory_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

fn open_files(pid: u32) -> Option<u64> {
    let files = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).ok()?;
    Some(files.count() as u64)
}
