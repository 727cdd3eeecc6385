//! Who may call, and where the lake's buckets are: the entries of the catalog that are not tables.

use std::fmt;
use std::path::PathBuf;

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
    /// The role that the store's own STS knows; absent: the one that the task names, if that is an ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<AssumedRole>,
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
    S3(RemoteBucket),
    /// A bucket of Alibaba Cloud OSS.
    Oss(RemoteBucket),
    /// A container of an Azure storage account.
    Azure(RemoteBucket),
    /// A bucket of Google Cloud Storage.
    Google(RemoteBucket),
}

impl BucketLocation {
    /// The bucket of an object store; nothing for a local one.
    pub fn remote(&self) -> Option<&RemoteBucket> {
        match self {
            Self::Local => None,
            Self::S3(remote) | Self::Oss(remote) | Self::Azure(remote) | Self::Google(remote) => Some(remote),
        }
    }

    /// The scheme of its URL; nothing for a local one.
    pub fn scheme(&self) -> Option<&'static str> {
        match self {
            Self::Local => None,
            Self::S3(_) => Some("s3"),
            Self::Oss(_) => Some("oss"),
            Self::Azure(_) => Some("az"),
            Self::Google(_) => Some("gs"),
        }
    }
}

/// A bucket of an object store, and how the service shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteBucket {
    /// The bucket's name there; a container's name on Azure.
    pub bucket: String,
    /// Scheme, host and port; absent: the store's own, by region or account.
    pub endpoint: Option<String>,
    /// The region to sign for; empty where the store has none.
    #[serde(default)]
    pub region: String,
    /// The storage account, on Azure alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// A key of its own.
    #[serde(default)]
    pub credentials: Option<StoreCredentials>,
    /// Where credentials are found if it has no key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,
    /// A role that is assumed with the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<AssumedRole>,
    /// A file of certificates, as PEM, that the store's own is trusted by beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl RemoteBucket {
    /// A bucket that has nothing but its name: tasks need a role.
    pub fn named(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: None,
            region: String::new(),
            account: None,
            credentials: None,
            ambient: None,
            assumed: None,
            ca_file: None,
        }
    }

    /// Whether a task must name a role that grants access: the bucket has no credentials of its own.
    pub fn needs_role(&self) -> bool {
        self.credentials.is_none() && self.ambient.is_none() && self.assumed.is_none()
    }
}

/// A key of an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCredentials {
    /// The public half: an access key's id, the storage account on Azure, the service account on Google.
    pub access_key_id: String,
    /// The secret half: an access key's secret, an account key on Azure, a service account's key file on Google.
    pub access_key_secret: Secret,
}

/// Where the server finds credentials outside its own catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambient {
    /// In the variables of its environment, under the names that the store's own programs use.
    Environment,
    /// From the computer it runs on: the role of an instance, a container or a managed identity.
    Instance,
}

/// A role of the store's own STS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AssumedRole {
    /// Its resource name, such as `acs:ram::123456789012:role/lake` or `arn:aws:iam::123456789012:role/lake`.
    pub arn: String,
    /// What the role's trust policy may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The STS endpoint; absent: the store's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
}

impl AssumedRole {
    /// The role of that ARN.
    pub fn of_arn(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), external_id: None, sts_endpoint: None }
    }

    /// Whether the text is an ARN that an STS can be asked for, rather than a short name.
    pub fn is_arn(text: &str) -> bool {
        (text.starts_with("acs:") || text.starts_with("arn:")) && text.contains(":role/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_an_older_program_opens() {
        let old = r#"{"name":"lake","created_at":7,"location":{"kind":"s3","bucket":"b","endpoint":null,
            "region":"r","credentials":{"access_key_id":"id","access_key_secret":"s"}}}"#;
        let entry: BucketEntry = serde_json::from_str(old).unwrap();
        let BucketLocation::S3(remote) = &entry.location else { panic!("{entry:?}") };
        assert_eq!((remote.bucket.as_str(), remote.region.as_str()), ("b", "r"));
        assert!(!remote.needs_role());
        let local: BucketLocation = serde_json::from_str(r#"{"kind":"local"}"#).unwrap();
        assert_eq!(local, BucketLocation::Local);
        let role: RoleEntry = serde_json::from_str(r#"{"name":"r","created_at":1}"#).unwrap();
        assert_eq!(role.assumed, None);
    }

    #[test]
    fn what_is_shown_of_an_entry_has_no_secret() {
        let credentials =
            StoreCredentials { access_key_id: "id".to_owned(), access_key_secret: Secret::new("hush") };
        let remote = RemoteBucket { credentials: Some(credentials), ..RemoteBucket::named("b") };
        let shown = format!("{:?}", BucketLocation::Oss(remote));
        assert!(shown.contains("id") && !shown.contains("hush"), "{shown}");
    }
}
