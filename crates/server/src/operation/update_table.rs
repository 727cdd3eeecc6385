//! UpdateTable: changes throughput, options and stream, each by itself; answers the complete new state.

use lakeferry_model::ReservedThroughput;
use lakeferry_store::TableUpdate;
use lakeferry_wire::convert::{self, StreamUpdate};
use lakeferry_wire::proto::{UpdateTableRequest, UpdateTableResponse};

use super::Call;
use super::describe_table::described;
use crate::error::ApiError;

pub async fn answer(call: Call, request: UpdateTableRequest) -> Result<UpdateTableResponse, ApiError> {
    let change = convert::update_table(&request)?;
    // What stays is read from the table as no other change leaves it meanwhile.
    let _held = call.shared.hold_tables(call.deadline).await?;
    let info = call.table(&change.table)?.info();
    let throughput_changes = change.read_throughput.or(change.write_throughput).is_some();
    let throughput = throughput_changes.then(|| ReservedThroughput {
        read: change.read_throughput.unwrap_or(info.throughput.read),
        write: change.write_throughput.unwrap_or(info.throughput.write),
    });
    let update = TableUpdate {
        options: Some(change.options.apply(&info.options)),
        throughput,
        stream: change.stream.map(|stream| match stream {
            StreamUpdate::Off => None,
            StreamUpdate::On(spec) => Some(spec),
        }),
    };
    let table = call.shared.store.update_table(&call.instance, &change.table, update).await?;
    described(&table, convert::update_table_response)
}
