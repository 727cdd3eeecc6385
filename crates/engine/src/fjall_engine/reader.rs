//! Reading: a few threads answer, so that a slow disk never holds a thread of the async runtime. Callers that
//! may block read on their own.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fjall::{Keyspace, Readable, Snapshot};
use tokio::sync::oneshot;

use super::fault;
use super::opened::{Life, Opened, SpaceData};
use super::queue::{Popped, PushError};
use super::shared::{Shared, closed};
use crate::seam::{Area, Block, Error, Scan, SpaceId, Visitor};

/// A read that waits for a thread.
pub(super) type Job = Box<dyn FnOnce(&Shared) + Send>;

/// Entries that are taken from fjall before they are handed over, so that fjall's code and that of whoever takes
/// them do not push each other out of the core's caches at each one.
const AHEAD_MAX: usize = 32;
/// Their bytes at most, and one entry.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// Reads that may wait; those beyond wait on their callers' side.
pub(super) const JOBS_MAX: u32 = 1_024;

/// What a reader thread does until the engine ends.
pub(super) fn run(shared: &Shared) {
    while let Popped::Item(job) = shared.jobs.pop(None) {
        job(shared);
    }
}

/// Has a thread do `work` on a space, and waits for its answer up to the deadline.
pub(super) async fn ask<T: Send + 'static>(
    shared: &Shared,
    id: &SpaceId,
    life: &Arc<Life>,
    deadline: Instant,
    work: impl FnOnce(&Opened, &SpaceData) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if life.is_over() {
        return Err(Error::SpaceGone(id.clone()));
    }
    let (reply, answer) = oneshot::channel();
    let (id, life) = (id.clone(), Arc::clone(life));
    let job = Box::new(move |shared: &Shared| {
        // Nobody waits any more.
        if reply.is_closed() {
            return;
        }
        let _ = reply.send(here(shared, &id, &life, work));
    });
    shared.jobs.push(job, 1, deadline).await.map_err(|error| match error {
        PushError::Deadline => Error::Deadline,
        PushError::Ended => closed(),
    })?;
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err(Error::Deadline),
    }
}

/// Does `work` on a space, on this thread.
pub(super) fn here<T>(
    shared: &Shared,
    id: &SpaceId,
    life: &Arc<Life>,
    work: impl FnOnce(&Opened, &SpaceData) -> Result<T, Error>,
) -> Result<T, Error> {
    let opened = shared.opened()?;
    let space = opened.space_of(id, life)?;
    // Fjall has assertions about what it reads.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| work(&opened, &space))).unwrap_or_else(|_| Err(senseless()));
    // Its keyspaces may have had another owner before the end of the work.
    if life.is_over() { Err(Error::SpaceGone(id.clone())) } else { outcome }
}

/// Visits entries of a space, on this thread. A panic of the visitor goes on in the caller.
pub(super) fn visit_here(
    shared: &Shared,
    id: &SpaceId,
    life: &Arc<Life>,
    scan: &Scan,
    visitor: &mut Visitor<'_>,
) -> Result<bool, Error> {
    let opened = shared.opened()?;
    let space = opened.space_of(id, life)?;
    let view = opened.view();
    // The view holds nothing of a later owner of its keyspaces: it is older than the end of this life.
    if life.is_over() {
        return Err(Error::SpaceGone(id.clone()));
    }
    let mut is_visiting = false;
    let visited = catch_unwind(AssertUnwindSafe(|| {
        visit(&view, keyspace_of(&space, scan.area), scan, |key, value| {
            is_visiting = true;
            let next = visitor(key, value);
            is_visiting = false;
            next
        })
    }));
    match visited {
        Ok(_) if life.is_over() => Err(Error::SpaceGone(id.clone())),
        Ok(answer) => answer,
        Err(panic) if is_visiting => resume_unwind(panic),
        Err(_) => Err(senseless()),
    }
}

fn senseless() -> Error {
    Error::Corrupt("fjall cannot make sense of what it read".into())
}

/// The values of these keys, all from one state.
pub(super) fn read(
    opened: &Opened,
    space: &SpaceData,
    area: Area,
    keys: &[Bytes],
) -> Result<Vec<Option<Bytes>>, Error> {
    let view = opened.view();
    let get = |keyspace: &Keyspace, key: &[u8]| {
        let value = view.get(keyspace, key).map_err(fault::of_read)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    };
    keys.iter().map(|key| get(keyspace_of(space, area), key)).collect()
}

/// A block of entries, all from one state.
pub(super) fn scan(opened: &Opened, space: &SpaceData, scan: &Scan) -> Result<Block, Error> {
    let mut block = Block::default();
    block.more = visit(&opened.view(), keyspace_of(space, scan.area), scan, |key, value| {
        if block.is_empty() {
            block.reserve_like(key, value, scan);
        }
        block.push(key, value);
        ControlFlow::Continue(())
    })?;
    Ok(block)
}

fn keyspace_of(space: &SpaceData, area: Area) -> &Keyspace {
    match area {
        Area::Table => &space.table.keyspace,
        Area::Log => &space.log.tree.keyspace,
    }
}

