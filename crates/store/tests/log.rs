//! The log: who keeps it, what is in it, and how it is let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lakeferry_engine::testing::Fault;
use lakeferry_model::StreamSpec;
use lakeferry_store::{Error, LogKeeper, LogReaders, PartitionId, Table, TableId, TableUpdate};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::support::{
    Record, Site, instance, keep_log, log, log_after, put, soon, split_at, table_name, with_stream, write,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_the_head_that_a_switch_answers_every_change_is_in_the_log() {
    let site = Site::new().await;
    let table = site.table().await;
    let partition = &table.partitions()[0];
    let mut writers = JoinSet::new();
    for task in 0..8 {
        let table = table.clone();
        writers.spawn(async move {
            for n in 0..100 {
                write(&table, put("ann", task, &[("a", n)])).await.unwrap();
            }
        });
    }
    tokio::task::yield_now().await;
    let head = partition.keep_log(LogKeeper::Readers, true, soon()).await.unwrap();
    writers.join_all().await;
    let records = log_after(&table, partition, 0).await;
    assert!(records.iter().map(|record| record.sequence).eq(head.sequence + 1..=800));
}

#[tokio::test]
async fn the_log_is_kept_for_a_stream_from_the_first_row_on() {
    let mut site = Site::new().await;
    let table = site.table_of(with_stream(&[])).await;
    write(&table, put("ann", 1, &[])).await.unwrap();
    site.reopen().await;
    write(&site.same_table(), put("ann", 2, &[])).await.unwrap();
    assert_eq!(sequences(&log(&site.same_table()).await), [1, 2]);
}

#[tokio::test]
async fn a_stream_that_is_switched_lets_the_log_begin_and_end() {
    let site = Site::new().await;
    let table = site.table().await;
    let spec = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
    for stream in [None, Some(spec), None] {
        let update = TableUpdate { stream: Some(stream), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
        for n in 0..2 {
            write(&table, put("ann", n, &[])).await.unwrap();
        }
    }
    assert_eq!(sequences(&log(&table).await), [3, 4]);
}

#[tokio::test]
async fn after_the_next_start_the_log_is_kept_just_where_there_is_a_stream() {
    let spec = || StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
    for (stream, nth, fault) in switches() {
        let mut site = Site::new().await;
        let table = site.table().await;
        if stream.is_none() {
            set_stream(&site, Some(spec())).await.unwrap();
        }
        write(&table, put("ann", 1, &[])).await.unwrap();
        site.engine.fail_write(nth, fault);
        set_stream(&site, stream.clone()).await.unwrap_err();
        site.crash().await;
        let table = site.same_table();
        write(&table, put("ann", 2, &[])).await.unwrap();
        let is_kept = sequences(&log(&table).await).contains(&2);
        assert_eq!(is_kept, table.info().stream.is_some(), "{stream:?}, {fault:?} at {nth}");
    }
}

#[tokio::test]
async fn a_switch_that_failed_can_be_asked_for_again() {
    for (stream, nth, fault) in switches() {
        let site = Site::new().await;
        let table = site.table().await;
        site.engine.fail_write(nth, fault);
        if set_stream(&site, stream.clone()).await.is_ok() {
            panic!("{stream:?}: {fault:?} at {nth} went through");
        }
        set_stream_at_last(&site, stream.clone()).await;
        write(&table, put("ann", 1, &[])).await.unwrap();
        assert_eq!(log(&table).await.len(), usize::from(stream.is_some()), "{stream:?}, {fault:?} at {nth}");
    }
}

#[tokio::test]
async fn a_table_shows_its_stream_only_when_all_its_partitions_keep_their_logs() {
    for (_, nth, fault) in switches() {
        let site = Site::new().await;
        let table = site.table_of(split_at(&["m"])).await;
        let spec = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
        site.engine.fail_write(nth, fault);
        let held = site.engine.hold_write(3);
        let switch = set_stream(&site, Some(spec.clone()));
        let outcome = tokio::select! {
            outcome = switch => outcome,
            () = held.has_come() => {
                // Both heads are written, the catalog's entry is not.
                assert!(table.info().stream.is_none(), "{fault:?} at {nth}");
                drop(held);
                continue;
            }
        };
        outcome.unwrap_err();
        assert!(table.info().stream.is_none(), "{fault:?} at {nth}");
    }
}

/// Streams switched on and off, and a write that fails meanwhile.
fn switches() -> Vec<(Option<StreamSpec>, u64, Fault)> {
    let on = Some(StreamSpec { expiration_hours: 24, origin_columns: Vec::new() });
    let faults = [Fault::NotWritten, Fault::UnknownLost, Fault::UnknownWritten];
    let of = |stream: &Option<StreamSpec>| {
        let stream = stream.clone();
        [1, 2].into_iter().flat_map(move |nth| faults.map(|fault| (stream.clone(), nth, fault)))
    };
    of(&on).chain(of(&None)).collect()
}

async fn set_stream(site: &Site, stream: Option<StreamSpec>) -> Result<Table, Error> {
    let update = TableUpdate { stream: Some(stream), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await
}

/// Tries until the partitions are back.
async fn set_stream_at_last(site: &Site, stream: Option<StreamSpec>) {
    let until = soon();
    while let Err(error) = set_stream(site, stream.clone()).await {
        assert!(Instant::now() < until, "the switch never succeeds: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_trim_whose_note_failed_leaves_the_log_readable() {
    for fault in [Fault::NotWritten, Fault::UnknownLost, Fault::UnknownWritten] {
        let site = Site::new().await;
        let table = site.table().await;
        keep_log(&table).await;
        for n in 0..10 {
            write(&table, put("ann", n, &[])).await.unwrap();
        }
        let partition = &table.partitions()[0];
        site.engine.fail_write(1, fault);
        partition.trim(5, soon()).await.unwrap_err();
        assert_eq!(log_after(&table, partition, 0).await.len(), 10, "{fault:?}");
        let until = soon();
        while let Err(error) = partition.trim(5, soon()).await {
            assert!(Instant::now() < until, "it is never trimmed: {error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let gone = partition.read_log(4, 1 << 20, soon()).await.unwrap_err();
        assert!(matches!(gone, Error::LogTrimmed { trimmed: 5 }), "{gone:?}");
    }
}

#[tokio::test]
async fn what_is_trimmed_cannot_be_read_and_says_so() {
    let mut site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    for n in 0..10 {
        write(&table, put("ann", n, &[])).await.unwrap();
    }
    table.partitions()[0].trim(5, soon()).await.unwrap();
    // Less than what is gone already changes nothing.
    table.partitions()[0].trim(3, soon()).await.unwrap();
    for _ in 0..2 {
        let table = site.same_table();
        let partition = &table.partitions()[0];
        let gone = partition.read_log(4, 1 << 20, soon()).await.unwrap_err();
        assert!(matches!(gone, Error::LogTrimmed { trimmed: 5 }), "{gone:?}");
        assert_eq!(sequences(&log_after(&table, partition, 5).await), [6, 7, 8, 9, 10]);
        site.reopen().await;
    }
    let table = site.same_table();
    write(&table, put("ann", 10, &[])).await.unwrap();
    assert_eq!(table.partitions()[0].head().sequence, 11);
}

#[tokio::test]
async fn a_block_of_the_log_ends_where_it_is_told_to() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    for n in 0..10 {
        write(&table, put("ann", n, &[("a", n)])).await.unwrap();
    }
    let partition = &table.partitions()[0];
    let block = partition.read_log(2, 1, soon()).await.unwrap();
    assert_eq!((block.len(), block.more()), (1, true));
    let (record, bytes) = block.record(0).unwrap();
    assert_eq!(record.sequence(), 3);
    let again = lakeferry_store::RecordView::from_log(&3_u64.to_be_bytes(), bytes).unwrap();
    assert_eq!((again.key(), again.commit_time()), (record.key(), record.commit_time()));
    assert!(partition.read_log(10, 1 << 20, soon()).await.unwrap().is_empty());
}

/// Readers that are where a test puts them.
#[derive(Default)]
struct Readers(Mutex<HashMap<TableId, HashMap<PartitionId, u64>>>);

#[async_trait]
impl LogReaders for Readers {
    async fn low_positions(&self, table: TableId) -> Result<Option<HashMap<PartitionId, u64>>, Error> {
        Ok(self.0.lock().get(&table).cloned())
    }
}

#[tokio::test]
async fn in_the_background_logs_are_trimmed_behind_their_readers() {
    let site = Site::new().await;
    // One partition is read up to 4, the other one's reader is not known yet.
    let read = site.table_of(split_at(&["m"])).await;
    let nobodys = site.table_of(crate::support::spec("nobodys")).await;
    let mut streamed = with_stream(&[]);
    streamed.schema.name = table_name("streamed");
    let streamed = site.table_of(streamed).await;
    for table in [&read, &nobodys] {
        keep_log(table).await;
    }
    for table in [&read, &nobodys, &streamed] {
        write_four(table).await;
    }
    // The stream's records of now expire; those that come a second later do not.
    site.clock.advance(Duration::from_secs(24 * 3600));
    site.second();
    write_four(&streamed).await;
    let [low, high] = read.partitions() else { panic!("the table is split once") };
    // One that cannot be trimmed does not hold up those behind it.
    let mut half_closed = split_at(&["m"]);
    half_closed.schema.name = table_name("half_closed");
    let half_closed = site.table_of(half_closed).await;
    keep_log(&half_closed).await;
    write_four(&half_closed).await;
    let [closed, open] = half_closed.partitions() else { panic!("the table is split once") };
    closed.close();
    let readers = Readers::default();
    readers.0.lock().insert(read.id(), HashMap::from([(low.id(), 4)]));
    site.store.start_background(Arc::new(readers));

    let until = soon();
    let all_trimmed = || {
        let whole = [&nobodys.partitions()[0], &streamed.partitions()[0]];
        low.trimmed() == 4 && open.trimmed() == 4 && whole.iter().all(|partition| partition.trimmed() == 8)
    };
    while !all_trimmed() {
        assert!(Instant::now() < until, "nothing is trimmed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((low.trimmed(), high.trimmed()), (4, 0));
    assert_eq!(streamed.partitions()[0].trimmed(), 8, "what came later is kept");
    assert_eq!(log_after(&streamed, &streamed.partitions()[0], 8).await.len(), 8);
    assert_eq!(log_after(&read, high, 0).await.len(), 4);
    assert_eq!(nobodys.partitions()[0].log_bytes(soon()).await.unwrap(), 0);
}

/// Four rows for each of `ann` and `zoe`.
async fn write_four(table: &Table) {
    for n in 0..4 {
        for outcome in table.write(vec![put("ann", n, &[]), put("zoe", n, &[])], soon()).await {
            outcome.unwrap();
        }
    }
}

fn sequences(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}
