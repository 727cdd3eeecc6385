//! BulkExport: reads a page of newest versions, by default as a matrix. It is counted in bytes, not in units.

use lakeferry_wire::proto::{BulkExportRequest, BulkExportResponse};
use lakeferry_wire::{capacity, convert};

use super::target::Target;
use super::read::pages::Measure;
use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: BulkExportRequest) -> Result<BulkExportResponse, ApiError> {
    let asked = convert::bulk_export(request)?;
    let table = call.readable(&asked.table)?;
    let info = table.info();
    let page = read::pages::read(&Target::Table(table), &info, asked, Measure::Read, call.deadline).await?;
    Ok(BulkExportResponse {
        consumed: capacity::exported(page.sizes.all()),
        rows: page.rows,
        next_start_primary_key: page.next,
        data_block_type: Some(page.format.into()),
    })
}
