//! What a write makes of a row, and what readers see of it.

use std::time::Duration;

use lakeferry_model::{ColumnUpdate, Returning, RowChange, RowExistence, TableOptions, Value};
use lakeferry_store::{ErrorKind, Settings, Table, TableUpdate};

use crate::support::{
    Memory, START, Site, add, all_rows, cell, delete, if_row, instance, newest, put, read, row_key, set,
    set_at, soon, table_name, update, versions, with_options, write,
};

const NOW_MS: i64 = START / 1000;

#[tokio::test]
async fn readers_see_the_newest_versions_that_the_table_keeps() {
    let site = Site::new().await;
    let table = versioned(&site, 3).await;
    for value in 1..=5 {
        write(&table, update("ann", 1, vec![set_at("a", value, NOW_MS + value)])).await.unwrap();
    }
    let expected = [(NOW_MS + 5, 5), (NOW_MS + 4, 4), (NOW_MS + 3, 3)];
    assert_eq!(versions(&table, "ann", 1, "a").await, expected);
    set_options(&site, TableOptions { versions_max: 1, ..TableOptions::default() }).await;
    assert_eq!(versions(&table, "ann", 1, "a").await, expected[..1]);
}

#[tokio::test]
async fn of_two_cells_with_one_timestamp_the_last_stays() {
    let site = Site::new().await;
    let table = versioned(&site, 3).await;
    let cells = vec![set_at("a", 1, NOW_MS), set_at("a", 2, NOW_MS), set("b", 1), set("b", 2)];
    write(&table, update("ann", 1, cells)).await.unwrap();
    assert_eq!(versions(&table, "ann", 1, "a").await, [(NOW_MS, 2)]);
    assert_eq!(versions(&table, "ann", 1, "b").await.len(), 1);
    assert_eq!(newest(&table, "ann", 1, "b").await, Some(2));
}

#[tokio::test]
async fn deletes_act_when_they_are_applied_and_leave_no_trace() {
    let site = Site::new().await;
    let table = versioned(&site, 3).await;
    let put_again = || update("ann", 1, vec![set_at("a", 1, NOW_MS), set_at("a", 2, NOW_MS + 1)]);
    let deletes = [
        update("ann", 1, vec![cell("a", ColumnUpdate::DeleteVersion(NOW_MS))]),
        update("ann", 1, vec![cell("a", ColumnUpdate::DeleteAll)]),
        delete("ann", 1),
    ];
    for (delete, left) in deletes.into_iter().zip([1, 0, 0]) {
        write(&table, put_again()).await.unwrap();
        assert_eq!(versions(&table, "ann", 1, "a").await, [(NOW_MS + 1, 2), (NOW_MS, 1)]);
        write(&table, delete).await.unwrap();
        assert_eq!(versions(&table, "ann", 1, "a").await.len(), left);
    }
    write(&table, put_again()).await.unwrap();
    assert_eq!(versions(&table, "ann", 1, "a").await.len(), 2);
}

#[tokio::test]
async fn a_row_may_have_its_key_alone() {
    let mut site = Site::new().await;
    let table = site.table().await;
    write(&table, put("ann", 1, &[])).await.unwrap();
    write(&table, put("ann", 2, &[("a", 1)])).await.unwrap();
    write(&table, update("ann", 2, vec![cell("a", ColumnUpdate::DeleteAll)])).await.unwrap();
    // Deletes alone make no row.
    write(&table, update("ann", 3, vec![cell("a", ColumnUpdate::DeleteAll)])).await.unwrap();
    site.reopen().await;
    let table = site.same_table();
    let keys: Vec<_> =
        all_rows(&table).await.into_iter().map(|row| (row.primary_key, row.cells.len())).collect();
    assert_eq!(keys, [(row_key("ann", 1), 0), (row_key("ann", 2), 0)]);
    for (n, exists) in [(1, true), (2, true), (3, false)] {
        let outcome = write(&table, if_row(RowExistence::ExpectExist, put("ann", n, &[]))).await;
        assert_eq!(outcome.is_ok(), exists);
    }
}

#[tokio::test]
async fn cells_are_seen_until_their_time_to_live_is_over() {
    let site = Site::new().await;
    let day_s = 86_400;
    let options = TableOptions { time_to_live_s: Some(day_s), versions_max: 2, ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    site.clock.advance(Duration::from_secs(day_s.into()));
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(1));
    // A younger cell keeps the row, but not its older cells.
    write(&table, put("bob", 1, &[("b", 1)])).await.unwrap();
    write(&table, update("ann", 2, vec![set_at("a", 1, NOW_MS), set("b", 2)])).await.unwrap();
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(read(&table, "ann", 1).await, None);
    assert_eq!(versions(&table, "ann", 2, "a").await, []);
    assert_eq!(newest(&table, "ann", 2, "b").await, Some(2));
    assert_eq!(all_rows(&table).await.len(), 2);
    // Who cannot be seen is not there for conditions, and increments begin anew.
    let absent = if_row(RowExistence::ExpectNotExist, update("ann", 1, vec![add("a", 5)]));
    write(&table, absent).await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(5));
    set_options(&site, TableOptions { time_to_live_s: None, ..TableOptions::default() }).await;
    assert_eq!(versions(&table, "ann", 1, "a").await.len(), 1, "a change drops what nobody saw");
}

