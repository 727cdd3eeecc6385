//! Opens a bucket of an S3-compatible store.

use std::sync::Arc;

use lakeferry_model::{Ambient, AssumedRole, RemoteBucket};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};

use super::assume::AssumeRole;
use super::cloud::CloudStore;
use super::credentials::{Told, nobody};
use super::error::BucketError;
use super::http::{Client, Connector, brief_retries, options};
use super::surroundings::Surroundings;
use super::uploads::Uploads;

/// The region where none is named.
const REGION: &str = "us-east-1";

/// The variables that hold keys.
const KEYS: [(&str, AmazonS3ConfigKey); 5] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
];

/// The variables that tell where an instance, a container or a pod asks.
const PLACES: [(&str, AmazonS3ConfigKey); 4] = [
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// A handle on the bucket; `role` is assumed with whatever credentials there are.
pub(super) fn open(
    remote: &RemoteBucket,
    role: Option<&AssumedRole>,
    around: &Surroundings,
) -> Result<CloudStore, BucketError> {
    let options = options(remote, &around.limits)?;
    let region = if remote.region.is_empty() { REGION } else { &remote.region };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&remote.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(false)
        .with_client_options(options.clone())
        .with_http_connector(Connector)
        .with_retry(brief_retries());
    if let Some(endpoint) = &remote.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    let unusable = |error| {
        BucketError::lasting_from(format!("the entry of bucket `{}` cannot be used", remote.bucket), error)
    };
    let (builder, place) = identified(builder, remote, around)?;
    // Built once for the credentials that the library finds, and once more over them.
    let found = builder.clone().build().map_err(unusable)?;
    let mut credentials: AwsCredentialProvider = Arc::new(Told::new(Arc::clone(found.credentials()), place));
    if let Some(role) = role {
        let client = Client::new(&sts_options(role, options.clone()))?;
        credentials = Arc::new(AssumeRole::new(credentials, role.clone(), region, client));
    }
    let store = builder.with_credentials(credentials).build().map_err(unusable)?;
    let host = remote.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let bucket_url = format!("{}/{}", host.trim_end_matches('/'), remote.bucket);
    let uploads = Uploads::new(Client::new(&options)?, &store, region, bucket_url);
    Ok(CloudStore::new(Arc::new(store), Some(uploads), around.limits))
}

fn sts_options(role: &AssumedRole, options: object_store::ClientOptions) -> object_store::ClientOptions {
    options.with_allow_http(role.sts_endpoint.as_deref().is_some_and(|url| url.starts_with("http://")))
}

/// Tells the library who the service is, and names the place where it says so.
fn identified(
    mut builder: AmazonS3Builder,
    remote: &RemoteBucket,
    around: &Surroundings,
) -> Result<(AmazonS3Builder, &'static str), BucketError> {
    if let Some(key) = &remote.credentials {
        let builder = builder
            .with_access_key_id(&key.access_key_id)
            .with_secret_access_key(key.access_key_secret.reveal());
        return Ok((builder, "the bucket table"));
    }
    let variable = |name| around.environment.get(name);
    let has_keys =
        variable("AWS_ACCESS_KEY_ID").is_some() || variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
    let from_environment = match remote.ambient {
        Some(Ambient::Environment) => true,
        Some(Ambient::Instance) => false,
        // For a role of a task: whatever there is.
        None => has_keys,
    };
    if from_environment && !has_keys {
        let missing =
            "the server's environment has neither AWS_ACCESS_KEY_ID nor AWS_WEB_IDENTITY_TOKEN_FILE";
        return Err(nobody(&remote.bucket, missing));
    }
    let variables = if from_environment { &KEYS[..] } else { &PLACES[..] };
    for (name, key) in variables {
        if let Some(value) = variable(name) {
            builder = builder.with_config(*key, value);
        }
    }
    let place = if from_environment { "the server's environment" } else { "the instance's metadata service" };
    Ok((builder, place))
}
