//! Records of a change log, as streams and tunnels hand them out.

use bytes::Bytes;
use lakeferry_model::{Cell, CellChange, ColumnUpdate};
use lakeferry_wire::plain_buffer::{CellOperation, SequenceInfo, WireCell, decode_row};
use lakeferry_wire::proto;

use crate::row::{Key, Row};

/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A whole row was put; of a tunnel's base data, the row as it was found.
    Put,
    /// Some of its columns were changed.
    Update,
    /// It was deleted.
    Delete,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRecord {
    /// What was done.
    pub action: Action,
    /// The row's primary key.
    pub key: Key,
    /// What became of its columns. Each put has its version; what was incremented is put as the sum.
    pub changes: Vec<CellChange>,
    /// What the columns that the stream asks for held before.
    pub origin: Vec<Cell>,
    /// Its place among the records of its shard; none in a tunnel's base data.
    pub sequence: Option<SequenceInfo>,
}

impl ChangeRecord {
    /// Takes the parts of a message, or says what is wrong with them.
    pub(crate) fn decode(action: i32, record: &Bytes, origin: Option<&Bytes>) -> Result<Self, String> {
        let action = match proto::ActionType::try_from(action) {
            Ok(proto::ActionType::PutRow) => Action::Put,
            Ok(proto::ActionType::UpdateRow) => Action::Update,
            Ok(proto::ActionType::DeleteRow) => Action::Delete,
            Err(_) => return Err(format!("{action} is no action")),
        };
        let row = decode_row(record).map_err(|error| error.to_string())?;
        let origin = match origin.filter(|origin| !origin.is_empty()) {
            Some(origin) => {
                let row = decode_row(origin).map_err(|error| error.to_string())?;
                Row::from_wire(row).ok_or("the row before the change lacks a value")?.cells
            }
            None => Vec::new(),
        };
        let changes = row.cells.into_iter().map(change).collect::<Option<_>>();
        Ok(Self {
            action,
            key: Key::from_wire(row.key).ok_or("a key of a record lacks a value")?,
            changes: changes.ok_or("a cell of a record lacks its value or version")?,
            origin,
            sequence: row.sequence,
        })
    }
}

fn change(cell: WireCell) -> Option<CellChange> {
    let WireCell { name, value, operation, timestamp_ms } = cell;
    let update = match (operation, value, timestamp_ms) {
        (CellOperation::Put, Some(value), Some(timestamp_ms)) => ColumnUpdate::Put(value, Some(timestamp_ms)),
        (CellOperation::DeleteVersion, _, Some(timestamp_ms)) => ColumnUpdate::DeleteVersion(timestamp_ms),
        (CellOperation::DeleteAll, ..) => ColumnUpdate::DeleteAll,
        (CellOperation::Put | CellOperation::DeleteVersion | CellOperation::Increment, ..) => return None,
    };
    Some(CellChange { name, update })
}
