//! PlainBuffer: the byte format of every row and key on the wire.
//!
//! ```text
//! buffer = header row*
//! row    = ROW_PK cell+ [ROW_DATA cell+] [DELETE_ROW_MARKER] [extension] ROW_CHECKSUM u8
//! cell   = CELL CELL_NAME u32 name [CELL_VALUE u32 type body] [CELL_TYPE u8] [CELL_TIMESTAMP i64]
//!          CELL_CHECKSUM u8
//! ```
//!
//! All numbers are little-endian. A cell's checksum runs over name, value, timestamp and operation, in this
//! order, although the operation lies before the timestamp; a row's runs over the checksums of its cells.
//!
//! [`decode_row`] and [`decode_rows`] give values that are slices of the buffer they came from, and verify both
//! checksums. [`RowWriter`] appends rows to a page, taking borrowed values. [`encode`] has the whole buffers of
//! write requests, and [`variant`] the lone values of filters and split points.

pub(crate) mod crc8;
mod decode;
pub mod encode;
pub mod variant;
mod writer;

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{KeyValue, Value, ValueKind};

pub use decode::{decode_row, decode_row_to_write, decode_rows};
pub use writer::RowWriter;
pub(crate) use writer::write_value;

/// A row as it lies on the wire: cells in wire order, operations still in them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WireRow {
    /// The primary key cells, names and values.
    pub key: Vec<(ByteString, WireKeyValue)>,
    /// The attribute cells.
    pub cells: Vec<WireCell>,
    /// How many attribute cells were not kept, being more than a written row may have.
    pub cells_left_out: usize,
    /// Whether the row is to be deleted, or was.
    pub delete_marker: bool,
    /// The change's place in its stream; only in records of streams and tunnels.
    pub sequence: Option<SequenceInfo>,
}

/// What a primary key cell can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireKeyValue {
    /// A value.
    Value(KeyValue),
    /// Below every value; in bounds of ranges.
    InfMin,
    /// Above every value; in bounds of ranges.
    InfMax,
    /// To be picked by the server; in writes.
    AutoIncrement,
}

/// An attribute cell.
#[derive(Debug, Clone, PartialEq)]
pub struct WireCell {
    /// The column's name.
    pub name: ByteString,
    /// Its value; absent in deletes.
    pub value: Option<Value>,
    /// What to do with it.
    pub operation: CellOperation,
    /// Its version, in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// What a cell does to its column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CellOperation {
    /// Puts the value; the only one that has no byte on the wire.
    #[default]
    Put,
    /// Deletes all versions.
    DeleteAll,
    /// Deletes the version of this timestamp.
    DeleteVersion,
    /// Adds the value to the newest version.
    Increment,
}

/// A change's place in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceInfo {
    /// Ordered first.
    pub epoch: i32,
    /// Ordered second; microseconds since the epoch.
    pub timestamp: i64,
    /// Ordered last.
    pub row_index: i32,
}

/// Why a buffer could not be taken. Foreign bytes always end here, never in a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The buffer ends in the middle of a row.
    #[error("invalid PlainBuffer: it ends at byte {at}, within a row")]
    Truncated {
        /// Where more was needed.
        at: usize,
    },
    /// The buffer does not begin with the header word.
    #[error("invalid PlainBuffer: it does not begin with the header")]
    NoHeader,
    /// A byte is none of those that may stand there.
    #[error("invalid PlainBuffer: unexpected byte {found:#04x} at byte {at}")]
    Unexpected {
        /// The byte that was found.
        found: u8,
        /// Where it stands.
        at: usize,
    },
    /// A name or a text is not UTF-8.
    #[error("invalid PlainBuffer: the text at byte {at} is not UTF-8")]
    NotText {
        /// Where the text begins.
        at: usize,
    },
    /// A cell's checksum is not that of its content.
    #[error("invalid PlainBuffer: the checksum of the cell that ends at byte {at} does not match")]
    CellChecksum {
        /// Where the checksum stands.
        at: usize,
    },
    /// A row's checksum is not that of its cells.
    #[error("invalid PlainBuffer: the checksum of the row that ends at byte {at} does not match")]
    RowChecksum {
        /// Where the checksum stands.
        at: usize,
    },
    /// A primary key cell holds a double or a boolean.
    #[error("{} is an invalid type for the primary key.", .0.protocol_name())]
    KeyKind(ValueKind),
    /// A cell lacks what its place or operation asks for, or has what it must not have.
    #[error("invalid PlainBuffer: {what} at byte {at}")]
    Shape {
        /// What is wrong.
        what: &'static str,
        /// Where the cell ends.
        at: usize,
    },
}

impl From<DecodeError> for lakeferry_model::Violation {
    fn from(error: DecodeError) -> Self {
        Self::parameter(error.to_string())
    }
}

impl CellOperation {
    fn byte(self) -> Option<u8> {
        match self {
            Self::Put => None,
            Self::DeleteAll => Some(0x01),
            Self::DeleteVersion => Some(0x03),
            Self::Increment => Some(0x04),
        }
    }
}

/// The bytes of a row that mean "no row": none at all.
pub const NO_ROW: Bytes = Bytes::new();

const HEADER: [u8; 4] = [0x75, 0, 0, 0];

mod tag {
    pub(super) const ROW_PK: u8 = 0x01;
    pub(super) const ROW_DATA: u8 = 0x02;
    pub(super) const CELL: u8 = 0x03;
    pub(super) const CELL_NAME: u8 = 0x04;
    pub(super) const CELL_VALUE: u8 = 0x05;
    pub(super) const CELL_TYPE: u8 = 0x06;
    pub(super) const CELL_TIMESTAMP: u8 = 0x07;
    pub(super) const DELETE_ROW_MARKER: u8 = 0x08;
    pub(super) const ROW_CHECKSUM: u8 = 0x09;
    pub(super) const CELL_CHECKSUM: u8 = 0x0a;
    pub(super) const EXTENSION: u8 = 0x0b;
    pub(super) const SEQ_INFO: u8 = 0x0c;
    pub(super) const SEQ_INFO_EPOCH: u8 = 0x0d;
    pub(super) const SEQ_INFO_TS: u8 = 0x0e;
    pub(super) const SEQ_INFO_ROW_INDEX: u8 = 0x0f;
}

pub(crate) mod kind {
    pub(crate) const INTEGER: u8 = 0x00;
    pub(crate) const DOUBLE: u8 = 0x01;
    pub(crate) const BOOLEAN: u8 = 0x02;
    pub(crate) const STRING: u8 = 0x03;
    /// No value; only in matrices of rows.
    pub(crate) const NULL: u8 = 0x06;
    pub(crate) const BLOB: u8 = 0x07;
    pub(super) const INF_MIN: u8 = 0x09;
    pub(super) const INF_MAX: u8 = 0x0a;
    pub(super) const AUTO_INCREMENT: u8 = 0x0b;
}

#[cfg(test)]
mod tests;
