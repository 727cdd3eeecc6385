//! Claims: a partition key that one transaction alone may write.
//!
//! Whoever wants to hold rows of a claimed key is refused at once. A claim begins by waiting for the writers that
//! were there before it: until none of the key's rows is held, and none waits to be committed. From then on the
//! engine shows what the rows are, for as long as the claim lasts.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Holder, Rows, State};
use crate::error::Error;
use crate::key::partition_key;

/// A partition key that nobody else may write. Dropping it gives the key back.
#[derive(Debug)]
pub struct Claim {
    rows: Arc<Rows>,
    key: Bytes,
}

impl Claim {
    /// The partition key's bytes.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Whether a row of this key lies under the claimed partition key.
    pub fn covers(&self, row_key: &[u8]) -> bool {
        partition_key(row_key) == self.key
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.rows.state.lock().claims.remove(&self.key);
    }
}

impl Rows {
    /// Claims a partition key, given by its bytes, once those who write its rows now are done.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is claimed already, or written until the deadline.
    pub async fn claim(self: &Arc<Self>, key: Bytes, deadline: Instant) -> Result<Claim, Error> {
        if !self.state.lock().claims.insert(key.clone()) {
            return Err(Error::Conflict);
        }
        let claim = Claim { rows: self.clone(), key };
        let waiting = Waiting::begin(&claim);
        loop {
            if self.state.lock().is_quiet(&claim) {
                return Ok(claim);
            }
            // What was told since the look is not lost.
            if tokio::time::timeout_at(deadline.into(), waiting.quieter.notified()).await.is_err() {
                return Err(Error::Conflict);
            }
        }
    }

    /// For each of these row keys, whether it lies under a claimed partition key.
    pub fn claimed<'k>(&self, keys: impl Iterator<Item = &'k Bytes>) -> Vec<bool> {
        let state = self.state.lock();
        keys.map(|key| state.is_claimed(key)).collect()
    }
}

impl State {
    pub(super) fn is_claimed(&self, row_key: &[u8]) -> bool {
        !self.claims.is_empty() && self.claims.contains(partition_key(row_key))
    }

    /// Whether a claim keeps a row from its would-be holder.
    pub(super) fn is_closed_to(&self, holder: Holder<'_>, row_key: &[u8]) -> bool {
        match holder {
            Holder::Upkeep => false,
            Holder::Owner(claim) if claim.covers(row_key) => false,
            Holder::Owner(_) | Holder::Anybody => self.is_claimed(row_key),
        }
    }

    /// Tells the claim that may wait for this row.
    pub(super) fn tell_claim(&self, row_key: &[u8]) {
        if !self.claiming.is_empty()
            && let Some(quieter) = self.claiming.get(partition_key(row_key))
        {
            quieter.notify_one();
        }
    }

    /// Tells all claims that wait.
    pub(super) fn tell_all_claims(&self) {
        self.claiming.values().for_each(|quieter| quieter.notify_one());
    }

    /// Whether nobody holds rows under the claim, none waits to be committed, and the engine shows what is.
    fn is_quiet(&self, claim: &Claim) -> bool {
        !self.unsettled && !self.rows.keys().any(|row_key| claim.covers(row_key))
    }
}

/// A claim that waits, told as long as it does.
struct Waiting {
    rows: Arc<Rows>,
    key: Bytes,
    quieter: Arc<Notify>,
}

