//! `lakeferry instance create|list`.

use serde_json::json;

use super::api::{self, Instance};
use crate::args::{InstanceCommand, ListArgs, NameArgs};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Carries out one of the commands.
pub async fn run(command: InstanceCommand) -> Result<(), Failure> {
    match command {
        InstanceCommand::Create(args) => create(args).await,
        InstanceCommand::List(args) => list(args).await,
    }
}

async fn create(args: NameArgs) -> Result<(), Failure> {
    let instance = name::instance(&args.name)?;
    let server = Connection::open(&args.server)?;
    server.post("instances", &json!({ "name": instance })).await?;
    console::answer(format_args!("made instance {instance}"))?;
    console::note(format_args!("use it with: export TABLESTORE_INSTANCE={instance}"));
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let server = Connection::open(&args.server)?;
    let answer = server.get("instances").await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let instances: Vec<Instance> = api::list(answer, "instances")?;
    if instances.is_empty() {
        console::note("there is no instance yet; make one with: lakeferry instance create NAME");
        return Ok(());
    }
    let mut columns = Columns::new(["INSTANCE", "MADE"]);
    for instance in instances {
        columns.row([instance.name.to_string(), text::instant(instance.created_at)]);
    }
    console::answer(columns)
}
