//! Local transactions: what their writer sees, what others see, and how they end.

use std::time::Duration;

use lakeferry_engine::testing::Fault;
use lakeferry_model::{
    InstanceName, KeyBound, KeyRange, KeyValue, RowChange, RowExistence, TableOptions, TransactionId, Value,
};
use lakeferry_store::{Error, ErrorKind, RangeLimits, RowBuf, Settings, Table, TableUpdate, Transaction};
use tokio::task::JoinSet;

use crate::support::{
    Memory, Site, add, all_rows, auto_spec, cell, delete, if_row, insert, instance, keep_log, let_others_run,
    log, newest, picked, put, read, row_key, rows_of, soon, split_at, table_name, update, with_options,
    write,
};

/// A transaction and its name.
struct Open {
    id: TransactionId,
    transaction: Transaction,
}

async fn start(site: &Site, table: &Table, user: &str) -> Result<Open, Error> {
    let id = site.store.start_transaction(table, KeyValue::String(user.to_owned().into()), soon()).await?;
    Ok(Open { id, transaction: site.store.transaction(&instance(), id)? })
}

impl Open {
    async fn write(&self, change: RowChange) -> Result<(), Error> {
        self.transaction.write(vec![change], soon()).await.pop().unwrap().map(drop)
    }

    /// The newest integer of a row's column.
    async fn newest(&self, user: &str, n: i64, column: &str) -> Option<i64> {
        let row = self.transaction.get(&[row_key(user, n)], soon()).await.unwrap().pop().unwrap()?;
        newest_in(&row, column)
    }

    async fn commit(&self) -> Result<(), Error> {
        self.transaction.clone().commit(soon()).await
    }

    async fn abort(&self) -> Result<(), Error> {
        self.transaction.clone().abort(soon()).await
    }
}

fn newest_in(row: &RowBuf, column: &str) -> Option<i64> {
    let cell = row.view().unwrap().1.cells().map(Result::unwrap).find(|cell| cell.name == column)?;
    match cell.value.to_value() {
        Value::Integer(value) => Some(value),
        other => panic!("{other:?} is no integer"),
    }
}

#[tokio::test]
async fn its_writes_are_its_own_until_they_are_committed() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(update("ann", 1, vec![add("a", 10)])).await.unwrap();
    open.write(put("ann", 2, &[("a", 2)])).await.unwrap();
    open.write(if_row(RowExistence::ExpectExist, update("ann", 2, vec![add("a", 20)]))).await.unwrap();
    assert_eq!((open.newest("ann", 1, "a").await, open.newest("ann", 2, "a").await), (Some(11), Some(22)));
    assert_eq!((newest(&table, "ann", 1, "a").await, newest(&table, "ann", 2, "a").await), (Some(1), None));
    let writes = site.engine.calls().0;
    open.commit().await.unwrap();
    assert_eq!(site.engine.calls().0, writes + 1, "a commit is one write");
    assert_eq!(
        (newest(&table, "ann", 1, "a").await, newest(&table, "ann", 2, "a").await),
        (Some(11), Some(22))
    );
    assert_eq!(log(&table).await.len(), 4, "each change makes a record");
    write(&table, put("ann", 3, &[])).await.unwrap();
}

#[tokio::test]
async fn what_is_aborted_never_was() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
    open.abort().await.unwrap();
    assert!(all_rows(&table).await.is_empty());
    write(&table, if_row(RowExistence::ExpectNotExist, put("ann", 1, &[]))).await.unwrap();
}

