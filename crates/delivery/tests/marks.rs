//! What consumers may rely on: folder marks and "complete up to".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakeferry_model::Value;
use lakeferry_model::delivery::{
    EventTimeColumn, EventTimeFormat, Mode, Phase, TaskEventKind, TaskSpec, TuningChange,
};
use lakeferry_store::Table;

use crate::harness::*;

const MINUTE: Duration = Duration::from_secs(60);

fn by_minute() -> TaskSpec {
    let mut asked = spec("first", Mode::BaseInc);
    asked.destination.prefix = "p/$yyyy/$MM/$dd/$HH/$mm".to_owned();
    asked
}

/// The folder of a minute after the start, at 16:03.
fn minute(at: u32) -> String {
    format!("p/2020/08/31/16/{:02}", 3 + at)
}

fn deliver(process: &Process, table: &Table, rows: u64) {
    process.deliver_now(table, "first");
    process.wait_for_rows(table, "first", rows);
}

#[test]
fn a_folder_is_marked_when_its_time_has_passed_and_all_its_rows_are_in() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, by_minute());
    process.wait_for_rows(&table, "first", 1);
    process.write(&table, [(2, 2), (3, 3)]);
    deliver(&process, &table, 3);
    world.clock.advance(MINUTE - Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(50));
    assert!(world.marks().is_empty(), "its time has not passed");
    process.write(&table, [(4, 4)]);
    world.clock.advance(Duration::from_secs(10));
    std::thread::sleep(Duration::from_millis(50));
    assert!(world.marks().is_empty(), "a row waits");
    deliver(&process, &table, 4);
    process.reaches("the mark", || !world.marks().is_empty());
    let marks = world.marks();
    let mark = &marks[&minute(0)];
    assert_eq!((mark.rows, mark.objects, mark.run, mark.task_id), (4, 3, 1, mark.task_id));
    assert_eq!(mark.ends_at_micros, START + 60_000_000);
    assert!(mark.complete_up_to_micros >= mark.ends_at_micros);
    assert_eq!(marks.len(), 1);
    assert!(world.names().iter().all(|name| !name.ends_with("_SUCCESS")), "it was not asked for");
    assert!(world.lake.lies.lock().is_empty());
}

#[test]
fn a_folder_waits_for_the_tasks_lateness_and_gets_a_success_object_if_asked() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = by_minute();
    asked.tuning.lateness_ms = 600_000;
    asked.tuning.has_success_objects = true;
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    world.clock.advance(MINUTE * 5);
    std::thread::sleep(Duration::from_millis(50));
    assert!(world.marks().is_empty());
    let sooner = TuningChange { lateness_ms: Some(60_000), ..TuningChange::default() };
    process.tune(&table, "first", sooner).unwrap();
    process.reaches("the mark", || world.marks().len() == 1);
    let success = format!("{}/_SUCCESS", minute(0));
    process.reaches("the success object", || {
        world.lake.buckets.lock()["lake"].get(&success).is_some_and(bytes::Bytes::is_empty)
    });
    assert_eq!(world.rows(), [(1, 1)]);
}

#[test]
fn a_folder_that_gets_late_rows_is_marked_again_with_all_its_rows() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = by_minute();
    let format = EventTimeFormat::Unix;
    asked.destination.event_time = Some(EventTimeColumn { column: "at".to_owned(), format });
    process.create(&table, asked);
    let at = START / 1_000_000;
    for late in 0..3_u64 {
        let row = put(i64::try_from(late).unwrap(), vec![("at", Value::Integer(at))]);
        process.try_write(&table, vec![row]);
        deliver(&process, &table, late + 1);
        world.clock.advance(MINUTE);
        process.reaches("the mark", || {
            world
                .marks()
                .get(&minute(0))
                .is_some_and(|mark| mark.rows == late + 1 && mark.objects == late + 1)
        });
    }
    let again =
        || process.history(&table, "first").iter().filter(|event| event.0 == TaskEventKind::Remarked).count();
    process.reaches("the event", || again() == 1);
    // An event time far ahead holds up no other folder, and is not marked before its time.
    let ahead = put(9, vec![("at", Value::Integer(at + 86_400))]);
    process.try_write(&table, vec![ahead, put(10, vec![("at", Value::Integer(at + 60))])]);
    deliver(&process, &table, 5);
    process.reaches("the other mark", || world.marks().contains_key(&minute(1)));
    assert_eq!(world.marks().len(), 2);
    assert!(world.lake.lies.lock().is_empty());
}

