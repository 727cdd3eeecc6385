//! `lakeferry task create`: flags into a task's specification.
//!
//! What is not typed about cutting and lanes is left out of the request, so that the server's own settings
//! fill it in. A column without a type takes the one that the table declares for it.

use std::time::Duration;

use lakeferry_model::delivery::{
    Destination, Encoding, Field, FieldKind, Mode, ReservedSource, SchemaSpec, TaskSpec,
};
use lakeferry_model::{TableSchema, ValueKind};
use serde_json::{Map, Value, json};

use super::super::api::path;
use crate::args::{CompressionArg, CreateTask, ModeArg};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{ColumnArg, ColumnType};

/// Makes a task.
pub async fn run(args: CreateTask) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    name::new_task(&args.name)?;
    name::bucket(&args.bucket)?;
    let server = Connection::open_instance(&args.at)?;
    let schema = if args.columns.is_empty() {
        SchemaSpec::Automatic { reserved: !args.no_reserved }
    } else {
        let table = super::super::table::schema(&server, &table).await?;
        SchemaSpec::Manual(fields(&args.columns, !args.no_reserved, &table)?)
    };
    let body = body(&spec(&args, schema)?, tuning(&args));
    server.post(&path::tasks(server.instance(), &table), &body).await?;
    console::answer(format_args!("made task {} of table {table}", args.name))?;
    console::note(format_args!("follow it with: lakeferry task watch {table} {}", args.name));
    Ok(())
}

/// The request's body: the specification, with only those tuning values that are asked for.
pub fn body(spec: &TaskSpec, tuning: Map<String, Value>) -> Value {
    let mut body = serde_json::to_value(spec).expect("a specification can always be written");
    body["tuning"] = Value::Object(tuning);
    body
}

fn spec(args: &CreateTask, schema: SchemaSpec) -> Result<TaskSpec, Failure> {
    Ok(TaskSpec {
        name: name::new_task(&args.name)?,
        mode: match args.mode {
            ModeArg::Base => Mode::Base,
            ModeArg::Inc => Mode::Inc,
            ModeArg::BaseInc => Mode::BaseInc,
        },
        destination: Destination {
            bucket: name::bucket(&args.bucket)?,
            endpoint: args.bucket_endpoint.clone(),
            role: args.role.clone(),
            prefix: args.prefix.clone(),
            event_time: args.event_time.clone(),
            zone: args.zone.clone(),
            suffix: args.suffix.clone(),
            dirty_prefix: args.dirty_prefix.clone(),
        },
        schema,
        tuning: lakeferry_model::delivery::Tuning::default(),
    })
}

