//! What the reads of rows share: which rows and cells a reader sees, written straight into the answer.
//!
//! Of each column, cells pass in this order: not expired, among the versions that the table keeps, within the
//! time range asked for, among the newest versions asked for, within the columns asked for ([`cells`]). What is
//! left is what a filter looks at ([`sieve`]), and of a row that passes it, what is shown. A row goes from the
//! store's encoding into the page without being built in between; one that does not pass is not even that, and
//! without a filter nobody looks twice.
//!
//! - [`columns`]: the columns asked for.
//! - [`pages`]: reads the rows of a range until a page is full.
//! - [`matrix`]: pages that have one value for each column.

mod cells;
mod columns;
pub mod matrix;
pub mod pages;
mod sieve;

use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::{ColumnPage, TableSchema, limits};
use lakeferry_store::{RowBuf, RowView, Visibility, aside, key};
use lakeferry_wire::convert::{ReadOptions, TimeRange};
use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::row_token::RowToken;
use lakeferry_wire::{capacity, proto};

use self::cells::{Cells, ShownCell};
use self::columns::Columns;
use self::pages::Sizes;
use self::sieve::Sieve;
use crate::error::ApiError;

/// Which cells of a table's rows a reader is shown.
pub struct Lens<'a> {
    schema: &'a TableSchema,
    columns: Columns<'a>,
    versions: Versions,
    sieve: Option<Sieve<'a>>,
    page: Option<ColumnPage>,
    key_name_bytes: usize,
}

/// Which versions of a column a reader asks for.
#[derive(Debug, Clone, Copy)]
struct Versions {
    time_range: Option<TimeRange>,
    max: usize,
}

/// A row's key bytes and its entry.
type StoredRow<'r> = (&'r [u8], RowView<'r>);

/// What was shown of a row.
struct Piece {
    /// How much it is.
    sizes: Sizes,
    /// Where to go on, if there is more.
    next: Option<RowToken>,
}

/// A row that was looked for, as it is answered.
pub struct AnsweredRow {
    /// What it would have cost.
    pub consumed: proto::ConsumedCapacity,
    /// What is shown of it; empty if it is not there, or is left out.
    pub row: Bytes,
    /// Where to go on, if there is more.
    pub next_token: Option<Bytes>,
}

impl<'a> Lens<'a> {
    /// What the options show of the rows of a table. A filter that takes long is given up at the deadline.
    pub fn new(options: &'a ReadOptions, schema: &'a TableSchema, deadline: Instant) -> Self {
        let columns = Columns::new(options, schema);
        let filter = options.filter.as_ref();
        let condition = filter.and_then(|filter| filter.condition.as_ref());
        Self {
            schema,
            versions: Versions {
                time_range: options.time_range,
                max: options.versions_max.map_or(usize::MAX, |versions| versions as usize),
            },
            sieve: condition.map(|condition| Sieve::new(condition, &columns, schema, deadline)),
            page: filter.and_then(|filter| filter.page),
            columns,
            key_name_bytes: schema.key_name_bytes(),
        }
    }

    /// Whether a row that is there may be left out.
    pub fn may_leave_rows_out(&self) -> bool {
        self.sieve.is_some() || !self.columns.show_every_row()
    }

    /// Looks at rows, aside from the runtime if that may take long.
    pub fn look<T>(&self, at_rows: impl FnOnce() -> T) -> T {
        match &self.sieve {
            Some(sieve) if sieve.may_take_long() => aside(at_rows),
            _ => at_rows(),
        }
    }

    /// Appends what is shown of a row, and answers how much that is. A row of which nothing is shown is left out:
    /// `None`.
    ///
    /// # Errors
    /// If the row's bytes are damaged. What was appended is of no use then.
    pub fn write(
        &self,
        row: StoredRow<'_>,
        visibility: &Visibility,
        page: &mut RowWriter,
    ) -> Result<Option<Sizes>, ApiError> {
        let piece = self.write_up_to(row, visibility, None, usize::MAX, page)?;
        Ok(piece.map(|piece| piece.sizes))
    }

