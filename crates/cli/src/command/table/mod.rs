//! `lakeferry table list|describe|scan`.

mod describe;
mod list;
mod scan;

use lakeferry_model::{TableName, TableSchema};
use serde_json::Value;

use super::api::{self, path};
use crate::args::TableCommand;
use crate::connection::Connection;
use crate::failure::Failure;

/// Carries out one of the commands.
pub async fn run(command: TableCommand) -> Result<(), Failure> {
    match command {
        TableCommand::List(args) => list::run(args).await,
        TableCommand::Describe(args) => describe::run(args).await,
        TableCommand::Scan(args) => scan::run(args).await,
    }
}

/// The names of an instance's tables, from the answer that lists them.
pub fn names(answer: Value) -> Result<Vec<TableName>, Failure> {
    api::list(answer, "tables")
}

/// The names of all tables of the connection's instance.
pub async fn all_names(server: &Connection) -> Result<Vec<TableName>, Failure> {
    names(server.get(&path::tables(server.instance())).await?)
}

/// A table's schema.
pub async fn schema(server: &Connection, table: &TableName) -> Result<TableSchema, Failure> {
    let mut answer = server.get(&path::table(server.instance(), table)).await?;
    api::read(answer.get_mut("schema").map(Value::take).unwrap_or_default())
}
