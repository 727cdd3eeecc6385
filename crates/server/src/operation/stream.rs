//! What the operations on streams share: finding a stream and its shards. A partition is a shard.

use lakeferry_model::TableName;
use lakeferry_store::{Partition, StreamInfo, Table};
use lakeferry_wire::code::{ErrorCode, message};

use super::Call;
use crate::error::ApiError;

/// A stream with its table.
pub struct Found {
    /// The table.
    pub table: Table,
    /// Its name.
    pub name: TableName,
    /// The stream, as it is now.
    pub stream: StreamInfo,
}

impl Found {
    /// The stream of a table, if it has one.
    pub fn of(table: Table) -> Option<Self> {
        let info = table.info();
        let stream = info.stream.clone()?;
        Some(Self { name: info.schema.name.clone(), stream, table })
    }

    /// A shard by its id.
    ///
    /// # Errors
    /// If the stream has none of that id.
    pub fn shard(&self, id: &str) -> Result<&Partition, ApiError> {
        let found = self.table.partitions().iter().find(|partition| shard_id(partition) == id);
        found.ok_or_else(|| ApiError::new(ErrorCode::ObjectNotExist, message::NO_SUCH_SHARD))
    }
}

/// The streams of the caller's instance, by the names of their tables.
pub fn all(call: &Call) -> Vec<Found> {
    let store = &call.shared.store;
    let names = store.tables(&call.instance);
    names.iter().filter_map(|name| Found::of(store.table(&call.instance, name).ok()?)).collect()
}

/// A stream of the caller's instance by its id.
///
/// # Errors
/// If there is none: it never was, or it was switched off.
pub fn find(call: &Call, id: &str) -> Result<Found, ApiError> {
    all(call).into_iter().find(|found| found.stream.id == id).ok_or_else(missing)
}

/// There is no such stream.
pub fn missing() -> ApiError {
    ApiError::new(ErrorCode::ObjectNotExist, message::NO_SUCH_STREAM)
}

/// The shard's id: the partition's number.
pub fn shard_id(partition: &Partition) -> String {
    partition.id().0.to_string()
}
