//! Starts: what a close leaves to read, and what a crash leaves behind.

use std::path::Path;

use lakeferry_engine::testing::{Home, collect, soon};
use lakeferry_engine::{Area, Batch, Engine, Error, FjallEngine, SpaceId};

use crate::homes::{Fjall, settings};

fn journal_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let journals = entries.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "jnl"));
    journals.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn after_a_close_there_is_no_journal_to_read() {
    let home = Fjall::default();
    let engine = home.open().await;
    for at in 0..10 {
        let space = engine.open_space(&SpaceId::new(format!("s-{at}")), soon()).await.unwrap();
        for number in 0..100 {
            let mut batch = Batch::default();
            batch.put(format!("{number:03}"), vec![at; 1_000]);
            batch.append(format!("{number:03}"), vec![at; 1_000]);
            space.write(batch, soon()).await.unwrap();
        }
    }
    engine.close(soon()).await.unwrap();
    assert_eq!(journal_bytes(&home.dir()), 0);
    drop(engine);
    let engine = home.open().await;
    for at in 0..10 {
        let space = engine.open_space(&SpaceId::new(format!("s-{at}")), soon()).await.unwrap();
        for area in [Area::Table, Area::Log] {
            let entries = collect(&*space, area, b"", None, false, 64).await.unwrap();
            assert_eq!(entries.len(), 100);
            assert!(entries.iter().all(|(_, value)| value[..] == [at; 1_000]));
        }
    }
}

#[tokio::test]
async fn two_engines_cannot_have_one_directory() {
    let home = Fjall::default();
    let engine = home.open_fjall();
    assert!(matches!(FjallEngine::open(&home.dir(), settings()), Err(Error::Unavailable(_))));
    engine.close(soon()).await.unwrap();
    drop(home.open_fjall());
}

#[tokio::test]
async fn what_a_crash_left_of_a_space_is_removed() {
    let home = Fjall::default();
    let engine = home.open().await;
    let space = engine.open_space(&SpaceId::new("kept"), soon()).await.unwrap();
    let mut batch = Batch::default();
    batch.append("1", "x");
    space.write(batch, soon()).await.unwrap();
    engine.close(soon()).await.unwrap();
    drop((space, engine));
    // A crash while a space was dropped, or made, leaves a log without a table.
    let db = fjall::Database::builder(home.dir()).open().unwrap();
    let orphan = db.keyspace("dropped.log", fjall::KeyspaceCreateOptions::default).unwrap();
    orphan.insert("1", "y").unwrap();
    drop((orphan, db));

    let engine = home.open().await;
    assert_eq!(engine.spaces(soon()).await.unwrap(), [SpaceId::new("kept")]);
    let space = engine.open_space(&SpaceId::new("dropped"), soon()).await.unwrap();
    assert_eq!(collect(&*space, Area::Log, b"", None, false, 9).await.unwrap(), []);
    let space = engine.open_space(&SpaceId::new("kept"), soon()).await.unwrap();
    assert_eq!(collect(&*space, Area::Log, b"", None, false, 9).await.unwrap().len(), 1);
    engine.close(soon()).await.unwrap();
    drop((space, engine));
    let db = fjall::Database::builder(home.dir()).open().unwrap();
    let mut names: Vec<_> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["_kick", "dropped", "dropped.log", "kept", "kept.log"]);
}
