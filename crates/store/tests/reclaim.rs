//! What nobody sees any more is written away: without a change record, and without a trace in what is seen.

use std::time::Duration;

use lakeferry_engine::Area;
use lakeferry_model::{Clock, TableOptions};
use lakeferry_store::{RowView, Table, TableUpdate};

use crate::support::{
    Site, all_rows, instance, keep_log, log, put, set_at, soon, split_at, table_name, update, versions,
    with_options, write,
};

/// The cells of all entries of a table's first partition, hidden ones too, and the sequences of their rows.
async fn stored(site: &Site, table: &Table) -> Vec<(usize, u64)> {
    let space = site.store.engine().open_space(&table.partitions()[0].id().space(), soon()).await.unwrap();
    let entries = lakeferry_engine::testing::collect(&*space, Area::Table, &[1], Some(&[2]), false, 100);
    let row = |(_, entry): &(bytes::Bytes, bytes::Bytes)| {
        let row = RowView::new(entry).unwrap();
        (row.cells().map(Result::unwrap).count(), row.sequence())
    };
    entries.await.unwrap().iter().map(row).collect()
}

async fn set_options(site: &Site, options: TableOptions) {
    let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
}

fn now_ms(site: &Site) -> i64 {
    site.clock.now_micros() / 1000
}

#[tokio::test]
async fn surplus_versions_go_and_leave_no_record() {
    let site = Site::new().await;
    let options = TableOptions { versions_max: 4, ..TableOptions::default() };
    let table = site.table_of(with_options(options.clone())).await;
    keep_log(&table).await;
    for n in 0..4 {
        for row in ["ann", "bob"] {
            write(&table, update(row, 1, vec![set_at("a", n, now_ms(&site) + n)])).await.unwrap();
        }
    }
    assert_eq!(stored(&site, &table).await, [(4, 7), (4, 8)]);
    set_options(&site, TableOptions { versions_max: 2, ..options }).await;
    let (seen, told) = (all_rows(&table).await, log(&table).await);
    assert!(table.info().surplus_versions);
    site.store.reclaim_now(&table).await.unwrap();
    assert_eq!(stored(&site, &table).await, [(2, 7), (2, 8)], "rows keep their place among the changes");
    assert_eq!(all_rows(&table).await, seen);
    assert_eq!(log(&table).await, told, "reclaiming makes no change record");
    assert!(!table.info().surplus_versions, "the walk need not come again");
}

#[tokio::test]
async fn a_row_that_has_expired_is_removed_and_stays_in_its_log() {
    let site = Site::new().await;
    let options = TableOptions { time_to_live_s: Some(86_400), ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    keep_log(&table).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    write(&table, put("empty", 1, &[])).await.unwrap();
    site.clock.advance(Duration::from_secs(86_400 / 2));
    write(&table, put("bob", 1, &[("a", 1)])).await.unwrap();
    site.store.reclaim_now(&table).await.unwrap();
    assert_eq!(stored(&site, &table).await.len(), 3, "nothing has expired yet");
    site.clock.advance(Duration::from_secs(86_400 / 2 + 1));
    site.store.reclaim_now(&table).await.unwrap();
    assert_eq!(stored(&site, &table).await, [(1, 3), (0, 2)], "a row that never had cells does not expire");
    assert_eq!(log(&table).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_meanwhile_are_as_their_writers_left_them() {
    let site = Site::new().await;
    let options = TableOptions { versions_max: 3, ..TableOptions::default() };
    let mut spec = split_at(&["m"]);
    spec.options = options.clone();
    let table = site.table_of(spec).await;
    for round in 0..6 {
        for n in 0..40 {
            for user in ["ann", "zoe"] {
                let old = (0..3).map(|version| set_at("a", -version, now_ms(&site) - 10 - version));
                write(&table, update(user, n, old.collect())).await.unwrap();
            }
        }
        set_options(&site, TableOptions { versions_max: 1, ..options.clone() }).await;
        let writers = (0..4).map(|writer| {
            let table = table.clone();
            let ms = now_ms(&site) + 1;
            tokio::spawn(async move {
                for n in (writer..40).step_by(4) {
                    for user in ["ann", "zoe"] {
                        write(&table, update(user, n, vec![set_at("a", round, ms)])).await.unwrap();
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        site.store.reclaim_now(&table).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        for n in 0..40 {
            for user in ["ann", "zoe"] {
                let newest = versions(&table, user, n, "a").await;
                assert_eq!(newest, [(now_ms(&site) + 1, round)], "{user} {n}");
            }
        }
        site.second();
        set_options(&site, options.clone()).await;
    }
}

#[tokio::test]
async fn what_a_longer_life_shows_again_is_not_taken() {
    let site = Site::new().await;
    let options = TableOptions { versions_max: 3, ..TableOptions::default() };
    let table = site.table_of(with_options(options.clone())).await;
    for n in 0..3 {
        write(&table, update("ann", 1, vec![set_at("a", n, now_ms(&site) + n)])).await.unwrap();
    }
    set_options(&site, TableOptions { versions_max: 1, ..options.clone() }).await;
    set_options(&site, options).await;
    site.store.reclaim_now(&table).await.unwrap();
    assert_eq!(versions(&table, "ann", 1, "a").await.len(), 3);
}
