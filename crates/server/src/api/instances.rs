//! Instances: namespaces of tables.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use lakeferry_model::{InstanceEntry, InstanceName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use crate::error::ApiError;
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInstance {
    name: InstanceName,
}

/// The instances that the caller may use.
pub async fn list(State(shared): State<Arc<Shared>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let instances: Vec<InstanceEntry> =
        shared.store.instances().into_iter().filter(|instance| caller.key.may_use(&instance.name)).collect();
    Json(json!({ "instances": instances }))
}

/// Makes an instance.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(new): JsonBody<NewInstance>,
) -> Result<Json<InstanceEntry>, ApiError> {
    caller.must_operate()?;
    Ok(Json(shared.store.create_instance(&new.name).await?))
}
