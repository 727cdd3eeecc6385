//! The tunnel service as its workers use it: channels shared between two of them, one that dies, a restart.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::convert::ChannelToken;
use lakeferry_wire::proto as tables;
use lakeferry_wire::proto::tunnel::{self as proto, ActionType, ChannelStatus, TunnelType};

use crate::harness::{Answer, Request, TestServer, create_table, rows};
use crate::rows::{delete, put, row, told, update};

/// A worker that does what the official ones do, one step at a time.
struct Worker {
    tunnel: String,
    client: String,
    channels: BTreeMap<String, Reading>,
    /// Everything it was told: the action, the row, and whether it came with a place in a stream.
    told: Vec<(ActionType, String, bool)>,
}

struct Reading {
    version: i64,
    status: ChannelStatus,
    token: String,
    number: i64,
}

impl Worker {
    async fn connect(server: &TestServer, tunnel: &str, timeout: i64) -> Self {
        let config = proto::ClientConfig { timeout: Some(timeout), client_tag: Some("test".into()) };
        let request = proto::ConnectRequest { tunnel_id: tunnel.into(), client_config: Some(config) };
        let answer: proto::ConnectResponse = server.call("tunnel/connect", &request).await.ok();
        Self { tunnel: tunnel.into(), client: answer.client_id, channels: BTreeMap::new(), told: Vec::new() }
    }

    fn heartbeat(&self) -> proto::HeartbeatRequest {
        let channel = |(id, reading): (&String, &Reading)| proto::Channel {
            channel_id: id.clone(),
            version: reading.version,
            status: reading.status.into(),
            detail: None,
        };
        proto::HeartbeatRequest {
            tunnel_id: self.tunnel.clone(),
            client_id: self.client.clone(),
            channels: self.channels.iter().map(channel).collect(),
        }
    }

    async fn beat(&mut self, server: &TestServer) {
        let answer: proto::HeartbeatResponse = server.call("tunnel/heartbeat", &self.heartbeat()).await.ok();
        let mut known = std::mem::take(&mut self.channels);
        for channel in answer.channels {
            let status = channel.status();
            let reading = match known.remove(&channel.channel_id) {
                Some(reading) if reading.version > channel.version => reading,
                Some(reading) if reading.status == ChannelStatus::Open => {
                    Reading { version: channel.version, status, ..reading }
                }
                _ => self.dial(server, &channel.channel_id, channel.version, status).await,
            };
            self.channels.insert(channel.channel_id, reading);
        }
    }

    async fn dial(&self, server: &TestServer, id: &str, version: i64, status: ChannelStatus) -> Reading {
        let answer: proto::GetCheckpointResponse =
            server.call("tunnel/getcheckpoint", &self.checkpoint_of(id)).await.ok();
        Reading { version, status, token: answer.checkpoint, number: answer.sequence_number }
    }

    fn checkpoint_of(&self, channel: &str) -> proto::GetCheckpointRequest {
        proto::GetCheckpointRequest {
            tunnel_id: self.tunnel.clone(),
            client_id: self.client.clone(),
            channel_id: channel.into(),
        }
    }

    fn read_request(&self, channel: &str, token: &str) -> proto::ReadRecordsRequest {
        proto::ReadRecordsRequest {
            tunnel_id: self.tunnel.clone(),
            client_id: self.client.clone(),
            channel_id: channel.into(),
            token: token.into(),
        }
    }

    fn checkpoint(&self, channel: &str, token: &str, sequence_number: i64) -> proto::CheckpointRequest {
        proto::CheckpointRequest {
            tunnel_id: self.tunnel.clone(),
            client_id: self.client.clone(),
            channel_id: channel.into(),
            checkpoint: token.into(),
            sequence_number,
        }
    }

