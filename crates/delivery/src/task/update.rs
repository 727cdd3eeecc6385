//! A running task is changed between two cuts.
//!
//! What an update changes beside the destination comes into force at once: a new version of the configuration
//! is written down, and the lanes begin again with it, as after a restart. A cut that is prepared is done again
//! as it was prepared; a scan's is given up, as ever.
//!
//! Another destination (prefix, zone, event time, suffix, bucket) comes into force where no folder is ahead. It
//! waits in the entry as `next`, also over a restart, until all lanes have cut their folders up to one position
//! ([`crate::lane`]). In the full phase no folder is ever ahead, so it does not wait there; nor where lanes cannot
//! even begin, because the present destination cannot be used.
//!
//! Two things do not wait for a prepared cut. A task that stands still because of its dirty fields gives its cuts
//! up with any update, for their schema may be what was wrong. And a bucket that fails while the task waits to
//! leave it is left at once: its prepared cuts are given up, and what is still to be levelled goes into the new
//! one, under the old prefix; how far a folder has come does not depend on the bucket.

use std::sync::Arc;

use lakeferry_durable::Place;
use lakeferry_lake::{ObjectSchema, Prefix, check_dirty_prefix};
use lakeferry_model::delivery::{Destination, Phase, SchemaSpec, TaskEventKind, TaskSpec};

use super::Task;
use super::making::first_schema;
use crate::cut::abandon;
use crate::error::Error;
use crate::setup::Setup;
use crate::space::{CutKind, Next, PreparedCut, Stage, StoredLane, StoredTask, TaskEntry, Writes};
use crate::status::Who;
use crate::stop::{Stop, Stopped};
use crate::trouble::Trouble;

