//! Rows and keys as they are typed or read from a file, for a table whose primary key is known.

use bytestring::ByteString;
use lakeferry_client::{DescribedTable, Key, Put, Range, Read, RowWrite, Update};
use lakeferry_model::{KeyBound, KeyColumn, KeyValue, TableName, TableSchema, Value};

use crate::args::RowsArgs;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::rows::{from_text, kind_name};

/// Cells of a row, its key's among them; nothing for a JSON null.
type Cells = Vec<(ByteString, Option<Value>)>;

/// A table as its server describes it.
pub async fn described(server: &Connection, table: &TableName) -> Result<DescribedTable, Failure> {
    server.client().describe_table(table.as_str()).await.map_err(|error| server.explain(error))
}

/// A whole primary key as typed, a word for each column.
pub fn key(schema: &TableSchema, words: &[String]) -> Result<Key, Failure> {
    if words.len() != schema.primary_key.len() {
        return Err(Failure::usage(format!("the primary key of table {} is {}", schema.name, shape(schema)))
            .hint("give a value for each column of it, in this order"));
    }
    Ok(Key::from_columns(key_values(schema, words)?))
}

/// The range of rows that was typed.
pub fn range(schema: &TableSchema, args: &RowsArgs) -> Result<Range, Failure> {
    let mut read = Read::default();
    if !(args.columns.is_empty() && args.column.is_empty()) {
        read = read.columns(args.columns.iter().chain(&args.column).cloned());
    }
    let (lowest, highest) = (KeyBound::InfMin, KeyBound::InfMax);
    let (first, last) = if args.backward { (&highest, &lowest) } else { (&lowest, &highest) };
    let (start, end) = if args.only.is_empty() {
        // Rows that begin with the words of the start are walked, those that begin with the words of the end not.
        let rest = if args.to.is_empty() { last } else { first };
        (bound(schema, &args.from, first)?, bound(schema, &args.to, rest)?)
    } else {
        (bound(schema, &args.only, first)?, bound(schema, &args.only, last)?)
    };
    let is_one_row = !args.only.is_empty() && args.only.len() == schema.primary_key.len();
    if is_one_row || (start >= end) != args.backward || start == end {
        let hint = match (is_one_row, args.backward) {
            (true, _) => "for one row: lakeferry table get",
            (false, false) => "the value of --from is less than that of --to",
            (false, true) => "with --backward, the value of --from is greater than that of --to",
        };
        return Err(Failure::usage("there can be no rows in this range").hint(hint));
    }
    let names = || schema.primary_key.iter().map(|column| ByteString::from(column.name.as_str()));
    let (start, end) = (names().zip(start).collect(), names().zip(end).collect());
    let range =
        if args.backward { Range::new(end, start).backward() } else { Range::new(start, end) }.read(read);
    Ok(match args.limit {
        Some(limit) => range.limit(limit),
        None => range,
    })
}

/// The words, and `rest` for each column of the key behind them.
fn bound(schema: &TableSchema, words: &[String], rest: &KeyBound) -> Result<Vec<KeyBound>, Failure> {
    if words.len() > schema.primary_key.len() {
        return Err(Failure::usage(format!("the primary key of table {} is {}", schema.name, shape(schema)))
            .hint("give a value for each of its first columns, in this order"));
    }
    let values = key_values(schema, words)?.into_iter().map(|(_, value)| KeyBound::Value(value));
    let missing = schema.primary_key.len() - words.len();
    Ok(values.chain(std::iter::repeat_n(rest.clone(), missing)).collect())
}

fn key_values(schema: &TableSchema, words: &[String]) -> Result<Vec<(ByteString, KeyValue)>, Failure> {
    let columns = schema.primary_key.iter().zip(words);
    let values = columns.map(|(column, word)| {
        let value = from_text(column.kind.value_kind(), word).and_then(|value| key_value(column, value));
        let value = value.map_err(|why| Failure::usage(format!("column {}: {why}", column.name)))?;
        Ok((column.name.as_str().into(), value))
    });
    values.collect()
}

/// A value of the first column of a table's key, as typed.
pub fn first_key_value(kind: lakeferry_model::KeyKind, word: &str) -> Result<KeyValue, Failure> {
    let column = KeyColumn { name: String::new(), kind, auto_increment: false };
    let value = from_text(kind.value_kind(), word).and_then(|value| key_value(&column, value));
    value.map_err(Failure::usage)
}

/// `id integer, at integer`.
fn shape(schema: &TableSchema) -> String {
    let columns = schema.primary_key.iter();
    let columns = columns.map(|column| format!("{} {}", column.name, kind_name(column.kind.value_kind())));
    columns.collect::<Vec<_>>().join(", ")
}

fn key_value(column: &KeyColumn, value: Value) -> Result<KeyValue, String> {
    let kind = value.kind();
    match value {
        Value::Integer(value) if column.kind.value_kind() == kind => Ok(KeyValue::Integer(value)),
        Value::String(value) if column.kind.value_kind() == kind => Ok(KeyValue::String(value)),
        Value::Binary(value) if column.kind.value_kind() == kind => Ok(KeyValue::Binary(value)),
        _ => Err(format!(
            "column `{}` of the primary key is {}, not {}",
            column.name,
            kind_name(column.kind.value_kind()),
            kind_name(kind)
        )),
    }
}

