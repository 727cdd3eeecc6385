//! Indexes beside a plain model: whatever is done to the table, by many at once and with failures between, at rest
//! each index holds exactly what follows from the table's rows.

use std::sync::Arc;
use std::time::Duration;

use lakeferry_engine::testing::{Chance, Fault, Home};
use lakeferry_model::{Clock, TableOptions};
use lakeferry_store::{Settings, TableUpdate};

use crate::index_support::{all_kinds, declared};
use crate::random_rows::any_batch;
use crate::support::{Fjall, Memory, Site, instance, seed, soon, table_name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_equal_their_table_in_memory() {
    let seed = seed("indexes in memory");
    for round in 0..8 {
        Walk::new(Memory::default(), seed.wrapping_add(round), false).await.run(24).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_equal_their_table_on_fjall() {
    let seed = seed("indexes on fjall");
    Walk::new(Fjall::default(), seed, false).await.run(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_equal_their_table_while_rows_expire() {
    let seed = seed("indexes of rows that expire");
    for round in 0..8 {
        Walk::new(Memory::default(), seed.wrapping_add(round), true).await.run(24).await;
    }
}

/// A walk by chance: writers at once, indexes that come and go, crashes and failed writes.
struct Walk {
    what: String,
    chance: Chance,
    site: Site,
    expires: bool,
}

impl Walk {
    /// Begins with an empty table. Where rows expire they live for a day, and are only put whole and deleted.
    async fn new(home: impl Home + 'static, seed: u64, expires: bool) -> Self {
        let site = Site::at(home, Settings::default()).await;
        let mut spec = declared();
        if expires {
            spec.options.time_to_live_s = Some(86_400);
            spec.options.allow_update = false;
        }
        site.store.create_indexed_table(&instance(), spec, all_kinds()).await.unwrap();
        Self { what: format!("seed {seed}"), chance: Chance::new(seed), site, expires }
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            match self.chance.below(8) {
                0 => self.reopen().await,
                1 => self.fail_a_write(),
                2 => self.drop_and_make_again().await,
                3 => self.site.compare_indexes(&self.what).await,
                4 if self.expires => self.hours_go_by().await,
                5 if self.expires => self.live_otherwise().await,
                _ => self.write_at_once().await,
            }
        }
        self.site.compare_indexes(&self.what).await;
        self.reopen().await;
        self.site.compare_indexes(&self.what).await;
    }

    /// Four writers of the same few rows.
    async fn write_at_once(&mut self) {
        let table = self.site.same_table();
        let now_ms = self.site.clock.now_micros() / 1000;
        let writers = (0..4).map(|_| {
            let mut chance = Chance::new(self.chance.below(u64::MAX));
            let table = table.clone();
            tokio::spawn(async move {
                for _ in 0..12 {
                    let changes = any_batch(&mut chance, now_ms);
                    // Some break a rule, some meet a failure; what becomes of them is the table's to say.
                    drop(table.write(changes, soon()).await);
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        if self.chance.once_in(3) {
            self.drop_and_make_again().await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
    }

    /// Drops one index and makes it again over the rows that are there, maybe while they change.
    async fn drop_and_make_again(&mut self) {
        let specs = all_kinds();
        let spec = specs[self.chance.index(specs.len())].clone();
        let store = &self.site.store;
        // With an injected failure in the way either may not happen; at the end the index is there.
        drop(store.drop_index(&instance(), &table_name("t"), &spec.name).await);
        drop(store.create_index(&instance(), &table_name("t"), spec, true).await);
    }

    /// Lets rows live longer, for ever, or for a day again.
    async fn live_otherwise(&mut self) {
        let time_to_live_s = [Some(86_400), Some(2 * 86_400), None][self.chance.index(3)];
        let options = TableOptions { time_to_live_s, ..self.site.same_table().info().options.clone() };
        let update = TableUpdate { options: Some(options), ..TableUpdate::default() };
        // With an injected failure in the way it may not happen.
        drop(self.site.store.update_table(&instance(), &table_name("t"), update).await);
    }

    /// Lets some rows expire, and maybe be reclaimed.
    async fn hours_go_by(&mut self) {
        self.site.clock.advance(Duration::from_secs(3600 * (1 + self.chance.below(12))));
        if self.chance.once_in(2) {
            // A failed write in the way cuts the walk short.
            drop(self.site.store.reclaim_now(&self.site.same_table()).await);
        }
    }

    fn fail_a_write(&mut self) {
        let fault = [Fault::NotWritten, Fault::UnknownWritten, Fault::UnknownLost][self.chance.index(3)];
        self.site.engine.fail_write(1 + self.chance.below(20), fault);
    }

    async fn reopen(&mut self) {
        self.site.second();
        if self.chance.once_in(3) {
            self.site.reopen().await;
        } else {
            self.site.crash().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_made_under_writers_misses_none_of_their_rows() {
    let seed = seed("made under writers");
    for round in 0..4 {
        let site = Arc::new(Site::new().await);
        let table = site.table_of(declared()).await;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let mut chance = Chance::new(seed.wrapping_add(round * 10 + n));
                let (table, stop) = (table.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let changes = any_batch(&mut chance, crate::support::START / 1000);
                        drop(table.write(changes, soon()).await);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        for spec in all_kinds() {
            site.store.create_index(&instance(), &table_name("t"), spec, true).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        site.compare_indexes(&format!("seed {seed}, round {round}")).await;
    }
}
