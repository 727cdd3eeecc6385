//! A role of AWS's STS: short-lived credentials, fetched again well before they expire.
//!
//! While the STS is out of reach, those at hand are used as long as they last.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use http::header::{CONTENT_TYPE, DATE};
use http::{Method, Request};
use lakeferry_model::AssumedRole;
use object_store::CredentialProvider;
use object_store::aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::{Answer, element};
use super::credentials::{failed, refused};
use super::http::{Client, Reply, request};
use super::uploads::encoded;

/// The life that is asked for; STS grants it to every role.
const SESSION: Duration = Duration::from_secs(3600);
/// How long before their end credentials are fetched again, or at half of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);

/// Assumes a role with other credentials.
#[derive(Debug)]
pub(super) struct AssumeRole {
    base: AwsCredentialProvider,
    role: AssumedRole,
    region: String,
    client: Client,
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Session {
    credential: Arc<AwsCredential>,
    refresh_at: Instant,
    ends_at: Instant,
}

impl AssumeRole {
    pub(super) fn new(base: AwsCredentialProvider, role: AssumedRole, region: &str, client: Client) -> Self {
        Self { base, role, region: region.to_owned(), client, session: Mutex::new(None) }
    }

    async fn assume(&self) -> object_store::Result<Session> {
        let base = self.base.get_credential().await?;
        let asked_at = Instant::now();
        let unreachable = |error| failed("the STS cannot be reached to assume the role".to_owned(), error);
        let mut call = request(self.call()?);
        AwsAuthorizer::new(&base, "sts", &self.region).authorize(&mut call, None);
        let reply = self.client.send(call).await.map_err(|error| unreachable(Box::new(error)))?;
        let status = reply.status.as_u16();
        let answer = Answer::of(status, &reply.body);
        match status {
            200 => self.session_of(&reply, asked_at),
            408 | 429 | 500.. => Err(failed(format!("the STS answers {status}"), answer.code)),
            _ => Err(refused(format!(
                "the STS does not let the service assume role `{}`: it answers {status} {}: {}",
                self.role.arn,
                answer.code,
                element(&reply.text(), "Message")
            ))),
        }
    }

    fn call(&self) -> object_store::Result<Request<Bytes>> {
        let endpoint = match &self.role.sts_endpoint {
            Some(endpoint) if endpoint.contains("://") => endpoint.trim_end_matches('/').to_owned(),
            Some(host) => format!("https://{host}"),
            None => format!("https://sts.{}.amazonaws.com", self.region),
        };
        let mut form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=lakeferry&DurationSeconds={}&RoleArn={}",
            SESSION.as_secs(),
            encoded(&self.role.arn, false)
        );
        if let Some(id) = &self.role.external_id {
            form.push_str("&ExternalId=");
            form.push_str(&encoded(id, false));
        }
        Request::builder()
            .method(Method::POST)
            .uri(format!("{endpoint}/"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.into())
            .map_err(|_| refused(format!("the STS endpoint `{endpoint}` is no address")))
    }

    fn session_of(&self, reply: &Reply, asked_at: Instant) -> object_store::Result<Session> {
        let text = reply.text();
        let credential = AwsCredential {
            key_id: element(&text, "AccessKeyId"),
            secret_key: element(&text, "SecretAccessKey"),
            token: Some(element(&text, "SessionToken")),
        };
        if credential.key_id.is_empty() || credential.secret_key.is_empty() {
            return Err(failed("the STS's answer holds no credentials".to_owned(), self.role.arn.clone()));
        }
        // The life is told by the STS's own clock, so that ours may be wrong.
        let said_at =
            reply.headers.get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        let ends = DateTime::parse_from_rfc3339(&element(&text, "Expiration")).ok();
        let life = said_at.zip(ends).and_then(|(said, ends)| (ends - said).to_std().ok()).unwrap_or(SESSION);
        Ok(Session {
            credential: Arc::new(credential),
            refresh_at: asked_at + life.saturating_sub(AHEAD).max(life / 2),
            ends_at: asked_at + life,
        })
    }
}

#[async_trait]
impl CredentialProvider for AssumeRole {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut session = self.session.lock().await;
        let now = Instant::now();
        if let Some(known) = session.as_ref().filter(|known| now < known.refresh_at) {
            return Ok(Arc::clone(&known.credential));
        }
        match (self.assume().await, session.as_ref()) {
            (Ok(new), _) => Ok(Arc::clone(&session.insert(new).credential)),
            (Err(error), Some(known)) if now < known.ends_at => {
                tracing::warn!(%error, role = self.role.arn, "a role could not be assumed again, going on as before");
                Ok(Arc::clone(&known.credential))
            }
            (Err(error), _) => Err(error),
        }
    }
}
