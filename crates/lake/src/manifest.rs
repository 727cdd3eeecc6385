//! What lies in a bucket beside the data: manifests and sync marks. Marks of folders are in `folder_mark`.
//!
//! A manifest tells of one cut: its objects, the ranges they hold, their schema. A sync mark says that
//! everything committed before a time is in the lake; each new value is a new object with the time in its
//! name, readers take the newest, and the older ones are removed. Consumers may rely on all of them; the
//! service itself reads none of them back.

use chrono::{DateTime, SecondsFormat};
use lakeferry_model::{Micros, TaskName};
use serde::{Deserialize, Serialize};

use crate::SERVICE_FOLDER;
use crate::bucket::{Bucket, BucketError};
use crate::schema::ObjectSchema;

/// One cut, as told to consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The task's name.
    pub task: TaskName,
    /// The task's id, which is never used again.
    pub task_id: u64,
    /// The task's run, counted from 1.
    pub run: u32,
    /// The lane that made the cut.
    pub lane: u32,
    /// The cut's number within its lane and run, counted from 1.
    pub cut: u64,
    /// The version of the task's configuration that the cut was made with.
    pub configuration: u32,
    /// The columns of the objects. While an automatic schema widens, some objects may have only the first of them.
    pub schema: ObjectSchema,
    /// The objects; none if the cut had nothing to deliver.
    pub objects: Vec<ManifestObject>,
    /// What of each partition is in the objects.
    pub ranges: Vec<ManifestRange>,
    /// The object with the fields that were left out; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<ManifestDirty>,
}

/// The dirty object of a cut: a line of JSON per field, see [`crate::DirtyField`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestDirty {
    /// Its name within the bucket.
    pub name: String,
    /// Dirty fields of the cut.
    pub fields: u64,
    /// How many of them the object holds; the others had no room in it.
    pub kept: u64,
    /// Its size.
    pub bytes: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

impl ManifestDirty {
    /// A dirty object of these lines.
    pub fn of(name: String, lines: &[u8], fields: u64, kept: u64) -> Self {
        Self { name, fields, kept, bytes: lines.len() as u64, crc32: crc32fast::hash(lines) }
    }
}

/// One object of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// Its name within the bucket.
    pub name: String,
    /// The folder it lies in.
    pub folder: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
    /// How many columns of the manifest's schema it has, from the first on; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
}

/// What of one partition is in the objects of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRange {
    /// The partition's id.
    pub partition: u64,
    /// Where the range lies.
    #[serde(flatten)]
    pub span: ManifestSpan,
}

/// A range of a change log, or of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestSpan {
    /// Changes with sequences above `after`, up to and with `through`, as far as they belong to the folders.
    Log {
        /// The sequence below the first.
        after: u64,
        /// The last sequence.
        through: u64,
    },
    /// Rows of a scan, by row keys in hexadecimal: above `after`, up to and with `through`.
    Scan {
        /// The row key below the first; absent: from the partition's start.
        after: Option<String>,
        /// The last row key; absent: to the partition's end.
        through: Option<String>,
    },
}

