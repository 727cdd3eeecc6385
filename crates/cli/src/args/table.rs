//! `lakeferry table`.

use clap::{Args, Subcommand};

use super::server::InInstanceArgs;

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum TableCommand {
    /// List the tables of an instance
    List(ListTables),
    /// Show a table's columns, options, partitions and tasks
    Describe(DescribeTable),
    /// Print a table's rows as JSON, one row a line
    Scan(ScanTable),
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

/// Which rows to print.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry table scan orders --limit 10
  lakeferry table scan orders --backward --column price --column paid
  lakeferry table scan orders | jq -s length

The newest version of each column is printed. Binary values are written as {\"base64\": \"…\"}.")]
pub struct ScanTable {
    /// The table's name
    pub table: String,
    /// Print at most this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// From the greatest primary key to the smallest
    #[arg(long)]
    pub backward: bool,
    /// Print only these attribute columns, beside the primary key; repeat for several. A row that has none of
    /// them is left out
    #[arg(long = "column", value_name = "NAME")]
    pub columns: Vec<String>,
    #[command(flatten)]
    pub at: InInstanceArgs,
}
