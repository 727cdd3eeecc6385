//! The JSON API, for what the protocol has no words for. Signed as the protocol is, with the real method.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::error::Error;
use crate::retry::Effect;
use crate::transport::{Body, Call, Client, Dialect};

/// What a path without a slash in front stands under.
const ROOT: &str = "/api/v1/";

impl Client {
    /// Calls the JSON API. `path` is relative to `/api/v1/`, or absolute with a slash in front, without a query.
    /// An answer without a body is `null`.
    ///
    /// # Errors
    /// See [`Error`]. A GET is repeated as a read is, anything else as a write is.
    pub async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{ROOT}{path}") };
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let effect = if method == Method::GET { Effect::None } else { Effect::Once };
        let call = Call { method, path: &path, body: Body::from(body), effect, dialect: Dialect::Json };
        let answer = self.send(&call, self.backoff()).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|error| Error::malformed(path.as_str(), error))
    }
}

/// The code and message of an error's body.
pub(crate) fn error(body: &[u8]) -> Option<(String, String)> {
    let error: Value = serde_json::from_slice(body).ok()?;
    let text = |field: &str| error.get(field).and_then(Value::as_str).map(str::to_owned);
    Some((text("code")?, text("message").unwrap_or_default()))
}
