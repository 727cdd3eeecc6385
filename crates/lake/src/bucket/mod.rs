//! Buckets: where objects are put.
//!
//! [`Store`] is the seam to a place that keeps objects: a local directory, an S3-compatible store, OSS, Azure,
//! Google, or in tests one that fails on demand. [`Bucket`] is the handle that everybody else holds: the same calls, each within a
//! time limit, and what can be said in terms of them.
//!
//! An object appears whole or not at all, and has survived a power cut when its put has answered. A put that
//! answers with an error, or whose future is dropped, may still land later.

mod answer;
mod assume;
mod azure;
mod cloud;
mod credentials;
mod direct;
mod endpoint;
mod error;
mod google;
mod http;
mod local;
mod oss;
mod oss_identity;
mod probe;
mod s3;
mod surroundings;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use lakeferry_model::{AssumedRole, BucketEntry, BucketLocation, BucketName, Micros, RemoteBucket};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::SERVICE_FOLDER;
use crate::decode::{Footer, read_metadata};
pub use endpoint::endpoint_agrees;
pub use error::BucketError;
pub use probe::Probe;
pub use surroundings::{Environment, Surroundings};

/// Bytes of an object's end that are read for its metadata at first: how long the rest of it is. Stores have
/// their own ideas of an end that is longer than the object, so no more is asked for than is surely there.
const FOOTER_BYTES: u64 = 8;

/// A place that keeps objects under names. Names are segments between slashes.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Writes an object, whole or not at all. With [`PutMode::Create`] a name that is taken stays as it is.
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError>;

    /// Reads an object or its end; nothing if the store says that there is no such object. How long it may
    /// take, only the answer tells, so the store sees to the time limit by itself.
    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError>;

    /// Removes an object. One that is not there is fine.
    async fn delete(&self, name: &str) -> Result<(), BucketError>;

    /// Shows every object below a folder, in no order; an empty folder is the whole bucket. Objects that come
    /// or go meanwhile may be among them or not. The store limits the time of each step by itself.
    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError>;

    /// Whether objects may be written, told without leaving more than one small object behind. Only where the
    /// bucket is known to be there: some stores make one with the first put.
    async fn try_writing(&self) -> Result<(), BucketError> {
        let bytes = Bytes::from_static(b"lakeferry looks whether it may write here");
        self.put(&format!("{SERVICE_FOLDER}/writable"), bytes, PutMode::Create).await.map(drop)
    }

    /// Ends uploads of that name that a crash has left half-way, where the store keeps such. Only while nobody
    /// puts it.
    async fn end_uploads(&self, _name: &str) -> Result<(), BucketError> {
        Ok(())
    }

    /// Removes what puts that were cut off by a crash have left behind. Only when no put is under way.
    async fn clean_temporary(&self) -> Result<(), BucketError>;
}

/// What a put does about a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Leaves it alone.
    Create,
    /// Replaces the object.
    Replace,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there, durable.
    Created,
    /// The name is taken, and the object under it unchanged. It may be of an earlier attempt of the same put.
    Exists,
}

/// Which bytes of an object to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// So many at the end, or all if there are fewer.
    End(u64),
}

/// Bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadObject {
    /// Those that were asked for.
    pub bytes: Bytes,
    /// How many the whole object has.
    pub object_bytes: u64,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedObject {
    /// Its name within the bucket.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// How long calls may take. A call that takes longer fails, and its effect is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLimits {
    /// A call without a body; a put has this beside the time for its bytes.
    pub call: Duration,
    /// Reaching the store's host.
    pub connect: Duration,
    /// The slowest upload that is waited for, in bytes per second.
    pub bytes_per_s_min: u32,
    /// Objects larger than two of these are uploaded in parts of this size. Stores take no less than 5 MiB.
    pub part_bytes: usize,
}

impl Default for BucketLimits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(20),
            connect: Duration::from_secs(5),
            bytes_per_s_min: 512 * 1024,
            part_bytes: 16 * 1024 * 1024,
        }
    }
}

impl BucketLimits {
    /// The time that a call with so many bytes may take.
    fn transfer(&self, bytes: usize) -> Duration {
        let per_s = self.bytes_per_s_min.max(1) as usize;
        self.call + Duration::from_secs((bytes / per_s) as u64)
    }

    /// Whether an object of that size is uploaded in parts.
    fn takes_parts(&self, bytes: usize) -> bool {
        bytes > self.part_bytes.saturating_mul(2)
    }
}

/// Tells a bucket that was made again from one that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketIdentity {
    /// Random, made with the first use of the bucket.
    pub id: Uuid,
    /// When that was, in microseconds since the epoch.
    pub created_at: Micros,
}

