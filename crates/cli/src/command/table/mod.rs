//! `lakeferry table`: tables, single rows ([`single`]), and files of rows ([`import`], [`export`]).

mod create;
mod describe;
mod drop;
mod export;
mod import;
mod list;
mod row;
mod scan;
mod single;

use lakeferry_model::{TableName, TableSchema};
use serde_json::Value;

use super::api::{self, path};
use crate::args::TableCommand;
use crate::connection::Connection;
use crate::failure::Failure;

/// Carries out one of the commands.
pub async fn run(command: TableCommand) -> Result<(), Failure> {
    match command {
        TableCommand::Create(args) => create::run(*args).await,
        TableCommand::List(args) => list::run(args).await,
        TableCommand::Describe(args) => describe::run(args).await,
        TableCommand::Drop(args) => drop::run(args).await,
        TableCommand::Get(args) => single::get(args).await,
        TableCommand::Put(args) => single::put(args).await,
        TableCommand::Update(args) => single::update(args).await,
        TableCommand::Delete(args) => single::delete(args).await,
        TableCommand::Scan(args) => scan::run(args).await,
        TableCommand::Import(args) => import::run(*args).await,
        TableCommand::Export(args) => export::run(args).await,
    }
}

/// The names of an instance's tables, from the answer that lists them.
pub fn names(answer: Value) -> Result<Vec<TableName>, Failure> {
    api::list(answer, "tables")
}

/// A table's schema.
pub async fn schema(server: &Connection, table: &TableName) -> Result<TableSchema, Failure> {
    let mut answer = server.get(&path::table(server.instance(), table)).await?;
    api::read(answer.get_mut("schema").map(Value::take).unwrap_or_default())
}
