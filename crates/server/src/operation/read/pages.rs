//! Reads the rows of a range until a page is full.
//!
//! A page ends at the rows asked for, at 5000 rows read, shown or not, at 4 MiB read or answered, or at the
//! range's end. Only in the last case there is no key to go on from. It ends with the row that makes it reach
//! 4 MiB: rows are answered whole, because clients go on from the next key alone and would meet the first part of
//! a divided row for ever.
//!
//! Where rows may be left out, more are read at a time than were asked for, and more each time: a filter that
//! lets few rows pass does not make a read of the engine for each of them.

use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::{KeyBound, KeyRange, KeyValue, PrimaryKey, TableSchema, limits};
use lakeferry_store::{RangeLimits, RangePage, RowBlock, TableInfo, Visibility, key};
use lakeferry_wire::convert::{RangeRead, RowFormat};
use lakeferry_wire::plain_buffer::{RowWriter, encode};
use lakeferry_wire::proto::DataBlockType;

use super::super::target::Target;
use super::matrix::MatrixPage;
use super::{Lens, StoredRow};
use crate::error::ApiError;

/// Rows of the first read where rows may be left out.
const FIRST_READ_ROWS: usize = 32;

/// A page that was read.
pub struct ReadPage {
    /// The rows.
    pub rows: Bytes,
    /// Their format.
    pub format: DataBlockType,
    /// The key to go on from, as the answer carries it.
    pub next: Option<Bytes>,
    /// What was measured.
    pub sizes: Sizes,
}

/// What the answer is to tell the size of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// What is shown.
    Shown,
    /// What is asked for of every row on the way, with its whole key, also where a filter leaves the row out.
    Read,
}

/// How much was shown, or read, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Names of columns, each as often as it comes.
    pub names: usize,
    /// Values.
    pub values: usize,
}

/// Takes the rows of a range, one after the other.
pub trait Page {
    /// Adds what is shown of a row. `false` if that is nothing.
    ///
    /// # Errors
    /// If the row's bytes are damaged.
    fn add(&mut self, row: StoredRow<'_>, visibility: &Visibility) -> Result<bool, ApiError>;

    /// Bytes of the page so far.
    fn bytes(&self) -> usize;
}

/// Reads the page that is asked for, from its table.
///
/// # Errors
/// The first broken rule, or why it could not be read.
pub async fn read(
    target: &Target,
    info: &TableInfo,
    asked: RangeRead,
    measure: Measure,
    deadline: Instant,
) -> Result<ReadPage, ApiError> {
    let RangeRead { table: _, start, end, backward, limit, format, options } = asked;
    let range = info.schema.range(start, end, backward)?;
    let lens = Lens::new(&options, &info.schema, deadline);
    let mut filling = Filling::new(limit, &lens, measure);
    let (rows, format, next, shown) = match format {
        RowFormat::PlainBuffer => {
            let mut page = PlainPage { lens: &lens, rows: RowWriter::new(), sizes: Sizes::default() };
            let next = filling.fill(target, range, &mut page, deadline).await?;
            (page.rows.finish(), DataBlockType::PlainBuffer, next, page.sizes)
        }
        RowFormat::Matrix { entire_key } => {
            let mut page = MatrixPage::new(&lens, &options.columns_to_get, entire_key);
            let next = filling.fill(target, range, &mut page, deadline).await?;
            let (rows, sizes) = page.finish();
            (rows, DataBlockType::SimpleRowMatrix, next, sizes)
        }
    };
    let sizes = filling.measured.unwrap_or(shown);
    Ok(ReadPage { rows, format, next: next.map(|key| next_start(&info.schema, &key)), sizes })
}

/// Rows one after the other, as they are answered by default.
struct PlainPage<'l> {
    lens: &'l Lens<'l>,
    rows: RowWriter,
    sizes: Sizes,
}

