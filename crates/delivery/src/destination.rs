//! Where a task's objects go: the bucket's entry, whether the task may use it, and whether it is still the one
//! that it was.
//!
//! Only buckets of the bucket table are written to. A task may name an endpoint; it is compared with the
//! entry's and never connected to.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_lake::bucket::endpoint_agrees;
use lakeferry_lake::{Bucket, BucketError, Probe, Surroundings};
use lakeferry_model::delivery::Destination;
use lakeferry_model::{AssumedRole, BucketEntry, BucketName, Micros, RoleName};
use lakeferry_store::Store;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::trouble::Trouble;

/// Makes buckets of their entries. Nothing is asked of them yet.
pub trait OpenBucket: Send + Sync + fmt::Debug + 'static {
    /// A handle on the entry's bucket, reached with that role if it has no credentials of its own.
    ///
    /// # Errors
    /// As [`Bucket::open_in`].
    fn open(&self, entry: &BucketEntry, role: Option<&AssumedRole>) -> Result<Bucket, BucketError>;
}

/// The buckets of the lake, in these surroundings.
#[derive(Debug)]
pub struct LakeBuckets(
    /// The directory of local buckets, the limits of calls, the process's environment.
    pub Surroundings,
);

impl OpenBucket for LakeBuckets {
    fn open(&self, entry: &BucketEntry, role: Option<&AssumedRole>) -> Result<Bucket, BucketError> {
        Bucket::open_in(entry, role, &self.0)
    }
}

/// The buckets that tasks deliver into, opened once.
#[derive(Debug)]
pub(crate) struct Destinations {
    store: Store,
    opener: Arc<dyn OpenBucket>,
    open: Mutex<HashMap<Reached, Arc<Opened>>>,
    probes: Mutex<HashMap<BucketName, ProbeNote>>,
    /// A look at a bucket is good for this long.
    look_life: Duration,
}

/// A bucket, and the role it is reached with.
type Reached = (BucketName, Option<AssumedRole>);

/// A bucket that is open.
#[derive(Debug)]
struct Opened {
    entry: BucketEntry,
    bucket: Bucket,
    /// What the last look found. Tasks of one bucket look in turn, and share what is found.
    look: tokio::sync::Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    found: Result<Option<Uuid>, Trouble>,
}

impl Opened {
    /// The bucket's identity, if it has one; and whether it may be written to.
    async fn look_at_bucket(&self, told_within: Duration) -> Result<Option<Uuid>, BucketError> {
        let Some(identity) = self.bucket.identity().await? else { return Ok(None) };
        self.bucket.try_writing(told_within).await?;
        Ok(Some(identity.id))
    }
}

/// What was last tried out of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeNote {
    /// What it can do.
    pub probe: Probe,
    /// When that was, in microseconds since the epoch.
    pub at: Micros,
}

impl Destinations {
    pub(crate) fn new(store: Store, opener: Arc<dyn OpenBucket>, look_every: Duration) -> Self {
        let (open, probes) = (Mutex::default(), Mutex::default());
        Self { store, opener, open, probes, look_life: look_every / 2 }
    }

    /// The bucket of a task's destination, if the task may write to it as far as entries tell.
    pub(crate) fn find(&self, destination: &Destination) -> Result<Bucket, Trouble> {
        Ok(self.opened(destination)?.bucket.clone())
    }

    /// The identity of the destination's bucket, which may be written to, seen at most a few seconds ago; nothing if
    /// it has none.
    pub(crate) async fn look(&self, destination: &Destination) -> Result<Option<Uuid>, Trouble> {
        let opened = self.opened(destination)?;
        let mut look = opened.look.lock().await;
        if let Some(known) = look.as_ref().filter(|known| known.at.elapsed() < self.look_life) {
            return known.found.clone();
        }
        let found = opened.look_at_bucket(self.look_life).await;
        let found = found.map_err(|error| Trouble::of_bucket(&destination.bucket, &error));
        *look = Some(Look { at: Instant::now(), found: found.clone() });
        found
    }

    /// The bucket of that name, whatever tasks may do with it; nothing if the table has none. One that needs a
    /// role is reached with the named one; with no name, as far as it is known from tasks.
    pub(crate) fn find_by_name(&self, name: &BucketName, role: &str) -> Result<Option<Bucket>, Trouble> {
        let Some(entry) = self.store.bucket(name) else { return Ok(None) };
        if !role.is_empty() {
            let role = self.role(role, &entry)?;
            return Ok(Some(self.open(&entry, role)?.bucket.clone()));
        }
        let known = self.open.lock().values().find(|opened| opened.entry == *entry).cloned();
        match known {
            Some(opened) => Ok(Some(opened.bucket.clone())),
            None => Ok(Some(self.open(&entry, None)?.bucket.clone())),
        }
    }

    /// Tries a bucket out for an operator, with that role if it needs one.
    pub(crate) async fn check(
        &self,
        name: &BucketName,
        role: Option<&str>,
        now: Micros,
    ) -> Result<Probe, Trouble> {
        let entry = self.entry(name)?;
        let role = match role {
            Some(role) => self.role(role, &entry)?,
            None if entry.location.remote().is_some_and(|remote| remote.needs_role()) => {
                return Err(Trouble::Unauthorized(format!(
                    "bucket '{name}' has no credentials of its own: tell the role that tasks name for it"
                )));
            }
            None => None,
        };
        let bucket = self.open(&entry, role)?.bucket.clone();
        let probe = bucket.probe().await.map_err(|error| Trouble::of_bucket(name, &error))?;
        self.note_probe(name, probe, now);
        Ok(probe)
    }

