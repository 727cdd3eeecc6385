//! GetRange: reads a page of a range of rows, in either direction.

use lakeferry_wire::proto::{CompressType, GetRangeRequest, GetRangeResponse};
use lakeferry_wire::{capacity, convert};

use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetRangeRequest) -> Result<GetRangeResponse, ApiError> {
    let asked = convert::get_range(request)?;
    read::refuse_unserved(&asked.options)?;
    let table = call.readable(&asked.table)?;
    let page = read::pages::read(&table, asked, call.deadline).await?;
    Ok(GetRangeResponse {
        consumed: capacity::read(page.sizes.all()),
        rows: page.rows,
        next_start_primary_key: page.next,
        next_token: None,
        data_block_type: Some(page.format.into()),
        compress_type: Some(CompressType::None.into()),
    })
}
