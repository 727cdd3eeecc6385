//! AddDefinedColumn: declares further columns of a table.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{AddDefinedColumnRequest, AddDefinedColumnResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: AddDefinedColumnRequest,
) -> Result<AddDefinedColumnResponse, ApiError> {
    let (table, columns) = convert::add_defined_column(&request)?;
    let _held = call.shared.hold_tables(call.deadline).await?;
    call.shared.store.add_defined_columns(&call.instance, &table, columns).await?;
    Ok(AddDefinedColumnResponse {})
}