/// A handle on one bucket. Clones share what lies behind.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: BucketName,
    store: Arc<dyn Store>,
    limits: BucketLimits,
    /// A probe has seen the store replace what it was told to leave alone.
    overwrites: Arc<AtomicBool>,
    /// When a put last succeeded.
    written_at: Arc<Mutex<Option<Instant>>>,
}

impl Bucket {
    /// A handle on the bucket of that entry; local ones lie in `lake_dir`. Nothing is touched yet: whether
    /// the bucket is there, the first call tells.
    ///
    /// # Errors
    /// `Denied` if the entry has no credentials though its store needs some; `Other` if its endpoint makes no
    /// sense.
    pub fn open(entry: &BucketEntry, lake_dir: &Path) -> Result<Self, BucketError> {
        Self::open_in(entry, None, &Surroundings::new(lake_dir))
    }

    /// The same with a role that a task names, in other surroundings. A bucket with credentials of its own does
    /// not use the role.
    ///
    /// # Errors
    /// As [`Bucket::open`].
    pub fn open_in(
        entry: &BucketEntry,
        role: Option<&AssumedRole>,
        around: &Surroundings,
    ) -> Result<Self, BucketError> {
        let store: Arc<dyn Store> = match &entry.location {
            BucketLocation::Local => {
                Arc::new(local::LocalStore::new(&around.lake_dir, &entry.name, around.limits))
            }
            BucketLocation::S3(remote) => Arc::new(s3::open(remote, role_of(remote, role)?, around)?),
            BucketLocation::Oss(remote) => Arc::new(oss::open(remote, role_of(remote, role)?, around)?),
            BucketLocation::Azure(remote) => Arc::new(azure::open(remote, around)?),
            BucketLocation::Google(remote) => Arc::new(google::open(remote, around)?),
        };
        Ok(Self::over(entry.name.clone(), store, around.limits))
    }

    /// A handle on any store, such as one that a test makes fail.
    pub fn over(name: BucketName, store: Arc<dyn Store>, limits: BucketLimits) -> Self {
        Self { name, store, limits, overwrites: Arc::default(), written_at: Arc::default() }
    }

    /// Makes the directory of a local bucket, durably. A bucket of a store is made by its operator there, and
    /// one that exists is fine.
    ///
    /// # Errors
    /// What the system says.
    pub async fn create(entry: &BucketEntry, lake_dir: &Path) -> Result<(), BucketError> {
        match &entry.location {
            BucketLocation::Local => {
                local::LocalStore::new(lake_dir, &entry.name, BucketLimits::default()).create().await
            }
            _ => Ok(()),
        }
    }

    /// The name that tasks know it by.
    pub fn name(&self) -> &BucketName {
        &self.name
    }

