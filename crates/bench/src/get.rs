//! The server's CPU for a GetRow of one row, over HTTP, with signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::try_join_all;
use lakeferry_client::Operation;
use lakeferry_wire::proto::Message;

use crate::report::{Bound, Report};
use crate::rows::{SHAPES, get_row, scatter};
use crate::server::{CONNECTIONS, Server, load};
use crate::{Failure, Setting};

/// Rows that are read, after as many to warm up.
const READS: u64 = 50_000;
/// How often all is measured; the least counts, since what else runs only ever adds to it.
const TURNS: usize = 3;

/// Measures it.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!("get: {READS} of {} rows, {CONNECTIONS} connections", setting.rows));
    let server = Server::start(setting, "get")?;
    load(&server, SHAPES[0], setting.rows).await?;
    server.settle().await?;
    read(&server, setting.rows, 0).await?;
    let mut least = f64::INFINITY;
    for turn in 1..=TURNS {
        let cpu = server.cpu_seconds()?;
        read(&server, setting.rows, turn as u64 * READS).await?;
        least = least.min(server.cpu_seconds()? - cpu);
    }
    std::fs::remove_dir_all(server.stop(report)?)?;
    let each = least / READS as f64 * 1e6;
    report.figure("get", "cpu_us", each, "µs CPU/row of the server", Bound::AtMost(150.0));
    Ok(())
}

/// Reads as many scattered rows; each must be there.
async fn read(server: &Server, rows: u64, first: u64) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(first));
    let readers = (0..CONNECTIONS).map(|_| {
        let (client, next) = (server.client(), next.clone());
        tokio::spawn(async move {
            let client = client?;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= first + READS {
                    return Ok::<(), Failure>(());
                }
                let body = Bytes::from(get_row(scatter(at) % rows).encode_to_vec());
                let answer = client.call_raw(Operation::GetRow, body).await?;
                // An answer without the row has hardly any bytes.
                if answer.len() < 100 {
                    return Err("a row is not there".into());
                }
            }
        })
    });
    for outcome in try_join_all(readers).await? {
        outcome?;
    }
    Ok(())
}
