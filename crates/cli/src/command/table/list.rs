//! `lakeferry table list`.

use super::super::api::{self, path};
use crate::args::ListTables;
use crate::connection::Connection;
use crate::console;
use crate::failure::Failure;

/// Lists the tables of an instance.
pub async fn run(args: ListTables) -> Result<(), Failure> {
    let server = Connection::open_instance(&args.at)?;
    let answer = server.get(&path::tables(server.instance())).await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let tables = super::names(answer)?;
    if tables.is_empty() {
        console::note(format_args!(
            "instance {} has no table yet; make one with: lakeferry table create NAME --key id:integer",
            server.instance()
        ));
    }
    tables.iter().try_for_each(console::answer)
}