    /// Remembers what was tried out.
    pub(crate) fn note_probe(&self, name: &BucketName, probe: Probe, at: Micros) {
        self.probes.lock().insert(name.clone(), ProbeNote { probe, at });
    }

    /// What was last tried out of a bucket since the start.
    pub(crate) fn probe_of(&self, name: &BucketName) -> Option<ProbeNote> {
        self.probes.lock().get(name).copied()
    }

    fn opened(&self, destination: &Destination) -> Result<Arc<Opened>, Trouble> {
        let entry = self.entry(&destination.bucket)?;
        check_endpoint(destination, &entry)?;
        let role = self.role(&destination.role, &entry)?;
        self.open(&entry, role)
    }

    fn entry(&self, name: &BucketName) -> Result<Arc<BucketEntry>, Trouble> {
        self.store.bucket(name).ok_or_else(|| {
            Trouble::InvalidBucket(format!(
                "the bucket table has no bucket '{name}'; make it with: lakeferry bucket create {name} (a \
                 directory), or: lakeferry bucket add {name} --url URL"
            ))
        })
    }

    fn open(&self, entry: &BucketEntry, role: Option<AssumedRole>) -> Result<Arc<Opened>, Trouble> {
        let mut open = self.open.lock();
        let key = (entry.name.clone(), role);
        if let Some(known) = open.get(&key).filter(|known| known.entry == *entry) {
            return Ok(Arc::clone(known));
        }
        let bucket = self.opener.open(entry, key.1.as_ref());
        let bucket = bucket.map_err(|error| Trouble::of_bucket(&entry.name, &error))?;
        let opened = Arc::new(Opened { entry: entry.clone(), bucket, look: tokio::sync::Mutex::new(None) });
        open.insert(key, Arc::clone(&opened));
        Ok(opened)
    }

    /// The role to be assumed for a bucket that has no credentials of its own. Such a bucket, or a local one,
    /// needs no role, whatever string the task names.
    fn role(&self, named: &str, entry: &BucketEntry) -> Result<Option<AssumedRole>, Trouble> {
        if !entry.location.remote().is_some_and(|remote| remote.needs_role()) {
            return Ok(None);
        }
        let name = RoleName::parse(named).map_err(|error| Trouble::Unauthorized(error.message))?;
        let Some(role) = self.store.role(&name) else {
            return Err(Trouble::Unauthorized(format!(
                "the role '{name}' is missing; make it with: lakeferry role create {name}"
            )));
        };
        match &role.assumed {
            Some(assumed) => Ok(Some(assumed.clone())),
            None if AssumedRole::is_arn(named) => Ok(Some(AssumedRole::of_arn(named))),
            None => Err(Trouble::Unauthorized(format!(
                "bucket '{}' has no credentials of its own, and the role '{name}' has no ARN that its store \
                 knows; give it one with: lakeferry role create {name} --arn ARN",
                entry.name
            ))),
        }
    }
}

/// The key-value metadata of an object; nothing if there is none, or if it is no Parquet and so not ours.
pub(crate) async fn metadata_of(
    bucket: &Bucket,
    name: &str,
) -> Result<Option<Vec<(String, String)>>, BucketError> {
    match bucket.metadata(name).await {
        Err(BucketError::Other { retryable: false, .. }) => Ok(None),
        answered => answered,
    }
}

fn check_endpoint(destination: &Destination, entry: &BucketEntry) -> Result<(), Trouble> {
    if endpoint_agrees(&destination.endpoint, entry) {
        return Ok(());
    }
    let ours = entry.location.remote().and_then(|remote| remote.endpoint.as_deref());
    let ours = ours.unwrap_or("another endpoint");
    Err(Trouble::InvalidBucket(format!(
        "bucket '{}' lies at {ours}, and the task names {}; make a task that names the bucket's own endpoint",
        entry.name, destination.endpoint
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{BucketLocation, RemoteBucket};

    fn entry() -> BucketEntry {
        BucketEntry {
            name: BucketName::parse("lake").unwrap(),
            location: BucketLocation::Oss(RemoteBucket {
                endpoint: Some("https://oss-cn-hangzhou.aliyuncs.com".to_owned()),
                ..RemoteBucket::named("lake")
            }),
            created_at: 0,
        }
    }

    #[test]
    fn an_endpoint_of_another_region_is_an_invalid_bucket() {
        let mut destination = Destination {
            bucket: BucketName::parse("lake").unwrap(),
            endpoint: "http://oss-cn-hangzhou-internal.aliyuncs.com".to_owned(),
            role: "r".to_owned(),
            prefix: "p".to_owned(),
            event_time: None,
            zone: "UTC".to_owned(),
            suffix: String::new(),
            dirty_prefix: None,
        };
        assert_eq!(check_endpoint(&destination, &entry()), Ok(()));
        destination.endpoint = "oss-cn-beijing.aliyuncs.com".to_owned();
        assert!(matches!(check_endpoint(&destination, &entry()), Err(Trouble::InvalidBucket(_))));
    }
}
