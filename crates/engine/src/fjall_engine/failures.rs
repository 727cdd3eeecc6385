//! Tests that break the database under the engine, or hold it where it can be held.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::AbstractTree;
use tempfile::TempDir;

use super::journals::Journals;
use super::*;
use crate::seam::{Area, Batch, Scan, WriteError};
use crate::testing::soon;

struct Fixture {
    folder: TempDir,
    engine: FjallEngine,
    space: Arc<dyn Space>,
    stuck: mpsc::Receiver<()>,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (call, stuck) = mpsc::channel();
    let settings = FjallSettings {
        reserve: ReserveSetting::Bytes(0),
        stuck_after: Duration::from_millis(100),
        ..FjallSettings::default()
    };
    // Whoever listened may be gone by then.
    let on_stuck = Box::new(move || call.send(()).unwrap_or(()));
    let parts = Parts { on_stuck, ..Parts::default() };
    let engine = FjallEngine::open_with(folder.path(), settings, parts).unwrap();
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    Fixture { folder, engine, space, stuck }
}

impl Fixture {
    async fn put(&self, key: &str, deadline: Instant) -> Result<(), WriteError> {
        let mut batch = Batch::default();
        batch.put(key.to_owned(), "value");
        batch.append(key.to_owned(), "value");
        self.space.write(batch, deadline).await
    }

    async fn has(&self, key: &'static str) -> Result<bool, Error> {
        let values = self.space.read(Area::Table, vec![Bytes::from(key)], soon()).await?;
        Ok(values[0].is_some())
    }

