//! A plain model beside an engine: random operations, and after each reopening both must hold the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Chance, Home, collect, soon};
use crate::seam::{Area, Batch, Engine, Space, SpaceId, WriteError};

/// Does `steps` random operations on two spaces of an engine, opening it again now and then, and compares it
/// with a model throughout. The same seed does the same.
///
/// A write may fail. If its outcome is unknown, the engine must equal the model before it or after it.
///
/// # Panics
/// If the engine and the model differ.
pub async fn run(home: &dyn Home, seed: u64, steps: u64) {
    let mut run = Run {
        seed,
        chance: Chance::new(seed),
        engine: home.open().await,
        models: [Model::default(), Model::default()],
    };
    for step in 0..steps {
        run.step(home, step).await;
    }
    run.reopen(home).await;
}

struct Run {
    seed: u64,
    chance: Chance,
    engine: Arc<dyn Engine>,
    models: [Model; 2],
}

#[derive(Debug, Default, Clone)]
struct Model {
    table: BTreeMap<Bytes, Bytes>,
    log: BTreeMap<Bytes, Bytes>,
    trimmed_below: Bytes,
    appended: u64,
}

impl Run {
    async fn step(&mut self, home: &dyn Home, step: u64) {
        let at = usize::from(self.chance.once_in(3));
        let space = self.open_space(at).await;
        match self.chance.below(100) {
            0..70 => self.write(home, at, &*space).await,
            70..80 => self.trim(at, &*space).await,
            80..95 => self.compare(at, &format!("in step {step}")).await,
            95..97 => {
                self.engine.drop_space(&id(at), soon()).await.expect("drop a space");
                self.models[at] = Model::default();
            }
            _ => self.reopen(home).await,
        }
    }

    async fn open_space(&self, at: usize) -> Arc<dyn Space> {
        self.engine.open_space(&id(at), soon()).await.expect("open a space")
    }

    async fn write(&mut self, home: &dyn Home, at: usize, space: &dyn Space) {
        let mut batch = Batch::default();
        let mut after = self.models[at].clone();
        for _ in 0..=self.chance.below(20) {
            let key = Bytes::from(format!("k{:03}", self.chance.below(200)));
            let letter = b"abcdefgh"[self.chance.index(8)];
            let value = Bytes::from(vec![letter; self.chance.index(3_000)]);
            match self.chance.below(5) {
                0 => {
                    batch.delete(key.clone());
                    after.table.remove(&key);
                }
                1 | 2 => {
                    let key = Bytes::from(format!("{:08}", after.appended));
                    after.appended += 1;
                    batch.append(key.clone(), value.clone());
                    after.log.insert(key, value);
                }
                _ => {
                    batch.put(key.clone(), value.clone());
                    after.table.insert(key, value);
                }
            }
        }
        match space.write(batch, soon()).await {
            Ok(()) => self.models[at] = after,
            Err(WriteError::NotWritten(_)) => {}
            Err(WriteError::Unknown(_)) => self.settle(home, at, after).await,
        }
    }

    /// Opens the engine again and finds out whether the write was done. It must be one or the other.
    async fn settle(&mut self, home: &dyn Home, at: usize, after: Model) {
        let _ = self.engine.close(soon()).await;
        self.engine = home.open().await;
        let before = &self.models[at];
        let [table, log] = self.contents(at, before).await;
        let is = |model: &Model| table == entries(&model.table) && log == entries(&model.log);
        if is(&after) {
            self.models[at] = after;
        } else {
            assert!(is(before), "seed {}: neither before nor after the write", self.seed);
        }
    }

    async fn trim(&mut self, at: usize, space: &dyn Space) {
        let model = &mut self.models[at];
        let below = Bytes::from(format!("{:08}", self.chance.below(model.appended + 1)));
        space.trim(below.clone(), soon()).await.expect("trim");
        model.log = model.log.split_off(&below);
        model.trimmed_below = model.trimmed_below.clone().max(below);
    }

    async fn reopen(&mut self, home: &dyn Home) {
        if self.chance.once_in(2) {
            self.engine.close(soon()).await.expect("close");
        }
        // If it was not closed it must be dropped before it is opened again.
        self.engine = Arc::new(crate::memory::MemoryEngine::default());
        self.engine = home.open().await;
        for at in 0..self.models.len() {
            self.compare(at, "after opening it again").await;
        }
    }

    async fn compare(&self, at: usize, when: &str) {
        let model = &self.models[at];
        let [table, log] = self.contents(at, model).await;
        assert!(table == entries(&model.table), "seed {}: the table differs {when}", self.seed);
        assert!(log == entries(&model.log), "seed {}: the log differs {when}", self.seed);
    }

    /// What the space holds; of the log only what the model has not trimmed.
    async fn contents(&self, at: usize, model: &Model) -> [Vec<(Bytes, Bytes)>; 2] {
        let mut chance = self.chance.clone();
        let space = self.open_space(at).await;
        let mut contents = [Vec::new(), Vec::new()];
        let areas = [(Area::Table, Bytes::new()), (Area::Log, model.trimmed_below.clone())];
        for ((area, from), contents) in areas.into_iter().zip(&mut contents) {
            let backward = chance.once_in(2);
            let entries_max = 1 + chance.index(50);
            *contents = collect(&*space, area, &from, None, backward, entries_max).await.expect("scan");
            if backward {
                contents.reverse();
            }
        }
        contents
    }
}

fn id(at: usize) -> SpaceId {
    SpaceId::new(format!("space-{at}"))
}

fn entries(map: &BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
