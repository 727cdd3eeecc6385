//! Roles: what grants the service access to buckets that have no credentials of their own.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_model::{RoleEntry, RoleName};
use lakeferry_wire::code::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use crate::error::ApiError;
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    name: RoleName,
}

/// All roles.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    Ok(Json(json!({ "roles": shared.store.roles() })))
}

/// Makes a role. One that is there stays as it is.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(new): JsonBody<NewRole>,
) -> Result<Json<RoleEntry>, ApiError> {
    caller.must_operate()?;
    if let Some(role) = shared.store.role(&new.name) {
        return Ok(Json((*role).clone()));
    }
    let role = RoleEntry { name: new.name, created_at: shared.clock().now_micros() };
    shared.store.put_role(role.clone()).await?;
    Ok(Json(role))
}

/// Deletes a role. Tasks whose bucket needs it stop with UNAUTHORIZED until it is made again.
pub async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    let role = RoleName::parse(&name)?;
    if shared.store.role(&role).is_none() {
        return Err(ApiError::new(ErrorCode::ObjectNotExist, format!("There is no role '{role}'.")));
    }
    shared.store.remove_role(&role).await?;
    Ok(Json(json!({})))
}
