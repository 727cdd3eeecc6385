//! `lakeferry table scan`, `import` and `export`: many rows.

use std::path::PathBuf;

use clap::Args;
use lakeferry_model::ValueKind;

use super::server::InInstanceArgs;
use super::table::typed_column;
use crate::rows::Format;

/// Which rows, and what of them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which rows")]
pub struct RowsArgs {
    /// At most this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// From the greatest primary key to the smallest; --from is then the greater one
    #[arg(long)]
    pub backward: bool,
    /// Only these attribute columns, beside the primary key. A row that has none of them is left out
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// The same for one column, whose name may hold commas; repeat for several
    #[arg(long = "column", value_name = "NAME")]
    pub column: Vec<String>,
    /// Begin with this value of the first key column, included; repeat for the columns behind it
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub from: Vec<String>,
    /// End before this value of the first key column; repeat for the columns behind it
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub to: Vec<String>,
    /// Only rows whose first key column has this value; repeat for the columns behind it
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    pub only: Vec<String>,
}

/// Which rows to print.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table scan orders --limit 10
  lakeferry table scan orders --backward --columns price,paid
  lakeferry table scan visits --only ann --limit 5
  lakeferry table scan orders | jq -s length

The newest version of each column is printed. Binary values are written as {\"base64\": \"…\"}, doubles that \
JSON has no number for as {\"double\": \"NaN\"}.")]
pub struct ScanTable {
    /// The table's name
    pub table: String,
    #[command(flatten)]
    pub rows: RowsArgs,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which rows to write into which file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table export orders orders.parquet
  lakeferry table export orders orders.csv --from 1000 --to 2000
  lakeferry table export orders - --format jsonl | gzip > orders.jsonl.gz

The newest version of each column is written, each value as it is: a file that is imported again gives the \
same rows. CSV and Parquet have columns, which are looked for in the rows first; --type says which there are \
and saves that. A column with values of several types becomes several, one for each.

JSON lines: numbers with a point or an exponent are doubles, those without are integers; \
{\"base64\": \"…\"} is binary. CSV: the heading says the types, as in `price:double`; nothing between two \
commas is no value, \"\" an empty text; binary is base64.

The file appears under its name when it is whole.")]
pub struct ExportRows {
    /// The table's name
    pub table: String,
    /// The file to write; - for stdout
    pub file: PathBuf,
    /// The file's format [default: as its name ends: .jsonl, .csv, .tsv or .parquet]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// A column of a CSV or Parquet file and the type of its values, as in `price:double`; repeat for all columns
    /// but those of the primary key
    #[arg(long = "type", value_name = "NAME:TYPE", value_parser = typed_column)]
    pub types: Vec<(String, ValueKind)>,
    /// Write over the file if there is one
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub rows: RowsArgs,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which file to write into which table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table import orders orders.csv
  lakeferry table import orders orders.jsonl --update
  lakeferry table import orders people.csv --type zip:string --columns id,zip
  zcat orders.jsonl.gz | lakeferry table import orders - --format jsonl

A row of the file takes the place of the table's row with its primary key, or with --update changes only the \
columns that the file has. The file has the primary key's columns under their names.

A value's type is the one that --type says, else the file's own (Parquet, or a CSV heading as in \
`price:double`), else the one that the table declares for its column. What a CSV leaves open after that is \
guessed from its first 1,000 rows, and told. JSON: numbers with a point or an exponent are doubles, those \
without are integers unless the column is declared double; {\"base64\": \"…\"} is binary; null is no value, \
and with --update removes the column. CSV: nothing between two commas is no value, \"\" an empty text; binary \
is base64.

It stops at the first row that is refused, says which and why, and how to go on behind those that are \
written. Writing a row twice does no harm, but where the server picks a column of its key.")]
pub struct ImportRows {
    /// The table's name
    pub table: String,
    /// The file to read; - for stdin
    pub file: PathBuf,
    /// The file's format [default: as its name ends: .jsonl, .csv, .tsv or .parquet]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// What stands between the values of a CSV line [default: a comma; a tab for tsv]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// A column and the type that its values have, as in `zip:string`; repeat for several. TYPE is integer, double,
    /// boolean, string or binary
    #[arg(long = "type", value_name = "NAME:TYPE", value_parser = typed_column)]
    pub types: Vec<(String, ValueKind)>,
    /// Write only these columns, those of the primary key beside them
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Change the columns that the file has, and leave the others of a row as they are
    #[arg(long)]
    pub update: bool,
    /// Pass over the file's first rows, such as those that an import before has written
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    pub skip: u64,
    /// Write at most this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Go on behind rows that are refused; tell them, and exit with 2 at the end
    #[arg(long)]
    pub keep_going: bool,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !b"\"\r\n".contains(one) => Ok(*one),
        br"\t" => Ok(b'\t'),
        _ => Err(r"write one ASCII character, or \t for a tab".to_owned()),
    }
}
