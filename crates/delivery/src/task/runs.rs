//! New runs, and the end: whatever lanes are doing, they write nothing more for a run that is over.

use std::sync::atomic::Ordering;

use lakeferry_durable::Place;
use lakeferry_model::delivery::{Phase, TaskEventKind};
use lakeferry_store::PartitionId;

use super::Task;
use super::update::adopt;
use crate::cut::{LaneTicket, abandon};
use crate::error::Error;
use crate::progress::Progress;
use crate::space::{Pin, Stage, StoredTask, Totals, Writes};
use crate::stop::Stopped;

/// Why a new run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunReason {
    /// Somebody asked for it.
    Asked,
    /// The bucket of this version of the configuration was made again.
    Refounded(u32),
}

impl Task {
    /// Begins a new run, if `run` is the present one; what keeps it from that is met again.
    pub(crate) async fn begin_run(&self, run: u32, reason: RunReason) {
        if let Err(error) = self.try_to_begin_run(run, reason).await {
            tracing::warn!(task = %self.id, %error, "a new run cannot begin yet");
        }
    }

    /// Begins a new run, if `run` is the present one: prepared cuts are given up, and all lanes start anew.
    pub(crate) async fn try_to_begin_run(&self, run: u32, reason: RunReason) -> Result<(), Error> {
        let begun = async {
            let Ok(mut book) = self.book_for(&LaneTicket { lane: 0, run }).await else { return Ok(false) };
            if matches!(reason, RunReason::Refounded(configuration) if configuration != book.entry.configuration)
            {
                return Ok(false);
            }
            if book.entry.next.is_some() {
                self.burn(&book).await?;
            }
            let mut writes = Writes::default();
            abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
            for (number, lane) in &mut book.lanes {
                writes.remove_progress(self.id, *number, &lane.progress);
                lane.progress = Progress::default();
            }
            for number in std::mem::take(&mut book.ranges).into_keys() {
                writes.remove_range(self.id, number);
            }
            book.totals = Totals::default();
            writes.put_totals(self.id, &book.totals);
            let lost = self.changes_lost(&book);
            // Before the pins: what is asked for from now on may be of changes behind them.
            let asked_before = *self.asked.borrow();
            if book.entry.follows_log() {
                let head = |partition| (partition, self.source.head(partition));
                let heads: Vec<_> = self.source.partitions().into_iter().map(head).collect();
                self.pin(&mut book, &mut writes, &heads);
            }
            let entry = &mut book.entry;
            if let Some(next) = entry.next.take() {
                // No folder is ahead any more.
                adopt(entry, next.spec, next.warnings);
            }
            entry.run += 1;
            entry.phase = Phase::Full;
            entry.are_names_listed = false;
            if matches!(reason, RunReason::Refounded(_)) {
                entry.bucket_identity = None;
                entry.note = Some(refounded(lost));
            } else {
                entry.note = None;
            }
            writes.put_entry(entry);
            self.write_book(writes).await.map_err(|Stopped| Error::Closed)?;
            self.asked_before.store(asked_before, Ordering::SeqCst);
            self.show(&book, None);
            self.show_pins(&book);
            Ok::<_, Error>(true)
        };
        if begun.await? {
            Place::RunBegun.pass();
            tracing::info!(task = %self.id, ?reason, "a new run begins");
            let why = match reason {
                RunReason::Asked => "it was asked for",
                RunReason::Refounded(_) => "the bucket was made again",
            };
            self.note(TaskEventKind::Run, format!("run {} begins: {why}", run + 1));
            self.env.janitor.wake();
            self.run.lock().stop();
        }
        Ok(())
    }

    /// Changes that were delivered by themselves, and that a new run brings only as the rows they led to.
    fn changes_lost(&self, book: &StoredTask) -> u64 {
        let followed = |(partition, pin): (&PartitionId, &Pin)| {
            self.source.head(*partition).sequence.saturating_sub(pin.sequence)
        };
        if book.entry.follows_log() { book.pins.iter().map(followed).sum() } else { 0 }
    }

    /// Marks the task deleted. From now on none of its lanes can write anything, and its names are burned.
    pub(crate) async fn mark_deleted(&self) -> Result<(), Error> {
        let mut book = self.book.lock().await;
        match (book.entry.stage, book.entry.phase) {
            (Stage::Entered, _) | (_, Phase::Init) => {
                return Err(Error::Initializing(book.entry.name().clone()));
            }
            _ => {}
        }
        let mut entry = book.entry.clone();
        entry.stage = Stage::Deleted;
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        self.space.write(writes).await?;
        Place::TaskDeleted.pass();
        book.entry = entry;
        self.board.set_entry(&book.entry);
        self.burn(&book).await?;
        self.env.claims.release(self.id);
        Ok(())
    }

    /// Removes everything of a deleted task; the names of its prepared cuts are abandoned.
    pub(crate) async fn clear_away(&self) -> Result<(), Stopped> {
        let mut book = self.book.lock().await;
        self.space.remove_tallies(self.id, u32::MAX, &self.env.closing.handle()).await?;
        let mut writes = Writes::default();
        abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
        writes.remove_task(&book);
        self.history.remove(self.id, &mut writes);
        self.write_book(writes).await?;
        self.env.janitor.wake();
        Ok(())
    }
}

/// What a person should know of the run after a bucket was made again.
fn refounded(changes_lost: u64) -> String {
    let again = "the bucket was made again, so everything is delivered again, the table as it is now first";
    match changes_lost {
        0 => again.to_owned(),
        1 => format!("{again}; 1 change since the run before it began is in it only as the row it led to"),
        count => format!(
            "{again}; {count} changes since the run before it began are in it only as the rows they led to, and rows deleted \
             meanwhile are not"
        ),
    }
}
