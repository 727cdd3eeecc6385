//! The promises of freshness, at the settings that a server and its tasks have when nobody names any.
//!
//! Three tables are written at a steady rate: one with an INC task, one with a BASE_INC task and rows at rest, one
//! with an INC task whose folders are minutes of an event time, with rows in turn late and early. Tasks are made as
//! an SDK makes them. A watcher notes when each object is there; objects are read in the end.
//!
//! Then, for each task:
//! - every answered write is in exactly one object that a manifest names, and was there within 125 s;
//! - the original's two promises hold with its own definitions, see [`crate::arrivals`];
//! - `/metrics`, looked at each second, has told the same: as many rows, none later, both promises kept at each look.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use lakeferry_client::{Client, CreateTable, Key, Put, RowWrite, TableWrites, Update};
use lakeferry_model::delivery::{
    Destination, EventTimeColumn, EventTimeFormat, Mode, SchemaSpec, TaskSpec, Tuning,
};
use lakeferry_model::{BucketName, KeyKind, SystemClock, TaskName};
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::task::JoinHandle;

use crate::arrivals::{Arrival, Arrivals};
use crate::failure::{Failure, broken};
use crate::files::files_below;
use crate::full_disk::FullDisk;
use crate::lake::Lake;
use crate::scrape::Scrape;
use crate::server::{Faults, Keeper, Program};
use crate::target::{INSTANCE, LAKE, Target, chain};
use crate::trial::clear;
use crate::writer::DEV_KEY;

/// What Lakeferry promises of every write: the default object age, and what a cut may take.
const WRITE_MAX: Duration = Duration::from_secs(125);
/// The original's two.
const STEADY_MAX: Duration = Duration::from_secs(180);
const SLOWEST_HUNDREDTH_MAX: Duration = Duration::from_secs(600);

/// Writes of one request, so often, to each table: 500 rows/s.
const BATCH_ROWS: u64 = 50;
const BATCH_EVERY: Duration = Duration::from_millis(100);
/// Rows of each table; writes go over them in turn.
const KEYS: u64 = 5_000;
/// The longest that is waited for the last writes.
const END_MAX: Duration = Duration::from_secs(180);
/// How often the watcher looks for new objects.
const WATCHED_EVERY: Duration = Duration::from_millis(100);
const SCRAPED_EVERY: Duration = Duration::from_secs(1);
/// Latencies that `/metrics` tells begin with a commit and end with another, and times of commit are told in steps:
/// so far they may lie beside ours.
const TOLD_BESIDE_MAX: Duration = Duration::from_secs(5);

/// A table with its task, both of one name.
#[derive(Debug, Clone, Copy)]
struct Subject {
    name: &'static str,
    mode: Mode,
    prefix: &'static str,
    /// Rows that are there before the task.
    rest: u64,
    by_event_time: bool,
}

const SUBJECTS: [Subject; 3] = [
    Subject { name: "changes", mode: Mode::Inc, prefix: "changes", rest: 0, by_event_time: false },
    Subject {
        name: "whole",
        mode: Mode::BaseInc,
        prefix: "whole/year=$yyyy/month=$MM/day=$dd/hour=$HH",
        rest: KEYS,
        by_event_time: false,
    },
    Subject {
        name: "events",
        mode: Mode::Inc,
        prefix: "events/$yyyy/$MM/$dd/$HH/$mm",
        rest: 0,
        by_event_time: true,
    },
];

/// When each object was first there, by its path.
type Seen = Arc<Mutex<HashMap<PathBuf, Instant>>>;

/// What `/metrics` has told of a task.
#[derive(Debug, Default)]
struct Told {
    looks: u64,
    /// Looks at which a promise was not kept, by the promise.
    broken: HashMap<&'static str, u64>,
    slowest: Duration,
    slowest_hundredth: Duration,
}