/// Hands the entries over one after the other, all from one state: whether there may be more than were handed over.
fn visit(
    view: &Snapshot,
    keyspace: &Keyspace,
    scan: &Scan,
    visitor: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<bool, Error> {
    if scan.to.as_ref().is_some_and(|to| *to <= scan.from) {
        return Ok(false);
    }
    let mut entries = match &scan.to {
        Some(to) => view.range(keyspace, scan.from.as_ref()..to.as_ref()),
        None => view.range(keyspace, scan.from.as_ref()..),
    };
    let next = || {
        let entry = if scan.backward { entries.next_back() } else { entries.next() };
        entry.map(|entry| entry.into_inner().map_err(fault::of_read))
    };
    hand_over(next, scan, visitor)
}

/// Hands over what `next` gives. Where that fails, all that came before is handed over, and the failure is an error
/// only if the scan wanted more.
fn hand_over<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    mut next: impl FnMut() -> Option<Result<(K, V), Error>>,
    scan: &Scan,
    mut visitor: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<bool, Error> {
    let (mut count, mut bytes) = (0, 0);
    let is_enough =
        |count: usize, bytes: usize| count >= scan.entries_max || (bytes >= scan.bytes_max && count > 0);
    let mut taken = Vec::with_capacity(AHEAD_MAX);
    loop {
        // One more than is handed over tells whether there are more.
        let ahead_max = AHEAD_MAX.min((scan.entries_max - count).saturating_add(1));
        // Fjall has assertions about what it reads. What was taken before one of them is as good as without it.
        let end = catch_unwind(AssertUnwindSafe(|| read_ahead(&mut next, ahead_max, &mut taken)))
            .unwrap_or_else(|_| ControlFlow::Break(Err(senseless())));
        for (key, value) in taken.drain(..) {
            if is_enough(count, bytes) {
                return Ok(true);
            }
            let (key, value) = (key.as_ref(), value.as_ref());
            count += 1;
            bytes += key.len() + value.len();
            if visitor(key, value).is_break() {
                return Ok(true);
            }
        }
        match end {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(Ok(())) => return Ok(false),
            ControlFlow::Break(Err(_)) if is_enough(count, bytes) => return Ok(true),
            ControlFlow::Break(Err(error)) => return Err(error),
        }
    }
}

/// Takes some entries. It breaks at the end, or at a failure.
fn read_ahead<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    next: &mut impl FnMut() -> Option<Result<(K, V), Error>>,
    ahead_max: usize,
    taken: &mut Vec<(K, V)>,
) -> ControlFlow<Result<(), Error>> {
    let mut ahead = 0;
    while taken.len() < ahead_max && ahead < AHEAD_BYTES_MAX {
        match next() {
            None => return ControlFlow::Break(Ok(())),
            Some(Err(error)) => return ControlFlow::Break(Err(error)),
            Some(Ok((key, value))) => {
                ahead += key.as_ref().len() + value.as_ref().len();
                taken.push((key, value));
            }
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = ([u8; 1], [u8; 1]);

    /// What a scan hands over of so many good entries of two bytes each, and its answer, where what lies behind them
    /// is damaged.
    fn handed_over(
        good: usize,
        entries_max: usize,
        bytes_max: usize,
        breaks_at: usize,
        damage: fn() -> Option<Result<Entry, Error>>,
    ) -> (usize, Result<bool, Error>) {
        let (from, to) = (Bytes::new(), None);
        let scan = Scan { area: Area::Table, from, to, backward: false, entries_max, bytes_max };
        let mut entries = (0..good).map(|number| Ok((number.to_le_bytes()[..1].try_into().unwrap(), [7])));
        let mut count = 0_usize;
        let outcome = hand_over(
            || entries.next().or_else(damage),
            &scan,
            |key, value| {
                assert_eq!((key, value), (&count.to_le_bytes()[..1], &[7][..]));
                count += 1;
                if count == breaks_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        (count, outcome)
    }

    #[test]
    fn all_that_lies_before_damage_is_handed_over_and_a_scan_that_wants_no_more_is_well() {
        for damage in
            [|| Some(Err(Error::Corrupt("a block".into()))), || panic!("fjall is taken by surprise")]
        {
            for good in [0, 1, 30, 31, 32, 33, 63, 64, 65, 100] {
                let read = |entries_max, bytes_max, breaks_at| {
                    handed_over(good, entries_max, bytes_max, breaks_at, damage)
                };
                let is_well = |outcome: (usize, _)| outcome.0 == good && matches!(outcome.1, Ok(true));
                let is_damaged =
                    |outcome: (usize, _)| outcome.0 == good && matches!(outcome.1, Err(Error::Corrupt(_)));
                assert!(is_well(read(good, usize::MAX, usize::MAX)), "{good}");
                assert!(is_damaged(read(good + 1, usize::MAX, usize::MAX)), "{good}");
                assert!(is_damaged(read(usize::MAX, usize::MAX, usize::MAX)), "{good}");
                assert!(is_damaged(read(usize::MAX, 2 * good + 1, usize::MAX)), "{good}");
                if good > 0 {
                    assert!(is_well(read(usize::MAX, 2 * good, usize::MAX)), "{good}");
                    assert!(is_well(read(usize::MAX, usize::MAX, good)), "{good}");
                }
            }
        }
    }

    #[test]
    fn without_damage_the_end_is_the_end() {
        for good in [0, 1, 31, 32, 33, 64] {
            let (count, more) = handed_over(good, good, usize::MAX, usize::MAX, || None);
            assert_eq!((count, more.unwrap()), (good, false));
        }
    }
}
