//! Rows as CSV with a heading (RFC 4180), or with tabs.
//!
//! A heading names each column, and its type behind the last colon: `id:integer,name:string,photo:binary`. Types are
//! `integer`, `double`, `boolean`, `string` and `binary`, which is written in base64. A column without a type has the
//! one that was asked for, that of the table's primary key, or the one that the table declares; else it is guessed
//! from the first rows.
//!
//! Nothing between two commas is no value. An empty text is written in quotes.

use std::io::{self, BufRead};

use bytestring::ByteString;
use csv_core::ReadFieldResult;
use lakeferry_model::{Value, ValueKind};

use super::layout::Layout;
use super::source::SourceError;
use super::typed::{Types, from_text, kind_name, parse_kind, to_text};
use super::{Place, Record};

/// Rows that types are guessed from.
const GUESSED_FROM_ROWS: usize = 1000;
/// Bytes of one row at most: far beyond what a table's row may hold, and near enough to find a quote that was
/// never closed.
const ROW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads a file.
pub struct Reader<R> {
    fields: Fields<R>,
    columns: Vec<Column>,
    /// Rows that were read to guess types from, the last one first.
    read_ahead: Vec<RawRow>,
    rows: u64,
}

/// A column of the file.
struct Column {
    name: ByteString,
    kind: ValueKind,
    is_guessed: bool,
}

/// A row before its types.
struct RawRow {
    line: u64,
    fields: Vec<Field>,
}

struct Field {
    text: String,
    /// Whether it is an empty text, rather than no value.
    is_quoted: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the heading, and as many rows as it takes to guess the types that nobody has told.
    ///
    /// # Errors
    /// What is wrong with the heading, or with those rows.
    pub fn open(input: R, delimiter: u8, types: &Types) -> Result<Self, SourceError> {
        let mut fields = Fields::new(input, delimiter);
        let heading = fields.next_row()?.ok_or_else(|| {
            SourceError::fatal(None, "the file is empty; its first line should name the columns")
        })?;
        let place = Place { row: 0, line: Some(heading.line) };
        let named = heading.fields.iter().map(|field| told_column(&field.text, types));
        let named: Vec<_> =
            named.collect::<Result<_, _>>().map_err(|why| SourceError::fatal(Some(place), why))?;
        check_names(&named).map_err(|why| SourceError::fatal(Some(place), why))?;
        let mut read_ahead = Vec::new();
        if named.iter().any(|(_, kind)| kind.is_none()) {
            while read_ahead.len() < GUESSED_FROM_ROWS
                && let Some(row) = fields.next_row()?
            {
                read_ahead.push(row);
            }
        }
        let columns = named.into_iter().enumerate().map(|(at, (name, kind))| {
            let guess = || guess(read_ahead.iter().filter_map(|row| row.fields.get(at)));
            Column { name, kind: kind.unwrap_or_else(guess), is_guessed: kind.is_none() }
        });
        let columns = columns.collect();
        read_ahead.reverse();
        Ok(Self { fields, columns, read_ahead, rows: 0 })
    }

