//! Homes for each kind of engine.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use lakeferry_engine::testing::{CountingEngine, FailingEngine, Fault, Home};
use lakeferry_engine::{Engine, FjallEngine, FjallSettings, MemoryEngine, ReserveSetting};
use tempfile::TempDir;

/// An engine in memory, opened again on the same data.
#[derive(Default)]
pub struct Memory(MemoryEngine);

#[async_trait]
impl Home for Memory {
    async fn open(&self) -> Arc<dyn Engine> {
        Arc::new(self.0.reopen())
    }
}

/// Fjall in a temporary directory.
pub struct Fjall {
    folder: TempDir,
    settings: FjallSettings,
}

impl Default for Fjall {
    fn default() -> Self {
        Self::with(settings())
    }
}

impl Fjall {
    pub fn with(settings: FjallSettings) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("engine")
    }

    pub fn open_fjall(&self) -> FjallEngine {
        FjallEngine::open(&self.dir(), self.settings.clone()).unwrap()
    }
}

#[async_trait]
impl Home for Fjall {
    async fn open(&self) -> Arc<dyn Engine> {
        Arc::new(self.open_fjall())
    }
}

/// The default settings, on a disk of any size.
pub fn settings() -> FjallSettings {
    FjallSettings { cache_bytes: 8 << 20, reserve: ReserveSetting::Bytes(0), ..FjallSettings::default() }
}

/// An engine within two wrappers that do nothing.
pub struct Wrapped<H>(pub H);

#[async_trait]
impl<H: Home> Home for Wrapped<H> {
    async fn open(&self) -> Arc<dyn Engine> {
        Arc::new(FailingEngine::new(CountingEngine::around(self.0.open().await)))
    }
}

/// An engine whose every seventh write or so fails in one way or another.
pub struct Faulty<H>(pub H);

#[async_trait]
impl<H: Home> Home for Faulty<H> {
    async fn open(&self) -> Arc<dyn Engine> {
        let engine = FailingEngine::around(self.0.open().await);
        for nth in 1..1_000 {
            match nth % 21 {
                5 => engine.fail_write(nth, Fault::NotWritten),
                12 => engine.fail_write(nth, Fault::UnknownWritten),
                20 => engine.fail_write(nth, Fault::UnknownLost),
                _ => {}
            }
        }
        Arc::new(engine)
    }
}
