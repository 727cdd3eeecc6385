//! CreateIndex: makes a secondary index on a table that is there. With its base data, it can be read once the rows
//! that the table holds are entered; DescribeTable tells when.

use lakeferry_wire::convert::{self, NewIndex};
use lakeferry_wire::proto::{CreateIndexRequest, CreateIndexResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: CreateIndexRequest) -> Result<CreateIndexResponse, ApiError> {
    let NewIndex { table, index, include_base_data } = convert::create_index(&request)?;
    let _held = call.shared.hold_tables(call.deadline).await?;
    call.shared.store.create_index(&call.instance, &table, index, include_base_data).await?;
    Ok(CreateIndexResponse {})
}