#[tokio::test]
async fn a_row_that_would_grow_too_large_stays_as_it_is() {
    let settings = Settings { row_bytes_max: 1000, ..Settings::default() };
    let site = Site::at(Memory::default(), settings).await;
    let table = site.table().await;
    let text = |name: &str, length: usize| {
        cell(name, ColumnUpdate::Put(Value::String("x".repeat(length).into()), None))
    };
    write(&table, update("ann", 1, vec![text("a", 900)])).await.unwrap();
    let changes = vec![
        update("ann", 1, vec![text("b", 100)]),
        update("ann", 2, vec![text("b", 100)]),
        update("ann", 1, vec![text("a", 10), text("b", 100)]),
    ];
    let answers = table.write(changes, soon()).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::RowTooLarge);
    assert!(answers[1].is_ok() && answers[2].is_ok(), "each row succeeds or fails alone");
    assert_eq!(read(&table, "ann", 1).await.unwrap().cells.len(), 2);
}

#[tokio::test]
async fn timestamps_too_far_from_the_servers_time_are_refused() {
    let site = Site::new().await;
    let options = TableOptions { deviation_s: 10, ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    for (ms, fits) in [(-10_000, true), (9_999, true), (-10_001, false), (10_000, false)] {
        let outcome = write(&table, update("ann", 1, vec![set_at("a", 1, NOW_MS + ms)])).await;
        assert_eq!(outcome.is_ok(), fits, "{ms}");
        assert!(fits || matches!(outcome.unwrap_err().kind(), ErrorKind::Invalid(_)));
    }
    // What would be expired at once is refused as well.
    let short = TableOptions { time_to_live_s: Some(5), deviation_s: 10, ..TableOptions::default() };
    set_options(&site, short).await;
    for (ms, fits) in [(-5_000, true), (-5_001, false), (9_999, true)] {
        let outcome = write(&table, update("ann", 1, vec![set_at("a", 1, NOW_MS + ms)])).await;
        assert_eq!(outcome.is_ok(), fits, "{ms}");
    }
    let widest = TableOptions { deviation_s: i64::MAX / 1_000_000, ..TableOptions::default() };
    set_options(&site, widest).await;
    write(&table, update("ann", 1, vec![set_at("a", 1, 0)])).await.unwrap();
}

#[tokio::test]
async fn an_increment_counts_also_above_a_version_from_the_future() {
    let site = Site::new().await;
    let table = site.table().await;
    write(&table, update("ann", 1, vec![set_at("a", 10, NOW_MS + 5_000)])).await.unwrap();
    for _ in 0..2 {
        write(&table, update("ann", 1, vec![add("a", 1)])).await.unwrap();
    }
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(12));
}

#[tokio::test]
async fn an_increment_of_what_is_no_integer_is_refused() {
    let site = Site::new().await;
    let table = site.table().await;
    let text = cell("a", ColumnUpdate::Put(Value::String("x".into()), None));
    write(&table, update("ann", 1, vec![text, set("b", i64::MAX)])).await.unwrap();
    for name in ["a", "b"] {
        let refused = write(&table, update("ann", 1, vec![add(name, 1)])).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Invalid(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_writer_is_told_what_it_asked_for() {
    let site = Site::new().await;
    let table = site.table().await;
    let asking = |returning, change| RowChange { returning, ..change };
    let answers = table
        .write(
            vec![
                asking(Returning::PrimaryKey, put("ann", 1, &[("a", 1)])),
                asking(
                    Returning::AfterModify(vec!["a".into()]),
                    update("ann", 1, vec![add("a", 4), add("b", 1)]),
                ),
                asking(Returning::AfterModify(vec!["b".into()]), update("ann", 1, vec![add("a", 4)])),
                put("ann", 2, &[]),
            ],
            soon(),
        )
        .await;
    let told = |at: usize| answers[at].as_ref().unwrap().returned.clone();
    assert_eq!(told(0).map(|row| (row.primary_key, row.cells.len())), Some((row_key("ann", 1), 0)));
    let cells = told(1).unwrap().cells;
    assert_eq!(
        cells.iter().map(|cell| (&*cell.name, &cell.value)).collect::<Vec<_>>(),
        [("a", &Value::Integer(5))]
    );
    assert!(matches!(answers[2].as_ref().unwrap_err().kind(), ErrorKind::Invalid(_)));
    assert_eq!(told(3), None);
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(5), "a refused change changes nothing");
}

#[tokio::test]
async fn a_table_may_forbid_updates() {
    let site = Site::new().await;
    let options = TableOptions { allow_update: false, ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    let refused = write(&table, update("ann", 1, vec![set("a", 1)])).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Invalid(_)));
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
}

async fn versioned(site: &Site, versions_max: u32) -> Table {
    site.table_of(with_options(TableOptions { versions_max, ..TableOptions::default() })).await
}

async fn set_options(site: &Site, options: TableOptions) {
    let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
}
