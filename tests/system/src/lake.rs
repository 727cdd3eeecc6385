//! The lake, as any reader of Parquet sees it: plain objects below a folder, and beside them what the service says
//! of them: manifests and "complete up to" marks.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use serde_json::Value;

use crate::failure::Failure;
use crate::files::{files_below, folders};
use crate::row::{Delivered, Key, Operation};

/// The folder of a bucket in which the service keeps what it says.
const SERVICE: &str = "_lakeferry";

/// The objects below a folder of a bucket.
#[derive(Debug)]
pub struct Lake {
    bucket: PathBuf,
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
    /// The objects whose names begin with `prefix` and a slash.
    pub fn new(bucket: PathBuf, prefix: &str) -> Self {
        Self { folder: bucket.join(prefix), bucket }
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> &Path {
        &self.bucket
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

    /// Up to when a task's run is complete, as its newest mark says: its run, and microseconds since the epoch.
    /// None if there is no mark that can be read right now.
    pub fn complete_up_to(&self, task: &str) -> Option<(i64, i64)> {
        let folders = folders(&self.bucket.join(SERVICE).join("complete"));
        let own = |folder: &&PathBuf| name_of(folder).rsplit_once('-').is_some_and(|(name, _)| name == task);
        let newest = files_below(folders.iter().find(own)?).pop()?;
        let mark: Value = serde_json::from_slice(&std::fs::read(newest).ok()?).ok()?;
        Some((mark["run"].as_i64()?, mark["complete_up_to_micros"].as_i64()?))
    }

    /// Waits until the objects are those that manifests name, with the sizes that they tell. What an upload left
    /// that was given up may take until then to be removed.
    ///
    /// # Errors
    /// If it does not come to that before `end`.
    pub async fn until_named(&self, end: Instant) -> Result<(), Failure> {
        loop {
            let (there, named) = (self.sizes(), self.named()?);
            if there == named {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Failure::Lost(differences(&there, &named)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn sizes(&self) -> BTreeSet<(PathBuf, u64)> {
        let size = |name: PathBuf| Some((name.clone(), name.metadata().ok()?.len()));
        self.names().into_iter().filter_map(size).collect()
    }

    /// What the manifests name below the folder, with their sizes.
    fn named(&self) -> Result<BTreeSet<(PathBuf, u64)>, Failure> {
        let mut named = BTreeSet::new();
        for path in files_below(&self.bucket.join(SERVICE).join("manifests")) {
            let told = |why: String| Failure::Lost(format!("the manifest `{}`: {why}", path.display()));
            let bytes = std::fs::read(&path).map_err(|error| told(error.to_string()))?;
            let manifest: Value = serde_json::from_slice(&bytes).map_err(|error| told(error.to_string()))?;
            for object in manifest["objects"].as_array().into_iter().flatten() {
                let (Some(name), Some(bytes)) = (object["name"].as_str(), object["bytes"].as_u64()) else {
                    return Err(told(format!("it tells of {object}")));
                };
                named.insert((self.bucket.join(name), bytes));
            }
        }
        named.retain(|(name, _)| name.starts_with(&self.folder));
        Ok(named)
    }
}

fn differences(there: &BTreeSet<(PathBuf, u64)>, named: &BTreeSet<(PathBuf, u64)>) -> String {
    let mut text = "the objects are not those of the manifests".to_owned();
    for (name, bytes) in there.difference(named).take(4) {
        text += &format!("\n  no manifest names: {} of {bytes} bytes", name.display());
    }
    for (name, bytes) in named.difference(there).take(4) {
        text += &format!("\n  a manifest names, but it is not there: {} of {bytes} bytes", name.display());
    }
    text
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(object: &str, manifest: &str) -> Result<(), Failure> {
        let bucket = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = bucket.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(object, "12345");
        write("other/c", "of another task");
        write("_lakeferry/manifests/trial-1/run-1/lane-0/1.json", manifest);
        write("_lakeferry/complete/trial-1/7.json", r#"{"run": 1, "complete_up_to_micros": 7}"#);
        write("_lakeferry/complete/trial-1/8.json", r#"{"run": 2, "complete_up_to_micros": 8}"#);
        let lake = Lake::new(bucket.path().to_owned(), "data");
        assert_eq!((lake.complete_up_to("trial"), lake.complete_up_to("other")), (Some((2, 8)), None));
        lake.until_named(Instant::now()).await
    }

    #[tokio::test]
    async fn an_object_that_no_manifest_names_is_found_and_one_that_is_missing_too() {
        let manifest = r#"{"objects": [{"name": "data/a", "bytes": 5}]}"#;
        assert_eq!(check("data/a", manifest).await, Ok(()));
        for (object, manifest) in [
            ("data/b", r#"{"objects": []}"#),
            ("other/a", manifest),
            ("data/a", r#"{"objects": [{"name": "data/a", "bytes": 6}]}"#),
        ] {
            assert!(matches!(check(object, manifest).await, Err(Failure::Lost(_))), "{object}");
        }
    }
}
