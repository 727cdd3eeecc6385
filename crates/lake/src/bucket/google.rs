//! Opens a bucket of Google Cloud Storage.

use std::sync::Arc;

use lakeferry_model::{Ambient, RemoteBucket};
use object_store::gcp::GoogleCloudStorageBuilder;

use super::cloud::CloudStore;
use super::credentials::{Told, nobody};
use super::error::BucketError;
use super::http::{Connector, brief_retries, options};
use super::surroundings::Surroundings;

/// A handle on the bucket.
pub(super) fn open(remote: &RemoteBucket, around: &Surroundings) -> Result<CloudStore, BucketError> {
    let unusable = |error| {
        BucketError::lasting_from(format!("the entry of bucket `{}` cannot be used", remote.bucket), error)
    };
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&remote.bucket)
        .with_client_options(options(remote, &around.limits)?)
        .with_http_connector(Connector)
        .with_retry(brief_retries());
    if let Some(endpoint) = &remote.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    let (builder, place) = identified(builder, remote, around)?;
    let found = builder.clone().build().map_err(unusable)?;
    let credentials = Told::new(Arc::clone(found.credentials()), place);
    let store = builder.with_credentials(Arc::new(credentials)).build().map_err(unusable)?;
    Ok(CloudStore::new(Arc::new(store), None, around.limits))
}

fn identified(
    builder: GoogleCloudStorageBuilder,
    remote: &RemoteBucket,
    around: &Surroundings,
) -> Result<(GoogleCloudStorageBuilder, &'static str), BucketError> {
    if let Some(key) = &remote.credentials {
        return Ok((
            builder.with_service_account_key(key.access_key_secret.reveal()),
            "Google's token service",
        ));
    }
    match remote.ambient {
        Some(Ambient::Environment) => {
            let Some(path) = around.environment.get("GOOGLE_APPLICATION_CREDENTIALS") else {
                let missing = "the server's environment has no GOOGLE_APPLICATION_CREDENTIALS";
                return Err(nobody(&remote.bucket, missing));
            };
            Ok((builder.with_application_credentials(path), "Google's token service"))
        }
        Some(Ambient::Instance) => Ok((builder, "the instance's metadata service")),
        None => Err(nobody(&remote.bucket, "Google has no roles that tasks could name; add it with a key")),
    }
}
