//! Rows as a Parquet file. Only `lake` knows the format; here names of columns become names of the file.
//!
//! | Value | Parquet |
//! |---|---|
//! | INTEGER, DOUBLE, BOOLEAN | INT64, DOUBLE, BOOLEAN |
//! | STRING | BYTE_ARRAY, UTF8 |
//! | BINARY | BYTE_ARRAY |
//!
//! A column with values of several types becomes several, `name:integer` and `name:string`; the file's metadata tell
//! which belong to which. Files of others are read too: narrower numbers become integers and doubles, days, times
//! and timestamps integers in their unit, decimals text. Where a type was asked for, values become it if that loses nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;

use bytestring::ByteString;
use lakeferry_client::Row;
use lakeferry_model::{Value, ValueKind};
use lakeferry_server::lake::{FileRow, TableFileReader, TableFileWriter};

use super::layout::Layout;
use super::source::SourceError;
use super::typed::{Types, convert, kind_name};
use super::{Place, Record};

/// The entry of the file's metadata that tells the table's names of its columns: a JSON list.
const NAMES: &str = "lakeferry.columns";

/// Reads a file.
pub struct Reader {
    file: TableFileReader,
    columns: Vec<(ByteString, Option<ValueKind>)>,
    rows: VecDeque<FileRow>,
    row: u64,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// It is none, or not one whose columns can be told.
    pub fn open(file: File, types: &Types) -> Result<Self, SourceError> {
        let file = TableFileReader::open(file).map_err(|error| SourceError::fatal(None, told(&error)))?;
        let names = names(&file).map_err(|why| SourceError::fatal(None, why))?;
        let columns = names.into_iter().map(|name| (name.as_str().into(), types.must(&name))).collect();
        Ok(Self { file, columns, rows: VecDeque::new(), row: 0 })
    }

    /// Rows of the whole file.
    pub fn row_count(&self) -> u64 {
        self.file.row_count()
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the row, or with the file.
    pub fn next(&mut self) -> Result<Option<Record>, SourceError> {
        while self.rows.is_empty() {
            let rows = self.file.next_rows().map_err(|error| SourceError::fatal(None, told(&error)))?;
            let Some(rows) = rows else { return Ok(None) };
            self.rows = rows.into();
        }
        let Some(row) = self.rows.pop_front() else { return Ok(None) };
        self.row += 1;
        let place = Place { row: self.row, line: None };
        let cells = self.cells(row).map_err(|why| SourceError::of_row(place, why))?;
        Ok(Some(Record { place, cells }))
    }

    fn cells(&self, row: FileRow) -> Result<Vec<(ByteString, Option<Value>)>, String> {
        let mut cells: Vec<(ByteString, Option<Value>)> = Vec::with_capacity(row.len());
        for ((name, asked), value) in self.columns.iter().zip(row) {
            let Some(value) = value else { continue };
            if cells.iter().any(|(earlier, _)| earlier == name) {
                return Err(format!("column `{name}` has two values, of two types"));
            }
            let value = match asked {
                Some(kind) => convert(value, *kind).map_err(|why| format!("column `{name}`: {why}"))?,
                None => value,
            };
            cells.push((name.clone(), Some(value)));
        }
        Ok(cells)
    }
}

/// The table's names of the columns: as the metadata tell them, else those of the file.
fn names(file: &TableFileReader) -> Result<Vec<String>, String> {
    let told = file.metadata().iter().find(|(key, _)| key == NAMES);
    let Some((_, told)) = told else { return Ok(file.columns().to_vec()) };
    let names: Vec<String> =
        serde_json::from_str(told).map_err(|error| format!("its metadata cannot be understood: {error}"))?;
    if names.len() == file.columns().len() {
        Ok(names)
    } else {
        Err("its metadata names other columns".to_owned())
    }
}

/// Writes a file.
pub struct Writer<W: Write + Send> {
    file: TableFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// What the file's format has against them.
    pub fn new(out: W, layout: &Layout) -> Result<Self, String> {
        let columns = layout.columns().iter().map(|(name, kind)| match layout.is_mixed(name) {
            true => (format!("{name}:{}", kind_name(*kind)), *kind),
            false => (name.clone(), *kind),
        });
        let names: Vec<&str> = layout.columns().iter().map(|(name, _)| name.as_str()).collect();
        let names = serde_json::to_string(&names).expect("a list of texts can always be written");
        let metadata = [(NAMES.to_owned(), names)];
        let file = TableFileWriter::new(out, &columns.collect::<Vec<_>>(), &metadata);
        Ok(Self { file: file.map_err(|error| told(&error))? })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A cell has no column (see [`Layout::values`]), or the file cannot be written.
    pub fn push(&mut self, layout: &Layout, row: &Row) -> Result<(), String> {
        self.file.push(layout.values(row)?).map_err(|error| told(&error))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<W, String> {
        self.file.finish().map_err(|error| told(&error))
    }
}

/// An error and its causes, in a line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
