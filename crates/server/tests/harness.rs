//! A server on a free port of its own, and requests to it.
//!
//! Tests build messages, [`TestServer::call`] signs and sends them, [`Answer`] takes the answer apart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lakeferry_model::{Clock, KeyColumn, KeyKind, SystemClock, TableName, TableOptions, TableSchema};
use lakeferry_server::settings::{DeliveryLayer, EngineLayer, Layer, Settings};
use lakeferry_server::{Ended, KEY_FILE, Server};
use lakeferry_wire::plain_buffer::{WireRow, decode_rows};
use lakeferry_wire::proto::{self, Message};
use lakeferry_wire::sign::{SigningKey, authorization, content_md5, string_to_sign};
use lakeferry_wire::{convert, headers};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The instance that every test server has.
pub const INSTANCE: &str = "test";

/// A running server. Its data go with it.
pub struct TestServer {
    address: String,
    pub key: Key,
    client: Client<HttpConnector, Full<Bytes>>,
    running: JoinHandle<std::io::Result<Ended>>,
    stop: oneshot::Sender<()>,
    dev: bool,
    pub data: tempfile::TempDir,
}

/// An access key pair.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A request before it is signed.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub body: Bytes,
    pub key: Key,
    pub instance: String,
    pub v4: bool,
    /// Headers that take the place of those that a well-behaved client sends; signed as they stand.
    pub headers: Vec<(&'static str, String)>,
    /// Headers set after signing.
    pub tampered: Vec<(&'static str, String)>,
}

impl TestServer {
    /// A server with one instance.
    pub async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Self::open(data, false).await;
        server.json(Method::POST, "instances", r#"{"name":"test"}"#).await.ok_json();
        server
    }

    /// A server for development, with its fixed key and nothing else.
    pub async fn start_dev() -> Self {
        Self::open(tempfile::tempdir().unwrap(), true).await
    }

    /// A server with one instance that gives requests up after a second, and holds one largest body at a time.
    pub async fn start_impatient() -> Self {
        let engine = EngineLayer { reserve_mib: Some(1), ..EngineLayer::default() };
        let layer = Layer { engine, request_s_max: Some(1), request_mib_max: Some(32), ..Layer::default() };
        let data = tempfile::tempdir().unwrap();
        let server = Self::open_layer(data, false, layer, SystemClock::shared()).await;
        server.json(Method::POST, "instances", r#"{"name":"test"}"#).await.ok_json();
        server
    }

    /// Stops the server and opens another on the same data that is not for development.
    pub async fn reopen_in_earnest(self) -> Self {
        Self::open(self.stop().await, false).await
    }

    /// A server on the data of a stopped one, with other settings of its engine.
    pub async fn reopen_with(self, engine: EngineLayer) -> Self {
        let dev = self.dev;
        let data = self.stop().await;
        Self::open_with(data, dev, engine).await
    }

    async fn open(data: tempfile::TempDir, dev: bool) -> Self {
        let engine = EngineLayer { reserve_mib: Some(1), ..EngineLayer::default() };
        Self::open_with(data, dev, engine).await
    }

    async fn open_with(data: tempfile::TempDir, dev: bool, engine: EngineLayer) -> Self {
        Self::open_at(data, dev, engine, SystemClock::shared()).await
    }

    /// A server for development whose time a test owns.
    pub async fn start_dev_at(clock: Arc<dyn Clock>) -> Self {
        let engine = EngineLayer { reserve_mib: Some(1), ..EngineLayer::default() };
        Self::open_at(tempfile::tempdir().unwrap(), true, engine, clock).await
    }

    /// A server for development with other settings of delivery.
    pub async fn start_dev_with(delivery: DeliveryLayer) -> Self {
        let engine = EngineLayer { reserve_mib: Some(1), ..EngineLayer::default() };
        let layer = Layer { engine, delivery, ..Layer::default() };
        Self::open_layer(tempfile::tempdir().unwrap(), true, layer, SystemClock::shared()).await
    }

    async fn open_at(data: tempfile::TempDir, dev: bool, engine: EngineLayer, clock: Arc<dyn Clock>) -> Self {
        Self::open_layer(data, dev, Layer { engine, ..Layer::default() }, clock).await
    }

    async fn open_layer(data: tempfile::TempDir, dev: bool, layer: Layer, clock: Arc<dyn Clock>) -> Self {
        let layer = Layer {
            data: Some(data.path().to_owned()),
            listen: Some(([127, 0, 0, 1], 0).into()),
            dev: Some(dev),
            engine: EngineLayer { cache_mib: Some(8), ..layer.engine.clone() },
            ..layer
        };
        let settings = Settings::from_layers([layer]).unwrap();
        let server = Server::open(settings, false, clock).await.unwrap();
        let key = match server.first_key() {
            Some(_) => key_in(data.path()),
            None => Key { id: "dev".into(), secret: "dev".into() },
        };
        let address = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            // A dropped sender ends the server as well.
            stopped.await.ok();
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, key, client, running, stop, dev, data }
    }

    /// Stops the server and opens another on the same data.
    pub async fn restart(self) -> Self {
        let dev = self.dev;
        Self::open(self.stop().await, dev).await
    }

    /// Stops the server; its data stay.
    async fn stop(self) -> tempfile::TempDir {
        let Self { client, running, stop, data, .. } = self;
        // A connection that is kept open would be waited for.
        drop(client);
        stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), running).await.unwrap();
        assert_eq!(ended.unwrap().unwrap(), Ended::Stopped);
        data
    }

    /// A well-formed request of the protocol.
    pub fn request(&self, operation: &str, message: &impl Message) -> Request {
        Request {
            method: Method::POST,
            path: format!("/{operation}"),
            body: message.encode_to_vec().into(),
            key: self.key.clone(),
            instance: INSTANCE.into(),
            v4: false,
            headers: Vec::new(),
            tampered: Vec::new(),
        }
    }

    /// Calls an operation of the protocol.
    pub async fn call(&self, operation: &str, message: &impl Message) -> Answer {
        let request = self.request(operation, message);
        let answer = self.send(&request).await;
        answer.check_signature(&request);
        answer
    }

    /// Calls the JSON API with the server's own key.
    pub async fn json(&self, method: Method, path: &str, body: &str) -> Answer {
        self.json_as(&self.key, method, path, body).await
    }

    /// Calls the JSON API.
    pub async fn json_as(&self, key: &Key, method: Method, path: &str, body: &str) -> Answer {
        let request = Request {
            method,
            path: format!("/api/v1/{path}"),
            body: Bytes::copy_from_slice(body.as_bytes()),
            key: key.clone(),
            ..self.request("", &proto::ListTableRequest {})
        };
        let answer = self.send(&request).await;
        answer.check_signature(&request);
        crate::openapi::check_answer(&request.method, &request.path, &answer);
        answer
    }

    /// Signs a request and sends it.
    pub async fn send(&self, request: &Request) -> Answer {
        let mut builder = http::Request::builder();
        for (name, value) in request.signed_headers() {
            builder = builder.header(name, value);
        }
        let uri = format!("{}{}", self.address, request.path);
        let http_request =
            builder.method(request.method.clone()).uri(uri).body(Full::new(request.body.clone())).unwrap();
        let response = self.client.request(http_request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request and hangs up without waiting for its answer.
    pub async fn send_and_leave(&self, request: &Request) {
        use tokio::io::AsyncWriteExt;
        let mut stream = self.send_raw(request, request.body.len()).await;
        stream.shutdown().await.unwrap();
    }

    /// Sends a request that says its body had so many bytes, and reads what is answered until the server hangs up.
    pub async fn send_cut_off(&self, request: &Request, announced: usize) -> String {
        use tokio::io::AsyncReadExt;
        let mut stream = self.send_raw(request, announced).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn send_raw(&self, request: &Request, announced: usize) -> tokio::net::TcpStream {
        use tokio::io::AsyncWriteExt;
        let mut text = format!("{} {} HTTP/1.1\r\nhost: test\r\n", request.method, request.path);
        for (name, value) in request.signed_headers() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {announced}\r\n\r\n"));
        let address = self.address.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(&[text.as_bytes(), &request.body].concat()).await.unwrap();
        stream
    }

    /// Gets a page that is open to everybody.
    pub async fn get_open(&self, path: &str) -> Answer {
        let uri = format!("{}{path}", self.address).parse().unwrap();
        let (parts, body) = self.client.get(uri).await.unwrap().into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Makes a table.
    pub async fn make_table(&self, name: &str, columns: &[(&str, KeyKind)]) {
        let request = create_table(name, columns);
        self.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    }

    /// Everything that the table holds, as GetRange tells it.
    pub async fn scan(&self, table: &str, key_columns: &[&str]) -> Vec<WireRow> {
        let answer = self.call("GetRange", &whole_range(table, key_columns)).await;
        rows(&answer.ok::<proto::GetRangeResponse>().rows)
    }
}

impl Request {
    fn signed_headers(&self) -> Vec<(&'static str, String)> {
        let now = SystemClock::shared().now_micros();
        let mut all = vec![
            (headers::DATE, headers::format_date(now)),
            (headers::APIVERSION, headers::API_VERSION.to_owned()),
            (headers::ACCESS_KEY_ID, self.key.id.clone()),
            (headers::CONTENT_MD5, content_md5(&self.body)),
            (headers::INSTANCE_NAME, self.instance.clone()),
        ];
        if self.v4 {
            all.push((headers::SIGN_DATE, headers::format_sign_date(now)));
            all.push((headers::SIGN_REGION, "cn-hangzhou".to_owned()));
        }
        all.retain(|(name, _)| !self.headers.iter().any(|(own, _)| own == name));
        all.extend(self.headers.iter().filter(|(_, value)| !value.is_empty()).cloned());
        let signed: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let key = self.signing_key(now);
        let to_sign = string_to_sign(self.method.as_str(), &self.path, "", &signed);
        let signature = key.sign_request(&to_sign);
        all.push((key.header(), signature));
        all.retain(|(name, _)| !self.tampered.iter().any(|(own, _)| own == name));
        all.extend(self.tampered.iter().cloned());
        all
    }

    fn signing_key(&self, now: i64) -> SigningKey {
        if self.v4 {
            SigningKey::v4(&self.key.secret, &headers::format_sign_date(now), "cn-hangzhou")
        } else {
            SigningKey::v2(&self.key.secret)
        }
    }
}

impl Answer {
    /// The message of an answer that succeeded.
    pub fn ok<M: Message + Default>(&self) -> M {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.error());
        M::decode(self.body.clone()).unwrap()
    }

    /// The code and the message of an answer that did not.
    pub fn error(&self) -> (String, String) {
        let error = proto::Error::decode(self.body.clone()).unwrap_or_default();
        (error.code, error.message.unwrap_or_default())
    }

    /// Says that the answer is this refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!((self.status.as_u16(), self.error()), (status, (code.to_owned(), message.to_owned())));
    }

    /// The JSON of an answer that succeeded.
    #[track_caller]
    pub fn ok_json(&self) -> serde_json::Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status and code of a JSON answer that did not succeed.
    pub fn json_error(&self) -> (u16, String) {
        let error: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        (self.status.as_u16(), error["code"].as_str().unwrap().to_owned())
    }

    /// A header's text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks what clients check of an answer: digest, date, request id, signature.
    #[track_caller]
    pub fn check_signature(&self, request: &Request) {
        assert_eq!(self.header(headers::CONTENT_MD5), content_md5(&self.body));
        assert_eq!(self.header(headers::REQUEST_ID).len(), 36);
        assert!(headers::parse_date(self.header(headers::DATE)).is_some());
        assert!(!self.header(headers::CONTENT_TYPE).is_empty());
        let all: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let key = request.signing_key(SystemClock::shared().now_micros());
        let expected = authorization(&request.key.id, &key.sign_response(&request.path, &all));
        assert_eq!(self.header(headers::AUTHORIZATION), expected);
    }
}

fn key_in(data: &Path) -> Key {
    let text = std::fs::read_to_string(data.join(KEY_FILE)).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let value = |name: &str| file[name].as_str().unwrap().to_owned();
    Key { id: value("access_key_id"), secret: value("access_key_secret") }
}

/// The rows of a page.
pub fn rows(page: &Bytes) -> Vec<WireRow> {
    if page.is_empty() { Vec::new() } else { decode_rows(page).unwrap() }
}

/// A request for a table with these primary key columns.
pub fn create_table(name: &str, columns: &[(&str, KeyKind)]) -> proto::CreateTableRequest {
    let columns = columns.iter().map(|(name, kind)| KeyColumn {
        name: (*name).to_owned(),
        kind: *kind,
        auto_increment: false,
    });
    let schema = TableSchema {
        name: TableName::parse(name).unwrap(),
        primary_key: columns.collect(),
        defined_columns: Vec::new(),
    };
    convert::create_table_request(&schema, &TableOptions::default(), Default::default(), None)
}

/// A request for all rows of a table.
pub fn whole_range(table: &str, key_columns: &[&str]) -> proto::GetRangeRequest {
    use lakeferry_model::KeyBound::{InfMax, InfMin};
    use lakeferry_wire::plain_buffer::encode;
    proto::GetRangeRequest {
        table_name: table.to_owned(),
        direction: proto::Direction::Forward.into(),
        max_versions: Some(1),
        inclusive_start_primary_key: encode::bound(key_columns.iter().map(|name| (*name, &InfMin))),
        exclusive_end_primary_key: encode::bound(key_columns.iter().map(|name| (*name, &InfMax))),
        ..Default::default()
    }
}
