//! DropIndex: removes a secondary index. Its name is free at once; its entries go in the background.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{DropIndexRequest, DropIndexResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: DropIndexRequest) -> Result<DropIndexResponse, ApiError> {
    let (table, index) = convert::drop_index(&request)?;
    let _held = call.shared.hold_tables(call.deadline).await?;
    call.shared.store.drop_index(&call.instance, &table, &index).await?;
    Ok(DropIndexResponse {})
}