    /// Reads a page of each open channel and writes down how far it is.
    async fn read(&mut self, server: &TestServer) {
        let open = self.channels.iter().filter(|(_, reading)| reading.status == ChannelStatus::Open);
        for (id, token) in open.map(|(id, reading)| (id.clone(), reading.token.clone())).collect::<Vec<_>>() {
            let page = server.call("tunnel/readrecords", &self.read_request(&id, &token)).await;
            let page: proto::ReadRecordsResponse = page.ok();
            for record in &page.records {
                let row = rows(&record.record).remove(0);
                self.told.push((record.action_type(), told(&row), row.sequence.is_some()));
            }
            let number = self.channels[&id].number + 1;
            let request = self.checkpoint(&id, &page.next_token, number);
            server.call("tunnel/checkpoint", &request).await.ok::<proto::CheckpointResponse>();
            let reading = self.channels.get_mut(&id).unwrap();
            (reading.token, reading.number) = (page.next_token, number);
            if reading.token == "finished" {
                (reading.version, reading.status) = (reading.version + 1, ChannelStatus::Terminated);
            }
        }
    }

    fn give_back(&mut self) {
        for reading in self.channels.values_mut().filter(|r| r.status == ChannelStatus::Closing) {
            (reading.version, reading.status) = (reading.version + 1, ChannelStatus::Close);
        }
    }

    async fn drain(&mut self, server: &TestServer) {
        let mut idle = 0;
        while idle < 3 {
            let before = self.told.len();
            self.beat(server).await;
            self.read(server).await;
            idle = if self.told.len() == before { idle + 1 } else { 0 };
        }
    }

    fn open(&self) -> Vec<&str> {
        let open = self.channels.iter().filter(|(_, reading)| reading.status == ChannelStatus::Open);
        open.map(|(id, _)| id.as_str()).collect()
    }

    /// What it was told, in order.
    fn texts(&self) -> Vec<String> {
        self.told.iter().map(|(_, row, _)| row.clone()).collect()
    }
}

fn create(table: &str, name: &str, kind: TunnelType) -> proto::CreateTunnelRequest {
    let tunnel = proto::Tunnel {
        table_name: table.into(),
        tunnel_name: name.into(),
        tunnel_type: kind.into(),
        stream_tunnel_config: None,
        need_all_time_series_columns: None,
    };
    proto::CreateTunnelRequest { tunnel }
}

async fn make(server: &TestServer, table: &str, kind: TunnelType) -> String {
    let answer = server.call("tunnel/create", &create(table, "tunnel", kind)).await;
    answer.ok::<proto::CreateTunnelResponse>().tunnel_id
}

async fn describe(server: &TestServer, table: &str) -> proto::DescribeTunnelResponse {
    let request = proto::DescribeTunnelRequest {
        table_name: table.into(),
        tunnel_name: "tunnel".into(),
        tunnel_id: None,
    };
    server.call("tunnel/describe", &request).await.ok()
}

async fn put_rows(server: &TestServer, table: &str, keys: std::ops::Range<i64>) {
    let rows = keys.map(|pk| tables::RowInBatchWriteRowRequest {
        r#type: tables::OperationType::Put.into(),
        row_change: row(pk, &[("c", ValueRef::Integer(pk))]),
        condition: Default::default(),
        return_content: None,
    });
    let rows: Vec<_> = rows.collect();
    for rows in rows.chunks(200) {
        let table = tables::TableInBatchWriteRowRequest { table_name: table.into(), rows: rows.to_vec() };
        let request = tables::BatchWriteRowRequest { tables: vec![table], ..Default::default() };
        server.call("BatchWriteRow", &request).await.ok::<tables::BatchWriteRowResponse>();
    }
}

/// A table of these partitions.
async fn table_of(server: &TestServer, splits: &[i64]) {
    let points: Vec<_> = splits.iter().copied().map(lakeferry_model::KeyValue::Integer).collect();
    let partitions = lakeferry_wire::convert::partition_ranges(&points);
    let request = tables::CreateTableRequest { partitions, ..create_table("t", &[("pk", KeyKind::Integer)]) };
    server.call("CreateTable", &request).await.ok::<tables::CreateTableResponse>();
}

