//! The life of tables.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use lakeferry_engine::testing::Fault;
use lakeferry_engine::{Engine, SpaceId};
use lakeferry_model::{
    InstanceName, KeyColumn, KeyKind, KeyValue, PrimaryKey, ReservedThroughput, StreamSpec, TableOptions,
    limits,
};
use lakeferry_store::{ErrorKind, Table, TableSpec, TableUpdate};

use crate::support::{
    Site, all_rows, delete, instance, put, row_key, soon, spec, split_at, table_name, with_stream, write,
};

const FAULTS: [Fault; 3] = [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost];

#[tokio::test]
async fn a_name_is_free_at_once_for_a_table_of_another_schema() {
    let mut site = Site::new().await;
    let first = site.table().await;
    write(&first, put("ann", 1, &[("a", 1)])).await.unwrap();
    site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
    assert_eq!(kind_of(site.store.table(&instance(), &table_name("t"))), Some("no table"));
    assert_eq!(write(&first, put("ann", 2, &[])).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let read = first.get(&[put("ann", 1, &[]).primary_key], soon()).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::NoSuchTable, "whoever reads learns that it is gone");
    let second = site.table_of(integers("t")).await;
    let change = lakeferry_model::RowChange { primary_key: integer_key(7), ..delete("", 0) };
    let change =
        lakeferry_model::RowChange { operation: lakeferry_model::RowOperation::Put(vec![]), ..change };
    write(&second, change).await.unwrap();
    assert!(second.id() > first.id());
    for _ in 0..2 {
        let table = site.same_table();
        assert_eq!(table.info().schema, integers("t").schema);
        assert!(table.get(&[integer_key(7)], soon()).await.unwrap()[0].is_some());
        site.reopen().await;
    }
}

#[tokio::test]
async fn a_deletion_that_was_cut_short_is_finished_at_the_next_start() {
    let mut site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
    let spaces = partition_spaces(&site).await;
    assert_eq!(spaces.len(), 2);
    // The mark is written, the last word is not.
    site.engine.fail_write(2, Fault::NotWritten);
    site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
    assert!(site.store.tables(&instance()).is_empty());
    assert_eq!(site.store.catalog().tables().len(), 1, "it is not finished");
    site.crash().await;
    assert!(site.store.catalog().tables().is_empty() && site.store.all_tables().is_empty());
    assert!(partition_spaces(&site).await.is_empty());
    let again = site.table().await;
    assert!(again.id() > table.id() && all_rows(&again).await.is_empty());
}

