//! The tunnel worker against a small tunnel service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeferry_wire::proto::tunnel as wire;
use tokio::sync::mpsc;

use super::operations::update_record;
use super::*;
use crate::tunnel::{
    ChannelRecords, ChannelStatus, FINISHED, ProcessError, TunnelKind, TunnelStart, TunnelWorker,
    WorkerSettings,
};

/// A tunnel with a few channels, which does what the protocol says, and what a test tells it to do wrong.
#[derive(Default)]
struct Tunnel {
    channels: BTreeMap<String, Channel>,
    sessions: usize,
    is_expired: bool,
    /// Heartbeats to refuse before one is taken.
    heartbeats_refused: usize,
    /// How often the client was told another number than it counted on.
    mismatches: usize,
    left: bool,
}

struct Channel {
    version: i64,
    status: ChannelStatus,
    is_stream: bool,
    /// Records of each page.
    pages: Vec<usize>,
    checkpoint: String,
    sequence_number: i64,
    /// Whether it is opened again when it is given back.
    is_reopened: bool,
}

impl Channel {
    fn new(is_stream: bool, pages: &[usize]) -> Self {
        Self {
            version: 1,
            status: ChannelStatus::Open,
            is_stream,
            pages: pages.to_vec(),
            checkpoint: token(is_stream, 0),
            sequence_number: 0,
            is_reopened: true,
        }
    }
}

/// The token of a page.
fn token(is_stream: bool, page: usize) -> String {
    let iterator = is_stream.then(|| page.to_string());
    let primary_key = (!is_stream).then(|| Bytes::from(page.to_string()));
    let content = wire::TokenContent { primary_key, iterator, timestamp: None };
    BASE64.encode(wire::Token { version: 1, content: content.encode_to_vec().into() }.encode_to_vec())
}

fn page_of(token: &str) -> usize {
    let token = wire::Token::decode(Bytes::from(BASE64.decode(token).unwrap())).unwrap();
    let content = wire::TokenContent::decode(token.content).unwrap();
    let key = content.primary_key.map(|key| String::from_utf8(key.to_vec()).unwrap());
    key.or(content.iterator).unwrap().parse().unwrap()
}

impl Tunnel {
    fn answer(&mut self, path: &str, body: Bytes) -> Answer {
        match path {
            "/tunnel/connect" => {
                self.sessions += 1;
                ok(&wire::ConnectResponse { client_id: self.sessions.to_string() })
            }
            "/tunnel/heartbeat" => self.heartbeat(wire::HeartbeatRequest::decode(body).unwrap()),
            "/tunnel/getcheckpoint" => {
                let request = wire::GetCheckpointRequest::decode(body).unwrap();
                let channel = &self.channels[&request.channel_id];
                ok(&wire::GetCheckpointResponse {
                    checkpoint: channel.checkpoint.clone(),
                    sequence_number: channel.sequence_number,
                })
            }
            "/tunnel/readrecords" => self.read(&wire::ReadRecordsRequest::decode(body).unwrap()),
            "/tunnel/checkpoint" => self.checkpoint(wire::CheckpointRequest::decode(body).unwrap()),
            "/tunnel/shutdown" => {
                self.left = true;
                Answer::new(200, Bytes::new())
            }
            other => panic!("nobody calls {other}"),
        }
    }

    fn heartbeat(&mut self, request: wire::HeartbeatRequest) -> Answer {
        if self.is_expired {
            return error(ErrorCode::TunnelExpired, "the tunnel is expired");
        }
        if self.heartbeats_refused > 0 {
            self.heartbeats_refused -= 1;
            return error(ErrorCode::ResourceGone, "the client is gone");
        }
        for told in request.channels {
            let Some(channel) = self.channels.get_mut(&told.channel_id) else { continue };
            if told.version <= channel.version {
                continue;
            }
            channel.version = told.version;
            channel.status = ChannelStatus::try_from(told.status).unwrap();
            if channel.status == ChannelStatus::Close && channel.is_reopened {
                channel.status = ChannelStatus::Open;
                channel.version += 1;
            }
        }
        let listed = self.channels.iter().filter(|(_, channel)| channel.status != ChannelStatus::Terminated);
        let channels = listed.map(|(id, channel)| wire::Channel {
            channel_id: id.clone(),
            version: channel.version,
            status: channel.status.into(),
            detail: None,
        });
        ok(&wire::HeartbeatResponse { channels: channels.collect() })
    }

