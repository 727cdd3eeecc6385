//! A group commit: the batches that wait, of all spaces, become one batch of fjall with one sync.
//!
//! 1. Waiting writes are gathered, up to a bound of bytes.
//! 2. Those whose space is gone, or that fjall cannot hold, are refused.
//! 3. The writer waits until fjall would not stall.
//! 4. The writes are taken; those that their callers gave up meanwhile are skipped.
//! 5. The batch is committed.
//! 6. The view is renewed, and then the callers are answered.
//!
//! A failure up to 4 means that nothing was written. A failure in 5 means what [`fault::of_commit`] says, for
//! every write of the group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode, Slice};
use lakeferry_durable::{Place, Sync};

use super::fault;
use super::opened::{Opened, SpaceData};
use super::shared::{Request, Shared, WriteRequest};
use super::upkeep::Upkeep;
use super::writer::Failed;
use crate::seam::{Error, Operation, WriteError};

/// The longest key that fjall holds.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// A batch of no more than this is taken also when the disk is at its floor.
const SMALL_BYTES: u64 = 16 << 10;

/// How often the writer looks whether fjall has caught up.
const LOOKED_EVERY: Duration = Duration::from_millis(2);

/// How often it looks meanwhile whether fjall can still catch up at all.
const PROBED_EVERY: Duration = Duration::from_millis(100);

/// Commits the first write and those that wait behind it, and answers them all.
pub(super) fn commit_group(
    shared: &Shared,
    opened: &Opened,
    upkeep: &mut Upkeep,
    first: WriteRequest,
) -> Result<(), Failed> {
    let mut group = admit(shared, opened, gather(shared, first));
    if let Err(failed) = wait_for_fjall(shared, opened, upkeep, &group) {
        refuse_all(group, &failed);
        return Err(failed);
    }
    group.retain(|member| member.request.ticket.take());
    if group.is_empty() {
        return Ok(());
    }
    let mut form = Form::new(opened, &group);
    for member in &mut group {
        form.add(&member.space, std::mem::take(&mut member.operations));
    }
    let Form { batch, growth } = form;
    let begun = Instant::now();
    let outcome = shared.busy.during(|| catch_unwind(AssertUnwindSafe(|| batch.commit())));
    shared.commit_times.record(begun.elapsed());
    if let Err((error, failed)) = judge(outcome) {
        answer_all(group, &Err(error));
        return Err(failed);
    }
    Place::EngineCommitted.pass();
    for growth in &growth {
        growth.space.log.grow(Bytes::copy_from_slice(&growth.last), growth.bytes);
    }
    opened.renew_view();
    let bytes = group.iter().map(|member| member.bytes).sum();
    let spaces: Vec<_> = group.iter().map(|member| Arc::clone(&member.space)).collect();
    answer_all(group, &Ok(()));
    shared.busy.during(|| {
        let tables = spaces.iter().map(|space| &space.table);
        let logs = growth.iter().map(|growth| &growth.space.log.tree);
        upkeep.after_commit(opened, tables.chain(logs), bytes)
    })
}

/// A write whose space is there.
struct Member {
    request: WriteRequest,
    operations: Vec<Operation>,
    bytes: u64,
    space: Arc<SpaceData>,
}

fn gather(shared: &Shared, first: WriteRequest) -> Vec<WriteRequest> {
    let mut bytes = first.batch.bytes();
    let mut group = vec![first];
    let bytes_max = usize::try_from(shared.settings.group_bytes).unwrap_or(usize::MAX);
    let fits = |request: &Request, bytes: usize| match request {
        Request::Write(write) => bytes + write.batch.bytes() <= bytes_max,
        _ => false,
    };
    while let Some(Request::Write(next)) = shared.requests.pop_if(|request| fits(request, bytes)) {
        bytes += next.batch.bytes();
        group.push(next);
    }
    group
}

fn admit(shared: &Shared, opened: &Opened, group: Vec<WriteRequest>) -> Vec<Member> {
    let is_full = shared.disk.is_at_floor();
    let mut admitted = Vec::with_capacity(group.len());
    for mut request in group {
        let bytes = request.batch.bytes() as u64;
        let operations = std::mem::take(&mut request.batch).into_operations();
        match opened.space_of(&request.id, &request.life) {
            // A log is given back only after a note of how far, and that after the positions of its readers.
            _ if is_full && bytes > SMALL_BYTES => {
                request.refuse(Error::Unavailable("the disk is full".into()))
            }
            _ if request.deadline <= Instant::now() => request.refuse(Error::Deadline),
            _ if !operations.iter().all(|operation| (1..=KEY_BYTES_MAX).contains(&key_length(operation))) => {
                request.refuse(Error::Unavailable("keys must have 1 to 65,535 bytes".into()));
            }
            Ok(space) => admitted.push(Member { request, operations, bytes, space }),
            Err(error) => request.refuse(error),
        }
    }
    admitted
}

