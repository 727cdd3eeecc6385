//! Access keys. A secret is told once, when its key is made.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_model::{AccessKey, AccessKind, InstanceName};
use lakeferry_wire::code::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use crate::error::ApiError;
use crate::first_key;
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    kind: AccessKind,
    #[serde(default)]
    instances: Vec<InstanceName>,
}

/// All keys, without their secrets.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    let keys: Vec<Value> = shared.store.keys().iter().map(|key| told(key)).collect();
    Ok(Json(json!({ "keys": keys })))
}

/// Makes a key and tells its secret.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    if new.kind == AccessKind::Application && new.instances.is_empty() {
        return Err(ApiError::parameter("An application's key needs at least one instance that it may use."));
    }
    if let Some(missing) = new.instances.iter().find(|name| !shared.store.instance_exists(name)) {
        let message = format!("There is no instance '{missing}'; make it first.");
        return Err(ApiError::new(ErrorCode::ObjectNotExist, message));
    }
    let mut key = first_key::draw(new.kind, shared.clock().now_micros());
    key.instances = new.instances;
    shared.store.put_key(key.clone()).await?;
    let mut answer = told(&key);
    answer["secret"] = json!(key.secret.reveal());
    Ok(Json(answer))
}

/// Deletes a key. The last operator's key stays, or nobody could make another.
pub async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    // Two that delete at the same time would each see the other's operator.
    let _held = shared.hold_tables(caller.deadline).await?;
    let Some(key) = shared.store.key(&id) else {
        return Err(ApiError::new(ErrorCode::ObjectNotExist, format!("There is no access key '{id}'.")));
    };
    let operators = shared.store.keys().iter().filter(|key| key.kind == AccessKind::Operator).count();
    if key.kind == AccessKind::Operator && operators == 1 {
        let message = "This is the last operator's key; make another first.";
        return Err(ApiError::parameter(message));
    }
    lakeferry_store::aside(|| first_key::forget(&shared.settings.data, &id)).map_err(|error| {
        let message = "The key's file cannot be removed.";
        ApiError::internal(ErrorCode::InternalServerError, message, error.to_string())
    })?;
    shared.store.remove_key(&id).await?;
    Ok(Json(json!({})))
}

fn told(key: &AccessKey) -> Value {
    json!({
        "id": key.id,
        "kind": key.kind,
        "instances": key.instances,
        "created_at": key.created_at,
    })
}