impl Page for PlainPage<'_> {
    fn add(&mut self, row: StoredRow<'_>, visibility: &Visibility) -> Result<bool, ApiError> {
        let written = self.lens.write(row, visibility, &mut self.rows)?;
        let is_shown = written.is_some();
        self.sizes.add(written.unwrap_or_default());
        Ok(is_shown)
    }

    fn bytes(&self) -> usize {
        self.rows.len()
    }
}

/// How far a page is filled.
struct Filling<'l> {
    lens: &'l Lens<'l>,
    /// Rows that may still be shown.
    rows_left: usize,
    /// Rows read, shown or not.
    read_rows: usize,
    /// Bytes read, shown or not.
    read_bytes: usize,
    /// Rows that the next read takes at least, if it may.
    step: usize,
    /// What was measured on the way, if that is to be told.
    measured: Option<Sizes>,
}

impl<'l> Filling<'l> {
    fn new(limit: Option<u32>, lens: &'l Lens<'l>, measure: Measure) -> Self {
        let rows_left = limit.map_or(usize::MAX, |limit| limit as usize);
        let step = if lens.may_leave_rows_out() { FIRST_READ_ROWS } else { 0 };
        let measured = (measure == Measure::Read).then(Sizes::default);
        Self { lens, rows_left, read_rows: 0, read_bytes: 0, step, measured }
    }

    /// Fills the page. The key of the first row that is not on it; `None` at the range's end.
    async fn fill(
        &mut self,
        target: &Target,
        mut range: KeyRange,
        page: &mut (impl Page + Send),
        deadline: Instant,
    ) -> Result<Option<PrimaryKey>, ApiError> {
        loop {
            let RangePage { blocks, next } = target.range(&range, self.room(), deadline).await?;
            for block in &blocks {
                if let Some(next) = self.lens.look(|| self.add(block, page))? {
                    return Ok(Some(next));
                }
            }
            match next {
                Some(next) if !self.is_full(page) => range.start = bound_at(&next),
                next => return Ok(next),
            }
            self.step = (2 * self.step).max(FIRST_READ_ROWS);
        }
    }

    /// What the next read may bring.
    fn room(&self) -> RangeLimits {
        RangeLimits {
            rows_max: self
                .rows_left
                .max(self.step)
                .min(limits::RANGE_ROWS_MAX.saturating_sub(self.read_rows)),
            bytes_max: limits::RANGE_BYTES_MAX.saturating_sub(self.read_bytes),
        }
    }

    fn is_full(&self, page: &impl Page) -> bool {
        self.read_rows >= limits::RANGE_ROWS_MAX
            || self.read_bytes >= limits::RANGE_BYTES_MAX
            || self.has_enough(page)
    }

    fn has_enough(&self, page: &impl Page) -> bool {
        self.rows_left == 0 || page.bytes() >= limits::RANGE_BYTES_MAX
    }

    /// Adds rows until the page has enough; then the key of the first that is left.
    fn add(&mut self, block: &RowBlock, page: &mut impl Page) -> Result<Option<PrimaryKey>, ApiError> {
        self.read_rows += block.len();
        self.read_bytes += block.bytes();
        let visibility = block.visibility();
        for row in block.rows() {
            let row = row?;
            if self.has_enough(page) {
                return Ok(Some(key::decode(row.0, &block.table().schema.primary_key)?));
            }
            if let Some(measured) = &mut self.measured {
                measured.add(self.lens.measure(row, &visibility)?);
            }
            if page.add(row, &visibility)? {
                self.rows_left -= 1;
            }
        }
        Ok(None)
    }
}

impl Sizes {
    /// What capacity units count.
    pub fn all(self) -> usize {
        self.names + self.values
    }

    /// Adds what was shown of another row.
    pub fn add(&mut self, row: Self) {
        self.names += row.names;
        self.values += row.values;
    }
}

fn next_start(schema: &TableSchema, key: &PrimaryKey) -> Bytes {
    let names = schema.primary_key.iter().map(|column| column.name.as_str());
    encode::key(names.zip(key.values().iter().map(KeyValue::as_ref)))
}

fn bound_at(key: &PrimaryKey) -> Vec<KeyBound> {
    key.values().iter().cloned().map(KeyBound::Value).collect()
}
