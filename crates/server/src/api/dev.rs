//! What only a server for development does: emptying itself between two tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json};
use lakeferry_delivery::ErrorKind;
use lakeferry_model::TaskName;
use lakeferry_store::Table;
use lakeferry_wire::code::ErrorCode;
use serde_json::{Value, json};

use super::door::Caller;
use crate::error::ApiError;
use crate::shared::Shared;

const INITIALIZING_WAIT: Duration = Duration::from_millis(20);

/// Deletes all tasks, tables and instances. Keys, buckets and roles stay, and so does what was delivered.
pub async fn reset(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    caller.must_operate()?;
    if !shared.settings.dev {
        let message = "Only a server for development, started with --dev, can be emptied.";
        return Err(ApiError::new(ErrorCode::NoPermissionAccess, message));
    }
    // No task is made while its table goes.
    let _held = shared.hold_tables(caller.deadline).await?;
    for table in shared.store.all_tables() {
        for task in shared.delivery.task_names(&table) {
            delete_task(&shared, &table, &task, caller.deadline).await?;
        }
        let info = table.info();
        shared.store.delete_table(&info.instance, &info.schema.name).await?;
        shared.tunnels.forget_table(table.id(), caller.deadline).await;
    }
    for instance in shared.store.instances() {
        shared.store.catalog().remove_instance(&instance.name).await?;
    }
    Ok(Json(json!({})))
}

/// Deletes a task as soon as it lets itself be deleted, which takes a moment for one that was just made.
async fn delete_task(
    shared: &Shared,
    table: &Table,
    task: &TaskName,
    deadline: Instant,
) -> Result<(), ApiError> {
    loop {
        match shared.delivery.delete(table, task).await {
            Err(error) if error.kind() == ErrorKind::Initializing && Instant::now() < deadline => {
                tokio::time::sleep(INITIALIZING_WAIT).await;
            }
            other => return Ok(other?),
        }
    }
}
