//! The bucket table: the only places that delivery writes to.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_lake::{Bucket, Surroundings};
use lakeferry_model::{
    Ambient, AssumedRole, BucketEntry, BucketLocation, BucketName, RemoteBucket, Secret, StoreCredentials,
};
use lakeferry_wire::code::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use crate::error::{ApiError, chain};
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBucket {
    name: BucketName,
    /// `s3://BUCKET`, `oss://BUCKET`, `az://ACCOUNT/CONTAINER` or `gs://BUCKET`; absent: a directory under the
    /// data directory's `lake`.
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    /// `environment` or `instance`: where the server finds credentials by itself.
    credentials_from: Option<Ambient>,
    assume_role: Option<String>,
    external_id: Option<String>,
    sts_endpoint: Option<String>,
    /// A file on the server's computer.
    ca_file: Option<PathBuf>,
}

/// How to try a bucket out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The role, for a bucket that has no credentials of its own.
    role: Option<String>,
}

/// The bucket table, without secrets.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    let buckets: Vec<Value> = shared.store.buckets().iter().map(|bucket| told(&shared, bucket)).collect();
    Ok(Json(json!({ "buckets": buckets })))
}

/// Adds a bucket. A local one's directory is made.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(new): JsonBody<NewBucket>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    if shared.store.bucket(&new.name).is_some() {
        let message = format!("There is a bucket '{}' already.", new.name);
        return Err(ApiError::new(ErrorCode::ObjectAlreadyExist, message));
    }
    let name = new.name.clone();
    let location = new.location()?;
    check_opens(&shared, &name, &location)?;
    Ok(Json(told(&shared, &shared.make_bucket(name, location).await?)))
}

/// Tries a bucket out, as a task does when it begins.
pub async fn check(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    JsonBody(asked): JsonBody<Check>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    let name = BucketName::parse(&name)?;
    if shared.store.bucket(&name).is_none() {
        return Err(ApiError::new(ErrorCode::ObjectNotExist, format!("There is no bucket '{name}'.")));
    }
    let checked = shared.delivery.check_bucket(&name, asked.role.as_deref());
    let in_time = tokio::time::timeout_at(caller.deadline.into(), checked).await;
    Ok(Json(match in_time {
        Ok(Ok(probe)) => json!({ "error": null, "probe": probe, "detail": probe.doubt() }),
        Ok(Err((code, detail))) => json!({ "error": code, "probe": null, "detail": detail }),
        Err(_) => json!({ "error": "OK", "probe": null, "detail": "the bucket has not answered in time" }),
    }))
}

/// Refuses an entry that no call could be made with, such as one without credentials.
fn check_opens(shared: &Shared, name: &BucketName, location: &BucketLocation) -> Result<(), ApiError> {
    let entry = BucketEntry { name: name.clone(), location: location.clone(), created_at: 0 };
    // Whatever role a task will name.
    let role = AssumedRole::of_arn("");
    let opened = Bucket::open_in(&entry, Some(&role), &Surroundings::new(shared.settings.lake_dir()));
    opened
        .map(|_| ())
        .map_err(|error| ApiError::parameter(format!("The bucket cannot be added: {}.", chain(&error))))
}

