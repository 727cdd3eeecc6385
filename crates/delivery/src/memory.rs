//! One memory budget for the gathered rows of all tasks.
//!
//! Half of it is shared out equally: each task is guaranteed its part. The other half may be borrowed by any
//! task, but not by one whose store is failing or slow: that one falls back to its part, so that a dead bucket
//! cannot starve the others. Encoders have memory of their own, so cutting never waits for the budget.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::space::TaskId;

/// The budget. Handles are shared.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Mutex<Ledger>>);

#[derive(Debug)]
struct Ledger {
    total: u64,
    accounts: HashMap<TaskId, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    used: u64,
    is_failing: bool,
    /// Uploads that take long.
    slow: usize,
    handles: usize,
}

/// One task's account of the budget. It is closed when its last handle and lease are gone.
#[derive(Debug)]
pub(crate) struct Account {
    ledger: Arc<Mutex<Ledger>>,
    task: TaskId,
}

/// Bytes taken from an account; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    account: Account,
    bytes: u64,
}

/// While this lives, its task does not borrow.
#[derive(Debug)]
pub(crate) struct FallBack(Account);

impl Drop for FallBack {
    fn drop(&mut self) {
        self.0.entry(|entry| entry.slow -= 1);
    }
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Mutex::new(Ledger { total, accounts: HashMap::new() })))
    }

    pub(crate) fn account(&self, task: TaskId) -> Account {
        self.0.lock().accounts.entry(task).or_default().handles += 1;
        Account { ledger: Arc::clone(&self.0), task }
    }

    /// Bytes that all tasks hold.
    pub(crate) fn used(&self) -> u64 {
        self.0.lock().accounts.values().map(|entry| entry.used).sum()
    }
}

impl Ledger {
    fn guaranteed(&self) -> u64 {
        self.total / 2 / u64::try_from(self.accounts.len().max(1)).unwrap_or(u64::MAX)
    }

    fn has_room(&self, task: TaskId, bytes: u64) -> bool {
        let guaranteed = self.guaranteed();
        let entry = &self.accounts[&task];
        let wanted = entry.used.saturating_add(bytes);
        if wanted <= guaranteed {
            return true;
        }
        let borrowed_by_others: u64 = self
            .accounts
            .iter()
            .filter(|(id, _)| **id != task)
            .map(|(_, other)| other.used.saturating_sub(guaranteed))
            .sum();
        !entry.is_failing
            && entry.slow == 0
            && borrowed_by_others.saturating_add(wanted - guaranteed) <= self.total / 2
    }
}

impl Account {
    /// Whether `bytes` more may be taken now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.ledger.lock().has_room(self.task, bytes)
    }

    /// A lease of nothing yet.
    pub(crate) fn lease(&self) -> Lease {
        Lease { account: self.clone(), bytes: 0 }
    }

    /// Lets the task borrow, or not, because its store fails.
    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.entry(|entry| entry.is_failing = is_failing);
    }

    /// Keeps the task from borrowing until the answer is dropped, because its store is slow.
    pub(crate) fn fall_back(&self) -> FallBack {
        self.entry(|entry| entry.slow += 1);
        FallBack(self.clone())
    }

    fn entry(&self, change: impl FnOnce(&mut Entry)) {
        change(self.ledger.lock().accounts.entry(self.task).or_default());
    }
}

impl Clone for Account {
    fn clone(&self) -> Self {
        self.entry(|entry| entry.handles += 1);
        Self { ledger: Arc::clone(&self.ledger), task: self.task }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut ledger = self.ledger.lock();
        if let Some(entry) = ledger.accounts.get_mut(&self.task) {
            entry.handles -= 1;
            if entry.handles == 0 {
                ledger.accounts.remove(&self.task);
            }
        }
    }
}

impl Lease {
    /// Takes `bytes` more, whether there is room or not; whoever gathers asks for room before it reads.
    pub(crate) fn grow(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.account.entry(|entry| entry.used += bytes);
    }

    /// Holds this many bytes from now on.
    pub(crate) fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.account.entry(|entry| entry.used = entry.used - before + bytes);
    }

    /// Splits `bytes` off into a lease of their own.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { account: self.account.clone(), bytes }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.account.entry(|entry| entry.used -= bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_borrow_what_no_other_is_guaranteed() {
        let budget = Budget::new(100);
        let one = budget.account(TaskId::random());
        let other = budget.account(TaskId::random());
        assert!(one.has_room(75) && !one.has_room(76));
        let mut lease = one.lease();
        lease.grow(75);
        assert!(other.has_room(25) && !other.has_room(26));
        drop(lease);
        assert!(other.has_room(75));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_failing_task_falls_back_to_its_share() {
        let budget = Budget::new(100);
        let one = budget.account(TaskId::random());
        one.set_failing(true);
        assert!(one.has_room(50) && !one.has_room(51));
        one.set_failing(false);
        assert!(one.has_room(51));
    }

    #[test]
    fn a_task_with_a_slow_store_falls_back_to_its_share_until_the_last_slow_upload_ends() {
        let budget = Budget::new(100);
        let one = budget.account(TaskId::random());
        let slow = [one.fall_back(), one.fall_back()];
        assert!(one.has_room(50) && !one.has_room(51));
        let [first, second] = slow;
        drop(first);
        assert!(!one.has_room(51));
        drop(second);
        assert!(one.has_room(51));
    }

    #[test]
    fn a_split_lease_gives_back_its_part_alone() {
        let budget = Budget::new(100);
        let mut lease = budget.account(TaskId::random()).lease();
        lease.grow(30);
        drop(lease.split(10));
        assert_eq!(budget.used(), 20);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }
}
