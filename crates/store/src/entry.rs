//! Rows as bytes, made for scanning.
//!
//! ```text
//! entry    = format:u8=1  sequence:u64  commit_time:i64  columns                  of a row
//!          | format:u8=2  sequence:u64  commit_time:i64  stands_ms:i64  columns   of an index
//! columns  = base_ms:varint(zigzag)  count:varint  column*
//! column   = name_length:varint  name  version_count:varint  version*
//! version  = (timestamp_ms - base_ms):varint(zigzag)  kind:u8  payload
//! payload  = INTEGER 8 bytes | DOUBLE 8 bytes | FALSE | TRUE | STRING length:varint bytes | BINARY the same
//! ```
//!
//! An index's entry stands as long as a cell of the timestamp `stands_ms` is seen: its row may have expired without
//! a cell of the entry telling.
//!
//! Numbers of fixed width are little-endian. Columns come in name order, versions newest first; cells of one
//! write mostly share a timestamp, which then costs a byte. The head of an entry has a fixed place, so that the
//! committer writes it without looking at the rest. Reading copies nothing and never panics: damaged bytes end
//! in [`Error::Corrupt`].

use bytestring::ByteString;
use lakeferry_model::{Cell, Micros, TableOptions, ValueRef};
use smallvec::SmallVec;

use crate::error::Error;
use crate::shape::FoundValue;

/// The format of a row's entry.
pub const FORMAT: u8 = 1;
/// The format of an index's entry.
pub const INDEX_FORMAT: u8 = 2;
/// Bytes before the columns.
pub const HEAD_BYTES: usize = 17;

pub(crate) mod kind {
    pub const INTEGER: u8 = 0;
    pub const DOUBLE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const TRUE: u8 = 3;
    pub const STRING: u8 = 4;
    pub const BINARY: u8 = 5;
}

/// A row as it lies in its entry.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    sequence: u64,
    commit_time: Micros,
    stands_ms: i64,
    columns: &'a [u8],
}

impl<'a> RowView<'a> {
    /// Reads the head of an entry.
    ///
    /// # Errors
    /// If the entry is damaged, or of a format that this code does not know.
    pub fn new(entry: &'a [u8]) -> Result<Self, Error> {
        let (head, columns) = entry.split_first_chunk::<HEAD_BYTES>().ok_or_else(damaged)?;
        let (sequence, commit_time) = read_position(head[1..].try_into().map_err(|_| damaged())?);
        let (stands_ms, columns) = match head[0] {
            FORMAT => (i64::MAX, columns),
            INDEX_FORMAT => {
                let (stands_ms, columns) = columns.split_first_chunk::<8>().ok_or_else(damaged)?;
                (i64::from_le_bytes(*stands_ms), columns)
            }
            other => return Err(Error::Corrupt(format!("a row entry has the unknown format {other}"))),
        };
        Ok(Self { sequence, commit_time, stands_ms, columns })
    }

    /// The sequence of the row's last change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The commit time of the row's last change.
    pub fn commit_time(&self) -> Micros {
        self.commit_time
    }

    /// The encoded columns, without the head.
    pub(crate) fn columns(&self) -> &'a [u8] {
        self.columns
    }

    /// All cells with their names as bytes, in column order, newest version first.
    pub fn raw_cells(&self) -> RawCells<'a> {
        RawCells::new(self.columns)
    }

    /// All cells, in column order, newest version first.
    pub fn cells(&self) -> Cells<'a> {
        Cells::new(self.columns)
    }

    /// Whether an index's entry stands, whatever its own cells say; `None` where only the cells can tell.
    #[inline]
    pub fn stands(&self, visibility: &Visibility) -> Option<bool> {
        (self.stands_ms != i64::MAX).then_some(self.stands_ms >= visibility.oldest_ms)
    }

    /// Whether a reader sees the row at all: it has no cells, or one that is visible.
    ///
    /// # Errors
    /// If the entry is damaged.
    pub fn is_visible(&self, visibility: &Visibility) -> Result<bool, Error> {
        if let Some(stands) = self.stands(visibility) {
            return Ok(stands);
        }
        if visibility.shows_every_row() {
            return Ok(true);
        }
        if visibility.oldest_ms == i64::MIN {
            return Ok(true);
        }
        let mut any = false;
        for cell in self.cells() {
            any = true;
            if visibility.shows(&cell?) {
                return Ok(true);
            }
        }
        Ok(!any)
    }
}

