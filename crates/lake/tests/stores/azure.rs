//! A Blob endpoint of an Azure storage account, written from its REST reference: Shared Key signatures or the
//! tokens of a managed identity.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RemoteBucket, Secret, StoreCredentials};
use parking_lot::Mutex;

use super::keys::hmac_sha256;
use super::{
    Answer, Call, Protocol, Server, Shelf, decoded, escaped, object, status, with_header, xml_error,
};

pub const ACCOUNT: &str = "lakeaccount";
pub const ACCOUNT_KEY: &str = "c2VjcmV0IG9mIHRoZSBhY2NvdW50";

/// The server; it stops when dropped.
pub struct AzureServer {
    pub shelf: Arc<Shelf>,
    /// Tokens that are taken beside signatures.
    pub tokens: Arc<Mutex<Vec<String>>>,
    server: Server,
}

impl AzureServer {
    pub async fn start() -> Self {
        let (shelf, tokens) = (Arc::<Shelf>::default(), Arc::<Mutex<Vec<String>>>::default());
        let azure = Azure {
            shelf: Arc::clone(&shelf),
            tokens: Arc::clone(&tokens),
            blocks: Mutex::default(),
            arrivals: AtomicU32::new(0),
        };
        Self { shelf, tokens, server: Server::start(Arc::new(azure)).await }
    }

    pub fn remote(&self, bucket: &str) -> RemoteBucket {
        RemoteBucket {
            endpoint: Some(format!("http://{}/{ACCOUNT}", self.server.address)),
            account: Some(ACCOUNT.to_owned()),
            ..RemoteBucket::named(bucket)
        }
    }

    pub fn entry(&self, bucket: &str, secret: &str) -> BucketEntry {
        let key =
            StoreCredentials { access_key_id: ACCOUNT.to_owned(), access_key_secret: Secret::new(secret) };
        entry(RemoteBucket { credentials: Some(key), ..self.remote(bucket) })
    }
}

pub fn entry(remote: RemoteBucket) -> BucketEntry {
    let name = BucketName::parse(&remote.bucket).unwrap();
    BucketEntry { name, location: BucketLocation::Azure(remote), created_at: 0 }
}

struct Azure {
    shelf: Arc<Shelf>,
    tokens: Arc<Mutex<Vec<String>>>,
    /// Blocks that are not committed, by the name of their blob and their id.
    blocks: Mutex<BTreeMap<(String, String), Bytes>>,
    arrivals: AtomicU32,
}

impl Protocol for Azure {
    fn is_silent(&self, call: &Call) -> bool {
        let is_silent = call.query("comp") == Some("block") && self.shelf.faults.lock().silent_part.is_some();
        self.shelf.silent_parts.fetch_add(usize::from(is_silent), Ordering::SeqCst);
        is_silent
    }

    fn answer(&self, call: &Call) -> Answer {
        if !self.is_signed(call) {
            return xml_error(403, "AuthenticationFailed");
        }
        let path = call.path.strip_prefix(&format!("/{ACCOUNT}/")).unwrap_or_default();
        let (container, name) = path.split_once('/').unwrap_or((path, ""));
        if !self.shelf.has_bucket(container) {
            return xml_error(404, "ContainerNotFound");
        }
        match (&call.method, call.query("comp")) {
            (&Method::POST, Some("batch")) => self.batch(call, container),
            (&Method::GET, Some("list")) => self.list(call, container),
            (&Method::PUT, Some("block")) => {
                // Ids are random, so parts are counted as they come.
                let arrived = self.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
                if self.shelf.is_refused(arrived) {
                    return xml_error(403, "AuthorizationFailure");
                }
                let id = call.query("blockid").unwrap_or_default().to_owned();
                self.blocks.lock().insert((format!("{container}/{name}"), id), call.body.clone());
                self.shelf.uploads.lock().entry(format!("{container}/{name}")).or_default();
                status(201, "")
            }
            (&Method::PUT, Some("blocklist")) => {
                let list = String::from_utf8_lossy(&call.body).into_owned();
                let ids =
                    list.split("<Uncommitted>").skip(1).filter_map(|rest| rest.split_once("</Uncommitted>"));
                let mut blocks = self.blocks.lock();
                let parts: Option<Vec<Bytes>> = ids
                    .map(|(id, _)| blocks.get(&(format!("{container}/{name}"), id.to_owned())).cloned())
                    .collect();
                let Some(parts) = parts else { return xml_error(400, "InvalidBlockList") };
                blocks.retain(|(blob, _), _| *blob != format!("{container}/{name}"));
                self.shelf.end_upload(&format!("{container}/{name}"));
                self.write(container, name, parts.concat().into(), false)
            }
            (&Method::PUT, None) => {
                let is_create = call.header("if-none-match") == "*";
                self.write(container, name, call.body.clone(), is_create)
            }
            (&Method::GET | &Method::HEAD, None) => match self.shelf.read(container, name) {
                Some(bytes) => object(call, "range", &bytes),
                None => with_header(xml_error(404, "BlobNotFound"), "x-ms-error-code", "BlobNotFound"),
            },
            _ => xml_error(405, "UnsupportedHttpVerb"),
        }
    }
}

