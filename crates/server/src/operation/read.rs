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

use lakeferry_model::{ColumnPage, TableSchema, limits};
use lakeferry_store::{RowView, Visibility, key};
use lakeferry_wire::convert::{ReadOptions, TimeRange};
use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::row_token::RowToken;

use self::cells::{Cells, ShownCell};
use self::columns::Columns;
use self::pages::Sizes;
use self::sieve::Sieve;
use super::write;
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
pub struct Piece {
    /// How much it is.
    pub sizes: Sizes,
    /// Where to go on, if the row is wider than an answer.
    pub next: Option<RowToken>,
}

/// Refuses what reads cannot do yet.
///
/// # Errors
/// If the options ask for it.
pub fn refuse_unserved(options: &ReadOptions) -> Result<(), ApiError> {
    write::refuse_transaction(options.transaction_id.as_deref())
}

impl<'a> Lens<'a> {
    /// What the options show of the rows of a table.
    pub fn new(options: &'a ReadOptions, schema: &'a TableSchema) -> Self {
        let columns = Columns::new(options, schema);
        let filter = options.filter.as_ref();
        let condition = filter.and_then(|filter| filter.condition.as_ref());
        Self {
            schema,
            versions: Versions {
                time_range: options.time_range,
                max: options.versions_max.map_or(usize::MAX, |versions| versions as usize),
            },
            sieve: condition.map(|condition| Sieve::new(condition, &columns, schema)),
            page: filter.and_then(|filter| filter.page),
            columns,
            key_name_bytes: schema.key_name_bytes(),
        }
    }

    /// Whether a row that is there may be left out.
    pub fn may_leave_rows_out(&self) -> bool {
        self.sieve.is_some() || !self.columns.show_every_row()
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

    /// As [`Self::write`], but a row that is too wide for one answer is written in part: what follows `after`, if
    /// it is given, and no more data than [`limits::ROW_PIECE_BYTES_MAX`], though one cell at least.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn write_piece(
        &self,
        row: StoredRow<'_>,
        visibility: &Visibility,
        after: Option<&RowToken>,
        page: &mut RowWriter,
    ) -> Result<Option<Piece>, ApiError> {
        self.write_up_to(row, visibility, after, limits::ROW_PIECE_BYTES_MAX, page)
    }

    fn write_up_to(
        &self,
        (key, row): StoredRow<'_>,
        visibility: &Visibility,
        after: Option<&RowToken>,
        bytes_max: usize,
        page: &mut RowWriter,
    ) -> Result<Option<Piece>, ApiError> {
        if !self.passes((key, row), visibility)? {
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
