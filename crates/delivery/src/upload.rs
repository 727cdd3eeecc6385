//! Brings one prepared cut into its bucket: the objects, in parallel and in any order, then what they had to
//! leave out, then the manifest.
//!
//! An object that is in the bucket stays there while the others are tried again; a failure is waited out and
//! tried again until it succeeds or the lane is told to stop. The first attempt creates without overwriting.
//! If a name is taken, the object there decides: one that says it is ours is replaced, for it is a try whose
//! answer was lost; any other is left alone, and the cut gets new names.
//!
//! A cut with more dirty fields than the task may leave out ends here: nothing of it is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::{StreamExt, stream};
use lakeferry_durable::Place;
use lakeferry_lake::{
    Bucket, BucketError, Manifest, ManifestDirty, ManifestObject, ManifestRange, PutOutcome,
};
use lakeferry_model::Micros;

use crate::cut::LaneTicket;
use crate::destination::metadata_of;
use crate::dirty::{DirtyFound, room_of_one};
use crate::encode::{Encoded, Failure, Form, ObjectId, encode_folder};
use crate::gather::SealedFolder;
use crate::setup::Setup;
use crate::space::{PreparedCut, PreparedObject, StoredTask, Totals};
use crate::status::Who;
use crate::stop::{Stop, Stopped};
use crate::task::{Paused, Task};
use crate::trouble::Trouble;

/// A prepared cut on its way into the bucket.
#[derive(Debug)]
pub(crate) struct Upload {
    task: Arc<Task>,
    setup: Arc<Setup>,
    form: Form,
    ticket: LaneTicket,
    who: Who,
    cut: PreparedCut,
    ranges: Vec<ManifestRange>,
    contents: Vec<Content>,
    /// What is in the bucket, by the object's place in the cut.
    landed: Vec<Option<Encoded>>,
    /// When it was sent on its way.
    since: Instant,
    /// Dirty fields of what is encoded in the attempt under way.
    dirty_fields: AtomicU64,
    stop: Stop,
}

/// What becomes an object.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Gathered records, encoded when it is their turn.
    Folder(SealedFolder),
    /// An object encoded while it was scanned.
    Encoded(Encoded),
}

/// What a cut brought into the bucket.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// The cut's number; absent if there was nothing to cut.
    cut: Option<u64>,
    objects: Vec<DeliveredObject>,
    /// When the cut was sent on its way.
    pub(crate) since: Option<Instant>,
}

/// An object that is in the bucket.
#[derive(Debug)]
pub(crate) struct DeliveredObject {
    name: String,
    pub(crate) folder: String,
    /// When the folder's time is over, if it has one.
    pub(crate) folder_ends_at: Option<Micros>,
    /// Without its bytes.
    pub(crate) encoded: Encoded,
}

/// Why a cut cannot be finished as it was prepared.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The lane is told to stop.
    Stopped,
    /// Names of these objects bear objects of others.
    NamesTaken(Vec<usize>),
    /// The bucket was made again: it is not the one that was delivered into so far, with this configuration.
    Refounded(u32),
    /// More fields are dirty than the task may leave out; a sentence on what to do.
    TooDirty(String),
    /// The task is paused, and this would have had to wait.
    Paused,
}

/// Why one attempt failed.
enum Miss {
    Trouble(Trouble),
    Ended(Ended),
}

impl Upload {
    pub(crate) fn new(
        task: Arc<Task>,
        setup: Arc<Setup>,
        (ticket, who): (LaneTicket, Who),
        cut: PreparedCut,
        ranges: Vec<ManifestRange>,
        contents: Vec<Content>,
        stop: Stop,
    ) -> Self {
        debug_assert_eq!(cut.objects.len(), contents.len());
        let landed = contents.iter().map(|_| None).collect();
        let form = setup.form_of(&cut);
        Self {
            task,
            setup,
            form,
            ticket,
            who,
            cut,
            ranges,
            contents,
            landed,
            since: Instant::now(),
            dirty_fields: AtomicU64::new(0),
            stop,
        }
    }

