//! Rows that are written all or none.

use lakeferry_engine::testing::{Fault, Home};
use lakeferry_model::{RowChange, RowExistence, Value};
use lakeferry_store::{Error, ErrorKind, Settings, Table, Written};
use tokio::task::JoinSet;

use crate::support::{
    Fjall, Memory, Site, add, all_rows, cell, delete, if_row, keep_log, let_others_run, log, newest, put,
    read, soon, split_at, update, write,
};

async fn together(table: &Table, changes: Vec<RowChange>) -> Result<Vec<Written>, Error> {
    table.write_together(changes, soon()).await
}

#[tokio::test]
async fn if_one_row_fails_none_is_written() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    let missing = if_row(RowExistence::ExpectExist, put("ann", 3, &[("a", 3)]));
    let failed = together(&table, vec![put("ann", 1, &[("a", 1)]), missing, put("ann", 2, &[])]).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::ConditionFailed);
    assert!(all_rows(&table).await.is_empty() && log(&table).await.is_empty());
    together(&table, vec![put("ann", 1, &[("a", 1)]), put("ann", 2, &[("a", 2)])]).await.unwrap();
    assert_eq!((all_rows(&table).await.len(), log(&table).await.len()), (2, 2));
}

#[tokio::test]
async fn they_are_one_write_of_the_engine() {
    let site = Site::new().await;
    let table = site.table().await;
    let before = site.engine.calls().0;
    together(&table, (0..50).map(|n| put("ann", n, &[("a", n)])).collect()).await.unwrap();
    assert_eq!(site.engine.calls().0, before + 1);
    assert_eq!(all_rows(&table).await.len(), 50);
}

#[tokio::test]
async fn rows_of_different_partition_keys_are_not_written_together() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["b"])).await;
    for other in ["amy", "zoe"] {
        let refused =
            together(&table, vec![put("ann", 1, &[]), put("ann", 2, &[]), put(other, 1, &[])]).await;
        let expected = format!("Data out of scope of atomic. Atomic PartKey:ann. Data PartKey:{other}");
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
    assert!(all_rows(&table).await.is_empty());
    assert_eq!(together(&table, Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn changes_of_one_row_are_applied_in_their_order() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    let changes = vec![
        put("ann", 1, &[("a", 1)]),
        if_row(RowExistence::ExpectExist, update("ann", 1, vec![add("a", 5)])),
        delete("ann", 1),
        if_row(RowExistence::ExpectNotExist, put("ann", 1, &[("a", 7)])),
        update("ann", 1, vec![add("a", 1)]),
    ];
    assert_eq!(together(&table, changes).await.unwrap().len(), 5);
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(8));
    assert_eq!(log(&table).await.len(), 5, "each change makes a record");
}

#[tokio::test]
async fn large_rows_are_read_in_pieces_and_written_as_one() {
    let site = Site::new().await;
    let table = site.table().await;
    let text = "x".repeat(1 << 20);
    let large =
        || cell("text", lakeferry_model::ColumnUpdate::Put(Value::String(text.as_str().into()), None));
    for n in 0..10 {
        write(&table, update("ann", n, vec![large()])).await.unwrap();
    }
    let changes = |last: RowChange| {
        let mut changes: Vec<RowChange> = (0..10).map(|n| update("ann", n, vec![add("a", n)])).collect();
        changes.push(update("ann", 0, vec![add("a", 100)]));
        changes.push(last);
        changes
    };
    let failing = changes(if_row(RowExistence::ExpectNotExist, put("ann", 9, &[])));
    assert_eq!(together(&table, failing).await.unwrap_err().kind(), ErrorKind::ConditionFailed);
    assert_eq!(newest(&table, "ann", 5, "a").await, None);
    let before = site.engine.calls().0;
    together(&table, changes(put("ann", 10, &[]))).await.unwrap();
    assert_eq!(site.engine.calls().0, before + 1);
    for n in 0..10 {
        assert_eq!(newest(&table, "ann", n, "a").await, Some(if n == 0 { 100 } else { n }));
    }
}

#[tokio::test]
async fn rows_too_large_to_be_written_together_are_refused() {
    let site = Site::new().await;
    let table = site.table().await;
    let text = "x".repeat(2 << 20);
    let large = |name: &str| {
        let value = Value::String(text.as_str().into());
        cell(name, lakeferry_model::ColumnUpdate::Put(value, None))
    };
    for n in 0..6 {
        write(&table, update("ann", n, vec![large("a"), large("b"), large("c")])).await.unwrap();
    }
    let changes = (0..6).map(|n| update("ann", n, vec![add("n", 1)])).collect();
    let refused = together(&table, changes).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Invalid(_)), "{refused}");
    assert_eq!(newest(&table, "ann", 0, "n").await, None);
}

