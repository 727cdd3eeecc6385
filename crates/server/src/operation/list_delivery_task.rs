//! ListDeliveryTask: a table's tasks, by name and mode.

use lakeferry_model::TableName;
use lakeferry_wire::convert;
use lakeferry_wire::proto::{ListDeliveryTaskRequest, ListDeliveryTaskResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: ListDeliveryTaskRequest,
) -> Result<ListDeliveryTaskResponse, ApiError> {
    let name = TableName::parse(request.table_name())?;
    let table = call.table(&name)?;
    let tasks = call.shared.delivery.list(&table);
    let tasks = tasks.iter().map(|(task, mode)| convert::delivery_task_info(&name, task, *mode)).collect();
    Ok(ListDeliveryTaskResponse { tasks })
}
