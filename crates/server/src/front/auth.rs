//! Who calls, and whether they may: everything that is checked before the body is read.

use std::sync::Arc;

use http::request::Parts;
use lakeferry_model::{AccessKey, AccessKind, InstanceName};
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::headers;
use lakeferry_wire::sign::SignedRequest;

use super::answer::Signer;
use crate::error::ApiError;
use crate::shared::Shared;

/// The request as its signature sees it.
///
/// # Errors
/// If a header of the protocol is no text.
pub fn signed_request(parts: &Parts) -> Result<SignedRequest<'_>, ApiError> {
    let mut all = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        if !name.as_str().starts_with(headers::PREFIX) {
            continue;
        }
        // UTF-8 is taken, since a table of instance names may hold it; the signature decides the rest.
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| ApiError::parameter(format!("Invalid header: '{name}'.")))?;
        all.push((name.as_str(), value));
    }
    let query = parts.uri.query().unwrap_or_default();
    Ok(SignedRequest::new(parts.method.as_str(), parts.uri.path(), query, all))
}

/// Checks the protocol's version, the clock skew, the access key and the signature. `signer` is set as soon as
/// the answer can be signed.
///
/// # Errors
/// What the protocol answers to each of these.
pub fn authenticate(
    shared: &Shared,
    signed: &SignedRequest<'_>,
    signer: &mut Option<Signer>,
) -> Result<Arc<AccessKey>, ApiError> {
    let version = signed.require(headers::APIVERSION)?;
    if version != headers::API_VERSION && version != headers::API_VERSION_TUNNEL {
        return Err(ApiError::parameter(format!("Unsupported API version: '{version}'.")));
    }
    signed.check_date(shared.clock().now_micros())?;
    signed.require(headers::CONTENT_MD5)?;
    let id = signed.require(headers::ACCESS_KEY_ID)?;
    let Some(key) = shared.store.key(id) else {
        return Err(ApiError::new(ErrorCode::AuthFailed, message::NO_SUCH_ACCESS_KEY));
    };
    let signing = signed.verify(key.secret.reveal())?;
    *signer = Some(Signer { access_key_id: key.id.clone(), key: signing });
    Ok(key)
}

/// The instance that the call is for. With `--dev` one that is missing is made.
///
/// # Errors
/// If there is no such instance, or the key may not use it.
pub async fn instance(
    shared: &Shared,
    signed: &SignedRequest<'_>,
    caller: &AccessKey,
) -> Result<InstanceName, ApiError> {
    let not_found = || ApiError::new(ErrorCode::AuthFailed, message::NO_SUCH_INSTANCE);
    let name = signed.require(headers::INSTANCE_NAME)?;
    let instance = InstanceName::parse(name).map_err(|_| not_found())?;
    if !caller.may_use(&instance) {
        return Err(ApiError::new(ErrorCode::AuthFailed, message::NO_PRIVILEGE));
    }
    if !shared.store.instance_exists(&instance) {
        if !shared.settings.dev {
            return Err(not_found());
        }
        shared.make_instance(&instance).await?;
    }
    Ok(instance)
}

/// Refuses everybody but operators.
///
/// # Errors
/// If the key is an application's.
pub fn operator(caller: &AccessKey) -> Result<(), ApiError> {
    match caller.kind {
        AccessKind::Operator => Ok(()),
        AccessKind::Application => Err(ApiError::operators_only()),
    }
}