/// Waits while a commit would stall in fjall or the memtables hold more than they may. The writes can still
/// be given up meanwhile.
fn wait_for_fjall(
    shared: &Shared,
    opened: &Opened,
    upkeep: &mut Upkeep,
    group: &[Member],
) -> Result<(), Failed> {
    let mut probe_at = Instant::now() + PROBED_EVERY;
    while upkeep.must_wait(opened, group.iter().map(|member| &member.space)) {
        if group.iter().all(|member| member.is_given_up()) {
            return Ok(());
        }
        if Instant::now() >= probe_at {
            shared.busy.during(|| probe(opened))?;
            probe_at = Instant::now() + PROBED_EVERY;
        }
        sleep(LOOKED_EVERY);
    }
    Ok(())
}

/// How durable a commit is when it is back.
pub(super) fn durability() -> Option<PersistMode> {
    Sync::EngineCommit.is_on().then_some(PersistMode::SyncData)
}

/// Fails if the database is poisoned, which it may be by one of fjall's own threads.
pub(super) fn probe(opened: &Opened) -> Result<(), Failed> {
    // The weakest of fjall's calls that looks at the poison: it syncs nothing.
    opened.db.persist(PersistMode::Buffer).map_err(|error| Failed(error.to_string()))
}

fn judge(outcome: std::thread::Result<fjall::Result<()>>) -> Result<(), (WriteError, Failed)> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err((fault::of_commit(&error), Failed(error.to_string()))),
        Err(_) => {
            let cause = Error::Unavailable("fjall panicked in a commit".into());
            Err((WriteError::Unknown(cause.clone()), Failed(cause.to_string())))
        }
    }
}

impl Member {
    fn is_given_up(&self) -> bool {
        self.request.reply.is_closed()
    }
}

fn answer_all(group: Vec<Member>, outcome: &Result<(), WriteError>) {
    for member in group {
        member.request.answer(outcome.clone());
    }
}

fn refuse_all(group: Vec<Member>, failed: &Failed) {
    answer_all(group, &Err(WriteError::NotWritten(Error::Unavailable(failed.0.clone()))));
}

/// A fjall batch while it is put together.
struct Form {
    batch: OwnedWriteBatch,
    growth: Vec<Growth>,
}

/// How a log grows by the batch.
struct Growth {
    space: Arc<SpaceData>,
    last: Bytes,
    bytes: u64,
}

impl Form {
    fn new(opened: &Opened, group: &[Member]) -> Self {
        let count = group.iter().map(|member| member.operations.len()).sum();
        let batch = OwnedWriteBatch::with_capacity(opened.db.clone(), count).durability(durability());
        Self { batch, growth: Vec::new() }
    }

    fn add(&mut self, space: &Arc<SpaceData>, operations: Vec<Operation>) {
        let mut at = self.growth.iter().position(|growth| Arc::ptr_eq(&growth.space, space));
        for operation in operations {
            match operation {
                Operation::Put(key, value) => {
                    self.batch.insert(&space.table.keyspace, slice(&key), slice(&value));
                }
                Operation::Delete(key) => self.batch.remove(&space.table.keyspace, slice(&key)),
                Operation::Append(key, value) => {
                    self.batch.insert(&space.log.tree.keyspace, slice(&key), slice(&value));
                    let at = *at.get_or_insert_with(|| {
                        self.growth.push(Growth { space: Arc::clone(space), last: Bytes::new(), bytes: 0 });
                        self.growth.len() - 1
                    });
                    let growth = &mut self.growth[at];
                    growth.bytes += (key.len() + value.len()) as u64;
                    growth.last = key;
                }
            }
        }
    }
}

fn key_length(operation: &Operation) -> usize {
    match operation {
        Operation::Put(key, _) | Operation::Delete(key) | Operation::Append(key, _) => key.len(),
    }
}

fn slice(bytes: &Bytes) -> Slice {
    Slice::from(bytes.as_ref())
}
