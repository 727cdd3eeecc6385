//! The operations of the protocol that are served: one file each, listed once, here.
//!
//! An operation gets a [`Call`] and its decoded request, and gives the message of its answer. It checks in the
//! order that clients know: what needs no table, then the table, then the table's schema, then conditions.
//! Steps that several operations share are in [`read`], [`write`], [`target`], [`record`], [`stream`] and [`tunnel`].

mod atomic_batch;
mod read;
mod record;
mod stream;
mod target;
mod tunnel;
mod write;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::{InstanceName, TableName};
use lakeferry_store::Table;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;
use prost::Message;
use uuid::Uuid;

use crate::error::ApiError;
use crate::shared::Shared;

macro_rules! operations {
    ($($operation:ident => $module:ident,)*) => {
        $(mod $module;)*

        /// The operations that have an answer here, in the order of the protocol's groups.
        #[cfg(test)]
        const ANSWERED: &[Operation] = &[$(Operation::$operation,)*];

        /// Decodes the request, does what it asks for, and encodes the answer.
        ///
        /// # Errors
        /// What the protocol answers instead. Then nothing was changed, unless the code says that it is not
        /// known.
        pub async fn answer(operation: Operation, call: Call) -> Result<Bytes, ApiError> {
            match operation {
                $(Operation::$operation => answered(operation, call, $module::answer).await,)*
                _ => Err(not_served(operation)),
            }
        }
    };
}

operations! {
    CreateTable => create_table,
    ListTable => list_table,
    DescribeTable => describe_table,
    UpdateTable => update_table,
    DeleteTable => delete_table,
    ComputeSplitPointsBySize => compute_split_points_by_size,
    AddDefinedColumn => add_defined_column,
    DeleteDefinedColumn => delete_defined_column,
    CreateIndex => create_index,
    DropIndex => drop_index,
    GetRow => get_row,
    PutRow => put_row,
    UpdateRow => update_row,
    DeleteRow => delete_row,
    BatchGetRow => batch_get_row,
    BatchWriteRow => batch_write_row,
    GetRange => get_range,
    BulkExport => bulk_export,
    BulkImport => bulk_import,
    StartLocalTransaction => start_local_transaction,
    CommitTransaction => commit_transaction,
    AbortTransaction => abort_transaction,
    CreateDeliveryTask => create_delivery_task,
    DeleteDeliveryTask => delete_delivery_task,
    DescribeDeliveryTask => describe_delivery_task,
    ListDeliveryTask => list_delivery_task,
    UpdateDeliveryTask => update_delivery_task,
    ListStream => list_stream,
    DescribeStream => describe_stream,
    GetShardIterator => get_shard_iterator,
    GetStreamRecord => get_stream_record,
    TunnelCreate => tunnel_create,
    TunnelDelete => tunnel_delete,
    TunnelList => tunnel_list,
    TunnelDescribe => tunnel_describe,
    TunnelConnect => tunnel_connect,
    TunnelHeartbeat => tunnel_heartbeat,
    TunnelShutdown => tunnel_shutdown,
    TunnelGetCheckpoint => tunnel_get_checkpoint,
    TunnelReadRecords => tunnel_read_records,
    TunnelCheckpoint => tunnel_checkpoint,
    TunnelGetRpo => tunnel_get_rpo,
    TunnelSchedule => tunnel_schedule,
}

/// A request that has passed the door.
pub struct Call {
    /// The request's name in the log and in its answer.
    pub request_id: Uuid,
    /// The server.
    pub shared: Arc<Shared>,
    /// The instance that it is for; the caller may use it.
    pub instance: InstanceName,
    /// When it must be answered.
    pub deadline: Instant,
    /// The request's message. Values of rows stay slices of it.
    pub body: Bytes,
}

impl Call {
    fn table(&self, name: &TableName) -> Result<Table, ApiError> {
        Ok(self.shared.store.table(&self.instance, name)?)
    }

    /// The table or the index of that name, to be read.
    fn readable(&self, name: &TableName) -> Result<Table, ApiError> {
        Ok(self.shared.store.readable(&self.instance, name)?)
    }

    /// The error of one row of a batch, whose other rows succeed or fail by themselves.
    fn row_error(&self, error: &ApiError) -> proto::Error {
        self.shared.metrics.count_error(error.code);
        if let Some(internal) = &error.internal {
            tracing::warn!(request_id = %self.request_id, code = error.code.as_str(), "{internal}");
        }
        error.to_message()
    }
}

async fn answered<Q, A, F>(
    operation: Operation,
    call: Call,
    answer: impl FnOnce(Call, Q) -> F,
) -> Result<Bytes, ApiError>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A, ApiError>>,
{
    let request = proto::bounded::decode(call.body.clone(), reads_max(operation))?;
    Ok(answer(call, request).await?.encode_to_vec().into())
}

/// How often a request's decoder may read, three times for most fields. The largest legal requests beside batches
/// name a thousand columns; batches name them for each of their tables or rows.
fn reads_max(operation: Operation) -> usize {
    match operation {
        Operation::BatchGetRow | Operation::BatchWriteRow => 320 << 10,
        _ => 16 << 10,
    }
}

fn not_served(operation: Operation) -> ApiError {
    let message = operation.refusal().unwrap_or_else(|| format!("{operation} is not supported here."));
    ApiError::new(ErrorCode::UnsupportedOperation, message)
}

/// Refuses a part of a request that is not served yet, rather than pass it over.
fn not_yet(part: &str, instead: &str) -> ApiError {
    ApiError::new(ErrorCode::UnsupportedOperation, format!("{part} is not supported yet; {instead}."))
}

#[cfg(test)]
mod tests {
    use lakeferry_wire::operation::Support;

    use super::*;

    #[test]
    fn what_the_parity_table_calls_served_is_answered_and_nothing_else() {
        let served: Vec<_> = Operation::ALL
            .iter()
            .copied()
            .filter(|operation| operation.support() == Support::Served)
            .collect();
        for operation in &served {
            assert!(ANSWERED.contains(operation), "{operation} is called served");
        }
        assert_eq!(served.len(), ANSWERED.len());
    }
}