    /// The columns whose types were guessed, and the guesses.
    pub fn guesses(&self) -> impl Iterator<Item = (&str, ValueKind)> {
        self.columns.iter().filter(|column| column.is_guessed).map(|column| (&*column.name, column.kind))
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.fields.bytes
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the row, or with the file.
    pub fn next(&mut self) -> Result<Option<Record>, SourceError> {
        let row = match self.read_ahead.pop() {
            Some(row) => Some(row),
            None => self.fields.next_row()?,
        };
        let Some(row) = row else { return Ok(None) };
        self.rows += 1;
        let place = Place { row: self.rows, line: Some(row.line) };
        let cells = self.cells(row.fields).map_err(|why| SourceError::of_row(place, why))?;
        Ok(Some(Record { place, cells }))
    }

    fn cells(&self, fields: Vec<Field>) -> Result<Vec<(ByteString, Option<Value>)>, String> {
        if fields.len() != self.columns.len() {
            return Err(format!(
                "it has {} values, and the heading {} columns",
                fields.len(),
                self.columns.len()
            ));
        }
        let mut cells: Vec<(ByteString, Option<Value>)> = Vec::with_capacity(fields.len());
        for (column, field) in self.columns.iter().zip(fields) {
            if field.text.is_empty() && !field.is_quoted {
                continue;
            }
            let name = &column.name;
            if cells.iter().any(|(earlier, _)| earlier == name) {
                return Err(format!("column `{name}` has two values, of two types"));
            }
            let value = from_text(column.kind, &field.text).map_err(|why| match column.is_guessed {
                true => format!(
                    "column `{name}`: {why}; the type was guessed from the first rows, say it with --type {name}:string"
                ),
                false => format!("column `{name}`: {why}"),
            })?;
            cells.push((name.clone(), Some(value)));
        }
        Ok(cells)
    }
}

/// A column's name, and its type if anybody tells it: the heading, what was typed, or the table.
fn told_column(heading: &str, types: &Types) -> Result<(ByteString, Option<ValueKind>), String> {
    let typed = heading.rsplit_once(':').and_then(|(name, kind)| Some((name, parse_kind(kind)?)));
    let (name, kind) = typed.map_or((heading, None), |(name, kind)| (name, Some(kind)));
    if name.is_empty() {
        return Err("a column has no name".to_owned());
    }
    Ok((name.into(), types.must(name).or(kind).or_else(|| types.declared(name))))
}

fn check_names(columns: &[(ByteString, Option<ValueKind>)]) -> Result<(), String> {
    for (at, (name, kind)) in columns.iter().enumerate() {
        // Two columns of one name are one column of the table with values of two types.
        if columns[..at]
            .iter()
            .any(|(other, of)| other == name && (of == kind || of.is_none() || kind.is_none()))
        {
            return Err(format!("column `{name}` comes twice"));
        }
    }
    Ok(())
}

/// The narrowest type that has all of these texts as they are written; `007` is no integer.
fn guess<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> ValueKind {
    let mut texts = fields.filter(|field| !field.text.is_empty()).map(|field| field.text.as_str()).peekable();
    if texts.peek().is_none() {
        return ValueKind::String;
    }
    let texts: Vec<&str> = texts.collect();
    let is_integer = |text: &&str| text.parse::<i64>().is_ok_and(|value| value.to_string() == **text);
    // Not what only the library takes for a number, such as `nan` and `infinity`.
    let is_double = |text: &&str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let has_zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let begins_well = digits.starts_with(|c: char| c.is_ascii_digit());
        begins_well && !has_zeros && text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    if texts.iter().all(|text| matches!(*text, "true" | "false")) {
        ValueKind::Boolean
    } else if texts.iter().all(is_integer) {
        ValueKind::Integer
    } else if texts.iter().all(is_double) {
        ValueKind::Double
    } else {
        ValueKind::String
    }
}

/// Takes a file apart into rows of fields.
struct Fields<R> {
    input: R,
    core: csv_core::Reader,
    /// The line that is read now, from 1.
    line: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Fields<R> {
    fn new(input: R, delimiter: u8) -> Self {
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { input, core, line: 1, bytes: 0, buffer: vec![0; 8 * 1024] }
    }

    /// The next row; `None` at the end. Lines without a character are no rows.
    fn next_row(&mut self) -> Result<Option<RawRow>, SourceError> {
        self.skip_line_ends()?;
        let line = self.line;
        let place = Place { row: 0, line: Some(line) };
        let (mut fields, mut filled, mut is_quoted, mut row_bytes) = (Vec::new(), 0, false, 0);
        loop {
            let input = self.input.fill_buf().map_err(|error| broken(&error))?;
            let (result, taken, written) = self.core.read_field(input, &mut self.buffer[filled..]);
            is_quoted |= input[..taken].contains(&b'"');
            self.line += input[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.bytes += taken as u64;
            row_bytes += taken;
            self.input.consume(taken);
            filled += written;
            if row_bytes > ROW_BYTES_MAX {
                let why = "the row does not end; is there a quote that is not closed?";
                return Err(SourceError::fatal(Some(place), why));
            }
            let record_end = match result {
                ReadFieldResult::InputEmpty => continue,
                ReadFieldResult::OutputFull => {
                    self.buffer.resize(self.buffer.len() * 2, 0);
                    continue;
                }
                ReadFieldResult::End => return Ok(None),
                ReadFieldResult::Field { record_end } => record_end,
            };
            let text = std::str::from_utf8(&self.buffer[..filled])
                .map_err(|_| SourceError::fatal(Some(place), "the text is not UTF-8"))?;
            fields.push(Field { text: text.to_owned(), is_quoted });
            (filled, is_quoted) = (0, false);
            if record_end {
                return Ok(Some(RawRow { line, fields }));
            }
        }
    }

    fn skip_line_ends(&mut self) -> Result<(), SourceError> {
        loop {
            let input = self.input.fill_buf().map_err(|error| broken(&error))?;
            let ends = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if ends == 0 {
                return Ok(());
            }
            self.line += input[..ends].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.bytes += ends as u64;
            self.input.consume(ends);
        }
    }
}

fn broken(error: &io::Error) -> SourceError {
    SourceError::fatal(None, format!("read the file: {error}"))
}

/// Writes the heading, which names every type.
pub fn write_heading(out: &mut String, layout: &Layout, delimiter: u8) {
    let names = layout.columns().iter().map(|(name, kind)| Some(format!("{name}:{}", kind_name(*kind))));
    write_line(out, names, delimiter);
}

/// Writes a row.
///
/// # Errors
/// A cell has no column; see [`Layout::values`].
pub fn write_row(
    out: &mut String,
    layout: &Layout,
    row: &lakeferry_client::Row,
    delimiter: u8,
) -> Result<(), String> {
    let mut fields = vec![None; layout.columns().len()];
    for (at, value) in layout.values(row)? {
        fields[at] = Some(to_text(value));
    }
    write_line(out, fields.into_iter(), delimiter);
    Ok(())
}

fn write_line(out: &mut String, fields: impl Iterator<Item = Option<String>>, delimiter: u8) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push(char::from(delimiter));
        }
        let Some(text) = field else { continue };
        let special = |c: char| matches!(c, '"' | '\n' | '\r') || c == char::from(delimiter);
        if text.is_empty() || text.contains(special) {
            out.push('"');
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&text);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{KeyColumn, KeyKind, TableName, TableSchema};