#[tokio::test]
async fn rows_come_first_and_changes_after_them() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    put_rows(&server, "t", 0..20).await;
    let id = make(&server, "t", TunnelType::BaseAndStream).await;
    server
        .call("PutRow", &put("t", 20, &[("c", ValueRef::Integer(20))]))
        .await
        .ok::<tables::PutRowResponse>();
    let cells = [("c", Some(ValueRef::Integer(-1)), Default::default(), None)];
    server.call("UpdateRow", &update("t", 20, &cells)).await.ok::<tables::UpdateRowResponse>();
    server.call("DeleteRow", &delete("t", 0)).await.ok::<tables::DeleteRowResponse>();

    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.beat(&server).await;
    let open = worker.open();
    assert!(open.iter().all(|id| id.split('_').count() == 2 && id.starts_with("BaseData_")), "{open:?}");
    worker.drain(&server).await;
    let changes = worker.told.split_off(worker.told.len() - 3);
    let mut base = worker.texts();
    base.sort_by_key(|row| row.split(' ').next().unwrap().parse::<i64>().unwrap());
    let rows = (1..20).map(|pk| format!("{pk} c={pk}")).chain(["20 c=-1".to_owned()]);
    assert!(base.into_iter().eq(rows), "the rows as they were when they were read");
    assert!(worker.told.iter().all(|(action, _, in_stream)| *action == ActionType::PutRow && !in_stream));
    assert_eq!(
        changes,
        [
            (ActionType::PutRow, "20 c=20".to_owned(), true),
            (ActionType::UpdateRow, "20 c=-1".to_owned(), true),
            (ActionType::DeleteRow, "0".to_owned(), true),
        ]
    );
    let described = describe(&server, "t").await;
    assert_eq!(described.tunnel.stage, "ProcessStream");
    let stream = described.channels.iter().find(|channel| channel.channel_type() == "Stream").unwrap();
    assert_eq!((stream.channel_status(), stream.channel_count()), ("OPEN", 3));
    assert_eq!(stream.client_id(), worker.client);
}

#[tokio::test]
async fn every_row_of_many_is_told_exactly_once() {
    let server = TestServer::start().await;
    table_of(&server, &[3000]).await;
    put_rows(&server, "t", 0..12_000).await;
    let id = make(&server, "t", TunnelType::BaseData).await;
    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.drain(&server).await;
    let mut keys: Vec<i64> =
        worker.texts().iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..12_000));
    let described = describe(&server, "t").await;
    assert_eq!((&*described.tunnel.stage, &*described.tunnel.tunnel_type), ("ProcessStream", "BaseData"));
    assert!(described.channels.iter().all(|channel| channel.channel_status() == "TERMINATED"));
    assert_eq!(described.channels.iter().map(|channel| channel.channel_count()).sum::<i64>(), 12_000);
}

#[tokio::test]
async fn two_workers_share_and_the_one_that_dies_is_replaced() {
    let server = TestServer::start().await;
    table_of(&server, &[10]).await;
    let id = make(&server, "t", TunnelType::Stream).await;
    let mut first = Worker::connect(&server, &id, 300).await;
    first.beat(&server).await;
    assert_eq!(first.open().len(), 2);
    // It is gone after a second without a heartbeat.
    let mut second = Worker::connect(&server, &id, 1).await;
    second.beat(&server).await;
    first.beat(&server).await;
    assert_eq!(first.open().len(), 1, "one is to be given back");
    second.beat(&server).await;
    assert_eq!(second.open().len(), 0, "it was not given back yet");
    first.give_back();
    first.beat(&server).await;
    second.beat(&server).await;
    assert_eq!((first.open().len(), second.open().len()), (1, 1));
    assert_ne!(first.open(), second.open());

    put_rows(&server, "t", 0..20).await;
    first.read(&server).await;
    second.read(&server).await;
    put_rows(&server, "t", 20..30).await;
    put_rows(&server, "t", 0..5).await;
    let until = Instant::now() + Duration::from_secs(60);
    while first.open().len() < 2 {
        assert!(Instant::now() < until, "the channel of the dead worker is not given out again");
        tokio::time::sleep(Duration::from_millis(50)).await;
        first.beat(&server).await;
    }
    first.drain(&server).await;
    let mut told: Vec<String> = first.texts();
    told.extend(second.texts());
    told.sort();
    let mut written: Vec<String> = (0..30).chain(0..5).map(|pk| format!("{pk} c={pk}")).collect();
    written.sort();
    assert_eq!(told, written, "each change once: the other goes on behind the last checkpoint");

    let (channel, reading) = second.channels.iter().next().unwrap();
    let gone = server.call("tunnel/readrecords", &second.read_request(channel, &reading.token)).await;
    let (code, message) = gone.error();
    assert_eq!((gone.status.as_u16(), &*code), (410, "OTSResourceGone"));
    assert!(message.contains("is not connected"), "{message}");
    let gone = server.call("tunnel/readrecords", &second.read_request(channel, "nonsense")).await;
    assert_eq!(gone.error().0, "OTSResourceGone", "whatever it says of the channel");
    let gone = server.call("tunnel/heartbeat", &second.heartbeat()).await;
    assert_eq!(gone.error().0, "OTSResourceGone");
}

