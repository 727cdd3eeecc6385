//! `lakeferry table`: tables, and single rows of them. Files of rows are in [`super::rows`].

use std::time::Duration;

use clap::{Args, Subcommand};
use lakeferry_model::ValueKind;

use super::rows::{ExportRows, ImportRows, ScanTable};
use super::server::InInstanceArgs;
use crate::rows::parse_kind;
use crate::text::parse_duration;

/// What to do with tables and their rows.
#[derive(Debug, Subcommand)]
pub enum TableCommand {
    /// Make a table
    Create(Box<CreateTable>),
    /// List the tables of an instance
    List(ListTables),
    /// Show a table's columns, options, partitions and tasks
    Describe(DescribeTable),
    /// Delete a table with all its rows
    Drop(DropTable),
    /// Print one row as JSON
    Get(GetRow),
    /// Put rows in the place of whatever is there
    Put(PutRows),
    /// Change columns of a row
    Update(UpdateRow),
    /// Delete one row
    Delete(DeleteRow),
    /// Print a table's rows as JSON, one row a line
    Scan(ScanTable),
    /// Write the rows of a file into a table
    Import(Box<ImportRows>),
    /// Write the rows of a table into a file
    Export(ExportRows),
}

/// A new table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table create orders --key id:integer
  lakeferry table create visits --key user:string --key at:integer \\
      --column page:string --column seconds:double --keep 30d
  lakeferry table create notes --key user:string --key number:auto

The first --key column decides where rows lie; rows are ordered by all of them. TYPE is integer, string or \
binary, or auto: an integer that the server picks for each new row, for any column but the first.

A row may hold any other columns, of any type, whether they are declared or not. Declaring one lets import \
read it as its type, delivery write it as its type, and indexes use it.")]
pub struct CreateTable {
    /// The table's name: letters, digits and underscores
    pub table: String,
    /// A column of the primary key, in order; repeat for up to four
    #[arg(long = "key", value_name = "NAME:TYPE", required = true, value_parser = key_column)]
    pub keys: Vec<KeyColumnArg>,
    /// Declare a column; repeat for several. TYPE is integer, double, boolean, string or binary
    #[arg(long = "column", value_name = "NAME:TYPE", value_parser = typed_column)]
    pub columns: Vec<(String, ValueKind)>,
    /// Let values expire this long after they were written, such as 30d; at least a day [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_days)]
    pub keep: Option<Duration>,
    /// Versions of each column to keep
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub versions: u32,
    /// Keep a stream of the changes for this many hours
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u16).range(1..=168))]
    pub stream: Option<u16>,
    /// Split the table at this value of its first key column; repeat, in rising order
    #[arg(long = "split-at", value_name = "VALUE")]
    pub split_at: Vec<String>,
    /// Take whole rows only: refuse to change single columns
    #[arg(long)]
    pub no_update: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// How to list tables.
#[derive(Debug, Args)]
pub struct ListTables {
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which table to show.
#[derive(Debug, Args)]
pub struct DescribeTable {
    /// The table's name
    pub table: String,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which table to delete.
#[derive(Debug, Args)]
pub struct DropTable {
    /// The table's name
    pub table: String,
    /// Yes, delete all its rows for good
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which row to print.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table get orders 1017
  lakeferry table get visits ann 1767323045 --columns page,seconds

Prints nothing and exits with 1 if there is no such row.")]
pub struct GetRow {
    /// The table's name
    pub table: String,
    /// The row's primary key, a value for each column of it; binary ones in base64
    #[arg(required = true, allow_negative_numbers = true)]
    pub key: Vec<String>,
    /// Print only these attribute columns
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Rows to put.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table put orders '{\"id\": 1017, \"price\": 12.5, \"paid\": true}'
  lakeferry table put orders --if-missing '{\"id\": 1018}'

Each row is a JSON object with the primary key's columns and any others. Binary values are written as \
{\"base64\": \"…\"}. For many rows, see `lakeferry table import`.")]
pub struct PutRows {
    /// The table's name
    pub table: String,
    /// Rows as JSON
    #[arg(required = true, value_name = "ROW")]
    pub rows: Vec<String>,
    /// Only if there is no such row yet
    #[arg(long, conflicts_with = "if_exists")]
    pub if_missing: bool,
    /// Only if there is such a row already
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// What to change of a row.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table update orders '{\"id\": 1017, \"paid\": true, \"note\": null}'
  lakeferry table update counters '{\"name\": \"visits\"}' --add count=1

Columns that are not named stay; those set to null are removed. The row is made if it is missing. What --add \
has counted is printed.")]
pub struct UpdateRow {
    /// The table's name
    pub table: String,
    /// The row's primary key and the columns to set, as JSON
    pub row: String,
    /// Add to an integer; a missing one counts as 0; repeat for several
    #[arg(long = "add", value_name = "COLUMN=N", value_parser = increment)]
    pub add: Vec<(String, i64)>,
    /// Only if there is such a row
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which row to delete.
#[derive(Debug, Args)]
pub struct DeleteRow {
    /// The table's name
    pub table: String,
    /// The row's primary key, a value for each column of it; binary ones in base64
    #[arg(required = true, allow_negative_numbers = true)]
    pub key: Vec<String>,
    /// Exit with 1 if there is no such row
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// A primary key column as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKindArg {
    /// Of a type.
    Of(lakeferry_model::KeyKind),
    /// An integer that the server picks.
    Auto,
}

/// A primary key column as typed: `NAME:TYPE`.
pub type KeyColumnArg = (String, KeyKindArg);

fn key_column(text: &str) -> Result<KeyColumnArg, String> {
    use lakeferry_model::KeyKind;
    let rule = "write NAME:TYPE, the type one of integer, string, binary and auto";
    let (name, kind) = text.rsplit_once(':').filter(|(name, _)| !name.is_empty()).ok_or(rule)?;
    let kind = match (kind.to_ascii_lowercase().as_str(), parse_kind(kind)) {
        ("auto", _) => KeyKindArg::Auto,
        (_, Some(ValueKind::Integer)) => KeyKindArg::Of(KeyKind::Integer),
        (_, Some(ValueKind::String)) => KeyKindArg::Of(KeyKind::String),
        (_, Some(ValueKind::Binary)) => KeyKindArg::Of(KeyKind::Binary),
        _ => return Err(rule.to_owned()),
    };
    Ok((name.to_owned(), kind))
}

/// Reads `NAME:TYPE`; the name may hold colons itself.
pub(super) fn typed_column(text: &str) -> Result<(String, ValueKind), String> {
    let typed = text.rsplit_once(':').filter(|(name, _)| !name.is_empty());
    let typed = typed.and_then(|(name, kind)| Some((name.to_owned(), parse_kind(kind)?)));
    typed.ok_or_else(|| {
        "write NAME:TYPE, the type one of integer, double, boolean, string and binary".to_owned()
    })
}

fn increment(text: &str) -> Result<(String, i64), String> {
    let rule = "write COLUMN=N, such as count=1 or count=-3";
    let (name, by) = text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or(rule)?;
    Ok((name.to_owned(), by.parse().map_err(|_| rule)?))
}

/// A duration that may be in days.
fn parse_days(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        Some(Err(_)) => Err("write days such as `30d`, or hours such as `48h`".to_owned()),
        None => parse_duration(text),
    }
}
