//! `lakeferry task columns`: what rows have and a task does not deliver, and how it comes to.

use lakeferry_model::ValueKind;
use lakeferry_model::delivery::{Encoding, Field, TaskStatus};
use serde_json::json;

use super::super::api::Task;
use super::Named;
use super::create::natural;
use crate::args::TaskColumns;
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Lists the columns, or has them delivered.
pub async fn run(args: TaskColumns) -> Result<(), Failure> {
    let named = Named::open(&args.task)?;
    let Task { status, .. } = named.read().await?;
    let Some(wanted) = args.add else { return list(&status) };
    let added = added(&status, &wanted)?;
    if added.is_empty() {
        console::note("the task delivers every column that its rows have had so far");
        return Ok(());
    }
    named.server.patch(&named.path(), &json!({ "add_columns": added })).await?;
    let names: Vec<_> = added.iter().map(|field| field.source.as_str()).collect();
    console::answer(format_args!("task {} delivers {} with the next object", named.task, names.join(", ")))
}

fn list(status: &TaskStatus) -> Result<(), Failure> {
    if status.undelivered_columns.is_empty() {
        console::note("the task delivers every column that its rows have had so far");
        return Ok(());
    }
    let mut columns = Columns::new(["COLUMN", "TYPE", ">TIMES"]);
    for (name, times) in &status.undelivered_columns {
        let kind = status.undelivered_kinds.get(name).map_or("-", |kind| name_of(*kind));
        columns.row([name.clone(), kind.to_owned(), text::count(*times)]);
    }
    console::answer(columns)
}

/// The columns that are asked for, with the types that take all that was seen first.
fn added(status: &TaskStatus, wanted: &[String]) -> Result<Vec<Field>, Failure> {
    let known = &status.undelivered_kinds;
    if let Some(missing) = wanted.iter().find(|name| !known.contains_key(*name)) {
        return Err(Failure::usage(format!(
            "no row had a column `{missing}` that the task does not deliver"
        ))
        .hint(format!("deliver it all the same: lakeferry task update … --add-column {missing}::TYPE")));
    }
    let is_wanted = |name: &String| wanted.is_empty() || wanted.contains(name);
    let field = |(name, kind): (&String, &ValueKind)| {
        let column = natural(*kind);
        Field {
            source: name.clone(),
            target: name.clone(),
            kind: column.kind,
            encoding: Encoding::Plain,
            type_extend: column.extend,
        }
    };
    Ok(known.iter().filter(|(name, _)| is_wanted(name)).map(field).collect())
}

fn name_of(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Integer => "INTEGER",
        ValueKind::Double => "DOUBLE",
        ValueKind::Boolean => "BOOLEAN",
        ValueKind::String => "STRING",
        ValueKind::Binary => "BINARY",
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::delivery::FieldKind;

    use super::*;
    use crate::command::task::progress::tests::status;

    #[test]
    fn columns_are_added_with_the_type_that_was_seen() {
        let kinds = [("colour", ValueKind::String), ("photo", ValueKind::Binary)];
        let undelivered_kinds = kinds.map(|(name, kind)| (name.to_owned(), kind)).into();
        let status = TaskStatus { undelivered_kinds, ..status() };
        let all = added(&status, &[]).unwrap();
        let told: Vec<_> =
            all.iter().map(|f| (f.source.as_str(), f.kind, f.type_extend.as_deref())).collect();
        assert_eq!(told, [("colour", FieldKind::Utf8, None), ("photo", FieldKind::Utf8, Some("BINARY"))]);
        assert_eq!(added(&status, &["photo".to_owned()]).unwrap().len(), 1);
        let failure = added(&status, &["price".to_owned()]).unwrap_err().to_string();
        assert!(failure.contains("--add-column price::TYPE"), "{failure}");
    }
}
