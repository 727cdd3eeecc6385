//! Whole buffers with one row, as requests carry them.

use bytes::Bytes;
use lakeferry_model::{CellChange, ColumnUpdate, KeyBound, RowOperation, ValueRef};

use super::{CellOperation, RowWriter};

/// A primary key alone: of a read, or of an answer that returns it.
pub fn key<'a>(columns: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>) -> Bytes {
    one_row(columns, |_| ())
}

/// A range's bound.
pub fn bound<'a>(columns: impl IntoIterator<Item = (&'a str, &'a KeyBound)>) -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    for (name, bound) in columns {
        writer.key_bound(name, bound);
    }
    writer.end_row();
    writer.finish()
}

/// A write: the row to put, the cells to change in their order, or the key with the delete marker.
pub fn change<'a>(key: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>, operation: &RowOperation) -> Bytes {
    one_row(key, |writer| match operation {
        RowOperation::Delete => writer.delete_marker(),
        other => other.cells().iter().for_each(|cell| write_change(writer, cell)),
    })
}

/// A row to put under a key that the server completes: the column without a value is the one that it picks.
pub fn insert<'a>(
    key: impl IntoIterator<Item = (&'a str, Option<ValueRef<'a>>)>,
    cells: &[CellChange],
) -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    for (name, value) in key {
        match value {
            Some(value) => writer.key_cell(name, value),
            None => writer.key_auto_increment(name),
        }
    }
    cells.iter().for_each(|cell| write_change(&mut writer, cell));
    writer.end_row();
    writer.finish()
}

fn one_row<'a>(
    key: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>,
    write_rest: impl FnOnce(&mut RowWriter),
) -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    for (name, value) in key {
        writer.key_cell(name, value);
    }
    write_rest(&mut writer);
    writer.end_row();
    writer.finish()
}

fn write_change(writer: &mut RowWriter, cell: &CellChange) {
    let name = &cell.name;
    match &cell.update {
        ColumnUpdate::Put(value, timestamp_ms) => {
            writer.change(name, Some(value.as_ref()), CellOperation::Put, *timestamp_ms);
        }
        ColumnUpdate::DeleteVersion(timestamp_ms) => {
            writer.change(name, None, CellOperation::DeleteVersion, Some(*timestamp_ms));
        }
        ColumnUpdate::DeleteAll => writer.change(name, None, CellOperation::DeleteAll, None),
        ColumnUpdate::Increment(by) => {
            writer.change(name, Some(ValueRef::Integer(*by)), CellOperation::Increment, None);
        }
    }
}
