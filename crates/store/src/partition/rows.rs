//! The rows that are being written: who holds them, and what waits to be committed.
//!
//! A request locks all its rows of a partition once, in key order, so that no two wait for each other. It reads
//! what it needs, where a row that waits in the committer counts as the row it will be; it leaves its own rows
//! here as pending, queues them, and unlocks. The committer takes pending rows away when they are durable.
//!
//! A row that several wait for goes from hand to hand in the order in which they came; it is never free in
//! between, so nobody starves and only one of them is woken.
//!
//! A transaction [claims](claims) a partition key: its rows can then be held on the transaction's behalf alone.
//!
//! If a group fails, what waits is based on rows that may never be: the *epoch* moves on, everything pending is
//! forgotten, and requests that looked before are refused when they come up. While the outcome of a group is
//! not known, nobody may look: what the engine shows may change under them.

mod claims;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
pub use claims::Claim;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::error::Error;

/// The rows of a partition that are being written.
#[derive(Debug, Default)]
pub struct Rows {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: HashMap<Bytes, RowState, RandomState>,
    epoch: u64,
    tickets: u64,
    /// Whether the outcome of a group is not known.
    unsettled: bool,
    /// Partition keys that transactions have claimed.
    claims: HashSet<Bytes, RandomState>,
    /// Claims that wait for the writers that were there before them, by partition key. Told when rows under it are
    /// given back or are no longer pending.
    claiming: HashMap<Bytes, Arc<Notify>, RandomState>,
}

#[derive(Debug, Default)]
struct RowState {
    locked: bool,
    /// Those who wait for it, first come first. Told that the row is theirs under the state's lock.
    waiting: VecDeque<oneshot::Sender<()>>,
    pending: Option<Pending>,
}

/// A row as it will be once its group is durable.
#[derive(Debug, Clone)]
struct Pending {
    ticket: u64,
    /// The entry without its head; `None` if there will be no row.
    entry: Option<Bytes>,
}

/// What a request that holds its rows knows of them. Dropping it gives them back.
#[derive(Debug)]
pub struct Held<'a> {
    rows: &'a Rows,
    keys: Vec<Bytes>,
    holder: Holder<'a>,
    /// How many of the keys are locked, from the first on.
    count: usize,
    /// Tells when the next one is ours.
    turn: Option<oneshot::Receiver<()>>,
}

/// Who holds rows, and so whether a claim keeps them from it.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// A writer like any other.
    Anybody,
    /// Who has claimed their partition key.
    Owner(&'a Claim),
    /// Who changes nothing that readers see: claims do not concern it.
    Upkeep,
}

/// A request's place among those that wait to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The epoch in which it looked at its rows.
    pub epoch: u64,
    /// Which pending rows are its own.
    pub ticket: u64,
}

/// Rows as they wait, in the order asked for: `None` for one that does not, `Some(None)` for one that will be
/// gone, else the entry without its head.
pub type PendingRows = Vec<Option<Option<Bytes>>>;

