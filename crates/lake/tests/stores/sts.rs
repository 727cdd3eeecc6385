//! Those that hand out credentials: Alibaba Cloud's STS (signature version 1.0), AWS's STS (signature version 4),
//! and the metadata services of instances of all four clouds.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use lakeferry_model::SystemClock;
use parking_lot::Mutex;
use serde_json::json;

use super::keys::{Key, Keys, hex, hmac_sha1, hmac_sha256, sha256_hex};
use super::{Answer, Call, Protocol, Server, encoded, status, with_header, xml_error};

/// The server; it stops when dropped.
pub struct StsServer {
    pub state: Arc<State>,
    server: Server,
}

/// What the server knows.
#[derive(Debug)]
pub struct State {
    keys: Arc<Keys>,
    /// Roles that may be assumed, and those that an instance has.
    pub roles: Mutex<Vec<String>>,
    /// How long sessions last.
    pub life: Mutex<Duration>,
    /// Tokens of bearers, if a store takes such.
    tokens: Option<Arc<Mutex<Vec<String>>>>,
}

impl StsServer {
    /// Sessions are good for the server of these keys.
    pub async fn start(keys: &Arc<Keys>) -> Self {
        Self::start_with(Arc::clone(keys), None).await
    }

    /// Tokens are good for the server that shares them.
    pub async fn start_for_bearers(tokens: &Arc<Mutex<Vec<String>>>) -> Self {
        Self::start_with(Arc::default(), Some(Arc::clone(tokens))).await
    }

    async fn start_with(keys: Arc<Keys>, tokens: Option<Arc<Mutex<Vec<String>>>>) -> Self {
        let life = Mutex::new(Duration::from_secs(3600));
        let state = Arc::new(State { keys, roles: Mutex::default(), life, tokens });
        let server = Server::start(Arc::new(Sts(Arc::clone(&state)))).await;
        Self { state, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub fn host(&self) -> String {
        self.server.address.to_string()
    }
}

struct Sts(Arc<State>);

impl Protocol for Sts {
    fn answer(&self, call: &Call) -> Answer {
        let state = &*self.0;
        if call.query("Action") == Some("AssumeRole") {
            return state.assume_at_alibaba(call);
        }
        if String::from_utf8_lossy(&call.body).contains("Action=AssumeRole") {
            return state.assume_at_aws(call);
        }
        state.metadata(call)
    }
}

impl State {
    fn session(&self) -> (String, Key, Duration) {
        let life = *self.life.lock();
        let (id, key) = self.keys.add_session(life);
        (id, key, life)
    }

    fn assume_at_alibaba(&self, call: &Call) -> Answer {
        let refuse =
            |code: &str| status(403, json!({ "Code": code, "Message": "no", "RequestId": "1" }).to_string());
        let field = |name| call.query(name).unwrap_or_default();
        let Ok(key) = self.keys.find(field("AccessKeyId"), field("SecurityToken")) else {
            return refuse("InvalidAccessKeyId.NotFound");
        };
        let mut query: Vec<String> = call
            .query
            .iter()
            .filter(|(name, _)| name != "Signature")
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        query.sort();
        let text = format!("GET&%2F&{}", encoded(&query.join("&")));
        let right = BASE64_STANDARD.encode(hmac_sha1(format!("{}&", key.secret).as_bytes(), text.as_bytes()));
        if field("Signature") != right {
            return refuse("SignatureDoesNotMatch");
        }
        if !self.roles.lock().iter().any(|role| role == field("RoleArn")) {
            return refuse("NoPermission");
        }
        let (id, key, life) = self.session();
        let credentials = json!({
            "AccessKeyId": id,
            "AccessKeySecret": key.secret,
            "SecurityToken": key.token,
            "Expiration": said(life),
        });
        status(200, json!({ "Credentials": credentials, "RequestId": "1" }).to_string())
    }

    fn assume_at_aws(&self, call: &Call) -> Answer {
        let refuse = |code| xml_error(403, code);
        let given = call.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").unwrap_or_default();
        let field =
            |name: &str| given.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let (Some(credential), Some(signed), Some(signature)) =
            (field("Credential"), field("SignedHeaders"), field("Signature"))
        else {
            return refuse("MissingAuthenticationToken");
        };
        let (id, scope) = credential.split_once('/').unwrap();
        let Ok(key) = self.keys.find(id, call.header("x-amz-security-token")) else {
            return refuse("InvalidClientTokenId");
        };
        let headers: String =
            signed.split(';').map(|name| format!("{name}:{}\n", call.header(name).trim())).collect();
        let canonical = format!("POST\n/\n\n{headers}\n{signed}\n{}", sha256_hex(&call.body));
        let time = call.header("x-amz-date");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let start = format!("AWS4{}", key.secret).into_bytes();
        let signing = scope.split('/').fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
        if hex(&hmac_sha256(&signing, text.as_bytes())) != signature || !scope.contains("/sts/") {
            return refuse("SignatureDoesNotMatch");
        }
        let form = String::from_utf8_lossy(&call.body).into_owned();
        let is_known =
            |role: &String| form.split('&').any(|pair| pair == format!("RoleArn={}", encoded(role)));
        if !self.roles.lock().iter().any(is_known) {
            return refuse("AccessDenied");
        }
        let (id, key, life) = self.session();
        status(
            200,
            format!(
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
                 <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
                 <Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
                key.secret,
                key.token.unwrap(),
                said(life)
            ),
        )
    }

    /// What an instance is told. Sessions are given only to whoever has asked for a token first.
    fn metadata(&self, call: &Call) -> Answer {
        if call.method == Method::PUT && call.path == "/latest/api/token" {
            return status(200, "metadata-token");
        }
        if call.path.ends_with("/service-accounts/default/token")
            && call.header("metadata-flavor") == "Google"
        {
            return self.bearer("expires_in", json!(3600));
        }
        if call.query("resource").is_some() && call.header("metadata") == "true" {
            let ends = (chrono_now() + chrono::TimeDelta::hours(1)).timestamp().to_string();
            return self.bearer("expires_on", json!(ends));
        }
        let tokens = ["x-aws-ec2-metadata-token", "x-aliyun-ecs-metadata-token"];
        if !tokens.iter().any(|name| call.header(name) == "metadata-token") {
            return status(401, "");
        }
        let Some(role) = self.roles.lock().first().cloned() else { return status(404, "") };
        match call.path.split_once("/security-credentials/") {
            Some((_, "")) => status(200, role),
            Some((_, asked)) if asked == role => {
                let (id, key, life) = self.session();
                let told = json!({
                    "Code": "Success",
                    "AccessKeyId": id,
                    "SecretAccessKey": key.secret,
                    "AccessKeySecret": key.secret,
                    "Token": key.token,
                    "SecurityToken": key.token,
                    "Expiration": said(life),
                    "LastUpdated": said(Duration::ZERO),
                });
                status(200, told.to_string())
            }
            _ => status(404, ""),
        }
    }

    fn bearer(&self, name: &str, life: serde_json::Value) -> Answer {
        let Some(tokens) = &self.tokens else { return status(404, "") };
        let mut tokens = tokens.lock();
        let token = format!("bearer{}", tokens.len());
        tokens.push(token.clone());
        let mut told = json!({ "access_token": token, "token_type": "Bearer" });
        told[name] = life;
        with_header(status(200, told.to_string()), "content-type", "application/json")
    }
}

fn said(life: Duration) -> String {
    (chrono_now() + life).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn chrono_now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(SystemClock::shared().now_micros()).unwrap()
}
