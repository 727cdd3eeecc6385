//! Delivery tasks, with what the protocol has no words for: tuning, zone, suffix, and what is beside a task's
//! phase in its status.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_delivery::CreateVia;
use lakeferry_model::delivery::{TaskSpec, Tuning, TuningChange};
use lakeferry_model::{TableName, TaskName};
use lakeferry_store::Table;
use serde_json::{Value, json};

use super::door::{Caller, JsonBody};
use super::patch;
use super::tables::find;
use crate::error::ApiError;
use crate::metrics::{TaskLabel, TaskReading};
use crate::shared::Shared;

/// A table's tasks, by name and mode.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((instance, table)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let table = find(&shared, &caller, &instance, &table)?;
    Ok(Json(json!({ "tasks": told(&shared, &table) })))
}

/// All tasks of an instance in full, by table and name.
pub async fn list_all(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(instance): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let instance = caller.instance(&shared, &instance)?;
    let mut tasks = Vec::new();
    for name in shared.store.tables(&instance) {
        // What was deleted meanwhile is left out.
        let Ok(table) = shared.store.table(&instance, &name) else { continue };
        let names = shared.delivery.task_names(&table);
        tasks.extend(names.iter().filter_map(|task| in_full(&shared, &table, task).ok()));
    }
    Ok(Json(json!({ "tasks": tasks })))
}

/// Makes a task. What its tuning leaves out comes from the server's settings.
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((instance, table)): Path<(String, String)>,
    JsonBody(asked): JsonBody<Value>,
) -> Result<Json<Value>, ApiError> {
    let spec = specified(asked, &shared.settings.tuning())?;
    let instance = caller.instance(&shared, &instance)?;
    let table = TableName::parse(&table)?;
    let name = spec.name.clone();
    let table = shared.create_task(&instance, &table, spec, CreateVia::Own, caller.deadline).await?;
    described(&shared, &table, &name)
}

/// A task's specification and status.
pub async fn describe(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    described(&shared, &table, &task)
}

/// Changes a task: a merge patch (RFC 7396) of its specification, whose schema is replaced as a whole, and
/// `add_columns`, which join a schema of columns by name.
pub async fn update(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    let defaults = shared.settings.tuning();
    let change = |spec| patch::patched(&spec, patch.clone(), &defaults);
    shared.update_task(&table, &task, change, CreateVia::Own, caller.deadline).await?;
    described(&shared, &table, &task)
}

/// Ends a task. What it has delivered stays.
pub async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.delete(&table, &task).await?;
    Ok(Json(json!({})))
}

/// Cuts everything gathered, without waiting for its age or size.
pub async fn deliver_now(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.deliver_now(&table, &task)?;
    described(&shared, &table, &task)
}

/// Begins a new run, which delivers the whole table again.
pub async fn deliver_again(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.deliver_again(&table, &task).await?;
    described(&shared, &table, &task)
}

/// Pauses a task: nothing is delivered until it is resumed, also after a restart.
pub async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.pause(&table, &task).await?;
    described(&shared, &table, &task)
}

/// Lets a paused task go on.
pub async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.resume(&table, &task).await?;
    described(&shared, &table, &task)
}

/// Has a task in trouble try again at once.
pub async fn retry_now(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.retry_now(&table, &task)?;
    described(&shared, &table, &task)
}

/// Changes a task's tuning, as far as that takes effect at once.
pub async fn tune(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
    JsonBody(change): JsonBody<TuningChange>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    shared.delivery.tune(&table, &task, &change).await?;
    described(&shared, &table, &task)
}

/// What a task has been through, oldest first.
pub async fn history(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (table, task) = find_task(&shared, &caller, &path)?;
    Ok(Json(json!({ "events": shared.delivery.history(&table, &task)? })))
}

/// A table's tasks, as lists tell them.
pub fn told(shared: &Shared, table: &Table) -> Vec<Value> {
    let tasks = shared.delivery.list(table);
    tasks.iter().map(|(name, mode)| json!({ "name": name, "mode": mode })).collect()
}