    pub(crate) fn cut(&self) -> &PreparedCut {
        &self.cut
    }

    /// Gives an object another name.
    pub(crate) fn rename(&mut self, at: usize, name: String, sequence: u64) {
        let folder = std::mem::take(&mut self.cut.objects[at].folder);
        self.cut.objects[at] = PreparedObject { folder, name, sequence };
    }

    /// Uploads everything, and gives itself back for another try under other names.
    pub(crate) async fn run(mut self) -> (Self, Result<Delivered, Ended>) {
        let mut failures = 0;
        let ended = loop {
            let stop = self.stop.clone();
            match stop.or(self.attempt_in_time()).await {
                Err(Stopped) => break Err(Ended::Stopped),
                Ok(Ok(delivered)) => break Ok(delivered),
                Ok(Err(Miss::Ended(ended))) => break Err(ended),
                Ok(Err(Miss::Trouble(trouble))) => {
                    failures += 1;
                    if self.task.wait_in_trouble(self.who, trouble, failures, &stop).await.is_err() {
                        break Err(Ended::Stopped);
                    }
                    if self.task.is_paused() {
                        break Err(Ended::Paused);
                    }
                }
            }
        };
        match &ended {
            _ if failures == 0 => {}
            Err(Ended::Stopped | Ended::Paused) => self.task.forget_trouble(self.who),
            _ => self.task.clear_trouble(self.who),
        }
        (self, ended)
    }

    /// One attempt; the task stops borrowing memory if it takes long.
    async fn attempt_in_time(&mut self) -> Result<Delivered, Miss> {
        let task = Arc::clone(&self.task);
        let attempt = self.attempt();
        tokio::pin!(attempt);
        if let Ok(ended) = tokio::time::timeout(task.env.settings.slow_after, &mut attempt).await {
            return ended;
        }
        let _slow = task.account.fall_back();
        attempt.await
    }

    async fn attempt(&mut self) -> Result<Delivered, Miss> {
        let bucket = self.bucket().await?;
        self.count_dirty().map_err(Miss::Ended)?;
        self.upload_objects(&bucket).await?;
        Place::CutUploaded.pass();
        let dirty = self.upload_dirty(&bucket).await?;
        self.upload_manifest(&bucket, dirty).await?;
        Place::CutManifested.pass();
        // The bytes are in the bucket; only what is told of them is kept.
        let landed = self.cut.objects.iter().zip(self.landed.iter().flatten());
        let objects = landed.map(|(object, encoded)| DeliveredObject {
            name: object.name.clone(),
            folder: object.folder.clone(),
            folder_ends_at: self.setup.folder_end(&object.folder),
            encoded: encoded.without_lines(),
        });
        Ok(Delivered { cut: Some(self.cut.number), objects: objects.collect(), since: Some(self.since) })
    }

    /// The bucket, if it may be written to and is still the one it was.
    async fn bucket(&self) -> Result<Bucket, Miss> {
        let entry = self.task.board.entry();
        if entry.configuration != self.setup.version {
            return Err(Miss::Ended(Ended::Stopped));
        }
        let bucket = self.task.env.destinations.find(&self.setup.destination).map_err(Miss::Trouble)?;
        let identity = bucket.identity().await.map_err(|error| self.missed(&error))?;
        let is_same = identity.is_some_and(|identity| Some(identity.id) == entry.bucket_identity);
        if is_same { Ok(bucket) } else { Err(Miss::Ended(Ended::Refounded(self.setup.version))) }
    }

    /// Begins to count the dirty fields of an attempt with what is encoded already.
    fn count_dirty(&self) -> Result<(), Ended> {
        self.dirty_fields.store(0, Ordering::SeqCst);
        for (content, landed) in self.contents.iter().zip(&self.landed) {
            match (content, landed) {
                (_, Some(encoded)) | (Content::Encoded(encoded), None) => self.add_dirty(&encoded.dirty)?,
                (Content::Folder(_), None) => {}
            }
        }
        Ok(())
    }

