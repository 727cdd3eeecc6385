//! CreateTable: makes a table, which can be used as soon as this is answered.

use lakeferry_store::TableSpec;
use lakeferry_wire::convert;
use lakeferry_wire::proto::{CreateTableRequest, CreateTableResponse};

use super::{Call, not_yet};
use crate::error::ApiError;

pub async fn answer(call: Call, request: CreateTableRequest) -> Result<CreateTableResponse, ApiError> {
    let new = convert::create_table(&request)?;
    refuse_unserved(&request, &new)?;
    let convert::NewTable { schema, options, throughput, stream, split_points, indexes, .. } = new;
    let spec = TableSpec { schema, options, throughput, stream, split_points };
    call.shared.store.create_indexed_table(&call.instance, spec, indexes).await?;
    Ok(CreateTableResponse {})
}

/// Refuses what tables cannot be or have yet, rather than make one that is not what was asked for.
fn refuse_unserved(request: &CreateTableRequest, new: &convert::NewTable) -> Result<(), ApiError> {
    if new.encrypted {
        return Err(not_yet("Encryption at rest", "encrypt the disk that the server's data lie on"));
    }
    if request.enable_local_txn == Some(true) {
        return Err(not_yet("A local transaction", "leave enable_local_txn out"));
    }
    if let Some(column) = new.schema.primary_key.iter().find(|column| column.auto_increment) {
        let part = format!("The auto-increment primary key column '{}'", column.name);
        return Err(not_yet(&part, "let the writer pick the value"));
    }
    Ok(())
}
