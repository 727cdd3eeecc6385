//! Where tunnels and streams begin and go on: times to come, logs with holes, records that nobody is told of yet.

use std::time::Duration;

use lakeferry_engine::testing::Fault;
use lakeferry_model::{Clock, StreamSpec};
use lakeferry_store::tunnel::{Error, StartAt, TunnelKind, TunnelSpec};
use lakeferry_store::{Table, TableSpec, TableUpdate};

use crate::support::{Site, instance, put, soon, spec, table_name, with_stream, write};
use crate::tunnel_support::{Worker, again, make, of_kind, tunnels};

/// A table of one partition with a stream.
async fn told_table(site: &Site) -> Table {
    site.table_of(TableSpec { stream: with_stream(&[]).stream, ..spec("t") }).await
}

#[tokio::test]
async fn a_tunnel_begins_at_a_time_to_come() {
    let site = Site::new().await;
    let table = told_table(&site).await;
    write(&table, put("ann", 0, &[])).await.unwrap();
    let start = StartAt::Time(site.clock.now_micros() + 3_600_000_000);
    let tunnel = make(&site, &table, TunnelSpec { start, ..of_kind(TunnelKind::Stream) }).await;
    for n in 0..6 {
        write(&table, put("ann", n, &[])).await.unwrap();
        if n == 2 {
            let mut worker = Worker::connect(&tunnel).await;
            worker.drain().await.unwrap();
            assert_eq!(worker.told, 0, "what is committed before the time is not read");
            let read_until = tunnel.describe(soon()).await.unwrap().channels[0].read_until;
            assert!(read_until <= site.clock.now_micros(), "nothing is read of a time to come");
        }
        site.clock.advance(Duration::from_secs(1000));
    }
    let mut worker = Worker::connect(&tunnel).await;
    worker.drain().await.unwrap();
    assert_eq!(worker.told, 2, "of 0, 1000, to 5000 seconds those from 3600 on");
    assert_eq!(worker.view.keys().collect::<Vec<_>>(), ["ann 4", "ann 5"]);
}

#[tokio::test]
async fn a_log_is_read_from_a_time_on_that_is_still_to_come() {
    let site = Site::new().await;
    let table = told_table(&site).await;
    let [partition] = table.partitions() else { panic!("the table has one partition") };
    let time = site.clock.now_micros() + 2_500_000;
    let read = async |after| partition.read_records_since(after, time, 100, 1 << 20, soon()).await.unwrap();
    let (after, block) = read(0).await;
    assert_eq!((after, block.len()), (0, 0));
    for n in 0..5 {
        write(&table, put("ann", n, &[])).await.unwrap();
        site.second();
    }
    let (after, block) = read(0).await;
    assert_eq!((after, block.len()), (3, 2));
    assert_eq!(read(4).await.0, 4, "what lies behind the time is where it was");
}

#[tokio::test]
async fn a_token_that_was_given_is_taken_while_the_last_write_is_not_settled() {
    let site = Site::new().await;
    let table = told_table(&site).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let mut worker = Worker::connect(&tunnel).await;
    worker.beat().await.unwrap();
    write(&table, put("ann", 1, &[])).await.unwrap();
    // The log shows the record, the head does not.
    site.engine.fail_write(1, Fault::UnknownWritten);
    let settling = site.engine.hold_write(2);
    write(&table, put("ann", 2, &[])).await.unwrap_err();
    settling.has_come().await;
    worker.read().await.unwrap();
    worker.read().await.unwrap();
    assert_eq!(worker.told, 1);
    settling.release();
    while table.partitions()[0].head().sequence < 2 {
        tokio::task::yield_now().await;
    }
    worker.drain().await.unwrap();
    assert_eq!(worker.told, 2);
}

#[tokio::test]
async fn a_position_is_found_in_a_log_with_holes() {
    let site = Site::new().await;
    let table = told_table(&site).await;
    let [partition] = table.partitions() else { panic!("the table has one partition") };
    let mut times = vec![site.clock.now_micros()];
    let switch = async |on: bool| {
        let spec = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
        let update = TableUpdate { stream: Some(on.then_some(spec)), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
    };
    for on in [true, false, true, false] {
        switch(on).await;
        for n in 0..4 {
            site.second();
            times.push(site.clock.now_micros());
            write(&table, put("ann", n, &[])).await.unwrap();
        }
    }
    // Sequences 1 to 4 and 9 to 12 are in the log.
    let told = |sequence: u64| matches!(sequence, 1..=4 | 9..=12);
    for (sequence, time) in (0..).zip(&times) {
        let after = partition.position_before(*time, soon()).await.unwrap();
        let block = partition.read_log(after, 1 << 20, soon()).await.unwrap();
        let found: Vec<u64> = block.records().map(|record| record.unwrap().sequence()).collect();
        let expected: Vec<u64> = (sequence.max(1)..=16).filter(|sequence| told(*sequence)).collect();
        assert_eq!(found, expected, "from the time of {sequence} on");
    }
}

#[tokio::test]
async fn a_tunnel_whose_deletion_is_unknown_stays_for_those_who_go_on_with_it() {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        let mut site = Site::new().await;
        let table = told_table(&site).await;
        let all = tunnels(&site).await;
        let id = all.create(&table, of_kind(TunnelKind::Stream), soon()).await.unwrap();
        site.engine.fail_write(1, fault);
        let failed = all.delete(&table, "tunnel", soon()).await;
        assert!(matches!(failed, Err(Error::Write(_))), "{failed:?}");
        let mut worker = Worker::connect(&all.find(&instance(), &id).unwrap()).await;
        worker.drain().await.unwrap();
        let client = worker.client.clone();
        drop((worker, all));
        site.crash().await;
        let mut worker = Worker::resume(&again(&site).await, client);
        write(&site.same_table(), put("ann", 1, &[])).await.unwrap();
        worker.drain().await.unwrap();
        assert_eq!(worker.told, 1, "{fault:?}");
    }
}