/// A cell as it lies in its row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellRef<'a> {
    /// The column's name.
    pub name: &'a str,
    /// The place among the column's versions: 0 for the newest.
    pub version: usize,
    /// The version's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What the column held.
    pub value: ValueRef<'a>,
}

impl CellRef<'_> {
    /// An owned copy.
    pub fn to_cell(self) -> Cell {
        let name = ByteString::from(self.name);
        Cell { name, timestamp_ms: self.timestamp_ms, value: self.value.to_value() }
    }
}

/// Which cells readers see: time to live, what is hidden for good, and maximum versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    oldest_ms: i64,
    versions_max: usize,
}

impl Visibility {
    /// What a table's options show at `now_ms`, in milliseconds since the epoch.
    pub fn new(options: &TableOptions, now_ms: i64) -> Self {
        Self::for_ever(options).hiding_below(options.expired_below_ms(now_ms))
    }

    /// What a table's options show however old it is.
    pub fn for_ever(options: &TableOptions) -> Self {
        let versions_max = usize::try_from(options.versions_max).unwrap_or(usize::MAX);
        Self { oldest_ms: i64::MIN, versions_max }
    }

    /// The same without cells below this timestamp in milliseconds.
    pub fn hiding_below(self, ms: Option<i64>) -> Self {
        Self { oldest_ms: self.oldest_ms.max(ms.unwrap_or(i64::MIN)), ..self }
    }

    /// Every cell, as in a change record, to which nobody applies expiry.
    pub const ALL: Self = Self { oldest_ms: i64::MIN, versions_max: usize::MAX };

    /// Whether no row can be hidden: nothing expires, and of each column the newest version is seen.
    fn shows_every_row(&self) -> bool {
        self.oldest_ms == i64::MIN && self.versions_max > 0
    }

    /// Whether readers see the cell.
    pub fn shows(&self, cell: &CellRef<'_>) -> bool {
        self.shows_version(cell.version, cell.timestamp_ms)
    }

    /// Whether readers see a column's version, counted from 0 for the newest, with this timestamp in milliseconds.
    #[inline]
    pub fn shows_version(&self, version: usize, timestamp_ms: i64) -> bool {
        timestamp_ms >= self.oldest_ms && version < self.versions_max
    }
}

/// Cells in the order in which they lie. After an error it ends.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    raw: RawCells<'a>,
    name: &'a str,
}

impl<'a> Cells<'a> {
    /// Reads cells from what [`encode_columns`] wrote.
    pub fn new(columns: &'a [u8]) -> Self {
        Self { raw: RawCells::new(columns), name: "" }
    }

    /// What lies behind the last cell, once all were read.
    pub fn rest(&self) -> &'a [u8] {
        self.raw.bytes.0
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<CellRef<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let cell = match self.raw.next()? {
            Ok(cell) => cell,
            Err(error) => return Some(Err(error)),
        };
        if cell.version == 0 {
            match std::str::from_utf8(cell.name) {
                Ok(name) => self.name = name,
                Err(_) => {
                    self.raw.end();
                    return Some(Err(damaged()));
                }
            }
        }
        let RawCell { version, timestamp_ms, value, .. } = cell;
        Some(Ok(CellRef { name: self.name, version, timestamp_ms, value }))
    }
}

/// A cell whose name nobody has looked at: whoever knows the table's columns compares bytes, which costs less
/// than making sure that they are text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawCell<'a> {
    /// The bytes of the column's name.
    pub name: &'a [u8],
    /// The place among the column's versions: 0 for the newest.
    pub version: usize,
    /// The version's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What the column held.
    pub value: ValueRef<'a>,
}

/// [`Cells`] with their names as bytes.
#[derive(Debug, Clone)]
pub struct RawCells<'a> {
    bytes: Reader<'a>,
    base_ms: i64,
    columns_left: u64,
    versions_left: u64,
    version: usize,
    name: &'a [u8],
    started: bool,
}

impl<'a> RawCells<'a> {
    /// Reads cells from what [`encode_columns`] wrote.
    pub fn new(columns: &'a [u8]) -> Self {
        Self {
            bytes: Reader(columns),
            base_ms: 0,
            columns_left: 0,
            versions_left: 0,
            version: 0,
            name: &[],
            started: false,
        }
    }

    fn end(&mut self) {
        self.started = true;
        self.columns_left = 0;
        self.versions_left = 0;
    }