/// How every task of the server is doing, for the metrics.
pub fn all(shared: &Shared) -> Vec<TaskReading> {
    let mut all = Vec::new();
    for table in shared.store.all_tables() {
        let info = table.info();
        for task in shared.delivery.task_names(&table) {
            let label = TaskLabel {
                instance: info.instance.to_string(),
                table: info.schema.name.to_string(),
                task: task.to_string(),
            };
            // One that was deleted meanwhile is left out.
            all.extend(reading(shared, &table, &task, label).ok());
        }
    }
    all
}

fn reading(
    shared: &Shared,
    table: &Table,
    task: &TaskName,
    label: TaskLabel,
) -> Result<TaskReading, lakeferry_delivery::Error> {
    Ok(TaskReading {
        label,
        status: shared.delivery.describe(table, task)?.status,
        failures: shared.delivery.failures(table, task)?,
        freshness: shared.delivery.freshness(table, task)?,
    })
}

/// Reads a specification whose tuning may be partly or wholly left out.
fn specified(mut asked: Value, defaults: &Tuning) -> Result<TaskSpec, ApiError> {
    let Value::Object(fields) = &mut asked else {
        return Err(ApiError::malformed("a task's specification is a JSON object"));
    };
    let mut tuning = serde_json::to_value(defaults).map_err(ApiError::malformed)?;
    match (fields.remove("tuning"), &mut tuning) {
        (None | Some(Value::Null), _) => {}
        (Some(Value::Object(asked)), Value::Object(merged)) => {
            if let Some(unknown) = asked.keys().find(|name| !merged.contains_key(*name)) {
                return Err(ApiError::parameter(format!("There is no tuning '{unknown}'.")));
            }
            merged.extend(asked.into_iter().filter(|(_, value)| !value.is_null()));
        }
        (Some(_), _) => return Err(ApiError::malformed("a task's tuning is a JSON object")),
    }
    fields.insert("tuning".to_owned(), tuning);
    serde_json::from_value(asked).map_err(ApiError::malformed)
}

fn find_task(
    shared: &Shared,
    caller: &Caller,
    (instance, table, task): &(String, String, String),
) -> Result<(Table, TaskName), ApiError> {
    Ok((find(shared, caller, instance, table)?, TaskName::parse(task)?))
}

fn described(shared: &Shared, table: &Table, task: &TaskName) -> Result<Json<Value>, ApiError> {
    in_full(shared, table, task).map(Json)
}

fn in_full(shared: &Shared, table: &Table, task: &TaskName) -> Result<Value, ApiError> {
    let described = shared.delivery.describe(table, task)?;
    Ok(json!({
        "table": table.info().schema.name,
        "name": task,
        "spec": described.spec,
        "status": described.status,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tuning: &Value) -> Value {
        json!({
            "name": "orders-lake",
            "mode": "BASE_INC",
            "destination": {
                "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "orders", "event_time": null,
            },
            "schema": { "automatic": { "reserved": true } },
            "tuning": tuning,
        })
    }

    #[test]
    fn what_the_tuning_leaves_out_comes_from_the_settings() {
        let defaults = Tuning { object_age_ms_max: 1, lanes_min: 2, ..Tuning::default() };
        assert_eq!(specified(asked(&Value::Null), &defaults).unwrap().tuning, defaults);
        let mut without = asked(&Value::Null);
        without.as_object_mut().unwrap().remove("tuning");
        assert_eq!(specified(without, &defaults).unwrap().tuning, defaults);
        let partial = json!({ "lanes_min": 3, "object_bytes_max": null });
        let spec = specified(asked(&partial), &defaults).unwrap();
        assert_eq!(spec.tuning, Tuning { lanes_min: 3, ..defaults });
    }

    #[test]
    fn an_unknown_tuning_is_refused_by_name() {
        let error = specified(asked(&json!({ "lane_min": 3 })), &Tuning::default()).unwrap_err();
        assert!(error.message.contains("lane_min"), "{}", error.message);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(specified(json!([]), &Tuning::default()).is_err());
        assert!(specified(asked(&json!(3)), &Tuning::default()).is_err());
    }
}
