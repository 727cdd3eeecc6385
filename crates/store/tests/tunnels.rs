//! Tunnels: what they tell, to whom, and what outlasts a restart, on both engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_engine::testing::Fault;
use lakeferry_model::{Clock, ColumnUpdate, StreamSpec};
use lakeferry_store::tunnel::{
    ChannelId, ChannelStatus, ClientId, Error, Position, Read, Stage, StartAt, TunnelKind, TunnelSpec,
};
use lakeferry_store::{Settings, Table, TableSpec, TableUpdate, key};

use crate::support::{
    Fjall, Memory, Site, cell, delete, instance, put, set, soon, split_at, table_name, update, with_stream,
    write,
};
use crate::tunnel_support::{Worker, again, make, of_kind, streamed, tunnels, view, write_rows};

async fn write_changes(table: &Table) {
    for n in 0..10 {
        write(table, update("ann", n, vec![set("b", n), cell("a", ColumnUpdate::DeleteAll)])).await.unwrap();
        write(table, delete("zoe", n)).await.unwrap();
        write(table, put("new", n, &[("c", n)])).await.unwrap();
    }
}

async fn on_both_engines(test: impl AsyncFn(Site)) {
    test(Site::at(Memory::default(), Settings::default()).await).await;
    test(Site::at(Fjall::default(), Settings::default()).await).await;
}

#[tokio::test]
async fn rows_and_then_changes_end_in_the_table_as_it_is() {
    on_both_engines(async |site| {
        let table = site.table_of(streamed()).await;
        write_rows(&table, 0..50).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::BaseAndStream)).await;
        // Before anything is read: the rows are read as they are now, and the changes come after them.
        write_changes(&table).await;
        let mut worker = Worker::connect(&tunnel).await;
        worker.beat().await.unwrap();
        assert!(worker.open().iter().all(|id| id.starts_with("BaseData_")) && worker.open().len() > 2);
        assert_eq!(tunnel.describe(soon()).await.unwrap().stage, Stage::ProcessBaseData);
        worker.drain().await.unwrap();
        assert_eq!(worker.view, view(&table).await);
        assert_eq!(worker.told, 100 + 30, "100 rows less 10 and 10 more, and 30 changes");
        assert_eq!(tunnel.describe(soon()).await.unwrap().stage, Stage::ProcessStream);
        write_rows(&table, 50..60).await;
        worker.drain().await.unwrap();
        assert_eq!((worker.view, worker.told), (view(&table).await, 150));
    })
    .await;
}

#[tokio::test]
async fn rows_alone_are_read_once_and_then_there_is_nothing_more() {
    on_both_engines(async |site| {
        let table = site.table_of(split_at(&["m"])).await;
        write_rows(&table, 0..50).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::BaseData)).await;
        let mut worker = Worker::connect(&tunnel).await;
        worker.drain().await.unwrap();
        assert_eq!((worker.told, worker.channels.len()), (100, 0));
        assert_eq!(worker.view, view(&table).await);
        let described = tunnel.describe(soon()).await.unwrap();
        assert_eq!(described.stage, Stage::ProcessStream);
        assert!(described.channels.iter().all(|channel| channel.status == ChannelStatus::Terminated));
        assert_eq!(described.channels.iter().map(|channel| channel.count).sum::<u64>(), 100);
        assert_eq!((described.stream_id, described.expired), (None, false));
    })
    .await;
}

#[tokio::test]
async fn two_workers_share_the_channels_and_one_that_dies_loses_its_own() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let (mut first, mut second) = (Worker::connect(&tunnel).await, Worker::connect(&tunnel).await);
    first.beat().await.unwrap();
    assert_eq!(first.open().len(), 2, "a client that sent no heartbeat has no share");
    second.beat().await.unwrap();
    first.beat().await.unwrap();
    first.give_back();
    first.beat().await.unwrap();
    second.beat().await.unwrap();
    assert_eq!((first.open().len(), second.open().len()), (1, 1));
    assert_ne!(first.open(), second.open());

    write_rows(&table, 0..20).await;
    first.read().await.unwrap();
    second.read().await.unwrap();
    assert_eq!((first.told, second.told), (20, 20));
    write_rows(&table, 20..30).await;
    // One goes silent while the other one goes on.
    for _ in 0..3 {
        site.clock.advance(Duration::from_secs(5));
        second.beat().await.unwrap();
    }
    assert_eq!(second.open().len(), 2);
    second.read().await.unwrap();
    assert_eq!(second.told, 20 + 10 + 10, "it goes on behind the checkpoint of the one that died");
    let gone = first.read().await.unwrap_err();
    assert!(matches!(gone, Error::ClientGone(_)), "{gone:?}");
    assert!(matches!(first.beat().await.unwrap_err(), Error::ClientGone(_)));
}

