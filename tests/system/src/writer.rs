//! Writers: each changes keys of its own for as long as it is told to, and notes what was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::failure::Failure;
use crate::ledger::{Ledger, Outcome};
use crate::row::{Change, Key};
use crate::server::Keeper;
use crate::target::Target;

/// The table that writers change.
pub const TABLE: &str = "rows";
/// The key pair of `serve --dev`.
pub const DEV_KEY: (&str, &str) = ("dev", "dev");

const ROWS_PER_BATCH: usize = 20;
const ROWS_PER_FIRST_BATCH: usize = 200;

/// The number of the next change. Never used twice in a process.
static NEXT: AtomicI64 = AtomicI64::new(1);

/// A writer and its keys.
#[derive(Debug)]
pub struct Writer {
    keys: Vec<Key>,
    ledger: Arc<Mutex<Ledger>>,
    random: SmallRng,
    pause: Duration,
}

impl Writer {
    /// The writer with this number, with `count` keys over all partitions.
    pub fn new(number: i64, count: i64, ledger: Arc<Mutex<Ledger>>, seed: u64) -> Self {
        let key = |at: i64| Key { place: at * 1000 / count, item: number * 1_000_000 + at };
        let random = SmallRng::seed_from_u64(seed ^ number.unsigned_abs());
        Self { keys: (0..count).map(key).collect(), ledger, random, pause: Duration::ZERO }
    }

    /// The writer, which rests that long behind each batch.
    #[must_use]
    pub fn resting(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Puts every key once. Keys whose answer is lost stay unknown.
    ///
    /// # Errors
    /// If the server does not come back.
    pub async fn put_all(&mut self, keeper: &Keeper) -> Result<(), Failure> {
        for keys in self.keys.clone().chunks(ROWS_PER_FIRST_BATCH) {
            let target = Target::at(&keeper.address().await?, DEV_KEY)?;
            self.write(&target, keys, |_, _| 0).await;
        }
        Ok(())
    }

    /// Changes keys until `stop` is set, and returns, to go on later.
    ///
    /// # Errors
    /// If the server does not come back.
    pub async fn run(mut self, keeper: Arc<Keeper>, stop: Arc<AtomicBool>) -> Result<Self, Failure> {
        let (mut address, mut life) = keeper.life(1).await?;
        let mut target = Target::at(&address, DEV_KEY)?;
        while !stop.load(Ordering::Relaxed) {
            let all_answered = if self.random.random_ratio(1, 4) {
                self.write_two_together(&target).await
            } else {
                let keys: Vec<Key> = self.keys.sample(&mut self.random, ROWS_PER_BATCH).copied().collect();
                self.write(&target, &keys, |random, _| random.random_range(0..10)).await
            };
            if !all_answered {
                // It was killed, or is being killed: go on with whoever answers then.
                tokio::time::sleep(Duration::from_millis(10)).await;
                (address, life) = keeper.life(life).await?;
                target = Target::at(&address, DEV_KEY)?;
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        Ok(self)
    }

    /// Puts a row and its twin, which lies in the same place, in one transaction.
    async fn write_two_together(&mut self, target: &Target) -> bool {
        let Some(&key) = self.keys.choose(&mut self.random) else { return true };
        let number = NEXT.fetch_add(2, Ordering::Relaxed);
        let changes = [(key, Change::Put(number)), (key.twin(), Change::Put(number + 1))];
        let Some(outcome) = target.write_together(TABLE, &changes).await else { return false };
        let mut ledger = self.ledger.lock();
        for (key, change) in changes {
            ledger.note(key, change, outcome);
        }
        ledger.note_together([number, number + 1]);
        outcome == Outcome::Answered
    }

    /// Changes each key once, as `choose` says: 0 to 4 a put, 5 to 8 an update, 9 a delete.
    async fn write(
        &mut self,
        target: &Target,
        keys: &[Key],
        choose: impl Fn(&mut SmallRng, Key) -> u32,
    ) -> bool {
        let mut changes = Vec::with_capacity(keys.len());
        for key in keys {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let change = match choose(&mut self.random, *key) {
                _ if self.ledger.lock().wants_put(*key) => Change::Put(number),
                0..=4 => Change::Put(number),
                5..=8 => Change::Update(number),
                _ => Change::Delete,
            };
            changes.push((*key, change));
        }
        let outcomes = target.write(TABLE, &changes).await;
        let mut ledger = self.ledger.lock();
        let mut all_answered = true;
        for ((key, change), outcome) in changes.into_iter().zip(outcomes) {
            all_answered &= outcome == Outcome::Answered;
            ledger.note(key, change, outcome);
        }
        all_answered
    }
}
