//! The lake, as any reader of Parquet sees it: plain objects below a folder.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use crate::failure::Failure;
use crate::files::files_below;
use crate::row::{Delivered, Key, Operation};

/// The objects below a folder.
#[derive(Debug)]
pub struct Lake {
    folder: PathBuf,
}

/// An object with its rows.
#[derive(Debug)]
pub struct Object {
    /// Its path below the folder.
    pub name: PathBuf,
    /// Its Parquet key-value metadata.
    pub metadata: HashMap<String, String>,
    /// Its rows in their order.
    pub rows: Vec<Delivered>,
}

impl Lake {
    /// The objects below `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The names of the objects that are there now.
    pub fn names(&self) -> BTreeSet<PathBuf> {
        files_below(&self.folder).into_iter().collect()
    }

    /// Reads all objects.
    ///
    /// # Errors
    /// If one is no Parquet file with the columns of a trial.
    pub fn read(&self) -> Result<Vec<Object>, Failure> {
        let read = |name: PathBuf| {
            read(&name).map_err(|why| Failure::Lost(format!("the object `{}`: {why}", name.display())))
        };
        self.names().into_iter().map(read).collect()
    }
}

fn read(path: &Path) -> Result<Object, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let file = File::open(path).map_err(|error| told(&error))?;
    let about = ArrowReaderMetadata::load(&file, Default::default()).map_err(|error| told(&error))?;
    let pairs = about.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let metadata = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, about);
    let mut rows = Vec::new();
    for batch in reader.build().map_err(|error| told(&error))? {
        let batch = batch.map_err(|error| told(&error))?;
        add_rows(&batch, &mut rows)?;
    }
    Ok(Object { name: path.to_owned(), metadata, rows })
}

fn add_rows(batch: &RecordBatch, rows: &mut Vec<Delivered>) -> Result<(), String> {
    let place = integers(batch, "place")?;
    let item = integers(batch, "item")?;
    let write = integers(batch, "write")?;
    let count = integers(batch, "count")?;
    let commit_time = integers(batch, "$commit_time")?;
    let sequence = integers(batch, "$sequence")?;
    let text = texts(batch, "text")?;
    let operation = texts(batch, "$operation")?;
    for at in 0..batch.num_rows() {
        let needed = |value: Option<i64>, name| value.ok_or_else(|| format!("a row without `{name}`"));
        rows.push(Delivered {
            key: Key { place: needed(place(at), "place")?, item: needed(item(at), "item")? },
            operation: match operation(at).as_deref() {
                Some("BASE") => Operation::Base,
                Some("PUT") => Operation::Put,
                Some("UPDATE") => Operation::Update,
                Some("DELETE") => Operation::Delete,
                other => return Err(format!("`$operation` is {other:?}")),
            },
            commit_time: needed(commit_time(at), "$commit_time")?,
            sequence: needed(sequence(at), "$sequence")?,
            write: write(at),
            text: text(at),
            count: count(at),
        });
    }
    Ok(())
}

fn integers<'a>(batch: &'a RecordBatch, name: &str) -> Result<impl Fn(usize) -> Option<i64> + 'a, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let column = column.ok_or_else(|| format!("no integer column `{name}`"))?;
    Ok(|at| (!column.is_null(at)).then(|| column.value(at)))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<impl Fn(usize) -> Option<String> + 'a, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| format!("no text column `{name}`"))?;
    Ok(|at| (!column.is_null(at)).then(|| column.value(at).to_owned()))
}
