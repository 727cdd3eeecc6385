//! PutRow by 64 connections: its CPU on one partition, and its throughput over 64 partitions against one.
//!
//! The 64 partitions are eight tables of eight ranges, and each connection writes to one of its own. Both kinds
//! are measured by turns on the same server, and the best of each counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures::future::try_join_all;
use lakeferry_client::{Client, Operation};
use lakeferry_wire::proto::Message;

use crate::report::{Bound, Report};
use crate::rows::{SHAPES, put_row, table_named};
use crate::server::{Server, check_answer};
use crate::{Failure, Setting};

const CONNECTIONS: u64 = 64;
const TABLES: u64 = 8;
const RANGES: u64 = 8;
const ONE: &str = "one";
/// Rows of a turn.
const WRITES: u64 = 60_000;
const TURNS: u64 = 4;

/// What a turn came to.
struct Turn {
    rows_per_second: f64,
    cpu_us: f64,
}

/// Measures both.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    report.step(&format!(
        "put: {WRITES} rows a turn by {CONNECTIONS} connections, to 1 and to {} partitions",
        TABLES * RANGES
    ));
    let server = Server::start(setting, "put")?;
    make_tables(&server.client()?).await?;
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect::<Result<_, _>>()?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        for partitions in [1, TABLES * RANGES] {
            let measured = write(&server, &clients, partitions, turn * WRITES).await?;
            // The first turn opens connections and files.
            if turn > 0 {
                if partitions == 1 { one.push(measured) } else { many.push(measured) }
            }
        }
    }
    std::fs::remove_dir_all(server.stop(report)?)?;
    let best = |turns: &[Turn]| turns.iter().map(|turn| turn.rows_per_second).fold(0.0, f64::max);
    let cpu_us = one.iter().map(|turn| turn.cpu_us).fold(f64::INFINITY, f64::min);
    report.figure("put", "one_partition", best(&one), "rows/s", Bound::None);
    report.figure("put", "64_partitions", best(&many), "rows/s", Bound::None);
    report.figure("put", "cpu_us", cpu_us, "µs CPU/row of the server", Bound::AtMost(250.0));
    report.figure("put", "partitions_ratio", best(&many) / best(&one), "ratio", Bound::AtLeast(0.9));
    Ok(())
}

/// One table of one partition, and eight of eight.
async fn make_tables(client: &Client) -> Result<(), Failure> {
    client.create_table(table_named(ONE)).await?;
    for table in 0..TABLES {
        let points = (1..RANGES).map(device);
        client.create_table(table_named(&name(table)).split_at(points)).await?;
    }
    Ok(())
}

fn name(table: u64) -> String {
    format!("many{table}")
}

/// The first key column of the rows of a range; the second one tells them apart.
fn device(range: u64) -> String {
    format!("device-{range}")
}

/// Writes a turn's rows, each connection to its own partition, or all to one.
async fn write(server: &Server, clients: &[Client], partitions: u64, first: u64) -> Result<Turn, Failure> {
    let next = Arc::new(AtomicU64::new(first));
    let (started, cpu) = (Instant::now(), server.cpu_seconds()?);
    let writers = clients.iter().cloned().zip(0..).map(|(client, connection): (Client, u64)| {
        let next = next.clone();
        let (table, range) = if partitions == 1 {
            (ONE.to_owned(), 0)
        } else {
            (name(connection / RANGES % TABLES), connection % RANGES)
        };
        tokio::spawn(async move {
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= first + WRITES {
                    return Ok::<(), Failure>(());
                }
                let request = put_row(&table, &device(range), id, SHAPES[0]);
                let answer = client.call_raw(Operation::PutRow, Bytes::from(request.encode_to_vec())).await?;
                check_answer(&answer)?;
            }
        })
    });
    for outcome in try_join_all(writers).await? {
        outcome?;
    }
    let cpu_us = (server.cpu_seconds()? - cpu) / WRITES as f64 * 1e6;
    Ok(Turn { rows_per_second: WRITES as f64 / started.elapsed().as_secs_f64(), cpu_us })
}
