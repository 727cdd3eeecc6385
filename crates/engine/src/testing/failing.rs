//! An engine that fails by script: it refuses work, does the work and loses the answer, or holds it until told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::seam::{Area, Batch, Block, Engine, Error, Room, Scan, Space, SpaceId, Visitor, WriteError};

/// What happens to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and answered so.
    NotWritten,
    /// It is done, and its answer is lost: [`WriteError::Unknown`].
    UnknownWritten,
    /// It is not done, and nobody knows: [`WriteError::Unknown`].
    UnknownLost,
}

/// Fails single calls of an engine. Clones share one script.
///
/// Calls are counted over all spaces, each kind for itself; the first call after `new` is number 1. What the
/// script does not name goes through.
#[derive(Debug, Clone)]
pub struct FailingEngine {
    inner: Arc<dyn Engine>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    writes: u64,
    reads: u64,
    write_faults: BTreeMap<u64, Fault>,
    read_faults: BTreeMap<u64, Error>,
    holds: BTreeMap<u64, watch::Sender<Stage>>,
    room: Option<Room>,
}

/// How far a held write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Awaited,
    Held,
    Released,
}

/// A write that is held, or will be when it comes.
#[derive(Debug)]
pub struct HeldWrite(watch::Sender<Stage>);

impl HeldWrite {
    /// Waits until the write has come.
    pub async fn has_come(&self) {
        let mut stage = self.0.subscribe();
        // This handle is a sender, so there is one.
        let _ = stage.wait_for(|stage| *stage != Stage::Awaited).await;
    }

    /// Lets the write go on. So does dropping the handle.
    pub fn release(self) {}
}

impl Drop for HeldWrite {
    fn drop(&mut self) {
        self.0.send_replace(Stage::Released);
    }
}

impl FailingEngine {
    /// An engine that does what `inner` does, so far.
    pub fn new(inner: impl Engine) -> Self {
        Self::around(Arc::new(inner))
    }

    /// An engine that does what `inner` does, so far.
    pub fn around(inner: Arc<dyn Engine>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// The writes and the reads (single or scanning) that have come so far.
    pub fn calls(&self) -> (u64, u64) {
        let script = self.script.lock();
        (script.writes, script.reads)
    }

    /// Fails the `nth` write from now on; the next one is number 1.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        let mut script = self.script.lock();
        let number = script.writes + nth;
        script.write_faults.insert(number, fault);
    }

    /// Holds the `nth` write from now on before anything of it is done. At its deadline it ends not written.
    pub fn hold_write(&self, nth: u64) -> HeldWrite {
        let mut script = self.script.lock();
        let number = script.writes + nth;
        let stage = watch::Sender::new(Stage::Awaited);
        script.holds.insert(number, stage.clone());
        HeldWrite(stage)
    }

    /// Fails the `nth` read or scan from now on.
    pub fn fail_read(&self, nth: u64, error: Error) {
        let mut script = self.script.lock();
        let number = script.reads + nth;
        script.read_faults.insert(number, error);
    }

    /// Answers [`Engine::room`] with this from now on; with the inner engine's answer if it is absent.
    pub fn set_room(&self, room: Option<Room>) {
        self.script.lock().room = room;
    }

    /// Counts a read; fails it if the script says so.
    fn next_read(script: &Mutex<Script>) -> Result<(), Error> {
        let mut script = script.lock();
        script.reads += 1;
        let number = script.reads;
        script.read_faults.remove(&number).map_or(Ok(()), Err)
    }

