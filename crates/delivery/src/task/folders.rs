//! Folder completion: which folders have got rows, and when each is marked complete.
//!
//! 1. A cut's commit adds its rows to the tally of each folder, and notes when the folder's time is over. Both are in
//!    the commit's own batch.
//! 2. Once the sync point has passed that time, and the task's lateness behind it, the mark is written into the
//!    bucket, with the tally as it is then: all of it is in the lake.
//! 3. Then, and only if no cut has added to the tally meanwhile, the note is removed.
//!
//! A crash between 2 and 3 writes the mark again. A late row's commit notes the folder again, and so it is marked
//! again. The tallies lie in the engine and not in memory, however many folders there are. They belong to a run: a
//! new one begins without any, and removes the marks of those before it.

use std::collections::BTreeMap;

use lakeferry_lake::{Bucket, BucketError, FolderMark};
use lakeferry_model::Micros;
use lakeferry_model::delivery::TaskEventKind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Task;
use crate::cut::LaneTicket;
use crate::space::Writes;
use crate::stop::{Stop, Stopped};
use crate::upload::Delivered;

/// Folders that are marked before the sync point is looked at again.
const MARKED_AT_ONCE: usize = 100;

/// What a run has brought into a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// When the folder's time is over.
    pub(crate) ends_at: Micros,
    /// How often it was marked complete.
    pub(crate) marks: u32,
    /// Whether it ever got a `_SUCCESS`.
    pub(crate) has_success_object: bool,
    /// The bucket that holds the rows, by its identity.
    #[serde(default)]
    pub(crate) bucket: Option<Uuid>,
}

impl Task {
    /// Begins the batch that commits a cut: its objects are added to the tallies of their folders. The caller holds
    /// the book, and changes nothing in it before this has answered, for it may be told to stop here.
    pub(crate) async fn tallied(
        &self,
        run: u32,
        delivered: &Delivered,
        stop: &Stop,
    ) -> Result<Writes, Stopped> {
        let mut writes = Writes::default();
        let mut added: BTreeMap<&str, Tally> = BTreeMap::new();
        for object in delivered.objects() {
            let Some(ends_at) = object.folder_ends_at else { continue };
            let tally = added.entry(&object.folder).or_insert(Tally { ends_at, ..Tally::default() });
            tally.rows += object.encoded.rows;
            tally.objects += 1;
            tally.bytes += object.encoded.byte_count;
        }
        if added.is_empty() {
            return Ok(writes);
        }
        let bucket = self.board.entry().bucket_identity;
        let folders: Vec<&str> = added.keys().copied().collect();
        let before = self.space.read_tallies(self.id, run, &folders, stop).await?;
        for ((folder, added), before) in added.into_iter().zip(before) {
            // What a task left behind in another bucket is not told of in this one.
            let before = before.filter(|before| before.bucket == bucket).unwrap_or_default();
            let tally = Tally {
                rows: before.rows + added.rows,
                objects: before.objects + added.objects,
                bytes: before.bytes + added.bytes,
                ends_at: added.ends_at,
                marks: before.marks,
                has_success_object: before.has_success_object,
                bucket,
            };
            writes.put_tally(self.id, run, folder, &tally);
            writes.put_due_folder(self.id, run, tally.ends_at, folder);
        }
        Ok(writes)
    }

