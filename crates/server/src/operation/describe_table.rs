//! DescribeTable: what a table is.

use lakeferry_model::{KeyValue, TableName};
use lakeferry_store::{IndexPhase, Table, key};
use lakeferry_wire::convert::{self, IndexDescription, StreamDescription, TableDescription};
use lakeferry_wire::proto::{DescribeTableRequest, DescribeTableResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(call: Call, request: DescribeTableRequest) -> Result<DescribeTableResponse, ApiError> {
    let name = TableName::parse(&request.table_name)?;
    let table = call.shared.store.described(&call.instance, &name)?;
    described(&table, convert::describe_table)
}

/// Describes a table by the message that `answer` makes of its description.
///
/// # Errors
/// If the table's entry is damaged.
pub fn described<A>(
    table: &Table,
    answer: impl FnOnce(&TableDescription<'_>) -> A,
) -> Result<A, ApiError> {
    let info = table.info();
    let split_points = split_points(table)?;
    let indexes: Vec<IndexDescription<'_>> = (info.indexes.iter())
        .map(|index| IndexDescription { spec: &index.spec, is_built: index.phase == IndexPhase::Ready })
        .collect();
    Ok(answer(&TableDescription {
        schema: &info.schema,
        options: &info.options,
        throughput: info.throughput,
        throughput_set_at: info.throughput_at,
        stream: info.stream.as_ref().map(|stream| StreamDescription {
            id: &stream.id,
            spec: &stream.spec,
            enabled_at: stream.enabled_at,
        }),
        split_points: &split_points,
        indexes: &indexes,
        created_at: info.created_at,
    }))
}

/// The values of the first primary key column at which partitions begin; the first begins below all of them.
fn split_points(table: &Table) -> Result<Vec<KeyValue>, ApiError> {
    let info = table.info();
    let starts = table.partitions().iter().map(|partition| partition.start()).filter(|start| !start.is_empty());
    let first_values = starts.filter_map(|start| key::parts(start, &info.schema.primary_key).next());
    Ok(first_values.map(|part| part.map(|part| part.to_value())).collect::<Result<_, _>>()?)
}
