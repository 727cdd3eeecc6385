//! What the reads of rows share: which cells a reader sees, written straight into the answer.
//!
//! Of each column, cells pass in this order: not expired, among the versions that the table keeps, within the
//! time range asked for, among the newest versions asked for, within the columns asked for. A row goes from the
//! store's encoding into the page without being built in between.

use lakeferry_model::TableSchema;
use lakeferry_store::{RowView, Visibility, key};
use lakeferry_wire::convert::{ReadOptions, TimeRange};
use lakeferry_wire::plain_buffer::RowWriter;

use super::{not_yet, write};
use crate::error::ApiError;

/// Which cells of a table's rows a reader is shown.
pub struct Lens<'a> {
    schema: &'a TableSchema,
    columns: Columns<'a>,
    time_range: Option<TimeRange>,
    versions_max: usize,
    start_column: Option<&'a str>,
    end_column: Option<&'a str>,
    key_name_bytes: usize,
}

enum Columns<'a> {
    All,
    /// Names in order, each once. `key_asked`: whether a primary key column is among them, so that the row is
    /// shown also if it has none of the others.
    Named {
        names: Vec<&'a str>,
        key_asked: bool,
    },
}

/// Refuses what reads cannot do yet.
///
/// # Errors
/// If the options ask for it.
pub fn refuse_unserved(options: &ReadOptions) -> Result<(), ApiError> {
    write::refuse_transaction(options.transaction_id.as_deref())?;
    if options.filter.is_some() {
        return Err(not_yet("A filter", "read without it and leave out rows in the caller"));
    }
    if options.token.is_some() {
        return Err(ApiError::parameter(
            "The token is not one of this server's: rows are always answered whole.",
        ));
    }
    Ok(())
}

impl<'a> Lens<'a> {
    /// What the options show of the rows of a table.
    pub fn new(options: &'a ReadOptions, schema: &'a TableSchema) -> Self {
        Self {
            schema,
            columns: Columns::new(&options.columns_to_get, schema),
            time_range: options.time_range,
            versions_max: options.versions_max.map_or(usize::MAX, |versions| versions as usize),
            start_column: options.start_column.as_deref(),
            end_column: options.end_column.as_deref(),
            key_name_bytes: schema.key_name_bytes(),
        }
    }

    /// Appends what is shown of a row, given by its key's bytes and its entry. Answers its size in bytes as
    /// capacity units count it; a row of which nothing is shown is left out: `None`.
    ///
    /// # Errors
    /// If the row's bytes are damaged. What was appended is of no use then.
    pub fn write(
        &self,
        (key, row): (&[u8], RowView<'_>),
        visibility: &Visibility,
        page: &mut RowWriter,
    ) -> Result<Option<usize>, ApiError> {
        let stands = row.stands(visibility);
        if stands == Some(false) {
            return Ok(None);
        }
        let mut size = None;
        let mut wanted = self.columns.cursor();
        let mut is_wanted = false;
        let mut shown = 0;
        // A row whose cells have all expired is gone; one that never had any is there.
        let mut is_gone = None;
        for cell in row.cells() {
            let cell = cell?;
            if !visibility.shows(&cell) {
                is_gone = is_gone.or(Some(true));
                continue;
            }
            is_gone = Some(false);
            // The newest version is shown if any is, so this is where each column begins.
            if cell.version == 0 {
                shown = 0;
                if self.end_column.is_some_and(|end| cell.name >= end) {
                    break;
                }
                is_wanted =
                    self.start_column.is_none_or(|start| cell.name >= start) && wanted.take(cell.name);
            }
            let in_time = self.time_range.is_none_or(|range| range.contains(cell.timestamp_ms));
            if !is_wanted || !in_time || shown == self.versions_max {
                continue;
            }
            shown += 1;
            let before = match size {
                Some(size) => size,
                None => self.begin(key, page)?,
            };
            page.cell(cell.name, cell.value, cell.timestamp_ms);
            size = Some(before + cell.name.len() + cell.value.size());
        }
        if size.is_none() && self.columns.show_every_row() && (stands == Some(true) || is_gone != Some(true))
        {
            size = Some(self.begin(key, page)?);
        }
        if size.is_some() {
            page.end_row();
        }
        Ok(size)
    }

    fn begin(&self, key: &[u8], page: &mut RowWriter) -> Result<usize, ApiError> {
        let columns = &self.schema.primary_key;
        let mut size = self.key_name_bytes;
        page.start_row();
        for (column, part) in columns.iter().zip(key::parts(key, columns)) {
            let part = part?;
            size += part.as_ref().size();
            page.key_cell(&column.name, part.as_ref());
        }
        Ok(size)
    }
}

impl<'a> Columns<'a> {
    fn new(asked: &'a [String], schema: &TableSchema) -> Self {
        if asked.is_empty() {
            return Self::All;
        }
        let mut names: Vec<&str> = asked.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let key_asked = schema.primary_key.iter().any(|key| names.binary_search(&key.name.as_str()).is_ok());
        Self::Named { names, key_asked }
    }

    fn show_every_row(&self) -> bool {
        matches!(self, Self::All | Self::Named { key_asked: true, .. })
    }

    fn cursor(&self) -> Cursor<'_> {
        match self {
            Self::All => Cursor(None),
            Self::Named { names, .. } => Cursor(Some(names)),
        }
    }
}

/// Walks along the names asked for, while a row's columns come in the same order.
struct Cursor<'a>(Option<&'a [&'a str]>);

impl Cursor<'_> {
    fn take(&mut self, column: &str) -> bool {
        let Some(names) = &mut self.0 else { return true };
        while let Some((first, rest)) = names.split_first() {
            match (*first).cmp(column) {
                std::cmp::Ordering::Less => *names = rest,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_finds_the_columns_that_are_asked_for_and_no_others() {
        let names = ["b", "d", "e"];
        let mut cursor = Cursor(Some(&names));
        let taken: Vec<&str> =
            ["a", "b", "c", "e", "f"].into_iter().filter(|name| cursor.take(name)).collect();
        assert_eq!(taken, ["b", "e"]);
        assert!(Cursor(None).take("anything"));
    }
}
