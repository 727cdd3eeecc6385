//! Where a task's objects go: the bucket's entry, whether the task may use it, and whether it is still the one
//! that it was.
//!
//! Only buckets of the bucket table are written to. A task may name an endpoint; it is compared with the
//! entry's and never connected to.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lakeferry_lake::bucket::endpoint_agrees;
use lakeferry_lake::{Bucket, BucketError};
use lakeferry_model::delivery::Destination;
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RoleName};
use lakeferry_store::Store;
use parking_lot::Mutex;

use crate::trouble::Trouble;

/// Makes buckets of their entries. Nothing is asked of them yet.
pub trait OpenBucket: Send + Sync + fmt::Debug + 'static {
    /// A handle on the entry's bucket.
    ///
    /// # Errors
    /// As [`Bucket::open`].
    fn open(&self, entry: &BucketEntry) -> Result<Bucket, BucketError>;
}

/// The buckets of the lake, local ones under this directory.
#[derive(Debug)]
pub struct LakeBuckets(
    /// The directory of local buckets.
    pub PathBuf,
);

impl OpenBucket for LakeBuckets {
    fn open(&self, entry: &BucketEntry) -> Result<Bucket, BucketError> {
        Bucket::open(entry, &self.0)
    }
}

/// The buckets that tasks deliver into, opened once.
#[derive(Debug)]
pub(crate) struct Destinations {
    store: Store,
    opener: Arc<dyn OpenBucket>,
    open: Mutex<HashMap<BucketName, (BucketEntry, Bucket)>>,
}

impl Destinations {
    pub(crate) fn new(store: Store, opener: Arc<dyn OpenBucket>) -> Self {
        Self { store, opener, open: Mutex::new(HashMap::new()) }
    }

    /// The bucket of a task's destination, if the task may write to it as far as entries tell.
    pub(crate) fn find(&self, destination: &Destination) -> Result<Bucket, Trouble> {
        let name = &destination.bucket;
        let entry = self.store.bucket(name).ok_or_else(|| {
            Trouble::InvalidBucket(format!(
                "the bucket table has no bucket '{name}'; make it with: lakeferry bucket create {name}"
            ))
        })?;
        check_endpoint(destination, &entry)?;
        self.check_role(destination, &entry)?;
        self.open(&entry)
    }

    /// The bucket of that name, whatever tasks may do with it.
    pub(crate) fn find_by_name(&self, name: &BucketName) -> Option<Bucket> {
        let entry = self.store.bucket(name)?;
        self.open(&entry).ok()
    }

    fn open(&self, entry: &BucketEntry) -> Result<Bucket, Trouble> {
        let mut open = self.open.lock();
        if let Some((known, bucket)) = open.get(&entry.name)
            && *known == *entry
        {
            return Ok(bucket.clone());
        }
        let bucket = self.opener.open(entry).map_err(|error| Trouble::of_bucket(&entry.name, &error))?;
        open.insert(entry.name.clone(), (entry.clone(), bucket.clone()));
        Ok(bucket)
    }

    fn check_role(&self, destination: &Destination, entry: &BucketEntry) -> Result<(), Trouble> {
        if !needs_role(entry) {
            return Ok(());
        }
        let role =
            RoleName::parse(&destination.role).map_err(|error| Trouble::Unauthorized(error.message))?;
        match self.store.role(&role) {
            Some(_) => Ok(()),
            None => Err(Trouble::Unauthorized(format!(
                "the role '{role}' is missing; make it with: lakeferry role create {role}"
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

/// A local bucket, or one with credentials of its own, needs no role, whatever string the task names.
fn needs_role(entry: &BucketEntry) -> bool {
    match &entry.location {
        BucketLocation::Local => false,
        BucketLocation::S3 { credentials, .. } => credentials.is_none(),
    }
}

fn check_endpoint(destination: &Destination, entry: &BucketEntry) -> Result<(), Trouble> {
    if endpoint_agrees(&destination.endpoint, entry) {
        return Ok(());
    }
    let ours = match &entry.location {
        BucketLocation::S3 { endpoint: Some(endpoint), .. } => endpoint.as_str(),
        _ => "another endpoint",
    };
    Err(Trouble::InvalidBucket(format!(
        "bucket '{}' lies at {ours}, and the task names {}; make a task that names the bucket's own endpoint",
        entry.name, destination.endpoint
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{Secret, StoreCredentials};

    fn entry(has_credentials: bool) -> BucketEntry {
        let credentials = has_credentials.then(|| StoreCredentials {
            access_key_id: "id".to_owned(),
            access_key_secret: Secret::new("secret"),
        });
        BucketEntry {
            name: BucketName::parse("lake").unwrap(),
            location: BucketLocation::S3 {
                bucket: "lake".to_owned(),
                endpoint: Some("https://oss-cn-hangzhou.aliyuncs.com".to_owned()),
                region: "cn-hangzhou".to_owned(),
                credentials,
            },
            created_at: 0,
        }
    }

    #[test]
    fn only_a_bucket_without_credentials_needs_a_role() {
        assert!(needs_role(&entry(false)));
        assert!(!needs_role(&entry(true)));
        assert!(!needs_role(&BucketEntry { location: BucketLocation::Local, ..entry(false) }));
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
        assert_eq!(check_endpoint(&destination, &entry(true)), Ok(()));
        destination.endpoint = "oss-cn-beijing.aliyuncs.com".to_owned();
        assert!(matches!(check_endpoint(&destination, &entry(true)), Err(Trouble::InvalidBucket(_))));
    }
}