impl Task {
    /// The version of the configuration that is in force.
    pub(crate) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.lock())
    }

    /// What was asked for last, in force or not.
    pub(crate) fn asked_spec(&self) -> TaskSpec {
        self.board.entry().asked().clone()
    }

    /// Brings a specification into force that has passed all checks. When this answers, it is written down.
    pub(crate) async fn update(&self, spec: TaskSpec, warnings: Vec<String>) -> Result<(), Error> {
        let mut book = self.book.lock().await;
        match (book.entry.stage, book.entry.phase) {
            (Stage::Deleted, _) => {
                let (table, task) = (self.source.schema().name, book.entry.name().clone());
                return Err(Error::NoSuchTask { table, task });
            }
            (Stage::Entered, _) | (_, Phase::Init) => {
                return Err(Error::Initializing(book.entry.name().clone()));
            }
            _ => {}
        }
        let is_too_dirty = self.board.is_too_dirty();
        if *book.entry.asked() == spec && !is_too_dirty {
            return Ok(());
        }
        let schema = self.changed_schema(&book.entry, &spec)?;
        let mut now = spec.clone();
        let must_wait = book.entry.phase == Phase::Incr && book.entry.follows_log() && is_under_way(&book);
        let stays = staying(&book.entry.spec.destination, &spec.destination);
        let has_moved = stays != spec.destination;
        if must_wait && has_moved {
            now.destination = stays;
            if keeps_dirty_among_data(&now.destination) {
                // What is asked for lies beside the data where that goes, not where it still is.
                now.destination = book.entry.spec.destination.clone();
            }
        }
        // Names are burned before anybody else can use them.
        if has_moved && !must_wait {
            self.burn(&book).await?;
        }
        let next = (now != spec).then_some(Next { spec, warnings: warnings.clone() });
        let mut writes = Writes::default();
        let is_given_up = |cut: &PreparedCut| is_too_dirty || cut.kind == CutKind::Scan;
        abandon(&mut book, &mut writes, self.abandoned_until(), is_given_up);
        if let Some(schema) = &schema {
            writes.put_schema(self.id, schema);
            book.schema = Some(Arc::clone(schema));
            forget_delivered(&mut book, schema);
            writes.put_totals(self.id, &book.totals);
        }
        adopt(&mut book.entry, now, warnings);
        book.entry.next = next;
        writes.put_entry(&book.entry);
        self.write_book(writes).await.map_err(|Stopped| Error::Closed)?;
        Place::UpdatePrepared.pass();
        tracing::info!(task = %self.id, configuration = book.entry.configuration, "the task was updated");
        self.note(TaskEventKind::Updated, told(&book.entry));
        self.come_into_force(&book, schema);
        Ok(())
    }

    /// Whether something waits for the lanes to have cut every folder up to one position.
    pub(super) fn has_next(&self) -> bool {
        self.board.entry().next.is_some()
    }

    /// Brings into force what waited for the folders to be level. They are.
    pub(super) async fn take_next(&self, run: u32, stop: &Stop) -> Result<(), Stopped> {
        let mut failures = 0;
        loop {
            let mut book = self.book.lock().await;
            if book.entry.stage != Stage::Live || book.entry.run != run {
                return Err(Stopped);
            }
            let Some(next) = book.entry.next.clone() else { return Ok(()) };
            if let Err(error) = self.burn(&book).await {
                drop(book);
                failures += 1;
                self.wait_in_trouble(Who::Task, Trouble::of(&error), failures, stop).await?;
                continue;
            }
            let mut writes = Writes::default();
            abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
            adopt(&mut book.entry, next.spec, next.warnings);
            writes.put_entry(&book.entry);
            self.write_book(writes).await?;
            Place::UpdateInForce.pass();
            self.show(&book, None);
            self.note(
                TaskEventKind::Updated,
                format!("configuration {} is in force", book.entry.configuration),
            );
            self.clear_trouble(Who::Task);
            return Ok(());
        }
    }

    /// Leaves a bucket that fails, if the task waits to leave it anyway. Whether it did: lanes are to begin again.
    pub(super) async fn leave_bucket(&self) -> bool {
        let wants_to = |entry: &TaskEntry| {
            let (present, next) = (&entry.spec.destination, entry.next.as_ref()?);
            let to = Some(&next.spec.destination).filter(|to| !is_same_bucket(to, present))?;
            // Under the old prefix it may meet another task there, which it would have to wait for for good.
            let prefix = Prefix::parse(&present.prefix).ok()?;
            let other = self.env.claims.find(Some(self.id), entry.name(), &prefix, &to.bucket);
            other.is_none().then(|| to.clone())
        };
        if wants_to(&self.board.entry()).is_none() {
            return false;
        }
        let mut book = self.book.lock().await;
        let Some(to) = wants_to(&book.entry).filter(|_| book.entry.stage == Stage::Live) else {
            return false;
        };
        if self.burn(&book).await.is_err() {
            return false;
        }
        let mut writes = Writes::default();
        abandon(&mut book, &mut writes, self.abandoned_until(), |_| true);
        let mut spec = book.entry.spec.clone();
        let Destination { bucket, endpoint, role, .. } = to;
        spec.destination = Destination { bucket, endpoint, role, ..spec.destination };
        let next = book.entry.next.take().filter(|next| next.spec != spec);
        let warnings = book.entry.warnings.clone();
        adopt(&mut book.entry, spec, warnings);
        book.entry.next = next;
        writes.put_entry(&book.entry);
        if self.write_book(writes).await.is_err() {
            return true;
        }
        let left = "a bucket that fails is left for the one that the task was updated to";
        tracing::warn!(task = %self.id, left);
        self.note(TaskEventKind::Updated, left.to_owned());
        self.come_into_force(&book, None);
        true
    }

    /// Shows what is written down, and has the lanes begin again.
    fn come_into_force(&self, book: &StoredTask, schema: Option<Arc<ObjectSchema>>) {
        self.show(book, schema);
        self.reserve_names();
        self.board.forget_too_dirty();
        // The bucket may be another one: the next look tells.
        self.board.clear_trouble(Who::Destination);
        self.restart();
    }

    /// The schema comes first: whoever sees the new version sees it too.
    pub(super) fn show(&self, book: &StoredTask, schema: Option<Arc<ObjectSchema>>) {
        if let Some(schema) = schema {
            self.columns.replace(schema);
        }
        let key_columns = self.source.schema().primary_key.into();
        let setup = Setup::of(&book.entry, key_columns).expect("the specification has passed its checks");
        *self.setup.lock() = Arc::new(setup);
        self.board.set_totals(&book.totals);
        self.board.set_entry(&book.entry);
    }

    /// Tells no more of columns as undelivered that the schema has by now.
    pub(crate) fn forget_delivered(&self, book: &mut StoredTask) {
        if !book.totals.undelivered.is_empty() {
            forget_delivered(book, &self.columns.current());
        }
    }

    /// The schema that another specification asks for; nothing if it asks for the same.
    fn changed_schema(&self, entry: &TaskEntry, spec: &TaskSpec) -> Result<Option<Arc<ObjectSchema>>, Error> {
        if entry.spec.schema == spec.schema {
            return Ok(None);
        }
        Ok(Some(Arc::new(first_schema(spec, &*self.source, &self.env.settings)?)))
    }
}

