//! StartLocalTransaction: keeps a partition key for one writer, who reads and writes under the id answered here.

use lakeferry_wire::convert;
use lakeferry_wire::proto::{StartLocalTransactionRequest, StartLocalTransactionResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: StartLocalTransactionRequest,
) -> Result<StartLocalTransactionResponse, ApiError> {
    let (table, key) = convert::start_local_transaction(&request)?;
    let table = call.table(&table)?;
    let key = table.info().schema.partition_key(key)?;
    let id = call.shared.store.start_transaction(&table, key, call.deadline).await?;
    Ok(StartLocalTransactionResponse { transaction_id: id.to_string() })
}
