//! Incremental delivery: how soon, how much, and what it costs the writers.
//!
//! - The time from an answered write to its object, at a steady rate. A writer sends a batch every 10 ms, whatever
//!   became of those before it. A watcher looks into the lake's directory; a row has arrived when the object that
//!   holds it is there. Objects are read after the run.
//! - The rate that delivery sustains: rows are written a little faster than asked for half a minute, and the rate is
//!   that of their delivery, the age of the last object left out. It is never more than was written.
//! - The writers' own rate as fast as they can, with a task and without, the stream on in both.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_client::{Method, Operation};
use lakeferry_lake::read_object;
use lakeferry_model::delivery::{Mode, Phase, TaskStatus, Tuning};
use lakeferry_model::{StreamSpec, Value};
use tokio::sync::Mutex;

use crate::base::{create, task};
use crate::report::{Bound, Report};
use crate::rows::{BATCH_ROWS, SHAPES, TABLE, table};
use crate::server::{CONNECTIONS, INSTANCE, Server, check_answer, write_all};
use crate::{Failure, Setting};

const ROWS_PER_SECOND: u64 = 20_000;
/// A tenth more than is asked for.
const SUSTAINED_ROWS_PER_SECOND: u64 = 55_000;
const SECONDS: u64 = 30;
/// How often the writers' rate is measured with a task and without: the best of each counts.
const WRITER_TURNS: usize = 3;
const OBJECT_AGE_MS: u64 = 2_000;
const TASK: &str = "inc-task";

/// Measures all three.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    latency(setting, report).await?;
    sustained(setting, report).await?;
    writers(setting, report).await
}

async fn latency(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("inc: {ROWS_PER_SECOND} rows/s for {SECONDS} s, object age {OBJECT_AGE_MS} ms"));
    let server = Server::start(setting, "inc")?;
    server.client()?.create_table(table()).await?;
    follow(&server).await?;
    let lake = server.data.join("lake/lake/inc");
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let watcher = tokio::spawn(watch(lake, seen.clone()));
    let answered = write(&server, ROWS_PER_SECOND).await?;
    let expected = answered.len() as u64 * BATCH_ROWS;

    // All rows have arrived when as many are in objects; the age of the last ones has to pass first.
    let latencies = arrived(&seen, &answered, expected).await?;
    watcher.abort();
    server.stop(report)?;
    let percentile = |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100];
    report.figure("inc", "p50_seconds", percentile(50), "s", Bound::None);
    report.figure("inc", "p99_seconds", percentile(99), "s", Bound::AtMost(4.0));
    report.figure("inc", "max_seconds", percentile(100), "s", Bound::None);
    Ok(())
}

async fn sustained(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("inc: {SUSTAINED_ROWS_PER_SECOND} rows/s for {SECONDS} s"));
    let server = Server::start(setting, "inc-sustained")?;
    server.client()?.create_table(table()).await?;
    follow(&server).await?;
    let started = Instant::now();
    let rows = write(&server, SUSTAINED_ROWS_PER_SECOND).await?.len() as u64 * BATCH_ROWS;
    let wrote = started.elapsed();
    delivered(&server, TASK, rows).await?;
    let took = started.elapsed().saturating_sub(Duration::from_millis(OBJECT_AGE_MS)).max(wrote);
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    report.figure("inc", "written_rows_per_s", rows as f64 / wrote.as_secs_f64(), "rows/s", Bound::None);
    let rate = rows as f64 / took.as_secs_f64();
    report.figure("inc", "rows_per_s", rate, "rows/s", Bound::AtLeast(50_000.0));
    Ok(())
}

async fn writers(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("inc: {CONNECTIONS} writers as fast as they can, with a task and without"));
    let (mut alone, mut followed): (f64, f64) = (0.0, 0.0);
    for turn in 0..2 * WRITER_TURNS {
        let is_followed = turn % 2 == 1;
        let rate = writers_rate(setting, report, turn, is_followed).await?;
        let best = if is_followed { &mut followed } else { &mut alone };
        *best = best.max(rate);
    }
    report.figure("inc", "writers_alone", alone, "rows/s", Bound::None);
    report.figure("inc", "writers_followed", followed, "rows/s", Bound::None);
    report.figure("inc", "writer_drop", 1.0 - followed / alone, "share", Bound::AtMost(0.15));
    Ok(())
}

async fn writers_rate(
    setting: &Setting,
    report: &mut Report,
    turn: usize,
    is_followed: bool,
) -> Result<f64, Failure> {
    let server = Server::start(setting, &format!("inc-writers-{turn}"))?;
    let stream = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
    server.client()?.create_table(table().stream(stream)).await?;
    if is_followed {
        follow(&server).await?;
    }
    let count = setting.rows / 2;
    let warm = count / 20;
    write_all(&server, SHAPES[0].bodies(0, warm)).await?;
    let took = write_all(&server, SHAPES[0].bodies(warm, count)).await?;
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok((count - warm) as f64 / took.as_secs_f64())
}

