//! How many lanes follow the log, and which partitions each of them serves.
//!
//! A run begins with as few lanes as the task may have. While they are busy ([`crate::traffic`]), the task gets one
//! more at a time: all lanes cut their folders up to one position each and end there; the partitions are divided
//! anew, in one write; and lanes begin again for them. So a partition changes its lane only where no folder is ahead
//! and nothing is prepared, and whatever is written down of it belongs to one lane. Other bounds come into force the
//! same way. A task that is quiet again keeps its lanes until its next run.

use std::sync::Arc;

use lakeferry_model::delivery::TaskEventKind;

use super::Task;
use crate::cut::LaneTicket;
use crate::lane::Lane;
use crate::space::{StoredTask, Writes};
use crate::stop::{Stop, Stopped, Stopper};
use crate::traffic::{Bounds, Loads, SLOTS, SpreadReason, divide, lanes_wanted, total};

/// Another number of lanes for a task.
struct Spread {
    lanes: u32,
    /// What was lately read, by which the partitions are divided.
    loads: Loads,
    /// Why, in words.
    why: String,
}

impl Task {
    /// Follows the log, with as many lanes as it takes, until told to stop.
    pub(super) async fn follow(self: &Arc<Self>, run: u32, stop: &Stop) {
        let in_lanes = async {
            while let Ok(spread) = self.follow_until_spread(run, stop).await {
                if self.spread(run, &spread).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(in_lanes, self.publish_marks(run, stop));
    }

    /// Has all incremental lanes cut their folders up to one position each.
    pub(super) async fn level(self: &Arc<Self>, run: u32, stop: &Stop) -> Result<(), Stopped> {
        let leaver = Stopper::new();
        leaver.stop();
        self.keep_lanes(run, stop, &leaver.handle()).await
    }

    /// Follows the log with the lanes that there are, until there should be another number of them. No folder is
    /// ahead then, and nothing is prepared.
    async fn follow_until_spread(self: &Arc<Self>, run: u32, stop: &Stop) -> Result<Spread, Stopped> {
        let leaver = Stopper::new();
        let wanted = async {
            let spread = self.wait_for_spread(stop).await;
            if spread.is_ok() {
                leaver.stop();
            }
            spread
        };
        let leave = leaver.handle();
        let (spread, kept) = tokio::join!(wanted, self.keep_lanes(run, stop, &leave));
        self.board.forget_lanes();
        kept?;
        spread
    }

    /// Keeps all incremental lanes going until they are told to leave, and have.
    async fn keep_lanes(self: &Arc<Self>, run: u32, stop: &Stop, leave: &Stop) -> Result<(), Stopped> {
        let lanes = self.book.lock().await.serving_lanes();
        let kept = lanes
            .into_iter()
            .map(|lane| keep_lane(Arc::clone(self), LaneTicket { lane, run }, stop.clone(), leave.clone()));
        futures::future::join_all(kept).await.into_iter().collect()
    }

    /// Waits until there should be another number of lanes. As long as the task is paused or in trouble, there
    /// should not.
    async fn wait_for_spread(&self, stop: &Stop) -> Result<Spread, Stopped> {
        let (partitions, present) = {
            let book = self.book.lock().await;
            (book.serving().into_keys().collect::<Vec<_>>(), book.lane_count())
        };
        self.traffic.begin(self.now());
        loop {
            stop.sleep(self.env.settings.tick).await?;
            if self.is_paused() || self.board.has_trouble() {
                self.traffic.begin(self.now());
                continue;
            }
            let recent = self.traffic.recent(self.now());
            let bounds = self.lane_bounds();
            if let Some((lanes, reason)) = lanes_wanted(&partitions, present, &bounds, recent.as_deref()) {
                let why = match reason {
                    SpreadReason::Bounds => format!("it may have {} to {}", bounds.min, bounds.max),
                    SpreadReason::Busy(bytes) => {
                        let per_s = per_second(bytes, self.traffic.slot() * SLOTS);
                        format!("they read {per_s} bytes of changes a second")
                    }
                };
                return Ok(Spread { lanes, loads: total(&recent.unwrap_or_default()), why });
            }
        }
    }

    fn lane_bounds(&self) -> Bounds {
        let tuning = &self.board.entry().spec.tuning;
        let busy = u128::from(self.env.settings.lane_bytes_per_s) * self.traffic.slot().as_nanos();
        Bounds {
            min: tuning.lanes_min,
            max: tuning.lanes_max,
            busy_bytes: u64::try_from(busy / 1_000_000_000).unwrap_or(u64::MAX).max(1),
        }
    }

    /// Divides the partitions among another number of lanes, in one write. None of the lanes is at work.
    async fn spread(&self, run: u32, spread: &Spread) -> Result<(), Stopped> {
        let mut book = self.book_for(&LaneTicket { lane: 0, run }).await?;
        if !is_level(&book) {
            tracing::error!(task = %self.id, "lanes have left with folders ahead; their partitions stay with them");
            return Ok(());
        }
        let before = book.lane_count();
        let serving = book.serving();
        let partitions: Vec<_> = serving.keys().copied().collect();
        let mut writes = Writes::default();
        for (partition, to) in divide(&partitions, &spread.loads, spread.lanes) {
            let from = serving[&partition];
            if from == to {
                continue;
            }
            let low = book.lanes.entry(from).or_default().progress.give_up(partition);
            book.lanes.entry(to).or_default().progress.set_low(partition, low);
            writes.move_partition(self.id, partition, (from, to), low);
        }
        self.write_book(writes).await?;
        self.board.set_lane_count(&book);
        tracing::info!(task = %self.id, before, lanes = spread.lanes, why = spread.why, "lanes are spread anew");
        self.note(
            TaskEventKind::Lanes,
            format!("lanes: {} instead of {before}; {}", spread.lanes, spread.why),
        );
        Ok(())
    }
}

/// Whether nothing is prepared and no folder is ahead.
fn is_level(book: &StoredTask) -> bool {
    book.lanes.values().all(|lane| lane.prepared.is_none() && lane.progress.is_level())
}

fn per_second(bytes: u64, time: std::time::Duration) -> u128 {
    u128::from(bytes) * 1000 / time.as_millis().max(1)
}

/// Keeps a lane going until it is told to leave, and has: one that ends by a mistake of ours begins again from its
/// progress.
async fn keep_lane(task: Arc<Task>, ticket: LaneTicket, stop: Stop, leave: Stop) -> Result<(), Stopped> {
    loop {
        task.wait_while_paused(&stop).await?;
        let (task_, stop_, leave_) = (Arc::clone(&task), stop.clone(), leave.clone());
        let worker = tokio::spawn(async move { Lane::begin(task_, ticket, stop_).await?.run(leave_).await });
        match worker.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Stopped)) => {}
            Err(error) => {
                tracing::error!(task = %task.id, lane = ticket.lane, %error, "a lane ended without an answer");
            }
        }
        // A lane of a paused task is begun again as soon as it is resumed.
        if !task.is_paused() {
            stop.sleep(task.env.settings.retry_min).await?;
        }
    }
}
