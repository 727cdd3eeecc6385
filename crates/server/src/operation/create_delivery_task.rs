//! CreateDeliveryTask: begins to ferry a table into the lake.

use lakeferry_delivery::CreateVia;
use lakeferry_wire::convert;
use lakeferry_wire::proto::{CreateDeliveryTaskRequest, CreateDeliveryTaskResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: CreateDeliveryTaskRequest,
) -> Result<CreateDeliveryTaskResponse, ApiError> {
    let (table, spec) = convert::task_spec(&request, &call.shared.settings.tuning())?;
    call.shared.create_task(&call.instance, &table, spec, CreateVia::Wire, call.deadline).await?;
    Ok(CreateDeliveryTaskResponse {})
}