    fn read(&self, request: &wire::ReadRecordsRequest) -> Answer {
        let channel = &self.channels[&request.channel_id];
        let page = page_of(&request.token);
        let records = channel.pages.get(page).copied().unwrap_or(0);
        let record = wire::Record {
            action_type: wire::ActionType::UpdateRow.into(),
            record: update_record(),
            origin_record: None,
        };
        let next = page + usize::from(page < channel.pages.len());
        let is_finished = !channel.is_stream && next == channel.pages.len();
        ok(&wire::ReadRecordsResponse {
            records: vec![record; records],
            next_token: if is_finished { FINISHED.to_owned() } else { token(channel.is_stream, next) },
            may_more_record: Some(next < channel.pages.len()),
        })
    }

    fn checkpoint(&mut self, request: wire::CheckpointRequest) -> Answer {
        let channel = self.channels.get_mut(&request.channel_id).unwrap();
        if request.sequence_number != channel.sequence_number + 1 {
            self.mismatches += 1;
            return error(ErrorCode::SequenceNumberNotMatch, "another number");
        }
        channel.sequence_number += 1;
        channel.checkpoint = request.checkpoint;
        Answer::new(200, Bytes::new())
    }
}

/// A tunnel and its server.
struct Service {
    tunnel: Arc<Mutex<Tunnel>>,
    server: TestServer,
}