/// Runs for so many minutes, and checks.
///
/// # Errors
/// Which promise was not kept, or why nothing can be said.
pub async fn run(program: &Path, folder: &Path, minutes: u64) -> Result<(), Failure> {
    println!("    {minutes} minutes, then up to 2 more until the last write is in its object");
    clear(folder);
    std::fs::create_dir_all(folder).map_err(broken("make the folder"))?;
    let data = folder.join("data");
    let keeper = Keeper::new(Program {
        path: program.to_owned(),
        arguments: vec!["--dev".to_owned()],
        data: data.clone(),
        log: folder.join("server.log"),
        cut: None,
        faults: Faults::default(),
        environment: Vec::new(),
        disk: FullDisk::of(folder),
        witness: None,
    });
    let address = keeper.address().await?;
    let client = Target::at(&address, DEV_KEY)?.client().clone();
    for subject in SUBJECTS {
        subject.begin(&client).await?;
    }
    let bucket = data.join("lake").join(LAKE);
    let begun = Instant::now();
    let seen = Seen::default();
    let watcher = tokio::spawn(watch(bucket.clone(), Arc::clone(&seen)));
    let told: [Arc<Mutex<Told>>; 3] = Default::default();
    let scraper = tokio::spawn(scrape(address.to_string(), told.clone()));
    let end = begun + Duration::from_secs(minutes * 60);
    let writers = SUBJECTS.map(|subject| tokio::spawn(write(client.clone(), subject, end)));
    let mut answered = Vec::new();
    for writer in writers {
        answered.push(writer.await.map_err(broken("write"))??);
    }
    for subject in SUBJECTS {
        subject.until_delivered(&Target::at(&address, DEV_KEY)?).await?;
    }
    // What was told of the last objects stands for ten seconds.
    tokio::time::sleep(SCRAPED_EVERY * 3).await;
    let last = Scrape::of(&address).await?;
    watcher.abort();
    if scraper.is_finished() {
        scraper.await.map_err(broken("look at the metrics"))??;
    } else {
        scraper.abort();
    }

    let mut broken_promises = Vec::new();
    for ((subject, answered), told) in SUBJECTS.into_iter().zip(&answered).zip(&told) {
        let lake = Lake::new(bucket.clone(), subject.name);
        lake.until_named(Instant::now() + WATCHED_EVERY).await?;
        let arrivals = subject.arrivals(answered, &seen.lock(), begun)?;
        broken_promises.extend(judge(&arrivals));
        broken_promises.extend(compare(subject, &arrivals, &told.lock(), &last));
        show(subject, &arrivals, &told.lock());
    }
    if keeper.life_now() != Some(1) {
        broken_promises.push("the server ended on its way".to_owned());
    }
    keeper.stop().await?;
    if !broken_promises.is_empty() {
        return Err(Failure::Lost(broken_promises.join("\n")));
    }
    clear(folder);
    Ok(())
}

impl Subject {
    /// Makes the table and its task, as an SDK does: with nothing but what the protocol asks for.
    async fn begin(&self, client: &Client) -> Result<(), Failure> {
        let told = |error: lakeferry_client::Error| Failure::Broken(format!("begin: {}", chain(&error)));
        let table = CreateTable::new(self.name).key("id", KeyKind::Integer);
        client.create_table(table).await.map_err(told)?;
        for first in (1..=self.rest).step_by(200) {
            let rows = (first..first + 200).map(|number| self.row(number, 0));
            self.write(client, rows.collect()).await?;
        }
        let column = "at".to_owned();
        let event_time =
            self.by_event_time.then_some(EventTimeColumn { column, format: EventTimeFormat::Unix });
        let spec = TaskSpec {
            name: TaskName::parse(self.name).map_err(|rule| Failure::Broken(rule.message))?,
            mode: self.mode,
            destination: Destination {
                bucket: BucketName::parse(LAKE).map_err(|rule| Failure::Broken(rule.message))?,
                endpoint: "local".to_owned(),
                role: "role".to_owned(),
                prefix: self.prefix.to_owned(),
                event_time,
                zone: "UTC".to_owned(),
                suffix: String::new(),
                dirty_prefix: None,
            },
            schema: SchemaSpec::Automatic { reserved: false },
            // It does not travel: the task gets the server's.
            tuning: Tuning::default(),
        };
        client.create_delivery_task(self.name, &spec).await.map_err(told)
    }

    /// The write with that number, at that time in seconds: every other one changes a row, the others put it whole.
    fn row(&self, number: u64, now_s: i64) -> RowWrite {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let key = Key::new("id", whole(number % KEYS));
        // From seven minutes late to two minutes early.
        let at = now_s + (whole(number * 7 % 10) - 7) * 60;
        let text =
            format!("write {number} of about a hundred bytes, as most rows of devices and logs have them");
        if number.is_multiple_of(2) {
            Update::new(key).set("write", whole(number)).set("at", at).set("text", text).into()
        } else {
            Put::new(key).set("write", whole(number)).set("at", at).set("text", text).into()
        }
    }

    async fn write(&self, client: &Client, rows: Vec<RowWrite>) -> Result<(), Failure> {
        let answers = client.batch_write_row(&[TableWrites::new(self.name, rows)]).await;
        let answers = answers.map_err(|error| Failure::Lost(format!("a write: {}", chain(&error))))?;
        match answers.into_iter().flatten().find_map(Result::err) {
            Some(error) => Err(Failure::Lost(format!("a write was refused: {}", chain(&error)))),
            None => Ok(()),
        }
    }

