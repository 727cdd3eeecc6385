//! Local transactions: rows of one partition key, written all or none, and read as they will be.
//!
//! 1. A start claims the partition key: others who write there are refused until the end.
//! 2. Writes are applied at once, to what the transaction has made of the rows so far, and gather in a buffer
//!    ([`session`]). Its own reads see them ([`overlay`]); nobody else does.
//! 3. A commit queues the buffer as one request, which the committer writes whole or not at all. An end that the
//!    caller does not bring about comes after 60 seconds.
//!
//! What is gathered is made for the table as it is: its options, its indexes. If these change meanwhile, the
//! transaction is over.
//!
//! Nothing of a transaction is on disk before its commit is, so a crash ends it as an abort would, and a commit whose
//! answer was lost may or may not have happened, as a whole.

mod overlay;
mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_model::{
    InstanceName, KeyBound, KeyRange, KeyValue, PrimaryKey, RowChange, TransactionId, Violation, limits,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::key;
use crate::partition::Written;
use crate::store::{Store, WeakStore};
use crate::table::{RangeLimits, RangePage, RowBuf, Table, TableId};
use session::Session;

/// The pause between two looks for transactions whose time is over.
const ROUND: Duration = Duration::from_millis(500);
/// KiB that a transaction takes before it has written anything.
const START_KIB: u32 = 1;

/// The open transactions of a store.
#[derive(Debug)]
pub(crate) struct Transactions {
    open: Mutex<HashMap<TransactionId, Arc<Session>>>,
    /// KiB that the buffers of all of them may take.
    room: Arc<Semaphore>,
}

/// An open transaction. Handles are shared.
#[derive(Debug, Clone)]
pub struct Transaction {
    id: TransactionId,
    session: Arc<Session>,
    all: Arc<Transactions>,
}

impl Store {
    /// Begins a transaction on a partition key: a value of the table's first primary key column.
    ///
    /// # Errors
    /// If the table does not allow transactions, [`Error::Conflict`] if the key is another transaction's or
    /// written until the deadline, [`Error::NotWritten`] if open transactions take all their memory.
    pub async fn start_transaction(
        &self,
        table: &Table,
        partition_key: KeyValue,
        deadline: Instant,
    ) -> Result<TransactionId, Error> {
        if !table.info().options.local_transactions {
            let message =
                "Try to call method using explicit transaction on explicit-transaction-disabled table.";
            return Err(Violation::parameter(message).into());
        }
        let all = self.transactions();
        let room = all.room.clone().try_acquire_many_owned(START_KIB).map_err(|_| no_room())?;
        let mut bytes = Vec::with_capacity(32);
        key::encode_value(&partition_key, &mut bytes);
        let claim = table.partition_at(&bytes).claim(bytes.into(), deadline).await?;
        let ends_at = self.clock().monotonic() + Duration::from_secs(limits::TRANSACTION_S_MAX);
        let id = TransactionId::new(rand::random());
        let session = Session::new(table.clone(), partition_key, ends_at, claim, room);
        all.open.lock().insert(id, Arc::new(session));
        Ok(id)
    }

    /// An open transaction of an instance.
    ///
    /// # Errors
    /// [`Error::NoSuchTransaction`] if there is none, or its time is over.
    pub fn transaction(&self, instance: &InstanceName, id: TransactionId) -> Result<Transaction, Error> {
        let all = self.transactions();
        let session = all.open.lock().get(&id).cloned().ok_or(Error::NoSuchTransaction)?;
        let is_over = self.clock().monotonic() >= session.ends_at();
        if is_over || session.table().info().instance != *instance {
            return Err(Error::NoSuchTransaction);
        }
        Ok(Transaction { id, session, all: all.clone() })
    }
}

impl Transaction {
    /// The id of its table.
    pub fn table(&self) -> TableId {
        self.session.table().id()
    }

    /// Whether a row of another table or partition key was named, with the protocol's text.
    fn out_of_scope(&self, other: impl std::fmt::Display) -> Error {
        let own = self.session.partition_key();
        let message =
            format!("Data out of scope of transaction. Transaction PartKey:{own}. Data PartKey:{other}");
        Violation::scope(message).into()
    }

    fn check_scope(&self, primary_key: &PrimaryKey) -> Result<(), Error> {
        match primary_key.values().first() {
            Some(first) if first == self.session.partition_key() => Ok(()),
            Some(first) => Err(self.out_of_scope(first)),
            None => Err(self.out_of_scope("")),
        }
    }

    /// Applies changes. Each succeeds or fails alone; the answers come in the order of the changes. What succeeds
    /// is written with the commit.
    pub async fn write(&self, changes: Vec<RowChange>, deadline: Instant) -> Vec<Result<Written, Error>> {
        let scopes: Vec<Result<(), Error>> =
            changes.iter().map(|change| self.check_scope(&change.primary_key)).collect();
        let within = changes.into_iter().zip(&scopes).filter(|(_, scope)| scope.is_ok());
        let within: Vec<RowChange> = within.map(|(change, _)| change).collect();
        let count = within.len();
        let outcomes = match self.session.write(within, false, deadline).await {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); count],
        };
        let mut outcomes = outcomes.into_iter();
        let outcome = |scope: Result<(), Error>| {
            scope.and_then(|()| outcomes.next().expect("every change within the scope has its outcome"))
        };
        scopes.into_iter().map(outcome).collect()
    }

    /// Applies changes, all or none.
    ///
    /// # Errors
    /// What the first change that failed failed on; the transaction is as before then.
    pub async fn write_together(
        &self,
        changes: Vec<RowChange>,
        deadline: Instant,
    ) -> Result<Vec<Written>, Error> {
        changes.iter().try_for_each(|change| self.check_scope(&change.primary_key))?;
        self.session.write(changes, true, deadline).await?.into_iter().collect()
    }

    /// Reads rows by their keys as the transaction leaves them, in the order of the keys.
    ///
    /// # Errors
    /// If a key lies outside the partition key, the transaction is over, or the engine does not answer.
    pub async fn get(&self, keys: &[PrimaryKey], deadline: Instant) -> Result<Vec<Option<RowBuf>>, Error> {
        keys.iter().try_for_each(|key| self.check_scope(key))?;
        overlay::get(&self.session, keys, deadline).await
    }

    /// Reads the beginning of a range as the transaction leaves it.
    ///
    /// # Errors
    /// If the range leaves the partition key, the transaction is over, or the engine does not answer.
    pub async fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
        deadline: Instant,
    ) -> Result<RangePage, Error> {
        for bound in [&range.start, &range.end] {
            match bound.first() {
                Some(KeyBound::Value(value)) if value == self.session.partition_key() => {}
                Some(KeyBound::Value(value)) => return Err(self.out_of_scope(value)),
                Some(KeyBound::InfMin) => return Err(self.out_of_scope("INF_MIN")),
                Some(KeyBound::InfMax) | None => return Err(self.out_of_scope("INF_MAX")),
            }
        }
        overlay::range(&self.session, range, limits, deadline).await
    }

    /// Writes what the transaction has changed, all or none, and ends it. Once begun it is carried through,
    /// whatever becomes of the caller.
    ///
    /// # Errors
    /// If nothing was written the transaction stays open, and the commit may be tried again. It is over if the
    /// outcome is unknown.
    pub async fn commit(self, deadline: Instant) -> Result<(), Error> {
        let committing = tokio::spawn(async move {
            let outcome = self.session.commit(deadline).await;
            if session::is_end(&outcome) {
                self.all.open.lock().remove(&self.id);
            }
            outcome
        });
        let lost = || lakeferry_engine::Error::Unavailable("the commit was cut off".into());
        committing.await.unwrap_or_else(|_| Err(Error::Unknown(lost())))
    }

    /// Ends the transaction; nothing of it is written.
    ///
    /// # Errors
    /// If it is over already, or busy until the deadline.
    pub async fn abort(self, deadline: Instant) -> Result<(), Error> {
        self.session.abort(deadline).await?;
        self.all.open.lock().remove(&self.id);
        Ok(())
    }
}

impl Transactions {
    /// None yet; their buffers may take so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        let kib = (bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { open: Mutex::default(), room: Arc::new(Semaphore::new(kib)) })
    }

    /// Ends all transactions on a table that is going away.
    pub fn end_those_on(&self, table: TableId) {
        self.open.lock().retain(|_, session| session.table().id() != table);
    }

    /// Ends all transactions.
    pub fn end_all(&self) {
        self.open.lock().clear();
    }

    /// Ends those whose time is over. One that is at work is left for the next round.
    fn end_expired(&self, now: Duration) {
        self.open.lock().retain(|_, session| now < session.ends_at() || !session.try_end());
    }
}

/// Ends transactions whose time is over, round after round, until the store is gone.
pub(crate) async fn end_expired(store: WeakStore) {
    while let Some(store) = store.upgrade() {
        store.transactions().end_expired(store.clock().monotonic());
        drop(store);
        tokio::time::sleep(ROUND).await;
    }
}

fn no_room() -> Error {
    Error::NotWritten("open transactions hold as much as they may".into())
}
