//! Marks of folders that are complete: their time has passed, and their rows are in the lake.
//!
//! A mark lies at `_lakeferry/done/{task}-{task id}/{folder}/_done`. A folder's path is a part of the name, so that
//! consumers can look for the mark of the folder they want; the last segment is one that no folder has there, so that
//! a folder within another, or a prefix that was changed, never meets the mark of another folder: on a local disk a
//! name is either a file or a directory. A folder's own segment `_done`, with underscores behind it or not, gets one
//! more underscore.
//!
//! A mark is written over by a newer one when rows came late; it never tells of rows that are not in the lake.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use futures::{StreamExt, TryStreamExt, stream};
use lakeferry_model::{Micros, TaskName};
use serde::{Deserialize, Serialize};

use crate::SERVICE_FOLDER;
use crate::bucket::{Bucket, BucketError};

/// The last segment of a mark's name.
const MARK: &str = "_done";
/// Marks that are removed at one time.
const REMOVED_AT_ONCE: usize = 32;

/// Says of a folder that its time has passed, and that every row committed up to a time is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderMark {
    /// The task's name.
    pub task: TaskName,
    /// The task's id, which is never used again.
    pub task_id: u64,
    /// The task's run, counted from 1. The rows and objects are those of this run.
    pub run: u32,
    /// The folder within the bucket.
    pub folder: String,
    /// The moment from which on no time falls into the folder, in microseconds since the epoch.
    pub ends_at_micros: Micros,
    /// Every row of the folder that was committed up to this is in it, in microseconds since the epoch.
    pub complete_up_to_micros: Micros,
    /// The same as text, for people.
    pub complete_up_to: String,
    /// Rows in the folder's objects.
    pub rows: u64,
    /// The folder's objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the folder got a `_SUCCESS`, too.
    pub has_success_object: bool,
}

impl FolderMark {
    /// Where the mark lies.
    pub fn name(&self) -> String {
        let mut name = marks_folder(&self.task, self.task_id);
        for segment in self.folder.split('/') {
            name.push('/');
            name.push_str(segment);
            if segment.trim_end_matches('_') == MARK {
                name.push('_');
            }
        }
        format!("{name}/{MARK}")
    }

    /// The time of [`FolderMark::complete_up_to`] as text.
    pub fn time_text(at: Micros) -> String {
        let at = DateTime::from_timestamp_micros(at);
        at.map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    /// Writes the mark, over an older one of the same folder, and behind it, if it says so, the folder's `_SUCCESS`,
    /// empty, as Hadoop's jobs do. Saying it again changes nothing.
    ///
    /// # Errors
    /// What the bucket says. The mark may be there all the same.
    pub async fn publish(&self, bucket: &Bucket) -> Result<(), BucketError> {
        let bytes = serde_json::to_vec(self).expect("a mark has only texts for keys");
        bucket.replace(&self.name(), bytes.into()).await?;
        match self.has_success_object {
            true => bucket.replace(&success_name(&self.folder), Bytes::new()).await,
            false => Ok(()),
        }
    }

    /// Removes the marks of a task, but for those of its present run, each with the `_SUCCESS` that it tells of.
    ///
    /// # Errors
    /// What the bucket says; some may be left.
    pub async fn clear(bucket: &Bucket, task: &TaskName, task_id: u64, run: u32) -> Result<(), BucketError> {
        let listed = bucket.list(&marks_folder(task, task_id)).await?;
        let removed =
            stream::iter(listed).map(|listed| async move { remove(bucket, &listed.name, run).await });
        removed.buffer_unordered(REMOVED_AT_ONCE).try_collect().await
    }
}

async fn remove(bucket: &Bucket, name: &str, run: u32) -> Result<(), BucketError> {
    let mark = bucket.read(name).await?.and_then(|bytes| serde_json::from_slice::<FolderMark>(&bytes).ok());
    if mark.as_ref().is_some_and(|mark| mark.run == run) {
        return Ok(());
    }
    if let Some(mark) = mark.filter(|mark| mark.has_success_object) {
        bucket.delete(&success_name(&mark.folder)).await?;
    }
    bucket.delete(name).await
}

/// The name of a folder's `_SUCCESS`.
pub fn success_name(folder: &str) -> String {
    format!("{folder}/_SUCCESS")
}

fn marks_folder(task: &TaskName, task_id: u64) -> String {
    format!("{SERVICE_FOLDER}/done/{task}-{task_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(folder: &str) -> FolderMark {
        FolderMark {
            task: TaskName::parse("first").unwrap(),
            task_id: 7,
            run: 1,
            folder: folder.to_owned(),
            ends_at_micros: 5,
            complete_up_to_micros: 6,
            complete_up_to: FolderMark::time_text(6),
            rows: 1,
            objects: 1,
            bytes: 1,
            has_success_object: false,
        }
    }

    #[test]
    fn the_mark_of_a_folder_lies_under_its_own_path() {
        assert_eq!(mark("p/2020").name(), "_lakeferry/done/first-7/p/2020/_done");
        assert_eq!(mark("p").complete_up_to, "1970-01-01T00:00:00.000006Z");
    }

    #[test]
    fn no_mark_is_the_folder_of_another() {
        let folders = ["a", "a/b", "a/_done", "a/_done_", "a/_done/_done", "_done", "a/_donex", "a/_SUCCESS"];
        let names: Vec<String> = folders.iter().map(|folder| mark(folder).name()).collect();
        for name in &names {
            let within = format!("{name}/");
            assert!(names.iter().all(|other| !other.starts_with(&within)), "{name} in {names:?}");
        }
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