    /// Counts dirty fields, and says so if they are too many. Lanes count by themselves: several at a time may
    /// go over the limit by what is on its way.
    fn add_dirty(&self, found: &DirtyFound) -> Result<(), Ended> {
        if found.fields == 0 {
            return Ok(());
        }
        let of_cut = self.dirty_fields.fetch_add(found.fields, Ordering::SeqCst) + found.fields;
        let entry = self.task.board.entry();
        let Some(max) = entry.spec.tuning.dirty_fields_max else { return Ok(()) };
        let fields = self.task.board.dirty_fields() + of_cut;
        if fields <= max {
            return Ok(());
        }
        let example = found.example().unwrap_or_default();
        let (table, task) = (self.task.source.schema().name, entry.name());
        Err(Ended::TooDirty(format!(
            "{fields} fields are dirty, {example} among them, and the task may leave out {max}; give the column another \
             type or raise the limit, with: lakeferry task update {table} {task}"
        )))
    }

    async fn upload_objects(&mut self, bucket: &Bucket) -> Result<(), Miss> {
        let missing: Vec<usize> = (0..self.landed.len()).filter(|at| self.landed[*at].is_none()).collect();
        let this = &*self;
        let uploads =
            stream::iter(missing).map(|at| async move { (at, this.upload_object(bucket, at).await) });
        // All are tried, also when one fails: what has landed need not be tried again.
        let ended: Vec<(usize, Result<Option<Encoded>, Miss>)> =
            uploads.buffer_unordered(this.task.env.settings.uploads_max.max(1)).collect().await;
        let (mut taken, mut missed) = (Vec::new(), None);
        for (at, landed) in ended {
            match landed {
                Ok(Some(encoded)) => self.landed[at] = Some(encoded),
                Ok(None) => taken.push(at),
                // What ends the cut comes before a trouble, which is waited out, and that before a pause.
                Err(Miss::Ended(Ended::Paused)) => {
                    missed = missed.or(Some(Miss::Ended(Ended::Paused)));
                }
                Err(Miss::Ended(ended)) => missed = Some(Miss::Ended(ended)),
                Err(trouble) if !matches!(missed, Some(Miss::Ended(Ended::TooDirty(_)))) => {
                    missed = Some(trouble);
                }
                Err(_) => {}
            }
        }
        match missed {
            Some(missed) => Err(missed),
            None if taken.is_empty() => Ok(()),
            None => {
                taken.sort_unstable();
                Err(Miss::Ended(Ended::NamesTaken(taken)))
            }
        }
    }

    /// Encodes and uploads one object; nothing if its name bears an object of others.
    async fn upload_object(&self, bucket: &Bucket, at: usize) -> Result<Option<Encoded>, Miss> {
        let object = &self.cut.objects[at];
        let id = ObjectId {
            task: self.task.id,
            run: self.cut.run,
            lane: self.ticket.lane,
            sequence: object.sequence,
        };
        let encoded = self.encoded(at, id).await?;
        let passed = self.task.pass_limits(encoded.byte_count, encoded.rows).await;
        passed.map_err(|Paused| Miss::Ended(Ended::Paused))?;
        let trouble = |error| self.missed(&error);
        match bucket.put_new(&object.name, encoded.bytes.clone()).await.map_err(trouble)? {
            PutOutcome::Created => {}
            PutOutcome::Exists => {
                let metadata = metadata_of(bucket, &object.name).await.map_err(trouble)?;
                if !metadata.is_some_and(|metadata| id.is_in(&metadata)) {
                    tracing::warn!(task = %self.task.id, name = object.name, "a name is taken by another's object");
                    return Ok(None);
                }
                bucket.replace(&object.name, encoded.bytes.clone()).await.map_err(trouble)?;
            }
        }
        Ok(Some(encoded.without_bytes()))
    }

