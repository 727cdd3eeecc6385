//! Spaces that come and go: what they leave behind, and that nothing of theirs is found by those after them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_engine::testing::{Home, collect, soon};
use lakeferry_engine::{Area, Batch, Engine, Space, SpaceId};

use crate::homes::{Fjall, settings};

/// The keyspaces that fjall has folders of, its own list among them.
fn keyspace_count(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("keyspaces")).unwrap().count()
}

/// Bytes of fjall's list of keyspaces, with all that it was before.
fn list_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => list_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

async fn space(engine: &dyn Engine, name: &str) -> Arc<dyn Space> {
    engine.open_space(&SpaceId::new(name), soon()).await.unwrap()
}

async fn put(space: &dyn Space, key: &str, bytes: usize) {
    let mut batch = Batch::default();
    batch.put(key.to_owned(), vec![7; bytes]);
    batch.append(key.to_owned(), vec![7; bytes]);
    space.write(batch, soon()).await.unwrap();
}

/// The keys of the table, and those of the log.
async fn keys(space: &dyn Space) -> (Vec<String>, Vec<String>) {
    let mut found = Vec::new();
    for area in [Area::Table, Area::Log] {
        let entries = collect(space, area, b"", None, false, 64).await.unwrap();
        found.push(entries.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect());
    }
    let log = found.pop().unwrap();
    (found.pop().unwrap(), log)
}

