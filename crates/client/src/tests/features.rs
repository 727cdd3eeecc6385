//! What a table can do beside holding rows, asked of the real server: indexes, splits, streams and tunnels.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeferry_model::{IndexKind, KeyKind, KeyValue, StreamSpec, Value, ValueKind};
use tokio::sync::mpsc;

use super::real::RealServer;
use crate::tunnel::{ChannelRecords, ProcessError, TunnelKind, TunnelStart, TunnelWorker, WorkerSettings};
use crate::{Action, Client, ClientConfig, CreateTable, Index, Key, Put, Range, TableWrites, Update};

/// A server, a client that repeats nothing, and a table `t` with ten rows: `id`, and `n` of the same number.
pub(super) async fn ten_rows() -> (RealServer, Client) {
    let server = RealServer::start().await;
    let config = ClientConfig { retry_time_max: Duration::ZERO, ..server.config() };
    let client = Client::new(config).unwrap();
    client.create_table(CreateTable::new("t").key("id", KeyKind::Integer)).await.unwrap();
    let rows = (0..10).map(|id| Put::new(Key::new("id", id)).set("n", id).set("s", format!("k{id}")));
    let outcomes = client.batch_write_row(&[TableWrites::new("t", rows)]).await.unwrap();
    assert!(outcomes.into_iter().flatten().all(|outcome| outcome.is_ok()));
    (server, client)
}

pub(super) async fn ids(client: &Client, table: &str, range: Range) -> Vec<i64> {
    let mut rows = client.rows(table, range);
    let mut ids = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        match row.key.get("id") {
            Some(KeyValue::Integer(id)) => ids.push(*id),
            other => panic!("{other:?} is no id"),
        }
    }
    ids
}

#[tokio::test]
async fn a_local_index_is_read_like_a_table() {
    let (server, client) = ten_rows().await;
    let table = CreateTable::new("u")
        .key("user", KeyKind::String)
        .key("id", KeyKind::Integer)
        .column("score", ValueKind::Integer)
        .index(Index::new("by_score", IndexKind::Local, ["user", "score"]));
    client.create_table(table).await.unwrap();
    for (id, score) in [(1, 30), (2, 10), (3, 20)] {
        client
            .put_row("u", Put::new(Key::new("user", "ann").and("id", id)).set("score", score))
            .await
            .unwrap();
    }
    let found = ids(&client, "by_score", Range::all(["user", "score", "id"])).await;
    assert_eq!(found, [2, 3, 1]);
    let described = client.describe_table("u").await.unwrap();
    assert_eq!(described.indexes[0].name, "by_score");
    client.drop_index("u", "by_score").await.unwrap();
    assert!(client.describe_table("u").await.unwrap().indexes.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn splits_of_a_small_table_are_one() {
    let (server, client) = ten_rows().await;
    let splits = client.split_by_size("t", 1, None, None).await.unwrap();
    assert_eq!(splits.len(), 1);
    assert_eq!(ids(&client, "t", splits[0].range.clone()).await.len(), 10);
    server.stop().await;
}

/// A table `log` with a stream that tells what `n` held before.
async fn with_stream(client: &Client) {
    let spec = StreamSpec { expiration_hours: 24, origin_columns: vec!["n".to_owned()] };
    client.create_table(CreateTable::new("log").key("id", KeyKind::Integer).stream(spec)).await.unwrap();
}

#[tokio::test]
async fn a_stream_tells_every_change_in_its_order() {
    let (server, client) = ten_rows().await;
    with_stream(&client).await;
    client.put_row("log", Put::new(Key::new("id", 1)).set("n", 1)).await.unwrap();
    client.update_row("log", Update::new(Key::new("id", 1)).increment("n", 4).remove("x")).await.unwrap();
    client.delete_row("log", Key::new("id", 1)).await.unwrap();
    let stream = client.list_streams(Some("log")).await.unwrap().remove(0);
    let described = client.describe_stream(&stream.id, None, None).await.unwrap();
    assert_eq!((described.is_active, described.shards.len()), (true, 1));
    let mut iterator = client.shard_iterator(&stream.id, &described.shards[0].id, None).await.unwrap();
    let mut records = Vec::new();
    loop {
        let page = client.stream_records(&iterator, Some(2)).await.unwrap();
        records.extend(page.records);
        match page.next {
            Some(next) if next != iterator => iterator = next,
            _ => break,
        }
    }
    let actions: Vec<_> = records.iter().map(|record| record.action).collect();
    assert_eq!(actions, [Action::Put, Action::Update, Action::Delete]);
    assert_eq!(records[1].origin[0].value, Value::Integer(1));
    assert!(records.is_sorted_by_key(|record| record.sequence));
    server.stop().await;
}

#[tokio::test]
async fn a_worker_gets_the_rows_of_a_tunnel_then_its_changes() {
    let (server, client) = ten_rows().await;
    let tunnel =
        client.create_tunnel("t", "tunnel", TunnelKind::BaseAndStream, TunnelStart::Latest).await.unwrap();
    let (send, mut processed) = mpsc::unbounded_channel();
    let process = move |records: ChannelRecords| {
        let sent = send.send(records).map_err(ProcessError::from);
        async move { sent }
    };
    let settings =
        WorkerSettings { heartbeat_interval: Duration::from_millis(50), ..WorkerSettings::default() };
    let worker = TunnelWorker::start(client.clone(), &tunnel, settings, process);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    while seen.values().sum::<usize>() < 10 {
        let batch: ChannelRecords = processed.recv().await.unwrap();
        *seen.entry(batch.channel).or_default() += batch.records.len();
    }
    client.put_row("t", Put::new(Key::new("id", 77)).set("n", 77)).await.unwrap();
    let change = loop {
        let batch: ChannelRecords = processed.recv().await.unwrap();
        assert!(!seen.contains_key(&batch.channel), "changes come in another channel than rows");
        if let Some(record) = batch.records.into_iter().next() {
            break record;
        }
    };
    assert_eq!((change.action, change.key), (Action::Put, Key::new("id", 77)));
    worker.shutdown().await.unwrap();
    let described = client.describe_tunnel("t", "tunnel").await.unwrap();
    assert_eq!(described.tunnel.stage, "ProcessStream");
    client.delete_tunnel("t", "tunnel").await.unwrap();
    server.stop().await;
}
