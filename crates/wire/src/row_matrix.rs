//! SimpleRowMatrix: many rows with the same few columns, their names said once.
//!
//! ```text
//! block   = "SRM0"  data_offset:i32  option_offset:i32  pk_count:i32  attr_count:i32  name*  options  row*  footer
//! name    = length:i16  bytes                      primary key columns first, then attributes
//! options = 0a entire_primary_keys:u8  03 row_count:i32
//! row     = 02  field per column
//! field   = type:u8  body                          00 i64 | 01 f64 | 02 u8 | 03, 07 length:i32 bytes | 06 none
//! footer  = 01  crc8 over all before it, the 01 too
//! ```
//!
//! All numbers are little-endian. A field has one value and no timestamp. A block without rows is not without
//! bytes: clients take it apart all the same.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{Value, ValueRef};

use crate::plain_buffer::{crc8, kind, write_value};

const MAGIC: [u8; 4] = *b"SRM0";
const FOOTER: u8 = 0x01;
const ROW: u8 = 0x02;
const ROW_COUNT: u8 = 0x03;
const ENTIRE_PRIMARY_KEYS: u8 = 0x0a;

/// Writes a block, row after row.
#[derive(Debug)]
pub struct MatrixWriter {
    out: Vec<u8>,
    row_count: u32,
    row_count_at: usize,
}

impl MatrixWriter {
    /// Begins a block with these columns. `entire_key` tells whether the primary key's columns are all there.
    ///
    /// Names are those of columns, at most 255 bytes each.
    pub fn new(key_names: &[&str], attribute_names: &[&str], entire_key: bool) -> Self {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&number(key_names.len()).to_le_bytes());
        out.extend_from_slice(&number(attribute_names.len()).to_le_bytes());
        for name in key_names.iter().chain(attribute_names) {
            let length = i16::try_from(name.len()).expect("a column's name has at most 255 bytes");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        let options_at = out.len();
        out.extend_from_slice(&[ENTIRE_PRIMARY_KEYS, u8::from(entire_key), ROW_COUNT]);
        let row_count_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let data_at = out.len();
        out[4..8].copy_from_slice(&number(data_at).to_le_bytes());
        out[8..12].copy_from_slice(&number(options_at).to_le_bytes());
        Self { out, row_count: 0, row_count_at }
    }

    /// Begins a row. A field for each column comes next, in their order.
    pub fn start_row(&mut self) {
        self.row_count += 1;
        self.out.push(ROW);
    }

    /// Adds the value of the row's next column, or that it has none.
    pub fn field(&mut self, value: Option<ValueRef<'_>>) {
        match value {
            Some(value) => write_value(&mut self.out, value),
            None => self.out.push(kind::NULL),
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no row was written yet.
    pub fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// The block.
    pub fn finish(mut self) -> Bytes {
        self.out[self.row_count_at..][..4].copy_from_slice(&self.row_count.to_le_bytes());
        self.out.push(FOOTER);
        let checksum = crc8::update(0, &self.out);
        self.out.push(checksum);
        self.out.into()
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).expect("a block's head names at most 1024 columns of 255 bytes")
}

/// A block that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Names of primary key columns.
    pub key_names: Vec<ByteString>,
    /// Names of attribute columns.
    pub attribute_names: Vec<ByteString>,
    /// Whether the primary key's columns are all there.
    pub entire_key: bool,
    /// The rows, each with a value or none for every column.
    pub rows: Vec<Vec<Option<Value>>>,
}

/// A block that is none, or damaged. It says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid SimpleRowMatrix at byte {at}")]
pub struct MatrixError {
    at: usize,
}

/// Takes a block apart. Values are slices of it.
///
/// # Errors
/// The bytes are no block.
pub fn decode(block: &Bytes) -> Result<Matrix, MatrixError> {
    let mut reader = Reader { block, at: 0 };
    reader.matrix().ok_or(MatrixError { at: reader.at })
}

struct Reader<'a> {
    block: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn matrix(&mut self) -> Option<Matrix> {
        let (checksum, covered) = self.block.split_last()?;
        if crc8::update(0, covered) != *checksum || self.array()? != MAGIC {
            return None;
        }
        let (data_at, options_at) = (self.count()?, self.count()?);
        let (key_count, attribute_count) = (self.count()?, self.count()?);
        let key_names = self.names(key_count)?;
        let attribute_names = self.names(attribute_count)?;
        self.at = options_at;
        self.expect(ENTIRE_PRIMARY_KEYS)?;
        let entire_key = self.byte()? != 0;
        self.expect(ROW_COUNT)?;
        let row_count = self.count()?;
        self.at = data_at;
        let columns = key_names.len() + attribute_names.len();
        let mut rows = Vec::new();
        for _ in 0..row_count {
            self.expect(ROW)?;
            rows.push((0..columns).map(|_| self.field()).collect::<Option<_>>()?);
        }
        self.expect(FOOTER)?;
        (self.at + 1 == self.block.len()).then_some(Matrix { key_names, attribute_names, entire_key, rows })
    }