    /// What is answered of the row that was looked for: all that is shown of it. Of that, a caller that goes on at
    /// a token gets what is behind it, and no more data than [`limits::ROW_PIECE_BYTES_MAX`], though one cell at
    /// least. A caller that has no token may not know of them, and would take a part for the whole.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn answer(&self, found: Option<&RowBuf>, after: Option<&RowToken>) -> Result<AnsweredRow, ApiError> {
        let mut page = RowWriter::new();
        let bytes_max = after.map_or(usize::MAX, |_| limits::ROW_PIECE_BYTES_MAX);
        let piece = match found {
            Some(row) => {
                self.look(|| self.write_up_to(row.view()?, &row.visibility(), after, bytes_max, &mut page))?
            }
            None => None,
        };
        // A row that is missing has no bytes, and costs as much as a small one.
        let size = piece.as_ref().map_or(0, |piece| piece.sizes.all());
        let next_token = piece.and_then(|piece| piece.next).map(|next| next.encode());
        Ok(AnsweredRow { consumed: capacity::read(size), row: page.finish(), next_token })
    }

    fn write_up_to(
        &self,
        (key, row): StoredRow<'_>,
        visibility: &Visibility,
        after: Option<&RowToken>,
        bytes_max: usize,
        page: &mut RowWriter,
    ) -> Result<Option<Piece>, ApiError> {
        if row.stands(visibility) == Some(false) || !self.passes((key, row), visibility)? {
            return Ok(None);
        }
        let mut shown: Option<Sizes> = None;
        let mut last: Option<ShownCell<'_>> = None;
        let mut next = None;
        let mut cells = self.cells(row, visibility)?;
        while let Some(cell) = cells.next()? {
            let sizes = match &mut shown {
                Some(sizes) => sizes,
                None => shown.insert(self.begin(key, page)?),
            };
            if after.is_some_and(|after| !after.is_before(cell.name.as_bytes(), cell.timestamp_ms)) {
                continue;
            }
            let size = Sizes { names: cell.name.len(), values: cell.value.size() };
            if sizes.all() + size.all() > bytes_max
                && let Some(last) = last
            {
                next = Some(RowToken { column: last.name.into(), timestamp_ms: last.timestamp_ms });
                break;
            }
            page.cell(cell.name, cell.value, cell.timestamp_ms);
            sizes.add(size);
            last = Some(cell);
        }
        if shown.is_none() && self.shows_bare(row, cells.is_cut(), visibility)? {
            shown = Some(self.begin(key, page)?);
        }
        if shown.is_some() {
            page.end_row();
        }
        Ok(shown.map(|sizes| Piece { sizes, next }))
    }

    /// Whether the row is there, as far as its head tells, and passes the filter.
    fn passes(&self, row: StoredRow<'_>, visibility: &Visibility) -> Result<bool, ApiError> {
        if row.1.stands(visibility) == Some(false) {
            return Ok(false);
        }
        match &self.sieve {
            None => Ok(true),
            Some(sieve) => sieve.passes(row, &self.versions, visibility),
        }
    }

    /// The cells that are shown of a row that passes the filter.
    fn cells<'r>(&self, row: RowView<'r>, visibility: &Visibility) -> Result<Cells<'_, 'r>, ApiError> {
        Cells::new(row, *visibility, self.versions, &self.columns, self.page)
    }

    /// Whether a row of which no cell is shown is shown with its key alone. `is_cut` tells that it would have
    /// cells, which are on other pages of its columns.
    fn shows_bare(&self, row: RowView<'_>, is_cut: bool, visibility: &Visibility) -> Result<bool, ApiError> {
        // A row whose cells have all expired is gone; one that never had any is there.
        Ok((is_cut || self.columns.show_every_row()) && row.is_visible(visibility)?)
    }

    /// The size of a row's key and of its cells that are asked for, whether the filter shows the row or not.
    fn measure(&self, (key, row): StoredRow<'_>, visibility: &Visibility) -> Result<Sizes, ApiError> {
        let mut sizes = Sizes::default();
        if !row.is_visible(visibility)? {
            return Ok(sizes);
        }
        sizes.names += self.key_name_bytes;
        for part in key::parts(key, &self.schema.primary_key) {
            sizes.values += part?.as_ref().size();
        }
        let mut cells = self.cells(row, visibility)?;
        while let Some(cell) = cells.next()? {
            sizes.add(Sizes { names: cell.name.len(), values: cell.value.size() });
        }
        Ok(sizes)
    }

    fn begin(&self, key: &[u8], page: &mut RowWriter) -> Result<Sizes, ApiError> {
        let columns = &self.schema.primary_key;
        let mut sizes = Sizes { names: self.key_name_bytes, values: 0 };
        page.start_row();
        for (column, part) in columns.iter().zip(key::parts(key, columns)) {
            let part = part?;
            sizes.values += part.as_ref().size();
            page.key_cell(&column.name, part.as_ref());
        }
        Ok(sizes)
    }
}
