//! A file of rows to be read, whatever its format.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::typed::{Types, kind_name};
use super::{Format, Place, Record, csv, json, parquet};

/// A line of JSON at most, in bytes: far beyond what a table's row may hold.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Rows of a file, one after the other.
pub struct Source {
    rows: Rows,
    types: Types,
    /// Bytes of the file, or rows where those are known.
    total: Option<u64>,
}

type Input = BufReader<Box<dyn Read + Send>>;

enum Rows {
    Lines { input: Input, line: u64, row: u64, bytes: u64 },
    Csv(Box<csv::Reader<Input>>),
    Parquet(Box<parquet::Reader>),
}

/// What is wrong with a file, or with one of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The row, if it is one's fault.
    pub place: Option<Place>,
    /// What is wrong.
    pub why: String,
    /// Whether nothing behind it can be read.
    pub is_fatal: bool,
}

impl SourceError {
    /// The rows behind this one can be read.
    pub fn of_row(place: Place, why: impl Into<String>) -> Self {
        Self { place: Some(place), why: why.into(), is_fatal: false }
    }

    /// Nothing more can be read.
    pub fn fatal(place: Option<Place>, why: impl Into<String>) -> Self {
        Self { place, why: why.into(), is_fatal: true }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Source {
    /// Opens a file, or stdin for `-`. `delimiter` takes the place of the format's own.
    ///
    /// # Errors
    /// The file cannot be opened, or is none of the format.
    pub fn open(
        path: &Path,
        format: Format,
        delimiter: Option<u8>,
        types: Types,
    ) -> Result<Self, SourceError> {
        let is_stdin = path.as_os_str() == "-";
        let fail = |error: io::Error| SourceError::fatal(None, format!("open `{}`: {error}", path.display()));
        if format == Format::Parquet {
            if is_stdin {
                let why =
                    "Parquet is read from its end, so it cannot come from stdin; write it to a file first";
                return Err(SourceError::fatal(None, why));
            }
            let rows = parquet::Reader::open(File::open(path).map_err(fail)?, &types)?;
            return Ok(Self { total: Some(rows.row_count()), rows: Rows::Parquet(Box::new(rows)), types });
        }
        let (input, total): (Box<dyn Read + Send>, _) = if is_stdin {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(fail)?;
            // What is no plain file, such as a pipe, has no length.
            let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
            (Box::new(file), length)
        };
        let input = BufReader::with_capacity(256 * 1024, input);
        let rows = match delimiter.or(format.delimiter()).filter(|_| format != Format::Jsonl) {
            Some(delimiter) => Rows::Csv(Box::new(csv::Reader::open(input, delimiter, &types)?)),
            None => Rows::Lines { input, line: 0, row: 0, bytes: 0 },
        };
        Ok(Self { rows, types, total })
    }

    /// What was guessed about the file: `price double, paid boolean`; nothing if nothing was.
    pub fn guesses(&self) -> Option<String> {
        let Rows::Csv(rows) = &self.rows else { return None };
        let guesses: Vec<_> =
            rows.guesses().map(|(name, kind)| format!("{name} {}", kind_name(kind))).collect();
        (!guesses.is_empty()).then(|| guesses.join(", "))
    }

    /// How much of the file is read, in hundredths; `None` if its length is not known.
    pub fn percent(&self, rows_read: u64) -> Option<u64> {
        let read = match &self.rows {
            Rows::Lines { bytes, .. } => *bytes,
            Rows::Csv(rows) => rows.bytes(),
            Rows::Parquet(_) => rows_read,
        };
        let total = self.total.filter(|total| *total > 0)?;
        Some((read.saturating_mul(100) / total).min(100))
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the row, after which the next one can be asked for, or with the file.
    pub fn next(&mut self) -> Result<Option<Record>, SourceError> {
        match &mut self.rows {
            Rows::Csv(rows) => rows.next(),
            Rows::Parquet(rows) => rows.next(),
            Rows::Lines { input, line, row, bytes } => {
                let Some(text) = next_line(input, line, bytes)? else { return Ok(None) };
                *row += 1;
                let place = Place { row: *row, line: Some(*line) };
                let text = std::str::from_utf8(&text)
                    .map_err(|_| SourceError::of_row(place, "the text is not UTF-8"))?;
                let cells = json::read(text, &self.types).map_err(|why| SourceError::of_row(place, why))?;
                Ok(Some(Record { place, cells }))
            }
        }
    }
}

/// The next line that is not blank.
fn next_line(input: &mut Input, line: &mut u64, bytes: &mut u64) -> Result<Option<Vec<u8>>, SourceError> {
    let mut text = Vec::new();
    loop {
        text.clear();
        let place = Place { row: 0, line: Some(*line + 1) };
        let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        let read =
            read.map_err(|error| SourceError::fatal(Some(place), format!("read the file: {error}")))?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LINE_BYTES_MAX && !text.ends_with(b"\n") {
            return Err(SourceError::fatal(
                Some(place),
                "the line does not end; is it JSON, one object a line?",
            ));
        }
        *line += 1;
        *bytes += read as u64;
        if *line == 1 && text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        if !text.trim_ascii().is_empty() {
            return Ok(Some(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_does_and_rows_without_the_blank_ones() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}{\"a\":1}\r\n\n  \n{\"a\":2}\n[]\n{\"a\":3}").unwrap();
        let mut source = Source::open(file.path(), Format::Jsonl, None, Types::default()).unwrap();
        let mut told = Vec::new();
        loop {
            match source.next() {
                Ok(Some(record)) => told.push(format!("{} {}", record.place.row, record.place)),
                Ok(None) => break,
                Err(error) => told.push(format!("{} {}", error.is_fatal, error.place.unwrap())),
            }
        }
        assert_eq!(told, ["1 line 1", "2 line 4", "false line 5", "4 line 6"]);
        assert_eq!(source.percent(4), Some(100));
    }

    #[test]
    fn parquet_does_not_come_from_stdin() {
        let error = Source::open(Path::new("-"), Format::Parquet, None, Types::default()).err().unwrap();
        assert!(error.to_string().contains("write it to a file"), "{error}");
        let error = Source::open(Path::new("/nowhere"), Format::Csv, None, Types::default()).err().unwrap();
        assert!(error.is_fatal && error.to_string().contains("/nowhere"), "{error}");
    }
}
