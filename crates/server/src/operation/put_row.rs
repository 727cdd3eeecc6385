//! PutRow: replaces a whole row.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{PutRowRequest, PutRowResponse};

use super::{Call, write};
use crate::error::ApiError;

pub async fn answer(call: Call, mut request: PutRowRequest) -> Result<PutRowResponse, ApiError> {
    let transaction_id = request.transaction_id.take();
    let (table, change) = convert::put_row(request)?;
    let write::Answer { consumed, row } = write::one(&call, &table, change, transaction_id).await?;
    Ok(PutRowResponse { consumed, row })
}