    /// Waits until the task says that everything written is in the lake.
    async fn until_delivered(&self, target: &Target) -> Result<(), Failure> {
        let told = |error: lakeferry_client::Error| Failure::Lost(format!("the end: {}", chain(&error)));
        let written = target.last_commit(self.name).await.map_err(told)?;
        let end = Instant::now() + END_MAX;
        loop {
            let state = target.task(self.name, self.name).await.map_err(told)?;
            if state.sync_point > written {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Failure::Lost(format!(
                    "{}: the last write is not delivered within {END_MAX:?}; the task says {}",
                    self.name, state.all
                )));
            }
            tokio::time::sleep(WATCHED_EVERY).await;
        }
    }

    /// Reads the task's objects. Each write that was answered must be in one of them, and none in two.
    fn arrivals(
        &self,
        answered: &[Instant],
        seen: &HashMap<PathBuf, Instant>,
        begun: Instant,
    ) -> Result<Arrivals, Failure> {
        let own = format!("{LAKE}/{}/", self.name);
        let mut arrived: Vec<Option<Instant>> = vec![None; answered.len()];
        for (path, at) in seen.iter().filter(|(path, _)| path.to_string_lossy().contains(&own)) {
            let told = |why| Failure::Lost(format!("the object `{}`: {why}", path.display()));
            for write in read_writes(path).map_err(told)? {
                // Rows at rest are not counted: whether one arrives depends on when it was changed.
                let Some(number) =
                    u64::try_from(write).ok().and_then(|write| write.checked_sub(self.rest + 1))
                else {
                    continue;
                };
                let place = usize::try_from(number).ok().and_then(|number| arrived.get_mut(number));
                let place = place.ok_or_else(|| told(format!("nobody has written {write}")))?;
                if place.replace(*at).is_some() {
                    return Err(told(format!("write {write} has been delivered before")));
                }
            }
        }
        if let Some(missing) = arrived.iter().position(Option::is_none) {
            let missing = missing as u64 + self.rest + 1;
            return Err(Failure::Lost(format!("{}: write {missing} is in no object", self.name)));
        }
        let pairs = arrived.into_iter().flatten().zip(answered);
        let arrival = |(arrived, answered): (Instant, &Instant)| Arrival {
            at: arrived.saturating_duration_since(begun),
            latency: arrived.saturating_duration_since(*answered),
        };
        Ok(Arrivals::new(pairs.map(arrival).collect()))
    }
}

/// Writes at the rate until `end`, whatever became of the writes before. When each was answered, in their order.
async fn write(client: Client, subject: Subject, end: Instant) -> Result<Vec<Instant>, Failure> {
    let clock = SystemClock::shared();
    let mut ticks = tokio::time::interval(BATCH_EVERY);
    let mut batches: Vec<JoinHandle<Result<Instant, Failure>>> = Vec::new();
    let mut next = subject.rest + 1;
    while Instant::now() < end {
        ticks.tick().await;
        let now_s = clock.now_micros() / 1_000_000;
        let rows: Vec<_> = (next..next + BATCH_ROWS).map(|number| subject.row(number, now_s)).collect();
        next += BATCH_ROWS;
        let client = client.clone();
        batches.push(tokio::spawn(async move {
            subject.write(&client, rows).await?;
            Ok(Instant::now())
        }));
    }
    let mut answered = Vec::new();
    for batch in batches {
        let at = batch.await.map_err(broken("write"))??;
        answered.extend(std::iter::repeat_n(at, usize::try_from(BATCH_ROWS).unwrap_or(0)));
    }
    Ok(answered)
}

async fn watch(bucket: PathBuf, seen: Seen) {
    loop {
        for subject in SUBJECTS {
            let found = files_below(&bucket.join(subject.name));
            let now = Instant::now();
            let mut seen = seen.lock();
            for path in found {
                seen.entry(path).or_insert(now);
            }
        }
        tokio::time::sleep(WATCHED_EVERY).await;
    }
}

/// Looks at the metrics until it is ended.
async fn scrape(address: String, told: [Arc<Mutex<Told>>; 3]) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(SCRAPED_EVERY);
    loop {
        ticks.tick().await;
        let scrape = Scrape::of(&address).await?;
        for (subject, told) in SUBJECTS.into_iter().zip(&told) {
            told.lock().add(&scrape, subject.name);
        }
    }
}