/// Makes a task that follows the table, and waits until it does.
async fn follow(server: &Server) -> Result<(), Failure> {
    let client = server.client()?;
    let tuning = Tuning { object_age_ms_max: OBJECT_AGE_MS, ..Tuning::default() };
    create(&client, &task(TASK, Mode::Inc, "inc/$yyyy/$MM/$dd/$HH/$mm", tuning)?).await?;
    while client.describe_delivery_task(TABLE, TASK).await?.report.phase != Phase::Incr {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until a task has delivered so many rows.
pub async fn delivered(server: &Server, task: &str, rows: u64) -> Result<TaskStatus, Failure> {
    let client = server.client()?;
    let path = task_path(task);
    let started = Instant::now();
    loop {
        let mut described = client.json(Method::GET, &path, None).await?;
        let status: TaskStatus = serde_json::from_value(described["status"].take())?;
        if status.rows_delivered >= rows {
            return Ok(status);
        }
        if started.elapsed() > Duration::from_secs(300) {
            let (done, detail) = (status.rows_delivered, status.detail);
            return Err(format!("{done} of {rows} rows are delivered in five minutes: {detail}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where the JSON API has a task of the benchmarks' table.
pub fn task_path(task: &str) -> String {
    format!("/api/v1/instances/{INSTANCE}/tables/{TABLE}/tasks/{task}")
}

/// Writes at the rate; when each batch was answered.
async fn write(server: &Server, rows_per_second: u64) -> Result<Vec<Instant>, Failure> {
    let batches = rows_per_second * SECONDS / BATCH_ROWS;
    let bodies = SHAPES[0].bodies(0, batches * BATCH_ROWS);
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| server.client()).collect::<Result<_, _>>()?;
    let pause = Duration::from_secs(1) * u32::try_from(BATCH_ROWS)? / u32::try_from(rows_per_second)?;
    let mut ticks = tokio::time::interval(pause);
    let mut writes = Vec::with_capacity(bodies.len());
    for (at, body) in bodies.into_iter().enumerate() {
        ticks.tick().await;
        let client = clients[at % CONNECTIONS].clone();
        writes.push(tokio::spawn(async move {
            let answer = client.call_raw(Operation::BatchWriteRow, body).await?;
            let answered = Instant::now();
            check_answer(&answer)?;
            Ok::<Instant, Failure>(answered)
        }));
    }
    let mut answered = Vec::with_capacity(writes.len());
    for write in writes {
        answered.push(write.await??);
    }
    Ok(answered)
}

async fn watch(lake: PathBuf, seen: Arc<Mutex<HashMap<PathBuf, Instant>>>) {
    loop {
        let mut found = Vec::new();
        collect(&lake, &mut found);
        let now = Instant::now();
        let mut seen = seen.lock().await;
        for path in found {
            seen.entry(path).or_insert(now);
        }
        drop(seen);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    // A folder may not be there yet.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, found),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
}

/// Seconds from answer to arrival of every row, ascending.
async fn arrived(
    seen: &Mutex<HashMap<PathBuf, Instant>>,
    answered: &[Instant],
    expected: u64,
) -> Result<Vec<f64>, Failure> {
    let mut read: HashMap<PathBuf, Vec<f64>> = HashMap::new();
    for _ in 0..600 {
        let objects: Vec<(PathBuf, Instant)> =
            seen.lock().await.iter().map(|(path, at)| (path.clone(), *at)).collect();
        for (path, arrival) in objects {
            if let Entry::Vacant(unread) = read.entry(path) {
                let latencies = latencies_of(unread.key(), arrival, answered)?;
                unread.insert(latencies);
            }
        }
        let rows: usize = read.values().map(Vec::len).sum();
        if rows as u64 >= expected {
            let mut all: Vec<f64> = read.into_values().flatten().collect();
            if all.len() as u64 != expected {
                return Err(format!("{expected} rows were written and {} delivered", all.len()).into());
            }
            all.sort_unstable_by(f64::total_cmp);
            return Ok(all);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("not all rows have arrived within a minute".into())
}

fn latencies_of(path: &Path, arrival: Instant, answered: &[Instant]) -> Result<Vec<f64>, Failure> {
    let object = read_object(std::fs::read(path)?.into())?;
    let ids = object.column("id").ok_or("an object has no column `id`")?;
    ids.into_iter()
        .map(|id| {
            let Some(Value::Integer(id)) = id else { return Err("a row has no `id`".into()) };
            let batch = usize::try_from(*id)? / usize::try_from(BATCH_ROWS)?;
            let answer = answered.get(batch).ok_or("a row was never written")?;
            // A row may arrive before its writer has read the answer.
            Ok(arrival.saturating_duration_since(*answer).as_secs_f64())
        })
        .collect()
}
