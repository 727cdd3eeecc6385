//! An engine whose writes fail, each in one of three ways. The store then equals the model before or after the
//! change, never between, and goes on rightly.

use std::time::Duration;

use lakeferry_engine::Room;
use lakeferry_engine::testing::{Chance, Fault};
use lakeferry_model::{Clock, RowChange, RowExistence, TableOptions};
use lakeferry_store::{Error, ErrorKind, LogKeeper, Table, Written};

use crate::random_rows::{Model, Outcome, any_batch};
use crate::support::{
    Site, all_rows, if_row, keep_log, let_others_run, log, newest, put, read, seed, soon, with_stream, write,
};

const FAULTS: [Fault; 3] = [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost];

#[tokio::test]
async fn after_a_failed_write_the_store_equals_the_model_before_or_after_it() {
    let seed = seed("faults");
    for fault in FAULTS {
        for nth in 1..=8 {
            Run::new(seed.wrapping_add(nth)).await.fail(nth, fault).await;
        }
    }
}

/// Writes one after another to a table of one partition, while the model follows.
struct Run {
    what: String,
    chance: Chance,
    site: Site,
    table: Table,
    model: Model,
    done: Vec<Outcome>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let site = Site::new().await;
        let table = site.table().await;
        keep_log(&table).await;
        let model = Model::new(TableOptions::default());
        Self { what: format!("seed {seed}"), chance: Chance::new(seed), site, table, model, done: Vec::new() }
    }

    /// Fails the `nth` write and a later one, and compares all the while, also after opening the store again.
    async fn fail(mut self, nth: u64, fault: Fault) {
        self.what = format!("{}, {fault:?} at {nth}", self.what);
        self.site.engine.fail_write(nth, fault);
        self.site.engine.fail_write(nth + 4, fault);
        for _ in 0..14 {
            self.write().await;
        }
        self.compare().await;
        self.site.second();
        self.site.crash().await;
        self.table = self.site.same_table();
        self.compare().await;
        for _ in 0..4 {
            self.write().await;
        }
        self.compare().await;
    }

    async fn write(&mut self) {
        // Past all timestamps that the batch before was given.
        self.site.clock.advance(Duration::from_millis(50));
        let now_ms = self.site.clock.now_micros() / 1000;
        let changes = any_batch(&mut self.chance, now_ms);
        let answers = self.table.write(changes.clone(), soon()).await;
        let before = self.model.clone();
        let outcomes: Vec<Outcome> = changes.iter().map(|change| self.model.apply(change, now_ms)).collect();
        if self.is_applied(&changes, &outcomes, &answers, &before).await {
            self.done.extend(outcomes.into_iter().filter(|outcome| matches!(outcome, Outcome::Done(..))));
        } else {
            self.model = before;
        }
    }

    /// Whether the changes were made, all of them or none.
    async fn is_applied(
        &self,
        changes: &[RowChange],
        outcomes: &[Outcome],
        answers: &[Result<Written, Error>],
        before: &Model,
    ) -> bool {
        let kind = |answer: &Result<Written, Error>| answer.as_ref().err().map(Failed::of);
        match kind(&answers[0]).flatten() {
            Some(failed) => {
                assert!(answers.iter().all(|answer| kind(answer) == Some(Some(failed))), "{}", self.what);
                let rows = all_rows(&self.table).await;
                // Where both are alike, the log would tell: only a group that changes something may be lost.
                match failed {
                    Failed::Unknown if rows != before.rows() => {
                        assert_eq!(rows, self.model.rows(), "{}", self.what);
                        true
                    }
                    Failed::Unknown => self.is_in_log(outcomes).await,
                    Failed::NotWritten => {
                        assert_eq!(rows, before.rows(), "{}", self.what);
                        false
                    }
                }
            }
            None => {
                for ((change, outcome), answer) in changes.iter().zip(outcomes).zip(answers) {
                    assert!(outcome.fits(answer), "{}: {change:?} is {answer:?}, not {outcome:?}", self.what);
                }
                true
            }
        }
    }

    async fn is_in_log(&self, outcomes: &[Outcome]) -> bool {
        let more = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(..))).count();
        log(&self.table).await.len() == self.done.len() + more
    }

    /// The rows are the model's, and the log has one record for each change that was made, in order.
    async fn compare(&self) {
        assert_eq!(all_rows(&self.table).await, self.model.rows(), "{}", self.what);
        let records = log(&self.table).await;
        let told: Vec<Outcome> = records
            .iter()
            .map(|record| Outcome::Done(record.action, record.primary_key.clone(), record.newest.clone()))
            .collect();
        assert_eq!(told, self.done, "{}", self.what);
        let head = self.table.partitions()[0].head();
        let last = records.last().map_or(0, |last| last.sequence);
        assert!(head.sequence >= last, "{}", self.what);
    }
}

/// How a whole request failed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failed {
    NotWritten,
    Unknown,
}

impl Failed {
    fn of(error: &Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::Unavailable => Some(Self::NotWritten),
            ErrorKind::Unknown => Some(Self::Unknown),
            _ => None,
        }
    }
}