#[test]
fn folders_whose_time_comes_again_are_never_marked() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = by_minute();
    asked.destination.prefix = "p/$HH/$mm".to_owned();
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    world.clock.advance(MINUTE * 60);
    process.reaches("the sync point", || process.status(&table, "first").sync_point > START + 3_599_000_000);
    std::thread::sleep(Duration::from_millis(30));
    assert!(world.marks().is_empty());
}

#[test]
fn a_new_run_removes_the_marks_of_the_one_before_and_makes_its_own() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_minute());
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    world.clock.advance(MINUTE * 2);
    process.reaches("the mark", || world.marks().len() == 1);
    world.lake.hold("/first_");
    process.deliver_again(&table, "first");
    process.reaches("the marks' removal", || world.marks().is_empty());
    world.lake.release();
    process.wait_for_rows(&table, "first", 1);
    process.reaches("the new mark", || world.marks().len() == 1);
    let marks = world.marks();
    assert_eq!((marks[&minute(0)].run, marks[&minute(0)].rows, marks[&minute(0)].objects), (2, 1, 1));
}

#[test]
fn a_bucket_that_was_made_again_gets_no_mark_before_its_rows() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_minute());
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    world.lake.remove("lake").unwrap();
    world.lake.make("lake");
    world.clock.advance(MINUTE * 2);
    std::thread::sleep(Duration::from_millis(50));
    // The look at the bucket may have begun a new run already: then its rows come first.
    {
        let buckets = world.lake.buckets.lock();
        let has = |part: &str| buckets["lake"].keys().any(|name| name.contains(part));
        assert!(has("/first_") || !(has("/done/") || has("/complete/")));
    }
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    world.clock.advance(MINUTE * 2);
    process.reaches("the marks", || world.marks().len() == 2);
    assert!(world.lake.lies.lock().is_empty());
}

#[test]
fn a_paused_task_marks_nothing() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_minute());
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    process.pause(&table, "first");
    world.clock.advance(MINUTE * 2);
    std::thread::sleep(Duration::from_millis(50));
    assert!(world.marks().is_empty());
    process.resume(&table, "first");
    process.reaches("the mark", || world.marks().len() == 1);
}

/// Reads each folder once, as soon as its mark is there, and never again; what it read, by folder.
fn consume(world: &World, read: &mut BTreeMap<String, BTreeSet<i64>>) {
    for folder in world.marks().into_keys() {
        read.entry(folder.clone()).or_insert_with(|| {
            let within = format!("{folder}/");
            let objects = world.objects();
            let within = objects.iter().filter(|(name, _)| name.starts_with(&within));
            within.flat_map(|(_, object)| integers(object, "id")).collect()
        });
    }
}

#[test]
fn a_consumer_that_reads_only_marked_folders_never_misses_a_row() {
    // The process ends at any step of writing; another takes over, and rows go on coming.
    for step in (5..120).step_by(7) {
        let world = World::default();
        let mut read = BTreeMap::new();
        let mut written: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        let mut process = world.start_with(Fuse::at(step, step % 2 == 0));
        let mut at = 0;
        while at < 6 {
            let base = i64::from(at) * 100;
            let alive = (|| {
                let table = process.table_in(2)?;
                // It is there already after a restart, unless the end came before it was made.
                drop(process.try_create(&table, by_minute())?);
                process.try_write(&table, (base..base + 5).map(|id| put(id, vec![])).collect())?;
                // Some of the folder is in the lake before the rest of its rows comes.
                let _ = process.delivery().deliver_now(&table, &task_name("first"));
                std::thread::sleep(Duration::from_millis(15));
                consume(&world, &mut read);
                process.try_write(&table, vec![put(base + 5, vec![("v", Value::Integer(1))])])
            })();
            consume(&world, &mut read);
            if alive.is_none() {
                // Whether these were written is not known: they are written again.
                process = world.start();
                continue;
            }
            written.entry(minute(at)).or_default().extend(base..base + 6);
            if at % 2 == 1 {
                let table = process.table_in(2);
                table.into_iter().for_each(|table| {
                    let _ = process.delivery().deliver_now(&table, &task_name("first"));
                });
            }
            std::thread::sleep(Duration::from_millis(8));
            consume(&world, &mut read);
            world.clock.advance(MINUTE);
            at += 1;
        }
        drop(process);
        let process = world.start();
        let table = process.table_in(2).unwrap();
        process.deliver_now(&table, "first");
        process.reaches("all marks", || {
            consume(&world, &mut read);
            written.keys().all(|folder| read.contains_key(folder))
        });
        for (folder, ids) in &written {
            assert!(read[folder].is_superset(ids), "step {step}: {folder} misses rows: {:?}", read[folder]);
        }
        assert!(world.lake.lies.lock().is_empty(), "step {step}: {:?}", world.lake.lies.lock());
    }
}

