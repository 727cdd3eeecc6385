//! The bucket table: the only places that delivery writes to.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, Secret, StoreCredentials};
use lakeferry_wire::code::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use crate::error::ApiError;
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBucket {
    name: BucketName,
    /// `s3://BUCKET`; absent: a directory under the data directory's `lake`.
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
}

/// The bucket table, without secrets.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    let buckets: Vec<Value> = shared.store.buckets().iter().map(|bucket| told(bucket)).collect();
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
    Ok(Json(told(&shared.make_bucket(name, location).await?)))
}

impl NewBucket {
    fn location(self) -> Result<BucketLocation, ApiError> {
        let Some(url) = self.url else {
            let extras = self.endpoint.is_some() || self.access_key_id.is_some() || self.region.is_some();
            if extras {
                return Err(ApiError::parameter(
                    "A local bucket takes a name alone; for an object store give its url, s3://BUCKET.",
                ));
            }
            return Ok(BucketLocation::Local);
        };
        let bucket = url.strip_prefix("s3://").map(|rest| rest.trim_end_matches('/'));
        let Some(bucket) = bucket.filter(|bucket| !bucket.is_empty() && !bucket.contains('/')) else {
            let message = format!("The url '{url}' is not one of s3://BUCKET.");
            return Err(ApiError::parameter(message));
        };
        let credentials = match (self.access_key_id, self.access_key_secret) {
            (Some(access_key_id), Some(access_key_secret)) => {
                Some(StoreCredentials { access_key_id, access_key_secret })
            }
            (None, None) => None,
            _ => return Err(ApiError::parameter("An access key needs both its id and its secret.")),
        };
        Ok(BucketLocation::S3 {
            bucket: bucket.to_owned(),
            endpoint: self.endpoint,
            region: self.region.unwrap_or_else(|| "us-east-1".to_owned()),
            credentials,
        })
    }
}

fn told(entry: &BucketEntry) -> Value {
    let (url, endpoint, region, access_key_id) = match &entry.location {
        BucketLocation::Local => (None, None, None, None),
        BucketLocation::S3 { bucket, endpoint, region, credentials } => (
            Some(format!("s3://{bucket}")),
            endpoint.clone(),
            Some(region.clone()),
            credentials.as_ref().map(|key| key.access_key_id.clone()),
        ),
    };
    json!({
        "name": entry.name,
        "url": url,
        "endpoint": endpoint,
        "region": region,
        "access_key_id": access_key_id,
        "created_at": entry.created_at,
    })
}