impl Service {
    async fn with(channels: impl IntoIterator<Item = (&'static str, Channel)>) -> Self {
        let channels = channels.into_iter().map(|(id, channel)| (id.to_owned(), channel)).collect();
        let tunnel = Arc::new(Mutex::new(Tunnel { channels, ..Tunnel::default() }));
        let asked = tunnel.clone();
        let server = TestServer::answering(move |path, body| asked.lock().unwrap().answer(path, body)).await;
        Self { tunnel, server }
    }

    /// A worker, and what it hands over to be processed.
    fn worker(&self) -> (TunnelWorker, mpsc::UnboundedReceiver<ChannelRecords>) {
        let (send, processed) = mpsc::unbounded_channel();
        let process = move |records| {
            let sent = send.send(records).map_err(ProcessError::from);
            async move { sent }
        };
        (TunnelWorker::start(client(&self.server), "tunnel", settings(), process), processed)
    }

    fn checkpoint(&self, channel: &str) -> String {
        self.tunnel.lock().unwrap().channels[channel].checkpoint.clone()
    }

    /// Waits until the tunnel is as it should be; a hang is the failure.
    async fn until(&self, is_so: impl Fn(&Tunnel) -> bool) {
        while !is_so(&self.tunnel.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn settings() -> WorkerSettings {
    WorkerSettings {
        heartbeat_interval: Duration::from_millis(10),
        checkpoint_interval: Duration::ZERO,
        idle_pause_min: Duration::from_millis(1),
        idle_pause_max: Duration::from_millis(2),
        ..WorkerSettings::default()
    }
}

async fn take(
    processed: &mut mpsc::UnboundedReceiver<ChannelRecords>,
    count: usize,
) -> BTreeMap<String, usize> {
    let mut records = BTreeMap::new();
    let mut taken = 0;
    while taken < count {
        let batch = processed.recv().await.unwrap();
        taken += batch.records.len();
        *records.entry(batch.channel).or_default() += batch.records.len();
    }
    records
}

#[tokio::test]
async fn every_record_of_every_channel_is_processed_and_the_end_is_told() {
    let base = Channel::new(false, &[3, 0, 2]);
    let service = Service::with([
        ("BaseData_1", base),
        ("BaseData_2", Channel::new(false, &[1])),
        ("Stream_1", Channel::new(true, &[2, 2])),
    ])
    .await;
    let (worker, mut processed) = service.worker();
    let records = take(&mut processed, 10).await;
    assert_eq!(records["BaseData_1"], 5);
    assert_eq!((records["BaseData_2"], records["Stream_1"]), (1, 4));
    service.until(|tunnel| tunnel.channels["BaseData_1"].status == ChannelStatus::Terminated).await;
    worker.shutdown().await.unwrap();
    assert_eq!(service.checkpoint("BaseData_1"), FINISHED);
    assert_eq!(service.checkpoint("Stream_1"), token(true, 2), "all that was processed is written down");
    let tunnel = service.tunnel.lock().unwrap();
    assert!(tunnel.left && tunnel.sessions == 1);
    assert!(processed.try_recv().is_err(), "nothing comes twice");
}

#[tokio::test]
async fn what_could_not_be_processed_comes_again() {
    let service = Service::with([("Stream_1", Channel::new(true, &[1, 2]))]).await;
    let (send, mut processed) = mpsc::unbounded_channel();
    let failures = Mutex::new(2);
    let process = move |records: ChannelRecords| {
        let mut left = failures.lock().unwrap();
        let is_second_page = records.records.len() == 2;
        let fails = is_second_page && *left > 0;
        *left -= i32::from(fails);
        let sent = if fails { Err("not now".into()) } else { send.send(records).map_err(ProcessError::from) };
        async move { sent }
    };
    let worker = TunnelWorker::start(client(&service.server), "tunnel", settings(), process);
    assert_eq!(take(&mut processed, 3).await["Stream_1"], 3);
    worker.shutdown().await.unwrap();
    assert_eq!(service.checkpoint("Stream_1"), token(true, 2));
    assert!(processed.try_recv().is_err(), "the first page was written down before the second one failed");
}

#[tokio::test]
async fn a_channel_that_the_server_takes_back_is_left_with_its_checkpoint() {
    let channel = Channel { is_reopened: false, ..Channel::new(true, &[1]) };
    let service = Service::with([("Stream_1", channel)]).await;
    let (worker, mut processed) = service.worker();
    take(&mut processed, 1).await;
    {
        let mut tunnel = service.tunnel.lock().unwrap();
        let channel = tunnel.channels.get_mut("Stream_1").unwrap();
        channel.status = ChannelStatus::Closing;
        channel.version += 1;
    }
    service.until(|tunnel| tunnel.channels["Stream_1"].status == ChannelStatus::Close).await;
    assert_eq!(service.checkpoint("Stream_1"), token(true, 1));
    worker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_goes_on_from_the_servers_number() {
    let service = Service::with([("Stream_1", Channel::new(true, &[1]))]).await;
    let (send, mut processed) = mpsc::unbounded_channel();
    let tunnel = service.tunnel.clone();
    let process = move |records: ChannelRecords| {
        // Somebody else writes a checkpoint while we process.
        tunnel.lock().unwrap().channels.get_mut("Stream_1").unwrap().sequence_number += 5;
        let sent = send.send(records).map_err(ProcessError::from);
        async move { sent }
    };
    let worker = TunnelWorker::start(client(&service.server), "tunnel", settings(), process);
    take(&mut processed, 1).await;
    worker.shutdown().await.unwrap();
    assert_eq!(service.checkpoint("Stream_1"), token(true, 1));
    assert_eq!(service.tunnel.lock().unwrap().mismatches, 1);
}

#[tokio::test]
async fn a_lost_session_is_replaced() {
    let service = Service::with([("Stream_1", Channel::new(true, &[1]))]).await;
    service.tunnel.lock().unwrap().heartbeats_refused = 1;
    let (worker, mut processed) = service.worker();
    take(&mut processed, 1).await;
    assert_eq!(service.tunnel.lock().unwrap().sessions, 2);
    worker.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_expired_tunnel_ends_its_worker() {
    let service = Service::with([]).await;
    service.tunnel.lock().unwrap().is_expired = true;
    let (mut worker, _processed) = service.worker();
    let error = worker.ended().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TunnelExpired));
    worker.shutdown().await.unwrap();
}

#[tokio::test]
async fn tunnels_are_made_listed_described_and_deleted() {
    let info = || wire::TunnelInfo {
        tunnel_id: "id".to_owned(),
        tunnel_type: "Stream".to_owned(),
        table_name: "t".to_owned(),
        stage: "ProcessStream".to_owned(),
        tunnel_name: Some("n".to_owned()),
        create_time: Some(5),
        ..Default::default()
    };
    let channel = wire::ChannelInfo {
        channel_id: "Stream_1".to_owned(),
        channel_status: Some("OPEN".to_owned()),
        channel_count: Some(7),
        ..Default::default()
    };
    let server = TestServer::playing([
        ok(&wire::CreateTunnelResponse { tunnel_id: "id".to_owned() }),
        ok(&wire::ListTunnelResponse { tunnels: vec![info()] }),
        ok(&wire::DescribeTunnelResponse { tunnel: info(), channels: vec![channel], tunnel_rpo: Some(9) }),
        Answer::new(200, Bytes::new()),
    ])
    .await;
    let client = client(&server);
    let made = client.create_tunnel("t", "n", TunnelKind::Stream, TunnelStart::At(77)).await.unwrap();
    assert_eq!(made, "id");
    assert_eq!(client.list_tunnels("t").await.unwrap()[0].name, "n");
    let described = client.describe_tunnel("t", "n").await.unwrap();
    assert_eq!((described.channels[0].records, described.read_until_ns), (7, Some(9)));
    client.delete_tunnel("t", "n").await.unwrap();
    let request = wire::CreateTunnelRequest::decode(server.seen()[0].body.clone()).unwrap();
    assert_eq!(request.tunnel.stream_tunnel_config.unwrap().start_offset, Some(77));
}
