//! GetRow: reads one row. A row that is wider than an answer comes in pieces, each with a token for the next.

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
    let piece = match found {
        Some(row) => {
            let lens = read::Lens::new(&asked.options, &info.schema);
            lens.write_piece(row.view()?, &row.visibility(), asked.options.token.as_ref(), &mut page)?
        }
        None => None,
    };
    // A row that is missing has no bytes, and costs as much as a small one.
    let size = piece.as_ref().map_or(0, |piece| piece.sizes.all());
    let next_token = piece.and_then(|piece| piece.next).map(|next| next.encode());
    Ok(GetRowResponse { consumed: capacity::read(size), row: page.finish(), next_token })
}