    /// Tries until the database is open again.
    async fn put_at_last(&self, key: &str) {
        let until = soon();
        while let Err(error) = self.put(key, soon()).await {
            assert!(matches!(error, WriteError::NotWritten(Error::Unavailable(_))), "{error:?}");
            assert!(Instant::now() < until, "it does not open again: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Holds what `take` gives, on a thread of its own, until it is dropped.
struct Hold(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Hold {
    fn new<T>(take: impl FnOnce(&dyn Fn()) -> T + Send + 'static) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (told, is_held) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            take(&|| {
                told.send(()).unwrap();
                let _ = released.recv();
            });
        });
        is_held.recv().unwrap();
        Self(Some((release, thread)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some((release, thread)) = self.0.take() else { return };
        drop(release);
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_poisoned_database_is_opened_again_and_has_lost_nothing() {
    let fixture = fixture().await;
    fixture.put("1", soon()).await.unwrap();
    let opened = fixture.engine.shared.opened().unwrap();
    let space = opened.space(fixture.space.id()).unwrap();
    // A flush that cannot write its table poisons the database.
    std::fs::remove_dir_all(space.table.keyspace.path().join("tables")).unwrap();
    space.table.rotate().unwrap();
    let poisoned = Arc::downgrade(&opened);
    drop((space, opened));
    let until = soon();
    while poisoned.upgrade().is_some() {
        assert!(Instant::now() < until, "the poisoned database is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.put_at_last("2").await;
    assert!(fixture.has("1").await.unwrap());
    assert!(fixture.has("2").await.unwrap());
    let log = fixture.space.read(Area::Log, vec!["1".into(), "2".into()], soon()).await.unwrap();
    assert!(log.iter().all(Option::is_some));
}

#[tokio::test]
async fn after_a_failure_nothing_is_written_behind_what_the_old_journal_held() {
    let fixture = fixture().await;
    let mut batch = Batch::default();
    // Of chance, since fjall compresses what it writes to its journal.
    let large: Vec<u8> = (0..1 << 17).flat_map(|_| rand::random::<u64>().to_le_bytes()).collect();
    batch.put("large", large);
    fixture.space.write(batch, soon()).await.unwrap();
    let journal = || Journals::find(fixture.folder.path()).unwrap();
    assert!(journal().newest_bytes >= 1 << 20);
    let opened = fixture.engine.shared.opened().unwrap();
    let other = opened.make_space(&SpaceId::new("other"), &fixture.engine.shared.lives).unwrap();
    other.table.keyspace.insert("key", "value").unwrap();
    std::fs::remove_dir_all(other.table.keyspace.path().join("tables")).unwrap();
    other.table.rotate().unwrap();
    let poisoned = Arc::downgrade(&opened);
    drop((other, opened));
    let until = soon();
    while poisoned.upgrade().is_some() || fixture.engine.shared.opened().is_err() {
        assert!(Instant::now() < until, "the database is not opened again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(journal().oldest, journal().newest);
    assert!(journal().newest_bytes < 1 << 20, "the journal still holds what may not be on disk");
    assert!(fixture.has("large").await.unwrap());
    fixture.put("1", soon()).await.unwrap();
    drop(fixture.engine);
    let engine = FjallEngine::open(fixture.folder.path(), FjallSettings::default()).unwrap();
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    let values = space.read(Area::Table, vec!["large".into(), "1".into()], soon()).await.unwrap();
    assert!(values.iter().all(Option::is_some));
}

#[tokio::test]
async fn a_torn_batch_at_the_end_of_the_journal_does_not_stop_the_start() {
    let fixture = fixture().await;
    fixture.put("1", soon()).await.unwrap();
    let mut batch = Batch::default();
    batch.put("torn", "a value whose page was lost");
    fixture.space.write(batch, soon()).await.unwrap();
    drop(fixture.engine);
    let newest = Journals::find(fixture.folder.path()).unwrap().newest;
    let path = fixture.folder.path().join(format!("{newest}.jnl"));
    let mut journal = std::fs::read(&path).unwrap();
    let at = journal.windows(5).rposition(|window| window == b"whose").unwrap();
    journal[at..at + 5].fill(0);
    std::fs::write(&path, journal).unwrap();
    let engine = FjallEngine::open(fixture.folder.path(), FjallSettings::default()).unwrap();
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    let values = space.read(Area::Table, vec!["1".into(), "torn".into()], soon()).await.unwrap();
    assert_eq!(values.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_before_a_damaged_block_are_read() {
    let fixture = fixture().await;
    let mut batch = Batch::default();
    let row = |number: usize| (Bytes::from(format!("{number:04}")), rand::random::<[u8; 100]>());
    for (key, value) in (0..1_000).map(row) {
        batch.put(key, value.to_vec());
    }
    fixture.space.write(batch, soon()).await.unwrap();
    let space = fixture.engine.shared.opened().unwrap().space(fixture.space.id()).unwrap();
    let tables = space.table.keyspace.path().join("tables");
    drop(space);
    fixture.engine.close(soon()).await.unwrap();
    drop((fixture.space, fixture.engine));
    for table in std::fs::read_dir(tables).unwrap() {
        let path = table.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16].fill(0xAA);
        std::fs::write(&path, bytes).unwrap();
    }

    let engine = FjallEngine::open(fixture.folder.path(), FjallSettings::default()).unwrap();
    let space = engine.open_space(&SpaceId::new("s"), soon()).await.unwrap();
    let mut is_good = Vec::new();
    for number in 0..1_000 {
        is_good.push(space.read(Area::Table, vec![row(number).0], soon()).await.is_ok());
    }
    for backward in [false, true] {
        let good = if backward {
            is_good.iter().rev().take_while(|is_good| **is_good).count()
        } else {
            is_good.iter().take_while(|is_good| **is_good).count()
        };
        assert!((100..900).contains(&good), "{good} rows before the damage");
        let scan = |entries_max| {
            let (from, to) = (Bytes::new(), None);
            Scan { area: Area::Table, from, to, backward, entries_max, bytes_max: usize::MAX }
        };
        let visit = |entries_max, breaks_at| {
            let space = Arc::clone(&space);
            let scan = scan(entries_max);
            let visit = move || {
                let mut count = 0;
                let visited = space.visit(scan, soon(), &mut |_, _| {
                    count += 1;
                    if count == breaks_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                (count, visited)
            };
            async { tokio::task::spawn_blocking(visit).await.unwrap() }
        };
        let (visited, outcome) = visit(usize::MAX, usize::MAX).await;
        assert!(matches!(outcome, Err(Error::Corrupt(_))), "{outcome:?}");
        // Fjall itself holds back two until it has seen what follows them.
        assert!((good - 2..=good).contains(&visited), "{visited} of {good}");
        assert!(matches!(visit(visited, usize::MAX).await, (count, Ok(true)) if count == visited));
        assert!(matches!(visit(usize::MAX, visited).await, (count, Ok(true)) if count == visited));
        assert!(matches!(visit(visited + 1, usize::MAX).await, (count, Err(_)) if count == visited));
        let block = space.scan(scan(visited), soon()).await.unwrap();
        assert_eq!((block.len(), block.more), (visited, true));
        let outcome = space.scan(scan(visited + 1), soon()).await;
        assert!(matches!(outcome, Err(Error::Corrupt(_))), "{outcome:?}");
    }
}

#[test]
fn journals_that_cannot_be_listed_now_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FjallSettings::default();
    let opened = Opened::open(folder.path(), &settings, &Lives::default()).unwrap();
    let space = opened.make_space(&SpaceId::new("s"), &Lives::default()).unwrap();
    let mut upkeep = upkeep::Upkeep::new(&folder.path().join("away"), &settings);
    upkeep.trim(&space, "1".into()).unwrap();
    upkeep.tick(&opened).unwrap();
}

#[tokio::test]
async fn while_the_database_cannot_be_opened_everything_is_refused() {
    let fixture = fixture().await;
    fixture.put("1", soon()).await.unwrap();
    let space = fixture.engine.shared.opened().unwrap().space(fixture.space.id()).unwrap();
    let away = fixture.folder.path().join("version-away");
    std::fs::rename(fixture.folder.path().join("version"), &away).unwrap();
    std::fs::write(fixture.folder.path().join("version"), "no version").unwrap();
    std::fs::remove_dir_all(space.table.keyspace.path().join("tables")).unwrap();
    space.table.rotate().unwrap();
    drop(space);
    let until = soon();
    while fixture.engine.shared.opened.read().is_some() {
        assert!(Instant::now() < until, "the poisoned database is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let outcome = fixture.put("2", soon()).await;
    assert!(matches!(outcome, Err(WriteError::NotWritten(Error::Unavailable(_)))), "{outcome:?}");
    assert!(matches!(fixture.has("1").await, Err(Error::Unavailable(_))));
    std::fs::rename(&away, fixture.folder.path().join("version")).unwrap();
    fixture.put_at_last("3").await;
    assert!(fixture.has("1").await.unwrap());
    assert!(!fixture.has("2").await.unwrap());
}

#[tokio::test]
async fn a_commit_that_hangs_is_unknown_at_its_deadline_and_told() {
    let fixture = fixture().await;
    fixture.put("1", soon()).await.unwrap();
    let keyspaces = Arc::clone(&fixture.engine.shared.opened().unwrap().db.supervisor.keyspaces);
    // A commit passes this lock after it has written the journal.
    let hold = Hold::new(move |wait| {
        let _guard = keyspaces.write().unwrap();
        wait();
    });
    let outcome = fixture.put("2", Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(outcome, Err(WriteError::Unknown(Error::Deadline))), "{outcome:?}");
    // One behind it is not taken, so it is known not to be done.
    let outcome = fixture.put("3", Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(outcome, Err(WriteError::NotWritten(Error::Deadline))), "{outcome:?}");
    assert!(!fixture.has("2").await.unwrap(), "reads go on, and do not see what hangs");
    let mut stuck = fixture.stuck;
    loop {
        let told = move || {
            stuck.recv_timeout(Duration::from_secs(60)).unwrap();
            stuck
        };
        stuck = tokio::task::spawn_blocking(told).await.unwrap();
        // On a busy machine an earlier commit may have been slow enough to be told of, and have come back.
        if fixture.engine.stuck() {
            break;
        }
    }
    drop(hold);
    let mut batch = Batch::default();
    batch.put("4", "value");
    fixture.space.write(batch, soon()).await.unwrap();
    let keys = ["2", "3", "4"].map(Bytes::from).to_vec();
    let values = fixture.space.read(Area::Table, keys, soon()).await.unwrap();
    assert_eq!(values.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert!(!fixture.engine.stuck());
}

#[tokio::test]
async fn a_space_dropped_before_a_failure_is_gone_after_it() {
    let fixture = fixture().await;
    let id = fixture.space.id().clone();
    fixture.engine.drop_space(&id, soon()).await.unwrap();
    let other = fixture.engine.open_space(&id, soon()).await.unwrap();
    let space = fixture.engine.shared.opened().unwrap().space(&id).unwrap();
    let mut batch = Batch::default();
    batch.put("1", "value");
    other.write(batch.clone(), soon()).await.unwrap();
    // Its keyspaces are those of its first life, and hold a table already.
    let tables = space.table.keyspace.path().join("tables");
    let away = fixture.folder.path().join("tables-away");
    std::fs::rename(&tables, &away).unwrap();
    space.table.rotate().unwrap();
    drop(space);
    let until = soon();
    // The new life goes on over the reopening, the old one stays over.
    loop {
        assert!(matches!(fixture.has("1").await, Err(Error::SpaceGone(_))));
        tokio::time::sleep(Duration::from_millis(20)).await;
        if other.write(batch.clone(), soon()).await.is_err() {
            break;
        }
        assert!(Instant::now() < until, "the database did not fail");
    }
    std::fs::rename(&away, &tables).unwrap();
    while let Err(error) = other.write(batch.clone(), soon()).await {
        assert!(Instant::now() < until, "it does not open again: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(fixture.has("1").await, Err(Error::SpaceGone(_))));
}

#[tokio::test]
async fn a_write_given_up_while_fjall_flushes_is_not_done_with_its_group() {
    let fixture = fixture().await;
    let opened = fixture.engine.shared.opened().unwrap();
    let space = opened.space(fixture.space.id()).unwrap();
    drop(opened);
    let keyspace = space.table.keyspace.clone();
    let hold = Hold::new(move |wait| {
        let _guard = keyspace.tree.get_flush_lock();
        wait();
    });
    for key in ["1", "2", "3"] {
        fixture.put(key, soon()).await.unwrap();
        space.table.rotate().unwrap();
    }
    assert!(space.table.is_crowded());
    // The first one holds the writer until the other two are behind it; those then form a group, in which one
    // is given up and the other is not.
    let after = |millis| Instant::now() + Duration::from_millis(millis);
    let writes = async {
        let (first, given_up) =
            tokio::join!(fixture.put("first", after(200)), fixture.put("given-up", after(500)));
        assert!(matches!(first, Err(WriteError::NotWritten(Error::Deadline))), "{first:?}");
        assert!(matches!(given_up, Err(WriteError::NotWritten(Error::Deadline))), "{given_up:?}");
        drop(hold);
    };
    let (kept, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fixture.put("kept", soon()).await
        },
        writes
    );
    kept.unwrap();
    assert!(fixture.has("kept").await.unwrap());
    assert!(!fixture.has("given-up").await.unwrap());
    assert!(!fixture.has("first").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_seen_whole_also_while_fjall_counts_up() {
    let fixture = fixture().await;
    let supervisor = fixture.engine.shared.opened().unwrap().db.supervisor.clone();
    let stop = Arc::new(AtomicBool::new(false));
    // As flushes and compactions do, in the midst of a batch, only more often.
    let counter = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                let number = supervisor.seqno.next();
                supervisor.snapshot_tracker.set(number + 1);
                std::thread::yield_now();
            }
        }
    });
    let number_all = |number: u64| {
        let mut batch = Batch::default();
        for key in 0..500 {
            batch.put(format!("{key:03}"), number.to_string());
        }
        batch
    };
    fixture.space.write(number_all(0), soon()).await.unwrap();
    let writer = tokio::spawn({
        let space = Arc::clone(&fixture.space);
        async move {
            for number in 1..150 {
                space.write(number_all(number), soon()).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let keys = ["000", "100", "200", "300", "400", "499"].map(Bytes::from).to_vec();
        let values = fixture.space.read(Area::Table, keys, soon()).await.unwrap();
        assert!(values.iter().all(|value| *value == values[0]), "a read sees parts of two batches");
        let scan = Scan {
            area: Area::Table,
            from: Bytes::new(),
            to: None,
            backward: false,
            entries_max: 1_000,
            bytes_max: 1 << 20,
        };
        let block = fixture.space.scan(scan, soon()).await.unwrap();
        assert!(
            block.iter().all(|(_, value)| value == block.entry(0).1),
            "a block holds parts of two batches"
        );
    }
    stop.store(true, Ordering::Relaxed);
    counter.join().unwrap();
    writer.await.unwrap();
}
