//! Appends rows to a page: the hot path of every read.

use bytes::Bytes;
use lakeferry_model::{KeyBound, ValueRef};

use super::{CellOperation, HEADER, SequenceInfo, WireCell, WireKeyValue, WireRow, crc8, kind, tag};

/// Writes rows one after the other, each as
/// `start_row, key_*.., cell.., [delete_marker], [sequence], end_row`.
///
/// The header comes by itself before the first row, so that no rows are no bytes, as the protocol wants it.
/// Calling out of order writes what nobody can read.
#[derive(Debug, Default)]
pub struct RowWriter {
    out: Vec<u8>,
    row_checksum: u8,
    has_cells: bool,
    delete_marker: bool,
}

impl RowWriter {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty page that has room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The page; no bytes if it has no rows.
    pub fn finish(self) -> Bytes {
        self.out.into()
    }

    /// Begins a row. The primary key's columns come next, in schema order.
    pub fn start_row(&mut self) {
        if self.out.is_empty() {
            self.out.extend_from_slice(&HEADER);
        }
        self.row_checksum = 0;
        self.has_cells = false;
        self.delete_marker = false;
        self.out.push(tag::ROW_PK);
    }

    /// Adds a column of the primary key.
    #[inline]
    pub fn key_cell(&mut self, name: &str, value: ValueRef<'_>) {
        self.write_cell(name, Some(Content::Value(value)), None, None);
    }

    /// Adds a column of a range's bound.
    pub fn key_bound(&mut self, name: &str, bound: &KeyBound) {
        let content = match bound {
            KeyBound::InfMin => Content::Tag(kind::INF_MIN),
            KeyBound::Value(value) => Content::Value(value.as_ref()),
            KeyBound::InfMax => Content::Tag(kind::INF_MAX),
        };
        self.write_cell(name, Some(content), None, None);
    }

    /// Adds a column of the primary key whose value the server is to pick.
    pub fn key_auto_increment(&mut self, name: &str) {
        self.write_cell(name, Some(Content::Tag(kind::AUTO_INCREMENT)), None, None);
    }

    /// Adds a version of an attribute column, as reads answer it.
    #[inline]
    pub fn cell(&mut self, name: &str, value: ValueRef<'_>, timestamp_ms: i64) {
        self.change(name, Some(value), CellOperation::Put, Some(timestamp_ms));
    }

    /// Adds a cell of a write or of a stream's record.
    #[inline]
    pub fn change(
        &mut self,
        name: &str,
        value: Option<ValueRef<'_>>,
        operation: CellOperation,
        timestamp_ms: Option<i64>,
    ) {
        if !self.has_cells {
            self.has_cells = true;
            self.out.push(tag::ROW_DATA);
        }
        self.write_cell(name, value.map(Content::Value), operation.byte(), timestamp_ms);
    }

    /// Marks the row as deleted.
    pub fn delete_marker(&mut self) {
        self.delete_marker = true;
        self.out.push(tag::DELETE_ROW_MARKER);
    }

    /// Adds the change's place in its stream. Never into a query's result: not every SDK knows it.
    pub fn sequence(&mut self, sequence: SequenceInfo) {
        self.out.extend_from_slice(&[tag::EXTENSION, 24, 0, 0, 0, tag::SEQ_INFO, 19, 0, 0, 0]);
        self.out.push(tag::SEQ_INFO_EPOCH);
        self.out.extend_from_slice(&sequence.epoch.to_le_bytes());
        self.out.push(tag::SEQ_INFO_TS);
        self.out.extend_from_slice(&sequence.timestamp.to_le_bytes());
        self.out.push(tag::SEQ_INFO_ROW_INDEX);
        self.out.extend_from_slice(&sequence.row_index.to_le_bytes());
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        let checksum = crc8::update_1(self.row_checksum, u8::from(self.delete_marker));
        self.out.extend_from_slice(&[tag::ROW_CHECKSUM, checksum]);
    }

    /// Adds a row as it was decoded.
    pub fn row(&mut self, row: &WireRow) {
        self.start_row();
        for (name, value) in &row.key {
            match value {
                WireKeyValue::Value(value) => self.key_cell(name, value.as_ref()),
                WireKeyValue::InfMin => self.key_bound(name, &KeyBound::InfMin),
                WireKeyValue::InfMax => self.key_bound(name, &KeyBound::InfMax),
                WireKeyValue::AutoIncrement => self.key_auto_increment(name),
            }
        }
        for WireCell { name, value, operation, timestamp_ms } in &row.cells {
            self.change(name, value.as_ref().map(lakeferry_model::Value::as_ref), *operation, *timestamp_ms);
        }
        if row.delete_marker {
            self.delete_marker();
        }
        if let Some(sequence) = row.sequence {
            self.sequence(sequence);
        }
        self.end_row();
    }

