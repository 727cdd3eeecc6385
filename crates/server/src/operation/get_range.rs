//! GetRange: reads a page of a range of rows, in either direction.

use lakeferry_wire::proto::{CompressType, GetRangeRequest, GetRangeResponse};
use lakeferry_wire::{capacity, convert};

use super::read::pages::Measure;
use super::target::Target;
use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetRangeRequest) -> Result<GetRangeResponse, ApiError> {
    let asked = convert::get_range(request)?;
    let transaction = call.transaction(asked.options.transaction_id.as_deref())?;
    let table = call.readable(&asked.table)?;
    let info = table.info();
    let target = Target::new(table, transaction)?;
    let page = read::pages::read(&target, &info, asked, Measure::Shown, call.deadline).await?;
    Ok(GetRangeResponse {
        consumed: capacity::read(page.sizes.all()),
        rows: page.rows,
        next_start_primary_key: page.next,
        next_token: None,
        data_block_type: Some(page.format.into()),
        compress_type: Some(CompressType::None.into()),
    })
}
