//! `lakeferry table scan`: a table's rows as JSON lines, page by page.

use super::row;
use crate::args::ScanTable;
use crate::connection::{Connection, name};
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::rows::{Types, json};
use crate::text;

/// Prints rows.
pub async fn run(args: ScanTable) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = row::described(&server, &table).await?.schema;
    let types = Types::new(&schema, []);
    let mut rows = server.client().rows(table.as_str(), row::range(&schema, &args.rows)?);
    let mut live = Live::beside_output();
    let mut printed = 0;
    while let Some(page) = rows.next_page().await.map_err(|error| server.explain(error))? {
        let lines: String = page.iter().map(|row| json::write(row, &types) + "\n").collect();
        console::answer_lines(&lines)?;
        printed += u64::try_from(page.len()).unwrap_or(0);
        if let Some(live) = &mut live {
            live.set(text::counted(printed, ("row", "rows")));
        }
    }
    Ok(())
}
