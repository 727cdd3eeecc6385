//! `lakeferry key create|list|delete`.

use lakeferry_model::AccessKind;
use serde_json::json;

use super::api::{self, Key, NewKey};
use crate::args::{CreateKey, DeleteKey, KeyCommand, ListArgs};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Carries out one of the commands.
pub async fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create(args) => create(args).await,
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Delete(args) => delete(args).await,
    }
}

async fn create(args: CreateKey) -> Result<(), Failure> {
    let kind = if args.operator { AccessKind::Operator } else { AccessKind::Application };
    let instances = args.grant.iter().map(|grant| name::instance(grant)).collect::<Result<Vec<_>, _>>()?;
    let server = Connection::open(&args.server)?;
    let answer = server.post("keys", &json!({ "kind": kind, "instances": instances })).await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let key: NewKey = api::read(answer)?;
    console::answer(format_args!("export TABLESTORE_ACCESS_KEY_ID={}", key.id))?;
    console::answer(format_args!("export TABLESTORE_ACCESS_KEY_SECRET={}", key.secret))?;
    console::note("keep the secret now: it is not shown again");
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let server = Connection::open(&args.server)?;
    let answer = server.get("keys").await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let keys: Vec<Key> = api::list(answer, "keys")?;
    let mut columns = Columns::new(["KEY", "KIND", "INSTANCES", "MADE"]);
    for key in keys {
        let (kind, instances) = match key.kind {
            AccessKind::Operator => ("operator", "all".to_owned()),
            AccessKind::Application => ("application", joined(&key.instances)),
        };
        columns.row([key.id, kind.to_owned(), instances, text::instant(key.created_at)]);
    }
    console::answer(columns)
}

fn joined(instances: &[impl ToString]) -> String {
    instances.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn delete(args: DeleteKey) -> Result<(), Failure> {
    let server = Connection::open(&args.server)?;
    server.delete(&format!("keys/{}", api::path::segment(&args.id))).await?;
    console::answer(format_args!("deleted key {}", args.id))
}
