//! The store beside a plain model: whatever is written in whatever order, both hold the same rows and the log tells
//! how they came about.

use std::time::Duration;

use lakeferry_engine::testing::{Chance, Home};
use lakeferry_model::{KeyBound, KeyRange, Row, TableOptions};
use lakeferry_store::{LogKeeper, RangeLimits, Settings, Table, TableUpdate};

use crate::random_rows::{Model, NUMBERS, Outcome, USERS, any_batch, any_primary_key};
use crate::support::{
    Fjall, Memory, Record, Site, all_rows, instance, keep_log, log_after, read, row_key, rows_of, seed, soon,
    split_at, table_name,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_equals_the_model_in_memory() {
    let seed = seed("in memory");
    for round in 0..12 {
        Walk::new(Memory::default(), seed.wrapping_add(round)).await.run(120).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_equals_the_model_on_fjall() {
    let seed = seed("on fjall");
    Walk::new(Fjall::default(), seed).await.run(200).await;
}

/// A walk by chance through what can be done with a table.
struct Walk {
    seed: u64,
    chance: Chance,
    site: Site,
    table: Table,
    model: Model,
    /// What the logs must hold, in the order of the changes.
    done: Vec<Outcome>,
}

impl Walk {
    async fn new(home: impl Home + 'static, seed: u64) -> Self {
        // Small enough that some requests are larger than all that may wait.
        let settings = Settings { waiting_bytes_max: 4096, ..Settings::default() };
        let site = Site::at(home, settings).await;
        let table = site.table_of(split_at(&["bo", "eve", "n"])).await;
        keep_log(&table).await;
        let model = Model::new(TableOptions::default());
        Self { seed, chance: Chance::new(seed), site, table, model, done: Vec::new() }
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            match self.chance.below(20) {
                0 => self.reopen().await,
                1 => self.change_options().await,
                2..5 => self.read_single_rows().await,
                5..9 => self.read_a_range().await,
                _ => self.write().await,
            }
        }
        self.reopen().await;
        assert_eq!(all_rows(&self.table).await, self.model.rows(), "seed {}", self.seed);
        self.compare_logs().await;
    }

    async fn write(&mut self) {
        self.site.clock.advance(Duration::from_millis(self.chance.below(4)));
        let now_ms = self.now_ms();
        let changes = any_batch(&mut self.chance, now_ms);
        let answers = self.table.write(changes.clone(), soon()).await;
        for (change, answer) in changes.iter().zip(answers) {
            let outcome = self.model.apply(change, now_ms);
            assert!(outcome.fits(&answer), "seed {}: {change:?} is {answer:?}, not {outcome:?}", self.seed);
            if matches!(outcome, Outcome::Done(..)) {
                self.done.push(outcome);
            }
        }
    }

    async fn reopen(&mut self) {
        // Past every timestamp that a cell has: timestamps of the last moment are not remembered.
        self.site.second();
        if self.chance.once_in(2) {
            self.site.reopen().await;
        } else {
            self.site.crash().await;
        }
        self.table = self.site.same_table();
    }

    async fn change_options(&mut self) {
        let versions_max = 1 + u32::try_from(self.chance.below(3)).unwrap();
        let options = TableOptions { versions_max, ..TableOptions::default() };
        let update = TableUpdate { options: Some(options.clone()), ..TableUpdate::default() };
        self.site.store.update_table(&instance(), &table_name("t"), update).await.unwrap();
        self.model.options = options;
    }

    async fn read_single_rows(&mut self) {
        let rows = self.model.rows();
        let keys: Vec<_> = (0..self.chance.below(8)).map(|_| any_primary_key(&mut self.chance)).collect();
        let found = self.table.get(&keys, soon()).await.unwrap();
        for (key, found) in keys.iter().zip(found) {
            let expected = rows.iter().find(|row| row.primary_key == *key);
            assert_eq!(found.is_some(), expected.is_some(), "seed {}: {key:?}", self.seed);
        }
        for user in USERS {
            let n = i64::try_from(self.chance.below(NUMBERS)).unwrap();
            let expected = rows.iter().find(|row| row.primary_key == row_key(user, n)).cloned();
            assert_eq!(read(&self.table, user, n).await, expected, "seed {}", self.seed);
        }
    }

    /// Reads a range page by page, as a client does.
    async fn read_a_range(&mut self) {
        let (a, b) = (self.any_bound(), self.any_bound());
        let backward = self.chance.once_in(2);
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let (mut start, end) = if backward { (high, low) } else { (low, high) };
        let is_within = |row: &&Row| {
            let key: Vec<KeyBound> = row.primary_key.values().iter().cloned().map(KeyBound::Value).collect();
            if backward { key <= start && key > end } else { key >= start && key < end }
        };
        let rows = self.model.rows();
        let mut expected: Vec<Row> = rows.iter().filter(is_within).cloned().collect();
        if backward {
            expected.reverse();
        }
        let mut found = Vec::new();
        loop {
            let rows_max = 1 + self.chance.index(10);
            let bytes_max = if self.chance.once_in(2) { 1 + self.chance.index(300) } else { 1 << 20 };
            let range = KeyRange { start: start.clone(), end: end.clone(), backward };
            let page = self.table.range(&range, RangeLimits { rows_max, bytes_max }, soon()).await.unwrap();
            assert!(
                page.len() <= rows_max && (page.next.is_none() || !page.is_empty()),
                "seed {}",
                self.seed
            );
            found.extend(rows_of(&page.blocks));
            let Some(next) = page.next else { break };
            start = next.values().iter().cloned().map(KeyBound::Value).collect();
        }
        assert_eq!(found, expected, "seed {}", self.seed);
    }

    fn any_bound(&mut self) -> Vec<KeyBound> {
        let key = any_primary_key(&mut self.chance);
        let columns = key.values().iter().map(|value| match self.chance.below(8) {
            0 => KeyBound::InfMin,
            1 => KeyBound::InfMax,
            _ => KeyBound::Value(value.clone()),
        });
        columns.collect()
    }

    /// The logs hold one record for each change that was done, those of each partition in order.
    async fn compare_logs(&mut self) {
        for (at, partition) in self.table.partitions().iter().enumerate() {
            let partitions = self.table.partitions();
            let range = (partition.start(), partitions.get(at + 1).map(|next| next.start()));
            let records = log_after(&self.table, partition, 0).await;
            assert!(records.is_sorted_by(|a, b| a.commit_time < b.commit_time), "seed {}", self.seed);
            let told: Vec<Outcome> = records.iter().map(outcome_of).collect();
            let expected: Vec<Outcome> =
                self.done.iter().filter(|done| lies_in(done, range)).cloned().collect();
            assert_eq!(told, expected, "seed {}, partition {at}", self.seed);
            let head = partition.keep_log(LogKeeper::Readers, true, soon()).await.unwrap();
            let last = records.last().map_or((0, 0), |last| (last.sequence, last.commit_time));
            assert_eq!((head.sequence, head.commit_time), last, "seed {}", self.seed);
        }
    }

    fn now_ms(&self) -> i64 {
        use lakeferry_model::Clock;
        self.site.clock.now_micros() / 1000
    }
}

fn outcome_of(record: &Record) -> Outcome {
    Outcome::Done(record.action, record.primary_key.clone(), record.newest.clone())
}

fn lies_in(outcome: &Outcome, (start, end): (&bytes::Bytes, Option<&bytes::Bytes>)) -> bool {
    let Outcome::Done(_, key, _) = outcome else { return false };
    let mut bytes = Vec::new();
    lakeferry_store::key::encode(key, &mut bytes);
    bytes >= start.to_vec() && end.is_none_or(|end| bytes < end.to_vec())
}
