//! Secondary indexes at the store's boundary: what they hold, when they can be read, how they come and go.

use std::sync::Arc;
use std::time::Duration;

use lakeferry_engine::Area;
use lakeferry_engine::testing::Fault;
use lakeferry_model::{
    CellChange, ColumnUpdate, IndexKind, KeyBound, KeyRange, KeyValue, PrimaryKey, TableOptions, Value,
};
use lakeferry_store::{Error, ErrorKind, IndexPhase, RangeLimits, TableUpdate};

use crate::index_support::{all_kinds, declared, index, put_at, rows_in, told, write_all};
use crate::support::{
    Site, add, cell, delete, instance, keep_log, put, row_key, rows_of, set, set_at, soon, table_name,
    update, write,
};

#[tokio::test]
async fn a_local_index_is_right_as_soon_as_the_write_is_answered() {
    let site = Site::new().await;
    let by_b = index("by_b", IndexKind::Local, &["user", "b"], &["a"]);
    let table = site.store.create_indexed_table(&instance(), declared(), vec![by_b]).await.unwrap();
    let local = site.index("by_b");
    write_all(&table, vec![put("ann", 1, &[("a", 1), ("b", 9)]), put("ann", 2, &[("b", 4)])]).await;
    write(&table, put("zoe", 1, &[("a", 7)])).await.unwrap();
    assert_eq!(told(&local).await, ["ann/4/2", "ann/9/1 a=1"], "a row without the column has no entry");

    write(&table, update("ann", 1, vec![set("a", 2)])).await.unwrap();
    write(&table, update("ann", 2, vec![add("b", 10)])).await.unwrap();
    write(&table, update("zoe", 1, vec![set("b", 1)])).await.unwrap();
    assert_eq!(told(&local).await, ["ann/9/1 a=2", "ann/14/2", "zoe/1/1 a=7"]);

    write(&table, update("ann", 1, vec![cell("b", ColumnUpdate::DeleteAll)])).await.unwrap();
    write(&table, put("zoe", 1, &[("b", 2)])).await.unwrap();
    write(&table, delete("ann", 2)).await.unwrap();
    assert_eq!(told(&local).await, ["zoe/2/1"]);
}

#[tokio::test]
async fn changes_of_one_row_in_one_request_leave_one_entry() {
    let site = Site::new().await;
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    let changes = (0..5).flat_map(|value| [put("ann", 1, &[("a", value), ("b", value)]), delete("ann", 2)]);
    write_all(&table, changes.chain([put("ann", 2, &[("a", 3), ("b", 3)])]).collect()).await;
    site.compare_indexes("after five of each").await;
    assert_eq!(told(&site.index("user_by_b")).await, ["ann/3/2 a=3", "ann/4/1 a=4"]);
}

#[tokio::test]
async fn a_global_index_follows_and_can_be_read_in_pages_in_both_directions() {
    let site = Site::new().await;
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    for n in 0..50 {
        write(&table, put(["ann", "bob", "zoe"][n % 3], n as i64, &[("a", 50 - n as i64)])).await.unwrap();
    }
    site.compare_indexes("after fifty rows").await;
    let by_a = site.index("by_a");
    let key = |a: i64, n: i64, user: &str| {
        PrimaryKey::new(vec![KeyValue::Integer(a), KeyValue::String(user.into()), KeyValue::Integer(n)])
    };
    let found = by_a.get(&[key(50, 0, "ann"), key(49, 0, "ann"), key(1, 49, "bob")], soon()).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);

    for backward in [false, true] {
        let low = vec![KeyBound::Value(KeyValue::Integer(10)), KeyBound::InfMin, KeyBound::InfMin];
        let high = vec![KeyBound::Value(KeyValue::Integer(20)), KeyBound::InfMin, KeyBound::InfMin];
        let (start, end) = if backward { (high, low) } else { (low, high) };
        let mut range = KeyRange { start, end, backward };
        let mut values = Vec::new();
        loop {
            let limits = RangeLimits { rows_max: 3, bytes_max: usize::MAX };
            let page = by_a.range(&range, limits, soon()).await.unwrap();
            values.extend(rows_of(&page.blocks).into_iter().map(|row| row.primary_key.values()[0].clone()));
            let Some(next) = page.next else { break };
            range.start = next.values().iter().cloned().map(KeyBound::Value).collect();
        }
        let mut expected: Vec<KeyValue> = (10..20).map(KeyValue::Integer).collect();
        if backward {
            expected.reverse();
        }
        assert_eq!(values, expected, "backward: {backward}");
    }
}

