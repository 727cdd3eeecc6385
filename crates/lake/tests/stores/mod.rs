//! Object stores on the loopback address, each speaking its own protocol and checking its own signatures as its
//! public documentation describes them. What they keep is in memory.

pub mod azure;
pub mod google;
pub mod keys;
pub mod oss;
pub mod sts;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What all kinds of store keep.
#[derive(Debug, Default)]
pub struct Shelf {
    pub buckets: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
    /// Uploads in parts that are not complete: bucket and name, parts by number.
    pub uploads: Mutex<BTreeMap<String, Upload>>,
    /// Parts that came and are never answered.
    pub silent_parts: AtomicUsize,
    next_upload: AtomicU64,
    pub faults: Mutex<Faults>,
}

/// An upload in parts.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    pub bucket: String,
    pub name: String,
    pub parts: BTreeMap<u32, Bytes>,
}

/// What goes wrong.
#[derive(Debug, Default)]
pub struct Faults {
    /// The part of this number is refused.
    pub refused_part: Option<u32>,
    /// The part of this number is never answered.
    pub silent_part: Option<u32>,
    /// The part of this number is answered so much later.
    pub slow_part: Option<(u32, std::time::Duration)>,
    /// Writes that must not replace anything do, as in a bucket of versions.
    pub overwrites: bool,
}

/// A request as a store sees it.
pub struct Call {
    pub method: Method,
    pub path: String,
    /// The path as the caller wrote it.
    pub raw_path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub type Answer = Response<Bytes>;

/// Answers requests.
pub trait Protocol: Send + Sync + 'static {
    fn answer(&self, call: &Call) -> Answer;
    /// Whether the request is never answered.
    fn is_silent(&self, _call: &Call) -> bool {
        false
    }
}

/// A server; it stops when dropped.
pub struct Server {
    pub address: std::net::SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub async fn start(protocol: Arc<impl Protocol>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let protocol = Arc::clone(&protocol);
                let service = service_fn(move |request| {
                    let protocol = Arc::clone(&protocol);
                    async move { Ok::<_, Infallible>(answer(&*protocol, request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(protocol: &impl Protocol, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let call = Call {
        method: parts.method,
        path: decoded(parts.uri.path()),
        raw_path: parts.uri.path().to_owned(),
        query: pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect(),
        headers: parts.headers,
        body,
    };
    if protocol.is_silent(&call) {
        std::future::pending::<()>().await;
    }
    protocol.answer(&call).map(Full::new)
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> u32 {
        self.query(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The range that is asked for, of so many bytes.
    fn range(&self, header: &str, length: usize) -> Option<std::ops::Range<usize>> {
        let (start, end) = self.header(header).strip_prefix("bytes=")?.split_once('-')?;
        Some(match (start.parse::<usize>(), end.parse::<usize>()) {
            (Ok(start), Ok(end)) => start..length.min(end + 1),
            (Ok(start), Err(_)) => start..length,
            (Err(_), Ok(end)) => length.saturating_sub(end)..length,
            (Err(_), Err(_)) => return None,
        })
    }
}

impl Shelf {
    pub fn make(&self, bucket: &str) {
        self.buckets.lock().entry(bucket.to_owned()).or_default();
    }

    pub fn remove(&self, bucket: &str) {
        self.buckets.lock().remove(bucket);
    }

    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.buckets.lock().contains_key(bucket)
    }

    pub fn read(&self, bucket: &str, name: &str) -> Option<Bytes> {
        self.buckets.lock().get(bucket)?.get(name).cloned()
    }

    /// Whether the object was written; not if the name is taken and must stay.
    pub fn write(&self, bucket: &str, name: &str, bytes: Bytes, is_create: bool) -> bool {
        let overwrites = self.faults.lock().overwrites;
        let mut buckets = self.buckets.lock();
        let objects = buckets.get_mut(bucket).unwrap();
        if is_create && !overwrites && objects.contains_key(name) {
            return false;
        }
        objects.insert(name.to_owned(), bytes);
        true
    }

    pub fn delete(&self, bucket: &str, name: &str) -> bool {
        self.buckets.lock().get_mut(bucket).is_some_and(|objects| objects.remove(name).is_some())
    }

    /// A page of at most 7 objects with that prefix, after a name.
    pub fn page(&self, bucket: &str, prefix: &str, after: &str) -> (Vec<(String, usize)>, Option<String>) {
        let buckets = self.buckets.lock();
        let all =
            buckets[bucket].iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
        let mut page: Vec<_> = all.take(8).map(|(name, bytes)| (name.clone(), bytes.len())).collect();
        let next = (page.len() > 7).then(|| page[6].0.clone());
        page.truncate(7);
        (page, next)
    }

    pub fn begin_upload(&self, bucket: &str, name: &str) -> String {
        let id = format!("upload/{}+", self.next_upload.fetch_add(1, Ordering::SeqCst));
        let upload = Upload { bucket: bucket.to_owned(), name: name.to_owned(), parts: BTreeMap::new() };
        self.uploads.lock().insert(id.clone(), upload);
        id
    }

    /// Whether there is such an upload.
    pub fn put_part(&self, id: &str, number: u32, bytes: Bytes) -> bool {
        self.uploads.lock().get_mut(id).map(|upload| upload.parts.insert(number, bytes)).is_some()
    }

    /// The whole of an upload, by its parts in order; it stays until it is ended.
    pub fn whole(&self, id: &str) -> Option<Bytes> {
        let uploads = self.uploads.lock();
        let parts: Vec<u8> = uploads.get(id)?.parts.values().flatten().copied().collect();
        Some(parts.into())
    }

    pub fn end_upload(&self, id: &str) -> bool {
        self.uploads.lock().remove(id).is_some()
    }

    fn is_silent(&self, part: u32) -> bool {
        let is_silent = part > 0 && self.faults.lock().silent_part == Some(part);
        self.silent_parts.fetch_add(usize::from(is_silent), Ordering::SeqCst);
        is_silent
    }

    fn is_refused(&self, part: u32) -> bool {
        part > 0 && self.faults.lock().refused_part == Some(part)
    }
}

pub fn status(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

pub fn xml_error(number: u16, code: &str) -> Answer {
    status(number, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>"))
}

pub fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

/// An object, or the part that is asked for in that header.
pub fn object(call: &Call, header: &str, bytes: &Bytes) -> Answer {
    let answer = match call.range(header, bytes.len()) {
        Some(range) if !range.is_empty() => {
            let told = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            with_header(status(206, bytes.slice(range)), "content-range", &told)
        }
        _ => status(200, bytes.clone()),
    };
    let length = answer.body().len().to_string();
    let answer = with_header(with_header(answer, "etag", "\"tag\""), "content-length", &length);
    let answer = with_header(answer, "x-goog-generation", "1");
    let answer = with_header(answer, "last-modified", "Mon, 31 Aug 2020 16:03:00 GMT");
    if call.method == Method::HEAD { answer.map(|_| Bytes::new()) } else { answer }
}

/// A text as it stands in XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = (*first == b'%').then(|| behind.get(..2)).flatten();
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Percent-encoding of everything but letters, digits and `-._~`.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}
