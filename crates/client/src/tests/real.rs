//! The client against the real server, in this process.

use lakeferry_model::{KeyKind, SystemClock, Value, ValueKind};
use lakeferry_server::settings::{EngineLayer, Layer, Settings};
use lakeferry_server::{Ended, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{
    Client, ClientConfig, CreateTable, Delete, ErrorCode, Key, Put, Range, Read, Signature, TableReads,
    TableWrites, Update, UpdateTable,
};

/// A server for development, on a free port.
pub(super) struct RealServer {
    endpoint: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<Ended>>,
    _data: tempfile::TempDir,
}

impl RealServer {
    pub(super) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let layer = Layer {
            data: Some(data.path().to_owned()),
            listen: Some(([127, 0, 0, 1], 0).into()),
            dev: Some(true),
            engine: EngineLayer { reserve_mib: Some(1), cache_mib: Some(8), ..EngineLayer::default() },
            ..Layer::default()
        };
        let settings = Settings::from_layers([layer]).unwrap();
        let server = Server::open(settings, false, SystemClock::shared()).await.unwrap();
        let endpoint = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            stopped.await.ok();
        }));
        Self { endpoint, stop, running, _data: data }
    }

    pub(super) fn config(&self) -> ClientConfig {
        ClientConfig::new(&self.endpoint, "shop", "dev", "dev")
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

/// Every way to sign and to send.
fn configs(server: &RealServer) -> [ClientConfig; 3] {
    let v4 = Signature::V4 { region: "cn-hangzhou".to_owned() };
    [
        server.config(),
        ClientConfig { signature: v4.clone(), ..server.config() },
        ClientConfig {
            signature: v4,
            compress_requests_from: Some(64),
            compress_answers: true,
            ..server.config()
        },
    ]
}

#[tokio::test]
async fn rows_are_written_read_and_deleted_however_calls_are_signed_and_sent() {
    let server = RealServer::start().await;
    for (at, config) in configs(&server).into_iter().enumerate() {
        let client = Client::new(config).unwrap();
        let table = format!("orders{at}");
        let create = CreateTable::new(&table).key("id", KeyKind::Integer).column("price", ValueKind::Double);
        client.create_table(create).await.unwrap();
        let key = |id: i64| Key::new("id", id);
        let large = "long ".repeat(2000);
        let row = Put::new(key(1)).set("note", large.as_str()).set("price", 1.5).set("raw", vec![0_u8, 255]);
        client.put_row(&table, row).await.unwrap();
        client.update_row(&table, Update::new(key(1)).increment("count", 2)).await.unwrap();
        let found = client.get_row(&table, &key(1), &Read::default()).await.unwrap().unwrap();
        assert_eq!((found.text("note"), found.integer("count")), (Some(large.as_str()), Some(2)));

        let rows = (2..=200).map(|id| Put::new(key(id)).set("price", 0.5));
        let outcomes = client.batch_write_row(&[TableWrites::new(&table, rows)]).await.unwrap();
        assert!(outcomes[0].iter().all(Result::is_ok));
        let reads = [TableReads::new(&table, [key(2), key(999)], Read::default())];
        let found = client.batch_get_row(&reads).await.unwrap().remove(0);
        let found: Vec<_> = found.into_iter().map(|row| row.unwrap().is_some()).collect();
        assert_eq!(found, [true, false]);

        let mut rows = client.rows(&table, Range::between(&key(10), &key(100)).backward().limit(50));
        let mut ids = Vec::new();
        while let Some(row) = rows.next().await.unwrap() {
            ids.push(row.key.get("id").cloned());
        }
        assert_eq!(ids.len(), 50);
        client.delete_row(&table, Delete::new(key(1)).only_if_exists()).await.unwrap();
        let again = client.delete_row(&table, Delete::new(key(1)).only_if_exists()).await.unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::ConditionCheckFail));
        client.delete_table(&table).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_table_is_changed_and_described() {
    let server = RealServer::start().await;
    let client = Client::new(server.config()).unwrap();
    client.create_table(CreateTable::new("t").key("id", KeyKind::String).versions_max(3)).await.unwrap();
    let updated = client.update_table(&UpdateTable::new("t").versions_max(5)).await.unwrap();
    assert_eq!(updated.options.versions_max, 5);
    let described = client.describe_table("t").await.unwrap();
    assert_eq!((described.options.versions_max, described.indexes.len()), (5, 0));
    client.put_row("t", Put::new(Key::new("id", "a")).set("v", Value::Integer(1))).await.unwrap();
    client.put_row("t", Put::new(Key::new("id", "a")).set("v", Value::Integer(2))).await.unwrap();
    assert_eq!(client.list_tables().await.unwrap(), ["t"]);
    server.stop().await;
}
