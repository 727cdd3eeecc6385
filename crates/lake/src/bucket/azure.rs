//! Opens a container of an Azure storage account.
//!
//! Blocks that were never committed are forgotten by Azure after a week, so there are no uploads to end.

use std::sync::Arc;

use lakeferry_model::{Ambient, RemoteBucket};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::cloud::CloudStore;
use super::credentials::{Told, nobody};
use super::error::BucketError;
use super::http::{Connector, brief_retries, options};
use super::surroundings::Surroundings;

/// The variables that hold keys.
const KEYS: [(&str, AzureConfigKey); 7] = [
    ("AZURE_STORAGE_ACCOUNT_KEY", AzureConfigKey::AccessKey),
    ("AZURE_STORAGE_SAS_TOKEN", AzureConfigKey::SasKey),
    ("AZURE_CLIENT_ID", AzureConfigKey::ClientId),
    ("AZURE_CLIENT_SECRET", AzureConfigKey::ClientSecret),
    ("AZURE_TENANT_ID", AzureConfigKey::AuthorityId),
    ("AZURE_AUTHORITY_HOST", AzureConfigKey::AuthorityHost),
    ("AZURE_FEDERATED_TOKEN_FILE", AzureConfigKey::FederatedTokenFile),
];

/// A handle on the container.
pub(super) fn open(remote: &RemoteBucket, around: &Surroundings) -> Result<CloudStore, BucketError> {
    let unusable = |error| {
        BucketError::lasting_from(format!("the entry of container `{}` cannot be used", remote.bucket), error)
    };
    let account = remote.account.as_ref().or(remote.credentials.as_ref().map(|key| &key.access_key_id));
    let Some(account) = account else {
        return Err(BucketError::lasting(format!(
            "the entry of container `{}` names no account",
            remote.bucket
        )));
    };
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&remote.bucket)
        .with_account(account)
        .with_client_options(options(remote, &around.limits)?)
        .with_http_connector(Connector)
        .with_retry(brief_retries());
    if let Some(endpoint) = &remote.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let (builder, place) = identified(builder, remote, around)?;
    let found = builder.clone().build().map_err(unusable)?;
    let credentials = Told::new(Arc::clone(found.credentials()), place);
    let store = builder.with_credentials(Arc::new(credentials)).build().map_err(unusable)?;
    Ok(CloudStore::new(Arc::new(store), None, around.limits))
}

fn identified(
    mut builder: MicrosoftAzureBuilder,
    remote: &RemoteBucket,
    around: &Surroundings,
) -> Result<(MicrosoftAzureBuilder, &'static str), BucketError> {
    if let Some(key) = &remote.credentials {
        return Ok((builder.with_access_key(key.access_key_secret.reveal()), "the bucket table"));
    }
    let variable = |name| around.environment.get(name);
    match remote.ambient {
        Some(Ambient::Environment) => {
            let has_keys = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID"];
            if !has_keys.into_iter().any(|name| variable(name).is_some()) {
                let missing = "the server's environment has none of AZURE_STORAGE_ACCOUNT_KEY, \
                               AZURE_STORAGE_SAS_TOKEN and AZURE_CLIENT_ID";
                return Err(nobody(&remote.bucket, missing));
            }
            for (name, key) in KEYS {
                if let Some(value) = variable(name) {
                    builder = builder.with_config(key, value);
                }
            }
            Ok((builder, "Microsoft Entra"))
        }
        Some(Ambient::Instance) => {
            if let Some(endpoint) = variable("IDENTITY_ENDPOINT") {
                builder = builder.with_msi_endpoint(endpoint);
            }
            if let Some(id) = variable("AZURE_CLIENT_ID") {
                builder = builder.with_client_id(id);
            }
            Ok((builder, "the managed identity's metadata service"))
        }
        None => Err(nobody(&remote.bucket, "Azure has no roles that tasks could name; add it with a key")),
    }
}
