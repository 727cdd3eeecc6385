//! `lakeferry table describe`.

use lakeferry_model::{
    DefinedColumn, KeyColumn, KeyKind, Micros, StreamSpec, TableOptions, TableSchema, ValueKind,
};
use serde::Deserialize;

use super::super::api::{self, TaskEntry, path};
use super::super::task::progress;
use crate::args::DescribeTable;
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns, Facts};

#[derive(Debug, Deserialize)]
struct Described {
    schema: TableSchema,
    options: TableOptions,
    stream: Option<Stream>,
    created_at: Micros,
    partitions: Vec<Partition>,
    tasks: Vec<TaskEntry>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    spec: StreamSpec,
}

#[derive(Debug, Deserialize)]
struct Partition {
    id: u64,
    last_sequence: u64,
    last_commit_time: Micros,
}

/// Shows a table.
pub async fn run(args: DescribeTable) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let server = Connection::open_instance(&args.at)?;
    let answer = server.get(&path::table(server.instance(), &table)).await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let described: Described = api::read(answer)?;
    console::answer(format_args!("table {table}\n{}\n\n{}", facts(&described), partitions(&described)))
}

fn facts(table: &Described) -> Facts {
    let mut facts = Facts::default();
    facts.add_all("primary key", table.schema.primary_key.iter().map(key_column));
    facts.add_all("columns", table.schema.defined_columns.iter().map(defined_column));
    let options = &table.options;
    let lives = match options.time_to_live_s {
        Some(seconds) => text::duration(std::time::Duration::from_secs(seconds.into())),
        None => "for ever".to_owned(),
    };
    facts.add("cells live", lives);
    facts.add("versions", options.versions_max.to_string());
    if !options.allow_update {
        facts.add("updates", "refused: the table takes whole rows only");
    }
    facts.add("stream", stream(table.stream.as_ref().map(|stream| &stream.spec)));
    facts.add("made", text::instant(table.created_at));
    let tasks = table.tasks.iter().map(|task| format!("{}, {}", task.name, progress::mode(task.mode)));
    facts.add_all("tasks", tasks);
    facts
}

fn key_column(column: &KeyColumn) -> String {
    let kind = match column.kind {
        KeyKind::Integer => "INTEGER",
        KeyKind::String => "STRING",
        KeyKind::Binary => "BINARY",
    };
    let increment = if column.auto_increment { ", picked by the server" } else { "" };
    format!("{} {kind}{increment}", column.name)
}

fn defined_column(column: &DefinedColumn) -> String {
    let kind = match column.kind.0 {
        ValueKind::Integer => "INTEGER",
        ValueKind::Double => "DOUBLE",
        ValueKind::Boolean => "BOOLEAN",
        ValueKind::String => "STRING",
        ValueKind::Binary => "BINARY",
    };
    format!("{} {kind}", column.name)
}

fn stream(stream: Option<&StreamSpec>) -> String {
    match stream {
        Some(stream) => {
            let hours = u64::try_from(stream.expiration_hours).unwrap_or(0);
            format!("on, records kept for {}", text::counted(hours, ("hour", "hours")))
        }
        None => "off".to_owned(),
    }
}

fn partitions(table: &Described) -> Columns<3> {
    let mut columns = Columns::new([">PARTITION", ">LAST SEQUENCE", "LAST CHANGE"]);
    for partition in &table.partitions {
        let changed = match partition.last_commit_time {
            0 => "none yet".to_owned(),
            at => text::instant(at),
        };
        columns.row([partition.id.to_string(), text::count(partition.last_sequence), changed]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_told_with_its_columns_partitions_and_tasks() {
        let described: Described = serde_json::from_value(json!({
            "name": "t",
            "schema": {
                "name": "t",
                "primary_key": [{"name": "id", "kind": "STRING"}],
                "defined_columns": [{"name": "price", "kind": "DOUBLE"}],
            },
            "options": {"time_to_live_s": 86400, "versions_max": 2, "deviation_s": 1, "allow_update": true},
            "throughput": {"read": 0, "write": 0},
            "stream": {
                "spec": {"expiration_hours": 1, "origin_columns": []},
                "id": "t_1",
                "enabled_at": 0,
            },
            "created_at": 0,
            "partitions": [{"id": 7, "last_sequence": 1234, "last_commit_time": 0, "closed_time": 1}],
            "tasks": [{"name": "to-lake", "mode": "BASE_INC"}],
        }))
        .unwrap();
        let told = facts(&described).to_string();
        for part in ["id STRING", "price DOUBLE", "1d00h", "kept for 1 hour", "to-lake, BASE_INC"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(partitions(&described).to_string().ends_with("        7          1,234  none yet"));
    }
}