    #[inline]
    fn step(&mut self) -> Option<Option<RawCell<'a>>> {
        if !self.started {
            self.started = true;
            self.base_ms = unzigzag(self.bytes.varint()?);
            self.columns_left = self.bytes.varint()?;
        }
        while self.versions_left == 0 {
            if self.columns_left == 0 {
                return Some(None);
            }
            self.columns_left -= 1;
            self.name = self.bytes.prefixed()?;
            self.versions_left = self.bytes.varint()?;
            self.version = 0;
        }
        self.versions_left -= 1;
        let timestamp_ms = self.base_ms.wrapping_add(unzigzag(self.bytes.varint()?));
        let value = self.bytes.value()?;
        let version = self.version;
        self.version += 1;
        Some(Some(RawCell { name: self.name, version, timestamp_ms, value }))
    }
}

impl<'a> Iterator for RawCells<'a> {
    type Item = Result<RawCell<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Some(cell) => cell.map(Ok),
            None => {
                self.end();
                Some(Err(damaged()))
            }
        }
    }
}

/// A column that is being put together: its versions newest first, one per timestamp.
#[derive(Debug, Clone, PartialEq)]
pub struct Column<'a> {
    /// The column's name.
    pub name: &'a str,
    /// Timestamps in milliseconds, and values.
    pub versions: SmallVec<[(i64, ValueRef<'a>); 1]>,
}

/// Appends columns, which must be in name order, each with its newest versions.
pub fn encode_columns(columns: &[Column<'_>], versions_max: usize, out: &mut Vec<u8>) {
    debug_assert!(columns.is_sorted_by(|a, b| a.name < b.name), "columns lie in name order");
    let base_ms = columns.first().and_then(|column| column.versions.first()).map_or(0, |(ms, _)| *ms);
    put_varint(zigzag(base_ms), out);
    put_varint(columns.len() as u64, out);
    for column in columns {
        put_prefixed(column.name.as_bytes(), out);
        let count = column.versions.len().min(versions_max);
        put_varint(count as u64, out);
        for (timestamp_ms, value) in &column.versions[..count] {
            put_varint(zigzag(timestamp_ms.wrapping_sub(base_ms)), out);
            put_value(*value, out);
        }
    }
}

/// Appends the head of a row's entry.
pub fn encode_head(sequence: u64, commit_time: Micros, out: &mut Vec<u8>) {
    encode_head_of(FORMAT, sequence, commit_time, out);
}

/// Appends the head of an entry, up to where the formats differ.
pub fn encode_head_of(format: u8, sequence: u64, commit_time: Micros, out: &mut Vec<u8>) {
    out.push(format);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&commit_time.to_le_bytes());
}

/// Reads a sequence and a commit time.
pub fn read_position(bytes: &[u8; 16]) -> (u64, Micros) {
    let [sequence, time] = [&bytes[..8], &bytes[8..]].map(|half| {
        let mut number = [0; 8];
        number.copy_from_slice(half);
        u64::from_le_bytes(number)
    });
    (sequence, time.cast_signed())
}

pub(crate) fn damaged() -> Error {
    Error::Corrupt("a row or change record ends in the middle or holds an unknown value".into())
}

#[inline]
pub(crate) fn put_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Integer(value) => {
            out.push(kind::INTEGER);
            out.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Double(value) => {
            out.push(kind::DOUBLE);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        ValueRef::Boolean(false) => out.push(kind::FALSE),
        ValueRef::Boolean(true) => out.push(kind::TRUE),
        ValueRef::String(text) => {
            out.push(kind::STRING);
            put_prefixed(text.as_bytes(), out);
        }
        ValueRef::Binary(bytes) => {
            out.push(kind::BINARY);
            put_prefixed(bytes, out);
        }
    }
}

#[inline]
pub(crate) fn put_prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it takes the low bits on purpose, seven at a time")]
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

/// Takes bytes from the front; `None` where they end too soon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(first.into());
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn eight(&mut self) -> Option<[u8; 8]> {
        let (taken, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    pub(crate) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    /// Passes over a value, and does not look whether text is text.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Option<()> {
        match self.byte()? {
            kind::INTEGER | kind::DOUBLE => drop(self.take(8)?),
            kind::FALSE | kind::TRUE => {}
            kind::STRING | kind::BINARY => drop(self.prefixed()?),
            _ => return None,
        }
        Some(())
    }

    #[inline(always)]
    pub(crate) fn found_value(&mut self) -> Option<FoundValue<'a>> {
        Some(FoundValue::Other(match self.byte()? {
            kind::INTEGER => ValueRef::Integer(i64::from_le_bytes(self.eight()?)),
            kind::DOUBLE => ValueRef::Double(f64::from_bits(u64::from_le_bytes(self.eight()?))),
            kind::FALSE => ValueRef::Boolean(false),
            kind::TRUE => ValueRef::Boolean(true),
            kind::STRING => return Some(FoundValue::Text(self.prefixed()?)),
            kind::BINARY => ValueRef::Binary(self.prefixed()?),
            _ => return None,
        }))
    }

    #[inline]
    pub(crate) fn value(&mut self) -> Option<ValueRef<'a>> {
        match self.found_value()? {
            FoundValue::Text(text) => Some(ValueRef::String(std::str::from_utf8(text).ok()?)),
            FoundValue::Other(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;

    fn entry_of(columns: &[Column<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_head(7, -9, &mut out);
        encode_columns(columns, usize::MAX, &mut out);
        out
    }

    #[test]
    fn a_row_comes_back_with_all_kinds_and_versions() {
        let columns = [
            Column {
                name: "a",
                versions: smallvec![
                    (1_700_000_000_000, ValueRef::Integer(i64::MIN)),
                    (5, ValueRef::Boolean(true))
                ],
            },
            Column { name: "b", versions: smallvec![(i64::MAX / 1000, ValueRef::Double(-0.0))] },
            Column {
                name: "é",
                versions: smallvec![(0, ValueRef::String("")), (-1, ValueRef::Binary(&[0, 255]))],
            },
        ];
        let entry = entry_of(&columns);
        let row = RowView::new(&entry).unwrap();
        assert_eq!((row.sequence(), row.commit_time()), (7, -9));
        let cells: Vec<CellRef<'_>> = row.cells().map(Result::unwrap).collect();
        let expected: Vec<CellRef<'_>> = columns
            .iter()
            .flat_map(|column| {
                column.versions.iter().enumerate().map(|(version, (timestamp_ms, value))| CellRef {
                    name: column.name,
                    version,
                    timestamp_ms: *timestamp_ms,
                    value: *value,
                })
            })
            .collect();
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_cut_off_row_is_damaged_not_shorter() {
        let entry = entry_of(&[Column { name: "a", versions: smallvec![(1, ValueRef::String("text"))] }]);
        for length in 0..entry.len() {
            let read =
                RowView::new(&entry[..length]).and_then(|row| row.cells().collect::<Result<Vec<_>, _>>());
            assert!(read.is_err(), "{length} of {} bytes", entry.len());
        }
    }

    #[test]
    fn a_row_whose_cells_have_all_expired_is_not_visible() {
        let options = TableOptions { time_to_live_s: Some(1), ..TableOptions::default() };
        let entry = entry_of(&[Column { name: "a", versions: smallvec![(1_000, ValueRef::Integer(1))] }]);
        let row = RowView::new(&entry).unwrap();
        assert!(row.is_visible(&Visibility::new(&options, 2_000)).unwrap());
        assert!(!row.is_visible(&Visibility::new(&options, 2_001)).unwrap());
        let bare = entry_of(&[]);
        assert!(RowView::new(&bare).unwrap().is_visible(&Visibility::new(&options, 9_000)).unwrap());
    }

    #[test]
    fn an_entry_of_an_index_stands_as_long_as_it_says() {
        let mut entry = Vec::new();
        encode_head_of(INDEX_FORMAT, 7, -9, &mut entry);
        entry.extend_from_slice(&1_000_i64.to_le_bytes());
        encode_columns(&[], 1, &mut entry);
        let row = RowView::new(&entry).unwrap();
        assert_eq!((row.sequence(), row.commit_time(), row.cells().count()), (7, -9, 0));
        let options = TableOptions { time_to_live_s: Some(1), ..TableOptions::default() };
        assert!(row.is_visible(&Visibility::new(&options, 2_000)).unwrap());
        assert!(!row.is_visible(&Visibility::new(&options, 2_001)).unwrap());
        assert!(row.is_visible(&Visibility::ALL).unwrap());
    }

    proptest! {
        #[test]
        fn damaged_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(row) = RowView::new(&bytes) {
                for _ in row.cells().take(1000) {}
            }
        }

        #[test]
        fn numbers_survive_their_packing(number in any::<i64>()) {
            let mut out = Vec::new();
            put_varint(zigzag(number), &mut out);
            prop_assert_eq!(Reader(&out).varint().map(unzigzag), Some(number));
        }
    }
}