    /// Writes an object under a name that is not taken. It appears whole or not at all.
    ///
    /// # Errors
    /// What the store says. The object may be there all the same, then or later.
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        let limit = self.limits.transfer(bytes.len());
        // Names are used once by one service, so looking first does where the store cannot.
        if self.overwrites.load(Ordering::Relaxed) && self.store.read(name, Part::End(1)).await?.is_some() {
            return Ok(PutOutcome::Exists);
        }
        let outcome = within(limit, self.store.put(name, bytes, PutMode::Create)).await??;
        self.note_written();
        Ok(outcome)
    }

    /// Writes an object under a name that may be taken, as the store itself does it.
    async fn create_over(&self, name: &str, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        within(self.limits.call, self.store.put(name, bytes, PutMode::Create)).await?
    }

    /// Ends uploads of that name that a crash has left half-way. Only while nobody puts it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end_uploads(&self, name: &str) -> Result<(), BucketError> {
        within(self.limits.call, self.store.end_uploads(name)).await?
    }

    /// Writes an object, over one of the same name if there is one. Readers see the old or the new, whole.
    ///
    /// # Errors
    /// What the store says. The object may be there all the same, then or later.
    pub async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), BucketError> {
        let limit = self.limits.transfer(bytes.len());
        within(limit, self.store.put(name, bytes, PutMode::Replace)).await??;
        self.note_written();
        Ok(())
    }

    fn note_written(&self) {
        *self.written_at.lock() = Some(Instant::now());
    }

    /// Removes an object. One that is not there is fine.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        within(self.limits.call, self.store.delete(name)).await?
    }

    /// Reads a whole object; nothing if there is none.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>, BucketError> {
        Ok(self.store.read(name, Part::Whole).await?.map(|object| object.bytes))
    }

    /// Every object below a folder, by name; an empty folder is the whole bucket.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self, folder: &str) -> Result<Vec<ListedObject>, BucketError> {
        let mut objects = Vec::new();
        self.visit(folder, &mut |object| objects.push(object)).await?;
        objects.sort();
        Ok(objects)
    }

    /// Shows every object below a folder, in no order, without holding them all. It may take minutes; each of
    /// its steps has the time of a call.
    ///
    /// # Errors
    /// What the store says.
    pub async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        self.store.visit(folder, show).await
    }

    /// The key-value metadata of a Parquet object, read from its end; nothing if there is no such object.
    ///
    /// # Errors
    /// What the store says, or `Other` if the object is not Parquet.
    pub async fn metadata(&self, name: &str) -> Result<Option<Vec<(String, String)>>, BucketError> {
        let mut end = FOOTER_BYTES;
        loop {
            let read = self.store.read(name, Part::End(end)).await?;
            let Some(ReadObject { bytes, object_bytes }) = read else { return Ok(None) };
            let whole = bytes.len() as u64 == object_bytes;
            match read_metadata(&bytes, object_bytes) {
                Ok(Footer::Read(metadata)) => return Ok(Some(metadata)),
                Ok(Footer::Longer(bytes)) if !whole => end = bytes as u64,
                Ok(Footer::Longer(_)) => {
                    return Err(BucketError::lasting(format!("object `{name}` ends too early")));
                }
                Err(error) => {
                    return Err(BucketError::lasting_from(format!("object `{name}` is no parquet"), error));
                }
            }
        }
    }

    /// The bucket's identity; nothing if it was never used, or made again since.
    ///
    /// # Errors
    /// What the store says, or `Other` if the identity cannot be read.
    pub async fn identity(&self) -> Result<Option<BucketIdentity>, BucketError> {
        let read = self.store.read(&identity_name(), Part::Whole).await?;
        let Some(ReadObject { bytes, .. }) = read else { return Ok(None) };
        let unreadable =
            |error| BucketError::lasting_from("the bucket's identity cannot be read".to_owned(), error);
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    /// Sees whether objects may be written, where a put has not just told. The store is asked to make an object that
    /// is there already, so nothing is written; one that would replace it is not asked. Only where the bucket is known
    /// to be there.
    ///
    /// # Errors
    /// What the store says.
    pub async fn try_writing(&self, told_within: Duration) -> Result<(), BucketError> {
        let has_told = self.written_at.lock().is_some_and(|at| at.elapsed() < told_within);
        if has_told || self.overwrites.load(Ordering::Relaxed) {
            return Ok(());
        }
        within(self.limits.call, self.store.try_writing()).await?
    }

    /// The bucket's identity, made now if there is none. Of two who make it at once, both get the same.
    ///
    /// # Errors
    /// As [`Bucket::identity`].
    pub async fn identify(&self, now: Micros) -> Result<BucketIdentity, BucketError> {
        if let Some(identity) = self.identity().await? {
            return Ok(identity);
        }
        let identity = BucketIdentity { id: Uuid::new_v4(), created_at: now };
        let bytes = serde_json::to_vec(&identity).expect("an identity has only texts for keys");
        match self.put_new(&identity_name(), bytes.into()).await? {
            PutOutcome::Created => Ok(identity),
            PutOutcome::Exists => {
                let gone = || BucketError::passing("the bucket's identity came and went".to_owned());
                self.identity().await?.ok_or_else(gone)
            }
        }
    }

    /// Removes what puts that were cut off by a crash have left behind. Only when no put is under way.
    ///
    /// # Errors
    /// What the store says.
    pub async fn clean_temporary(&self) -> Result<(), BucketError> {
        within(self.limits.call, self.store.clean_temporary()).await?
    }
}

/// The role to be assumed for a bucket: its own, or the one of the task if it has nothing else.
fn role_of<'r>(
    remote: &'r RemoteBucket,
    of_task: Option<&'r AssumedRole>,
) -> Result<Option<&'r AssumedRole>, BucketError> {
    match (&remote.assumed, of_task) {
        (Some(own), _) => Ok(Some(own)),
        (None, _) if !remote.needs_role() => Ok(None),
        (None, Some(role)) => Ok(Some(role)),
        (None, None) => Err(credentials::nobody(&remote.bucket, "it has neither a key nor a role")),
    }
}

fn identity_name() -> String {
    format!("{SERVICE_FOLDER}/identity")
}

/// The outcome of a call, if it comes in time.
async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Result<T, BucketError> {
    tokio::time::timeout(limit, call).await.map_err(|_| BucketError::timed_out(limit))
}
