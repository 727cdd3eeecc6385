//! `lakeferry task list`.

use std::time::Duration;

use lakeferry_model::delivery::TaskStatus;
use lakeferry_model::{Micros, SystemClock};
use serde_json::Value;

use super::super::api::{self, Task, path};
use super::progress;
use crate::args::ListTasks;
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Enough for a bucket's error to say what is wrong.
const ERROR_CHARS_MAX: usize = 80;

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
    let tasks = answers.into_iter().map(api::read).collect::<Result<Vec<Task>, _>>()?;
    console::answer(table(&tasks, SystemClock::shared().now_micros()))
}

fn table(tasks: &[Task], now: Micros) -> Columns<12> {
    let mut columns = Columns::new([
        "TABLE",
        "TASK",
        "MODE",
        "PHASE",
        ">LAG",
        ">WAITING",
        ">DELIVERED",
        ">BYTES",
        ">OBJECTS",
        ">DIRTY",
        ">NEXT TRY",
        "LAST ERROR",
    ]);
    for Task { table, spec, status } in tasks {
        columns.row([
            table.to_string(),
            spec.name.to_string(),
            progress::mode(spec.mode).to_owned(),
            progress::standing(status),
            or_dash(status.lag_s.map(|lag| text::duration(Duration::from_secs(lag)))),
            text::count(status.rows_waiting),
            text::count(status.rows_delivered),
            text::size(status.bytes_delivered),
            text::count(status.objects),
            text::count(status.dirty_fields),
            or_dash(progress::next_try(status, now)),
            or_dash(last_error(status)),
        ]);
    }
    columns
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".to_owned())
}

/// What is wrong, or what last was and is over. It stands last in its line, which a terminal may fold.
fn last_error(status: &TaskStatus) -> Option<String> {
    match progress::cause(status) {
        Some(cause) => Some(text::shortened(&cause, ERROR_CHARS_MAX)),
        None => {
            let error = status.last_error.as_deref()?;
            Some(format!("{} (over)", text::shortened(error, ERROR_CHARS_MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::TableName;
    use lakeferry_model::delivery::{Phase, Tuning};
    use serde_json::json;

    use super::*;
    use crate::command::task::progress::tests::{CUT_OFF, astray, cut_off, status};

    fn task(name: &str, status: TaskStatus) -> Task {
        let spec = json!({
            "name": name,
            "mode": "INC",
            "destination": { "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "p" },
            "schema": { "automatic": { "reserved": true } },
            "tuning": Tuning::default(),
        });
        Task { table: TableName::parse("t").unwrap(), spec: serde_json::from_value(spec).unwrap(), status }
    }

    #[test]
    fn a_list_tells_what_was_delivered_and_left_out_and_what_is_wrong_also_without_a_code() {
        let well = TaskStatus {
            phase: Phase::Incr,
            lag_s: Some(72),
            rows_waiting: 3,
            rows_delivered: 3_412,
            bytes_delivered: 1536,
            objects: 2,
            dirty_fields: 5,
            ..status()
        };
        let mended = TaskStatus { last_error: Some(CUT_OFF.to_owned()), ..well.clone() };
        let tasks = [
            task("well", well),
            task("mended", mended),
            task("cut-off", cut_off(4)),
            task("astray", astray(12)),
        ];
        let expected = "\
TABLE  TASK     MODE  PHASE    LAG  WAITING  DELIVERED    BYTES  OBJECTS  DIRTY  NEXT TRY  LAST ERROR
t      well     INC   INCR   1m12s        3      3,412  1.5 KiB        2      5         -  -
t      mended   INC   INCR   1m12s        3      3,412  1.5 KiB        2      5         -  bucket 'far': cannot list `_lakeferry/probe`: the store cannot be reached: Gene… (over)
t      cut-off  INC   INIT       -        0          0      0 B        0      0        4s  bucket 'far': cannot list `_lakeferry/probe`: the store cannot be reached: Gene…
t      astray   INC   INIT       -        0          0      0 B        0      0       12s  INVALID_OSS_BUCKET: the bucket table has no bucket 'nowhere'; make it with: lak…";
        assert_eq!(table(&tasks, 0).to_string(), expected);
    }
}
