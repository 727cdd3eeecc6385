//! UpdateDeliveryTask: changes a task between two cuts. What the request leaves out stays as it is.

use lakeferry_delivery::CreateVia;
use lakeferry_wire::convert;
use lakeferry_wire::proto::{UpdateDeliveryTaskRequest, UpdateDeliveryTaskResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: UpdateDeliveryTaskRequest,
) -> Result<UpdateDeliveryTaskResponse, ApiError> {
    let (table, task, change) = convert::task_update(request)?;
    let table = call.table(&table)?;
    call.shared.update_task(&table, &task, change, CreateVia::Wire, call.deadline).await?;
    Ok(UpdateDeliveryTaskResponse {})
}
