//! DeleteDefinedColumn: takes declarations of columns back. What rows hold in them stays.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{DeleteDefinedColumnRequest, DeleteDefinedColumnResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: DeleteDefinedColumnRequest,
) -> Result<DeleteDefinedColumnResponse, ApiError> {
    let (table, columns) = convert::delete_defined_column(request)?;
    let _held = call.shared.hold_tables(call.deadline).await?;
    call.shared.store.delete_defined_columns(&call.instance, &table, &columns).await?;
    Ok(DeleteDefinedColumnResponse {})
}
