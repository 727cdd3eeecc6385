//! CreateTable: makes a table, which can be used as soon as this is answered.

use lakeferry_store::TableSpec;
use lakeferry_wire::convert;
use lakeferry_wire::proto::{CreateTableRequest, CreateTableResponse};

use super::{Call, not_yet};
use crate::error::ApiError;

pub async fn answer(call: Call, request: CreateTableRequest) -> Result<CreateTableResponse, ApiError> {
    let new = convert::create_table(&request)?;
    refuse_unserved(&new)?;
    let convert::NewTable { schema, options, throughput, stream, split_points, indexes, .. } = new;
    let spec = TableSpec { schema, options, throughput, stream, split_points };
    call.shared.store.create_indexed_table(&call.instance, spec, indexes).await?;
    Ok(CreateTableResponse {})
}

/// Refuses what tables cannot be or have yet, rather than make one that is not what was asked for.
fn refuse_unserved(new: &convert::NewTable) -> Result<(), ApiError> {
    if new.encrypted {
        return Err(not_yet("Encryption at rest", "encrypt the disk that the server's data lie on"));
    }
    Ok(())
}
