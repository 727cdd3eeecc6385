//! Claims: a partition key that one transaction alone may write.
//!
//! Whoever wants to hold rows of a claimed key is refused at once. A claim begins by waiting for the writers that
//! were there before it: until none of the key's rows is held, and none waits to be committed. From then on the
//! engine shows what the rows are, for as long as the claim lasts.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

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
        let _waiting = Waiting::begin(self);
        loop {
            // Before the look: what changes after it is told.
            let quieter = self.quieter.notified();
            if self.state.lock().is_quiet(&claim) {
                return Ok(claim);
            }
            if tokio::time::timeout_at(deadline.into(), quieter).await.is_err() {
                return Err(Error::Conflict);
            }
        }
    }

    /// For each of these row keys, whether it lies under a claimed partition key.
    pub fn claimed<'k>(&self, keys: impl Iterator<Item = &'k Bytes>) -> Vec<bool> {
        let state = self.state.lock();
        keys.map(|key| state.is_claimed(key)).collect()
    }

    pub(super) fn tell_claims(&self, state: &State) {
        if state.claiming > 0 {
            self.quieter.notify_waiters();
        }
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

    /// Whether nobody holds rows under the claim, none waits to be committed, and the engine shows what is.
    fn is_quiet(&self, claim: &Claim) -> bool {
        !self.unsettled && !self.rows.keys().any(|row_key| claim.covers(row_key))
    }
}

/// Counts a claim that waits, as long as it does.
struct Waiting<'a>(&'a Rows);

impl<'a> Waiting<'a> {
    fn begin(rows: &'a Rows) -> Self {
        rows.state.lock().claiming += 1;
        Self(rows)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().claiming -= 1;
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!((state.claims.len(), state.claiming), (0, 0));
    }
}
