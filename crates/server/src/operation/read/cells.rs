//! A row's cells as they pass to the reader, one after the other.

use lakeferry_model::{ColumnPage, ValueRef};
use lakeferry_store::{ColumnWalk, RowView, Visibility};

use super::Versions;
use super::columns::{Columns, Cursor, Wanted};
use crate::error::ApiError;

/// Walks along the cells that are shown of a row, columns in name order, versions newest first.
pub struct Cells<'l, 'r> {
    walk: ColumnWalk<'r>,
    visibility: Visibility,
    asked: Versions,
    cursor: Cursor<'l>,
    page: Option<ColumnPage>,
    column: Option<Column<'r>>,
    /// Columns of which something would be shown, were it not for the page.
    columns: usize,
    is_cut: bool,
}

/// The column that the walk stands at.
struct Column<'r> {
    /// Known to be text once one of its cells is shown.
    name: &'r [u8],
    text: &'r str,
    /// Versions looked at, and versions shown.
    version: usize,
    shown: usize,
}

/// A cell that is shown.
#[derive(Debug, Clone, Copy)]
pub struct ShownCell<'r> {
    /// The column's name.
    pub name: &'r str,
    /// The version's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What the column held.
    pub value: ValueRef<'r>,
}

impl<'l, 'r> Cells<'l, 'r> {
    /// Begins before the row's first cell.
    ///
    /// # Errors
    /// If the row's bytes are damaged.
    pub fn new(
        row: RowView<'r>,
        visibility: Visibility,
        asked: Versions,
        columns: &'l Columns<'_>,
        page: Option<ColumnPage>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            walk: ColumnWalk::new(row)?,
            visibility,
            asked,
            cursor: columns.cursor(),
            page,
            column: None,
            columns: 0,
            is_cut: false,
        })
    }

    /// Whether columns were left out only because they are on another page of the row's columns.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The next cell; `None` behind the last.
    ///
    /// # Errors
    /// If the row's bytes are damaged.
    #[inline]
    pub fn next(&mut self) -> Result<Option<ShownCell<'r>>, ApiError> {
        loop {
            let Some(column) = &mut self.column else {
                if !self.next_column()? {
                    return Ok(None);
                }
                continue;
            };
            let version = if column.shown < self.asked.max { self.walk.next_version()? } else { None };
            let Some(version) = version else {
                self.column = None;
                continue;
            };
            let is_seen = self.visibility.shows_version(column.version, version.timestamp_ms);
            column.version += 1;
            if !is_seen {
                // Older ones are not seen either.
                self.column = None;
                continue;
            }
            if self.asked.time_range.is_some_and(|range| !range.contains(version.timestamp_ms)) {
                continue;
            }
            column.shown += 1;
            if column.shown == 1 {
                let at = self.columns;
                self.columns += 1;
                if let Some(page) = self.page {
                    if at < page.offset as usize {
                        (self.column, self.is_cut) = (None, true);
                        continue;
                    }
                    if at - page.offset as usize >= page.limit as usize {
                        return Ok(None);
                    }
                }
                column.text = std::str::from_utf8(column.name).map_err(|_| damaged_name())?;
            }
            let (name, timestamp_ms) = (column.text, version.timestamp_ms);
            return Ok(Some(ShownCell { name, timestamp_ms, value: version.value()? }));
        }
    }

    /// Goes to the next column that is asked for. `false` behind the last.
    #[inline]
    fn next_column(&mut self) -> Result<bool, ApiError> {
        while let Some(name) = self.walk.next_column()? {
            match self.cursor.take(name) {
                Wanted::Yes => {
                    self.column = Some(Column { name, text: "", version: 0, shown: 0 });
                    return Ok(true);
                }
                Wanted::No => {}
                Wanted::NoMore => return Ok(false),
            }
        }
        Ok(false)
    }
}

fn damaged_name() -> ApiError {
    lakeferry_store::Error::Corrupt("the name of a column is not text".into()).into()
}