#[tokio::test]
async fn a_worker_goes_on_after_a_restart_as_if_there_had_been_none() {
    let server = TestServer::start().await;
    table_of(&server, &[10]).await;
    put_rows(&server, "t", 0..20).await;
    let id = make(&server, "t", TunnelType::BaseAndStream).await;
    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.beat(&server).await;
    worker.read(&server).await;
    let server = server.restart().await;
    put_rows(&server, "t", 20..30).await;
    worker.drain(&server).await;
    let server = server.restart().await;
    put_rows(&server, "t", 30..40).await;
    worker.drain(&server).await;
    let mut keys: Vec<i64> =
        worker.texts().iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..40), "nothing is lost and nothing told twice");
}

#[tokio::test]
async fn a_channel_that_failed_is_opened_again_at_its_checkpoint() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    let id = make(&server, "t", TunnelType::Stream).await;
    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.beat(&server).await;
    put_rows(&server, "t", 0..3).await;
    worker.read(&server).await;
    for reading in worker.channels.values_mut() {
        (reading.version, reading.status) = (reading.version + 1, ChannelStatus::Close);
    }
    let version = worker.channels.values().next().unwrap().version;
    worker.beat(&server).await;
    let reading = worker.channels.values().next().unwrap();
    assert_eq!((reading.status, reading.version, reading.number), (ChannelStatus::Open, version + 1, 1));
    put_rows(&server, "t", 3..4).await;
    worker.read(&server).await;
    assert_eq!(worker.texts(), ["0 c=0", "1 c=1", "2 c=2", "3 c=3"]);
}

#[tokio::test]
async fn a_tunnel_makes_the_stream_that_it_needs_and_tells_the_values_before_a_change() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    make(&server, "t", TunnelType::Stream).await;
    let described: tables::DescribeTableResponse =
        server.call("DescribeTable", &tables::DescribeTableRequest { table_name: "t".into() }).await.ok();
    let stream = described.stream_details.unwrap();
    assert_eq!((stream.enable_stream, stream.expiration_time), (true, Some(168)));
    assert_eq!(describe(&server, "t").await.tunnel.stream_id, stream.stream_id());

    let spec = crate::streams::streamed("u", &["c"]);
    server.call("CreateTable", &spec).await.ok::<tables::CreateTableResponse>();
    let id = make(&server, "u", TunnelType::Stream).await;
    put_rows(&server, "u", 1..2).await;
    let cells = [("c", Some(ValueRef::Integer(2)), Default::default(), None)];
    server.call("UpdateRow", &update("u", 1, &cells)).await.ok::<tables::UpdateRowResponse>();
    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.beat(&server).await;
    let (channel, reading) = worker.channels.iter().next().unwrap();
    let page = server.call("tunnel/readrecords", &worker.read_request(channel, &reading.token)).await;
    let page: proto::ReadRecordsResponse = page.ok();
    let before = |record: &proto::Record| record.origin_record.as_ref().map(|row| told(&rows(row)[0]));
    assert_eq!(page.records.iter().map(before).collect::<Vec<_>>(), [None, Some("1 c=1".to_owned())]);
    assert_eq!(page.may_more_record, Some(false));
}

