//! How soon a bucket that is gone stands in the status of a task that has nothing to write, and how soon it is out of
//! it again once the bucket is back. The promise is ten seconds for each, at the default settings.

use std::time::{Duration, Instant};

use lakeferry_client::Client;
use lakeferry_model::delivery::{Mode, Phase, TaskError, Tuning};

use crate::base::{create, task};
use crate::report::{Bound, Report};
use crate::rows::{TABLE, table};
use crate::server::Server;
use crate::{Failure, Setting};

/// How often the bucket goes and comes. The slowest counts.
const TURNS: usize = 3;
const TASK: &str = "trouble-task";
/// How often the task is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Measures both.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("trouble: a bucket goes and comes {TURNS} times"));
    let server = Server::start(setting, "trouble")?;
    let client = server.client()?;
    client.create_table(table()).await?;
    create(&client, &task(TASK, Mode::BaseInc, "trouble", Tuning::default())?).await?;
    while client.describe_delivery_task(TABLE, TASK).await?.report.phase != Phase::Incr {
        tokio::time::sleep(ASKED_EVERY).await;
    }
    let (bucket, away) = (server.data.join("lake/lake"), server.data.join("lake/away"));
    let (mut shown, mut healed): (f64, f64) = (0.0, 0.0);
    for _ in 0..TURNS {
        std::fs::rename(&bucket, &away)?;
        shown = shown.max(until(&client, TaskError::InvalidOssBucket).await?);
        std::fs::rename(&away, &bucket)?;
        healed = healed.max(until(&client, TaskError::Ok).await?);
    }
    report.figure("trouble", "shown_seconds", shown, "s", Bound::AtMost(10.0));
    report.figure("trouble", "healed_seconds", healed, "s", Bound::AtMost(10.0));
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// After how many seconds the task says that.
async fn until(client: &Client, error: TaskError) -> Result<f64, Failure> {
    let asked = Instant::now();
    while client.describe_delivery_task(TABLE, TASK).await?.report.error != error {
        if asked.elapsed() > Duration::from_secs(60) {
            return Err(format!("the task does not say {error:?}").into());
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
    Ok(asked.elapsed().as_secs_f64())
}