impl Rows {
    /// Locks rows; `keys` are sorted and distinct. Waits for others until `deadline`. The rows of a claimed
    /// partition key are open to its owner, and to upkeep.
    ///
    /// # Errors
    /// [`Error::NotWritten`] when the deadline passes, [`Error::Conflict`] if a row lies under a partition key that
    /// a transaction has claimed; no row is locked then.
    pub async fn hold<'a>(
        &'a self,
        keys: Vec<Bytes>,
        holder: Holder<'a>,
        deadline: Instant,
    ) -> Result<Held<'a>, Error> {
        debug_assert!(keys.is_sorted_by(|a, b| a < b), "rows are locked in key order, each once");
        let mut held = Held { rows: self, keys, holder, count: 0, turn: None };
        while let Some(turn) = held.advance()? {
            let Ok(Ok(())) = tokio::time::timeout_at(deadline.into(), turn).await else {
                return Err(Error::NotWritten("the row is being written by others".into()));
            };
            held.turn = None;
            held.count += 1;
        }
        Ok(held)
    }

    /// Takes away what is durable.
    pub fn committed<'k>(&self, ticket: u64, keys: impl Iterator<Item = &'k Bytes>) {
        let mut state = self.state.lock();
        for key in keys {
            let Some(row) = state.rows.get_mut(key) else { continue };
            if row.pending.as_ref().is_some_and(|pending| pending.ticket == ticket) {
                row.pending = None;
                if !row.locked {
                    state.rows.remove(key);
                }
                state.tell_claim(key);
            }
        }
    }

    /// Forgets everything pending, and refuses whoever has looked at it. If the outcome is not known, nobody may
    /// look before it is [settled](Rows::settle).
    pub fn forget_pending(&self, outcome_known: bool) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.unsettled |= !outcome_known;
        state.rows.retain(|_, row| {
            row.pending = None;
            row.locked
        });
        state.tell_all_claims();
    }

    /// What the engine shows is what is: rows may be looked at again.
    pub fn settle(&self) {
        let mut state = self.state.lock();
        state.unsettled = false;
        state.tell_all_claims();
    }

    /// Whether what a request saw in that epoch still holds.
    pub fn is_current(&self, epoch: u64) -> bool {
        self.state.lock().epoch == epoch
    }
}

impl Held<'_> {
    /// A new place for this request's own rows. What it sees of pending rows and in the engine from now on holds
    /// as long as the place's epoch does.
    ///
    /// # Errors
    /// [`Error::NotWritten`] while the outcome of an earlier group is not known.
    pub fn place(&self) -> Result<Place, Error> {
        let mut state = self.rows.state.lock();
        if state.unsettled {
            return Err(Error::NotWritten("the outcome of an earlier write is not known yet".into()));
        }
        state.tickets += 1;
        Ok(Place { epoch: state.epoch, ticket: state.tickets })
    }

    /// The pending rows among these keys, all of which must be held.
    pub fn pending<'k>(&self, keys: impl Iterator<Item = &'k Bytes>) -> PendingRows {
        let state = self.rows.state.lock();
        let pending = |key| state.rows.get(key)?.pending.as_ref().map(|pending| pending.entry.clone());
        keys.map(pending).collect()
    }

    /// Leaves rows as they will be, for those who look next; of two for one key, the last stays. To be done
    /// before the request is queued: the committer takes away what it finds here.
    pub fn leave<'b>(&self, place: Place, rows: impl Iterator<Item = (&'b Bytes, &'b Option<Bytes>)>) {
        let mut state = self.rows.state.lock();
        if state.epoch != place.epoch {
            return;
        }
        for (key, entry) in rows {
            // A row whose key was picked for it is not held: nobody knows its key yet.
            let row = state.rows.entry(key.clone()).or_default();
            row.pending = Some(Pending { ticket: place.ticket, entry: entry.clone() });
        }
    }

    /// Locks as many further rows as are free. The turn to wait for at the first that is not; `None` if all are
    /// held.
    fn advance(&mut self) -> Result<Option<&mut oneshot::Receiver<()>>, Error> {
        let mut state = self.rows.state.lock();
        while let Some(key) = self.keys.get(self.count) {
            if state.is_closed_to(self.holder, key) {
                return Err(Error::Conflict);
            }
            let row = state.rows.entry(key.clone()).or_default();
            if row.locked {
                let (hand_over, turn) = oneshot::channel();
                row.waiting.push_back(hand_over);
                return Ok(Some(self.turn.insert(turn)));
            }
            row.locked = true;
            self.count += 1;
        }
        Ok(None)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.rows.state.lock();
        // Who stops waiting may have been handed the row already. Rows are handed over under the lock that is
        // held here, so nobody can hand it over after this look.
        if self.turn.take().is_some_and(|mut turn| turn.try_recv().is_ok()) {
            self.count += 1;
        }
        for key in &self.keys[..self.count] {
            state.release(key);
            state.tell_claim(key);
        }
    }
}

