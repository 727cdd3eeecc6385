//! A full delivery, against its two bare parts.
//!
//! Delivery must scan and encode; a program that did nothing else would reach 1/(1/scan + 1/encode) rows per
//! second of CPU. The ratio tells how near to that it comes. Each of the three is measured some times, and the
//! least CPU time counts: what else runs on the machine only ever adds to it.

use std::path::Path;
use std::time::{Duration, Instant};

use lakeferry_client::Client;
use lakeferry_lake::ObjectSchema;
use lakeferry_model::delivery::{Destination, Mode, Phase, SchemaSpec, TaskSpec, Tuning};
use lakeferry_model::{KeyColumn, KeyKind, TableSchema};

use crate::bare::{self, Bare};
use crate::report::{Bound, Report};
use crate::rows::{Shape, TABLE};
use crate::server::{Server, load};
use crate::{Failure, Setting};

/// So many times the rows of other benchmarks: what a task costs however few rows there are shall weigh little, and
/// the system counts CPU time by hundredths of a second.
const TIMES: u64 = 4;
/// How often each part is measured.
const TURNS: usize = 5;

/// Measures a shape of rows.
pub async fn run(setting: &Setting, shape: Shape, report: &mut Report) -> Result<(), Failure> {
    let count = TIMES * setting.rows / shape.divisor;
    report.step(&format!("base: {count} rows of about {}", shape.name));
    let server = Server::start(setting, &format!("base-{}", shape.name))?;
    load(&server, shape, count).await?;
    server.settle().await?;
    // The bare scan reads what a stopped server has left: delivery reads the same, rows of memory written down.
    let data = server.stop(report)?;
    let server = Server::start_at(&setting.program, data, "127.0.0.1:0")?;
    server.settle().await?;
    let client = server.client()?;
    let (mut cpu, mut wall) = (f64::INFINITY, Duration::MAX);
    for turn in 0..TURNS {
        let (turn_cpu, turn_wall) = deliver(&server, &client, turn).await?;
        (cpu, wall) = (cpu.min(turn_cpu), wall.min(turn_wall));
        server.settle().await?;
    }
    let data = server.stop(report)?;

    let objects = objects_below(&data.join("lake/lake/base-0"))?;
    let schema = object_schema(&objects)?;
    let database = Bare::open(&data)?;
    let (mut encoded, mut encode_cpu) = (0, Duration::MAX);
    let (mut scanned, mut scan_cpu) = (0, Duration::MAX);
    for _ in 0..TURNS {
        let (rows, took) = bare::encode(&objects, &schema)?;
        (encoded, encode_cpu) = (rows, encode_cpu.min(took));
        let (rows, took) = database.scan()?;
        (scanned, scan_cpu) = (rows, scan_cpu.min(took));
    }
    drop(database);
    if encoded != count || scanned != count {
        let message = format!("{count} rows were written, {scanned} scanned and {encoded} delivered");
        return Err(message.into());
    }
    let per_second = |time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
    let delivered = count as f64 / cpu;
    let bare = 1.0 / (1.0 / per_second(scan_cpu) + 1.0 / per_second(encode_cpu));
    let case = |what: &str| format!("{what}_{}", shape.name);
    let unit = "rows/CPU-s";
    report.figure("base", &case("scan"), per_second(scan_cpu), unit, Bound::None);
    report.figure("base", &case("encode"), per_second(encode_cpu), unit, Bound::None);
    report.figure("base", &case("delivery"), delivered, unit, Bound::None);
    report.figure("base", &case("delivery_wall"), per_second(wall), "rows/s", Bound::None);
    report.figure("base", &case("ratio"), delivered / bare, "ratio", Bound::AtLeast(0.7));
    std::fs::remove_dir_all(&data)?;
    Ok(())
}

/// A task into a local bucket.
pub fn task(name: &str, mode: Mode, prefix: &str, tuning: Tuning) -> Result<TaskSpec, Failure> {
    Ok(TaskSpec {
        name: lakeferry_model::TaskName::parse(name)?,
        mode,
        destination: Destination {
            bucket: lakeferry_model::BucketName::parse("lake")?,
            endpoint: "local".to_owned(),
            role: "none".to_owned(),
            prefix: prefix.to_owned(),
            event_time: None,
            zone: "UTC".to_owned(),
            suffix: ".parquet".to_owned(),
            dirty_prefix: None,
        },
        schema: SchemaSpec::Automatic { reserved: false },
        tuning,
    })
}

/// Makes a task through the JSON API, which takes its tuning.
pub async fn create(client: &Client, spec: &TaskSpec) -> Result<(), Failure> {
    let path = format!("/api/v1/instances/{}/tables/{TABLE}/tasks", crate::server::INSTANCE);
    client.json(lakeferry_client::Method::POST, &path, Some(&serde_json::to_value(spec)?)).await?;
    Ok(())
}

async fn deliver(server: &Server, client: &Client, turn: usize) -> Result<(f64, Duration), Failure> {
    let (cpu, started) = (server.cpu_seconds()?, Instant::now());
    let name = format!("base-{turn}");
    create(client, &task(&name, Mode::Base, &name, Tuning::default())?).await?;
    loop {
        let task = client.describe_delivery_task(TABLE, &name).await?;
        if task.report.phase == Phase::Incr {
            return Ok((server.cpu_seconds()? - cpu, started.elapsed()));
        }
        if started.elapsed() > Duration::from_secs(600) {
            return Err(format!("the delivery does not end: {}", task.report.detail).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The schema that the objects were written with. The columns' own settings are the defaults, which is all that
/// the writer's properties look at.
fn object_schema(objects: &[Vec<u8>]) -> Result<ObjectSchema, Failure> {
    if objects.is_empty() {
        return Err("nothing was delivered".into());
    }
    let column = |name: &str, kind| KeyColumn { name: name.to_owned(), kind, auto_increment: false };
    let table = TableSchema {
        name: lakeferry_model::TableName::parse(TABLE)?,
        primary_key: vec![column("device", KeyKind::String), column("id", KeyKind::Integer)],
        defined_columns: Vec::new(),
    };
    Ok(ObjectSchema::automatic(&table, false))
}

/// The objects below a folder.
pub fn objects_below(folder: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut objects = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { objects.push(std::fs::read(path)?) }
        }
    }
    Ok(objects)
}