impl NewBucket {
    fn location(self) -> Result<BucketLocation, ApiError> {
        let Some(url) = &self.url else {
            if self.has_extras() {
                return Err(ApiError::parameter(
                    "A local bucket takes a name alone; for an object store give its url, such as s3://BUCKET.",
                ));
            }
            return Ok(BucketLocation::Local);
        };
        let wrong = || {
            let message = format!(
                "The url '{url}' is not one of s3://BUCKET, oss://BUCKET, az://ACCOUNT/CONTAINER and gs://BUCKET."
            );
            ApiError::parameter(message)
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let rest = rest.trim_end_matches('/');
        let is_azure = scheme == "az";
        let (account, bucket) = match rest.split_once('/') {
            Some((account, container)) if is_azure => (Some(account.to_owned()), container),
            None if !is_azure => (None, rest),
            _ => return Err(wrong()),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains('/');
        if !is_name(bucket) || !account.as_deref().is_none_or(is_name) {
            return Err(wrong());
        }
        let location = match scheme {
            "s3" => BucketLocation::S3,
            "oss" => BucketLocation::Oss,
            "az" => BucketLocation::Azure,
            "gs" => BucketLocation::Google,
            _ => return Err(wrong()),
        };
        let bucket = bucket.to_owned();
        let region = match (&self.region, scheme) {
            (None, "s3") => "us-east-1",
            (region, _) => region.as_deref().unwrap_or_default(),
        };
        let region = region.to_owned();
        let credentials = self.credentials(account.as_deref())?;
        let assumed = self.assumed(scheme)?;
        if credentials.is_some() && self.credentials_from.is_some() {
            return Err(ApiError::parameter("A bucket takes a key or a place where one is found, not both."));
        }
        Ok(location(RemoteBucket {
            bucket,
            endpoint: self.endpoint,
            region,
            account,
            credentials,
            ambient: self.credentials_from,
            assumed,
            ca_file: self.ca_file,
        }))
    }

    fn has_extras(&self) -> bool {
        let texts =
            [&self.endpoint, &self.region, &self.access_key_id, &self.assume_role, &self.sts_endpoint];
        texts.iter().any(|text| text.is_some()) || self.credentials_from.is_some() || self.ca_file.is_some()
    }

    /// The key; on Azure and Google its secret alone tells whose it is.
    fn credentials(&self, account: Option<&str>) -> Result<Option<StoreCredentials>, ApiError> {
        let id = self.access_key_id.clone().or(account.map(str::to_owned));
        let is_google = self.url.as_deref().is_some_and(|url| url.starts_with("gs://"));
        match (id, self.access_key_secret.clone()) {
            (Some(access_key_id), Some(access_key_secret)) => {
                Ok(Some(StoreCredentials { access_key_id, access_key_secret }))
            }
            (None, Some(access_key_secret)) if is_google => {
                let access_key_id = service_account(&access_key_secret)?;
                Ok(Some(StoreCredentials { access_key_id, access_key_secret }))
            }
            (_, None) if self.access_key_id.is_none() => Ok(None),
            _ => Err(ApiError::parameter("An access key needs both its id and its secret.")),
        }
    }

    fn assumed(&self, scheme: &str) -> Result<Option<AssumedRole>, ApiError> {
        let Some(arn) = &self.assume_role else {
            if self.external_id.is_some() || self.sts_endpoint.is_some() {
                return Err(ApiError::parameter(
                    "An external id and an STS endpoint go with a role to be assumed.",
                ));
            }
            return Ok(None);
        };
        if !matches!(scheme, "s3" | "oss") || !AssumedRole::is_arn(arn) {
            return Err(ApiError::parameter(
                "A role is assumed on S3 and OSS, by its ARN, such as acs:ram::123456789012:role/lake.",
            ));
        }
        Ok(Some(AssumedRole {
            arn: arn.clone(),
            external_id: self.external_id.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
        }))
    }
}

/// The account in a service account's key file.
fn service_account(key: &Secret) -> Result<String, ApiError> {
    let file: Option<Value> = serde_json::from_str(key.reveal()).ok();
    let email = file.as_ref().and_then(|file| file.get("client_email")).and_then(Value::as_str);
    email.map(str::to_owned).ok_or_else(|| {
        ApiError::parameter("The secret of a Google bucket is the text of a service account's key file.")
    })
}

fn told(shared: &Shared, entry: &BucketEntry) -> Value {
    let remote = entry.location.remote();
    let url = remote.zip(entry.location.scheme()).map(|(remote, scheme)| {
        let account = remote.account.as_ref().map_or_else(String::new, |account| format!("{account}/"));
        format!("{scheme}://{account}{}", remote.bucket)
    });
    let note = shared.delivery.probe_of(&entry.name);
    json!({
        "name": entry.name,
        "url": url,
        "endpoint": remote.and_then(|remote| remote.endpoint.as_ref()),
        "region": remote.map(|remote| &remote.region).filter(|region| !region.is_empty()),
        "access_key_id": remote.and_then(|remote| Some(&remote.credentials.as_ref()?.access_key_id)),
        "credentials_from": remote.and_then(|remote| remote.ambient),
        "assume_role": remote.and_then(|remote| Some(&remote.assumed.as_ref()?.arn)),
        "needs_role": remote.is_some_and(RemoteBucket::needs_role),
        "probe": note.map(|note| note.probe),
        "probed_at": note.map(|note| note.at),
        "created_at": entry.created_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(asked: Value) -> Result<BucketLocation, ApiError> {
        serde_json::from_value::<NewBucket>(asked).unwrap().location()
    }

    #[test]
    fn a_url_tells_store_account_and_bucket() {
        let google = json!({ "client_email": "a@b" }).to_string();
        for (asked, scheme, account) in [
            (json!({ "name": "lake", "url": "s3://b/" }), "s3", None),
            (json!({ "name": "lake", "url": "oss://b", "region": "cn-hangzhou" }), "oss", None),
            (json!({ "name": "lake", "url": "az://a/b", "access_key_secret": "k" }), "az", Some("a")),
            (json!({ "name": "lake", "url": "gs://b", "access_key_secret": google }), "gs", None),
        ] {
            let location = location(asked).unwrap();
            let remote = location.remote().unwrap();
            assert_eq!((location.scheme(), remote.bucket.as_str()), (Some(scheme), "b"));
            assert_eq!(remote.account.as_deref(), account);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for asked in [
            json!({ "name": "lake", "url": "ftp://b" }),
            json!({ "name": "lake", "url": "s3://a/b" }),
            json!({ "name": "lake", "url": "az://b" }),
            json!({ "name": "lake", "region": "r" }),
            json!({ "name": "lake", "url": "s3://b", "access_key_id": "i" }),
            json!({ "name": "lake", "url": "gs://b", "access_key_secret": "no file" }),
            json!({ "name": "lake", "url": "gs://b", "assume_role": "arn:aws:iam::1:role/r" }),
            json!({ "name": "lake", "url": "s3://b", "assume_role": "r" }),
            json!({ "name": "lake", "url": "s3://b", "external_id": "x" }),
            json!({ "name": "lake", "url": "s3://b", "access_key_id": "i", "access_key_secret": "s",
                    "credentials_from": "instance" }),
        ] {
            assert!(location(asked.clone()).is_err(), "{asked}");
        }
    }
}