#[tokio::test]
async fn an_update_that_only_deletes_makes_no_entry_where_there_is_no_row() {
    let site = Site::new().await;
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    let only_deletes = || vec![cell("a", ColumnUpdate::DeleteAll), cell("b", ColumnUpdate::DeleteVersion(1))];
    write(&table, update("ann", 1, only_deletes())).await.unwrap();
    write(&table, put("ann", 2, &[("a", 1)])).await.unwrap();
    write(&table, update("ann", 2, only_deletes())).await.unwrap();
    site.compare_indexes("after deletes").await;
    assert_eq!(told(&site.index("by_n")).await, ["2/ann"], "a row whose cells are gone is still there");
}

#[tokio::test]
async fn an_index_on_rows_that_are_there_is_read_once_it_holds_them() {
    let mut site = Site::new().await;
    let table = site.table_of(declared()).await;
    for n in 0..200 {
        write(&table, put(["ann", "bob", "zoe"][n % 3], n as i64, &[("a", 7), ("b", n as i64)]))
            .await
            .unwrap();
    }
    for spec in all_kinds() {
        let name = spec.name.clone();
        site.store.create_index(&instance(), &table_name("t"), spec, true).await.unwrap();
        match site.store.readable(&instance(), &name) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error, Error::IndexBuilding(_)), "{error}"),
        }
    }
    write(&table, update("ann", 0, vec![set("a", 8), set("b", -1)])).await.unwrap();
    site.compare_indexes("after it was built").await;
    assert_eq!(rows_in(&site.index("by_a")).await.len(), 200);
    site.crash().await;
    site.compare_indexes("after a crash").await;
}

#[tokio::test]
async fn an_index_without_base_data_holds_what_is_changed_after_it() {
    let site = Site::new().await;
    let table = site.table_of(declared()).await;
    write_all(&table, (0..9).map(|n| put("ann", n, &[("a", n), ("b", n)])).collect()).await;
    for spec in all_kinds() {
        site.store.create_index(&instance(), &table_name("t"), spec, false).await.unwrap();
    }
    write(&table, put("ann", 20, &[("a", 20), ("b", 20)])).await.unwrap();
    write(&table, update("ann", 3, vec![set("a", 33)])).await.unwrap();
    write(&table, delete("ann", 4)).await.unwrap();
    site.indexes_are_even().await;
    assert_eq!(told(&site.index("by_a")).await, ["20/ann/20 b=20", "33/ann/3 b=3"]);
    assert_eq!(told(&site.index("user_by_b")).await, ["ann/3/3 a=33", "ann/20/20 a=20"]);
}