impl Told {
    fn add(&mut self, scrape: &Scrape, task: &str) {
        self.looks += 1;
        for promise in ["latency_3_minutes", "p99_10_minutes"] {
            let labels = [("instance", INSTANCE), ("task", task), ("promise", promise)];
            if scrape.value("lakeferry_task_promise_kept", &labels) != Some(1.0) {
                *self.broken.entry(promise).or_default() += 1;
            }
        }
        let seconds = |name| {
            let value = scrape.value(name, &[("instance", INSTANCE), ("task", task)]);
            Duration::try_from_secs_f64(value.unwrap_or_default()).unwrap_or_default()
        };
        self.slowest = self.slowest.max(seconds("lakeferry_task_latency_slowest_seconds"));
        self.slowest_hundredth = self.slowest_hundredth.max(seconds("lakeferry_task_latency_p99_seconds"));
    }
}

/// What was promised of the arrivals and is not so.
fn judge(arrivals: &Arrivals) -> Vec<String> {
    let slowest = arrivals.percentile(100);
    let hundredth = arrivals.slowest_hundredth_of_any_10_s();
    let mut broken = Vec::new();
    if slowest > WRITE_MAX {
        let late = arrivals.count() - arrivals.within(WRITE_MAX);
        broken.push(format!("{late} writes took longer than {WRITE_MAX:?}, the slowest {slowest:.1?}"));
    }
    if slowest > STEADY_MAX {
        broken.push(format!("\"latencies are within 3 minutes\": the slowest took {slowest:.1?}"));
    }
    if hundredth > SLOWEST_HUNDREDTH_MAX {
        broken.push(format!("\"P99 is within 10 minutes\": it was {hundredth:.1?} at a time"));
    }
    broken
}

/// What the metrics have told otherwise.
fn compare(subject: Subject, arrivals: &Arrivals, told: &Told, last: &Scrape) -> Vec<String> {
    let name = subject.name;
    let mut wrong = Vec::new();
    for (promise, looks) in &told.broken {
        wrong.push(format!(
            "{name}: at {looks} of {} looks /metrics says that {promise} is not kept",
            told.looks
        ));
    }
    let hundredth = arrivals.slowest_hundredth_of_any_10_s();
    for (what, told, ours) in [
        ("the slowest", told.slowest, arrivals.percentile(100)),
        ("the mean of the slowest hundredth", told.slowest_hundredth, hundredth),
    ] {
        if told.abs_diff(ours) > TOLD_BESIDE_MAX {
            wrong.push(format!("{name}: {what} took {ours:.1?}, and /metrics says {told:.1?}"));
        }
    }
    let labels = [("instance", INSTANCE), ("task", name)];
    let counted = last.value("lakeferry_task_latency_seconds_count", &labels);
    let bucket = [labels[0], labels[1], ("le", "125.0")];
    let within = last.value("lakeferry_task_latency_seconds_bucket", &bucket);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 writes")]
    let (all, soon) = (arrivals.count() as f64, arrivals.within(WRITE_MAX) as f64);
    if counted != Some(all) {
        wrong.push(format!("{name}: {all} writes have arrived, and /metrics has counted {counted:?}"));
    }
    if within != Some(soon) && within != Some(all) {
        wrong.push(format!("{name}: {soon} writes came within {WRITE_MAX:?}, and /metrics says {within:?}"));
    }
    wrong
}

fn show(subject: Subject, arrivals: &Arrivals, told: &Told) {
    let hundredth = arrivals.slowest_hundredth_of_any_10_s();
    println!(
        "    {:<8} {} writes: half within {:.1?}, 99 % within {:.1?}, all within {:.1?}; the mean of the slowest \
         1 % of any 10 s at most {hundredth:.1?}",
        subject.name,
        arrivals.count(),
        arrivals.percentile(50),
        arrivals.percentile(99),
        arrivals.percentile(100),
    );
    println!("             {}", arrivals.distribution());
    println!(
        "             /metrics, at {} looks: at most {:.1?}, and {:.1?}",
        told.looks, told.slowest, told.slowest_hundredth
    );
}

/// The numbers of the writes in an object.
fn read_writes(path: &Path) -> Result<Vec<i64>, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let file = File::open(path).map_err(|error| told(&error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| told(&error))?;
    let only = ProjectionMask::columns(reader.parquet_schema(), ["write"]);
    let mut writes = Vec::new();
    for batch in reader.with_projection(only).build().map_err(|error| told(&error))? {
        let batch = batch.map_err(|error| told(&error))?;
        let column = batch.column_by_name("write").and_then(|column| column.as_primitive_opt::<Int64Type>());
        writes.extend(column.ok_or("no integer column `write`")?.iter().flatten());
    }
    Ok(writes)
}