impl Azure {
    /// The signature, as "Authorize with Shared Key" has it.
    fn is_signed(&self, call: &Call) -> bool {
        let authorization = call.header("authorization");
        if let Some(token) = authorization.strip_prefix("Bearer ") {
            return self.tokens.lock().iter().any(|known| known == token);
        }
        let Some(given) = authorization.strip_prefix(&format!("SharedKey {ACCOUNT}:")) else { return false };
        let key = BASE64_STANDARD.decode(ACCOUNT_KEY).unwrap();
        BASE64_STANDARD.encode(hmac_sha256(&key, text_to_sign(call).as_bytes())) == given
    }

    fn write(&self, container: &str, name: &str, bytes: Bytes, is_create: bool) -> Answer {
        match self.shelf.write(container, name, bytes, is_create) {
            true => with_header(status(201, ""), "etag", "\"tag\""),
            false => xml_error(409, "BlobAlreadyExists"),
        }
    }

    fn list(&self, call: &Call, container: &str) -> Answer {
        let (prefix, after) =
            (call.query("prefix").unwrap_or_default(), call.query("marker").unwrap_or_default());
        let (page, next) = self.shelf.page(container, prefix, after);
        let blob = |(name, size): (String, usize)| {
            format!(
                "<Blob><Name>{}</Name><Properties><Last-Modified>Mon, 31 Aug 2020 16:03:00 GMT</Last-Modified>\
                 <Etag>tag</Etag><Content-Length>{size}</Content-Length>\
                 <Content-Type>application/octet-stream</Content-Type></Properties></Blob>",
                escaped(&name)
            )
        };
        let blobs: String = page.into_iter().map(blob).collect();
        let next = escaped(&next.unwrap_or_default());
        status(
            200,
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs>\
                 <NextMarker>{next}</NextMarker></EnumerationResults>"
            ),
        )
    }

    /// Deletions in one request, each signed by itself.
    fn batch(&self, call: &Call, container: &str) -> Answer {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        let mut answers = String::new();
        for part in body.split("--batch_").filter(|part| part.contains("DELETE ")) {
            let id = part.lines().find_map(|line| line.strip_prefix("Content-ID: ")).unwrap_or("0");
            let (_, request) = part.split_once("DELETE ").unwrap();
            let path = decoded(request.split_whitespace().next().unwrap());
            let name = path.trim_start_matches('/').trim_start_matches(&format!("{ACCOUNT}/"));
            let name = name.strip_prefix(&format!("{container}/")).unwrap();
            let told = match self.shelf.delete(container, name) {
                true => "HTTP/1.1 202 Accepted\r\n\r\n".to_owned(),
                false => {
                    "HTTP/1.1 404 The specified blob does not exist.\r\nx-ms-error-code: BlobNotFound\r\n\r\n"
                        .to_owned()
                }
            };
            answers.push_str(&format!(
                "--answers\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\n{told}\r\n"
            ));
        }
        answers.push_str("--answers--\r\n");
        with_header(status(202, answers), "content-type", "multipart/mixed; boundary=answers")
    }
}

fn text_to_sign(call: &Call) -> String {
    let length = call.header("content-length");
    let mut text = format!("{}\n", call.method);
    for name in ["content-encoding", "content-language"] {
        text.push_str(&format!("{}\n", call.header(name)));
    }
    text.push_str(&format!("{}\n", if length == "0" { "" } else { length }));
    for name in [
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        text.push_str(&format!("{}\n", call.header(name)));
    }
    let mut headers: Vec<&str> =
        call.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-ms-")).collect();
    headers.sort_unstable();
    for name in headers {
        text.push_str(&format!("{name}:{}\n", call.header(name).trim()));
    }
    text.push_str(&format!("/{ACCOUNT}{}", call.raw_path));
    let mut query = call.query.clone();
    query.sort();
    for (name, value) in query {
        text.push_str(&format!("\n{}:{value}", name.to_lowercase()));
    }
    text
}