#[tokio::test]
async fn a_deletion_whose_clearing_failed_is_finished_without_a_restart() {
    for (nth, fault) in [(1, Fault::UnknownLost), (1, Fault::UnknownWritten), (2, Fault::NotWritten)] {
        let site = Site::new().await;
        let table = site.table_of(split_at(&["m"])).await;
        write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
        site.engine.fail_write(nth, fault);
        let deleted = site.store.delete_table(&instance(), &table_name("t")).await;
        assert_eq!(deleted.is_ok(), nth == 2, "{fault:?}: with the mark written it is deleted");
        wait_until_cleared(&site).await;
        assert!(partition_spaces(&site).await.is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_making_that_failed_does_not_come_alive_at_the_next_start() {
    for fault in [None, Some(Fault::UnknownLost), Some(Fault::UnknownWritten)] {
        let mut site = Site::new().await;
        match fault {
            // The entry is written, the partition cannot be opened; and at first it cannot be cleared away.
            None => {
                site.engine.fail_read(1, lakeferry_engine::Error::Deadline);
                site.engine.fail_write(4, Fault::NotWritten);
            }
            Some(fault) => site.engine.fail_write(3, fault),
        }
        site.store.create_table(&instance(), spec("t")).await.unwrap_err();
        wait_until_cleared(&site).await;
        assert!(partition_spaces(&site).await.is_empty(), "{fault:?}");
        site.crash().await;
        assert_eq!(kind_of(site.store.table(&instance(), &table_name("t"))), Some("no table"), "{fault:?}");
        site.table().await;
    }
}

async fn wait_until_cleared(site: &Site) {
    let until = soon();
    while !site.store.catalog().tables().is_empty() {
        assert!(Instant::now() < until, "what is left of the table stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_table_that_may_be_marked_for_deletion_takes_no_rows() {
    for fault in FAULTS {
        let mut site = Site::new().await;
        let table = site.table().await;
        write(&table, put("ann", 1, &[("a", 1)])).await.unwrap();
        site.engine.fail_write(1, fault);
        site.store.delete_table(&instance(), &table_name("t")).await.unwrap_err();
        let taken = write(&table, put("ann", 2, &[])).await.is_ok();
        assert_eq!(taken, fault == Fault::NotWritten, "{fault:?}");
        site.crash().await;
        // What was answered is there, or the whole table is gone.
        let rows = match site.store.table(&instance(), &table_name("t")) {
            Ok(table) => Some(all_rows(&table).await.len()),
            Err(_) => None,
        };
        let expected = match fault {
            Fault::NotWritten => Some(2),
            Fault::UnknownLost => Some(1),
            Fault::UnknownWritten => None,
        };
        assert_eq!(rows, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_table_can_be_made_again_after_a_making_or_deleting_that_failed() {
    for fault in FAULTS {
        for nth in 1..=3 {
            let mut site = Site::new().await;
            site.engine.fail_write(nth, fault);
            site.store.create_table(&instance(), spec("t")).await.unwrap_err();
            let table = site.table().await;
            write(&table, put("ann", 1, &[])).await.unwrap();
            site.engine.fail_write(1, fault);
            site.store.delete_table(&instance(), &table_name("t")).await.unwrap_err();
            let table = match site.store.create_table(&instance(), spec("t")).await {
                Ok(table) => table,
                Err(error) => {
                    assert_eq!((error.kind(), fault), (ErrorKind::TableExists, Fault::NotWritten));
                    table
                }
            };
            write(&table, put("ann", 2, &[])).await.unwrap();
            site.crash().await;
            let what = format!("{fault:?} at {nth}");
            assert_eq!(site.same_table().id(), table.id(), "{what}");
            assert_eq!(site.store.catalog().tables().len(), 1, "{what}");
            assert_eq!(partition_spaces(&site).await.len(), 1, "{what}");
            let rows = if fault == Fault::NotWritten { 2 } else { 1 };
            assert_eq!(all_rows(&site.same_table()).await.len(), rows, "{what}");
        }
    }
}

#[tokio::test]
async fn ids_are_never_used_again() {
    let mut site = Site::new().await;
    let mut tables = HashSet::new();
    let mut partitions = HashSet::new();
    for round in 0..6 {
        let table = site.table_of(split_at(&["c", "m"])).await;
        assert!(tables.insert(table.id()), "round {round}");
        assert!(
            table.partitions().iter().all(|partition| partitions.insert(partition.id())),
            "round {round}"
        );
        site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
        match round % 3 {
            0 => site.reopen().await,
            1 => site.crash().await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_instance_holds_as_many_tables_as_it_may() {
    let site = Site::new().await;
    for number in 0..limits::TABLES_MAX {
        site.table_of(spec(&format!("t{number}"))).await;
    }
    let full = site.store.create_table(&instance(), spec("one_more")).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExhausted);
    let other = InstanceName::parse("other").unwrap();
    site.store.create_instance(&other).await.unwrap();
    site.store.create_table(&other, spec("t0")).await.unwrap();
    site.store.delete_table(&instance(), &table_name("t5")).await.unwrap();
    site.table_of(spec("one_more")).await;
    assert_eq!(site.store.tables(&instance()).len(), limits::TABLES_MAX);
}

#[tokio::test]
async fn a_name_that_is_taken_or_an_instance_that_is_missing_is_refused() {
    let site = Site::new().await;
    site.table().await;
    let taken = site.store.create_table(&instance(), spec("t")).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::TableExists);
    let nowhere = InstanceName::parse("nowhere").unwrap();
    let missing = site.store.create_table(&nowhere, spec("t")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NoSuchInstance);
    let twice = site.store.create_instance(&instance()).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Exists);
    let unknown = site.store.delete_table(&instance(), &table_name("none")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NoSuchTable);
}

#[tokio::test]
async fn rows_lie_in_the_partition_of_their_first_column() {
    let mut site = Site::new().await;
    let table = site.table_of(split_at(&["b", "m"])).await;
    let users = ["", "a", "azz", "b", "b\0", "ba", "lzz", "m", "zoe"];
    for user in users {
        for n in [i64::MIN, 0, i64::MAX] {
            write(&table, put(user, n, &[])).await.unwrap();
        }
    }
    for _ in 0..2 {
        let table = site.same_table();
        let mut counts = Vec::new();
        for partition in table.partitions() {
            counts.push(partition.scan(None, None, 1 << 20, soon()).await.unwrap().len());
        }
        assert_eq!(counts, [3 * 3, 4 * 3, 2 * 3]);
        let keys: Vec<PrimaryKey> = users.iter().map(|user| row_key(user, 0)).collect();
        assert!(table.get(&keys, soon()).await.unwrap().iter().all(Option::is_some));
        assert_eq!(all_rows(&table).await.len(), users.len() * 3);
        site.reopen().await;
    }
}

#[tokio::test]
async fn split_points_that_break_a_rule_are_refused() {
    let site = Site::new().await;
    let text = |text: &str| KeyValue::String(text.into());
    let refused = [
        (spec("t"), vec![text("b"), text("a")]),
        (spec("t"), vec![text("a"), text("a")]),
        (spec("t"), vec![text("")]),
        (spec("t"), vec![KeyValue::Integer(1)]),
        (spec("t"), vec![text(&"x".repeat(65))]),
        (spec("t"), (0..10).map(|n| text(&n.to_string())).collect()),
        (integers("t"), vec![KeyValue::Integer(i64::MIN)]),
        (integers("t"), vec![KeyValue::Integer(i64::MAX)]),
    ];
    for (spec, split_points) in refused {
        let spec = TableSpec { split_points, ..spec };
        let error = site.store.create_table(&instance(), spec.clone()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{:?}: {error:?}", spec.split_points);
    }
    let most = (0..9).map(|n| text(&n.to_string())).collect();
    assert_eq!(site.table_of(TableSpec { split_points: most, ..spec("t") }).await.partitions().len(), 10);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_leaves_the_rest() {
    let mut site = Site::new().await;
    let before = site.table_of(with_stream(&["a"])).await.info();
    let throughput = ReservedThroughput { read: 1, write: 2 };
    let changed = |update: TableUpdate| {
        let store = site.store.clone();
        async move { store.update_table(&instance(), &table_name("t"), update).await.unwrap().info() }
    };
    let info = changed(TableUpdate { throughput: Some(throughput), ..TableUpdate::default() }).await;
    assert_eq!((info.throughput, &info.options, &info.stream), (throughput, &before.options, &before.stream));
    let options = TableOptions { versions_max: 5, time_to_live_s: Some(9), ..TableOptions::default() };
    let info = changed(TableUpdate { options: Some(options.clone()), ..TableUpdate::default() }).await;
    assert_eq!((info.throughput, &info.options, &info.stream), (throughput, &options, &before.stream));
    // The stream stays the same one while it is on, and becomes another one when it is switched on again.
    let spec = StreamSpec { expiration_hours: 7, origin_columns: Vec::new() };
    let on = || TableUpdate { stream: Some(Some(spec.clone())), ..TableUpdate::default() };
    let first = changed(on()).await.stream.clone().unwrap();
    assert_eq!((&first.id, first.spec.expiration_hours), (&before.stream.as_ref().unwrap().id, 7));
    assert_eq!(changed(TableUpdate { stream: Some(None), ..TableUpdate::default() }).await.stream, None);
    site.second();
    let second = changed(on()).await.stream.clone().unwrap();
    assert_ne!(second.id, first.id);
    let info = site.same_table().info();
    site.crash().await;
    assert_eq!(site.same_table().info(), info);
}

#[tokio::test]
async fn an_update_whose_outcome_is_not_known_is_seen_and_kept() {
    for fault in FAULTS {
        let mut site = Site::new().await;
        let table = site.table().await;
        site.engine.fail_write(1, fault);
        let options = TableOptions { versions_max: 5, ..TableOptions::default() };
        let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap_err();
        let seen = table.info().options.versions_max;
        assert_eq!(seen, if fault == Fault::NotWritten { 1 } else { 5 }, "{fault:?}");
        // The next change of the catalog brings it to the disk.
        site.table_of(spec("other")).await;
        site.crash().await;
        assert_eq!(site.same_table().info().options.versions_max, seen, "{fault:?}");
    }
}

#[tokio::test]
async fn a_burned_number_never_falls_also_when_nobody_knows_whether_it_was_written() {
    for fault in FAULTS {
        let mut site = Site::new().await;
        let burn = async |site: &Site, number| site.store.catalog().burn(vec![("lane".into(), number)]).await;
        burn(&site, 3).await.unwrap();
        site.engine.fail_write(1, fault);
        burn(&site, 7).await.unwrap_err();
        burn(&site, 5).await.unwrap();
        burn(&site, 4).await.unwrap();
        site.crash().await;
        let kept = if fault == Fault::NotWritten { 5 } else { 7 };
        assert_eq!(site.store.catalog().burned("la"), [("lane".to_owned(), kept)], "{fault:?}");
    }
}

async fn partition_spaces(site: &Site) -> Vec<SpaceId> {
    let mut spaces = site.engine.spaces(soon()).await.unwrap();
    spaces.retain(|space| space.as_str().starts_with("partition-"));
    spaces
}

fn kind_of(table: Result<Table, lakeferry_store::Error>) -> Option<&'static str> {
    match table.err()?.kind() {
        ErrorKind::NoSuchTable => Some("no table"),
        _ => Some("another error"),
    }
}

/// A table with one integer for its primary key.
fn integers(name: &str) -> TableSpec {
    let mut spec = spec(name);
    spec.schema.primary_key =
        vec![KeyColumn { name: "n".into(), kind: KeyKind::Integer, auto_increment: false }];
    spec
}

fn integer_key(n: i64) -> PrimaryKey {
    PrimaryKey::new(vec![KeyValue::Integer(n)])
}
