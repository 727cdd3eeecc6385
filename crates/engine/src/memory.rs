//! An engine in memory, for tests: it keeps every promise of the seam but the one about power cuts.
//!
//! Clones of an engine are the same engine. [`MemoryEngine::reopen`] gives another one on the same data, as
//! a restart would.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::seam::{Area, Batch, Block, Engine, Error, Operation, Room, Scan, Space, SpaceId, WriteError};

/// Spaces in memory.
#[derive(Debug, Clone)]
pub struct MemoryEngine {
    data: Arc<Data>,
    closed: Arc<AtomicBool>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        let data = Data { spaces: Mutex::default(), room: Mutex::new(Room::Free) };
        Self { data: Arc::new(data), closed: Arc::default() }
    }
}

impl MemoryEngine {
    /// Another engine on the same data; closing one does not close the other.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { data: Arc::clone(&self.data), closed: Arc::default() }
    }

    /// Sets what [`Engine::room`] answers from now on.
    pub fn set_room(&self, room: Room) {
        *self.data.room.lock() = room;
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Unavailable("it is closed".into()));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Data {
    spaces: Mutex<BTreeMap<SpaceId, Arc<Mutex<Entries>>>>,
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Entries {
    table: BTreeMap<Bytes, Bytes>,
    log: BTreeMap<Bytes, Bytes>,
    gone: bool,
}

impl Entries {
    fn area(&self, area: Area) -> &BTreeMap<Bytes, Bytes> {
        match area {
            Area::Table => &self.table,
            Area::Log => &self.log,
        }
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn open_space(&self, id: &SpaceId, _deadline: Instant) -> Result<Arc<dyn Space>, Error> {
        self.check_open()?;
        let entries = Arc::clone(self.data.spaces.lock().entry(id.clone()).or_default());
        Ok(Arc::new(MemorySpace { id: id.clone(), engine: self.clone(), entries }))
    }

    async fn spaces(&self, _deadline: Instant) -> Result<Vec<SpaceId>, Error> {
        self.check_open()?;
        Ok(self.data.spaces.lock().keys().cloned().collect())
    }

    async fn drop_space(&self, id: &SpaceId, _deadline: Instant) -> Result<(), Error> {
        self.check_open()?;
        if let Some(entries) = self.data.spaces.lock().remove(id) {
            *entries.lock() = Entries { gone: true, ..Entries::default() };
        }
        Ok(())
    }

    fn room(&self) -> Room {
        self.data.room.lock().clone()
    }

    async fn close(&self, _deadline: Instant) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[derive(Debug)]
struct MemorySpace {
    id: SpaceId,
    engine: MemoryEngine,
    entries: Arc<Mutex<Entries>>,
}

impl MemorySpace {
    fn with<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> Result<T, Error> {
        self.engine.check_open()?;
        let mut entries = self.entries.lock();
        if entries.gone {
            return Err(Error::SpaceGone(self.id.clone()));
        }
        Ok(work(&mut entries))
    }
}

#[async_trait]
impl Space for MemorySpace {
    fn id(&self) -> &SpaceId {
        &self.id
    }

    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        _deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        self.with(|entries| keys.iter().map(|key| entries.area(area).get(key).cloned()).collect())
    }

    async fn scan(&self, scan: Scan, _deadline: Instant) -> Result<Block, Error> {
        self.with(|entries| {
            if scan.to.as_ref().is_some_and(|to| *to <= scan.from) {
                return Block::default();
            }
            let to = scan.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let range = entries.area(scan.area).range((Bound::Included(scan.from.clone()), to));
            if scan.backward { fill(range.rev(), &scan) } else { fill(range, &scan) }
        })
    }

    async fn write(&self, batch: Batch, _deadline: Instant) -> Result<(), WriteError> {
        let apply = |entries: &mut Entries| {
            for operation in batch.into_operations() {
                match operation {
                    Operation::Put(key, value) => entries.table.insert(own(&key), own(&value)),
                    Operation::Delete(key) => entries.table.remove(&key),
                    Operation::Append(key, value) => entries.log.insert(own(&key), own(&value)),
                };
            }
        };
        self.with(apply).map_err(WriteError::NotWritten)
    }

    async fn trim(&self, below: Bytes, _deadline: Instant) -> Result<(), Error> {
        self.with(|entries| entries.log = entries.log.split_off(&below))
    }

    async fn log_bytes(&self, _deadline: Instant) -> Result<u64, Error> {
        self.with(|entries| entries.log.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// The bytes in memory of their own, so that a small value does not keep a whole request alive.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn fill<'a>(entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>, scan: &Scan) -> Block {
    let mut block = Block::default();
    for (key, value) in entries {
        if block.len() >= scan.entries_max || (block.bytes() >= scan.bytes_max && !block.is_empty()) {
            block.more = true;
            break;
        }
        block.push(key, value);
    }
    block
}
