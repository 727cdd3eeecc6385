//! Deadlines and full disks, with a disk that is asked by the test.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::fjall_engine::{DiskSpace, Parts, Statvfs};
use lakeferry_engine::testing::soon;
use lakeferry_engine::{
    Area, Batch, Engine, Error, FjallEngine, FjallSettings, ReserveSetting, Room, Space, SpaceId, WriteError,
};
use parking_lot::{Mutex, MutexGuard};

use crate::homes::{Fjall, settings};

/// A disk with so much free. While the test has it locked, whoever asks it waits.
#[derive(Debug, Default)]
struct ScriptedDisk(Mutex<u64>);

impl Statvfs for ScriptedDisk {
    fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
        Ok(DiskSpace { free: *self.0.lock(), total: 1_000_000 })
    }
}

/// How long the engine may go by what the disk said last.
const SAID: Duration = Duration::from_millis(260);

fn open(disk: &Arc<ScriptedDisk>) -> (Fjall, FjallEngine) {
    let settings = FjallSettings { reserve: ReserveSetting::Bytes(1_000), ..settings() };
    let home = Fjall::with(settings.clone());
    let parts = Parts { statvfs: Arc::clone(disk) as Arc<dyn Statvfs>, ..Parts::default() };
    let engine = FjallEngine::open_with(&home.dir(), settings, parts).unwrap();
    (home, engine)
}

fn put(key: &'static str) -> Batch {
    let mut batch = Batch::default();
    batch.put(key, "value");
    batch
}

async fn has(space: &dyn Space, key: &'static str) -> bool {
    space.read(Area::Table, vec![Bytes::from(key)], soon()).await.unwrap()[0].is_some()
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the engine shall wait for it meanwhile")]
async fn a_write_that_waits_at_its_deadline_is_never_done() {
    let disk = Arc::new(ScriptedDisk(Mutex::new(1_000_000)));
    let (_home, engine) = open(&disk);
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    tokio::time::sleep(SAID).await;
    let held = disk.0.lock();
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = space.write(put("given-up"), deadline).await;
    assert!(matches!(outcome, Err(WriteError::NotWritten(Error::Deadline))), "{outcome:?}");
    let trimmed = space.trim("x".into(), Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(trimmed, Err(Error::Deadline)), "{trimmed:?}");
    MutexGuard::unlock_fair(held);
    space.write(put("later"), soon()).await.unwrap();
    assert!(has(&*space, "later").await);
    assert!(!has(&*space, "given-up").await);
}

#[tokio::test]
async fn at_the_reserve_the_engine_says_so_and_at_the_floor_it_takes_notes_alone() {
    let disk = Arc::new(ScriptedDisk(Mutex::new(1_000)));
    let (_home, engine) = open(&disk);
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    assert_eq!(engine.room(), Room::Free);
    space.write(put("1"), soon()).await.unwrap();

    *disk.0.lock() = 999;
    tokio::time::sleep(SAID).await;
    assert_eq!(engine.room(), Room::AtReserve { free: 999, reserve: 1_000 });
    space.write(put("2"), soon()).await.unwrap();

    *disk.0.lock() = 249;
    tokio::time::sleep(SAID).await;
    let mut large = put("3");
    large.put("beside", vec![7; 100_000]);
    let outcome = space.write(large, soon()).await;
    assert!(matches!(outcome, Err(WriteError::NotWritten(Error::Unavailable(_)))), "{outcome:?}");
    space.write(put("note"), soon()).await.unwrap();
    space.trim("x".into(), soon()).await.unwrap();

    *disk.0.lock() = 1_000;
    tokio::time::sleep(SAID).await;
    assert_eq!(engine.room(), Room::Free);
    space.write(put("4"), soon()).await.unwrap();
    assert!(has(&*space, "2").await);
    assert!(!has(&*space, "3").await);
    assert!(has(&*space, "note").await);
}

#[tokio::test]
async fn what_fjall_cannot_hold_is_refused_and_nothing_else() {
    let disk = Arc::new(ScriptedDisk(Mutex::new(1_000)));
    let (_home, engine) = open(&disk);
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    for key in [Bytes::new(), Bytes::from(vec![1; 65_536])] {
        let mut batch = put("beside");
        batch.put(key, "value");
        let outcome = space.write(batch, soon()).await;
        assert!(matches!(outcome, Err(WriteError::NotWritten(_))), "{outcome:?}");
    }
    assert!(!has(&*space, "beside").await);
    let mut batch = Batch::default();
    batch.put(vec![1; 65_535], "value");
    space.write(batch, soon()).await.unwrap();
}
