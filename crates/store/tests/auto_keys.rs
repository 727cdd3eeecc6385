//! Keys that the store picks: rising, never given twice, readable in their order.

use lakeferry_engine::testing::{Fault, Home};
use lakeferry_model::{KeyKind, RowExistence, RowOperation};
use lakeferry_store::{ErrorKind, Settings, Table};
use tokio::task::JoinSet;

use crate::support::{
    Fjall, Memory, Site, add, all_rows, auto_spec, change, delete, if_row, insert, instance, keep_log, log,
    newest, picked, put, soon, update, write,
};

async fn insert_one(table: &Table, user: &str) -> i64 {
    picked(&write(table, insert(user, &[("a", 1)])).await.unwrap())
}

#[tokio::test]
async fn each_new_row_gets_a_greater_value_than_the_one_before() {
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let mut last = 0;
    for user in ["ann", "bob", "ann", "ann"] {
        let value = insert_one(&table, user).await;
        assert!(value > last);
        assert_eq!(newest(&table, user, value, "a").await, Some(1));
        last = value;
    }
    let answers =
        table.write(vec![insert("ann", &[]), put("ann", last, &[("a", 9)]), insert("bob", &[])], soon());
    let answers: Vec<_> = answers.await.into_iter().map(Result::unwrap).collect();
    assert!(last < picked(&answers[0]) && picked(&answers[0]) < picked(&answers[2]));
    assert_eq!(newest(&table, "ann", last, "a").await, Some(9), "a row that is there may be named");
}

#[tokio::test]
async fn a_value_is_never_given_again_in_memory() {
    never_again(Memory::default()).await;
}

#[tokio::test]
async fn a_value_is_never_given_again_on_fjall() {
    never_again(Fjall::default()).await;
}

/// Not after its row was deleted, nor after the store ended, in either way.
async fn never_again(home: impl Home + 'static) {
    let mut site = Site::at(home, Settings::default()).await;
    let mut table = site.table_of(auto_spec()).await;
    let mut last = 0;
    for round in 0..4 {
        for _ in 0..3 {
            let value = insert_one(&table, "ann").await;
            assert!(value > last, "{value} after {last}");
            last = value;
        }
        write(&table, delete("ann", last)).await.unwrap();
        if round % 2 == 0 {
            site.crash().await;
        } else {
            site.reopen().await;
        }
        table = site.same_table();
    }
    assert_eq!(all_rows(&table).await.len(), 8);
}

#[tokio::test]
async fn a_value_of_a_write_that_failed_is_not_given_again() {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        // The first write sets values aside, the second one is the row's.
        for nth in [1, 2] {
            let mut site = Site::new().await;
            let table = site.table_of(auto_spec()).await;
            keep_log(&table).await;
            site.engine.fail_write(nth, fault);
            let failed = write(&table, insert("ann", &[("a", 1)])).await.unwrap_err();
            let unknown = nth == 2 && fault != Fault::NotWritten;
            let expected = if unknown { ErrorKind::Unknown } else { ErrorKind::Unavailable };
            assert_eq!(failed.kind(), expected, "{fault:?} at {nth}");
            let until = soon();
            while let Err(error) = write(&table, insert("ann", &[("a", 2)])).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                assert!(std::time::Instant::now() < until, "the partition never came back");
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            site.crash().await;
            let table = site.same_table();
            insert_one(&table, "ann").await;
            let written = if unknown && fault == Fault::UnknownWritten { 3 } else { 2 };
            assert_eq!(
                all_rows(&table).await.len(),
                written,
                "{fault:?} at {nth}: no row took another's place"
            );
            assert_eq!(log(&table).await.len(), written);
        }
    }
}

#[tokio::test]
async fn a_writers_own_key_must_be_that_of_a_row_that_is_there() {
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let value = insert_one(&table, "ann").await;
    for change in [put("ann", value + 1, &[("a", 1)]), update("ann", 77, vec![add("a", 1)])] {
        assert_eq!(write(&table, change).await.unwrap_err().kind(), ErrorKind::ConditionFailed);
    }
    write(&table, update("ann", value, vec![add("a", 1)])).await.unwrap();
    write(&table, delete("ann", 77)).await.unwrap();
    assert_eq!(newest(&table, "ann", value, "a").await, Some(2));
    assert_eq!(all_rows(&table).await.len(), 1);
}

#[tokio::test]
async fn a_new_row_is_not_there_for_its_condition() {
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let expecting = |existence| write(&table, if_row(existence, insert("ann", &[])));
    let failed = expecting(RowExistence::ExpectExist).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConditionFailed);
    expecting(RowExistence::ExpectNotExist).await.unwrap();
    assert_eq!(all_rows(&table).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_rows_in_the_order_of_their_values() {
    const TASKS: usize = 8;
    const TIMES: usize = 60;
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let mut writers = JoinSet::new();
    for _ in 0..TASKS {
        let table = table.clone();
        writers.spawn(async move {
            let mut values = Vec::new();
            for _ in 0..TIMES {
                values.push(insert_one(&table, "ann").await);
            }
            assert!(values.is_sorted_by(|a, b| a < b));
        });
    }
    let mut seen: Vec<_> = Vec::new();
    while seen.len() < TASKS * TIMES {
        let now: Vec<_> = all_rows(&table).await.into_iter().map(|row| row.primary_key).collect();
        assert_eq!(now[..seen.len()], seen, "a row came to be below one that was there");
        seen = now;
        tokio::task::yield_now().await;
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn only_an_integer_column_behind_the_first_can_be_picked() {
    let site = Site::new().await;
    for (columns, expected) in [
        (&[(KeyKind::Integer, true)][..], "The first primary key column 'c0' cannot be AUTO_INCREMENT."),
        (
            &[(KeyKind::Integer, false), (KeyKind::String, true)],
            "The AUTO_INCREMENT primary key column 'c1' must be INTEGER.",
        ),
        (
            &[(KeyKind::Integer, false), (KeyKind::Integer, true), (KeyKind::Integer, true)],
            "At most one primary key column can be AUTO_INCREMENT.",
        ),
    ] {
        let mut spec = auto_spec();
        let column = |(at, (kind, auto)): (usize, &(KeyKind, bool))| lakeferry_model::KeyColumn {
            name: format!("c{at}"),
            kind: *kind,
            auto_increment: *auto,
        };
        spec.schema.primary_key = columns.iter().enumerate().map(column).collect();
        let refused = site.store.create_table(&instance(), spec).await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
}

#[tokio::test]
async fn inserted_rows_can_be_written_together() {
    let site = Site::new().await;
    let table = site.table_of(auto_spec()).await;
    let rows = vec![insert("ann", &[("a", 1)]), insert("ann", &[("a", 2)])];
    let written = table.write_together(rows, soon()).await.unwrap();
    let (first, second) = (picked(&written[0]), picked(&written[1]));
    assert!(first < second);
    assert_eq!(newest(&table, "ann", second, "a").await, Some(2));
    let failing =
        vec![insert("ann", &[]), if_row(RowExistence::ExpectExist, change("ann", 99, RowOperation::Delete))];
    assert!(table.write_together(failing, soon()).await.is_err());
    assert_eq!(all_rows(&table).await.len(), 2);
}