    async fn encoded(&self, at: usize, id: ObjectId) -> Result<Encoded, Miss> {
        match &self.contents[at] {
            Content::Encoded(encoded) => Ok(encoded.clone()),
            Content::Folder(folder) => {
                let (form, folder) = (self.form.clone(), Arc::clone(folder));
                let dirty_room = room_of_one(self.contents.len());
                let encode = move || encode_folder(&form, &id, &folder, dirty_room);
                let encoded = self.task.env.encoders.run(encode).await;
                let encoded = encoded.map_err(|error: Failure| Miss::Trouble(Trouble::of(&error)))?;
                self.add_dirty(&encoded.dirty).map_err(Miss::Ended)?;
                Ok(encoded)
            }
        }
    }

    /// Writes down what the objects had to leave out, in their order; nothing if they took all.
    async fn upload_dirty(&self, bucket: &Bucket) -> Result<Option<ManifestDirty>, Miss> {
        let found = || self.landed.iter().flatten().map(|encoded| &encoded.dirty);
        let fields = found().map(|found| found.fields).sum();
        let Some(name) = self.cut.dirty.clone().filter(|_| fields > 0) else { return Ok(None) };
        let lines = found().map(|found| found.lines.as_slice()).collect::<Vec<_>>().concat();
        let kept = found().map(|found| found.kept).sum();
        let dirty = ManifestDirty::of(name, &lines, fields, kept);
        bucket.replace(&dirty.name, lines.into()).await.map_err(|error| self.missed(&error))?;
        Ok(Some(dirty))
    }

    async fn upload_manifest(&self, bucket: &Bucket, dirty: Option<ManifestDirty>) -> Result<(), Miss> {
        let landed = self.cut.objects.iter().zip(self.landed.iter().flatten());
        let columns = self.cut.schema.columns().len();
        let manifest = Manifest {
            task: self.task.board.entry().name().clone(),
            task_id: self.task.id.number(),
            run: self.cut.run,
            lane: self.ticket.lane,
            cut: self.cut.number,
            configuration: self.cut.configuration,
            schema: (*self.cut.schema).clone(),
            objects: landed
                .map(|(object, encoded)| ManifestObject {
                    name: object.name.clone(),
                    folder: object.folder.clone(),
                    rows: encoded.rows,
                    bytes: encoded.byte_count,
                    crc32: encoded.crc32,
                    columns: Some(encoded.schema.columns().len()).filter(|count| *count < columns),
                })
                .collect(),
            ranges: self.ranges.clone(),
            dirty,
        };
        let written = bucket.replace(&manifest.name(), manifest.to_bytes().into()).await;
        written.map_err(|error| self.missed(&error))
    }

    fn missed(&self, error: &BucketError) -> Miss {
        Miss::Trouble(Trouble::of_bucket(&self.setup.destination.bucket, error))
    }
}

impl Delivered {
    pub(crate) fn objects(&self) -> &[DeliveredObject] {
        &self.objects
    }

    /// Whether the cut is still the lane's prepared one: an update may have given it up meanwhile.
    pub(crate) fn check_prepared(&self, book: &StoredTask, ticket: &LaneTicket) -> Result<(), Stopped> {
        let prepared = book.lanes.get(&ticket.lane).and_then(|lane| lane.prepared.as_ref());
        match self.cut {
            Some(number) if prepared.is_none_or(|cut| cut.number != number) => Err(Stopped),
            _ => Ok(()),
        }
    }

    /// Adds the cut to a task's totals.
    pub(crate) fn add_to(&self, totals: &mut Totals, now: Micros) {
        for object in &self.objects {
            object.encoded.add_to(totals);
            totals.last_object = Some(object.name.clone());
            totals.last_object_at = Some(now);
        }
    }
}
