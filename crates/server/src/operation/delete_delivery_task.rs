//! DeleteDeliveryTask: ends a task. What it has delivered stays in the lake.

use lakeferry_model::{TableName, TaskName};
use lakeferry_wire::proto::{DeleteDeliveryTaskRequest, DeleteDeliveryTaskResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: DeleteDeliveryTaskRequest,
) -> Result<DeleteDeliveryTaskResponse, ApiError> {
    let table = TableName::parse(request.table_name())?;
    let task = TaskName::parse(request.task_name())?;
    let table = call.table(&table)?;
    call.shared.delivery.delete(&table, &task).await?;
    Ok(DeleteDeliveryTaskResponse {})
}
