//! DeleteRow: removes a row.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{DeleteRowRequest, DeleteRowResponse};

use super::{Call, write};
use crate::error::ApiError;

pub async fn answer(call: Call, mut request: DeleteRowRequest) -> Result<DeleteRowResponse, ApiError> {
    let transaction_id = request.transaction_id.take();
    let (table, change) = convert::delete_row(request)?;
    let write::Answer { consumed, row } = write::one(&call, &table, change, transaction_id).await?;
    Ok(DeleteRowResponse { consumed, row })
}
