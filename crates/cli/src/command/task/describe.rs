//! `lakeferry task describe`: how a task is set up, and how it is doing.

use std::time::Duration;

use lakeferry_model::delivery::{
    Compression, EventTimeFormat, FieldKind, ReservedSource, SchemaSpec, TaskSpec, TaskStatus,
};
use lakeferry_model::{Micros, SystemClock};

use super::super::api::{self, Task};
use super::{Named, progress};
use crate::args::ShowTask;
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Facts};

/// Shows a task.
pub async fn run(args: ShowTask) -> Result<(), Failure> {
    let named = Named::open(&args.task)?;
    let answer = named.server.get(&named.path()).await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let Task { table, spec, status } = api::read(answer)?;
    let mut facts = Facts::default();
    add_setup(&mut facts, &spec);
    add_standing(&mut facts, &spec.schema, &status, SystemClock::shared().now_micros());
    console::answer(format_args!("task {} of table {table}\n{facts}", spec.name))
}

fn add_setup(facts: &mut Facts, spec: &TaskSpec) {
    let to = &spec.destination;
    facts.add("delivers", format!("{} to bucket {}, {}", progress::mode(spec.mode), to.bucket, to.prefix));
    let time = match &to.event_time {
        Some(column) => format!("column {}, {}", column.column, format_name(column.format)),
        None => "commit time".to_owned(),
    };
    facts.add("folders by", format!("{time}, zone {}", to.zone));
    facts.add("access", format!("endpoint {}, role {}", to.endpoint, to.role));
    facts.add_all("columns", columns(&spec.schema));
    add_tuning(facts, spec);
}

/// The settings that a running task takes at once.
pub fn tuned(spec: &TaskSpec) -> Facts {
    let mut facts = Facts::default();
    add_tuning(&mut facts, spec);
    facts
}

