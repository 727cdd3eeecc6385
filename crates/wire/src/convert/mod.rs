//! Messages into the words of the model, and back.
//!
//! On the way in, every rule that needs no table is checked here, in the order that clients' tests expect: the
//! table's name, then the primary key's shape, then names and sizes of columns, then the version condition. A
//! broken rule fails the whole request, batches included. What needs the table's schema comes after its lookup:
//! [`UnboundChange::bind`], [`lakeferry_model::TableSchema::key`] and [`lakeferry_model::TableSchema::range`].
//!
//! What a request asks for and the model has no words for is handed over beside the rest, so that the server can
//! refuse it rather than pass it over.

mod bulk_import;
mod delivery;
mod filter;
mod index;
mod read;
mod stream;
mod table;
mod transaction;
mod tunnel;
mod write;

pub use bulk_import::{bulk_import, check_defined_kinds};
pub use delivery::{
    TaskReport, create_delivery_task_request, delivery_task_info, describe_delivery_task_response, mode,
    oss_task_config, task_spec, task_spec_of, task_status, task_update, update_delivery_task_request,
    wire_mode,
};
pub use filter::{column_condition, column_condition_bytes, filter, filter_bytes};
pub use index::{
    IndexDescription, NewIndex, SplitPointsAsked, add_defined_column, add_defined_column_request,
    create_index, delete_defined_column, described_index, drop_index, index_meta, index_spec,
    split_points_asked, split_points_response,
};
pub use read::{
    BatchTableRead, KeyColumns, RangeRead, ReadOptions, RowFormat, RowRead, TimeRange, batch_get_row,
    bulk_export, get_range, get_row,
};
pub use stream::ShardIterator;
pub use table::{
    NewTable, OptionsUpdate, StreamDescription, StreamUpdate, TableChange, TableDescription, create_table,
    create_table_request, describe_table, partition_ranges, read_table_meta, read_table_options,
    stream_details, table_meta, table_options, throughput_details, update_table, update_table_response,
};
pub use transaction::{start_local_transaction, transaction_id};
pub use tunnel::ChannelToken;
pub use write::{
    BatchTableWrite, BatchWrite, UnboundChange, batch_write_row, condition_message, delete_row, put_row,
    return_content, update_row,
};

use bytestring::ByteString;
use lakeferry_model::{KeyValue, Violation, check_index_key_column_count, check_key_column_count};

use crate::plain_buffer::WireKeyValue;

/// Takes the key of a row: as many columns as a key can have, each with a value.
fn key_values(
    key: Vec<(ByteString, WireKeyValue)>,
) -> Result<impl Iterator<Item = (ByteString, KeyValue)>, Violation> {
    check_key_column_count(key.len())?;
    read_key_values(key)
}

/// Takes the key of a row that may be an index's, whose keys are longer.
fn read_key_values(
    key: Vec<(ByteString, WireKeyValue)>,
) -> Result<impl Iterator<Item = (ByteString, KeyValue)>, Violation> {
    check_index_key_column_count(key.len())?;
    check_kinds(&key, false)?;
    Ok(key.into_iter().filter_map(|(name, value)| match value {
        WireKeyValue::Value(value) => Some((name, value)),
        // None is left, see above.
        WireKeyValue::InfMin | WireKeyValue::InfMax | WireKeyValue::AutoIncrement => None,
    }))
}

/// A key's column names and values, and which of them the server picks.
type KeyToWrite = (Vec<ByteString>, Vec<KeyValue>, Option<usize>);

/// Takes the key of a row to put or update, of which the server may pick one value; 0 stands in its place.
fn key_to_write(key: Vec<(ByteString, WireKeyValue)>) -> Result<KeyToWrite, Violation> {
    check_key_column_count(key.len())?;
    check_kinds(&key, true)?;
    let mut picked = key.iter().enumerate().filter(|(_, (_, value))| *value == WireKeyValue::AutoIncrement);
    let placeholder = picked.next().map(|(at, _)| at);
    if picked.next().is_some() {
        return Err(Violation::parameter("At most one primary key column can be VT_AUTO_INCREMENT."));
    }
    let value = |value| match value {
        WireKeyValue::Value(value) => value,
        WireKeyValue::InfMin | WireKeyValue::InfMax | WireKeyValue::AutoIncrement => KeyValue::Integer(0),
    };
    let (names, values) = key.into_iter().map(|(name, wire)| (name, value(wire))).unzip();
    Ok((names, values, placeholder))
}

/// Refuses columns without a value, but those that the server picks where it may.
fn check_kinds(key: &[(ByteString, WireKeyValue)], may_pick: bool) -> Result<(), Violation> {
    let kind = key.iter().find_map(|(_, value)| match value {
        WireKeyValue::Value(_) => None,
        WireKeyValue::InfMin => Some("VT_INF_MIN"),
        WireKeyValue::InfMax => Some("VT_INF_MAX"),
        WireKeyValue::AutoIncrement if may_pick => None,
        WireKeyValue::AutoIncrement => Some("VT_AUTO_INCREMENT"),
    });
    match kind {
        Some(kind) => Err(Violation::parameter(format!("{kind} is an invalid type for the primary key."))),
        None => Ok(()),
    }
}

/// Finds the enum's value, or says which field held none of them.
fn enum_value<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, Violation> {
    E::try_from(value).map_err(|_| Violation::parameter(format!("Invalid {field}: {value}.")))
}
