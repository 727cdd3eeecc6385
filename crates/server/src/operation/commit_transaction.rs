//! CommitTransaction: writes what a transaction has changed, all or none, and ends it.

use lakeferry_model::TransactionId;
use lakeferry_wire::proto::{CommitTransactionRequest, CommitTransactionResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: CommitTransactionRequest,
) -> Result<CommitTransactionResponse, ApiError> {
    let id = TransactionId::parse(&request.transaction_id)?;
    call.open_transaction(id)?.commit(call.deadline).await?;
    Ok(CommitTransactionResponse {})
}
