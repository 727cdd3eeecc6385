//! Transactions beside the plain model, with commits that fail, aborts, and stores that end in the middle.

use std::time::Duration;

use lakeferry_engine::testing::{Chance, Fault, Home};
use lakeferry_model::{Clock, KeyBound, KeyRange, KeyValue, Row, TableOptions};
use lakeferry_store::{ErrorKind, RangeLimits, Settings, Table, Transaction};

use crate::random_rows::{Model, Outcome, USERS, any_batch_of};
use crate::support::{
    Fjall, Memory, Record, Site, all_rows, instance, keep_log, log, rows_of, seed, soon, write,
};

#[tokio::test]
async fn transactions_equal_the_model_in_memory() {
    let seed = seed("transactions in memory");
    for round in 0..10 {
        Walk::new(Memory::default(), seed.wrapping_add(round)).await.run(60).await;
    }
}

#[tokio::test]
async fn transactions_equal_the_model_on_fjall() {
    let seed = seed("transactions on fjall");
    Walk::new(Fjall::default(), seed).await.run(80).await;
}

/// A walk by chance: transactions one after another, beside writers of other keys.
struct Walk {
    seed: u64,
    chance: Chance,
    site: Site,
    table: Table,
    /// What is committed.
    model: Model,
    /// What the log must hold.
    done: Vec<Outcome>,
}

/// A transaction, and what it has done so far.
struct Open {
    user: &'static str,
    transaction: Transaction,
    model: Model,
    done: Vec<Outcome>,
}

