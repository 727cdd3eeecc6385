//! Takes rows out of a buffer without copying their bytes.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{KeyValue, Value, ValueKind, limits};

use super::{
    CellOperation, DecodeError, HEADER, SequenceInfo, WireCell, WireKeyValue, WireRow, crc8, kind, tag,
};

/// Takes the one row of a single-row field.
///
/// What follows the row is ignored: one SDK sends its whole oversized buffer.
///
/// # Errors
/// The buffer is no row. An empty buffer is none either; ask for emptiness first where it has a meaning.
pub fn decode_row(buffer: &Bytes) -> Result<WireRow, DecodeError> {
    let mut reader = Reader { buffer, at: 0 };
    reader.header()?;
    reader.row(Bounds::NONE)
}

/// Takes the row or the key of a request, as [`decode_row`] does, but keeps no more of it than a legal one has. The
/// rest is checked and counted: a small buffer cannot fill the memory with its cells.
///
/// # Errors
/// As for [`decode_row`].
pub fn decode_row_to_write(buffer: &Bytes) -> Result<WireRow, DecodeError> {
    let mut reader = Reader { buffer, at: 0 };
    reader.header()?;
    reader.row(Bounds::WRITTEN)
}

/// Takes all rows of a page. An empty buffer is an empty page.
///
/// # Errors
/// The buffer holds anything but whole rows.
pub fn decode_rows(buffer: &Bytes) -> Result<Vec<WireRow>, DecodeError> {
    let mut rows = Vec::new();
    if buffer.is_empty() {
        return Ok(rows);
    }
    let mut reader = Reader { buffer, at: 0 };
    reader.header()?;
    while reader.at < buffer.len() {
        rows.push(reader.row(Bounds::NONE)?);
    }
    Ok(rows)
}

/// How much is kept of a row.
#[derive(Clone, Copy)]
struct Bounds {
    key_columns: usize,
    cells: usize,
}

impl Bounds {
    const NONE: Self = Self { key_columns: usize::MAX, cells: usize::MAX };
    // One key column more than is legal, so that it is seen to be one too many.
    const WRITTEN: Self =
        Self { key_columns: limits::INDEX_KEY_COLUMNS_MAX + 1, cells: limits::WRITTEN_COLUMNS_MAX };
}

struct Reader<'a> {
    buffer: &'a Bytes,
    at: usize,
}

/// A value of either place, before its place decides whether it may be there.
enum AnyValue {
    Value(Value),
    InfMin,
    InfMax,
    AutoIncrement,
}

/// A cell of either place.
struct AnyCell {
    name: ByteString,
    value: Option<AnyValue>,
    operation: CellOperation,
    timestamp_ms: Option<i64>,
    checksum: u8,
}