    fn names(&mut self, count: usize) -> Option<Vec<ByteString>> {
        // Each takes two bytes at least, so a wrong count ends soon.
        (0..count)
            .map(|_| {
                let length = usize::try_from(i16::from_le_bytes(self.array()?)).ok()?;
                ByteString::try_from(self.slice(length)?).ok()
            })
            .collect()
    }

    #[expect(clippy::option_option, reason = "a field may have no value, and there may be no field")]
    fn field(&mut self) -> Option<Option<Value>> {
        Some(Some(match self.byte()? {
            kind::INTEGER => Value::Integer(i64::from_le_bytes(self.array()?)),
            kind::DOUBLE => Value::Double(f64::from_le_bytes(self.array()?)),
            kind::BOOLEAN => Value::Boolean(self.byte()? != 0),
            kind::STRING => {
                let length = self.count()?;
                Value::String(ByteString::try_from(self.slice(length)?).ok()?)
            }
            kind::BLOB => {
                let length = self.count()?;
                Value::Binary(self.slice(length)?)
            }
            kind::NULL => return Some(None),
            _ => return None,
        }))
    }

    fn expect(&mut self, tag: u8) -> Option<()> {
        (self.byte()? == tag).then_some(())
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(self.array()?)).ok()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = *self.block.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(found)
    }

    fn slice(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.block.len())?;
        let taken = self.block.slice(self.at..end);
        self.at = end;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::bytes;
    use proptest::prelude::*;

    const TWO_ROWS: &str = "53524d30250000001e00000001000000020000000200706b0100730100690a01030200000002030100000061030100000078000700000000000000020301000000620600080000000000000001c3";
    const NO_ROWS: &str = "53524d30220000001b00000001000000010000000200706b0100730a0103000000000178";

    #[test]
    fn golden_block_of_two_rows() {
        let mut writer = MatrixWriter::new(&["pk"], &["s", "i"], true);
        for (key, text, number) in [("a", Some("x"), 7), ("b", None, 8)] {
            writer.start_row();
            writer.field(Some(ValueRef::String(key)));
            writer.field(text.map(ValueRef::String));
            writer.field(Some(ValueRef::Integer(number)));
        }
        assert_eq!(writer.finish(), bytes(TWO_ROWS));
        let matrix = decode(&bytes(TWO_ROWS)).unwrap();
        assert_eq!((matrix.key_names, matrix.entire_key), (vec!["pk".into()], true));
        assert_eq!(matrix.attribute_names, ["s", "i"]);
        let text = |text: &'static str| Some(Value::String(text.into()));
        let integer = |value| Some(Value::Integer(value));
        assert_eq!(matrix.rows, [[text("a"), text("x"), integer(7)], [text("b"), None, integer(8)]]);
    }

    #[test]
    fn golden_block_without_rows() {
        assert_eq!(MatrixWriter::new(&["pk"], &["s"], true).finish(), bytes(NO_ROWS));
        assert!(decode(&bytes(NO_ROWS)).unwrap().rows.is_empty());
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let values = [
            Value::Integer(i64::MIN),
            Value::Double(-0.5),
            Value::Boolean(true),
            Value::String("é".into()),
            Value::Binary(Bytes::from_static(&[0, 255])),
        ];
        let mut writer = MatrixWriter::new(&[], &["a", "b", "c", "d", "e"], false);
        assert!(writer.is_empty());
        writer.start_row();
        values.iter().for_each(|value| writer.field(Some(value.as_ref())));
        let length = writer.len();
        let block = writer.finish();
        assert_eq!(block.len(), length + 2);
        let matrix = decode(&block).unwrap();
        assert_eq!(matrix.rows, [values.map(Some)]);
        assert!(!matrix.entire_key && matrix.key_names.is_empty());
    }

    #[test]
    fn a_damaged_block_is_refused() {
        let block = bytes(TWO_ROWS);
        for length in 0..block.len() {
            assert!(decode(&block.slice(..length)).is_err(), "{length}");
        }
        for at in 0..block.len() {
            let mut damaged = block.to_vec();
            damaged[at] ^= 1;
            assert!(decode(&damaged.into()).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes.clone().into());
            // Once more with a head and a checksum that fit, so that it looks further.
            bytes.splice(0..0, MAGIC);
            bytes.push(crc8::update(0, &bytes));
            let _ = decode(&bytes.into());
        }
    }
}