#[tokio::test]
async fn others_may_not_write_what_it_has_claimed() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["b"])).await;
    let open = start(&site, &table, "ann").await.unwrap();
    for change in [put("ann", 1, &[]), update("ann", 1, vec![add("a", 1)]), delete("ann", 7)] {
        assert_eq!(write(&table, change).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    let rows = vec![put("ann", 1, &[]), put("anna", 1, &[]), put("ann", 2, &[]), put("bob", 1, &[])];
    let answers = table.write(rows, soon()).await;
    let told: Vec<Option<ErrorKind<'_>>> =
        answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect();
    assert_eq!(
        told,
        [Some(ErrorKind::Conflict), None, Some(ErrorKind::Conflict), None],
        "each row fails alone"
    );
    let together = table.write_together(vec![put("ann", 1, &[]), put("ann", 2, &[])], soon()).await;
    assert_eq!(together.unwrap_err().kind(), ErrorKind::Conflict);
    let second = start(&site, &table, "ann").await.err().unwrap();
    assert_eq!(second.kind(), ErrorKind::Conflict);
    assert_eq!(all_rows(&table).await.len(), 2);
    open.commit().await.unwrap();
    start(&site, &table, "ann").await.unwrap();
}

#[tokio::test]
async fn it_begins_after_the_writers_that_came_before_it() {
    let site = Site::new().await;
    let table = site.table().await;
    let held = site.engine.hold_write(1);
    let before = {
        let table = table.clone();
        tokio::spawn(async move { write(&table, put("ann", 1, &[("a", 1)])).await })
    };
    held.has_come().await;
    let store = site.store.clone();
    let starting = {
        let table = table.clone();
        tokio::spawn(
            async move { store.start_transaction(&table, KeyValue::String("ann".into()), soon()).await },
        )
    };
    let_others_run().await;
    assert!(!starting.is_finished(), "a row of the key waits to be committed");
    held.release();
    before.await.unwrap().unwrap();
    let id = starting.await.unwrap().unwrap();
    let open = Open { id, transaction: site.store.transaction(&instance(), id).unwrap() };
    open.write(if_row(RowExistence::ExpectExist, update("ann", 1, vec![add("a", 1)]))).await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(2));
}

#[tokio::test]
async fn what_has_ended_is_not_there_any_more() {
    let site = Site::new().await;
    let table = site.table().await;
    let gone = |error: Error| assert_eq!(error.kind(), ErrorKind::NoSuchTransaction);
    gone(site.store.transaction(&instance(), TransactionId::new(1)).err().unwrap());
    for commit in [true, false] {
        let open = start(&site, &table, "ann").await.unwrap();
        if commit {
            open.commit().await.unwrap()
        } else {
            open.abort().await.unwrap()
        }
        gone(site.store.transaction(&instance(), open.id).err().unwrap());
        // Who got hold of it before finds the same.
        gone(open.commit().await.unwrap_err());
        gone(open.abort().await.unwrap_err());
        gone(open.write(put("ann", 1, &[])).await.unwrap_err());
        gone(open.transaction.get(&[row_key("ann", 1)], soon()).await.err().unwrap());
    }
    let open = start(&site, &table, "ann").await.unwrap();
    let elsewhere = InstanceName::parse("other").unwrap();
    gone(site.store.transaction(&elsewhere, open.id).err().unwrap());
}

#[tokio::test]
async fn after_a_minute_it_is_over() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
    site.clock.advance(Duration::from_secs(59));
    site.store.transaction(&instance(), open.id).unwrap();
    assert_eq!(write(&table, put("ann", 1, &[])).await.unwrap_err().kind(), ErrorKind::Conflict);
    site.clock.advance(Duration::from_secs(1));
    let late = site.store.transaction(&instance(), open.id).err().unwrap();
    assert_eq!(late.kind(), ErrorKind::NoSuchTransaction);
    let until = soon();
    while let Err(error) = write(&table, put("ann", 2, &[])).await {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(std::time::Instant::now() < until, "the key is never given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(open.commit().await.unwrap_err().kind(), ErrorKind::NoSuchTransaction);
    assert_eq!(read(&table, "ann", 1).await, None);
}

#[tokio::test]
async fn it_stays_within_its_partition_key() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    let text = "Data out of scope of transaction. Transaction PartKey:ann. Data PartKey:";
    let answers = open
        .transaction
        .write(vec![put("ann", 1, &[]), put("bob", 1, &[]), put("ann", 2, &[])], soon())
        .await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().to_string(), format!("{text}bob"));
    let together =
        open.transaction.write_together(vec![put("ann", 3, &[]), put("amy", 1, &[])], soon()).await;
    assert_eq!(together.unwrap_err().to_string(), format!("{text}amy"));
    let got = open.transaction.get(&[row_key("bob", 1)], soon()).await.err().unwrap();
    assert_eq!(got.to_string(), format!("{text}bob"));
    let value = |user: &str| KeyBound::Value(KeyValue::String(user.to_owned().into()));
    for (end, other) in [(value("bob"), "bob"), (KeyBound::InfMax, "INF_MAX")] {
        let range = KeyRange {
            start: vec![value("ann"), KeyBound::InfMin],
            end: vec![end, KeyBound::InfMax],
            backward: false,
        };
        let limits = RangeLimits { rows_max: 10, bytes_max: 1 << 20 };
        let refused = open.transaction.range(&range, limits, soon()).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("{text}{other}"));
    }
    open.commit().await.unwrap();
    assert_eq!(all_rows(&table).await.len(), 2);
}