/// Takes the key out of a row's cells. A key column that the server picks may be missing.
///
/// # Errors
/// What is wrong with the key.
pub fn take_key(schema: &TableSchema, cells: &mut Cells) -> Result<Key, String> {
    let mut key = Key::from_columns(Vec::new());
    for column in &schema.primary_key {
        let found = cells.iter().position(|(name, _)| *name == *column.name).map(|at| cells.remove(at));
        let name: ByteString = column.name.as_str().into();
        key = match found.and_then(|(_, value)| value) {
            Some(value) => key.and(name, key_value(column, value)?),
            None if column.auto_increment => key.and_auto_increment(name),
            None => return Err(format!("it has no `{name}`, which is a column of the primary key")),
        };
    }
    Ok(key)
}

/// The row to put; nulls are no values.
///
/// # Errors
/// What is wrong with the row.
pub fn put(schema: &TableSchema, mut cells: Cells) -> Result<Put, String> {
    let put = Put::new(take_key(schema, &mut cells)?);
    let values = cells.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Ok(values.fold(put, |put, (name, value)| put.set(name, value)))
}

/// The change of a row; nulls remove columns.
///
/// # Errors
/// What is wrong with the row.
pub fn update(schema: &TableSchema, mut cells: Cells) -> Result<Update, String> {
    let update = Update::new(take_key(schema, &mut cells)?);
    Ok(cells.into_iter().fold(update, |update, (name, value)| match value {
        Some(value) => update.set(name, value),
        None => update.remove(name),
    }))
}

/// What a file's row does to a table.
///
/// # Errors
/// What is wrong with the row.
pub fn write(schema: &TableSchema, cells: Cells, is_update: bool) -> Result<RowWrite, String> {
    if is_update { update(schema, cells).map(Into::into) } else { put(schema, cells).map(Into::into) }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::KeyKind;

    use super::*;

    fn schema() -> TableSchema {
        let column = |name: &str, kind| KeyColumn { name: name.into(), kind, auto_increment: false };
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![column("user", KeyKind::String), column("at", KeyKind::Integer)],
            defined_columns: Vec::new(),
        }
    }

    fn bounds(from: &[&str], to: &[&str], only: &[&str]) -> Result<String, Failure> {
        walk(false, from, to, only)
    }

    fn walk(backward: bool, from: &[&str], to: &[&str], only: &[&str]) -> Result<String, Failure> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let args = RowsArgs {
            limit: None,
            backward,
            columns: Vec::new(),
            column: Vec::new(),
            from: words(from),
            to: words(to),
            only: words(only),
        };
        let range = range(&schema(), &args)?;
        let shown = |bound: &[(ByteString, KeyBound)]| {
            let columns = bound.iter().map(|(_, bound)| match bound {
                KeyBound::InfMin => "-".to_owned(),
                KeyBound::InfMax => "+".to_owned(),
                KeyBound::Value(KeyValue::Integer(value)) => value.to_string(),
                KeyBound::Value(KeyValue::String(value)) => value.to_string(),
                KeyBound::Value(KeyValue::Binary(value)) => format!("{value:?}"),
            });
            columns.collect::<Vec<_>>().join(" ")
        };
        Ok(format!("{} to {}", shown(range.start()), shown(range.end())))
    }

    #[test]
    fn a_range_is_typed_by_the_first_columns_of_the_key() {
        assert_eq!(bounds(&[], &[], &[]).unwrap(), "- - to + +");
        assert_eq!(bounds(&["a"], &["b"], &[]).unwrap(), "a - to b -");
        assert_eq!(bounds(&["a", "-7"], &["a", "9"], &[]).unwrap(), "a -7 to a 9");
        assert_eq!(bounds(&[], &[], &["a"]).unwrap(), "a - to a +");
        assert!(bounds(&["b"], &["a"], &[]).unwrap_err().to_string().contains("less than"));
        assert!(bounds(&["a", "x"], &[], &[]).unwrap_err().to_string().contains("`x` is no integer"));
        assert!(bounds(&[], &[], &["a", "1"]).unwrap_err().to_string().contains("table get"));
        assert!(
            bounds(&["a", "1", "2"], &[], &[]).unwrap_err().to_string().contains("user string, at integer")
        );
    }

    #[test]
    fn backward_a_range_begins_with_the_greater_key() {
        assert_eq!(walk(true, &[], &[], &[]).unwrap(), "+ + to - -");
        assert_eq!(walk(true, &["b"], &["a"], &[]).unwrap(), "b + to a +");
        assert_eq!(walk(true, &["b", "3"], &[], &[]).unwrap(), "b 3 to - -");
        assert_eq!(walk(true, &[], &[], &["a"]).unwrap(), "a + to a -");
        assert!(walk(true, &["a"], &["b"], &[]).unwrap_err().to_string().contains("greater than"));
    }

    #[test]
    fn a_row_without_its_key_is_refused_with_the_column_that_is_missing() {
        let cells =
            |at: Option<Value>| vec![("at".into(), at), ("user".into(), Some(Value::String("a".into())))];
        let told = |cells| put(&schema(), cells).unwrap_err();
        assert!(told(cells(None)).contains("`at`"));
        assert!(told(cells(Some(Value::Double(1.0)))).contains("is integer, not double"));
        let put: RowWrite = put(&schema(), cells(Some(Value::Integer(1)))).unwrap().into();
        let names: Vec<_> = put.key().columns().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["user", "at"], "the table's order, whatever the row's is");
    }
}
