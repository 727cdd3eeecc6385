//! Indexes on an engine that fails while they are made, built and dropped.

use std::time::Duration;

use lakeferry_engine::testing::Fault;
use lakeferry_model::IndexKind;
use lakeferry_store::Error;

use crate::index_support::{declared, index, told, write_all};
use crate::support::{Site, instance, let_others_run, log_after, put, table_name, write};

#[derive(Debug, Clone, Copy)]
enum Failing {
    Read,
    Write(Fault),
}

/// Waits until nothing is left of dropped indexes.
async fn dropped_are_cleared(site: &Site) {
    let is_clear = || site.store.catalog().tables().iter().all(|record| record.dropped_indexes.is_empty());
    while !is_clear() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_index_whose_making_failed_is_gone_and_holds_no_log() {
    for with_rows in [false, true] {
        for failing in [Failing::Read, Failing::Write(Fault::NotWritten)] {
            let mut failed = 0;
            for nth in 1.. {
                match making_fails(with_rows, failing, nth).await {
                    true => failed += 1,
                    false => break,
                }
            }
            assert!(failed > 2, "{failing:?} came in the way {failed} times");
        }
    }
}

/// Fails a call while an index is made, unless there are fewer.
async fn making_fails(with_rows: bool, failing: Failing, nth: u64) -> bool {
    let what = format!("with rows: {with_rows}, {failing:?} at {nth}");
    let mut site = Site::new().await;
    let table = site.table_of(declared()).await;
    write_all(&table, vec![put("ann", 1, &[("a", 1)]), put("zoe", 2, &[("a", 2)])]).await;
    let by_a = || index("by_a", IndexKind::Global, &["a"], &[]);
    match failing {
        Failing::Read => {
            let error = lakeferry_engine::Error::Unavailable("the script says so".into());
            site.engine.fail_read(nth, error);
        }
        Failing::Write(fault) => site.engine.fail_write(nth, fault),
    }
    if site.store.create_index(&instance(), &table_name("t"), by_a(), with_rows).await.is_ok() {
        return false;
    }
    assert_eq!(table.info().indexes, [], "{what}");
    let gone = site.store.readable(&instance(), &table_name("by_a")).unwrap_err();
    assert!(matches!(gone, Error::NoSuchTable(_)), "{what}: {gone}");
    dropped_are_cleared(&site).await;
    for partition in table.partitions() {
        let head = partition.head().sequence;
        write(&table, put("ann", 1, &[("a", 3)])).await.unwrap();
        assert_eq!(log_after(&table, partition, head).await, [], "{what}");
    }
    site.store.create_index(&instance(), &table_name("t"), by_a(), true).await.unwrap();
    site.compare_indexes(&what).await;
    site.crash().await;
    site.compare_indexes(&what).await;
    true
}

#[tokio::test]
async fn a_row_that_waits_and_then_fails_is_entered_by_the_build() {
    let site = Site::new().await;
    let table = site.table_of(declared()).await;
    write(&table, put("ann", 1, &[("a", 7), ("b", 1)])).await.unwrap();
    // Behind the index's id and the table's entry: the build waits for what was queued before it.
    let settling = site.engine.hold_write(3);
    let user_by_b = index("user_by_b", IndexKind::Local, &["user", "b"], &["a"]);
    site.store.create_index(&instance(), &table_name("t"), user_by_b, true).await.unwrap();
    settling.has_come().await;
    let waiting = site.engine.hold_write(1);
    site.engine.fail_write(1, Fault::NotWritten);
    let writer = {
        let table = table.clone();
        tokio::spawn(async move { write(&table, put("ann", 1, &[("b", 2)])).await })
    };
    let_others_run().await;
    settling.release();
    waiting.has_come().await;
    let_others_run().await;
    waiting.release();
    assert!(matches!(writer.await.unwrap(), Err(Error::NotWritten(_))));
    site.compare_indexes("the row is as it was").await;
    assert_eq!(told(&site.index("user_by_b")).await, ["ann/1/1 a=7"]);
}

#[tokio::test]
async fn a_drop_of_unknown_outcome_and_a_crash_leave_all_entries_or_none_of_the_index() {
    for kind in [IndexKind::Local, IndexKind::Global] {
        for fault in [Fault::UnknownLost, Fault::UnknownWritten] {
            for nth in 2.. {
                if !crash_while_dropping(kind, fault, nth).await {
                    break;
                }
            }
        }
    }
}

/// Crashes at a write behind a drop whose outcome is unknown, unless there are fewer.
async fn crash_while_dropping(kind: IndexKind, fault: Fault, nth: u64) -> bool {
    let what = format!("{kind:?}, {fault:?}, a crash at {nth}");
    let mut site = Site::new().await;
    let indexes = vec![index("user_by_b", kind, &["user", "b"], &["a"])];
    let table = site.store.create_indexed_table(&instance(), declared(), indexes).await.unwrap();
    write_all(&table, (0..9).map(|n| put("ann", n, &[("a", n), ("b", n)])).collect()).await;
    site.compare_indexes(&what).await;
    site.engine.fail_write(1, fault);
    let held = site.engine.hold_write(nth);
    let dropped = site.store.drop_index(&instance(), &table_name("t"), &table_name("user_by_b")).await;
    assert!(matches!(dropped.unwrap_err(), Error::Unknown(_)));
    let cleared = async {
        loop {
            let records = site.store.catalog().tables();
            if records
                .iter()
                .all(|record| record.dropped_indexes.is_empty() && record.info.indexes.is_empty())
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let has_come = tokio::select! {
        () = held.has_come() => true,
        () = cleared => false,
    };
    site.crash().await;
    drop(held);
    site.compare_indexes(&what).await;
    if !has_come {
        assert_eq!(site.same_table().info().indexes, [], "{what}");
    }
    has_come
}
