//! An engine that counts what another one is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::seam::{Area, Batch, Block, Engine, Error, Room, Scan, Space, SpaceId, Visitor, WriteError};

/// Counts the calls of an engine. Clones count together.
#[derive(Debug, Clone)]
pub struct CountingEngine {
    inner: Arc<dyn Engine>,
    counters: Arc<Counters>,
}

/// What was asked for so far, whether it succeeded or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of [`Space::read`].
    pub reads: u64,
    /// Keys in them.
    pub keys_read: u64,
    /// Calls of [`Space::scan`] and [`Space::visit`].
    pub scans: u64,
    /// Bytes that they gave.
    pub bytes_scanned: u64,
    /// Calls of [`Space::write`].
    pub writes: u64,
    /// Bytes of keys and values in their batches.
    pub bytes_written: u64,
    /// Calls of [`Space::trim`].
    pub trims: u64,
}

#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    keys_read: AtomicU64,
    scans: AtomicU64,
    bytes_scanned: AtomicU64,
    writes: AtomicU64,
    bytes_written: AtomicU64,
    trims: AtomicU64,
}

impl CountingEngine {
    /// Counts the calls of `inner`.
    pub fn new(inner: impl Engine) -> Self {
        Self::around(Arc::new(inner))
    }

    /// Counts the calls of `inner`.
    pub fn around(inner: Arc<dyn Engine>) -> Self {
        Self { inner, counters: Arc::default() }
    }

    /// What was asked for so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reads: get(&counters.reads),
            keys_read: get(&counters.keys_read),
            scans: get(&counters.scans),
            bytes_scanned: get(&counters.bytes_scanned),
            writes: get(&counters.writes),
            bytes_written: get(&counters.bytes_written),
            trims: get(&counters.trims),
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Engine for CountingEngine {
    async fn open_space(&self, id: &SpaceId, deadline: Instant) -> Result<Arc<dyn Space>, Error> {
        let inner = self.inner.open_space(id, deadline).await?;
        Ok(Arc::new(CountingSpace { inner, counters: Arc::clone(&self.counters) }))
    }

    async fn spaces(&self, deadline: Instant) -> Result<Vec<SpaceId>, Error> {
        self.inner.spaces(deadline).await
    }

    async fn drop_space(&self, id: &SpaceId, deadline: Instant) -> Result<(), Error> {
        self.inner.drop_space(id, deadline).await
    }

    fn room(&self) -> Room {
        self.inner.room()
    }

    async fn close(&self, deadline: Instant) -> Result<(), Error> {
        self.inner.close(deadline).await
    }
}

#[derive(Debug)]
struct CountingSpace {
    inner: Arc<dyn Space>,
    counters: Arc<Counters>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Space for CountingSpace {
    fn id(&self) -> &SpaceId {
        self.inner.id()
    }

    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        add(&self.counters.reads, 1);
        add(&self.counters.keys_read, keys.len());
        self.inner.read(area, keys, deadline).await
    }

    async fn scan(&self, scan: Scan, deadline: Instant) -> Result<Block, Error> {
        add(&self.counters.scans, 1);
        let block = self.inner.scan(scan, deadline).await?;
        add(&self.counters.bytes_scanned, block.bytes());
        Ok(block)
    }

    fn visit(&self, scan: Scan, deadline: Instant, visitor: &mut Visitor<'_>) -> Result<bool, Error> {
        add(&self.counters.scans, 1);
        self.inner.visit(scan, deadline, &mut |key, value| {
            add(&self.counters.bytes_scanned, key.len() + value.len());
            visitor(key, value)
        })
    }

    async fn write(&self, batch: Batch, deadline: Instant) -> Result<(), WriteError> {
        add(&self.counters.writes, 1);
        add(&self.counters.bytes_written, batch.bytes());
        self.inner.write(batch, deadline).await
    }

    async fn trim(&self, below: Bytes, deadline: Instant) -> Result<(), Error> {
        add(&self.counters.trims, 1);
        self.inner.trim(below, deadline).await
    }

    async fn log_bytes(&self, deadline: Instant) -> Result<u64, Error> {
        self.inner.log_bytes(deadline).await
    }
}