impl State {
    /// Hands the row to the next who waits for it; frees it if nobody does.
    fn release(&mut self, key: &Bytes) {
        let Some(row) = self.rows.get_mut(key) else { return };
        while let Some(next) = row.waiting.pop_front() {
            // Whoever stopped waiting is passed over.
            if next.send(()).is_ok() {
                return;
            }
        }
        row.locked = false;
        if row.pending.is_none() {
            self.rows.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn keys(names: &[&'static str]) -> Vec<Bytes> {
        names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_row_is_held_by_one_at_a_time() {
        let rows = Arc::new(Rows::default());
        let first = rows.hold(keys(&["a", "b"]), Holder::Anybody, soon()).await.unwrap();
        let second = rows.hold(keys(&["b", "c"]), Holder::Anybody, Instant::now()).await;
        assert!(matches!(second, Err(Error::NotWritten(_))));
        drop(first);
        rows.hold(keys(&["b", "c"]), Holder::Anybody, soon()).await.unwrap();
        assert!(rows.state.lock().rows.is_empty(), "nothing is left of rows that nobody writes");
    }

    #[tokio::test]
    async fn crossing_requests_do_not_wait_for_each_other() {
        let rows = Arc::new(Rows::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let rows = rows.clone();
            tasks.spawn(async move {
                for _ in 0..20 {
                    let held = rows.hold(keys(&["a", "b", "c"]), Holder::Anybody, soon()).await.unwrap();
                    tokio::task::yield_now().await;
                    drop(held);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_comes_next_sees_what_waits() {
        let rows = Rows::default();
        let key = Bytes::from_static(b"a");
        let held = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
        let place = held.place().unwrap();
        assert_eq!(held.pending([&key].into_iter()), [None]);
        held.leave(place, [(&key, &Some(Bytes::from_static(b"row")))].into_iter());
        drop(held);

        let held = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
        assert_eq!(held.pending([&key].into_iter()), [Some(Some(Bytes::from_static(b"row")))]);
        rows.committed(place.ticket, [&key].into_iter());
        assert_eq!(held.pending([&key].into_iter()), [None]);
    }

    #[tokio::test]
    async fn after_a_failed_group_nothing_waits_and_old_looks_are_refused() {
        let rows = Rows::default();
        let key = Bytes::from_static(b"a");
        let held = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
        let place = held.place().unwrap();
        rows.forget_pending(true);
        held.leave(place, [(&key, &None)].into_iter());
        assert!(!rows.is_current(place.epoch));
        assert_eq!(held.pending([&key].into_iter()), [None]);
    }

    #[tokio::test]
    async fn nobody_looks_while_an_outcome_is_not_known() {
        let rows = Rows::default();
        let held = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
        rows.forget_pending(false);
        assert!(matches!(held.place(), Err(Error::NotWritten(_))));
        rows.settle();
        assert!(rows.is_current(held.place().unwrap().epoch));
    }

    #[tokio::test]
    async fn a_row_goes_to_those_who_wait_in_the_order_they_came() {
        let rows = Rows::default();
        let first = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
        let order = Mutex::new(Vec::new());
        let wait = async |number: u32| {
            let _held = rows.hold(keys(&["a"]), Holder::Anybody, soon()).await.unwrap();
            order.lock().push(number);
        };
        let give_back = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        tokio::join!(wait(1), wait(2), wait(3), give_back);
        assert_eq!(*order.lock(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_no_lock_behind() {
        let rows = Rows::default();
        let first = rows.hold(keys(&["a", "b"]), Holder::Anybody, soon()).await.unwrap();
        let mut gives_up = Box::pin(rows.hold(keys(&["a", "b"]), Holder::Anybody, soon()));
        let mut handed_over = Box::pin(rows.hold(keys(&["b"]), Holder::Anybody, soon()));
        assert!(futures::poll!(&mut gives_up).is_pending());
        assert!(futures::poll!(&mut handed_over).is_pending());
        drop(gives_up);
        drop(first);
        // It was handed the row and goes away without having looked.
        drop(handed_over);
        rows.hold(keys(&["a", "b"]), Holder::Anybody, Instant::now()).await.unwrap();
        assert!(rows.state.lock().rows.is_empty(), "nothing is left of rows that nobody writes");
    }
}
