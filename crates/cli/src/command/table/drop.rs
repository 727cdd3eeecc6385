//! `lakeferry table drop`.

use crate::args::DropTable;
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;

/// Deletes a table, if that is really meant.
pub async fn run(args: DropTable) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    if !args.yes {
        return Err(Failure::usage(format!("this deletes table {table} with all its rows, for good"))
            .hint(format!("if that is meant: lakeferry table drop {table} --yes")));
    }
    let server = Connection::open_instance(&args.at)?;
    server.client().delete_table(table.as_str()).await.map_err(|error| server.explain(error))?;
    console::answer(format_args!("dropped table {table}"))
}