    /// Counts a write; says what happens to it.
    fn next_write(script: &Mutex<Script>) -> (Option<watch::Sender<Stage>>, Option<Fault>) {
        let mut script = script.lock();
        script.writes += 1;
        let number = script.writes;
        (script.holds.remove(&number), script.write_faults.remove(&number))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Engine for FailingEngine {
    async fn open_space(&self, id: &SpaceId, deadline: Instant) -> Result<Arc<dyn Space>, Error> {
        let inner = self.inner.open_space(id, deadline).await?;
        Ok(Arc::new(FailingSpace { inner, script: Arc::clone(&self.script) }))
    }

    async fn spaces(&self, deadline: Instant) -> Result<Vec<SpaceId>, Error> {
        self.inner.spaces(deadline).await
    }

    async fn drop_space(&self, id: &SpaceId, deadline: Instant) -> Result<(), Error> {
        self.inner.drop_space(id, deadline).await
    }

    fn room(&self) -> Room {
        let room = self.script.lock().room.clone();
        room.unwrap_or_else(|| self.inner.room())
    }

    async fn close(&self, deadline: Instant) -> Result<(), Error> {
        self.inner.close(deadline).await
    }
}

#[derive(Debug)]
struct FailingSpace {
    inner: Arc<dyn Space>,
    script: Arc<Mutex<Script>>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Space for FailingSpace {
    fn id(&self) -> &SpaceId {
        self.inner.id()
    }

    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        FailingEngine::next_read(&self.script)?;
        self.inner.read(area, keys, deadline).await
    }

    async fn scan(&self, scan: Scan, deadline: Instant) -> Result<Block, Error> {
        FailingEngine::next_read(&self.script)?;
        self.inner.scan(scan, deadline).await
    }

    fn visit(&self, mut scan: Scan, deadline: Instant, visitor: &mut Visitor<'_>) -> Result<bool, Error> {
        let fault = FailingEngine::next_read(&self.script).err();
        if fault.is_some() {
            // It fails in the middle: what was handed over before is good.
            scan.entries_max = scan.entries_max.min(2);
        }
        let more = self.inner.visit(scan, deadline, visitor)?;
        fault.map_or(Ok(more), Err)
    }

    async fn write(&self, batch: Batch, deadline: Instant) -> Result<(), WriteError> {
        let (hold, fault) = FailingEngine::next_write(&self.script);
        if let Some(hold) = hold {
            hold.send_if_modified(|stage| {
                let is_awaited = *stage == Stage::Awaited;
                if is_awaited {
                    *stage = Stage::Held;
                }
                is_awaited
            });
            let mut stage = hold.subscribe();
            let released = stage.wait_for(|stage| *stage == Stage::Released);
            if tokio::time::timeout_at(deadline.into(), released).await.is_err() {
                return Err(WriteError::NotWritten(Error::Deadline));
            }
        }
        let scripted = || Error::Unavailable("the script says so".into());
        match fault {
            None => self.inner.write(batch, deadline).await,
            Some(Fault::NotWritten) => Err(WriteError::NotWritten(scripted())),
            Some(Fault::UnknownLost) => Err(WriteError::Unknown(scripted())),
            Some(Fault::UnknownWritten) => {
                self.inner.write(batch, deadline).await?;
                Err(WriteError::Unknown(scripted()))
            }
        }
    }

    async fn trim(&self, below: Bytes, deadline: Instant) -> Result<(), Error> {
        self.inner.trim(below, deadline).await
    }

    async fn log_bytes(&self, deadline: Instant) -> Result<u64, Error> {
        self.inner.log_bytes(deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryEngine;
    use crate::testing::soon;

    fn put(key: &'static str) -> Batch {
        let mut batch = Batch::default();
        batch.put(key, "value");
        batch
    }

    async fn has(space: &dyn Space, key: &'static str) -> bool {
        space.read(Area::Table, vec![key.into()], soon()).await.unwrap()[0].is_some()
    }

    #[tokio::test]
    async fn each_fault_does_and_answers_what_it_says() {
        let engine = FailingEngine::new(MemoryEngine::default());
        let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
        engine.fail_write(2, Fault::NotWritten);
        engine.fail_write(3, Fault::UnknownWritten);
        engine.fail_write(4, Fault::UnknownLost);
        assert!(space.write(put("1"), soon()).await.is_ok());
        assert!(matches!(space.write(put("2"), soon()).await, Err(WriteError::NotWritten(_))));
        assert!(matches!(space.write(put("3"), soon()).await, Err(WriteError::Unknown(_))));
        assert!(matches!(space.write(put("4"), soon()).await, Err(WriteError::Unknown(_))));
        let written = [
            has(&*space, "1").await,
            has(&*space, "2").await,
            has(&*space, "3").await,
            has(&*space, "4").await,
        ];
        assert_eq!(written, [true, false, true, false]);
        assert_eq!(engine.calls(), (4, 4));
    }

    #[tokio::test]
    async fn a_held_write_waits_until_it_is_told() {
        let engine = FailingEngine::new(MemoryEngine::default());
        let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
        let held = engine.hold_write(1);
        let write = tokio::spawn({
            let space = Arc::clone(&space);
            async move { space.write(put("1"), soon()).await }
        });
        held.has_come().await;
        assert!(!has(&*space, "1").await);
        held.release();
        write.await.unwrap().unwrap();
        assert!(has(&*space, "1").await);
    }

    #[tokio::test]
    async fn a_read_fails_when_its_turn_comes() {
        let engine = FailingEngine::new(MemoryEngine::default());
        let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
        engine.fail_read(1, Error::Corrupt("scripted".into()));
        assert!(matches!(space.read(Area::Table, vec![], soon()).await, Err(Error::Corrupt(_))));
        assert!(space.read(Area::Table, vec![], soon()).await.is_ok());
    }
}