#[tokio::test]
async fn a_table_may_forbid_it() {
    let site = Site::new().await;
    let options = TableOptions { local_transactions: false, ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    let refused = start(&site, &table, "ann").await.err().unwrap();
    let expected = "Try to call method using explicit transaction on explicit-transaction-disabled table.";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn it_writes_four_mebibytes_at_most() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    let text = "x".repeat(1 << 20);
    let large = |n| {
        update(
            "ann",
            n,
            vec![cell("t", lakeferry_model::ColumnUpdate::Put(Value::String(text.as_str().into()), None))],
        )
    };
    for n in 0..3 {
        open.write(large(n)).await.unwrap();
    }
    let refused = open.write(large(3)).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Invalid(_)), "{refused}");
    assert!(refused.to_string().contains("limit size: 4194304"), "{refused}");
    open.commit().await.unwrap();
    assert_eq!(all_rows(&table).await.len(), 3);
}

#[tokio::test]
async fn all_of_them_together_hold_no_more_than_they_may() {
    let settings = Settings { transactions_bytes_max: 16 * 1024, ..Settings::default() };
    let site = Site::at(Memory::default(), settings).await;
    let table = site.table().await;
    let mut open = Vec::new();
    while let Ok(one) = start(&site, &table, &format!("user{}", open.len())).await {
        open.push(one);
        assert!(open.len() <= 16, "nothing bounds their number");
    }
    let full = open[0].write(put("user0", 1, &[])).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    open.pop().unwrap().abort().await.unwrap();
    open[0].write(put("user0", 1, &[])).await.unwrap();
    open[0].commit().await.unwrap();
    start(&site, &table, "somebody else").await.unwrap();
}

#[tokio::test]
async fn a_commit_that_wrote_nothing_may_be_tried_again() {
    let mut site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    for n in 0..3 {
        let open = start(&site, &table, "ann").await.unwrap();
        open.write(put("ann", n, &[("a", 1)])).await.unwrap();
        open.write(put("ann", n + 10, &[("a", 1)])).await.unwrap();
        let fault =
            [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost][usize::try_from(n).unwrap()];
        site.engine.fail_write(1, fault);
        let failed = open.commit().await.unwrap_err();
        if fault == Fault::NotWritten {
            assert_eq!(failed.kind(), ErrorKind::Unavailable);
            assert_eq!(write(&table, put("ann", 9, &[])).await.unwrap_err().kind(), ErrorKind::Conflict);
            open.commit().await.unwrap();
        } else {
            assert_eq!(failed.kind(), ErrorKind::Unknown);
            assert_eq!(open.commit().await.unwrap_err().kind(), ErrorKind::NoSuchTransaction);
        }
        // A start waits until it is known what became of the rows.
        start(&site, &table, "ann").await.unwrap().abort().await.unwrap();
    }
    site.crash().await;
    let table = site.same_table();
    let numbers: Vec<_> = all_rows(&table).await.into_iter().map(|row| row.primary_key).collect();
    assert_eq!(numbers, [0, 1, 10, 11].map(|n| row_key("ann", n)));
    assert_eq!(log(&table).await.len(), 4);
}

