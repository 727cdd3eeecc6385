//! `lakeferry task update`: flags into a merge patch of a task's specification.

use serde_json::{Map, Value, json};

use super::create::fields;
use super::{Named, set};
use crate::args::{CompressionArg, DirtyLimit, UpdateTask};
use crate::connection::name;
use crate::console;
use crate::failure::Failure;

/// Changes a task.
pub async fn run(args: UpdateTask) -> Result<(), Failure> {
    if let Some(bucket) = &args.bucket {
        name::bucket(bucket)?;
    }
    let named = Named::open(&args.task)?;
    let mut patch = patch(&args);
    if !args.columns.is_empty() || !args.add_columns.is_empty() {
        let table = super::super::table::schema(&named.server, &named.table).await?;
        if !args.columns.is_empty() {
            let columns = fields(&args.columns, !args.no_reserved, &table)?;
            patch.insert("schema".to_owned(), json!({ "manual": columns }));
        }
        if !args.add_columns.is_empty() {
            let added = fields(&args.add_columns, false, &table)?;
            patch.insert("add_columns".to_owned(), json!(added));
        }
    }
    if patch.is_empty() {
        return Err(Failure::usage(
            "name something to change; `lakeferry task update --help` shows what there is",
        ));
    }
    named.server.patch(&named.path(), &Value::Object(patch)).await?;
    console::answer(format_args!("updated task {} of table {}", named.task, named.table))
}

/// What is typed, but for columns that take their types from the table.
fn patch(args: &UpdateTask) -> Map<String, Value> {
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let event_time = args.event_time.as_ref().map(|column| json!(column));
    let destination = [
        ("bucket", text(&args.bucket)),
        ("endpoint", text(&args.bucket_endpoint)),
        ("role", text(&args.role)),
        ("prefix", text(&args.prefix)),
        ("event_time", event_time.or(args.commit_time.then_some(Value::Null))),
        ("zone", text(&args.zone)),
        ("suffix", text(&args.suffix)),
        (
            "dirty_prefix",
            args.dirty_prefix.as_ref().map(
                |folder| {
                    if folder.is_empty() { Value::Null } else { json!(folder) }
                },
            ),
        ),
    ];
    let compression = args.compression.map(|compression| match compression {
        CompressionArg::Snappy => json!("snappy"),
        CompressionArg::None => json!("none"),
    });
    let dirty_max = args.dirty_max.map(|max| match max {
        DirtyLimit::AtMost(fields) => json!(fields),
        DirtyLimit::None => Value::Null,
    });
    let named = |all: Vec<(&str, Option<Value>)>| -> Map<_, _> {
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    };
    let mut tuning = named(vec![("compression", compression), ("dirty_fields_max", dirty_max)]);
    match serde_json::to_value(set::change(&args.tuning)) {
        Ok(Value::Object(change)) => tuning.extend(change),
        _ => unreachable!("a change can always be written, as an object"),
    }
    let mut patch = Map::new();
    for (part, named) in [("destination", named(destination.to_vec())), ("tuning", tuning)] {
        if !named.is_empty() {
            patch.insert(part.to_owned(), Value::Object(named));
        }
    }
    if args.all_columns {
        patch.insert("schema".to_owned(), json!({ "automatic": { "reserved": true } }));
    }
    patch
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command, TaskCommand};

    fn typed(more: &str) -> Value {
        let line = format!("lakeferry task update t to-lake {more}");
        let Command::Task(TaskCommand::Update(args)) = Args::parse_from(line.split_whitespace()).command
        else {
            unreachable!("`task update` was typed")
        };
        Value::Object(patch(&args))
    }

    #[test]
    fn only_what_is_typed_is_changed() {
        assert_eq!(typed(""), json!({}));
        let expected = json!({
            "destination": { "prefix": "q", "event_time": { "column": "at", "format": "UNIX" } },
            "tuning": { "object_age_ms_max": 5000, "dirty_fields_max": 0 },
        });
        assert_eq!(typed("--prefix q --event-time at:unix --object-age 5s --dirty-max 0"), expected);
    }

    #[test]
    fn an_update_takes_every_setting_that_set_takes() {
        let expected = json!({ "tuning": {
            "object_age_ms_max": 5000, "inactivity_ms_max": null, "object_bytes_max": 1_048_576,
            "lanes_min": 2, "lanes_max": 3, "bytes_per_s_max": 1024, "rows_per_s_max": null,
            "lateness_ms": 60_000, "has_success_objects": true,
        } });
        let flags = "--object-age 5s --inactivity off --object-size 1MiB --lanes-min 2 --lanes-max 3 \
                     --bytes-per-second 1KiB --rows-per-second off --lateness 1m --success-objects true";
        assert_eq!(typed(flags), expected);
    }

    #[test]
    fn defaults_come_back_by_name() {
        let expected = json!({
            "destination": { "event_time": null },
            "tuning": { "dirty_fields_max": null },
            "schema": { "automatic": { "reserved": true } },
        });
        assert_eq!(typed("--commit-time --dirty-max none --all-columns"), expected);
    }
}
