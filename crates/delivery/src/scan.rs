//! The full phase: the table as it is, brought into the lake.
//!
//! 1. The table's partitions are split into ranges of row keys, which are written down.
//! 2. Lanes take ranges from a queue. Each row is encoded from where it lies in the engine's memory, on the thread
//!    that reads it. Rows whose last change came after the pinned position are left out: that change
//!    follows in the incremental phase.
//! 3. When an object is full or memory is short, the lane cuts everything it has encoded: names are prepared,
//!    objects uploaded, and the ranges move on in the commit.
//! 4. When all ranges are done, the phase moves on.
//!
//! A scan finds other rows when it is made again, so a cut that was prepared when the program ended is given
//! up: its objects are deleted, and its rows are scanned again into new names.

mod lane;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakeferry_durable::Place;
use lakeferry_model::Micros;
use lakeferry_model::delivery::{Mode, Phase, TaskEventKind};
use lakeferry_store::PartitionId;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::cut::LaneTicket;
use crate::space::{ScanRange, Writes};
use crate::stop::{Stop, Stopped};
use crate::task::Task;
use lane::ScanLane;

/// Ranges per lane: with many more than lanes, no lane is left with a long tail alone.
const RANGES_PER_LANE: usize = 16;
/// The longest that a scan waits for partitions to say how far they are closed.
const CLOSED_WAIT_MAX: Duration = Duration::from_secs(1);

/// Why a lane of the scan ended early.
enum Early {
    /// Told to stop.
    Stopped,
    /// What is not committed is to be scanned again, into new names.
    Again,
}

impl From<Stopped> for Early {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Scans what is left of the table in this run, and moves the phase on.
pub(crate) async fn run(task: &Arc<Task>, run: u32, stop: &Stop) -> Result<(), Stopped> {
    split(task, run, stop).await?;
    loop {
        task.wait_while_paused(stop).await?;
        task.give_up_scans(run, stop).await?;
        let undone = undone(task, run).await?;
        if undone.is_empty() {
            break;
        }
        let lanes = task.env.settings.scan_lanes.max(1).min(u32::try_from(undone.len()).unwrap_or(u32::MAX));
        let queue = Arc::new(Mutex::new(undone));
        let workers: Vec<JoinHandle<Result<(), Early>>> = (0..lanes)
            .map(|lane| {
                let (task, queue, stop) = (Arc::clone(task), Arc::clone(&queue), stop.clone());
                tokio::spawn(async move {
                    let lane = ScanLane::begin(task, LaneTicket { lane, run }, stop).await?;
                    lane.run(&queue).await
                })
            })
            .collect();
        // All of them, whatever the first says: none may still write when the lanes begin again.
        for ended in futures::future::join_all(workers).await {
            match ended {
                Ok(Ok(()) | Err(Early::Again)) => {}
                Ok(Err(Early::Stopped)) => stop.check()?,
                Err(error) => {
                    tracing::error!(task = %task.id, %error, "a lane of the full phase ended without an answer");
                    stop.sleep(task.env.settings.retry_min).await?;
                }
            }
        }
        stop.check()?;
        task.board.forget_lanes();
    }
    Place::FullScanned.pass();
    finish(task, run).await
}

/// Splits the table into ranges and writes them down, if that is not done yet.
async fn split(task: &Arc<Task>, run: u32, stop: &Stop) -> Result<(), Stopped> {
    let ticket = LaneTicket { lane: 0, run };
    let mode = {
        let book = task.book_for(&ticket).await?;
        if !book.ranges.is_empty() {
            return Ok(());
        }
        book.entry.spec.mode
    };
    let closed = if mode == Mode::Base { closed_time(task, stop).await? } else { 0 };
    let partitions = task.source.partitions();
    let wanted = RANGES_PER_LANE * task.env.settings.scan_lanes.max(1) as usize;
    let per_partition = wanted.div_ceil(partitions.len().max(1));
    let mut ranges = Vec::new();
    for partition in partitions {
        let keys = split_keys(task, partition, per_partition, stop).await?;
        let starts = std::iter::once(None).chain(keys.iter().cloned().map(Some));
        let ends = keys.iter().cloned().map(Some).chain(std::iter::once(None));
        ranges.extend(starts.zip(ends).map(|(after, until)| ScanRange {
            partition: partition.0,
            after,
            until,
            is_done: false,
        }));
    }
    let mut book = task.book_for(&ticket).await?;
    let mut writes = Writes::default();
    for (number, range) in (0..).zip(ranges) {
        writes.put_range(task.id, number, &range);
        book.ranges.insert(number, range);
    }
    if mode == Mode::Base {
        book.entry.sync_floor = closed;
        writes.put_entry(&book.entry);
        task.board.set_entry(&book.entry);
    }
    task.write_book(writes).await
}

/// The time up to which the scan is going to find everything. Partitions answer with a little delay, which is
/// waited out, so that the answer is about now.
async fn closed_time(task: &Arc<Task>, stop: &Stop) -> Result<Micros, Stopped> {
    let now = task.env.clock.now_micros();
    let asked_at = tokio::time::Instant::now();
    loop {
        let partitions = task.source.partitions();
        let closed =
            partitions.iter().map(|partition| task.source.closed_time(*partition)).min().unwrap_or(now);
        if closed >= now || asked_at.elapsed() > CLOSED_WAIT_MAX {
            return Ok(closed);
        }
        stop.sleep(Duration::from_millis(20)).await?;
    }
}

async fn split_keys(
    task: &Arc<Task>,
    partition: PartitionId,
    count: usize,
    stop: &Stop,
) -> Result<Vec<Bytes>, Stopped> {
    match stop.or(task.source.split_keys(partition, count)).await? {
        Ok(keys) => Ok(keys),
        Err(error) => {
            // Splitting only helps to scan in parallel; the whole partition is a range, too.
            tracing::warn!(task = %task.id, %error, "a partition could not be split for scanning");
            Ok(Vec::new())
        }
    }
}

async fn undone(task: &Arc<Task>, run: u32) -> Result<VecDeque<u32>, Stopped> {
    let book = task.book_for(&LaneTicket { lane: 0, run }).await?;
    Ok(book.ranges.iter().filter(|(_, range)| !range.is_done).map(|(number, _)| *number).collect())
}

/// Moves the phase on. The ranges are needed no more.
async fn finish(task: &Arc<Task>, run: u32) -> Result<(), Stopped> {
    let mut book = task.book_for(&LaneTicket { lane: 0, run }).await?;
    let mut writes = Writes::default();
    for number in std::mem::take(&mut book.ranges).into_keys() {
        writes.remove_range(task.id, number);
    }
    book.entry.phase = Phase::Incr;
    writes.put_entry(&book.entry);
    task.write_book(writes).await?;
    task.board.set_entry(&book.entry);
    task.note(TaskEventKind::Phase, "the table is delivered as it was; phase INCR begins".to_owned());
    Ok(())
}
