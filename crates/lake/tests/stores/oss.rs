//! An OSS endpoint, written from OSS's API reference: the bucket before the host, V4 signatures, and the
//! operations that a writer of objects needs.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RemoteBucket, Secret, StoreCredentials};

use super::keys::{Keys, hex, hmac_sha256, sha256_hex};
use super::{
    Answer, Call, Protocol, Server, Shelf, encoded, encoded_path, escaped, object, status, with_header,
    xml_error,
};

pub const REGION: &str = "cn-hangzhou";
pub const KEY: (&str, &str) = ("LTAIkey", "oss-secret");

/// The server; it stops when dropped.
pub struct OssServer {
    pub shelf: Arc<Shelf>,
    pub keys: Arc<Keys>,
    server: Server,
}

impl OssServer {
    pub async fn start() -> Self {
        let (shelf, keys) = (Arc::<Shelf>::default(), Arc::<Keys>::default());
        keys.add(KEY.0, KEY.1);
        let oss = Oss { shelf: Arc::clone(&shelf), keys: Arc::clone(&keys) };
        Self { shelf, keys, server: Server::start(Arc::new(oss)).await }
    }

    /// The bucket's entry without credentials.
    pub fn remote(&self, bucket: &str) -> RemoteBucket {
        RemoteBucket {
            endpoint: Some(format!("http://oss-{REGION}-internal.localhost:{}", self.server.address.port())),
            region: REGION.to_owned(),
            ..RemoteBucket::named(bucket)
        }
    }

    pub fn entry(&self, bucket: &str, secret: &str) -> BucketEntry {
        let key =
            StoreCredentials { access_key_id: KEY.0.to_owned(), access_key_secret: Secret::new(secret) };
        entry(RemoteBucket { credentials: Some(key), ..self.remote(bucket) })
    }
}

pub fn entry(remote: RemoteBucket) -> BucketEntry {
    let name = BucketName::parse(&remote.bucket).unwrap();
    BucketEntry { name, location: BucketLocation::Oss(remote), created_at: 0 }
}

struct Oss {
    shelf: Arc<Shelf>,
    keys: Arc<Keys>,
}

impl Protocol for Oss {
    fn is_silent(&self, call: &Call) -> bool {
        self.shelf.is_silent(call.number("partNumber"))
    }

    fn answer(&self, call: &Call) -> Answer {
        let Some((bucket, _)) = call.header("host").split_once(".oss-") else {
            return xml_error(403, "SecondLevelDomainForbidden");
        };
        if let Err(code) = self.check(call, bucket) {
            return xml_error(403, code);
        }
        if !self.shelf.has_bucket(bucket) {
            return xml_error(404, "NoSuchBucket");
        }
        let name = &call.path[1..];
        if name.is_empty() { self.of_bucket(call, bucket) } else { self.of_object(call, bucket, name) }
    }
}

impl Oss {
    /// The signature, as "Include signatures in the Authorization header (V4)" has it.
    fn check(&self, call: &Call, bucket: &str) -> Result<(), &'static str> {
        let given = call.header("authorization").strip_prefix("OSS4-HMAC-SHA256 ").ok_or("AccessDenied")?;
        let field =
            |name: &str| given.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let (credential, signature) =
            (field("Credential").ok_or("InvalidArgument")?, field("Signature").ok_or("InvalidArgument")?);
        let (id, scope) = credential.split_once('/').ok_or("InvalidArgument")?;
        let parts: Vec<&str> = scope.split('/').collect();
        let [day, REGION, "oss", "aliyun_v4_request"] = parts[..] else { return Err("InvalidArgument") };
        let key = self.keys.find(id, call.header("x-oss-security-token"))?;
        let (time, digest) = (call.header("x-oss-date"), call.header("x-oss-content-sha256"));
        if digest != "UNSIGNED-PAYLOAD" || !time.starts_with(day) || time.len() != "20200831T160300Z".len() {
            return Err("InvalidArgument");
        }
        let additional = field("AdditionalHeaders").unwrap_or_default();
        let canonical = canonical(call, bucket, additional, digest);
        let text = format!("OSS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let start = format!("aliyun_v4{}", key.secret).into_bytes();
        let signing = parts.iter().fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
        let right = hex(&hmac_sha256(&signing, text.as_bytes()));
        if right == signature { Ok(()) } else { Err("SignatureDoesNotMatch") }
    }

