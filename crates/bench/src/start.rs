//! From `exec` to the first answered request, on a large table.

use std::time::{Duration, Instant};

use lakeferry_client::Read;

use crate::report::{Bound, Report};
use crate::rows::{SHAPES, TABLE, key};
use crate::server::{Server, load, write_all};
use crate::{Failure, Setting};

/// Starts after a stop; the median of them counts.
const STARTS: usize = 5;

/// Measures it.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("start: {} rows, {STARTS} stops and one kill", setting.rows));
    let mut server = Server::start(setting, "start")?;
    load(&server, SHAPES[0], setting.rows).await?;
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let data = server.stop(report)?;
        server = Server::start_at(&setting.program, data, "127.0.0.1:0")?;
        times.push(first_answer(&server).await?);
    }
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() * 1000.0;
    report.figure("start", "first_answer_ms", median, "ms", Bound::AtMost(300.0));

    // A journal with something in it, and no chance to write it down.
    let extra = SHAPES[0].bodies(setting.rows, setting.rows + setting.rows / 4);
    write_all(&server, extra).await?;
    let data = server.kill(report)?;
    let server = Server::start_at(&setting.program, data, "127.0.0.1:0")?;
    let after_kill = first_answer(&server).await?.as_secs_f64() * 1000.0;
    report.figure("start", "after_kill_ms", after_kill, "ms", Bound::None);
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// The time from `exec` until a row was read.
async fn first_answer(server: &Server) -> Result<Duration, Failure> {
    let asked = Instant::now();
    let row = server.client()?.get_row(TABLE, &key(0), &Read::default()).await?;
    if row.is_none() {
        return Err("the first row is gone".into());
    }
    Ok(server.ready_after + asked.elapsed())
}
