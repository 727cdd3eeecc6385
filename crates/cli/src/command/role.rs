//! `lakeferry role create|delete|list`.

use serde_json::json;

use super::api::{self, Role};
use crate::args::{CreateRole, ListArgs, NameArgs, RoleCommand};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Carries out one of the commands.
pub async fn run(command: RoleCommand) -> Result<(), Failure> {
    match command {
        RoleCommand::Create(args) => create(args).await,
        RoleCommand::Delete(args) => delete(args).await,
        RoleCommand::List(args) => list(args).await,
    }
}

async fn create(args: CreateRole) -> Result<(), Failure> {
    let role = name::role(&args.name)?;
    let server = Connection::open(&args.server)?;
    let asked = json!({
        "name": role,
        "arn": args.arn,
        "external_id": args.external_id,
        "sts_endpoint": args.sts_endpoint,
    });
    server.post("roles", &asked).await?;
    console::answer(format_args!("made role {role}"))
}

async fn delete(args: NameArgs) -> Result<(), Failure> {
    let role = name::role(&args.name)?;
    let server = Connection::open(&args.server)?;
    server.delete(&format!("roles/{role}")).await?;
    console::answer(format_args!("deleted role {role}"))?;
    console::note("tasks that need it stop with UNAUTHORIZED until it is made again");
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let server = Connection::open(&args.server)?;
    let answer = server.get("roles").await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let roles: Vec<Role> = api::list(answer, "roles")?;
    if roles.is_empty() {
        console::note("there is no role yet; the first delivery task makes the service's own");
        return Ok(());
    }
    let mut columns = Columns::new(["ROLE", "ARN", "MADE"]);
    for role in roles {
        let arn = role.assumed.map_or_else(|| "-".to_owned(), |assumed| assumed.arn);
        columns.row([role.name.to_string(), arn, text::instant(role.created_at)]);
    }
    console::answer(columns)
}
