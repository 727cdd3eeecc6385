//! Indexes of rows that expire: whatever becomes of the table's time to live, an index shows what its table shows.

use std::time::Duration;

use lakeferry_engine::testing::Fault;
use lakeferry_model::{IndexKind, TableOptions};
use lakeferry_store::{Table, TableUpdate};

use crate::index_support::{all_kinds, declared, index, put_at, told, write_all};
use crate::support::{Site, instance, put, soon, table_name, with_stream, write};

const DAY: u64 = 86_400;

/// Options under which cells live so long.
fn living(time_to_live_s: Option<u32>) -> TableOptions {
    TableOptions { time_to_live_s, allow_update: false, ..TableOptions::default() }
}

async fn live(site: &Site, time_to_live_s: Option<u32>) {
    let update = TableUpdate { options: Some(living(time_to_live_s)), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
}

/// A table whose rows live for a day, with cells of several ages.
async fn short_lived(site: &Site, has_indexes: bool) -> Table {
    let mut spec = declared();
    spec.options = living(Some(86_400));
    let indexes = if has_indexes { all_kinds() } else { Vec::new() };
    let table = site.store.create_indexed_table(&instance(), spec, indexes).await.unwrap();
    let rows = vec![
        put_at(site, "ann", 1, &[("a", 1, 0), ("b", 1, 0), ("c", 1, 0)]),
        put_at(site, "ann", 2, &[("a", 2, 0), ("b", 2, 80_000), ("c", 2, 80_000)]),
        put_at(site, "bob", 3, &[("a", 3, 20_000), ("b", 3, 20_000)]),
        put_at(site, "zoe", 4, &[("a", 4, 80_000), ("b", 4, 20_000), ("c", 4, 0)]),
        put_at(site, "zoe", 5, &[]),
    ];
    write_all(&table, rows).await;
    site.compare_indexes("at first").await;
    table
}

/// Compares under a life without end, and once more after rows that may have been hidden are put again.
async fn compare_for_ever(site: &Site, what: &str) {
    live(site, None).await;
    site.compare_indexes(what).await;
    let again =
        [("ann", 1), ("ann", 2), ("bob", 3), ("zoe", 4)].map(|(user, n)| put(user, n, &[("a", 9), ("b", 9)]));
    write_all(&site.same_table(), again.to_vec()).await;
    site.compare_indexes(&format!("{what}, and put again")).await;
}

#[tokio::test]
async fn a_longer_life_after_a_walk_that_was_cut_short_leaves_indexes_equal_to_their_table() {
    for nth in 1.. {
        let mut site = Site::new().await;
        let table = short_lived(&site, true).await;
        site.clock.advance(Duration::from_secs(DAY + 1));
        site.engine.fail_write(nth, Fault::NotWritten);
        if site.store.reclaim_now(&table).await.is_ok() {
            assert!(nth > 4, "a walk is more than its first writes");
            return;
        }
        let what = format!("cut at write {nth}");
        live(&site, Some(3 * 86_400)).await;
        site.compare_indexes(&what).await;
        site.crash().await;
        site.compare_indexes(&what).await;
        compare_for_ever(&site, &what).await;
    }
}

#[tokio::test]
async fn a_longer_life_after_rows_expired_during_a_walk_leaves_indexes_equal_to_their_table() {
    for nth in 1.. {
        let site = Site::new().await;
        let table = short_lived(&site, true).await;
        site.clock.advance(Duration::from_secs(DAY + 1));
        let held = site.engine.hold_write(nth);
        let store = site.store.clone();
        let mut walk = tokio::spawn(async move { store.reclaim_now(&table).await });
        tokio::select! {
            () = held.has_come() => {}
            done = &mut walk => {
                done.unwrap().unwrap();
                assert!(nth > 4, "a walk is more than its first writes");
                return;
            }
        }
        site.clock.advance(Duration::from_secs(40_000));
        held.release();
        walk.await.unwrap().unwrap();
        compare_for_ever(&site, &format!("later at write {nth}")).await;
    }
}

#[tokio::test]
async fn a_longer_life_after_indexes_were_built_shows_the_entries_of_rows_that_were_hidden() {
    let site = Site::new().await;
    short_lived(&site, false).await;
    site.clock.advance(Duration::from_secs(DAY + 1));
    for spec in all_kinds() {
        site.store.create_index(&instance(), &table_name("t"), spec, true).await.unwrap();
    }
    site.compare_indexes("under the short life").await;
    live(&site, None).await;
    site.compare_indexes("under the long life").await;
    assert_eq!(told(&site.index("by_a")).await.len(), 4);
}

#[tokio::test]
async fn a_stream_tells_no_expired_value_on_account_of_an_index() {
    let site = Site::new().await;
    let mut spec = declared();
    spec.options = living(Some(86_400));
    spec.stream = with_stream(&["b", "c"]).stream;
    let by_a = vec![index("by_a", IndexKind::Global, &["a"], &[])];
    let table = site.store.create_indexed_table(&instance(), spec, by_a).await.unwrap();
    write(&table, put_at(&site, "ann", 1, &[("a", 1, 0), ("b", 1, 0), ("c", 1, 80_000)])).await.unwrap();
    site.clock.advance(Duration::from_secs(DAY + 1));
    write(&table, put("ann", 1, &[("a", 2)])).await.unwrap();
    let block = table.partitions()[0].read_log(1, 1 << 20, soon()).await.unwrap();
    let (record, _) = block.record(0).unwrap();
    let told: Vec<&str> = record.origin().unwrap().map(|cell| cell.unwrap().name).collect();
    assert_eq!(told, ["a", "c"], "the index needs the one, the stream's reader still saw the other");
    site.compare_indexes("after it was put again").await;
}

#[tokio::test]
async fn what_a_walk_has_taken_for_gone_cannot_be_put() {
    let site = Site::new().await;
    let table = short_lived(&site, true).await;
    site.clock.advance(Duration::from_secs(DAY + 1));
    site.store.reclaim_now(&table).await.unwrap();
    live(&site, None).await;
    let mut options = living(None);
    options.deviation_s = 10 * 86_400;
    let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
    let old = write(&table, put_at(&site, "ann", 1, &[("a", 1, -86_401)])).await.unwrap_err();
    assert!(old.to_string().contains("Timestamp must be in range"), "{old}");
    write(&table, put_at(&site, "ann", 1, &[("a", 1, -86_400)])).await.unwrap();
    site.compare_indexes("put at the edge").await;
    assert_eq!(told(&site.index("by_a")).await[0], "1/ann/1");
}

#[tokio::test]
async fn a_longer_life_shows_no_entry_of_a_row_that_is_another_now() {
    let site = Site::new().await;
    let mut spec = declared();
    spec.options = living(Some(86_400));
    let table = site.store.create_indexed_table(&instance(), spec, all_kinds()).await.unwrap();
    write(&table, put("ann", 1, &[("a", 1), ("b", 1), ("c", 1)])).await.unwrap();
    site.clock.advance(Duration::from_secs(86_401));
    write(&table, put("ann", 1, &[("a", 2), ("b", 2)])).await.unwrap();
    site.compare_indexes("under the short life").await;
    live(&site, None).await;
    site.compare_indexes("under the long life").await;
    assert_eq!(told(&site.index("by_a")).await, ["2/ann/1 b=2"]);
}