    fn of_bucket(&self, call: &Call, bucket: &str) -> Answer {
        let prefix = call.query("prefix").unwrap_or_default();
        if call.query("uploads").is_some() {
            let uploads = self.shelf.uploads.lock();
            let listed = uploads
                .iter()
                .filter(|(_, upload)| upload.bucket == bucket && upload.name.starts_with(prefix));
            let upload = |(id, upload): (&String, &super::Upload)| {
                format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", escaped(&upload.name))
            };
            let listed: String = listed.map(upload).collect();
            return status(200, format!("<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"));
        }
        if call.query("list-type") != Some("2") || call.query("encoding-type") != Some("url") {
            return xml_error(400, "InvalidArgument");
        }
        let (page, next) =
            self.shelf.page(bucket, prefix, call.query("continuation-token").unwrap_or_default());
        let object = |(name, size): (String, usize)| {
            format!("<Contents><Key>{}</Key><Size>{size}</Size></Contents>", encoded(&name))
        };
        let listed: String = page.into_iter().map(object).collect();
        let is_truncated = next.is_some();
        let next = next.map_or_else(String::new, |next| {
            format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&next))
        });
        status(
            200,
            format!(
                "<ListBucketResult>{listed}<IsTruncated>{is_truncated}</IsTruncated>{next}</ListBucketResult>"
            ),
        )
    }

    fn of_object(&self, call: &Call, bucket: &str, name: &str) -> Answer {
        let forbids = call.header("x-oss-forbid-overwrite") == "true";
        let id = call.query("uploadId");
        match (&call.method, id) {
            (&Method::GET, None) => match self.shelf.read(bucket, name) {
                Some(bytes) => object(call, "range", &bytes),
                None => xml_error(404, "NoSuchKey"),
            },
            (&Method::PUT, None) => self.written(bucket, name, call.body.clone(), forbids),
            (&Method::DELETE, None) => {
                self.shelf.delete(bucket, name);
                status(204, "")
            }
            (&Method::POST, None) if call.query("uploads").is_some() => {
                if forbids && self.shelf.read(bucket, name).is_some() {
                    return xml_error(409, "FileAlreadyExists");
                }
                let id = self.shelf.begin_upload(bucket, name);
                status(
                    200,
                    format!(
                        "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                    ),
                )
            }
            (&Method::PUT, Some(id)) => {
                let number = call.number("partNumber");
                if self.shelf.is_refused(number) {
                    return xml_error(403, "AccessDenied");
                }
                match self.shelf.put_part(id, number, call.body.clone()) {
                    true => with_header(status(200, ""), "etag", &format!("\"part{number}\"")),
                    false => xml_error(404, "NoSuchUpload"),
                }
            }
            (&Method::POST, Some(id)) => self.complete(call, bucket, name, id, forbids),
            (&Method::DELETE, Some(id)) => match self.shelf.end_upload(id) {
                true => status(204, ""),
                false => xml_error(404, "NoSuchUpload"),
            },
            _ => xml_error(405, "MethodNotAllowed"),
        }
    }

    fn complete(&self, call: &Call, bucket: &str, name: &str, id: &str, forbids: bool) -> Answer {
        let Some(whole) = self.shelf.whole(id) else { return xml_error(404, "NoSuchUpload") };
        let parts = self.shelf.uploads.lock()[id].parts.len();
        let list = String::from_utf8_lossy(&call.body);
        let is_listed = |number| {
            list.contains(&format!("<PartNumber>{number}</PartNumber><ETag>\"part{number}\"</ETag>"))
        };
        if !(1..=parts).all(is_listed) {
            return xml_error(400, "InvalidPart");
        }
        let answer = self.written(bucket, name, whole, forbids);
        if answer.status().is_success() {
            self.shelf.end_upload(id);
        }
        answer
    }

    fn written(&self, bucket: &str, name: &str, bytes: Bytes, forbids: bool) -> Answer {
        match self.shelf.write(bucket, name, bytes, forbids) {
            true => with_header(status(200, ""), "etag", "\"tag\""),
            false => xml_error(409, "FileAlreadyExists"),
        }
    }
}

fn canonical(call: &Call, bucket: &str, additional: &str, digest: &str) -> String {
    let mut query: Vec<(String, String)> =
        call.query.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    query.sort();
    let pair = |(name, value): &(String, String)| match value.as_str() {
        "" => name.clone(),
        value => format!("{name}={value}"),
    };
    let query: Vec<String> = query.iter().map(pair).collect();
    let mut headers: Vec<(&str, &str)> = call
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| {
            matches!(*name, "content-type" | "content-md5")
                || name.starts_with("x-oss-")
                || additional.split(';').any(|added| added == *name)
        })
        .map(|name| (name, call.header(name).trim()))
        .collect();
    headers.sort_unstable();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path = encoded_path(&call.path);
    format!("{}\n/{bucket}{path}\n{}\n{headers}\n{additional}\n{digest}", call.method, query.join("&"))
}