#[tokio::test]
async fn nobody_writes_to_an_index() {
    let site = Site::new().await;
    site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    for name in ["by_a", "user_by_b"] {
        let refused = site.store.table(&instance(), &table_name(name)).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::IsIndex(_)), "{refused}");
        let deleted = site.store.delete_table(&instance(), &table_name(name)).await.unwrap_err();
        assert!(matches!(deleted, Error::IsIndex(_)));
        let handle = site.index(name);
        let outcome = handle.write(vec![put("ann", 1, &[])], soon()).await.pop().unwrap();
        assert!(matches!(outcome, Err(Error::IsIndex(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_an_index_cannot_be_is_refused_and_leaves_nothing() {
    let site = Site::new().await;
    let table = site.table_of(declared()).await;
    let create = async |spec| site.store.create_index(&instance(), &table_name("t"), spec, true).await;
    let message = |outcome: Result<(), Error>| outcome.unwrap_err().to_string();
    assert!(message(create(index("x", IndexKind::Global, &["nope"], &[])).await).contains("'nope'"));
    let taken = create(index("t", IndexKind::Global, &["a"], &[])).await.unwrap_err();
    assert!(matches!(taken, Error::TableExists(_)));
    for spec in all_kinds() {
        create(spec).await.unwrap();
    }
    assert_eq!(
        message(create(index("x", IndexKind::Global, &["a"], &[])).await),
        "Number of index per table exceeds the quota:5."
    );
    let mut named_like_an_index = declared();
    named_like_an_index.schema.name = table_name("by_a");
    let taken = site.store.create_table(&instance(), named_like_an_index).await.unwrap_err();
    assert!(matches!(taken, Error::TableExists(_)));
    assert_eq!(table.info().indexes.len(), 5);

    for options in [
        TableOptions { versions_max: 2, ..TableOptions::default() },
        TableOptions { time_to_live_s: Some(86_400), ..TableOptions::default() },
        TableOptions { versions_max: 3, allow_update: false, ..TableOptions::default() },
    ] {
        let update = TableUpdate { options: Some(options.clone()), ..TableUpdate::default() };
        let outcome = site.store.update_table(&instance(), &table_name("t"), update).await;
        assert!(matches!(outcome.unwrap_err().kind(), ErrorKind::Invalid(_)));
        let mut other = declared();
        other.schema.name = table_name("other");
        other.options = options;
        let spec = vec![index("x", IndexKind::Global, &["a"], &[])];
        let outcome = site.store.create_indexed_table(&instance(), other, spec).await;
        assert!(matches!(outcome.unwrap_err().kind(), ErrorKind::Invalid(_)));
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_in_an_indexs_key_is_refused_before_it_is_written() {
    let site = Site::new().await;
    let mut spec = declared();
    spec.schema.defined_columns[1].kind.0 = lakeferry_model::ValueKind::String;
    let indexes = vec![index("by_b", IndexKind::Global, &["b"], &["a"])];
    let table = site.store.create_indexed_table(&instance(), spec, indexes).await.unwrap();
    let set_text = |text: &str| -> Vec<CellChange> {
        vec![cell("b", ColumnUpdate::Put(Value::String(text.into()), None))]
    };
    let wrong = write(&table, put("ann", 1, &[("b", 1)])).await.unwrap_err();
    assert_eq!(wrong.to_string(), "Invalid column type for column b expect VT_STRING actual VT_INTEGER");
    let long = write(&table, update("ann", 1, set_text(&"x".repeat(1025)))).await.unwrap_err();
    assert!(long.to_string().contains("exceeds the MaxLength:1024"), "{long}");
    let number = write(&table, update("ann", 1, vec![add("b", 1)])).await.unwrap_err();
    assert_eq!(number.to_string(), "Invalid column type for column b expect VT_STRING actual VT_INTEGER");
    write(&table, update("ann", 1, set_text(&"x".repeat(1024)))).await.unwrap();
    site.indexes_are_even().await;
    assert_eq!(rows_in(&site.index("by_b")).await.len(), 1);
}

#[tokio::test]
async fn a_dropped_index_leaves_no_entries_and_its_name_is_free() {
    let mut site = Site::new().await;
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    write_all(&table, (0..99).map(|n| put("ann", n, &[("a", n), ("b", n)])).collect()).await;
    site.compare_indexes("before").await;
    for spec in all_kinds() {
        site.store.drop_index(&instance(), &table_name("t"), &spec.name).await.unwrap();
        let gone = site.store.readable(&instance(), &spec.name).unwrap_err();
        assert!(matches!(gone, Error::NoSuchTable(_)));
    }
    let missing = site.store.drop_index(&instance(), &table_name("t"), &table_name("by_a")).await;
    assert!(matches!(missing.unwrap_err(), Error::NoSuchIndex(_)));
    // What is left of them goes in the background, also after a crash.
    site.crash().await;
    let is_clear = || {
        let records = site.store.catalog().tables();
        records.iter().all(|record| record.dropped_indexes.is_empty())
    };
    while !is_clear() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(spaces(&site).await.len(), 3, "the partitions of global indexes are gone");
    for space in spaces(&site).await {
        let space = site.store.engine().open_space(&space, soon()).await.unwrap();
        let rest = lakeferry_engine::testing::collect(&*space, Area::Table, &[2], None, false, 100).await;
        assert_eq!(rest.unwrap(), []);
    }
    let table = site.same_table();
    for spec in all_kinds() {
        site.store.create_index(&instance(), &table_name("t"), spec, true).await.unwrap();
    }
    write(&table, delete("ann", 5)).await.unwrap();
    site.compare_indexes("made again").await;
}

#[tokio::test]
async fn an_index_that_may_be_dropped_is_not_forgotten_by_the_next_change_of_its_table() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten] {
        let site = Site::new().await;
        site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
        site.engine.fail_write(1, fault);
        let name = &all_kinds()[0].name;
        site.store.drop_index(&instance(), &table_name("t"), name).await.unwrap_err();
        let update = TableUpdate { throughput: Some(Default::default()), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
        let record = &site.store.catalog().tables()[0];
        assert_eq!(record.info.indexes.len(), all_kinds().len() - 1, "{fault:?}");
        assert_eq!(record.dropped_indexes.len(), 1, "{fault:?}: its entries are still there");
    }
}

async fn spaces(site: &Site) -> Vec<lakeferry_engine::SpaceId> {
    let mut spaces = site.store.engine().spaces(soon()).await.unwrap();
    spaces.retain(|space| space.as_str().starts_with("partition-"));
    spaces
}

#[tokio::test]
async fn a_deleted_table_takes_its_indexes_along() {
    let site = Site::new().await;
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    write(&table, put("ann", 1, &[("a", 1), ("b", 1)])).await.unwrap();
    site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
    assert!(site.store.readable(&instance(), &table_name("by_a")).is_err());
    assert_eq!(spaces(&site).await, []);
    let table = site.store.create_indexed_table(&instance(), declared(), all_kinds()).await.unwrap();
    write(&table, put("bob", 2, &[("a", 2), ("b", 2)])).await.unwrap();
    site.compare_indexes("the second table").await;
}

#[tokio::test]
async fn the_log_is_kept_for_a_global_index_and_let_go_behind_it() {
    let site = Site::new().await;
    let table = site.table_of(declared()).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    site.store.start_background(Arc::new(Nobody));
    let spec = index("by_a", IndexKind::Global, &["a"], &[]);
    site.store.create_index(&instance(), &table_name("t"), spec, true).await.unwrap();
    write_all(&table, (0..9).map(|n| put("ann", n, &[("a", n)])).collect()).await;
    site.compare_indexes("before its log is let go").await;
    let partition = &table.partitions()[0];
    while partition.trimmed() < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    write(&table, delete("ann", 3)).await.unwrap();
    site.compare_indexes("after").await;
}

/// No reader but the store's own.
struct Nobody;

#[async_trait::async_trait]
impl lakeferry_store::LogReaders for Nobody {
    async fn low_positions(
        &self,
        _: lakeferry_store::TableId,
    ) -> Result<Option<std::collections::HashMap<lakeferry_store::PartitionId, u64>>, Error> {
        Ok(None)
    }
}

#[tokio::test]
async fn how_far_an_index_is_behind_is_told() {
    let site = Site::new().await;
    let indexes = vec![index("by_a", IndexKind::Global, &["a"], &[])];
    let table = site.store.create_indexed_table(&instance(), declared(), indexes).await.unwrap();
    // The second write is the index's.
    let held = site.engine.hold_write(2);
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    held.has_come().await;
    site.second();
    let report = &site.store.index_reports(&table, soon()).await.unwrap()[0];
    assert_eq!((report.behind_changes, report.phase), (1, IndexPhase::Ready));
    assert!(report.behind_micros >= 1_000_000, "{report:?}");
    held.release();
    site.compare_indexes("once it is let go").await;
}

#[tokio::test]
async fn entries_keep_the_timestamps_of_their_rows() {
    let site = Site::new().await;
    let indexes = vec![
        index("by_a", IndexKind::Global, &["a"], &["b"]),
        index("local", IndexKind::Local, &["user", "a"], &["b"]),
    ];
    let table = site.store.create_indexed_table(&instance(), declared(), indexes).await.unwrap();
    let ms = crate::support::START / 1000 - 5;
    write(&table, update("ann", 1, vec![set("a", 1), set_at("b", 2, ms)])).await.unwrap();
    site.indexes_are_even().await;
    for name in ["by_a", "local"] {
        assert_eq!(rows_in(&site.index(name)).await[0].cells[0].timestamp_ms, ms);
    }
}

#[tokio::test]
async fn an_index_and_a_delivery_share_a_log() {
    let site = Site::new().await;
    let indexes = vec![index("by_a", IndexKind::Global, &["a"], &[])];
    let table = site.store.create_indexed_table(&instance(), declared(), indexes).await.unwrap();
    keep_log(&table).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    site.store.drop_index(&instance(), &table_name("t"), &table_name("by_a")).await.unwrap();
    write(&table, put("ann", 2, &[("a", 1)])).await.unwrap();
    let records = crate::support::log_after(&table, &table.partitions()[0], 0).await;
    let keys: Vec<PrimaryKey> = records.into_iter().map(|record| record.primary_key).collect();
    assert_eq!(keys, [row_key("ann", 1), row_key("ann", 2)]);
}

#[tokio::test]
async fn entries_expire_with_their_rows_and_are_reclaimed() {
    let mut site = Site::new().await;
    let mut spec = declared();
    spec.options =
        TableOptions { time_to_live_s: Some(86_400), allow_update: false, ..TableOptions::default() };
    let table = site.store.create_indexed_table(&instance(), spec, all_kinds()).await.unwrap();
    let rows = vec![
        put_at(&site, "ann", 1, &[("a", 1, 0), ("b", 1, 10), ("c", 1, 20)]),
        put_at(&site, "ann", 2, &[("a", 2, 20), ("b", 2, 0)]),
        put_at(&site, "bob", 3, &[("c", 3, 10)]),
        put_at(&site, "zoe", 4, &[]),
    ];
    write_all(&table, rows).await;
    site.compare_indexes("at first").await;
    for seconds in [86_400 + 5, 10, 10] {
        site.clock.advance(Duration::from_secs(seconds));
        site.compare_indexes("as cells expire").await;
        // What replaces a row that nobody sees any more replaces its entries too.
        write(&table, put_at(&site, "ann", 9, &[("a", 1, -86_399), ("b", 9, 0)])).await.unwrap();
        site.compare_indexes("with a row put again").await;
    }
    site.store.reclaim_now(&table).await.unwrap();
    site.compare_indexes("reclaimed").await;
    let mut entries = 0;
    for space in spaces(&site).await {
        let space = site.store.engine().open_space(&space, soon()).await.unwrap();
        let all = lakeferry_engine::testing::collect(&*space, Area::Table, &[1], None, false, 100).await;
        entries += all.unwrap().len();
    }
    let seen = all_kinds().into_iter().map(|spec| site.index(spec.name.as_str()));
    let mut expected = rows_in(&table).await.len();
    for index in seen {
        expected += rows_in(&index).await.len();
    }
    assert_eq!(entries, expected, "nothing is stored that nobody sees");
    site.crash().await;
    site.compare_indexes("after a crash").await;
}

#[tokio::test]
async fn a_transaction_outlives_what_does_not_concern_its_rows() {
    let site = Site::new().await;
    let table = site.table_of(declared()).await;
    write(&table, put("ann", 1, &[("a", 1), ("b", 1)])).await.unwrap();
    // Behind the index's id and the table's entry: the build waits for what was queued before it.
    let building = site.engine.hold_write(3);
    let by_a = index("user_by_a", IndexKind::Local, &["user", "a"], &["b"]);
    site.store.create_index(&instance(), &table_name("t"), by_a, true).await.unwrap();
    building.has_come().await;

    let key = KeyValue::String("ann".into());
    let id = site.store.start_transaction(&table, key, soon()).await.unwrap();
    let transaction = site.store.transaction(&instance(), id).unwrap();
    let wrote = async |change| transaction.write(vec![change], soon()).await.pop().unwrap();
    let throughput = lakeferry_model::ReservedThroughput { read: 1, write: 1 };
    wrote(update("ann", 1, vec![set("a", 2)])).await.unwrap();
    let change = TableUpdate { throughput: Some(throughput), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), change).await.unwrap();
    wrote(update("ann", 1, vec![add("b", 1)])).await.unwrap();
    building.release();
    site.indexes_are_even().await;
    site.store.reclaim_now(&table).await.unwrap();
    transaction.commit(soon()).await.unwrap();
    site.compare_indexes("after the commit").await;
    assert_eq!(told(&site.index("user_by_a")).await, ["ann/2/1 b=2"]);
}
