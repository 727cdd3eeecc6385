//! How long a new task stays in INIT: from the request that makes it until somebody who asks hears of another phase.
//!
//! The promise is two seconds, whether or not the bucket is good. So a table of its own gets a task into a local
//! bucket, into a bucket that there is not, and into a store that takes calls and never answers; and a table with
//! rows, whose columns are sampled, gets one. The slowest of all counts.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lakeferry_client::{Client, Method};
use lakeferry_model::BucketName;
use lakeferry_model::delivery::{Mode, Phase, TaskSpec, Tuning};
use serde_json::json;

use crate::base::task;
use crate::report::{Bound, Report};
use crate::rows::{TABLE, table_named};
use crate::server::{Server, load};
use crate::{Failure, Setting, rows};

/// Tasks of each kind.
const TURNS: usize = 5;
/// Rows of the table that has some.
const ROWS: u64 = 20_000;
/// How often the phase is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(2);

/// Measures it.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("init: {TURNS} tasks of each kind"));
    let server = Server::start(setting, "init")?;
    let client = server.client()?;
    // It lives as long as its tasks, and nobody takes what is sent to it.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", silent.local_addr()?);
    let bucket = json!({
        "name": "silent", "url": "s3://silent", "endpoint": endpoint,
        "access_key_id": "id", "access_key_secret": "secret",
    });
    client.json(Method::POST, "buckets", Some(&bucket)).await?;

    let local = fresh_tables(&client, "local", "lake", "local").await?;
    report.figure("init", "local_seconds", local, "s", Bound::None);
    // The server makes a bucket that is missing, unless it knows an entry of another place.
    let elsewhere = fresh_tables(&client, "elsewhere", "silent", "http://elsewhere.example").await?;
    report.figure("init", "wrong_bucket_seconds", elsewhere, "s", Bound::None);
    let unanswered = fresh_tables(&client, "silent", "silent", &endpoint).await?;
    report.figure("init", "silent_store_seconds", unanswered, "s", Bound::None);
    load(&server, rows::SHAPES[0], ROWS).await?;
    let mut sampled: f64 = 0.0;
    for turn in 0..TURNS {
        sampled = sampled.max(initialize(&client, TABLE, &spec(turn, "lake", "local")?).await?);
    }
    report.figure("init", "with_rows_seconds", sampled, "s", Bound::None);
    let slowest = [local, elsewhere, unanswered, sampled].into_iter().fold(0.0, f64::max);
    report.figure("init", "seconds", slowest, "s", Bound::AtMost(2.0));
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// The longest that the task of a fresh table took.
async fn fresh_tables(client: &Client, kind: &str, bucket: &str, endpoint: &str) -> Result<f64, Failure> {
    let mut slowest: f64 = 0.0;
    for turn in 0..TURNS {
        let table = format!("{kind}_{turn}");
        client.create_table(table_named(&table)).await?;
        let mut spec = spec(turn, bucket, endpoint)?;
        spec.destination.prefix = table.clone();
        slowest = slowest.max(initialize(client, &table, &spec).await?);
    }
    Ok(slowest)
}

fn spec(turn: usize, bucket: &str, endpoint: &str) -> Result<TaskSpec, Failure> {
    let mut spec = task(&format!("init-{turn}"), Mode::BaseInc, "rows", Tuning::default())?;
    spec.destination.bucket = BucketName::parse(bucket)?;
    endpoint.clone_into(&mut spec.destination.endpoint);
    Ok(spec)
}

/// Makes the task as an SDK does, and says after how many seconds it is out of INIT.
async fn initialize(client: &Client, table: &str, spec: &TaskSpec) -> Result<f64, Failure> {
    let asked = Instant::now();
    client.create_delivery_task(table, spec).await?;
    while client.describe_delivery_task(table, spec.name.as_str()).await?.report.phase == Phase::Init {
        if asked.elapsed() > Duration::from_secs(60) {
            return Err(format!("the task of {table} stays in INIT").into());
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
    Ok(asked.elapsed().as_secs_f64())
}
