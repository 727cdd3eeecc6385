//! A full delivery on two cores, against one.
//!
//! The server is started on one core and on two; this program is on all of them. What counts is how long the
//! delivery takes, from its task to the last object, the best of some.

use std::time::{Duration, Instant};

use lakeferry_model::delivery::{Mode, Phase, Tuning};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::base::{create, task};
use crate::report::{Bound, Report};
use crate::rows::{SHAPES, TABLE};
use crate::server::{Server, load};
use crate::{Failure, Setting};

const TURNS: usize = 4;

/// Measures rows of about 100 bytes.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    let count = 2 * setting.rows;
    report.step(&format!("base: {count} rows on one core and on two"));
    let server = Server::start(setting, "cores")?;
    load(&server, SHAPES[0], count).await?;
    server.settle().await?;
    let mut data = server.stop(report)?;
    let mut best = [Duration::MAX; 2];
    for (at, best) in best.iter_mut().enumerate() {
        let server = start_on(at + 1, setting, data)?;
        server.settle().await?;
        for turn in 0..TURNS {
            *best = (*best).min(deliver(&server, &format!("cores-{at}-{turn}")).await?);
            server.settle().await?;
        }
        data = server.stop(report)?;
    }
    std::fs::remove_dir_all(data)?;
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    report.figure("base", "one_core_wall", rate(best[0]), "rows/s", Bound::None);
    report.figure("base", "two_cores_wall", rate(best[1]), "rows/s", Bound::None);
    report.figure("base", "two_cores", rate(best[1]) / rate(best[0]), "ratio", Bound::AtLeast(1.6));
    Ok(())
}

/// Starts the server on so many of the cores that there are. A process is on the cores of the thread that starts it.
fn start_on(cores: usize, setting: &Setting, data: std::path::PathBuf) -> Result<Server, Failure> {
    let all = sched_getaffinity(None)?;
    let mut few = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).take(cores).for_each(|cpu| few.set(cpu));
    if few.count() as usize != cores {
        return Err(format!("there are no {cores} cores to run on").into());
    }
    sched_setaffinity(None, &few)?;
    let server = Server::start_at(&setting.program, data, "127.0.0.1:0");
    sched_setaffinity(None, &all)?;
    server
}

async fn deliver(server: &Server, name: &str) -> Result<Duration, Failure> {
    let client = server.client()?;
    let started = Instant::now();
    create(&client, &task(name, Mode::Base, name, Tuning::default())?).await?;
    while client.describe_delivery_task(TABLE, name).await?.report.phase != Phase::Incr {
        if started.elapsed() > Duration::from_secs(600) {
            return Err("the delivery does not end".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(started.elapsed())
}
