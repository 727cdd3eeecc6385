//! DeleteTable: removes a table, its rows and its tunnels. What was delivered stays in the lake.

use lakeferry_model::TableName;
use lakeferry_wire::proto::{DeleteTableRequest, DeleteTableResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: DeleteTableRequest) -> Result<DeleteTableResponse, ApiError> {
    let name = TableName::parse(&request.table_name)?;
    // No task is made between the look for tasks and the deletion.
    let _held = call.shared.hold_tables(call.deadline).await?;
    let table = call.table(&name)?;
    let tasks = call.shared.delivery.task_names(&table);
    if !tasks.is_empty() {
        let names: Vec<String> = tasks.iter().map(|task| format!("'{task}'")).collect();
        return Err(ApiError::parameter(format!(
            "Table '{name}' has delivery tasks: {}. Delete them first, with DeleteDeliveryTask.",
            names.join(", ")
        )));
    }
    let deleted = call.shared.store.delete_table(&call.instance, &name).await;
    // Also if nobody knows whether that was written: the table is gone, and whoever asks again finds none.
    if call.shared.store.table_by_id(table.id()).is_none() {
        call.shared.tunnels.forget_table(table.id(), call.deadline).await;
    }
    deleted?;
    Ok(DeleteTableResponse {})
}
