//! Who may call the store: a key that lasts, and sessions that end, as AWS's STS hands them out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lakeferry_model::SystemClock;
use parking_lot::Mutex;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// The key pair that lasts.
pub const KEY: (&str, &str) = ("gate", "gate-secret");

/// How long a session lasts: short enough that it ends while an upload is held.
pub const LIFE: Duration = Duration::from_secs(4);

/// The sessions so far, by their key ids.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    ends: Mutex<HashMap<String, Instant>>,
    last: AtomicU64,
}

impl Sessions {
    /// Makes a session, and tells it as the STS does.
    pub fn assume(&self) -> String {
        let id = format!("session-{}", self.0.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.0.ends.lock().insert(id.clone(), Instant::now() + LIFE);
        let life = i64::try_from(LIFE.as_micros()).unwrap_or_default();
        let ends = DateTime::from_timestamp_micros(SystemClock::shared().now_micros() + life);
        let ends = ends.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default();
        let secret = secret_of(&id);
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
             <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>token-of-{id}</SessionToken>\
             <Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )
    }

    /// When the session that signed a request ends; none if it was the key that lasts.
    pub fn end_of(&self, headers: &HeaderMap) -> Option<Instant> {
        let signed = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (_, credential) = signed.split_once("Credential=")?;
        self.0.ends.lock().get(credential.split('/').next()?).copied()
    }
}

#[async_trait::async_trait]
impl S3Auth for Sessions {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if id == KEY.0 {
            return Ok(SecretKey::from(KEY.1));
        }
        match self.0.ends.lock().get(id) {
            None => Err(s3_error!(InvalidAccessKeyId)),
            Some(end) if *end < Instant::now() => Err(s3_error!(ExpiredToken)),
            Some(_) => Ok(SecretKey::from(secret_of(id))),
        }
    }
}

fn secret_of(id: &str) -> String {
    format!("secret-of-{id}")
}