#[tokio::test]
async fn what_waits_behind_a_group_that_fails_is_refused_and_can_be_sent_again() {
    for fault in FAULTS {
        let site = Site::new().await;
        let table = site.table().await;
        keep_log(&table).await;
        site.engine.fail_write(1, fault);
        let held = site.engine.hold_write(1);
        let first = tokio::spawn(write_later(
            &table,
            if_row(RowExistence::ExpectNotExist, put("ann", 1, &[("a", 1)])),
        ));
        held.has_come().await;
        // This one counts on the row that waits.
        let second =
            tokio::spawn(write_later(&table, if_row(RowExistence::ExpectExist, put("ann", 1, &[("a", 2)]))));
        let_others_run().await;
        held.release();

        let first = first.await.unwrap().unwrap_err();
        assert_eq!(first.kind() == ErrorKind::Unknown, fault != Fault::NotWritten, "{fault:?}");
        let second = second.await.unwrap().unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Unavailable, "{fault:?}");
        let expected = (fault == Fault::UnknownWritten).then_some(1);
        assert_eq!(newest(&table, "ann", 1, "a").await, expected, "{fault:?}");

        let again = retry(&table, if_row(RowExistence::ExpectExist, put("ann", 1, &[("a", 3)]))).await;
        assert_eq!(again.is_ok(), fault == Fault::UnknownWritten, "{fault:?}: {again:?}");
        retry(&table, put("bob", 1, &[])).await.unwrap();
        let sequences: Vec<u64> = log(&table).await.iter().map(|record| record.sequence).collect();
        let expected: &[u64] = if fault == Fault::UnknownWritten { &[1, 2, 3] } else { &[2] };
        assert_eq!(sequences, expected, "{fault:?}: one that was given is not given again");
    }
}

#[tokio::test]
async fn nobody_builds_on_rows_while_the_outcome_of_a_group_is_not_known() {
    let site = Site::new().await;
    let table = site.table().await;
    // The group's answer is lost; then the engine is not back for a while.
    site.engine.fail_write(1, Fault::UnknownWritten);
    let barrier = site.engine.hold_write(2);
    let unknown = write(&table, put("ann", 1, &[("a", 1)])).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unknown);
    barrier.has_come().await;
    for change in [put("bob", 1, &[]), if_row(RowExistence::ExpectNotExist, put("ann", 1, &[]))] {
        let refused = write(&table, change).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "nothing was handed on");
    }
    let switch = table.partitions()[0].keep_log(LogKeeper::Readers, true, soon()).await;
    assert_eq!(switch.unwrap_err().kind(), ErrorKind::Unavailable);
    barrier.release();
    retry(&table, if_row(RowExistence::ExpectExist, put("ann", 1, &[("a", 2)]))).await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(2));
    assert_eq!(read(&table, "bob", 1).await, None);
}

#[tokio::test]
async fn a_condition_that_fails_on_a_row_that_waits_is_told_only_when_that_row_is_durable() {
    for fault in [None, Some(Fault::NotWritten)] {
        let site = Site::new().await;
        let table = site.table().await;
        if let Some(fault) = fault {
            site.engine.fail_write(1, fault);
        }
        let held = site.engine.hold_write(1);
        let change = if_row(RowExistence::ExpectNotExist, put("ann", 1, &[("a", 1)]));
        let first = tokio::spawn(write_later(&table, change.clone()));
        held.has_come().await;
        let second = tokio::spawn(write_later(&table, change));
        let_others_run().await;
        assert!(!second.is_finished(), "the row it fails on may still not come to be");
        held.release();
        let expected = if fault.is_none() { ErrorKind::ConditionFailed } else { ErrorKind::Unavailable };
        assert_eq!(first.await.unwrap().is_ok(), fault.is_none());
        assert_eq!(second.await.unwrap().unwrap_err().kind(), expected);
    }
}

#[tokio::test]
async fn a_switch_of_the_log_that_fails_leaves_the_writers_alone() {
    for fault in FAULTS {
        let site = Site::new().await;
        let table = site.table().await;
        site.engine.fail_write(1, fault);
        let switch = table.partitions()[0].keep_log(LogKeeper::Readers, true, soon()).await;
        assert!(switch.is_err(), "{fault:?}");
        retry(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
        keep_log(&table).await;
        retry(&table, put("ann", 2, &[("a", 2)])).await.unwrap();
        let last = log(&table).await.pop().unwrap();
        assert_eq!(last.sequence, table.partitions()[0].head().sequence, "{fault:?}");
    }
}

#[tokio::test]
async fn a_failed_read_fails_the_request_and_leaves_no_lock() {
    let site = Site::new().await;
    let table = site.table().await;
    site.engine.fail_read(1, lakeferry_engine::Error::Deadline);
    let change = if_row(RowExistence::ExpectNotExist, put("ann", 1, &[("a", 1)]));
    assert_eq!(write(&table, change.clone()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    write(&table, change).await.unwrap();
}

#[tokio::test]
async fn at_the_reserve_rows_are_refused_and_nothing_is_handed_on() {
    let site = Site::new().await;
    let table = site.table_of(with_stream(&[])).await;
    let (writes, _) = site.engine.calls();
    site.engine.set_room(Some(Room::AtReserve { free: 1, reserve: 2 }));
    for answer in table.write(vec![put("ann", 1, &[]), put("bob", 1, &[])], soon()).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::AtReserve);
    }
    assert_eq!(site.engine.calls().0, writes);
    // What makes room goes on.
    keep_log(&table).await;
    table.partitions()[0].trim(0, soon()).await.unwrap();
    site.engine.set_room(None);
    write(&table, put("ann", 1, &[])).await.unwrap();
    assert_eq!(log(&table).await.len(), 1);
}

async fn retry(table: &Table, change: RowChange) -> Result<Written, Error> {
    let until = soon();
    loop {
        match write(table, change.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                assert!(std::time::Instant::now() < until, "the partition never came back: {error}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            outcome => return outcome,
        }
    }
}

fn write_later(
    table: &Table,
    change: RowChange,
) -> impl Future<Output = Result<Written, Error>> + Send + use<> {
    let table = table.clone();
    async move { write(&table, change).await }
}