fn add_tuning(facts: &mut Facts, spec: &TaskSpec) {
    let (to, tuning) = (&spec.destination, &spec.tuning);
    let compression = match tuning.compression {
        Compression::Snappy => "snappy",
        Compression::None => "not compressed",
    };
    let age = text::duration(Duration::from_millis(tuning.object_age_ms_max));
    let quiet = tuning.inactivity_ms_max.map(Duration::from_millis);
    let quiet = quiet.map_or(String::new(), |quiet| format!(", {} without a row", text::duration(quiet)));
    let size = text::size(tuning.object_bytes_max);
    facts.add(
        "objects",
        format!("cut after {age}{quiet} or at {size}, {compression}, names end with '{}'", to.suffix),
    );
    facts.add("lanes", format!("{} to {}", tuning.lanes_min, tuning.lanes_max));
    let limits = [
        tuning.bytes_per_s_max.map(|bytes| format!("{} a second", text::size(bytes))),
        tuning.rows_per_s_max.map(|rows| format!("{} a second", text::counted(rows, ("row", "rows")))),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if !limits.is_empty() {
        facts.add("at most", limits.join(", "));
    }
    let late = Duration::from_millis(tuning.lateness_ms);
    let success = if tuning.has_success_objects { ", with a _SUCCESS object" } else { "" };
    facts.add("complete", format!("folders are marked {} after their time{success}", text::duration(late)));
    let dirty =
        to.dirty_prefix.as_deref().map_or("the server's own folder".to_owned(), |to| format!("folder {to}"));
    let limit = match tuning.dirty_fields_max {
        Some(max) => format!("at most {}", text::counted(max, ("field", "fields"))),
        None => "without a limit".to_owned(),
    };
    facts.add("dirty fields", format!("kept in {dirty}, {limit}"));
}

fn columns(schema: &SchemaSpec) -> Vec<String> {
    match schema {
        SchemaSpec::Automatic { reserved: false } => vec!["all that the rows have".to_owned()],
        SchemaSpec::Automatic { reserved: true } => {
            let names = ReservedSource::ALL.map(ReservedSource::name).join(", ");
            vec![format!("all that the rows have, and {names}")]
        }
        SchemaSpec::Manual(fields) => fields
            .iter()
            .map(|field| {
                let kind = match &field.type_extend {
                    Some(extend) => format!("{} {extend}", kind_name(field.kind)),
                    None => kind_name(field.kind),
                };
                if field.source == field.target {
                    format!("{} {kind}", field.source)
                } else {
                    format!("{} as {} {kind}", field.source, field.target)
                }
            })
            .collect(),
    }
}

fn add_standing(facts: &mut Facts, schema: &SchemaSpec, status: &TaskStatus, now: Micros) {
    facts.add("run", status.run.to_string());
    if status.lanes > 0 {
        facts.add("lanes now", status.lanes.to_string());
    }
    let next = status.next_configuration.map(|next| format!(", {next} once all folders are cut"));
    facts.add("configuration", format!("{}{}", status.configuration, next.unwrap_or_default()));
    facts.add("phase", progress::standing(status));
    facts.add(
        "delivered",
        format!(
            "{} in {}, {}",
            text::counted(status.rows_delivered, ("row", "rows")),
            text::counted(status.objects, ("object", "objects")),
            text::size(status.bytes_delivered)
        ),
    );
    facts.add("backlog", progress::waiting(status));
    facts.add("lake", progress::behind(status, now));
    if let (Some(name), Some(at)) = (&status.last_object, status.last_object_at) {
        facts.add("last object", format!("{name} at {}", text::instant(at)));
    }
    match progress::problem(status, now) {
        Some(problem) => facts.add("problem", problem),
        None if !status.detail.is_empty() => facts.add("detail", status.detail.clone()),
        None => {}
    }
    if let (Some(error), None) = (&status.last_error, progress::problem(status, now)) {
        facts.add("last problem", format!("{error} (over)"));
    }
    if status.dirty_fields > 0 {
        let fields = text::counted(status.dirty_fields, ("field", "fields"));
        let reasons: Vec<_> = status
            .dirty_reasons
            .iter()
            .map(|(reason, count)| format!("{} {}", text::count(*count), reason.name()))
            .collect();
        let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        facts.add("left out", format!("{fields} not fitting its column{why}"));
        let columns = status.dirty_columns.iter();
        facts.add_all(
            "dirty",
            columns.map(|(column, times)| {
                format!("column {column}, {}", text::counted(*times, ("time", "times")))
            }),
        );
    }
    let undelivered = status.undelivered_columns.iter();
    facts.add_all(
        "not delivered",
        undelivered
            .map(|(column, times)| format!("column {column}, {}", text::counted(*times, ("time", "times")))),
    );
    if !status.undelivered_columns.is_empty() {
        let how = match schema {
            SchemaSpec::Manual(_) => "deliver them with: lakeferry task columns TABLE TASK --add",
            SchemaSpec::Automatic { .. } => {
                "the table has more columns than a task takes by itself; choose them with: lakeferry task update \
                 TABLE TASK --column COLUMN …"
            }
        };
        facts.add("", how.to_owned());
    }
    facts.add_all("warning", status.warnings.iter().cloned());
}

/// The name that the protocol and `--event-time` have for it, which is how it is written in JSON.
fn format_name(format: EventTimeFormat) -> String {
    json_name(&format)
}

fn kind_name(kind: FieldKind) -> String {
    json_name(&kind)
}

fn json_name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => unreachable!("only enums without data come here, and these are written as text"),
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::delivery::{DirtyReason, Encoding, Field};

    use super::*;
    use crate::command::task::progress::tests::status;

    #[test]
    fn columns_are_told_with_source_target_and_type() {
        let field = |source: &str, target: &str, kind, extend: Option<&str>| Field {
            source: source.into(),
            target: target.into(),
            kind,
            encoding: Encoding::Plain,
            type_extend: extend.map(Into::into),
        };
        let schema = SchemaSpec::Manual(vec![
            field("id", "id", FieldKind::Int64, None),
            field("photo", "image", FieldKind::Utf8, Some("BINARY")),
        ]);
        assert_eq!(columns(&schema), ["id INT64", "photo as image UTF8 BINARY"]);
        assert!(columns(&SchemaSpec::Automatic { reserved: true })[0].contains("$sequence"));
    }

    #[test]
    fn what_was_left_out_is_told() {
        let status = TaskStatus {
            dirty_fields: 1,
            dirty_reasons: [(DirtyReason::Range, 1)].into(),
            dirty_columns: [("price".to_owned(), 1)].into(),
            undelivered_columns: vec![("colour".into(), 2)],
            warnings: vec!["the prefix has no fixed first segment".into()],
            ..status()
        };
        let mut facts = Facts::default();
        add_standing(&mut facts, &SchemaSpec::Manual(Vec::new()), &status, 0);
        let told = facts.to_string();
        for part in [
            "1 field not fitting its column: 1 range",
            "column price, 1 time",
            "column colour, 2 times",
            "no fixed first segment",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
