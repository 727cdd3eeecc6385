//! The rows that are being written: who holds them, and what waits to be committed.
//!
//! A request locks all its rows of a partition once, in key order, so that no two wait for each other. It reads
//! what it needs, where a row that waits in the committer counts as the row it will be; it leaves its own rows
//! here as pending, queues them, and unlocks. The committer takes pending rows away when they are durable.
//!
//! If a group fails, what waits is based on rows that may never be: the *epoch* moves on, everything pending is
//! forgotten, and requests that looked before are refused when they come up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

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
}

#[derive(Debug, Default)]
struct RowState {
    locked: bool,
    waiting: Option<Arc<Notify>>,
    pending: Option<Pending>,
}

/// A row as it will be once its group is durable.
#[derive(Debug, Clone)]
struct Pending {
    ticket: u64,
    /// The entry without its head; `None` if there will be no row.
    entry: Option<Bytes>,
}

/// What a request that holds its rows knows of them.
#[derive(Debug)]
pub struct Held<'a> {
    rows: &'a Rows,
    keys: Vec<Bytes>,
    count: usize,
}

/// A request's place among those that wait to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The epoch in which it looked at its rows.
    pub epoch: u64,
    /// Which pending rows are its own.
    pub ticket: u64,
}

impl Rows {
    /// Locks rows; `keys` are sorted and distinct. Waits for others until `deadline`.
    ///
    /// # Errors
    /// [`Error::NotWritten`] when the deadline passes; no row is locked then.
    pub async fn hold(&self, keys: Vec<Bytes>, deadline: Instant) -> Result<Held<'_>, Error> {
        debug_assert!(keys.is_sorted_by(|a, b| a < b), "rows are locked in key order, each once");
        let mut held = Held { rows: self, keys, count: 0 };
        while let Some(busy) = held.advance() {
            let notified = busy.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // It may have been given back between looking and listening.
            if held.next_is_free() {
                continue;
            }
            if tokio::time::timeout_at(deadline.into(), notified).await.is_err() {
                return Err(Error::NotWritten("the row is being written by others".into()));
            }
        }
        Ok(held)
    }

    /// Takes away what is durable.
    pub fn committed(&self, ticket: u64, keys: impl Iterator<Item = Bytes>) {
        let mut state = self.state.lock();
        for key in keys {
            let Some(row) = state.rows.get_mut(&key) else { continue };
            if row.pending.as_ref().is_some_and(|pending| pending.ticket == ticket) {
                row.pending = None;
                if !row.locked && row.waiting.is_none() {
                    state.rows.remove(&key);
                }
            }
        }
    }

    /// Forgets everything pending, and refuses whoever has looked at it.
    pub fn forget_pending(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.rows.retain(|_, row| {
            row.pending = None;
            row.locked || row.waiting.is_some()
        });
    }

    /// Whether what a request saw in that epoch still holds.
    pub fn is_current(&self, epoch: u64) -> bool {
        self.state.lock().epoch == epoch
    }
}

impl Held<'_> {
    /// The pending rows among those held: `Some(None)` for one that will be gone. And the place for this
    /// request's own.
    pub fn look(&self) -> (Vec<Option<Option<Bytes>>>, Place) {
        let mut state = self.rows.state.lock();
        state.tickets += 1;
        let place = Place { epoch: state.epoch, ticket: state.tickets };
        let pending = self.keys.iter().map(|key| {
            let row = state.rows.get(key)?;
            row.pending.as_ref().map(|pending| pending.entry.clone())
        });
        (pending.collect(), place)
    }

    /// The keys of the rows, sorted.
    pub fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    /// Leaves rows as they will be, for those who look next. To be done before the request is queued: the
    /// committer takes away what it finds here.
    pub fn leave<'b>(&self, place: Place, rows: impl Iterator<Item = (&'b Bytes, &'b Option<Bytes>)>) {
        let mut state = self.rows.state.lock();
        if state.epoch != place.epoch {
            return;
        }
        for (key, entry) in rows {
            let pending = Pending { ticket: place.ticket, entry: entry.clone() };
            if let Some(row) = state.rows.get_mut(key) {
                row.pending = Some(pending);
            }
        }
    }

    /// Locks as many further rows as are free. The first that is not, or `None` if all are held.
    fn advance(&mut self) -> Option<Arc<Notify>> {
        let mut state = self.rows.state.lock();
        while let Some(key) = self.keys.get(self.count) {
            let row = state.rows.entry(key.clone()).or_default();
            if row.locked {
                return Some(row.waiting.get_or_insert_default().clone());
            }
            row.locked = true;
            self.count += 1;
        }
        None
    }

    fn next_is_free(&self) -> bool {
        let state = self.rows.state.lock();
        state.rows.get(&self.keys[self.count]).is_none_or(|row| !row.locked)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.rows.state.lock();
        for key in &self.keys[..self.count] {
            let Some(row) = state.rows.get_mut(key) else { continue };
            row.locked = false;
            if let Some(waiting) = row.waiting.take() {
                waiting.notify_waiters();
            }
            if row.pending.is_none() {
                state.rows.remove(key);
            }
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
        let first = rows.hold(keys(&["a", "b"]), soon()).await.unwrap();
        let second = rows.hold(keys(&["b", "c"]), Instant::now()).await;
        assert!(matches!(second, Err(Error::NotWritten(_))));
        drop(first);
        rows.hold(keys(&["b", "c"]), soon()).await.unwrap();
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
                    let held = rows.hold(keys(&["a", "b", "c"]), soon()).await.unwrap();
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
        let held = rows.hold(keys(&["a"]), soon()).await.unwrap();
        let (seen, place) = held.look();
        assert_eq!(seen, [None]);
        held.leave(place, [(&key, &Some(Bytes::from_static(b"row")))].into_iter());
        drop(held);

        let held = rows.hold(keys(&["a"]), soon()).await.unwrap();
        assert_eq!(held.look().0, [Some(Some(Bytes::from_static(b"row")))]);
        rows.committed(place.ticket, [key.clone()].into_iter());
        assert_eq!(held.look().0, [None]);
    }

    #[tokio::test]
    async fn after_a_failed_group_nothing_waits_and_old_looks_are_refused() {
        let rows = Rows::default();
        let key = Bytes::from_static(b"a");
        let held = rows.hold(keys(&["a"]), soon()).await.unwrap();
        let (_, place) = held.look();
        rows.forget_pending();
        held.leave(place, [(&key, &None)].into_iter());
        assert!(!rows.is_current(place.epoch));
        assert_eq!(held.look().0, [None]);
    }
}