#[tokio::test]
async fn a_crash_ends_it_as_if_it_had_never_been() {
    let mut site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[])).await.unwrap();
    site.crash().await;
    let table = site.same_table();
    assert!(all_rows(&table).await.is_empty());
    let gone = site.store.transaction(&instance(), open.id).err().unwrap();
    assert_eq!(gone.kind(), ErrorKind::NoSuchTransaction);
    write(&table, put("ann", 1, &[])).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_caller_goes_away_is_carried_through() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
    let held = site.engine.hold_write(1);
    let caller = tokio::spawn(async move { open.commit().await });
    held.has_come().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert_eq!(write(&table, put("ann", 2, &[])).await.unwrap_err().kind(), ErrorKind::Conflict);
    held.release();
    let again = start(&site, &table, "ann").await;
    let until = soon();
    let mut again = again;
    while again.is_err() {
        assert!(std::time::Instant::now() < until, "the key is never given back");
        tokio::time::sleep(Duration::from_millis(2)).await;
        again = start(&site, &table, "ann").await;
    }
    assert_eq!(again.unwrap().newest("ann", 1, "a").await, Some(1));
}

#[tokio::test]
async fn a_table_that_is_deleted_takes_its_transactions_with_it() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[])).await.unwrap();
    site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
    let gone = site.store.transaction(&instance(), open.id).err().unwrap();
    assert_eq!(gone.kind(), ErrorKind::NoSuchTransaction);
    assert!(open.commit().await.is_err());
}

#[tokio::test]
async fn a_table_that_becomes_another_one_ends_it() {
    let site = Site::new().await;
    let table = site.table().await;
    let changed = async |versions_max| {
        let options = TableOptions { versions_max, ..TableOptions::default() };
        let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
    };
    for (round, at_commit) in [(2, true), (3, false)] {
        let open = start(&site, &table, "ann").await.unwrap();
        open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
        changed(round).await;
        let over = if at_commit { open.commit().await } else { open.write(put("ann", 2, &[])).await };
        assert_eq!(over.unwrap_err().kind(), ErrorKind::NoSuchTransaction);
        write(&table, put("ann", 3, &[])).await.unwrap();
        assert_eq!(read(&table, "ann", 1).await, None);
    }
    // One that has changed nothing yet is not concerned.
    let open = start(&site, &table, "ann").await.unwrap();
    changed(4).await;
    open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(1));
}

#[tokio::test]
async fn changes_within_it_can_be_made_all_or_none() {
    let site = Site::new().await;
    let table = site.table().await;
    let open = start(&site, &table, "ann").await.unwrap();
    open.write(put("ann", 1, &[("a", 1)])).await.unwrap();
    let failing =
        vec![put("ann", 2, &[]), delete("ann", 1), if_row(RowExistence::ExpectExist, put("ann", 1, &[]))];
    let failed = open.transaction.write_together(failing, soon()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConditionFailed);
    assert_eq!(open.newest("ann", 1, "a").await, Some(1));
    open.transaction
        .write_together(vec![put("ann", 3, &[]), update("ann", 1, vec![add("a", 1)])], soon())
        .await
        .unwrap();
    open.commit().await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(2));
    assert_eq!(all_rows(&table).await.len(), 2);
}

#[tokio::test]
async fn rows_can_be_inserted_within_it() {
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let open = start(&site, &table, "ann").await.unwrap();
    let mut written = open.transaction.write(vec![insert("ann", &[("a", 1)])], soon()).await;
    let value = picked(&written.pop().unwrap().unwrap());
    assert_eq!(open.newest("ann", value, "a").await, Some(1));
    let other = picked(&write(&table, insert("bob", &[])).await.unwrap());
    assert_eq!(write(&table, insert("ann", &[])).await.unwrap_err().kind(), ErrorKind::Conflict);
    open.commit().await.unwrap();
    let next = picked(&write(&table, insert("ann", &[])).await.unwrap());
    assert!(value < next && other != value && other != next);
}

