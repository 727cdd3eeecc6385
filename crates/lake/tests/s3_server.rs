//! A real S3 endpoint on loopback, which checks signatures and keeps objects in a directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RemoteBucket, Secret, StoreCredentials};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectsInput, DeleteObjectsOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input,
    ListObjectsV2Output, MultipartUpload, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::stores::Faults;
use crate::stores::keys::Keys;

pub const KEY_ID: &str = "key";
pub const KEY_SECRET: &str = "secret";

/// The server; it stops when dropped.
pub struct S3Server {
    pub url: String,
    pub directory: TempDir,
    /// Keys that are taken, sessions among them.
    pub keys: Arc<Keys>,
    pub faults: Arc<Mutex<Faults>>,
    /// Uploads in parts that are not complete: their names by id.
    pub uploads: Uploads,
    /// Parts that were begun to be taken.
    pub parts: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl S3Server {
    pub async fn start() -> Self {
        Self::start_with(Creates::Known).await
    }

    /// A server that answers 501 to writes that must not replace anything, as OSS does on its S3 face.
    pub async fn start_without_creates() -> Self {
        Self::start_with(Creates::NotImplemented).await
    }

    /// A server that speaks TLS alone, with a certificate of the authority in `stores/test-only-ca.pem`.
    pub async fn start_with_tls() -> Self {
        Self::start_over(Creates::Known, Some(acceptor())).await
    }

    async fn start_with(creates: Creates) -> Self {
        Self::start_over(creates, None).await
    }

    async fn start_over(creates: Creates, tls: Option<TlsAcceptor>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = FileSystem::new(directory.path()).unwrap();
        let keys = Arc::<Keys>::default();
        keys.add(KEY_ID, KEY_SECRET);
        let (faults, uploads) = (Arc::<Mutex<Faults>>::default(), Uploads::default());
        let parts = Arc::<AtomicUsize>::default();
        let strict = StrictFiles {
            files,
            root: directory.path().to_owned(),
            creates,
            keys: Arc::clone(&keys),
            faults: Arc::clone(&faults),
            uploads: Arc::clone(&uploads),
            parts: Arc::clone(&parts),
        };
        let mut builder = S3ServiceBuilder::new(strict);
        builder.set_auth(KnownKeys(Arc::clone(&keys)));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => {
                            // Whoever does not trust the certificate hangs up.
                            let Ok(stream) = tls.accept(stream).await else { return Ok(()) };
                            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                        }
                    }
                });
            }
        });
        Self { url, directory, keys, faults, uploads, parts, accepting }
    }

    pub fn entry(&self, bucket: &str, secret: &str) -> BucketEntry {
        entry(&self.url, bucket, secret)
    }

    pub fn make_bucket(&self, bucket: &str) {
        std::fs::create_dir(self.directory.path().join(bucket)).unwrap();
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("stores/test-only-server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("stores/test-only-server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub fn entry(url: &str, bucket: &str, secret: &str) -> BucketEntry {
    BucketEntry {
        name: BucketName::parse(bucket).unwrap(),
        location: BucketLocation::S3(RemoteBucket {
            endpoint: Some(url.to_owned()),
            region: "us-east-1".to_owned(),
            credentials: Some(StoreCredentials {
                access_key_id: KEY_ID.to_owned(),
                access_key_secret: Secret::new(secret),
            }),
            ..RemoteBucket::named(bucket)
        }),
        created_at: 0,
    }
}

/// The file-backed S3, made to say "no such bucket" wherever S3 itself does: alone it makes a missing bucket
/// with the first put.
#[derive(Debug)]
struct StrictFiles {
    files: FileSystem,
    root: PathBuf,
    creates: Creates,
    keys: Arc<Keys>,
    faults: Arc<Mutex<Faults>>,
    uploads: Uploads,
    parts: Arc<AtomicUsize>,
}

/// Names of uploads by id. To the files they are all nobody's: sessions of one role share an upload.
pub type Uploads = Arc<Mutex<BTreeMap<String, String>>>;

/// Secrets by key; the token of a session is checked with the bucket.
struct KnownKeys(Arc<Keys>);

#[async_trait::async_trait]
impl S3Auth for KnownKeys {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let known = self.0.secret(id).ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(SecretKey::from(known))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creates {
    Known,
    NotImplemented,
}

impl StrictFiles {
    fn check<T>(&self, request: &S3Request<T>, bucket: &str) -> S3Result<()> {
        let token = request.headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
        let id = request.credentials.as_ref().map(|known| known.access_key.as_str()).unwrap_or_default();
        if self.keys.find(id, token.unwrap_or_default()).is_err() {
            return Err(s3_error!(ExpiredToken));
        }
        if self.root.join(bucket).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }
}

#[async_trait::async_trait]
impl S3 for StrictFiles {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.check(&request, &request.input.bucket)?;
        if self.creates == Creates::NotImplemented && request.input.if_none_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        self.files.put_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.check(&request, &request.input.bucket)?;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.check(&request, &request.input.bucket)?;
        self.files.head_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.check(&request, &request.input.bucket)?;
        self.files.delete_objects(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }
    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.check(&request, &request.input.bucket)?;
        request.credentials = None;
        let key = request.input.key.clone();
        let begun = self.files.create_multipart_upload(request).await?;
        self.uploads.lock().insert(begun.output.upload_id.clone().unwrap(), key);
        Ok(begun)
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.check(&request, &request.input.bucket)?;
        request.credentials = None;
        let part = u32::try_from(request.input.part_number).unwrap();
        self.parts.fetch_add(1, Ordering::SeqCst);
        if self.faults.lock().refused_part == Some(part) {
            return Err(s3_error!(AccessDenied));
        }
        if self.faults.lock().silent_part == Some(part) {
            std::future::pending::<()>().await;
        }
        let slow = self.faults.lock().slow_part.filter(|(slow, _)| *slow == part);
        if let Some((_, time)) = slow {
            tokio::time::sleep(time).await;
        }
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.check(&request, &request.input.bucket)?;
        request.credentials = None;
        let id = request.input.upload_id.clone();
        let done = self.files.complete_multipart_upload(request).await?;
        self.uploads.lock().remove(&id);
        Ok(done)
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.check(&request, &request.input.bucket)?;
        request.credentials = None;
        let id = request.input.upload_id.clone();
        if self.uploads.lock().remove(&id).is_none() {
            return Err(s3_error!(NoSuchUpload));
        }
        self.files.abort_multipart_upload(request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.check(&request, &request.input.bucket)?;
        let prefix = request.input.prefix.unwrap_or_default();
        let uploads = self.uploads.lock();
        let listed = uploads.iter().filter(|(_, key)| key.starts_with(&prefix));
        let upload = |(id, key): (&String, &String)| MultipartUpload {
            key: Some(key.clone()),
            upload_id: Some(id.clone()),
            ..MultipartUpload::default()
        };
        let uploads = Some(listed.map(upload).collect());
        Ok(S3Response::new(ListMultipartUploadsOutput { uploads, ..Default::default() }))
    }
}