#[tokio::test]
async fn a_tunnel_that_is_refused_leaves_its_table_without_a_stream() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    make(&server, "t", TunnelType::BaseData).await;
    let refused = [
        (create("t", "tunnel", TunnelType::Stream), "OTSTunnelExist"),
        (create("t", "", TunnelType::BaseAndStream), "OTSParameterInvalid"),
    ];
    for (request, code) in refused {
        assert_eq!(server.call("tunnel/create", &request).await.error().0, code);
        let described: tables::DescribeTableResponse =
            server.call("DescribeTable", &tables::DescribeTableRequest { table_name: "t".into() }).await.ok();
        assert!(described.stream_details.is_none_or(|stream| !stream.enable_stream), "{code}");
    }
}

fn is_stream_token(token: &str) -> bool {
    matches!(ChannelToken::parse(token).unwrap(), ChannelToken::Log { .. })
}

#[tokio::test]
async fn checkpoints_have_numbers_and_tokens_that_workers_can_take_apart() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    put_rows(&server, "t", 0..2).await;
    for (kind, is_stream) in [(TunnelType::BaseData, false), (TunnelType::Stream, true)] {
        let name = format!("{kind:?}");
        let answer = server.call("tunnel/create", &create("t", &name, kind)).await;
        let id = answer.ok::<proto::CreateTunnelResponse>().tunnel_id;
        let mut worker = Worker::connect(&server, &id, 0).await;
        worker.beat(&server).await;
        let (channel, reading) = worker.channels.iter().next().unwrap();
        assert_eq!((is_stream_token(&reading.token), reading.number), (is_stream, 0));
        let wrong = server.call("tunnel/checkpoint", &worker.checkpoint(channel, &reading.token, 2)).await;
        assert_eq!((wrong.status.as_u16(), &*wrong.error().0), (400, "OTSSequenceNumberNotMatch"));
        let bad = server.call("tunnel/checkpoint", &worker.checkpoint(channel, "nonsense", 1)).await;
        assert_eq!((bad.status.as_u16(), &*bad.error().0), (400, "OTSParameterInvalid"));
        let right = server.call("tunnel/checkpoint", &worker.checkpoint(channel, &reading.token, 1)).await;
        right.ok::<proto::CheckpointResponse>();
        let kept: proto::GetCheckpointResponse =
            server.call("tunnel/getcheckpoint", &worker.checkpoint_of(channel)).await.ok();
        assert_eq!((kept.checkpoint, kept.sequence_number), (reading.token.clone(), 1));
    }
}

#[tokio::test]
async fn tunnels_are_listed_described_and_deleted() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    let id = make(&server, "t", TunnelType::BaseAndStream).await;
    let list = async |table: &str| {
        let request = proto::ListTunnelRequest { table_name: Some(table.into()) };
        server.call("tunnel/list", &request).await.ok::<proto::ListTunnelResponse>().tunnels
    };
    let described = describe(&server, "t").await;
    let info = &described.tunnel;
    assert_eq!(list("t").await, std::slice::from_ref(info));
    assert_eq!((&info.tunnel_id, info.tunnel_name(), &*info.tunnel_type), (&id, "tunnel", "BaseAndStream"));
    assert_eq!((&*info.table_name, &*info.instance_name, &*info.stage), ("t", "test", "ProcessBaseData"));
    let second = 1_000_000_000;
    let now = lakeferry_model::SystemClock::shared().now_micros() * 1000;
    assert!((now - 60 * second..=now).contains(&info.create_time()), "nanoseconds since the epoch");
    let kinds: Vec<_> = described
        .channels
        .iter()
        .map(|c| (c.channel_type().to_owned(), c.channel_status().to_owned()))
        .collect();
    assert_eq!(kinds, [("BaseData".to_owned(), "WAIT".to_owned()), ("Stream".to_owned(), "WAIT".to_owned())]);

    let taken = server.call("tunnel/create", &create("t", "tunnel", TunnelType::Stream)).await;
    assert_eq!((taken.status.as_u16(), &*taken.error().0), (409, "OTSTunnelExist"));
    let rpo = proto::GetRpoRequest { tunnel_id: Some(id.clone()), limit: None };
    let rpo: proto::GetRpoResponse = server.call("tunnel/getrpo", &rpo).await.ok();
    let infos: serde_json::Value = serde_json::from_slice(&rpo.rpo_infos.unwrap()).unwrap();
    assert_eq!(infos["BaseData_0"]["BaseData"]["ChannelTyp"], "BaseData");
    let whole: serde_json::Value = serde_json::from_slice(&rpo.tunnel_rpo_infos.unwrap()).unwrap();
    assert_eq!(whole["Stream"]["TotalCount"], 0);

    let request =
        proto::DeleteTunnelRequest { table_name: "t".into(), tunnel_name: "tunnel".into(), tunnel_id: None };
    server.call("tunnel/delete", &request).await.ok::<proto::DeleteTunnelResponse>();
    let is_missing = |answer: &Answer| {
        assert_eq!((answer.status.as_u16(), &*answer.error().0), (400, "OTSParameterInvalid"));
    };
    is_missing(&server.call("tunnel/delete", &request).await);
    let of_no_table = proto::DeleteTunnelRequest { table_name: "no".into(), ..request };
    is_missing(&server.call("tunnel/delete", &of_no_table).await);
    let connect = proto::ConnectRequest { tunnel_id: id, client_config: None };
    is_missing(&server.call("tunnel/connect", &connect).await);
    assert_eq!(list("t").await, []);
}