#[tokio::test]
async fn after_a_failure_all_rows_are_there_or_none_in_memory() {
    all_or_none(Memory::default).await;
}

#[tokio::test]
async fn after_a_failure_all_rows_are_there_or_none_on_fjall() {
    all_or_none(Fjall::default).await;
}

async fn all_or_none<H: Home + 'static>(home: fn() -> H) {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        let mut site = Site::at(home(), Settings::default()).await;
        let table = site.table().await;
        keep_log(&table).await;
        write(&table, put("ann", 0, &[("a", 1)])).await.unwrap();
        site.engine.fail_write(1, fault);
        let changes = vec![delete("ann", 0), put("ann", 1, &[]), put("ann", 2, &[]), put("ann", 3, &[])];
        let failed = together(&table, changes).await.unwrap_err();
        assert_eq!(failed.kind() == ErrorKind::Unknown, fault != Fault::NotWritten, "{fault:?}");
        site.crash().await;
        let table = site.same_table();
        let (rows, records) = if fault == Fault::UnknownWritten { (3, 5) } else { (1, 1) };
        assert_eq!((all_rows(&table).await.len(), log(&table).await.len()), (rows, records), "{fault:?}");
    }
}

#[tokio::test]
async fn a_failure_on_account_of_rows_that_wait_is_told_only_when_these_are_durable() {
    let site = Site::new().await;
    let table = site.table().await;
    let held = site.engine.hold_write(1);
    let first = {
        let table = table.clone();
        tokio::spawn(async move { write(&table, put("ann", 1, &[])).await })
    };
    held.has_come().await;
    let second = {
        let changes = vec![put("ann", 2, &[]), if_row(RowExistence::ExpectNotExist, put("ann", 1, &[]))];
        let table = table.clone();
        tokio::spawn(async move { together(&table, changes).await })
    };
    let_others_run().await;
    assert!(!second.is_finished(), "the row it fails on may still not come to be");
    held.release();
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::ConditionFailed);
    assert_eq!(read(&table, "ann", 2).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_see_a_part_of_what_many_write_together() {
    const TASKS: i64 = 8;
    const TIMES: i64 = 40;
    let site = Site::new().await;
    let table = site.table().await;
    let mut writers = JoinSet::new();
    for task in 0..TASKS {
        let table = table.clone();
        writers.spawn(async move {
            for _ in 0..TIMES {
                let rows = [task % 3, 3, 4 + task % 2];
                let mut changes: Vec<RowChange> =
                    rows[..2].iter().map(|n| update("ann", *n, vec![add("a", 1)])).collect();
                changes.push(update("ann", rows[2], vec![add("a", -2)]));
                together(&table, changes).await.unwrap();
            }
        });
    }
    // Beside them, single writers of the same rows.
    for _ in 0..2 {
        let table = table.clone();
        writers.spawn(async move {
            for _ in 0..TIMES {
                write(&table, update("ann", 3, vec![add("b", 1)])).await.unwrap();
            }
        });
    }
    let mut done = false;
    while !done {
        done = writers.is_empty();
        let sum: i64 = all_rows(&table)
            .await
            .iter()
            .flat_map(|row| &row.cells)
            .filter(|cell| cell.name == "a")
            .map(|cell| match cell.value {
                Value::Integer(value) => value,
                _ => panic!("a sum is an integer"),
            })
            .sum();
        assert_eq!(sum, 0, "a reader saw a part");
        while let Some(ended) = writers.try_join_next() {
            ended.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(newest(&table, "ann", 3, "a").await, Some(TASKS * TIMES));
    assert_eq!(newest(&table, "ann", 3, "b").await, Some(2 * TIMES));
}
