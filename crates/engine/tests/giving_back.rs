//! What a trim lets go comes back to the disk within a minute, with nothing being written.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::fjall_engine::{DiskSpace, Parts, Statvfs};
use lakeferry_engine::testing::{Home, soon};
use lakeferry_engine::{Batch, Engine, FjallEngine, FjallSettings, ReserveSetting, Room, Space, SpaceId};

use crate::homes::{Fjall, settings};

const MIB: u64 = 1 << 20;

/// What is written in all. Fjall by itself flushes idle spaces once its journals hold 256 MiB; it shall not come to
/// that, so that it is the engine's doing that they go.
const WRITTEN: u64 = 200 * MIB;

/// What may remain of a log of any length: fjall's journal file of 64 MB and a little more, and the database's
/// own files.
const REMAINS_MAX: u64 = 72 * MIB;

#[tokio::test]
async fn of_one_space() {
    let home = Fjall::with(settings());
    check(&home, home.open().await, 1).await;
}

#[tokio::test]
async fn of_many_spaces() {
    let home = Fjall::with(settings());
    check(&home, home.open().await, 24).await;
}

#[tokio::test]
async fn of_many_spaces_on_a_disk_at_its_reserve() {
    /// A disk that has less free than must be, and more than a quarter of it.
    #[derive(Debug)]
    struct AtReserve;

    impl Statvfs for AtReserve {
        fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
            Ok(DiskSpace { free: 600, total: 1_000_000 })
        }
    }

    let settings = FjallSettings { reserve: ReserveSetting::Bytes(1_000), ..settings() };
    let home = Fjall::with(settings.clone());
    let parts = Parts { statvfs: Arc::new(AtReserve), ..Parts::default() };
    let engine = FjallEngine::open_with(&home.dir(), settings, parts).unwrap();
    assert_eq!(engine.room(), Room::AtReserve { free: 600, reserve: 1_000 });
    check(&home, Arc::new(engine), 24).await;
}

#[tokio::test]
async fn of_all_but_the_end_of_each_log() {
    let home = Fjall::with(settings());
    let engine = home.open().await;
    let spaces = make_spaces(&*engine, 24).await;
    // As a reader goes who is always a little behind: what one trim reaches into, the next one takes.
    let mut end = 0;
    for _ in 0..8 {
        let next = end + 2_048;
        for space in &spaces {
            append(&**space, end..next).await;
            space.trim(key(next - 16), soon()).await.unwrap();
        }
        end = next;
    }
    for space in &spaces {
        append(&**space, end..end + 16).await;
        space.trim(key(end), soon()).await.unwrap();
    }
    wait_until_at_most(&home.dir(), REMAINS_MAX).await;
    for space in &spaces {
        assert!(space.log_bytes(soon()).await.unwrap() <= 2 * MIB);
    }
}

/// Fills the logs of so many spaces, trims them, and waits.
async fn check(home: &Fjall, engine: Arc<dyn Engine>, space_count: u64) {
    let spaces = make_spaces(&*engine, space_count).await;
    let entries = WRITTEN / space_count / 1_024 / 8 * 8;
    for round in 0..8 {
        for space in &spaces {
            append(&**space, entries / 8 * round..entries / 8 * (round + 1)).await;
        }
    }
    assert!(disk_bytes(&home.dir()) > WRITTEN - MIB, "less is on the disk than was written");
    for space in &spaces {
        space.trim(key(entries), soon()).await.unwrap();
    }
    wait_until_at_most(&home.dir(), REMAINS_MAX).await;
    for space in &spaces {
        assert_eq!(space.log_bytes(soon()).await.unwrap(), 0);
    }
}

/// Spaces with a row each, which stays in memory and so would hold every journal back.
async fn make_spaces(engine: &dyn Engine, count: u64) -> Vec<Arc<dyn Space>> {
    let mut spaces = Vec::new();
    for number in 0..count {
        let id = SpaceId::new(format!("s-{number}"));
        let space = engine.open_space(&id, soon()).await.unwrap();
        let mut batch = Batch::default();
        batch.put("row", "value");
        space.write(batch, soon()).await.unwrap();
        spaces.push(space);
    }
    spaces
}

fn key(number: u64) -> Bytes {
    format!("{number:010}").into()
}

/// Appends entries of a kilobyte each.
async fn append(space: &dyn Space, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(512) {
        let mut batch = Batch::default();
        for number in some {
            batch.append(key(*number), noise(*number));
        }
        space.write(batch, soon()).await.unwrap();
    }
}

/// A kilobyte that does not compress.
fn noise(number: u64) -> Vec<u8> {
    let mut chance = lakeferry_engine::testing::Chance::new(number);
    (0..128).flat_map(|_| chance.below(u64::MAX).to_le_bytes()).collect()
}

async fn wait_until_at_most(dir: &Path, bytes_max: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let bytes = disk_bytes(dir);
        if bytes <= bytes_max {
            return;
        }
        assert!(Instant::now() < until, "{} MiB are still on the disk after a minute", bytes / MIB);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Bytes that a folder takes on the disk. Files may go while they are counted.
fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = entries.filter_map(Result::ok).filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * 512 })
    });
    bytes.sum()
}