#[tokio::test]
async fn a_tunnel_is_seen_in_its_own_instance_alone_and_goes_with_its_table() {
    let server = TestServer::start_dev().await;
    table_of(&server, &[]).await;
    let id = make(&server, "t", TunnelType::Stream).await;
    let connect = proto::ConnectRequest { tunnel_id: id, client_config: None };
    let elsewhere = Request { instance: "other".into(), ..server.request("tunnel/connect", &connect) };
    assert_eq!(server.send(&elsewhere).await.error().0, "OTSParameterInvalid");
    let request = tables::DeleteTableRequest { table_name: "t".into() };
    server.call("DeleteTable", &request).await.ok::<tables::DeleteTableResponse>();
    assert_eq!(server.call("tunnel/connect", &connect).await.error().0, "OTSParameterInvalid");
}

#[tokio::test]
async fn a_tunnel_whose_stream_is_gone_has_expired() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    let id = make(&server, "t", TunnelType::Stream).await;
    let worker = Worker::connect(&server, &id, 300).await;
    let request = tables::UpdateTableRequest {
        table_name: "t".into(),
        stream_spec: Some(tables::StreamSpecification::default()),
        ..Default::default()
    };
    server.call("UpdateTable", &request).await.ok::<tables::UpdateTableResponse>();
    assert_eq!(describe(&server, "t").await.tunnel.expired, Some(true));
    let gone = server.call("tunnel/heartbeat", &worker.heartbeat()).await;
    assert_eq!((gone.status.as_u16(), &*gone.error().0), (410, "OTSTunnelExpired"));
}

#[tokio::test]
async fn an_operator_suspends_a_channel_and_resumes_it() {
    let server = TestServer::start().await;
    table_of(&server, &[]).await;
    let id = make(&server, "t", TunnelType::Stream).await;
    let mut worker = Worker::connect(&server, &id, 300).await;
    worker.beat(&server).await;
    let channel = worker.open()[0].to_owned();
    let schedule = async |status: ChannelStatus| {
        let channel =
            proto::Channel { channel_id: channel.clone(), version: 0, status: status.into(), detail: None };
        let request = proto::ScheduleRequest { tunnel_id: id.clone(), channels: vec![channel] };
        server.call("tunnel/schedule", &request).await.ok::<proto::ScheduleResponse>();
    };
    schedule(ChannelStatus::Closing).await;
    worker.beat(&server).await;
    worker.give_back();
    worker.beat(&server).await;
    assert_eq!(worker.channels.len(), 0);
    schedule(ChannelStatus::Open).await;
    worker.beat(&server).await;
    assert_eq!(worker.open(), [channel.as_str()]);
}