    #[inline]
    fn write_cell(
        &mut self,
        name: &str,
        content: Option<Content<'_>>,
        operation: Option<u8>,
        timestamp_ms: Option<i64>,
    ) {
        // Room for the whole cell at once, so that the pieces below find it there.
        self.out.reserve(name.len() + content.as_ref().map_or(0, Content::wire_len) + CELL_FRAME_BYTES);
        self.out.extend_from_slice(&[tag::CELL, tag::CELL_NAME]);
        self.out.extend_from_slice(&length(name.len()).to_le_bytes());
        self.out.extend_from_slice(name.as_bytes());
        let mut checksum = crc8::update(0, name.as_bytes());
        if let Some(content) = content {
            checksum = self.write_content(content, checksum);
        }
        if let Some(operation) = operation {
            self.out.extend_from_slice(&[tag::CELL_TYPE, operation]);
        }
        if let Some(timestamp_ms) = timestamp_ms {
            let bytes = timestamp_ms.to_le_bytes();
            self.out.push(tag::CELL_TIMESTAMP);
            self.out.extend_from_slice(&bytes);
            checksum = crc8::update_8(checksum, bytes);
        }
        if let Some(operation) = operation {
            checksum = crc8::update_1(checksum, operation);
        }
        self.out.extend_from_slice(&[tag::CELL_CHECKSUM, checksum]);
        self.row_checksum = crc8::update_1(self.row_checksum, checksum);
    }

    #[inline]
    fn write_content(&mut self, content: Content<'_>, checksum: u8) -> u8 {
        self.out.push(tag::CELL_VALUE);
        self.out.extend_from_slice(&length(content.wire_len()).to_le_bytes());
        match content {
            Content::Tag(tag) => {
                self.out.push(tag);
                crc8::update_1(checksum, tag)
            }
            Content::Value(ValueRef::Integer(value)) => {
                self.write_number(kind::INTEGER, value.to_le_bytes(), checksum)
            }
            Content::Value(ValueRef::Double(value)) => {
                self.write_number(kind::DOUBLE, value.to_le_bytes(), checksum)
            }
            Content::Value(value) => {
                let start = self.out.len();
                write_value(&mut self.out, value);
                crc8::update(checksum, &self.out[start..])
            }
        }
    }

    #[inline]
    fn write_number(&mut self, kind: u8, bytes: [u8; 8], checksum: u8) -> u8 {
        self.out.push(kind);
        self.out.extend_from_slice(&bytes);
        crc8::update_8(crc8::update_1(checksum, kind), bytes)
    }
}

/// What a cell adds around its name and its value at most: tags, lengths, operation, timestamp and checksum.
const CELL_FRAME_BYTES: usize = 24;

/// A cell's value, or one of the values that are only a type.
#[derive(Clone, Copy)]
enum Content<'a> {
    Value(ValueRef<'a>),
    Tag(u8),
}

impl Content<'_> {
    /// Bytes of the type and the body.
    #[inline]
    fn wire_len(&self) -> usize {
        match self {
            Self::Tag(_) => 1,
            Self::Value(ValueRef::Integer(_) | ValueRef::Double(_)) => 9,
            Self::Value(ValueRef::Boolean(_)) => 2,
            Self::Value(ValueRef::String(text)) => 5 + text.len(),
            Self::Value(ValueRef::Binary(bytes)) => 5 + bytes.len(),
        }
    }
}

/// Writes a value's type and body.
#[inline]
pub(crate) fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    let (kind, bytes) = match value {
        ValueRef::Integer(value) => {
            out.push(kind::INTEGER);
            return out.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Double(value) => {
            out.push(kind::DOUBLE);
            return out.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Boolean(value) => return out.extend_from_slice(&[kind::BOOLEAN, u8::from(value)]),
        ValueRef::String(text) => (kind::STRING, text.as_bytes()),
        ValueRef::Binary(bytes) => (kind::BLOB, bytes),
    };
    out.push(kind);
    out.extend_from_slice(&length(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[inline]
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("no value is as large as 4 GiB, since no request and no row is")
}
