//! Rows and changes as records of streams and tunnels.

use bytes::Bytes;
use lakeferry_model::TableSchema;
use lakeferry_store::{Action, CellRef, Changed, Error, RecordView, RowBlock, TableInfo, Told, key};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, SequenceInfo};
use lakeferry_wire::proto::ActionType;

/// Sequences never start again, so that there is one epoch.
const EPOCH: i32 = 1;

/// A record of a stream or tunnel.
pub struct Record {
    /// What happened to the row.
    pub action: ActionType,
    /// The row's key, and what was done to its columns.
    pub record: Bytes,
    /// The row's key, and the values before the change of the columns that the stream asks for, if there were any.
    pub origin: Option<Bytes>,
}

/// A change of a table. Its columns come in name order; what was done to one column, in the order in which it was
/// done.
///
/// # Errors
/// If the record is damaged.
pub fn change(record: &RecordView<'_>, table: &TableInfo) -> Result<Record, Error> {
    let schema = &table.schema;
    let mut changes = record.changes()?;
    changes.sort_by_key(|(name, _)| *name);
    let mut row = RowWriter::with_capacity(256);
    start(&mut row, record.key(), schema)?;
    for (name, changed) in changes {
        match changed {
            Changed::Put(ms, value) => row.cell(name, value, ms),
            Changed::DeleteVersion(ms) => row.change(name, None, CellOperation::DeleteVersion, Some(ms)),
            Changed::DeleteAll => row.change(name, None, CellOperation::DeleteAll, None),
        }
    }
    let action = match record.told() {
        Told::Base | Told::Change(Action::Put) => ActionType::PutRow,
        Told::Change(Action::Update) => ActionType::UpdateRow,
        Told::Change(Action::Delete) => ActionType::DeleteRow,
    };
    if action == ActionType::DeleteRow {
        row.delete_marker();
    }
    // Commit times rise from record to record: none shares its time with another.
    row.sequence(SequenceInfo { epoch: EPOCH, timestamp: record.commit_time(), row_index: 0 });
    row.end_row();
    // Records also keep old values that only indexes ask for.
    let asked = table.stream.as_ref().map_or(&[][..], |stream| &stream.spec.origin_columns);
    let is_asked = |cell: &Result<CellRef<'_>, Error>| {
        cell.as_ref().map_or(true, |cell| asked.iter().any(|name| name == cell.name))
    };
    let mut origin = record.origin()?.filter(is_asked).peekable();
    let origin = match origin.peek() {
        Some(_) => Some(with_cells(record.key(), origin, schema)?),
        None => None,
    };
    Ok(Record { action, record: row.finish(), origin })
}

/// The visible rows of a block, each put with all its visible versions.
///
/// # Errors
/// If a row is damaged.
pub fn rows(block: &RowBlock) -> Result<Vec<Record>, Error> {
    let (visibility, schema) = (block.visibility(), &block.table().schema);
    let mut records = Vec::with_capacity(block.len());
    for row in block.rows() {
        let (key, row) = row?;
        if !row.is_visible(&visibility)? {
            continue;
        }
        let cells = row.cells().filter(|cell| cell.as_ref().map_or(true, |cell| visibility.shows(cell)));
        let record = with_cells(key, cells, schema)?;
        records.push(Record { action: ActionType::PutRow, record, origin: None });
    }
    Ok(records)
}

fn with_cells<'a>(
    key: &[u8],
    cells: impl Iterator<Item = Result<CellRef<'a>, Error>>,
    schema: &TableSchema,
) -> Result<Bytes, Error> {
    let mut row = RowWriter::with_capacity(256);
    start(&mut row, key, schema)?;
    for cell in cells {
        let cell = cell?;
        row.cell(cell.name, cell.value, cell.timestamp_ms);
    }
    row.end_row();
    Ok(row.finish())
}

fn start(row: &mut RowWriter, key: &[u8], schema: &TableSchema) -> Result<(), Error> {
    row.start_row();
    for (column, part) in schema.primary_key.iter().zip(key::parts(key, &schema.primary_key)) {
        row.key_cell(&column.name, part?.as_ref());
    }
    Ok(())
}