#[tokio::test]
async fn a_channel_that_nobody_holds_can_be_looked_into_by_nobody() {
    on_both_engines(async |site| {
        let table = site.table_of(streamed()).await;
        write_rows(&table, 0..5).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::BaseData)).await;
        let nobody = ClientId::new("");
        let channel = tunnel.describe(soon()).await.unwrap().channels[0].id.clone();
        let (position, number) = tunnel.checkpoint_of(&nobody, &channel, soon()).await.unwrap();
        let page = tunnel.read(&nobody, &channel, position.clone(), soon()).await.unwrap();
        assert!(matches!(page.read, Read::Rows(rows) if !rows.is_empty()));
        let written = tunnel.checkpoint(&nobody, &channel, page.next, number + 1, soon()).await;
        assert!(matches!(written, Err(Error::ClientGone(_))), "{written:?}");
        let mut worker = Worker::connect(&tunnel).await;
        worker.beat().await.unwrap();
        let read = tunnel.read(&nobody, &channel, position, soon()).await;
        assert!(matches!(read, Err(Error::ChannelGone(_))), "{read:?}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_shuts_down_leaves_its_channels_at_once() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let (mut first, mut second) = (Worker::connect(&tunnel).await, Worker::connect(&tunnel).await);
    first.beat().await.unwrap();
    tunnel.shutdown(&first.client, soon()).await.unwrap();
    second.beat().await.unwrap();
    assert_eq!(second.open().len(), 2);
    tunnel.shutdown(&first.client, soon()).await.unwrap();
}

#[tokio::test]
async fn clients_and_checkpoints_outlast_a_restart_and_a_crash() {
    on_both_engines(async |mut site| {
        let table = site.table_of(streamed()).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::BaseAndStream)).await;
        let mut worker = Worker::connect(&tunnel).await;
        worker.drain().await.unwrap();
        let mut told = 0;
        for crashes in [false, true] {
            write_rows(&site.same_table(), told..told + 10).await;
            told += 10;
            worker.drain().await.unwrap();
            let kept = worker.tunnel.describe(soon()).await.unwrap();
            if crashes {
                site.crash().await
            } else {
                site.reopen().await
            }
            let reopened = again(&site).await;
            let found = reopened.describe(soon()).await.unwrap();
            // What is not checkpointed is not kept: how far a log is complete in time.
            let untimed = |mut described: lakeferry_store::tunnel::TunnelDescription| {
                described.channels.iter_mut().for_each(|channel| channel.read_until = 0);
                described
            };
            assert_eq!(untimed(found), untimed(kept));
            worker.tunnel = reopened;
        }
        write_rows(&site.same_table(), told..told + 10).await;
        worker.drain().await.unwrap();
        assert_eq!(worker.view, view(&site.same_table()).await);
        assert_eq!(worker.told, 60, "nothing is told twice");
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_has_the_number_after_the_last() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let mut worker = Worker::connect(&tunnel).await;
    worker.beat().await.unwrap();
    let id = worker.channels.keys().next().unwrap().clone();
    let (start, number) = tunnel.checkpoint_of(&worker.client, &id, soon()).await.unwrap();
    assert_eq!(number, 0);
    for wrong in [0, 2, -1] {
        let refused = tunnel.checkpoint(&worker.client, &id, start.clone(), wrong, soon()).await.unwrap_err();
        assert!(matches!(refused, Error::Sequence { expected: 1, .. }), "{refused:?}");
    }
    tunnel.checkpoint(&worker.client, &id, start.clone(), 1, soon()).await.unwrap();
    assert_eq!(tunnel.checkpoint_of(&worker.client, &id, soon()).await.unwrap(), (start, 1));
}

#[tokio::test]
async fn a_checkpoint_that_failed_can_be_sent_again() {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        let mut site = Site::new().await;
        let table = site.table_of(streamed()).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
        let mut worker = Worker::connect(&tunnel).await;
        worker.beat().await.unwrap();
        write_rows(&table, 0..5).await;
        site.engine.fail_write(1, fault);
        let id = worker.channels.keys().next().unwrap().clone();
        let position = Position::Log { after: 3, time: 0, count: 3 };
        let failed = tunnel.checkpoint(&worker.client, &id, position.clone(), 1, soon()).await;
        assert!(matches!(failed, Err(Error::Write(_))), "{failed:?}");
        tunnel.checkpoint(&worker.client, &id, position.clone(), 1, soon()).await.unwrap();
        let client = worker.client.clone();
        drop((worker, tunnel, table));
        site.crash().await;
        let kept = again(&site).await.checkpoint_of(&client, &id, soon()).await.unwrap();
        assert_eq!(kept, (position, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn an_assignment_whose_write_failed_is_told_when_it_is_written() {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        let site = Site::new().await;
        let table = site.table_of(streamed()).await;
        let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
        let mut worker = Worker::connect(&tunnel).await;
        site.engine.fail_write(1, fault);
        assert!(matches!(worker.beat().await, Err(Error::Write(_))));
        worker.beat().await.unwrap();
        assert_eq!(worker.open().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_position_of_another_channel_is_refused() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    write_rows(&table, 0..50).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::BaseAndStream)).await;
    let mut worker = Worker::connect(&tunnel).await;
    worker.beat().await.unwrap();
    let (first, last) = (ChannelId::new("BaseData_0"), ChannelId::new("BaseData_7"));
    let mut far = Vec::new();
    key::encode(&crate::support::row_key("zoe", 49), &mut far);
    let far = Position::Rows { after: Some(far), count: 1 };
    let log = Position::Log { after: 0, time: 0, count: 0 };
    for (channel, position, fits) in [(&first, &far, false), (&last, &far, true), (&first, &log, false)] {
        let read = tunnel.read(&worker.client, channel, position.clone(), soon()).await;
        assert_eq!(read.is_ok(), fits, "{channel} {position:?}");
        let kept = tunnel.checkpoint(&worker.client, channel, position.clone(), 1, soon()).await;
        assert_eq!(kept.is_ok(), fits, "{channel} {position:?}");
    }
    let stranger = Worker::connect(&tunnel).await;
    let taken = tunnel.read(&stranger.client, &first, Position::Rows { after: None, count: 0 }, soon()).await;
    assert!(matches!(taken, Err(Error::ChannelGone(_))), "{taken:?}");
}

#[tokio::test]
async fn a_tunnel_begins_where_it_is_told_to() {
    let site = Site::new().await;
    let table =
        site.table_of(TableSpec { stream: with_stream(&[]).stream, ..crate::support::spec("t") }).await;
    let mut times = Vec::new();
    for n in 0..3 {
        site.second();
        times.push(site.clock.now_micros());
        write(&table, put("ann", n, &[])).await.unwrap();
    }
    let all = tunnels(&site).await;
    for (name, start, told) in [
        ("latest", StartAt::Latest, 0),
        ("earliest", StartAt::Earliest, 3),
        ("time", StartAt::Time(times[1]), 2),
        ("long ago", StartAt::Time(1), 3),
    ] {
        let spec = TunnelSpec { name: name.into(), start, ..of_kind(TunnelKind::Stream) };
        let id = all.create(&table, spec, soon()).await.unwrap();
        let mut worker = Worker::connect(&all.find(&instance(), &id).unwrap()).await;
        worker.drain().await.unwrap();
        assert_eq!(worker.told, told, "{name}");
    }
}

#[tokio::test]
async fn a_tunnel_made_after_a_failed_switch_misses_no_change() {
    for fault in [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost] {
        for nth in 1..=3 {
            let site = Site::new().await;
            let table = site.table_of(split_at(&["m"])).await;
            site.engine.fail_write(nth, fault);
            set_stream(&site).await.unwrap_err();
            // As whoever makes a tunnel does: a table that shows its stream has it.
            let until = soon();
            while table.info().stream.is_none() {
                assert!(Instant::now() < until, "the switch never succeeds");
                let _ = set_stream(&site).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
            write_rows(&table, 0..3).await;
            let mut worker = Worker::connect(&tunnel).await;
            worker.drain().await.unwrap();
            assert_eq!(worker.view, view(&table).await, "{fault:?} at {nth}");
        }
    }
}

async fn set_stream(site: &Site) -> Result<Table, lakeferry_store::Error> {
    let update = TableUpdate { stream: Some(with_stream(&[]).stream), ..TableUpdate::default() };
    site.store.update_table(&instance(), &table_name("t"), update).await
}

#[tokio::test]
async fn a_tunnel_with_an_end_is_finished_when_all_before_it_is_read() {
    let site = Site::new().await;
    let table =
        site.table_of(TableSpec { stream: with_stream(&[]).stream, ..crate::support::spec("t") }).await;
    let end = site.clock.now_micros() + 5_000_000;
    let spec = TunnelSpec { end: Some(end), ..of_kind(TunnelKind::Stream) };
    let tunnel = make(&site, &table, spec).await;
    write(&table, put("ann", 1, &[])).await.unwrap();
    let mut worker = Worker::connect(&tunnel).await;
    worker.drain().await.unwrap();
    assert_eq!((worker.told, worker.open().len()), (1, 1), "more may come before the end");
    site.clock.advance(Duration::from_secs(6));
    write(&table, put("ann", 2, &[])).await.unwrap();
    worker.drain().await.unwrap();
    assert_eq!((worker.told, worker.channels.len()), (1, 0));
}

#[tokio::test]
async fn a_tunnel_that_is_behind_what_was_let_go_has_expired() {
    let mut site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let mut worker = Worker::connect(&tunnel).await;
    worker.beat().await.unwrap();
    write_rows(&table, 0..10).await;
    table.partitions()[0].trim(5, soon()).await.unwrap();
    for _ in 0..2 {
        let tunnel = again(&site).await;
        assert!(tunnel.describe(soon()).await.unwrap().expired);
        worker.tunnel = Arc::clone(&tunnel);
        assert!(matches!(worker.read().await, Err(Error::Expired(_))));
        assert!(matches!(worker.beat().await, Err(Error::Expired(_))));
        assert!(matches!(tunnel.connect(0, "", soon()).await, Err(Error::Expired(_))));
        drop(tunnel);
        site.reopen().await;
    }
}

#[tokio::test]
async fn a_tunnel_whose_stream_was_switched_off_has_expired() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let tunnel = make(&site, &table, of_kind(TunnelKind::Stream)).await;
    let spec = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
    for stream in [None, Some(spec)] {
        site.second();
        let update = TableUpdate { stream: Some(stream), ..TableUpdate::default() };
        site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
        assert!(matches!(tunnel.connect(0, "", soon()).await, Err(Error::Expired(_))));
    }
}

#[tokio::test]
async fn names_are_taken_once_and_tunnels_are_counted() {
    let site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let all = tunnels(&site).await;
    let spec = |name: &str| TunnelSpec { name: name.into(), ..of_kind(TunnelKind::Stream) };
    for n in 0..lakeferry_store::tunnel::TUNNELS_MAX {
        all.create(&table, spec(&n.to_string()), soon()).await.unwrap();
    }
    assert!(matches!(all.create(&table, spec("0"), soon()).await, Err(Error::Exists { .. })));
    assert!(matches!(all.create(&table, spec("more"), soon()).await, Err(Error::Quota(_))));
    all.delete(&table, "0", soon()).await.unwrap();
    assert!(matches!(all.delete(&table, "0", soon()).await, Err(Error::NoSuchName { .. })));
    assert!(matches!(all.create(&table, spec(""), soon()).await, Err(Error::Invalid(_))));
    all.create(&table, spec("more"), soon()).await.unwrap();
    assert_eq!(all.list(&table).len(), 10);
    assert_eq!(tunnels(&site).await.list(&table).len(), 10);
}

#[tokio::test]
async fn a_deleted_tunnel_is_gone_for_those_who_hold_it_and_a_table_takes_its_tunnels_along() {
    let mut site = Site::new().await;
    let table = site.table_of(streamed()).await;
    let all = tunnels(&site).await;
    let id = all.create(&table, of_kind(TunnelKind::Stream), soon()).await.unwrap();
    let mut worker = Worker::connect(&all.find(&instance(), &id).unwrap()).await;
    all.delete(&table, "tunnel", soon()).await.unwrap();
    assert!(matches!(worker.beat().await, Err(Error::NoSuchTunnel(_))));
    assert!(all.find(&instance(), &id).is_err());

    let id = all.create(&table, of_kind(TunnelKind::Stream), soon()).await.unwrap();
    site.store.delete_table(&instance(), &table_name("t")).await.unwrap();
    all.forget_table(table.id(), soon()).await;
    assert!(all.find(&instance(), &id).is_err());
    drop((worker, all, table));
    site.reopen().await;
    tunnels(&site).await;
    let spaces = site.store.engine().spaces(soon()).await.unwrap();
    assert!(spaces.iter().all(|space| !space.as_str().starts_with("tunnels-")), "{spaces:?}");
}
