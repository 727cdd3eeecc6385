//! Roles: what grants the service access to buckets that have no credentials of their own.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_model::{AssumedRole, RoleEntry, RoleName};
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
    /// The role that the store's own STS knows.
    arn: Option<String>,
    external_id: Option<String>,
    sts_endpoint: Option<String>,
}

/// All roles.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    Ok(Json(json!({ "roles": shared.store.roles() })))
}

/// Makes a role. One that is there stays as it is, unless an ARN is given for it.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    JsonBody(new): JsonBody<NewRole>,
) -> Result<Json<RoleEntry>, ApiError> {
    caller.must_operate()?;
    let assumed = new.assumed()?;
    let known = shared.store.role(&new.name);
    if let Some(role) = known.as_ref().filter(|_| assumed.is_none()) {
        return Ok(Json((**role).clone()));
    }
    let created_at = known.map_or_else(|| shared.clock().now_micros(), |role| role.created_at);
    let role = RoleEntry { name: new.name, created_at, assumed };
    shared.store.put_role(role.clone()).await?;
    Ok(Json(role))
}

impl NewRole {
    fn assumed(&self) -> Result<Option<AssumedRole>, ApiError> {
        match &self.arn {
            Some(arn) if AssumedRole::is_arn(arn) => Ok(Some(AssumedRole {
                arn: arn.clone(),
                external_id: self.external_id.clone(),
                sts_endpoint: self.sts_endpoint.clone(),
            })),
            None if self.external_id.is_none() && self.sts_endpoint.is_none() => Ok(None),
            _ => Err(ApiError::parameter(
                "A role's ARN is one such as acs:ram::123456789012:role/lake; an external id and an STS endpoint go \
                 with it.",
            )),
        }
    }
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
