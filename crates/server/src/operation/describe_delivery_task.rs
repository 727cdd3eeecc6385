//! DescribeDeliveryTask: what a task was asked for, and how it is doing.

use lakeferry_model::{TableName, TaskName};
use lakeferry_wire::convert;
use lakeferry_wire::proto::{DescribeDeliveryTaskRequest, DescribeDeliveryTaskResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: DescribeDeliveryTaskRequest,
) -> Result<DescribeDeliveryTaskResponse, ApiError> {
    let table = TableName::parse(request.table_name())?;
    let task = TaskName::parse(request.task_name())?;
    let table = call.table(&table)?;
    let described = call.shared.delivery.describe(&table, &task)?;
    Ok(convert::describe_delivery_task_response(&described.spec, &described.status))
}