impl Waiting {
    fn begin(claim: &Claim) -> Self {
        let quieter = Arc::new(Notify::new());
        claim.rows.state.lock().claiming.insert(claim.key.clone(), quieter.clone());
        Self { rows: claim.rows.clone(), key: claim.key.clone(), quieter }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.rows.state.lock().claiming.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use lakeferry_model::{KeyValue, PrimaryKey};

    use super::*;
    use crate::key;

    fn row(user: &str, n: i64) -> Bytes {
        let mut out = Vec::new();
        key::encode(
            &PrimaryKey::new(vec![KeyValue::String(user.to_owned().into()), KeyValue::Integer(n)]),
            &mut out,
        );
        out.into()
    }

    fn user(name: &str) -> Bytes {
        Bytes::copy_from_slice(partition_key(&row(name, 0)))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_claimed_key_is_closed_to_all_but_its_claim() {
        let rows = Arc::new(Rows::default());
        let claim = rows.claim(user("ann"), soon()).await.unwrap();
        assert!(matches!(rows.claim(user("ann"), soon()).await, Err(Error::Conflict)));
        for keys in [vec![row("ann", 1)], vec![row("amy", 1), row("ann", 1)]] {
            assert!(matches!(rows.hold(keys, Holder::Anybody, soon()).await, Err(Error::Conflict)));
        }
        assert_eq!(rows.claimed([&row("ann", 1), &row("anna", 1)].into_iter()), [true, false]);
        drop(rows.hold(vec![row("amy", 1), row("anna", 1)], Holder::Anybody, soon()).await.unwrap());
        for holder in [Holder::Owner(&claim), Holder::Upkeep] {
            drop(rows.hold(vec![row("ann", 1)], holder, soon()).await.unwrap());
        }
        drop(claim);
        rows.hold(vec![row("ann", 1)], Holder::Anybody, soon()).await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_waits_for_the_writers_that_came_before_it() {
        let rows = Arc::new(Rows::default());
        let held = rows.hold(vec![row("ann", 1)], Holder::Anybody, soon()).await.unwrap();
        let place = held.place().unwrap();
        let mut claim = Box::pin(rows.claim(user("ann"), soon()));
        assert!(futures::poll!(&mut claim).is_pending(), "the row is held");
        assert!(matches!(
            rows.hold(vec![row("ann", 2)], Holder::Anybody, soon()).await,
            Err(Error::Conflict)
        ));
        held.leave(place, [(&row("ann", 1), &None)].into_iter());
        drop(held);
        assert!(futures::poll!(&mut claim).is_pending(), "the row waits to be committed");
        rows.committed(place.ticket, [&row("ann", 1)].into_iter());
        claim.await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_waits_until_the_outcome_of_an_earlier_group_is_known() {
        let rows = Arc::new(Rows::default());
        rows.forget_pending(false);
        let mut claim = Box::pin(rows.claim(user("ann"), soon()));
        assert!(futures::poll!(&mut claim).is_pending());
        rows.settle();
        claim.await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_that_waits_in_vain_leaves_nothing_behind() {
        let rows = Arc::new(Rows::default());
        let held = rows.hold(vec![row("ann", 1)], Holder::Anybody, soon()).await.unwrap();
        assert!(matches!(rows.claim(user("ann"), Instant::now()).await, Err(Error::Conflict)));
        let mut gives_up = Box::pin(rows.claim(user("ann"), soon()));
        assert!(futures::poll!(&mut gives_up).is_pending());
        drop(gives_up);
        drop(held);
        rows.hold(vec![row("ann", 1)], Holder::Anybody, soon()).await.unwrap();
        let state = rows.state.lock();
        assert_eq!((state.claims.len(), state.claiming.len()), (0, 0));
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_claim_is_woken_for_rows_of_its_own_key_alone() {
        let rows = Arc::new(Rows::default());
        let own = rows.hold(vec![row("ann", 1)], Holder::Anybody, soon()).await.unwrap();
        let other = rows.hold(vec![row("bob", 1)], Holder::Anybody, soon()).await.unwrap();
        let mut claim = Box::pin(rows.claim(user("ann"), soon()));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        assert!(claim.as_mut().poll(&mut context).is_pending());
        let place = other.place().unwrap();
        other.leave(place, [(&row("bob", 1), &None)].into_iter());
        drop(other);
        rows.committed(place.ticket, [&row("bob", 1)].into_iter());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        drop(own);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(claim.as_mut().poll(&mut context).is_ready());
    }
}