#[test]
fn a_finished_base_task_says_complete_up_to_also_if_the_first_try_fails() {
    let world = World::default();
    world.lake.denied.lock().push("/complete/".to_owned());
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    std::thread::sleep(Duration::from_millis(50));
    let is_told =
        || world.lake.buckets.lock()["lake"].keys().any(|name| name.starts_with("_lakeferry/complete/"));
    assert!(!is_told());
    world.lake.denied.lock().clear();
    process.reaches("the mark", is_told);
}

#[test]
fn complete_up_to_never_tells_of_rows_that_are_not_in_the_lake() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_minute());
    for id in 0..30_i64 {
        process.write(&table, [(id, id)]);
        if id % 3 == 0 {
            process.deliver_now(&table, "first");
        }
        world.clock.advance(Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(3));
        // The mark is read before the objects: what it tells of must be among them.
        let complete = {
            let buckets = world.lake.buckets.lock();
            let names = buckets["lake"].keys().filter_map(|name| name.split("/complete/").nth(1));
            let times = names.filter_map(|name| name.split('/').nth(1)?.strip_suffix(".json")?.parse().ok());
            times.max().unwrap_or(0_i64)
        };
        let rows: BTreeSet<i64> = world.rows().into_iter().map(|(id, _)| id).collect();
        for committed in 0..=id {
            let at = START + committed * 20_000_000;
            // Commit times lie a little behind the clock, never before it.
            assert!(at + 19_000_000 > complete || rows.contains(&committed), "row {committed}, {complete}");
        }
    }
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 30);
}

#[test]
fn a_folder_of_the_prefix_that_was_left_is_marked_with_its_own_end() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_minute());
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    process.update(&table, "first", |spec| spec.destination.prefix = "q/$yyyy".to_owned()).unwrap();
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 2);
    process.write(&table, [(2, 2)]);
    deliver(&process, &table, 2);
    world.clock.advance(MINUTE * 2);
    process.reaches("the mark", || world.marks().contains_key(&minute(0)));
    assert_eq!(world.marks().keys().collect::<Vec<_>>(), [&minute(0)], "the year is not over");
    assert!(world.lake.lies.lock().is_empty());
}

#[test]
fn a_mark_in_the_bucket_that_a_task_was_updated_to_tells_of_the_rows_there() {
    let world = World::default();
    world.lake.make("other");
    let process = world.start();
    crate::bucket::add_bucket(&process, "other", lakeferry_model::BucketLocation::Local);
    let table = process.table();
    process.create(&table, by_minute());
    process.write(&table, [(1, 1)]);
    deliver(&process, &table, 1);
    let to = lakeferry_model::BucketName::parse("other").unwrap();
    process.update(&table, "first", |spec| spec.destination.bucket = to).unwrap();
    process.reaches("the other bucket", || process.status(&table, "first").configuration == 2);
    process.write(&table, [(2, 2), (3, 3)]);
    deliver(&process, &table, 3);
    world.clock.advance(MINUTE * 2);
    let marks = || -> Vec<u64> {
        let buckets = world.lake.buckets.lock();
        let marks = buckets["other"].iter().filter(|(name, _)| name.starts_with("_lakeferry/done/"));
        let mark = |bytes: &bytes::Bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        marks.map(|(_, bytes)| mark(bytes)["rows"].as_u64().unwrap()).collect()
    };
    process.reaches("the mark", || !marks().is_empty());
    assert_eq!(marks(), [2]);
    assert!(world.marks().is_empty() && world.lake.lies.lock().is_empty());
}
