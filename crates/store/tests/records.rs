//! Change records: one for every change that is done, each with the whole row after it.

use lakeferry_model::{ColumnUpdate, RowExistence, TableOptions, Value};
use lakeferry_store::{Action, ErrorKind, Table, Told};

use crate::support::{
    Record, Site, add, cell, delete, if_row, keep_log, log, put, row_key, set, set_at, soon, split_at,
    update, with_options, with_stream, write,
};

#[tokio::test]
async fn the_record_of_an_update_holds_the_whole_row_after_it() {
    let site = Site::new().await;
    let table = logged(&site, TableOptions { versions_max: 3, ..TableOptions::default() }).await;
    write(&table, put("ann", 1, &[("a", 1), ("b", 2), ("c", 3)])).await.unwrap();
    let cells = vec![set("d", 4), cell("a", ColumnUpdate::DeleteAll), add("b", 5), set("0", 0)];
    write(&table, update("ann", 1, cells)).await.unwrap();
    let record = log(&table).await.pop().unwrap();
    assert_eq!((record.action, &record.primary_key), (Action::Update, &row_key("ann", 1)));
    assert_eq!(newest(&record), [("0", 0), ("b", 7), ("c", 3), ("d", 4)]);
}

#[tokio::test]
async fn every_change_that_is_done_makes_a_record_also_when_it_changed_nothing() {
    let site = Site::new().await;
    let table = logged(&site, TableOptions::default()).await;
    let changes = vec![
        delete("ann", 1),
        update("ann", 1, vec![cell("a", ColumnUpdate::DeleteAll)]),
        put("ann", 1, &[]),
        put("ann", 1, &[]),
        update("ann", 1, vec![cell("a", ColumnUpdate::DeleteVersion(5))]),
        if_row(RowExistence::ExpectNotExist, delete("ann", 1)),
        delete("ann", 1),
    ];
    let answers = table.write(changes, soon()).await;
    let failed: Vec<usize> = (0..answers.len()).filter(|at| answers[*at].is_err()).collect();
    assert_eq!(failed, [5], "{answers:?}");
    assert_eq!(answers[5].as_ref().unwrap_err().kind(), ErrorKind::ConditionFailed);
    let records = log(&table).await;
    let actions: Vec<Action> = records.iter().map(|record| record.action).collect();
    use Action::{Delete, Put, Update};
    assert_eq!(actions, [Delete, Update, Put, Put, Update, Delete]);
    assert!(records.iter().all(|record| record.newest.is_empty()));
}

#[tokio::test]
async fn a_row_that_is_changed_often_in_one_request_has_a_record_of_each_change() {
    let site = Site::new().await;
    let table = logged(&site, TableOptions::default()).await;
    let mut changes = vec![put("ann", 1, &[("a", 0)])];
    changes.extend((1..=5).map(|by| update("ann", 1, vec![add("a", by)])));
    changes.push(delete("ann", 1));
    changes.push(update("ann", 1, vec![add("a", 100)]));
    assert!(table.write(changes, soon()).await.iter().all(Result::is_ok));
    let told: Vec<Option<i64>> =
        log(&table).await.iter().map(|record| Some(newest(record).first()?.1)).collect();
    assert_eq!(told, [Some(0), Some(1), Some(3), Some(6), Some(10), Some(15), None, Some(100)]);
}

#[tokio::test]
async fn an_older_version_that_is_put_later_does_not_become_the_newest() {
    let site = Site::new().await;
    let table = logged(&site, TableOptions { versions_max: 2, ..TableOptions::default() }).await;
    let now_ms = crate::support::START / 1000;
    write(&table, update("ann", 1, vec![set_at("a", 2, now_ms)])).await.unwrap();
    write(&table, update("ann", 1, vec![set_at("a", 1, now_ms - 5)])).await.unwrap();
    let record = log(&table).await.pop().unwrap();
    assert_eq!(newest(&record), [("a", 2)]);
    assert_eq!(record.newest[0].timestamp_ms, now_ms);
}

#[tokio::test]
async fn a_scanned_row_tells_the_sequence_and_commit_time_of_its_last_change() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    keep_log(&table).await;
    for value in 0..3 {
        write(&table, put("ann", 1, &[("a", value)])).await.unwrap();
    }
    write(&table, put("ann", 2, &[("a", 9)])).await.unwrap();
    let partition = &table.partitions()[0];
    let records = crate::support::log_after(&table, partition, 0).await;
    let block = partition.scan(None, None, 1 << 20, soon()).await.unwrap();
    let scanned: Vec<_> = block
        .records()
        .map(|row| {
            let row = row.unwrap();
            assert_eq!(row.told(), Told::Base);
            (row.sequence(), row.commit_time())
        })
        .collect();
    let last = |at: usize| (records[at].sequence, records[at].commit_time);
    assert_eq!(scanned, [last(2), last(3)]);
    assert!(table.partitions()[1].scan(None, None, 1 << 20, soon()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_partition_is_scanned_piece_by_piece() {
    let site = Site::new().await;
    let table = site.table().await;
    for n in 0..40 {
        write(&table, put("ann", n, &[("a", n)])).await.unwrap();
    }
    let partition = &table.partitions()[0];
    let keys = partition.split_keys(4, soon()).await.unwrap();
    assert!(keys.len() <= 3 && keys.is_sorted_by(|a, b| a < b));
    let mut scanned = 0;
    let mut after: Option<Vec<u8>> = None;
    for until in keys.iter().map(Some).chain([None]) {
        loop {
            let until = until.map(bytes::Bytes::as_ref);
            let block = partition.scan(after.as_deref(), until, 100, soon()).await.unwrap();
            scanned += block.len();
            let Some(last) = block.last_key() else { break };
            assert!(until.is_none_or(|until| last <= until));
            after = Some(last.to_vec());
            if !block.more() {
                break;
            }
        }
    }
    assert_eq!(scanned, 40);
}

#[tokio::test]
async fn values_before_a_change_are_read_where_the_stream_asks_for_them() {
    let site = Site::new().await;
    let table = site.table_of(with_stream(&["a"])).await;
    // The stream's wish makes a put read the old row too; the row afterwards is the put one alone.
    write(&table, put("ann", 1, &[("a", 1), ("b", 1)])).await.unwrap();
    write(&table, put("ann", 1, &[("c", 2)])).await.unwrap();
    let records = log(&table).await;
    assert_eq!(newest(&records[1]), [("c", 2)]);
}

async fn logged(site: &Site, options: TableOptions) -> Table {
    let table = site.table_of(with_options(options)).await;
    keep_log(&table).await;
    table
}

fn newest(record: &Record) -> Vec<(&str, i64)> {
    let integer = |value: &Value| match value {
        Value::Integer(value) => *value,
        other => panic!("{other:?} is no integer"),
    };
    record.newest.iter().map(|cell| (&*cell.name, integer(&cell.value))).collect()
}
