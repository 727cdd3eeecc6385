//! A real S3 endpoint on loopback, which checks signatures and keeps objects in a directory.

use std::path::PathBuf;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, Secret, StoreCredentials};
use s3s::auth::SimpleAuth;
use s3s::dto::{
    DeleteObjectsInput, DeleteObjectsOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const KEY_ID: &str = "key";
pub const KEY_SECRET: &str = "secret";

/// The server; it stops when dropped.
pub struct S3Server {
    pub url: String,
    pub directory: TempDir,
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

    async fn start_with(creates: Creates) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = FileSystem::new(directory.path()).unwrap();
        let strict = StrictFiles { files, root: directory.path().to_owned(), creates };
        let mut builder = S3ServiceBuilder::new(strict);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, KEY_SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(connection);
            }
        });
        Self { url, directory, accepting }
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

pub fn entry(url: &str, bucket: &str, secret: &str) -> BucketEntry {
    BucketEntry {
        name: BucketName::parse(bucket).unwrap(),
        location: BucketLocation::S3 {
            bucket: bucket.to_owned(),
            endpoint: Some(url.to_owned()),
            region: "us-east-1".to_owned(),
            credentials: Some(StoreCredentials {
                access_key_id: KEY_ID.to_owned(),
                access_key_secret: Secret::new(secret),
            }),
        },
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creates {
    Known,
    NotImplemented,
}

impl StrictFiles {
    fn check(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }
}

#[async_trait::async_trait]
impl S3 for StrictFiles {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.check(&request.input.bucket)?;
        if self.creates == Creates::NotImplemented && request.input.if_none_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        self.files.put_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.check(&request.input.bucket)?;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.check(&request.input.bucket)?;
        self.files.head_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.check(&request.input.bucket)?;
        self.files.delete_objects(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }
}
