//! `lakeferry table get|put|update|delete`: single rows.

use lakeferry_client::{Delete, Error, ErrorCode, Put, Read, RowWrite, Update};
use lakeferry_model::RowOperation;

use super::row;
use crate::args::{DeleteRow, GetRow, PutRows, UpdateRow};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::rows::{Types, json};
use crate::text;

/// Prints a row.
pub async fn get(args: GetRow) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = row::described(&server, &table).await?.schema;
    let key = row::key(&schema, &args.key)?;
    let mut read = Read::default();
    if !args.columns.is_empty() {
        read = read.columns(args.columns);
    }
    let found = server.client().get_row(table.as_str(), &key, &read).await;
    match found.map_err(|error| server.explain(error))? {
        Some(row) => console::answer(json::write(&row, &Types::new(&schema, []))),
        None => Err(Failure::no(format!("table {table} has no such row"))),
    }
}

/// Puts rows, one after the other.
pub async fn put(args: PutRows) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = row::described(&server, &table).await?.schema;
    let types = Types::new(&schema, []);
    // All are read before the first is written.
    let mut rows = Vec::with_capacity(args.rows.len());
    for (at, json) in args.rows.iter().enumerate() {
        let put = json::read(json, &types).and_then(|cells| row::put(&schema, cells));
        rows.push(put.map_err(|why| malformed(at + 1, &why))?);
    }
    let count = rows.len() as u64;
    for (at, put) in rows.into_iter().enumerate() {
        let put = match (args.if_missing, args.if_exists) {
            (true, _) => put.only_if_missing(),
            (_, true) => put.only_if_exists(),
            (false, false) => put,
        };
        let no = if args.if_missing { "is there already" } else { "is not there" };
        let picked = has_auto_increment(&schema);
        let put: Put = if picked { put.returning_key() } else { put };
        let written = server.client().put_row(table.as_str(), put).await;
        let written = written.map_err(|error| refused(&server, error, at + 1, no))?;
        if let Some(row) = written.row.filter(|_| picked) {
            console::answer(json::write(&row, &types))?;
        }
    }
    console::note(format_args!("put {} into table {table}", text::counted(count, ("row", "rows"))));
    Ok(())
}

/// Changes columns of a row, and prints what was counted.
pub async fn update(args: UpdateRow) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = row::described(&server, &table).await?.schema;
    let types = Types::new(&schema, []);
    let update = json::read(&args.row, &types).and_then(|cells| row::update(&schema, cells));
    let mut update = update.map_err(|why| malformed(1, &why))?;
    for (column, by) in &args.add {
        update = update.increment(column.as_str(), *by);
    }
    if !args.add.is_empty() {
        update = update.returning(args.add.iter().map(|(column, _)| column.as_str()));
    }
    if args.if_exists {
        update = update.only_if_exists();
    }
    if changes_nothing(&update) {
        return Err(Failure::usage("there is nothing to change")
            .hint("name columns beside the primary key, or count one with --add COLUMN=N"));
    }
    let written = server.client().update_row(table.as_str(), update).await;
    match written.map_err(|error| refused(&server, error, 1, "is not there"))?.row {
        Some(row) => console::answer(json::write(&row, &types)),
        None => Ok(()),
    }
}

/// Deletes a row.
pub async fn delete(args: DeleteRow) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = row::described(&server, &table).await?.schema;
    let mut delete = Delete::new(row::key(&schema, &args.key)?);
    if args.if_exists {
        delete = delete.only_if_exists();
    }
    let deleted = server.client().delete_row(table.as_str(), delete).await;
    deleted.map(|_| ()).map_err(|error| refused(&server, error, 1, "is not there"))
}

fn has_auto_increment(schema: &lakeferry_model::TableSchema) -> bool {
    schema.primary_key.iter().any(|column| column.auto_increment)
}

fn changes_nothing(update: &Update) -> bool {
    let write = RowWrite::from(update.clone());
    matches!(write.operation(), RowOperation::Update(cells) if cells.is_empty())
}

fn malformed(number: usize, why: &str) -> Failure {
    Failure::usage(format!("row {number}: {why}"))
        .hint(r#"write a row as '{"id": 7, "name": "ann"}', in single quotes for the shell"#)
}

/// A row that is not as it was expected is a no; all else is broken.
fn refused(server: &Connection, error: Error, number: usize, no: &str) -> Failure {
    if error.code() == Some(ErrorCode::ConditionCheckFail) {
        return Failure::no(format!("row {number} {no}; nothing was done to it"));
    }
    server.explain(error)
}
