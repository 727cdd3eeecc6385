//! GetRow: reads one row. It is answered whole, unless the caller goes on at a token.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{GetRowRequest, GetRowResponse};

use super::target::Target;
use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetRowRequest) -> Result<GetRowResponse, ApiError> {
    let asked = convert::get_row(request)?;
    let transaction = call.transaction(asked.options.transaction_id.as_deref())?;
    let table = call.readable(&asked.table)?;
    let info = table.info();
    let key = info.schema.key(asked.key)?;
    let target = Target::new(table, transaction)?;
    let found = target.get(&[key], call.deadline).await?.pop().flatten();
    let lens = read::Lens::new(&asked.options, &info.schema, call.deadline);
    let read::AnsweredRow { consumed, row, next_token } =
        lens.answer(found.as_ref(), asked.options.token.as_ref())?;
    Ok(GetRowResponse { consumed, row, next_token })
}
