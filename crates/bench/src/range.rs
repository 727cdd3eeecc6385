//! GetRange in pages of 5,000 rows, against its bare parts; and what versions and a time to live cost it.
//!
//! A page must be scanned, encoded, and digested for the answer's header; a program that did nothing else would
//! reach 1/(1/scan + 1/encode + 1/MD5) rows per second of CPU. Each is measured bare on the same rows, some
//! times, and the least CPU time counts: what else runs on the machine only ever adds to it.

use std::time::Duration;

use bytes::Bytes;
use lakeferry_client::{Client, Operation, Range};
use lakeferry_wire::proto::{GetRangeRequest, GetRangeResponse, Message};

use crate::bare::Bare;
use crate::page::{self, Page};
use crate::report::{Bound, Report};
use crate::rows::{KEY_NAMES, Shape, TABLE, VERSIONS, table};
use crate::server::{Server, write_all};
use crate::{Failure, Setting};

/// How often each part is measured.
const TURNS: usize = 3;
/// The rows of a page, as the issue and the protocol have it.
const PAGE_ROWS: usize = 5000;
/// A time to live that no row of the run reaches.
const TIME_TO_LIVE_S: u32 = 7 * 86_400;

/// Measures both.
pub async fn run(setting: &Setting, shape: Shape, report: &mut Report) -> Result<(), Failure> {
    let count = setting.rows;
    report.step(&format!("range: {count} rows of about {} in pages of {PAGE_ROWS}", shape.name));
    let server = loaded(setting, "range", shape, count, false, report).await?;
    let plain = read_all(&server, count).await?;
    let pages = plain.pages;
    let data = server.stop(report)?;
    let database = Bare::open(&data)?;
    let (mut scan, mut encode, mut digest) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..TURNS {
        let (rows, took) = database.scan()?;
        if rows != count {
            return Err(format!("{count} rows were written and {rows} scanned").into());
        }
        scan = scan.min(took);
        encode = encode.min(page::encode(&pages));
        digest = digest.min(page::digest(&pages));
    }
    drop((database, pages));
    std::fs::remove_dir_all(&data)?;

    let per_second = |seconds: f64| count as f64 / seconds.max(1e-9);
    let parts = [scan, encode, digest].map(|time| time.as_secs_f64());
    let bare = per_second(parts.iter().sum());
    let served = per_second(plain.cpu_seconds);
    let unit = "rows/CPU-s";
    let case = |what: &str| format!("{what}_{}", shape.name);
    for (what, seconds) in ["scan", "encode", "md5"].into_iter().zip(parts) {
        report.figure("range", &case(what), per_second(seconds), unit, Bound::None);
    }
    report.figure("range", &case("served"), served, unit, Bound::None);
    report.figure("range", &case("ratio"), served / bare, "ratio", Bound::AtLeast(0.5));

    report.step(&format!("range: {count} rows of {VERSIONS} versions each, with a time to live"));
    let server = loaded(setting, "versions", shape, count, true, report).await?;
    let versions = per_second(read_all(&server, count).await?.cpu_seconds);
    std::fs::remove_dir_all(server.stop(report)?)?;
    report.figure("range", "versions_served", versions, unit, Bound::None);
    report.figure("range", "versions_ratio", versions / served, "ratio", Bound::AtLeast(0.75));
    Ok(())
}

/// A server whose rows are all written down, at rest.
async fn loaded(
    setting: &Setting,
    name: &str,
    shape: Shape,
    count: u64,
    versions: bool,
    report: &mut Report,
) -> Result<Server, Failure> {
    /// Bodies of one part at a time: all of them would take more memory than the server.
    const PART: u64 = 100_000;
    let server = Server::start(setting, name)?;
    let table =
        if versions { table().versions_max(VERSIONS).time_to_live_s(TIME_TO_LIVE_S) } else { table() };
    server.client()?.create_table(table).await?;
    for from in (0..count).step_by(usize::try_from(PART)?) {
        let to = (from + PART).min(count);
        let bodies = if versions { shape.versioned_bodies(from, to) } else { shape.bodies(from, to) };
        write_all(&server, bodies).await?;
    }
    server.settle().await?;
    // The bare scan reads what a stopped server has left: the served one reads the same, rows of memory written
    // down.
    let data = server.stop(report)?;
    let server = Server::start_at(&setting.program, data, "127.0.0.1:0")?;
    server.settle().await?;
    Ok(server)
}

/// All rows, read once.
struct Reading {
    cpu_seconds: f64,
    pages: Vec<Page>,
}

/// Reads the newest version of every row, some times; the cheapest of the readings.
async fn read_all(server: &Server, count: u64) -> Result<Reading, Failure> {
    let client = server.client()?;
    let mut best = Reading { cpu_seconds: f64::INFINITY, pages: Vec::new() };
    for _ in 0..TURNS {
        let before = server.cpu_seconds()?;
        let answers = pages(&client).await?;
        let cpu_seconds = server.cpu_seconds()? - before;
        let mut pages = Vec::with_capacity(answers.len());
        for rows in answers {
            pages.push(Page::new(rows.to_vec())?);
        }
        let rows: usize = pages.iter().map(Page::rows).sum();
        if rows as u64 != count {
            return Err(format!("{count} rows were written and {rows} read").into());
        }
        // All pages but the last are as full as they may be.
        if pages.iter().rev().skip(1).any(|page| page.rows() != PAGE_ROWS) {
            return Err(format!("a page has not {PAGE_ROWS} rows").into());
        }
        best.cpu_seconds = best.cpu_seconds.min(cpu_seconds);
        best.pages = pages;
    }
    Ok(best)
}

async fn pages(client: &Client) -> Result<Vec<Bytes>, Failure> {
    let mut request: GetRangeRequest = Range::all(KEY_NAMES).to_request(TABLE);
    let mut pages = Vec::new();
    loop {
        let answer = client.call_raw(Operation::GetRange, Bytes::from(request.encode_to_vec())).await?;
        let answer = GetRangeResponse::decode(answer)?;
        pages.push(answer.rows);
        match answer.next_start_primary_key {
            Some(next) => request.inclusive_start_primary_key = next,
            None => return Ok(pages),
        }
    }
}
