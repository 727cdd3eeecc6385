//! Files of rows: JSON lines, CSV and Parquet, in and out.
//!
//! Each format keeps every value as it is, type included, so that a file that was written here and is read again
//! gives the same rows. How a format tells types apart is at the top of its file: [`json`] marks what JSON has no
//! words for, [`csv`] names types in its heading, [`parquet`] has typed columns. What a file leaves open is
//! decided by [`Types`]: what was typed, the table's primary key, what the table declares.
//!
//! Of a column's versions the newest is written. Reading and writing take one row at a time, or a few.

pub mod csv;
pub mod json;
pub mod layout;
pub mod parquet;
mod source;
mod typed;

use std::fmt;
use std::path::Path;

use bytestring::ByteString;
use lakeferry_model::Value;

pub use layout::Layout;
pub use source::{Source, SourceError};
pub use typed::{Types, from_text, kind_name, parse_kind};

/// A file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a heading
    Csv,
    /// Tab-separated values with a heading
    Tsv,
    /// Parquet
    Parquet,
}

/// A row as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// Its columns, those of the primary key among them. Nothing is a JSON null: the column is named, but has no
    /// value.
    pub cells: Vec<(ByteString, Option<Value>)>,
}

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number among the file's rows, from 1.
    pub row: u64,
    /// The line it begins in, from 1, if the file has lines.
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}"),
            None => write!(f, "row {}", self.row),
        }
    }
}

impl Format {
    /// The format that a file's name tells; `None` for a name that tells none.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What stands between the values of a line, where there is such a thing.
    pub fn delimiter(self) -> Option<u8> {
        match self {
            Self::Csv => Some(b','),
            Self::Tsv => Some(b'\t'),
            Self::Jsonl | Self::Parquet => None,
        }
    }
}
