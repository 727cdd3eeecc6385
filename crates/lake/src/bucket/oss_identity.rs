//! Who the service is towards OSS: OpenDAL's signer finds credentials, fetches them again before they expire, and
//! signs requests with V4.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use lakeferry_model::{Ambient, AssumedRole, RemoteBucket};
use reqsign_aliyun_oss::{
    AssumeRoleCredentialProvider, Credential, EcsRamRoleCredentialProvider, EnvCredentialProvider,
    RequestSigner, SigningVersion, StaticCredentialProvider,
};
use reqsign_core::{Context, HttpSend, ProvideCredential, Signer, StaticEnv};

use super::BucketLimits;
use super::answer::{Refusal, refusal};
use super::credentials::nobody;
use super::error::BucketError;
use super::http::{Client, options, request};
use super::surroundings::Surroundings;

/// The variables that the signer may see.
const VARIABLES: [&str; 6] = [
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT",
    "ALIBABA_CLOUD_IMDSV1_DISABLED",
];

/// Signs requests to one bucket.
#[derive(Debug)]
pub(super) struct Identity {
    signer: Signer<Credential>,
    /// The longest that fetching credentials is waited for.
    call: Duration,
}

/// Why a request could not be signed.
#[derive(Debug)]
pub(super) struct Unsigned(reqsign_core::Error);

impl Unsigned {
    /// The error of the call that needed the signature.
    pub(super) fn while_it(self, what: &str) -> BucketError {
        use reqsign_core::ErrorKind::{ConfigInvalid, CredentialInvalid, PermissionDenied};
        if let Some(refusal) = refusal(&self.0) {
            return BucketError::denied(format!("{what}: {refusal}"));
        }
        match self.0.kind() {
            CredentialInvalid | PermissionDenied | ConfigInvalid => BucketError::Denied {
                what: format!("{what}: there are no credentials"),
                source: Some(self.0.into()),
            },
            _ => BucketError::passing_from(format!("{what}: no credentials can be had"), self.0),
        }
    }
}

impl Identity {
    pub(super) fn new(
        remote: &RemoteBucket,
        role: Option<&AssumedRole>,
        region: &str,
        around: &Surroundings,
    ) -> Result<Self, BucketError> {
        let client = Client::new(&options(remote, &around.limits)?.with_allow_http(true))?;
        let seen =
            VARIABLES.into_iter().filter_map(|name| Some((name.to_owned(), around.environment.get(name)?)));
        let envs: HashMap<String, String> = seen.collect();
        let has_keys = envs.contains_key(VARIABLES[0]) && envs.contains_key(VARIABLES[1]);
        let base = base(remote, has_keys)?;
        let context = Context::new()
            .with_env(StaticEnv { home_dir: None, envs })
            .with_http_send(Asking { client, limits: around.limits });
        let request_signer =
            RequestSigner::new(&remote.bucket).with_region(region).with_signing_version(SigningVersion::V4);
        let signer = match role {
            None => Signer::new(context, base, request_signer),
            Some(role) => Signer::new(context, assumed(base, role), request_signer),
        };
        Ok(Self { signer, call: around.limits.call })
    }

    /// Signs a request whose address and headers are all there.
    pub(super) async fn sign(&self, parts: &mut Parts) -> Result<(), Unsigned> {
        match tokio::time::timeout(self.call, self.signer.sign(parts, None)).await {
            Ok(signed) => signed.map_err(Unsigned),
            Err(_) => {
                Err(Unsigned(reqsign_core::Error::unexpected("whoever gives credentials has not answered")))
            }
        }
    }
}

/// Where the service's own credentials come from. (The signer's own chain would forget why a place has none.)
#[derive(Debug)]
enum Base {
    Table(StaticCredentialProvider),
    Environment(EnvCredentialProvider),
    Instance(EcsRamRoleCredentialProvider),
}

impl ProvideCredential for Base {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        match self {
            Self::Table(provider) => provider.provide_credential(context).await,
            Self::Environment(provider) => provider.provide_credential(context).await,
            Self::Instance(provider) => provider.provide_credential(context).await,
        }
    }
}

fn base(remote: &RemoteBucket, has_keys: bool) -> Result<Base, BucketError> {
    if let Some(key) = &remote.credentials {
        let key = StaticCredentialProvider::new(&key.access_key_id, key.access_key_secret.reveal());
        return Ok(Base::Table(key));
    }
    match remote.ambient {
        Some(Ambient::Environment) if !has_keys => {
            let missing = "the server's environment has no ALIBABA_CLOUD_ACCESS_KEY_ID and \
                           ALIBABA_CLOUD_ACCESS_KEY_SECRET";
            Err(nobody(&remote.bucket, missing))
        }
        Some(Ambient::Environment) => Ok(Base::Environment(EnvCredentialProvider::new())),
        // For a role of a task: whatever there is.
        None if has_keys => Ok(Base::Environment(EnvCredentialProvider::new())),
        Some(Ambient::Instance) | None => Ok(Base::Instance(EcsRamRoleCredentialProvider::new())),
    }
}

fn assumed(base: Base, role: &AssumedRole) -> AssumeRoleCredentialProvider {
    let mut provider = AssumeRoleCredentialProvider::new()
        .with_base_provider(base)
        .with_role_arn(&role.arn)
        .with_role_session_name("lakeferry");
    if let Some(id) = &role.external_id {
        provider = provider.with_external_id(id);
    }
    if let Some(endpoint) = &role.sts_endpoint {
        provider = provider.with_sts_endpoint(endpoint);
    }
    provider
}

/// Asks the STS and the metadata service. What they refuse is told apart from what may pass.
#[derive(Debug)]
struct Asking {
    client: Client,
    limits: BucketLimits,
}

impl HttpSend for Asking {
    async fn http_send(&self, asked: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let unreachable = |error: Box<dyn std::error::Error + Send + Sync>| {
            reqsign_core::Error::unexpected("whoever gives credentials cannot be reached")
                .with_source(std::io::Error::other(error))
        };
        // The query of an STS request holds its signature: errors name the host alone.
        let host = asked.uri().host().unwrap_or_default().to_owned();
        let sent = tokio::time::timeout(self.limits.call, self.client.send(request(asked))).await;
        let reply = match sent {
            Ok(sent) => sent.map_err(|error| unreachable(error.into()))?,
            Err(_) => return Err(unreachable("no answer in time".into())),
        };
        let status = reply.status.as_u16();
        if matches!(status, 400..=499) && !matches!(status, 408 | 429) {
            let text = format!("`{host}` gives no credentials: it answers {status}{}", reason(&reply.body));
            return Err(reqsign_core::Error::permission_denied("refused").with_source(Refusal { text }));
        }
        let mut response = Response::new(reply.body);
        *response.status_mut() = reply.status;
        Ok(response)
    }
}

/// Code and message of an error of Alibaba Cloud's STS.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Told {
        code: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Told>(body) {
        // A signature that does not match is answered with all that was signed.
        Ok(Told { code, message }) => format!(" {code}: {}", message.chars().take(200).collect::<String>()),
        Err(_) => String::new(),
    }
}
