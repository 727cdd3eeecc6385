//! `lakeferry task list`.

use std::time::Duration;

use serde_json::Value;

use super::super::api::{self, Task, path};
use super::progress;
use crate::args::ListTasks;
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Lists the tasks of one table, or of all tables of the instance, with how each is doing.
pub async fn run(args: ListTasks) -> Result<(), Failure> {
    let server = Connection::open_instance(&args.at)?;
    let mut answers: Vec<Value> = api::list(server.get(&path::all_tasks(server.instance())).await?, "tasks")?;
    if let Some(table) = &args.table {
        let table = name::table(table)?;
        // A table that there is not is told as such.
        server.get(&path::table(server.instance(), &table)).await?;
        answers.retain(|answer| answer["table"] == table.as_str());
    }
    if args.json {
        return console::answer(api::pretty(&Value::Array(answers)));
    }
    if answers.is_empty() {
        console::note("there is no task yet; `lakeferry task create --help` shows how to make one");
        return Ok(());
    }
    let mut columns = Columns::new([
        "TABLE",
        "TASK",
        "MODE",
        "PHASE",
        ">LAG",
        ">WAITING",
        ">DELIVERED",
        ">OBJECTS",
        "ERROR",
    ]);
    for answer in answers {
        let Task { table, spec, status } = api::read(answer)?;
        columns.row([
            table.to_string(),
            spec.name.to_string(),
            progress::mode(spec.mode).to_owned(),
            progress::standing(&status),
            status.lag_s.map_or("-".to_owned(), |lag| text::duration(Duration::from_secs(lag))),
            text::count(status.rows_waiting),
            text::count(status.rows_delivered),
            text::count(status.objects),
            progress::error_code(status.error).unwrap_or("-").to_owned(),
        ]);
    }
    console::answer(columns)
}
