//! AbortTransaction: ends a transaction; nothing of it is written.

use lakeferry_model::TransactionId;
use lakeferry_wire::proto::{AbortTransactionRequest, AbortTransactionResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: AbortTransactionRequest,
) -> Result<AbortTransactionResponse, ApiError> {
    let id = TransactionId::parse(&request.transaction_id)?;
    call.open_transaction(id)?.abort(call.deadline).await?;
    Ok(AbortTransactionResponse {})
}
