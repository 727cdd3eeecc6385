//! GetRow: reads one row.

use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::proto::{GetRowRequest, GetRowResponse};
use lakeferry_wire::{capacity, convert};

use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetRowRequest) -> Result<GetRowResponse, ApiError> {
    let asked = convert::get_row(request)?;
    read::refuse_unserved(&asked.options)?;
    let table = call.readable(&asked.table)?;
    let info = table.info();
    let key = info.schema.key(asked.key)?;
    let found = table.get(&[key], call.deadline).await?.pop().flatten();
    let mut page = RowWriter::new();
    let size = match found {
        Some(row) => {
            read::Lens::new(&asked.options, &info.schema).write(row.view()?, &row.visibility(), &mut page)?
        }
        None => None,
    };
    // A row that is missing has no bytes, and costs as much as a small one.
    let consumed = capacity::read(size.unwrap_or(0));
    Ok(GetRowResponse { consumed, row: page.finish(), next_token: None })
}