#[tokio::test]
async fn a_range_shows_its_own_rows_in_their_places() {
    let site = Site::new().await;
    let table = site.table().await;
    for n in [2, 4, 6, 8] {
        write(&table, put("ann", n, &[("a", n)])).await.unwrap();
    }
    write(&table, put("bob", 1, &[])).await.unwrap();
    let open = start(&site, &table, "ann").await.unwrap();
    for change in [
        put("ann", 1, &[]),
        delete("ann", 4),
        put("ann", 5, &[]),
        update("ann", 6, vec![add("a", 1)]),
        put("ann", 9, &[]),
        delete("ann", 9),
    ] {
        open.write(change).await.unwrap();
    }
    for backward in [false, true] {
        for rows_max in 1..8 {
            let mut expected = vec![1, 2, 5, 6, 8];
            if backward {
                expected.reverse();
            }
            assert_eq!(
                walk(&open, rows_max, backward).await,
                expected,
                "{rows_max} rows, backward: {backward}"
            );
        }
    }
}

/// The numbers of all rows that a transaction on `ann` shows, read page by page.
async fn walk(open: &Open, rows_max: usize, backward: bool) -> Vec<i64> {
    let bound = |bound| vec![KeyBound::Value(KeyValue::String("ann".into())), bound];
    let (low, high) = (bound(KeyBound::InfMin), bound(KeyBound::InfMax));
    let (mut start, end) = if backward { (high, low) } else { (low, high) };
    let mut numbers = Vec::new();
    loop {
        let range = KeyRange { start, end: end.clone(), backward };
        let page = open
            .transaction
            .range(&range, RangeLimits { rows_max, bytes_max: 1 << 20 }, soon())
            .await
            .unwrap();
        assert!(page.len() <= rows_max);
        numbers.extend(rows_of(&page.blocks).iter().map(|row| match row.primary_key.values()[1] {
            KeyValue::Integer(n) => n,
            ref other => panic!("{other:?} is no integer"),
        }));
        let Some(next) = page.next else { return numbers };
        start = next.values().iter().cloned().map(KeyBound::Value).collect();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_they_read_holds_until_they_commit_also_among_many() {
    const TASKS: i64 = 8;
    const TIMES: i64 = 15;
    let site = Site::new().await;
    let table = site.table().await;
    let mut writers = JoinSet::new();
    for task in 0..TASKS {
        let (store, table, beside) = (site.store.clone(), table.clone(), table.clone());
        writers.spawn(async move {
            let user = if task % 2 == 0 { "ann" } else { "bob" };
            for _ in 0..TIMES {
                let id =
                    retried(|| store.start_transaction(&table, KeyValue::String(user.into()), soon())).await;
                let open = Open { id, transaction: store.transaction(&instance(), id).unwrap() };
                // Read, think, write: anybody between would have his addition lost.
                let sum = open.newest(user, 1, "sum").await.unwrap_or(0);
                tokio::task::yield_now().await;
                open.write(put(user, 1, &[("sum", sum + 1)])).await.unwrap();
                open.write(put(user, 2, &[("sum", sum + 1)])).await.unwrap();
                open.commit().await.unwrap();
            }
        });
        let table = beside;
        writers.spawn(async move {
            for _ in 0..TIMES {
                retried(|| write(&table, update("ann", 1, vec![add("sum", 0), add("single", 1)]))).await;
                retried(|| write(&table, update("eve", 1, vec![add("single", 1)]))).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for user in ["ann", "bob"] {
        for n in [1, 2] {
            assert_eq!(newest(&table, user, n, "sum").await, Some(TASKS / 2 * TIMES), "{user} {n}");
        }
    }
    assert_eq!(newest(&table, "eve", 1, "single").await, Some(TASKS * TIMES));
}

/// Does it again as long as others are in the way.
async fn retried<T, F: Future<Output = Result<T, Error>>>(work: impl Fn() -> F) -> T {
    let until = soon();
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(std::time::Instant::now() < until, "others are always in the way");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
