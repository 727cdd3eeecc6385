//! UpdateRow: changes single columns of a row.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{UpdateRowRequest, UpdateRowResponse};

use super::{Call, write};
use crate::error::ApiError;

pub async fn answer(call: Call, mut request: UpdateRowRequest) -> Result<UpdateRowResponse, ApiError> {
    let transaction_id = request.transaction_id.take();
    let (table, change) = convert::update_row(request)?;
    let write::Answer { consumed, row } = write::one(&call, &table, change, transaction_id).await?;
    Ok(UpdateRowResponse { consumed, row })
}