#[tokio::test]
async fn spaces_that_come_and_go_leave_no_more_than_those_that_were_there_at_once() {
    let home = Fjall::with(settings());
    let engine = home.open().await;
    let list = home.dir().join("keyspaces").join("0");
    let mut after_first = None;
    for round in 0..20 {
        for number in 0..3 {
            put(&*space(&*engine, &format!("s-{round}-{number}")).await, "key", 100).await;
        }
        for number in 0..3 {
            engine.drop_space(&SpaceId::new(format!("s-{round}-{number}")), soon()).await.unwrap();
        }
        // Emptying takes a flush. Whoever does not wait gets a new pair now and then, on a slow disk more often.
        tokio::time::sleep(Duration::from_millis(60)).await;
        after_first.get_or_insert_with(|| (keyspace_count(&home.dir()), list_bytes(&list)));
    }
    let (count, bytes) = after_first.unwrap();
    // With new ones for each it would be 20 times as many, and the list grows with their square.
    assert!(keyspace_count(&home.dir()) <= 10 * count, "{} keyspaces", keyspace_count(&home.dir()));
    assert!(list_bytes(&list) <= 100 * bytes, "{} bytes, {bytes} after a round", list_bytes(&list));
    assert_eq!(engine.spaces(soon()).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_dropped_space_held_leaves_the_disk() {
    let home = Fjall::with(settings());
    let engine = home.open().await;
    let large = space(&*engine, "large").await;
    for number in 0..48 {
        let mut batch = Batch::default();
        // Of chance, since tables are compressed.
        let value: Vec<u8> = (0..1 << 17).flat_map(|_| rand::random::<u64>().to_le_bytes()).collect();
        batch.put(format!("{number:03}"), value);
        large.write(batch, soon()).await.unwrap();
    }
    let tables = home.dir().join("keyspaces");
    let until = soon();
    while list_bytes(&tables) < 32 << 20 {
        assert!(std::time::Instant::now() < until, "nothing is flushed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.drop_space(large.id(), soon()).await.unwrap();
    let until = soon();
    while list_bytes(&tables) > 1 << 20 {
        assert!(std::time::Instant::now() < until, "{} bytes are still there", list_bytes(&tables));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_of_an_earlier_owner_is_found_over_crashes_and_closings() {
    let home = Fjall::with(settings());
    let mut alive: BTreeSet<String> = BTreeSet::new();
    for round in 0..24 {
        let engine = home.open().await;
        let listed = engine.spaces(soon()).await.unwrap();
        assert!(listed.iter().map(SpaceId::as_str).eq(alive.iter().map(String::as_str)), "{listed:?}");
        for name in &alive {
            let expected = vec![name.clone()];
            assert_eq!(keys(&*space(&*engine, name).await).await, (expected.clone(), expected), "{round}");
        }
        // The older half goes, and as many come, some before what is dropped is emptied and some after.
        for name in alive.iter().take(alive.len() / 2).cloned().collect::<Vec<_>>() {
            engine.drop_space(&SpaceId::new(name.as_str()), soon()).await.unwrap();
            alive.remove(&name);
        }
        for number in 0..4 {
            if number == 2 && round % 3 != 0 {
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            let name = format!("s-{round:02}-{number}");
            put(&*space(&*engine, &name).await, &name, 10_000).await;
            alive.insert(name);
        }
        // One that is made and never written to has nothing either.
        let empty = space(&*engine, "empty").await;
        assert_eq!(keys(&*empty).await, (vec![], vec![]));
        assert_eq!(empty.log_bytes(soon()).await.unwrap(), 0);
        engine.drop_space(empty.id(), soon()).await.unwrap();
        if round % 2 == 0 {
            engine.close(soon()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_space_that_was_not_written_to_shows_nothing_of_dropped_tables() {
    let home = Fjall::with(settings());
    for round in 0..8 {
        let engine = home.open().await;
        put(&*space(&*engine, "old").await, "old", 10).await;
        // Everything is in tables.
        engine.close(soon()).await.unwrap();
        drop(engine);
        let engine = home.open().await;
        engine.drop_space(&SpaceId::new("old"), soon()).await.unwrap();
        // One of them comes when the tables are dropped, and nothing was written since.
        for number in 0..10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let new = space(&*engine, &format!("new-{round}-{number}")).await;
            assert_eq!(keys(&*new).await, (vec![], vec![]), "round {round}, {number}");
        }
        engine.close(soon()).await.unwrap();
    }
}

#[tokio::test]
async fn a_journal_brings_nothing_back_into_a_space_whose_tables_are_gone() {
    let home = Fjall::with(settings());
    let engine = home.open().await;
    put(&*space(&*engine, "old").await, "old", 10).await;
    engine.drop_space(&SpaceId::new("old"), soon()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let new = space(&*engine, "new").await;
    put(&*new, "new", 10).await;
    drop((engine, new));
    // As if all tables of the pair had held tombstones alone, and had been merged to nothing.
    let db = fjall::Database::builder(home.dir()).open().unwrap();
    for name in ["old", "old.log"] {
        use fjall::AbstractTree;
        let keyspace = db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.tree.drop_range::<&[u8], _>(..).unwrap();
        assert_eq!(keyspace.tree.table_count(), 0);
    }
    drop(db);
    for _ in 0..2 {
        let engine = home.open().await;
        assert_eq!(engine.spaces(soon()).await.unwrap(), [SpaceId::new("new")]);
        let new = space(&*engine, "new").await;
        assert_eq!(keys(&*new).await, (vec!["new".to_owned()], vec!["new".to_owned()]));
    }
}

#[tokio::test]
async fn a_space_of_a_name_that_a_pair_has_gets_a_pair_of_another_name() {
    let home = Fjall::with(settings());
    let engine = home.open().await;
    put(&*space(&*engine, "a").await, "first", 10).await;
    engine.drop_space(&SpaceId::new("a"), soon()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    put(&*space(&*engine, "b").await, "b", 10).await;
    put(&*space(&*engine, "a").await, "second", 10).await;
    drop(engine);
    let db = fjall::Database::builder(home.dir()).open().unwrap();
    let mut names: Vec<_> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["_kick", "a", "a.1", "a.1.log", "a.log"]);
    drop(db);
    let engine = home.open().await;
    let [a, b] = [space(&*engine, "a").await, space(&*engine, "b").await];
    assert_eq!(keys(&*a).await.0, ["second"]);
    assert_eq!(keys(&*b).await.0, ["b"]);
}
