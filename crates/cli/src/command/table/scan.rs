//! `lakeferry table scan`: a table's rows as JSON lines, page by page.

use lakeferry_client::{Range, Read};

use crate::args::ScanTable;
use crate::connection::{Connection, name};
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::text;

/// Prints rows.
pub async fn run(args: ScanTable) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let described = server.client().describe_table(table.as_str()).await;
    let keys = described.map_err(|error| server.explain(error))?.schema.primary_key;
    let keys: Vec<String> = keys.into_iter().map(|column| column.name).collect();
    let mut rows = server.client().rows(table.as_str(), range(&args, keys));
    let mut live = Live::beside_output();
    let mut printed = 0;
    while let Some(page) = rows.next_page().await.map_err(|error| server.explain(error))? {
        let lines: String = page.iter().map(|row| text::json_row(row) + "\n").collect();
        console::answer_lines(&lines)?;
        printed += u64::try_from(page.len()).unwrap_or(0);
        if let Some(live) = &mut live {
            live.set(text::counted(printed, ("row", "rows")));
        }
    }
    Ok(())
}

fn range(args: &ScanTable, keys: Vec<String>) -> Range {
    let mut read = Read::default();
    if !args.columns.is_empty() {
        read = read.columns(args.columns.iter().cloned());
    }
    let mut range = Range::all(keys).read(read);
    if args.backward {
        range = range.backward();
    }
    match args.limit {
        Some(limit) => range.limit(limit),
        None => range,
    }
}