    /// Marks the folders whose time is over by the sync point. Answers whether there may be more.
    pub(super) async fn mark_folders(
        &self,
        run: u32,
        sync_point: Micros,
        stop: &Stop,
    ) -> Result<bool, Stopped> {
        let tuning = &self.board.entry().spec.tuning;
        let lateness = i64::try_from(tuning.lateness_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
        let before = sync_point.saturating_sub(lateness);
        let due = self.space.due_folders(self.id, run, before, MARKED_AT_ONCE, stop).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let Some(bucket) = self.marked_bucket(stop).await? else { return Ok(false) };
        let may_be_more = due.len() == MARKED_AT_ONCE;
        for folder in due {
            match self.mark_folder(run, &folder, sync_point, &bucket, stop).await? {
                Ok(()) => {}
                Err(error) => {
                    // The lanes tell of a bucket's trouble; the folder is still due.
                    tracing::debug!(task = %self.id, folder, %error, "a folder could not be marked");
                    return Ok(false);
                }
            }
        }
        Ok(may_be_more)
    }

    /// The bucket, if it is still the one that was delivered into: in any other a mark would lie.
    pub(super) async fn marked_bucket(&self, stop: &Stop) -> Result<Option<Bucket>, Stopped> {
        let entry = self.board.entry();
        let Ok(bucket) = self.env.destinations.find(&entry.spec.destination) else { return Ok(None) };
        let identity = stop.or(bucket.identity()).await?.ok().flatten();
        let is_same = identity.is_some_and(|identity| Some(identity.id) == entry.bucket_identity);
        Ok(is_same.then_some(bucket))
    }

    async fn mark_folder(
        &self,
        run: u32,
        folder: &str,
        sync_point: Micros,
        bucket: &Bucket,
        stop: &Stop,
    ) -> Result<Result<(), BucketError>, Stopped> {
        // Whatever is tallied is committed, and so in the lake.
        let Some(tally) = self.space.read_tallies(self.id, run, &[folder], stop).await?.pop().flatten()
        else {
            return Ok(Ok(()));
        };
        let entry = self.board.entry();
        if tally.bucket != entry.bucket_identity {
            // The task has moved on to another bucket, where it may never get a row.
            let mut writes = Writes::default();
            writes.remove_due_folder(self.id, run, tally.ends_at, folder);
            let _book = self.book_for(&LaneTicket { lane: 0, run }).await?;
            self.space.write_surely(writes, stop).await?;
            return Ok(Ok(()));
        }
        let mark = FolderMark {
            task: entry.name().clone(),
            task_id: self.id.number(),
            run,
            folder: folder.to_owned(),
            ends_at_micros: tally.ends_at,
            complete_up_to_micros: sync_point,
            complete_up_to: FolderMark::time_text(sync_point),
            rows: tally.rows,
            objects: tally.objects,
            bytes: tally.bytes,
            has_success_object: entry.spec.tuning.has_success_objects || tally.has_success_object,
        };
        if let Err(error) = stop.or(mark.publish(bucket)).await? {
            return Ok(Err(error));
        }
        self.note_marked(run, &mark, tally, stop).await?;
        Ok(Ok(()))
    }

    /// Writes down that a folder was marked with that tally.
    async fn note_marked(
        &self,
        run: u32,
        mark: &FolderMark,
        marked: Tally,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let folder = mark.folder.as_str();
        // Commits of cuts hold the book, so the tally stands still meanwhile.
        let _book = self.book_for(&LaneTicket { lane: 0, run }).await?;
        let now = self.space.read_tallies(self.id, run, &[folder], stop).await?.pop().flatten();
        if now != Some(marked) {
            return Ok(());
        }
        let has_success_object = mark.has_success_object;
        let tally = Tally { marks: marked.marks.saturating_add(1), has_success_object, ..marked };
        let mut writes = Writes::default();
        writes.put_tally(self.id, run, folder, &tally);
        writes.remove_due_folder(self.id, run, tally.ends_at, folder);
        self.space.write_surely(writes, stop).await?;
        // Only the first time: late rows may trickle in for long.
        if marked.marks == 1 {
            let text = format!("folder '{folder}' got late rows and was marked complete again");
            self.note(TaskEventKind::Remarked, text);
        }
        Ok(())
    }

    /// Removes the marks of runs before this one, and their tallies.
    pub(super) async fn clear_marks(&self, run: u32, bucket: &Bucket) -> Result<(), BucketError> {
        if run > 1 {
            let name = self.board.entry().name().clone();
            lakeferry_lake::SyncMarks::of(&name, self.id.number()).clear(bucket).await?;
            FolderMark::clear(bucket, &name, self.id.number(), run).await?;
        }
        Ok(())
    }
}