/// Whether something may have been delivered to the present destination that is ahead of the rest, or is prepared for
/// it. Until its names are listed no lane begins, and those before it have left every folder level, unless their
/// bucket was left.
fn is_under_way(book: &StoredTask) -> bool {
    let is_ahead = |lane: &StoredLane| lane.prepared.is_some() || !lane.progress.is_level();
    book.entry.are_names_listed || book.lanes.values().any(is_ahead)
}

/// What of another destination can be had at once: where dirty fields go, for cuts name their dirty objects themselves.
fn staying(present: &Destination, asked: &Destination) -> Destination {
    Destination { dirty_prefix: asked.dirty_prefix.clone(), ..present.clone() }
}

/// Whether dirty fields would lie where data lies.
fn keeps_dirty_among_data(destination: &Destination) -> bool {
    let Some(dirty) = &destination.dirty_prefix else { return false };
    Prefix::parse(&destination.prefix).is_ok_and(|data| check_dirty_prefix(dirty, &data).is_err())
}

/// Puts a specification in force. A version is numbered anew if cuts come out otherwise with it.
pub(super) fn adopt(entry: &mut TaskEntry, spec: TaskSpec, warnings: Vec<String>) {
    let is_moved = staying(&entry.spec.destination, &spec.destination) != spec.destination;
    let is_changed = spec.destination != entry.spec.destination
        || spec.schema != entry.spec.schema
        || spec.tuning.compression != entry.spec.tuning.compression;
    if is_changed {
        entry.configuration += 1;
    }
    if is_moved {
        entry.are_names_listed = false;
    }
    if !is_same_bucket(&spec.destination, &entry.spec.destination) {
        entry.bucket_identity = None;
    }
    entry.spec = spec;
    entry.warnings = warnings;
    entry.next = None;
}

/// What came of an update, in words.
fn told(entry: &TaskEntry) -> String {
    let version = entry.configuration;
    match &entry.next {
        None => format!("updated; configuration {version} is in force"),
        Some(_) => format!(
            "updated; configuration {version} is in force, and {} is once all folders are cut",
            version + 1
        ),
    }
}

/// A role or an endpoint only says how the bucket is come by.
fn is_same_bucket(a: &Destination, b: &Destination) -> bool {
    a.bucket == b.bucket && a.endpoint == b.endpoint && a.role == b.role
}

/// Columns that have become part of the schema are delivered from now on.
fn forget_delivered(book: &mut StoredTask, schema: &ObjectSchema) {
    if matches!(book.entry.spec.schema, SchemaSpec::Automatic { .. }) {
        return;
    }
    for column in schema.columns() {
        book.totals.undelivered.remove(column.source.name());
        book.totals.undelivered_kinds.remove(column.source.name());
    }
}