impl Reader<'_> {
    fn header(&mut self) -> Result<(), DecodeError> {
        if !self.buffer.starts_with(&HEADER) {
            return Err(DecodeError::NoHeader);
        }
        self.at = HEADER.len();
        Ok(())
    }

    fn row(&mut self, bounds: Bounds) -> Result<WireRow, DecodeError> {
        let mut row = WireRow::default();
        let mut checksum = 0;
        self.expect(tag::ROW_PK)?;
        while self.take_if(tag::CELL) {
            let cell = self.cell()?;
            checksum = crc8::update_1(checksum, cell.checksum);
            let cell = cell.into_key(self.at)?;
            if row.key.len() < bounds.key_columns {
                row.key.push(cell);
            }
        }
        if self.take_if(tag::ROW_DATA) {
            while self.take_if(tag::CELL) {
                let cell = self.cell()?;
                checksum = crc8::update_1(checksum, cell.checksum);
                let cell = cell.into_attribute(self.at)?;
                if row.cells.len() < bounds.cells {
                    row.cells.push(cell);
                } else {
                    row.cells_left_out += 1;
                }
            }
        }
        row.delete_marker = self.take_if(tag::DELETE_ROW_MARKER);
        if self.take_if(tag::EXTENSION) {
            row.sequence = Some(self.sequence()?);
        }
        self.expect(tag::ROW_CHECKSUM)?;
        if self.byte()? != crc8::update_1(checksum, u8::from(row.delete_marker)) {
            return Err(DecodeError::RowChecksum { at: self.at - 1 });
        }
        Ok(row)
    }

    /// The cell after its tag.
    fn cell(&mut self) -> Result<AnyCell, DecodeError> {
        self.expect(tag::CELL_NAME)?;
        let name = self.text()?;
        let mut checksum = crc8::update(0, name.as_bytes());
        let mut value = None;
        if self.take_if(tag::CELL_VALUE) {
            // The value's own length; its type and body tell it again, and readers go by those.
            self.array::<4>()?;
            let start = self.at;
            value = Some(self.value()?);
            checksum = crc8::update(checksum, &self.buffer[start..self.at]);
        }
        let operation_byte = if self.take_if(tag::CELL_TYPE) { Some(self.byte()?) } else { None };
        let operation = self.operation(operation_byte)?;
        let mut timestamp_ms = None;
        if self.take_if(tag::CELL_TIMESTAMP) {
            let bytes = self.array()?;
            checksum = crc8::update_8(checksum, bytes);
            timestamp_ms = Some(i64::from_le_bytes(bytes));
        }
        if let Some(byte) = operation_byte {
            checksum = crc8::update_1(checksum, byte);
        }
        self.expect(tag::CELL_CHECKSUM)?;
        if self.byte()? != checksum {
            return Err(DecodeError::CellChecksum { at: self.at - 1 });
        }
        Ok(AnyCell { name, value, operation, timestamp_ms, checksum })
    }

    fn operation(&self, byte: Option<u8>) -> Result<CellOperation, DecodeError> {
        match byte {
            None => Ok(CellOperation::Put),
            Some(0x01) => Ok(CellOperation::DeleteAll),
            Some(0x03) => Ok(CellOperation::DeleteVersion),
            Some(0x04) => Ok(CellOperation::Increment),
            Some(found) => Err(DecodeError::Unexpected { found, at: self.at - 1 }),
        }
    }

    fn value(&mut self) -> Result<AnyValue, DecodeError> {
        let value = match self.byte()? {
            kind::INTEGER => Value::Integer(i64::from_le_bytes(self.array()?)),
            kind::DOUBLE => Value::Double(f64::from_le_bytes(self.array()?)),
            kind::BOOLEAN => match self.byte()? {
                0 => Value::Boolean(false),
                1 => Value::Boolean(true),
                found => return Err(DecodeError::Unexpected { found, at: self.at - 1 }),
            },
            kind::STRING => Value::String(self.text()?),
            kind::BLOB => Value::Binary(self.blob()?),
            kind::INF_MIN => return Ok(AnyValue::InfMin),
            kind::INF_MAX => return Ok(AnyValue::InfMax),
            kind::AUTO_INCREMENT => return Ok(AnyValue::AutoIncrement),
            found => return Err(DecodeError::Unexpected { found, at: self.at - 1 }),
        };
        Ok(AnyValue::Value(value))
    }

    /// The extension after its tag. Both lengths are fixed, and it is under no checksum.
    fn sequence(&mut self) -> Result<SequenceInfo, DecodeError> {
        self.array::<4>()?;
        self.expect(tag::SEQ_INFO)?;
        self.array::<4>()?;
        self.expect(tag::SEQ_INFO_EPOCH)?;
        let epoch = i32::from_le_bytes(self.array()?);
        self.expect(tag::SEQ_INFO_TS)?;
        let timestamp = i64::from_le_bytes(self.array()?);
        self.expect(tag::SEQ_INFO_ROW_INDEX)?;
        let row_index = i32::from_le_bytes(self.array()?);
        Ok(SequenceInfo { epoch, timestamp, row_index })
    }

    fn text(&mut self) -> Result<ByteString, DecodeError> {
        let bytes = self.blob()?;
        let at = self.at - bytes.len();
        ByteString::try_from(bytes).map_err(|_| DecodeError::NotText { at })
    }

    fn blob(&mut self) -> Result<Bytes, DecodeError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let end = self.at.checked_add(length).filter(|end| *end <= self.buffer.len());
        let end = end.ok_or(DecodeError::Truncated { at: self.buffer.len() })?;
        let bytes = self.buffer.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.buffer[self.at..].first_chunk();
        let bytes = *bytes.ok_or(DecodeError::Truncated { at: self.buffer.len() })?;
        self.at += N;
        Ok(bytes)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.buffer.get(self.at).ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn expect(&mut self, tag: u8) -> Result<(), DecodeError> {
        match self.byte()? {
            found if found == tag => Ok(()),
            found => Err(DecodeError::Unexpected { found, at: self.at - 1 }),
        }
    }

    #[inline]
    fn take_if(&mut self, tag: u8) -> bool {
        let there = self.buffer.get(self.at) == Some(&tag);
        self.at += usize::from(there);
        there
    }
}

impl AnyCell {
    fn into_key(self, at: usize) -> Result<(ByteString, WireKeyValue), DecodeError> {
        if self.operation != CellOperation::Put || self.timestamp_ms.is_some() {
            return Err(DecodeError::Shape {
                what: "a primary key cell with an operation or a timestamp",
                at,
            });
        }
        let value = match self.value {
            Some(AnyValue::Value(Value::Integer(value))) => WireKeyValue::Value(KeyValue::Integer(value)),
            Some(AnyValue::Value(Value::String(value))) => WireKeyValue::Value(KeyValue::String(value)),
            Some(AnyValue::Value(Value::Binary(value))) => WireKeyValue::Value(KeyValue::Binary(value)),
            Some(AnyValue::Value(Value::Double(_))) => return Err(DecodeError::KeyKind(ValueKind::Double)),
            Some(AnyValue::Value(Value::Boolean(_))) => return Err(DecodeError::KeyKind(ValueKind::Boolean)),
            Some(AnyValue::InfMin) => WireKeyValue::InfMin,
            Some(AnyValue::InfMax) => WireKeyValue::InfMax,
            Some(AnyValue::AutoIncrement) => WireKeyValue::AutoIncrement,
            None => return Err(DecodeError::Shape { what: "a primary key cell without a value", at }),
        };
        Ok((self.name, value))
    }

    fn into_attribute(self, at: usize) -> Result<WireCell, DecodeError> {
        let Self { name, value, operation, timestamp_ms, .. } = self;
        let value = match value {
            Some(AnyValue::Value(value)) => Some(value),
            Some(_) => {
                return Err(DecodeError::Shape { what: "an attribute cell with an infinite value", at });
            }
            None => None,
        };
        let needs_value = matches!(operation, CellOperation::Put | CellOperation::Increment);
        if needs_value && value.is_none() {
            return Err(DecodeError::Shape { what: "an attribute cell without a value", at });
        }
        if operation == CellOperation::DeleteVersion && timestamp_ms.is_none() {
            return Err(DecodeError::Shape { what: "a deleted version without a timestamp", at });
        }
        Ok(WireCell { name, value, operation, timestamp_ms })
    }
}
