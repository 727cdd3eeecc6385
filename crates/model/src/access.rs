//! Who may call, and where the lake's buckets are: the entries of the catalog that are not tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::name::{BucketName, InstanceName, RoleName};

/// Text that must not reach a log. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What an access key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessKind {
    /// Everything, on all instances.
    Operator,
    /// Tables and tasks of the instances it is granted.
    Application,
}

/// An access key pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The public half: 1 to 64 of `[A-Za-z0-9+./_-]`.
    pub id: String,
    /// The secret half.
    pub secret: Secret,
    /// What it may do.
    pub kind: AccessKind,
    /// The instances that an application key may use.
    pub instances: Vec<InstanceName>,
    /// When it was made.
    pub created_at: Micros,
    /// Whether a start for development made it. Then it may be known to others, and any other start removes it.
    #[serde(default)]
    pub for_development: bool,
}

impl AccessKey {
    /// Whether the key may use the instance.
    pub fn may_use(&self, instance: &InstanceName) -> bool {
        self.kind == AccessKind::Operator || self.instances.contains(instance)
    }
}

/// An instance: a namespace of tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEntry {
    /// Its name.
    pub name: InstanceName,
    /// When it was made.
    pub created_at: Micros,
}

/// A role that grants the service access to buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEntry {
    /// Its short name.
    pub name: RoleName,
    /// When it was made.
    pub created_at: Micros,
}

impl RoleEntry {
    /// The service-linked role, made with the first delivery task as in the original.
    pub const SERVICE_LINKED: &str = "AliyunServiceRoleForOTSDataDelivery";
}

/// An entry of the bucket table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketEntry {
    /// The name that tasks know it by.
    pub name: BucketName,
    /// Where it lies.
    pub location: BucketLocation,
    /// When it was added.
    pub created_at: Micros,
}

/// Where a bucket lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BucketLocation {
    /// The directory of the bucket's name under the data directory's `lake`.
    Local,
    /// A bucket of an S3-compatible store.
    S3 {
        /// The bucket's name there.
        bucket: String,
        /// Scheme, host and port; absent: AWS by region.
        endpoint: Option<String>,
        /// The region to sign for.
        region: String,
        /// The key to sign with; absent: the bucket needs a role.
        credentials: Option<StoreCredentials>,
    },
}

/// A key of an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCredentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub access_key_secret: Secret,
}
