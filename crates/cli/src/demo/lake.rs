//! The demo's lake, read as any consumer would: the objects in a directory, and nothing of the server.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lakeferry_model::{KeyValue, PrimaryKey, Value};
use lakeferry_server::lake::{DecodedObject, read_object};

use super::check::{Columns, Delivered, Operation};
use super::table::KEY_COLUMNS;
use crate::failure::Failure;

/// The target names of the reserved columns, which the task's automatic schema gives them.
const OPERATION: &str = "$operation";
const SEQUENCE: &str = "$sequence";
const COMMIT_TIME: &str = "$commit_time";

/// An object with its rows.
#[derive(Debug, Clone)]
pub struct DeliveredObject {
    /// Its file's name.
    pub name: String,
    pub bytes: u64,
    pub phase: Phase,
    pub rows: Vec<Delivered>,
}

/// The phase that made an object, told from its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Full,
    Incremental,
}

impl Phase {
    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Incremental => "INCR",
        }
    }
}

/// The objects below a directory, by their paths; none if the directory is not there yet.
pub fn names(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    walk(directory, &mut found).map_err(|error| {
        Failure::broken(format!("list the objects in `{}`", directory.display())).caused_by(error)
    })?;
    found.sort_by_cached_key(|path| by_number(path));
    Ok(found)
}

/// Objects sort by folder, then by lane and number; a name alone would put the 10th before the 2nd.
fn by_number(path: &Path) -> (PathBuf, usize, PathBuf) {
    (path.parent().unwrap_or(path).to_owned(), path.as_os_str().len(), path.to_owned())
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Reads an object and all its rows.
pub fn read(path: &Path) -> Result<DeliveredObject, Failure> {
    let failed = || Failure::broken(format!("read the object `{}`", path.display()));
    let bytes = fs::read(path).map_err(|error| failed().caused_by(error))?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let object = read_object(Bytes::from(bytes)).map_err(|error| failed().caused_by(error))?;
    let rows: Vec<_> = rows(object).map_err(|problem| failed().caused_by(problem))?;
    let base = rows.iter().filter(|row| row.operation == Operation::Base).count();
    let phase = match base {
        0 => Phase::Incremental,
        all if all == rows.len() => Phase::Full,
        _ => return Err(failed().caused_by("it has rows of both phases")),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(DeliveredObject { name, bytes: size, phase, rows })
}

fn rows(object: DecodedObject) -> Result<Vec<Delivered>, String> {
    let DecodedObject { columns, rows, .. } = object;
    rows.into_iter().map(|row| delivered(columns.iter().zip(row))).collect()
}

/// Takes a row's primary key and reserved columns out of its columns. What is null is not there.
fn delivered<'a>(row: impl Iterator<Item = (&'a String, Option<Value>)>) -> Result<Delivered, String> {
    let mut columns: Columns = row.filter_map(|(name, value)| Some((name.clone(), value?))).collect();
    let mut take = |name: &str| columns.remove(name).ok_or_else(|| format!("a row has no {name}"));
    let key = KEY_COLUMNS.map(|(name, _)| take(name)).into_iter().map(|value| key_value(value?));
    let key = PrimaryKey::new(key.collect::<Result<_, _>>()?);
    let operation = match take(OPERATION)? {
        Value::String(name) => match &*name {
            "BASE" => Operation::Base,
            "PUT" | "UPDATE" => Operation::Write,
            "DELETE" => Operation::Delete,
            other => return Err(format!("a row has the operation {other}")),
        },
        other => return Err(format!("an operation is {other:?}")),
    };
    let Value::Integer(sequence) = take(SEQUENCE)? else {
        return Err("a sequence is no integer".to_owned());
    };
    take(COMMIT_TIME)?;
    Ok(Delivered { key, operation, sequence, columns })
}

fn key_value(value: Value) -> Result<KeyValue, String> {
    match value {
        Value::Integer(value) => Ok(KeyValue::Integer(value)),
        Value::String(value) => Ok(KeyValue::String(value)),
        Value::Binary(value) => Ok(KeyValue::Binary(value)),
        other => Err(format!("a primary key column is {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(operation: &str, busy: Option<f64>) -> DecodedObject {
        DecodedObject {
            columns: ["source", "ts", "busy", "$operation", "$commit_time", "$sequence"]
                .map(str::to_owned)
                .into(),
            rows: vec![vec![
                Some(Value::String("cpu/0".into())),
                Some(Value::Integer(7)),
                busy.map(Value::Double),
                Some(Value::String(operation.into())),
                Some(Value::Integer(1)),
                Some(Value::Integer(9)),
            ]],
            metadata: Vec::new(),
        }
    }

    #[test]
    fn a_row_is_split_into_key_change_and_columns() {
        let row = rows(object("UPDATE", Some(1.5))).unwrap().remove(0);
        let key = PrimaryKey::new(vec![KeyValue::String("cpu/0".into()), KeyValue::Integer(7)]);
        assert_eq!((row.key, row.operation, row.sequence), (key, Operation::Write, 9));
        assert_eq!(row.columns, Columns::from([("busy".to_owned(), Value::Double(1.5))]));
        assert!(rows(object("PUT", None)).unwrap()[0].columns.is_empty());
    }

    #[test]
    fn a_row_without_its_reserved_columns_is_refused_by_name() {
        let mut object = object("PUT", None);
        object.rows[0][5] = None;
        assert_eq!(rows(object.clone()).unwrap_err(), "a row has no $sequence");
        assert!(rows(DecodedObject { rows: vec![vec![]], ..object }).is_err());
    }

    #[test]
    fn the_second_object_comes_before_the_tenth() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("hour=01");
        fs::create_dir(&folder).unwrap();
        for number in [10, 2, 1] {
            fs::write(folder.join(format!("t_0_p__{number}.parquet")), "").unwrap();
        }
        let found = names(directory.path()).unwrap();
        let numbers: Vec<_> =
            found.iter().map(|path| path.to_string_lossy().rsplit("__").next().map(str::to_owned)).collect();
        assert_eq!(numbers, ["1.parquet", "2.parquet", "10.parquet"].map(|name| Some(name.to_owned())));
        assert!(names(&directory.path().join("missing")).unwrap().is_empty());
    }
}
