//! The writes of a cut's life: prepared, committed, or given up.
//!
//! The task's book mirrors what lies in its space. Every change is made in the book first and then written,
//! under the book's lock, so writes of one task have one order. What the book says is written in any case, also
//! if its lane is told to stop meanwhile: lanes that begin again go by the book ([`Task::write_book`]). A lane
//! shows its ticket: once a newer run has begun, or the task is deleted, the lane can write nothing more,
//! whatever it was doing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_lake::Manifest;
use lakeferry_model::Micros;
use lakeferry_model::delivery::Destination;
use tokio::sync::MutexGuard;

use crate::janitor::sweep;
use crate::progress::ProgressChange;
use crate::space::{
    Abandoned, CutKind, LaneCounters, PreparedCut, ScanRange, Stage, StoredTask, TaskId, Writes,
};
use crate::stop::{Stop, Stopped};
use crate::task::Task;
use crate::upload::Delivered;

/// Which lane of which run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneTicket {
    pub(crate) lane: u32,
    pub(crate) run: u32,
}

impl Task {
    /// The book, if the ticket's run is still the task's.
    pub(crate) async fn book_for(&self, ticket: &LaneTicket) -> Result<MutexGuard<'_, StoredTask>, Stopped> {
        let book = self.book.lock().await;
        let is_valid = book.entry.run == ticket.run && book.entry.stage == Stage::Live;
        if is_valid { Ok(book) } else { Err(Stopped) }
    }

    /// Writes down what was changed in the book, which the caller holds. Only the end of all delivery ends this
    /// early: the book of a task that lives on never says what is not written.
    pub(crate) async fn write_book(&self, writes: Writes) -> Result<(), Stopped> {
        self.space.write_surely(writes, &self.env.closing.handle()).await
    }

    /// Writes a cut down as prepared, with the counters behind it and the schema that it widened. From now
    /// on its names are never used for anything else.
    pub(crate) async fn prepare(
        &self,
        ticket: &LaneTicket,
        cut: &PreparedCut,
        counters: LaneCounters,
    ) -> Result<(), Stopped> {
        let mut book = self.book_for(ticket).await?;
        if cut.configuration != book.entry.configuration {
            // The configuration has changed since the lane began: it begins again.
            return Err(Stopped);
        }
        let mut writes = Writes::default();
        let schema = self.columns.current();
        if book.schema.as_ref().is_none_or(|written| !Arc::ptr_eq(written, &schema)) {
            writes.put_schema(self.id, &schema);
            let (known, prefix) = (&book.entry.warnings, &self.setup().prefix);
            let told = schema.name_warnings(prefix).into_iter().filter(|told| !known.contains(told));
            let told: Vec<String> = told.collect();
            if !told.is_empty() {
                book.entry.warnings.extend(told);
                writes.put_entry(&book.entry);
                self.board.set_entry(&book.entry);
            }
            book.schema = Some(schema);
        }
        let lane = book.lanes.entry(ticket.lane).or_default();
        lane.counters = counters;
        lane.prepared = Some(cut.clone());
        writes.put_counters(self.id, ticket.lane, counters);
        writes.put_prepared(self.id, ticket.lane, cut);
        self.write_book(writes).await
    }

    /// Commits a cut of the log: progress and totals move, and the prepared cut goes, in one write.
    pub(crate) async fn commit_log(
        &self,
        ticket: &LaneTicket,
        change: &ProgressChange,
        delivered: &Delivered,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let mut book = self.book_for(ticket).await?;
        delivered.check_prepared(&book, ticket)?;
        let mut writes = self.tallied(ticket.run, delivered, stop).await?;
        writes.move_progress(self.id, ticket.lane, change);
        book.lanes.entry(ticket.lane).or_default().progress.apply(change);
        self.commit(&mut book, writes, ticket, delivered).await
    }

    /// Commits a cut of a scan: the ranges move on, instead of progress in a log.
    pub(crate) async fn commit_scan(
        &self,
        ticket: &LaneTicket,
        ranges: &BTreeMap<u32, ScanRange>,
        delivered: &Delivered,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let mut book = self.book_for(ticket).await?;
        delivered.check_prepared(&book, ticket)?;
        let mut writes = self.tallied(ticket.run, delivered, stop).await?;
        for (number, range) in ranges {
            writes.put_range(self.id, *number, range);
            book.ranges.insert(*number, range.clone());
        }
        self.commit(&mut book, writes, ticket, delivered).await
    }

    async fn commit(
        &self,
        book: &mut StoredTask,
        mut writes: Writes,
        ticket: &LaneTicket,
        delivered: &Delivered,
    ) -> Result<(), Stopped> {
        book.lanes.entry(ticket.lane).or_default().prepared = None;
        writes.remove_prepared(self.id, ticket.lane);
        delivered.add_to(&mut book.totals, self.env.clock.now_micros());
        // A cut that was prepared before a column joined lacks it for the last time.
        self.forget_delivered(book);
        writes.put_totals(self.id, &book.totals);
        self.write_book(writes).await?;
        self.board.set_totals(&book.totals);
        if let Some(since) = delivered.since {
            self.env.cut_times.record(since.elapsed());
        }
        Ok(())
    }

    /// Moves progress over rows that produced nothing.
    pub(crate) async fn advance(&self, ticket: &LaneTicket, change: &ProgressChange) -> Result<(), Stopped> {
        let mut book = self.book_for(ticket).await?;
        let mut writes = Writes::default();
        writes.move_progress(self.id, ticket.lane, change);
        book.lanes.entry(ticket.lane).or_default().progress.apply(change);
        self.write_book(writes).await
    }

    /// Gives up the prepared cuts of scans: their names are abandoned, in one write. What they held is
    /// scanned again into new names.
    pub(crate) async fn give_up_scans(&self, run: u32, stop: &Stop) -> Result<(), Stopped> {
        let mut book = self.book_for(&LaneTicket { lane: 0, run }).await?;
        let mut writes = Writes::default();
        let is_scan = |cut: &PreparedCut| cut.kind == CutKind::Scan;
        let until = self.abandoned_until();
        if !abandon(&mut book, &mut writes, until, is_scan) {
            return Ok(());
        }
        self.write_book(writes).await?;
        drop(book);
        self.env.janitor.wake();
        // A first sweep before the scan goes on, so that readers do not see rows twice for longer than they must.
        let sweep = sweep(&self.space, &self.env.destinations, self.env.clock.now_micros(), stop);
        match tokio::time::timeout(FIRST_SWEEP_MAX, sweep).await {
            Ok(Err(Stopped)) => Err(Stopped),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Gives up a prepared cut, if it is still the lane's: what it held is cut again into new names.
    pub(crate) async fn give_up(&self, ticket: &LaneTicket, cut: &PreparedCut) -> Result<(), Stopped> {
        let mut book = self.book_for(ticket).await?;
        let mut writes = Writes::default();
        if abandon(&mut book, &mut writes, self.abandoned_until(), |prepared| prepared == cut) {
            self.write_book(writes).await?;
            self.env.janitor.wake();
        }
        Ok(())
    }

    /// Until when names that are abandoned now are looked after.
    pub(crate) fn abandoned_until(&self) -> Micros {
        let time = i64::try_from(self.env.settings.abandoned_for.as_micros()).unwrap_or(i64::MAX);
        self.env.clock.now_micros().saturating_add(time)
    }
}

/// How long a scan waits for what it gave up to be deleted; the janitor goes on with it.
const FIRST_SWEEP_MAX: Duration = Duration::from_secs(5);

/// Turns the names of prepared cuts, of their manifests and of their dirty objects into abandoned ones. Whether
/// there were any.
pub(crate) fn abandon(
    book: &mut StoredTask,
    writes: &mut Writes,
    until: Micros,
    which: impl Fn(&PreparedCut) -> bool,
) -> bool {
    let mut has_any = false;
    let task: TaskId = book.entry.id;
    let Destination { bucket, role, .. } = &book.entry.spec.destination;
    let name = book.entry.name();
    for (number, lane) in &mut book.lanes {
        let Some(cut) = lane.prepared.take_if(|cut| which(cut)) else { continue };
        let manifest = Manifest::name_of(name, task.number(), cut.run, *number, cut.number);
        let own = cut.dirty.into_iter().chain([manifest]).map(|name| (name, true));
        for (name, is_own_name) in cut.objects.into_iter().map(|object| (object.name, false)).chain(own) {
            let (bucket, role) = (bucket.clone(), role.clone());
            writes.put_abandoned(&Abandoned { task, bucket, role, name, is_own_name, until });
        }
        writes.remove_prepared(task, *number);
        has_any = true;
    }
    has_any
}