fn tuning(args: &CreateTask) -> Map<String, Value> {
    let compression = match args.compression {
        CompressionArg::Snappy => "snappy",
        CompressionArg::None => "none",
    };
    let ms = |time: Duration| Value::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let asked = [
        ("object_age_ms_max", args.object_age.map(ms)),
        ("inactivity_ms_max", args.inactivity.map(ms)),
        ("object_bytes_max", args.object_size.map(Value::from)),
        ("lanes_min", args.lanes_min.map(Value::from)),
        ("lanes_max", args.lanes_max.map(Value::from)),
        ("bytes_per_s_max", args.bytes_per_second.map(Value::from)),
        ("rows_per_s_max", args.rows_per_second.map(Value::from)),
        ("lateness_ms", args.lateness.map(ms)),
        ("has_success_objects", args.success_objects.then_some(Value::Bool(true))),
        ("dirty_fields_max", args.dirty_max.map(Value::from)),
        ("compression", Some(json!(compression))),
    ];
    asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The columns as typed, behind them the reserved ones that were not typed, if `reserved`.
pub fn fields(columns: &[ColumnArg], reserved: bool, table: &TableSchema) -> Result<Vec<Field>, Failure> {
    let mut fields = columns.iter().map(|column| field(column, table)).collect::<Result<Vec<_>, _>>()?;
    for source in ReservedSource::ALL {
        if reserved && !fields.iter().any(|field| field.source == source.name()) {
            let source = source.name().to_owned();
            let column = ColumnArg { source, target: None, kind: None, encoding: Encoding::Plain };
            fields.push(field(&column, table)?);
        }
    }
    Ok(fields)
}

fn field(column: &ColumnArg, table: &TableSchema) -> Result<Field, Failure> {
    let ColumnType { kind, extend } = match column.kind.clone().or_else(|| declared(&column.source, table)) {
        Some(kind) => kind,
        None => {
            let source = &column.source;
            return Err(Failure::usage(format!(
                "table {} declares no type for column `{source}`",
                table.name
            ))
            .hint(format!("say it: --column {source}:{}:TYPE", column.target.as_ref().unwrap_or(source))));
        }
    };
    Ok(Field {
        source: column.source.clone(),
        target: column.target.clone().unwrap_or_else(|| column.source.clone()),
        kind,
        encoding: column.encoding,
        type_extend: extend,
    })
}

/// The type that the table, or a reserved name itself, declares for a column.
fn declared(source: &str, table: &TableSchema) -> Option<ColumnType> {
    if let Some(reserved) = ReservedSource::parse(source) {
        return Some(ColumnType::plain(match reserved {
            ReservedSource::Operation => FieldKind::Utf8,
            ReservedSource::CommitTime | ReservedSource::Sequence => FieldKind::Int64,
        }));
    }
    let key = table.primary_key.iter().find(|column| column.name == source);
    let defined = table.defined_columns.iter().find(|column| column.name == source);
    let kind = key.map(|column| column.kind.value_kind()).or(defined.map(|column| column.kind.0))?;
    Some(natural(kind))
}

/// The type that takes all values of a type as they are.
pub fn natural(kind: ValueKind) -> ColumnType {
    match kind {
        ValueKind::Integer => ColumnType::plain(FieldKind::Int64),
        ValueKind::Double => ColumnType::plain(FieldKind::Double),
        ValueKind::Boolean => ColumnType::plain(FieldKind::Bool),
        ValueKind::String => ColumnType::plain(FieldKind::Utf8),
        ValueKind::Binary => ColumnType::binary(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lakeferry_model::{DefinedColumn, DefinedKind, KeyColumn, KeyKind, TableName};

    use super::*;
    use crate::args::{Args, Command, TaskCommand};

    fn typed(more: &str) -> CreateTask {
        let line = format!("lakeferry task create --table t --name to-lake --bucket b --prefix p {more}");
        let Command::Task(TaskCommand::Create(args)) = Args::parse_from(line.split_whitespace()).command
        else {
            unreachable!("`task create` was typed")
        };
        *args
    }

    fn table() -> TableSchema {
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![KeyColumn { name: "id".into(), kind: KeyKind::Binary, auto_increment: false }],
            defined_columns: vec![DefinedColumn {
                name: "price".into(),
                kind: DefinedKind(ValueKind::Double),
            }],
        }
    }

    #[test]
    fn what_is_not_typed_is_left_to_the_server() {
        let args = typed("--object-age 5s");
        let schema = SchemaSpec::Automatic { reserved: true };
        let body = body(&spec(&args, schema).unwrap(), tuning(&args));
        assert_eq!(body["tuning"], json!({"object_age_ms_max": 5000, "compression": "snappy"}));
        assert_eq!(body["mode"], "BASE_INC");
        assert_eq!(body["schema"], json!({"automatic": {"reserved": true}}));
        assert_eq!(body["destination"]["suffix"], ".parquet");
        serde_json::from_value::<TaskSpec>(body).expect("the server reads what the program writes");
    }

    #[test]
    fn a_column_without_a_type_takes_the_one_that_the_table_declares() {
        let args = typed("--column id --column price:cost --column $sequence:seq --column note::string");
        let fields = fields(&args.columns, true, &table()).unwrap();
        let told: Vec<_> = fields.iter().map(|f| (f.source.as_str(), f.target.as_str(), f.kind)).collect();
        assert_eq!(
            told,
            [
                ("id", "id", FieldKind::Utf8),
                ("price", "cost", FieldKind::Double),
                ("$sequence", "seq", FieldKind::Int64),
                ("note", "note", FieldKind::Utf8),
                ("$operation", "$operation", FieldKind::Utf8),
                ("$commit_time", "$commit_time", FieldKind::Int64),
            ]
        );
        assert_eq!(fields[0].type_extend.as_deref(), Some("BINARY"));
    }

    #[test]
    fn a_column_of_unknown_type_is_refused_with_what_to_type() {
        let columns = typed("--column note:memo").columns;
        let failure = fields(&columns, false, &table()).unwrap_err().to_string();
        assert!(failure.contains("--column note:memo:TYPE"), "{failure}");
    }
}