impl Walk {
    async fn new(home: impl Home + 'static, seed: u64) -> Self {
        let site = Site::at(home, Settings::default()).await;
        let table = site.table().await;
        keep_log(&table).await;
        let model = Model::new(TableOptions::default());
        Self { seed, chance: Chance::new(seed), site, table, model, done: Vec::new() }
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.transact().await;
            self.compare().await;
        }
    }

    /// One transaction from its start to some end.
    async fn transact(&mut self) {
        // Past all timestamps that were given before: those of aborted writes are not in the model.
        self.site.clock.advance(Duration::from_millis(50));
        let user = USERS[self.chance.index(USERS.len())];
        let mut open = self.start(user).await;
        for _ in 0..1 + self.chance.below(4) {
            match self.chance.below(8) {
                0 | 1 => self.read(&open).await,
                2 => self.write_beside(user).await,
                3 => self.write_together(&mut open).await,
                _ => self.write(&mut open).await,
            }
        }
        self.read(&open).await;
        match self.chance.below(8) {
            0 => open.transaction.abort(soon()).await.unwrap(),
            1 => self.reopen().await,
            2 => self.commit_failing(open).await,
            _ => {
                open.transaction.commit(soon()).await.unwrap();
                self.take(open.model, open.done);
            }
        }
    }

    async fn start(&mut self, user: &'static str) -> Open {
        let key = KeyValue::String(user.into());
        let id = self.site.store.start_transaction(&self.table, key, soon()).await.unwrap();
        let transaction = self.site.store.transaction(&instance(), id).unwrap();
        Open { user, transaction, model: self.model.clone(), done: Vec::new() }
    }

    async fn write(&mut self, open: &mut Open) {
        let now_ms = self.now_ms();
        let changes = any_batch_of(&mut self.chance, open.user, now_ms);
        let answers = open.transaction.write(changes.clone(), soon()).await;
        for (change, answer) in changes.iter().zip(answers) {
            let outcome = open.model.apply(change, now_ms);
            assert!(outcome.fits(&answer), "seed {}: {change:?} is {answer:?}, not {outcome:?}", self.seed);
            open.done.extend(Some(outcome).filter(|outcome| matches!(outcome, Outcome::Done(..))));
        }
    }

    async fn write_together(&mut self, open: &mut Open) {
        // Those that fail leave the model alone, but not the timestamps that were given.
        self.site.clock.advance(Duration::from_millis(50));
        let now_ms = self.now_ms();
        let changes = any_batch_of(&mut self.chance, open.user, now_ms);
        let answer = open.transaction.write_together(changes.clone(), soon()).await;
        let before = open.model.clone();
        let outcomes: Vec<Outcome> = changes.iter().map(|change| open.model.apply(change, now_ms)).collect();
        match outcomes.iter().find(|outcome| !matches!(outcome, Outcome::Done(..))) {
            Some(failed) => {
                assert!(failed.fits(&answer), "seed {}: {answer:?}, not {failed:?}", self.seed);
                open.model = before;
            }
            None => {
                assert_eq!(answer.unwrap().len(), changes.len(), "seed {}", self.seed);
                open.done.extend(outcomes);
            }
        }
        self.site.clock.advance(Duration::from_millis(50));
    }

    /// A writer who is not in the transaction: refused under its key, served elsewhere. Its rows stay as they are.
    async fn write_beside(&mut self, user: &str) {
        let now_ms = self.now_ms();
        let change = any_batch_of(&mut self.chance, user, now_ms).remove(0);
        let refused = write(&self.table, change).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "seed {}", self.seed);
        assert_eq!(all_rows(&self.table).await, self.model.rows(), "seed {}", self.seed);
    }

    async fn read(&mut self, open: &Open) {
        let bound = |bound| vec![KeyBound::Value(KeyValue::String(open.user.into())), bound];
        let backward = self.chance.once_in(2);
        let (low, high) = (bound(KeyBound::InfMin), bound(KeyBound::InfMax));
        let (mut start, end) = if backward { (high, low) } else { (low, high) };
        let user = KeyValue::String(open.user.into());
        let mut expected: Vec<Row> = open.model.rows();
        expected.retain(|row| row.primary_key.values()[0] == user);
        let keys: Vec<_> = expected.iter().map(|row| row.primary_key.clone()).collect();
        let found = open.transaction.get(&keys, soon()).await.unwrap();
        assert!(found.iter().all(Option::is_some), "seed {}", self.seed);
        if backward {
            expected.reverse();
        }
        let mut rows = Vec::new();
        loop {
            let limits =
                RangeLimits { rows_max: 1 + self.chance.index(4), bytes_max: 1 + self.chance.index(200) };
            let range = KeyRange { start, end: end.clone(), backward };
            let page = open.transaction.range(&range, limits, soon()).await.unwrap();
            rows.extend(rows_of(&page.blocks));
            let Some(next) = page.next else { break };
            start = next.values().iter().cloned().map(KeyBound::Value).collect();
        }
        assert_eq!(rows, expected, "seed {}", self.seed);
    }

    async fn commit_failing(&mut self, open: Open) {
        let fault = [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost][self.chance.index(3)];
        let writes = !open.done.is_empty();
        if writes {
            self.site.engine.fail_write(1, fault);
        }
        let outcome = open.transaction.clone().commit(soon()).await;
        if !writes {
            return outcome.unwrap();
        }
        let failed = outcome.unwrap_err();
        if fault == Fault::NotWritten {
            assert_eq!(failed.kind(), ErrorKind::Unavailable, "seed {}", self.seed);
            if self.chance.once_in(2) {
                return open.transaction.abort(soon()).await.unwrap();
            }
            open.transaction.commit(soon()).await.unwrap();
        } else {
            assert_eq!(failed.kind(), ErrorKind::Unknown, "seed {}", self.seed);
        }
        if fault != Fault::UnknownLost {
            self.take(open.model, open.done);
        }
        if self.chance.once_in(2) {
            self.reopen().await;
        }
    }

    fn take(&mut self, model: Model, done: Vec<Outcome>) {
        self.model = model;
        self.done.extend(done);
    }

    async fn reopen(&mut self) {
        self.site.second();
        if self.chance.once_in(2) {
            self.site.reopen().await;
        } else {
            self.site.crash().await;
        }
        self.table = self.site.same_table();
    }

    async fn compare(&mut self) {
        assert_eq!(all_rows(&self.table).await, self.model.rows(), "seed {}", self.seed);
        let told: Vec<Outcome> = log(&self.table).await.iter().map(outcome_of).collect();
        assert_eq!(told, self.done, "seed {}", self.seed);
    }

    fn now_ms(&self) -> i64 {
        self.site.clock.now_micros() / 1000
    }
}

fn outcome_of(record: &Record) -> Outcome {
    Outcome::Done(record.action, record.primary_key.clone(), record.newest.clone())
}