    use super::*;

    fn types(asked: &[(&str, ValueKind)]) -> Types {
        let schema = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn { name: "id".into(), kind: KeyKind::Integer, auto_increment: false }],
            defined_columns: Vec::new(),
        };
        Types::new(&schema, asked.iter().map(|(name, kind)| ((*name).to_owned(), *kind)))
    }

    fn read(text: &str, asked: &[(&str, ValueKind)]) -> Result<Vec<Record>, SourceError> {
        // A small buffer, so that fields go over its edges.
        let input = io::BufReader::with_capacity(3, text.as_bytes());
        let mut reader = Reader::open(input, b',', &types(asked))?;
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    fn shown(records: &[Record]) -> Vec<String> {
        let cells = |record: &Record| {
            let cells = record.cells.iter().map(|(name, value)| {
                let value = value.as_ref().unwrap();
                format!("{name}={}:{}", to_text(value.as_ref()), kind_name(value.kind()))
            });
            format!("{} {}", record.place, cells.collect::<Vec<_>>().join(" "))
        };
        records.iter().map(cells).collect()
    }

    #[test]
    fn nothing_is_no_value_and_quotes_are_an_empty_one() {
        let records =
            read("id,a:string,b:binary\r\n1,,\r\n\r\n2,\"\",\"\"\n3,\"x,\"\"\ny\",AP8=\n", &[]).unwrap();
        assert_eq!(
            shown(&records),
            [
                "line 2 id=1:integer",
                "line 4 id=2:integer a=:string b=:binary",
                "line 5 id=3:integer a=x,\"\ny:string b=AP8=:binary"
            ]
        );
        assert_eq!(records.iter().map(|record| record.place.row).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn types_are_told_by_the_heading_by_flags_by_the_key_or_guessed() {
        let text = "id,zip,n,x,f,v:integer,v:boolean\n7,01234,5,1.5,true,1,\n8,0,6,2,false,,true\n";
        let told = shown(&read(text, &[("n", ValueKind::String)]).unwrap());
        assert_eq!(
            told[0],
            "line 2 id=7:integer zip=01234:string n=5:string x=1.5:double f=true:boolean v=1:integer"
        );
        assert!(told[1].ends_with("x=2.0:double f=false:boolean v=true:boolean"), "{told:?}");
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_with_its_line_and_what_to_do() {
        let said = |text: &str| read(text, &[]).unwrap_err().to_string();
        assert_eq!(said("id,a\n1,2,3\n"), "line 2: it has 3 values, and the heading 2 columns");
        assert!(said("id\nx\n").contains("line 2: column `id`: `x` is no integer"));
        let rows: String = (0..1000).map(|row| format!("{row},{row}\n")).collect();
        assert!(said(&format!("id,a\n{rows}1,x\n")).ends_with("--type a:string"));
        assert!(said("id,a,a\n").contains("twice"));
        assert!(said("id,v:integer,v:boolean\n1,2,true\n").contains("two values"));
        assert!(said("").contains("the file is empty"));
        assert!(said("id,:integer\n").contains("no name"));
    }

    #[test]
    fn a_name_may_hold_colons() {
        let records = read("id,a:b:integer,c:d\n1,2,x\n", &[]).unwrap();
        assert_eq!(shown(&records), ["line 2 id=1:integer a:b=2:integer c:d=x:string"]);
    }
}