/// A manifest's bytes are no manifest.
#[derive(Debug, thiserror::Error)]
#[error("read a manifest")]
pub struct ManifestError(#[from] serde_json::Error);

impl Manifest {
    /// Where the manifest lies. Names of one lane and run order as its cuts do.
    pub fn name(&self) -> String {
        Self::name_of(&self.task, self.task_id, self.run, self.lane, self.cut)
    }

    /// Where the manifest of that cut lies.
    pub fn name_of(task: &TaskName, task_id: u64, run: u32, lane: u32, cut: u64) -> String {
        format!("{SERVICE_FOLDER}/manifests/{task}-{task_id}/run-{run}/lane-{lane}/{cut:020}.json")
    }

    /// The manifest as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest has only texts for keys")
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// The bytes are no manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// The "complete up to" marks of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncMarks {
    folder: String,
}

#[derive(Debug, Serialize)]
struct SyncMark {
    run: u32,
    complete_up_to_micros: Micros,
    complete_up_to: String,
}

impl SyncMarks {
    /// The marks of a task.
    pub fn of(task: &TaskName, task_id: u64) -> Self {
        Self { folder: format!("{SERVICE_FOLDER}/complete/{task}-{task_id}") }
    }

    /// Says that everything committed before `sync_point` is in the lake, then removes the older marks.
    /// Saying it again changes nothing.
    ///
    /// # Errors
    /// What the bucket says. The mark may be there all the same, and older ones too.
    pub async fn publish(&self, bucket: &Bucket, run: u32, sync_point: Micros) -> Result<(), BucketError> {
        let at = DateTime::from_timestamp_micros(sync_point);
        let mark = SyncMark {
            run,
            complete_up_to_micros: sync_point,
            complete_up_to: at.map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        };
        let bytes = serde_json::to_vec(&mark).expect("a mark has only texts for keys");
        bucket.replace(&self.name(sync_point), bytes.into()).await?;
        for older in self.all(bucket).await?.into_iter().filter(|at| *at < sync_point) {
            bucket.delete(&self.name(older)).await?;
        }
        Ok(())
    }

    /// The newest mark's time, in microseconds since the epoch.
    ///
    /// # Errors
    /// What the bucket says.
    pub async fn newest(&self, bucket: &Bucket) -> Result<Option<Micros>, BucketError> {
        Ok(self.all(bucket).await?.into_iter().max())
    }

    /// Removes all marks, as a new run begins.
    ///
    /// # Errors
    /// What the bucket says; some marks may be left.
    pub async fn clear(&self, bucket: &Bucket) -> Result<(), BucketError> {
        for at in self.all(bucket).await? {
            bucket.delete(&self.name(at)).await?;
        }
        Ok(())
    }

    async fn all(&self, bucket: &Bucket) -> Result<Vec<Micros>, BucketError> {
        let listed = bucket.list(&self.folder).await?;
        Ok(listed.iter().filter_map(|object| self.time(&object.name)).collect())
    }

    fn name(&self, at: Micros) -> String {
        format!("{}/{:020}.json", self.folder, at.max(0))
    }

    fn time(&self, name: &str) -> Option<Micros> {
        let digits = name.strip_prefix(&self.folder)?.strip_prefix('/')?.strip_suffix(".json")?;
        digits.parse().ok().filter(|at| self.name(*at) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{TableName, TableSchema};

    fn manifest() -> Manifest {
        let table = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![],
            defined_columns: vec![],
        };
        Manifest {
            task: TaskName::parse("first").unwrap(),
            task_id: 7,
            run: 2,
            lane: 0,
            cut: 13,
            configuration: 1,
            schema: ObjectSchema::automatic(&table, true),
            objects: vec![ManifestObject {
                name: "p/first_0_p__1".to_owned(),
                folder: "p".to_owned(),
                rows: 3,
                bytes: 400,
                crc32: 5,
                columns: Some(1),
            }],
            ranges: vec![ManifestRange { partition: 1, span: ManifestSpan::Log { after: 4, through: 9 } }],
            dirty: None,
        }
    }

    #[test]
    fn a_manifest_has_a_name_of_its_own_and_reads_back() {
        let manifest = manifest();
        let name = "_lakeferry/manifests/first-7/run-2/lane-0/00000000000000000013.json";
        assert_eq!(manifest.name(), name);
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
        assert!(Manifest::from_bytes(b"{").is_err());
    }

    #[test]
    fn mark_names_order_as_their_times_do() {
        let marks = SyncMarks::of(&TaskName::parse("first").unwrap(), 7);
        assert!(marks.name(9) < marks.name(10));
        assert_eq!(marks.time(&marks.name(1_598_889_780_000_000)), Some(1_598_889_780_000_000));
        assert_eq!(marks.time("_lakeferry/complete/first-7/9.json"), None);
        assert_eq!(marks.time("_lakeferry/complete/first-71/00000000000000000009.json"), None);
    }
}
