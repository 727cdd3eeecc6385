//! A Cloud Storage endpoint, written from the reference of its XML API: tokens that a service account signs for
//! itself, checked with its public key, or the tokens of a metadata service.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Method;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RemoteBucket, Secret, StoreCredentials};
use parking_lot::Mutex;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{Answer, Call, Protocol, Server, Shelf, escaped, object, status, with_header, xml_error};

const EMAIL: &str = "lakeferry@tests.iam.gserviceaccount.com";
/// Made for these tests alone; it opens nothing.
const TEST_KEY: &str = include_str!("test-only-rsa-key.pem");
/// Another one, which the server does not know.
const OTHER_KEY: &str = include_str!("other-test-only-rsa-key.pem");

/// The server; it stops when dropped.
pub struct GoogleServer {
    pub shelf: Arc<Shelf>,
    /// Tokens that are taken beside signed ones.
    pub tokens: Arc<Mutex<Vec<String>>>,
    server: Server,
}

impl GoogleServer {
    pub async fn start() -> Self {
        let (shelf, tokens) = (Arc::<Shelf>::default(), Arc::<Mutex<Vec<String>>>::default());
        let google = Google { shelf: Arc::clone(&shelf), tokens: Arc::clone(&tokens) };
        Self { shelf, tokens, server: Server::start(Arc::new(google)).await }
    }

    pub fn remote(&self, bucket: &str) -> RemoteBucket {
        RemoteBucket {
            endpoint: Some(format!("http://{}", self.server.address)),
            ..RemoteBucket::named(bucket)
        }
    }

    pub fn entry(&self, bucket: &str, is_right: bool) -> BucketEntry {
        let key = json!({
            "type": "service_account",
            "private_key": if is_right { TEST_KEY } else { OTHER_KEY },
            "private_key_id": "1",
            "client_email": EMAIL,
        });
        let key = StoreCredentials {
            access_key_id: EMAIL.to_owned(),
            access_key_secret: Secret::new(key.to_string()),
        };
        entry(RemoteBucket { credentials: Some(key), ..self.remote(bucket) })
    }
}

pub fn entry(remote: RemoteBucket) -> BucketEntry {
    let name = BucketName::parse(&remote.bucket).unwrap();
    BucketEntry { name, location: BucketLocation::Google(remote), created_at: 0 }
}

struct Google {
    shelf: Arc<Shelf>,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Protocol for Google {
    fn is_silent(&self, call: &Call) -> bool {
        self.shelf.is_silent(call.number("partNumber"))
    }

    fn answer(&self, call: &Call) -> Answer {
        let token = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if !self.tokens.lock().iter().any(|known| known == token) && !is_signed(token) {
            return xml_error(401, "AuthenticationRequired");
        }
        let path = &call.path[1..];
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        if !self.shelf.has_bucket(bucket) {
            return xml_error(404, "NoSuchBucket");
        }
        let id = call.query("uploadId");
        match (&call.method, id) {
            (&Method::GET, None) if name.is_empty() => self.list(call, bucket),
            (&Method::GET | &Method::HEAD, None) => match self.shelf.read(bucket, name) {
                Some(bytes) => object(call, "range", &bytes),
                None => xml_error(404, "NoSuchKey"),
            },
            (&Method::PUT, None) => {
                let is_create = call.header("x-goog-if-generation-match") == "0";
                self.write(bucket, name, call.body.clone(), is_create)
            }
            (&Method::DELETE, None) => match self.shelf.delete(bucket, name) {
                true => status(204, ""),
                false => xml_error(404, "NoSuchKey"),
            },
            (&Method::POST, None) if call.query("uploads").is_some() => {
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
                    true => with_header(status(200, ""), "etag", "\"part\""),
                    false => xml_error(404, "NoSuchUpload"),
                }
            }
            (&Method::POST, Some(id)) => {
                let Some(whole) = self.shelf.whole(id) else { return xml_error(404, "NoSuchUpload") };
                self.shelf.end_upload(id);
                self.write(bucket, name, whole, false).map(|_| {
                    "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>".into()
                })
            }
            (&Method::DELETE, Some(id)) => match self.shelf.end_upload(id) {
                true => status(204, ""),
                false => xml_error(404, "NoSuchUpload"),
            },
            _ => xml_error(405, "MethodNotAllowed"),
        }
    }
}

impl Google {
    fn write(&self, bucket: &str, name: &str, bytes: Bytes, is_create: bool) -> Answer {
        match self.shelf.write(bucket, name, bytes, is_create) {
            true => with_header(with_header(status(200, ""), "etag", "\"tag\""), "x-goog-generation", "1"),
            false => xml_error(412, "PreconditionFailed"),
        }
    }

    fn list(&self, call: &Call, bucket: &str) -> Answer {
        let (prefix, after) =
            (call.query("prefix").unwrap_or_default(), call.query("continuation-token").unwrap_or_default());
        let (page, next) = self.shelf.page(bucket, prefix, after);
        let object = |(name, size): (String, usize)| {
            format!(
                "<Contents><Key>{}</Key><Size>{size}</Size><LastModified>2020-08-31T16:03:00.000Z</LastModified>\
                 <ETag>tag</ETag></Contents>",
                escaped(&name)
            )
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
}

/// Whether the service account signed the token, for this store.
fn is_signed(token: &str) -> bool {
    let Some((text, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    let der: String = TEST_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(der).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    if public.verify(text.as_bytes(), &signature).is_err() {
        return false;
    }
    let claims = text.split_once('.').and_then(|(_, claims)| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    claims["iss"] == EMAIL && claims["scope"].as_str().is_some_and(|scope| scope.contains("cloud-platform"))
}
