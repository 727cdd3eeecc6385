//! ListTable: the names of an instance's tables.

use lakeferry_wire::proto::{ListTableRequest, ListTableResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, _: ListTableRequest) -> Result<ListTableResponse, ApiError> {
    let tables = call.shared.store.tables(&call.instance);
    Ok(ListTableResponse { table_names: tables.iter().map(ToString::to_string).collect() })
}
