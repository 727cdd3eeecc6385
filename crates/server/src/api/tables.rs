//! Tables, with what the protocol has no words for: partitions, their logs, their tasks.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lakeferry_model::TableName;
use lakeferry_store::{Partition, Table};
use serde_json::{Value, json};

use super::door::Caller;
use super::tasks;
use crate::error::ApiError;
use crate::shared::Shared;

/// The tables of an instance.
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(instance): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let instance = caller.instance(&shared, &instance)?;
    Ok(Json(json!({ "tables": shared.store.tables(&instance) })))
}

/// A table in full.
pub async fn describe(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((instance, table)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let table = find(&shared, &caller, &instance, &table)?;
    let info = table.info();
    let mut partitions = Vec::new();
    for partition in table.partitions() {
        partitions.push(partition_told(partition, &caller).await?);
    }
    Ok(Json(json!({
        "name": info.schema.name,
        "schema": info.schema,
        "options": info.options,
        "throughput": info.throughput,
        "stream": info.stream,
        "indexes": shared.store.index_reports(&table, caller.deadline).await?,
        "created_at": info.created_at,
        "partitions": partitions,
        "tasks": tasks::told(&shared, &table),
    })))
}

async fn partition_told(partition: &Partition, caller: &Caller) -> Result<Value, ApiError> {
    let head = partition.head();
    Ok(json!({
        "id": partition.id(),
        "last_sequence": head.sequence,
        "last_commit_time": head.commit_time,
        "closed_time": partition.closed_time(),
        "log_trimmed": partition.trimmed(),
        "log_bytes": partition.log_bytes(caller.deadline).await?,
    }))
}

/// The table of that name, if the caller may use its instance.
///
/// # Errors
/// If not, or there is none.
pub fn find(shared: &Shared, caller: &Caller, instance: &str, table: &str) -> Result<Table, ApiError> {
    let instance = caller.instance(shared, instance)?;
    Ok(shared.store.table(&instance, &TableName::parse(table)?)?)
}
