//! `lakeferry task list`.

use lakeferry_model::TableName;
use serde_json::Value;

use super::super::api::{self, Task, TaskEntry, path};
use super::progress;
use crate::args::ListTasks;
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Lists the tasks of one table, or of all tables of the instance, with how each is doing.
pub async fn run(args: ListTasks) -> Result<(), Failure> {
    let server = Connection::open_instance(&args.at)?;
    let tables = match &args.table {
        Some(table) => vec![name::table(table)?],
        None => super::super::table::all_names(&server).await?,
    };
    let mut answers = Vec::new();
    for table in &tables {
        answers.extend(tasks_of(&server, table).await?);
    }
    if args.json {
        return console::answer(api::pretty(&Value::Array(answers)));
    }
    if answers.is_empty() {
        console::note("there is no task yet; `lakeferry task create --help` shows how to make one");
        return Ok(());
    }
    let mut columns =
        Columns::new(["TABLE", "TASK", "MODE", "PHASE", ">WAITING", ">DELIVERED", ">OBJECTS", "ERROR"]);
    for answer in answers {
        let Task { table, spec, status } = api::read(answer)?;
        columns.row([
            table.to_string(),
            spec.name.to_string(),
            progress::mode(spec.mode).to_owned(),
            progress::phase(status.phase).to_owned(),
            text::count(status.rows_waiting),
            text::count(status.rows_delivered),
            text::count(status.objects),
            progress::error_code(status.error).unwrap_or("-").to_owned(),
        ]);
    }
    console::answer(columns)
}

async fn tasks_of(server: &Connection, table: &TableName) -> Result<Vec<Value>, Failure> {
    let answer = server.get(&path::tasks(server.instance(), table)).await?;
    let entries: Vec<TaskEntry> = api::list(answer, "tasks")?;
    let mut answers = Vec::with_capacity(entries.len());
    for entry in entries {
        answers.push(server.get(&path::task(server.instance(), table, &entry.name)).await?);
    }
    Ok(answers)
}
