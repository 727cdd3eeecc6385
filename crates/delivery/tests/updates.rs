//! A running task is changed between two cuts: each object is of one schema and one configuration, and each
//! change arrives once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lakeferry_delivery::{CreateVia, ErrorKind};
use lakeferry_model::delivery::{
    Compression, Field, FieldKind, Mode, Phase, SchemaSpec, TaskError, TaskEventKind, TaskSpec, TuningChange,
};
use lakeferry_model::{RowOperation, Value};
use lakeferry_store::Table;

use crate::dirty::manifests;
use crate::harness::*;

fn field(source: &str, target: &str, kind: FieldKind) -> Field {
    let (source, target) = (source.to_owned(), target.to_owned());
    Field { source, target, kind, encoding: Default::default(), type_extend: None }
}

pub fn ids_and(more: &[(&str, &str, FieldKind)]) -> SchemaSpec {
    let id = field("id", "id", FieldKind::Int64);
    let more = more.iter().map(|(source, target, kind)| field(source, target, *kind));
    SchemaSpec::Manual(std::iter::once(id).chain(more).collect())
}

fn delivered(process: &Process, table: &Table, rows: u64) {
    process.reaches("the rows", || {
        process.deliver_now(table, "first");
        process.status(table, "first").rows_delivered == rows
    });
}

#[test]
fn columns_are_renamed_reordered_and_added_with_the_next_cut() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(
        &table,
        TaskSpec { schema: ids_and(&[("v", "v", FieldKind::Int64)]), ..spec("first", Mode::Inc) },
    );
    let both = |id| put(id, vec![("v", Value::Integer(id)), ("w", Value::Integer(-id))]);
    process.try_write(&table, vec![both(1)]).unwrap();
    delivered(&process, &table, 1);
    let wide = SchemaSpec::Manual(vec![
        field("w", "other", FieldKind::Int64),
        field("v", "value", FieldKind::Int64),
        field("id", "id", FieldKind::Int64),
    ]);
    process.update(&table, "first", |spec| spec.schema = wide).unwrap();
    process.try_write(&table, vec![both(2)]).unwrap();
    delivered(&process, &table, 2);
    let objects: Vec<_> = world.objects().into_values().collect();
    assert_eq!(objects[0].columns, ["id", "v"]);
    assert_eq!(objects[1].columns, ["other", "value", "id"]);
    let integer = |value| Some(Value::Integer(value));
    assert_eq!(objects[1].rows, [[integer(-2), integer(2), integer(2)]]);
    let told: Vec<_> = manifests(&world)
        .iter()
        .map(|manifest| (manifest.configuration, manifest.schema.columns().len()))
        .collect();
    assert_eq!(told, [(1, 2), (2, 3)], "the manifest names configuration and schema");
    assert_eq!(process.status(&table, "first").configuration, 2);
}

#[test]
fn undelivered_columns_are_told_with_their_types_and_delivered_once_they_are_added() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, TaskSpec { schema: ids_and(&[]), ..spec("first", Mode::Inc) });
    process.try_write(&table, vec![put(1, vec![("name", Value::String("a".into()))])]).unwrap();
    delivered(&process, &table, 1);
    let status = process.status(&table, "first");
    assert_eq!(status.undelivered_columns, [("name".to_owned(), 1)]);
    assert_eq!(status.undelivered_kinds["name"], lakeferry_model::ValueKind::String);
    process
        .update(&table, "first", |spec| spec.schema = ids_and(&[("name", "name", FieldKind::Utf8)]))
        .unwrap();
    assert!(process.status(&table, "first").undelivered_columns.is_empty());
    process.try_write(&table, vec![put(2, vec![("name", Value::String("b".into()))])]).unwrap();
    delivered(&process, &table, 2);
    let last = world.objects().into_values().next_back().unwrap();
    assert_eq!(last.column("name").unwrap(), [Some(&Value::String("b".into()))]);
    assert!(process.status(&table, "first").undelivered_columns.is_empty());
}

#[test]
fn deletes_are_delivered_from_the_cut_on_that_maps_the_operation() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, TaskSpec { schema: ids_and(&[]), ..spec("first", Mode::Inc) });
    process.try_write(&table, vec![put(1, vec![]), change(1, RowOperation::Delete)]).unwrap();
    delivered(&process, &table, 1);
    let schema = ids_and(&[("$operation", "op", FieldKind::Utf8)]);
    process.update(&table, "first", |spec| spec.schema = schema).unwrap();
    process.try_write(&table, vec![change(1, RowOperation::Delete)]).unwrap();
    delivered(&process, &table, 2);
    let last = world.objects().into_values().next_back().unwrap();
    assert_eq!(last.column("op").unwrap(), [Some(&Value::String("DELETE".into()))]);
}

#[test]
fn another_prefix_comes_into_force_where_no_folder_is_ahead_and_sequences_go_on() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$mm".to_owned();
    asked.tuning.object_bytes_max = 2000;
    process.create(&table, asked);
    // The first folder stays open, the second is full and runs ahead.
    process.write(&table, [(0, 0)]);
    world.clock.advance(Duration::from_secs(60));
    process.write(&table, (1..200).map(|id| (id, id)));
    process.reaches("a folder that is ahead", || process.status(&table, "first").rows_delivered > 0);
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    let described = process.delivery().describe(&table, &task_name("first")).unwrap();
    assert_eq!(described.spec.destination.prefix, "q", "described as it was asked for");
    process.reaches("the second configuration", || {
        let status = process.status(&table, "first");
        status.configuration == 2 && status.next_configuration.is_none()
    });
    let rows: Vec<_> = (0..200).map(|id| (id, id)).collect();
    process.write(&table, [(200, 200)]);
    delivered(&process, &table, 201);
    let expected: Vec<_> = rows.into_iter().chain([(200, 200)]).collect();
    assert_eq!(world.rows(), expected);
    let names = world.names();
    let (before, after): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with("p/"));
    assert!(before.iter().any(|name| name.starts_with("p/03/")), "{names:?}");
    assert!(after.iter().all(|name| name.starts_with("q/first_0_q__")), "{names:?}");
    let sequence = |name: &&String| name.rsplit_once("__").unwrap().1.parse::<u64>().unwrap();
    assert!(before.iter().map(sequence).max() < after.iter().map(sequence).min(), "{names:?}");
    for manifest in manifests(&world) {
        let prefix = if manifest.configuration == 1 { "p/" } else { "q/" };
        assert!(manifest.objects.iter().all(|object| object.name.starts_with(prefix)), "{manifest:?}");
    }
}

#[test]
fn the_names_of_a_prefix_that_was_left_are_never_used_again() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 2);
    // Somebody empties the folder, and a task of another table takes the prefix over.
    world.lake.buckets.lock().get_mut("lake").unwrap().retain(|name, _| !name.starts_with("p/"));
    let other = process.table_named("u", 1).unwrap();
    // The prefix is free once the lanes have the names of the other one.
    process
        .reaches("a free prefix", || process.try_create(&other, spec("first", Mode::Inc)).unwrap().is_ok());
    process.write(&other, [(7, 7)]);
    process.reaches("the row", || {
        process.deliver_now(&other, "first");
        process.status(&other, "first").rows_delivered == 1
    });
    assert_eq!(world.names(), ["p/first_0_p__2"]);
}

#[test]
fn a_prefix_that_another_task_of_the_name_uses_or_waits_for_is_refused() {
    let world = World::default();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("u", 1).unwrap());
    process.create(&table, spec("first", Mode::Inc));
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "q".to_owned();
    process.create(&other, asked);
    let to = |prefix: &'static str| move |spec: &mut TaskSpec| spec.destination.prefix = prefix.to_owned();
    let refused = process.update(&other, "first", to("p")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exists);
    // While the first waits to leave `p`, neither `p` nor where it goes is free.
    world.lake.hold("p/first");
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.update(&table, "first", to("r")).unwrap();
    for taken in ["p", "r"] {
        assert_eq!(
            process.update(&other, "first", to(taken)).unwrap_err().kind(),
            ErrorKind::Exists,
            "{taken}"
        );
    }
    world.lake.release();
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 2);
    process.update(&other, "first", to("p")).unwrap();
}

#[test]
fn what_cannot_be_changed_is_refused_and_what_changes_nothing_is_fine() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    for change in [
        (|spec: &mut TaskSpec| spec.mode = Mode::Base) as fn(&mut TaskSpec),
        |spec| spec.name = task_name("second"),
        |spec| spec.destination.prefix = "$yy".to_owned(),
        |spec| spec.destination.zone = "Mars".to_owned(),
        |spec| spec.tuning.object_bytes_max = 0,
        |spec| spec.schema = ids_and(&[("v", "v", FieldKind::Map)]),
    ] {
        assert_eq!(process.update(&table, "first", change).unwrap_err().kind(), ErrorKind::Invalid);
    }
    process.update(&table, "first", |_| ()).unwrap();
    assert_eq!(process.status(&table, "first").configuration, 1);
    process.update(&table, "first", |spec| spec.tuning.object_age_ms_max = 50).unwrap();
    assert_eq!(process.status(&table, "first").configuration, 1, "cuts come out the same");
    process.update(&table, "first", |spec| spec.tuning.compression = Compression::None).unwrap();
    assert_eq!(process.status(&table, "first").configuration, 2);
    assert_eq!(process.update(&table, "nothing", |_| ()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_changed_age_is_kept_from_then_on() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.reaches("a row gathered", || process.status(&table, "first").next_cut_in_ms.is_some());
    process.update(&table, "first", |spec| spec.tuning.object_age_ms_max = 1000).unwrap();
    process.reaches("a nearer cut", || {
        process.status(&table, "first").next_cut_in_ms.is_some_and(|ms| ms <= 1000)
    });
    world.clock.advance(Duration::from_secs(1));
    process.wait_for_rows(&table, "first", 1);
}

#[test]
fn a_task_in_the_full_phase_is_changed_and_each_row_still_arrives_once() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, (0..500).map(|id| (id, id)));
    world.lake.hold("p/first");
    let mut asked = spec("first", Mode::BaseInc);
    asked.tuning.object_bytes_max = 4000;
    process.create(&table, asked);
    process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    let change = |spec: &mut TaskSpec| {
        spec.destination.prefix = "q/$yyyy".to_owned();
        spec.schema = ids_and(&[("v", "v", FieldKind::Int64)]);
    };
    process.update(&table, "first", change).unwrap();
    world.lake.release();
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    let expected: Vec<_> = (0..500).map(|id| (id, id)).collect();
    process.reaches("what was given up to be gone", || {
        world.names().iter().all(|name| name.starts_with("q/2020/"))
    });
    assert_eq!(world.rows(), expected);
    assert!(manifests(&world).iter().all(|manifest| manifest.configuration == 2));
}

#[test]
fn a_finished_base_task_may_be_changed_too() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::Base));
    process.reaches("the end", || process.status(&table, "first").phase == Phase::Incr);
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    process.deliver_again(&table, "first");
    process.reaches("a second run", || {
        let status = process.status(&table, "first");
        status.run == 2 && status.phase == Phase::Incr
    });
    let names = world.names();
    assert!(names.len() == 2 && names[1].starts_with("q/first_0_q__"), "{names:?}");
}

#[test]
fn a_bucket_that_is_gone_is_left_for_another_and_nothing_is_lost() {
    let world = World::default();
    world.lake.make("other");
    let process = world.start();
    let table = process.table();
    crate::bucket::add_bucket(&process, "other", lakeferry_model::BucketLocation::Local);
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    world.lake.remove("lake");
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("trouble", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    let change = |spec: &mut TaskSpec| {
        spec.destination.bucket = lakeferry_model::BucketName::parse("other").unwrap();
        spec.destination.prefix = "q".to_owned();
    };
    process.update(&table, "first", change).unwrap();
    process.write(&table, [(3, 3)]);
    delivered(&process, &table, 3);
    let other = world.objects_in("other");
    let ids: Vec<i64> = other.values().flat_map(|object| integers(object, "id")).collect();
    assert_eq!(ids.len(), 2, "{:?}", other.keys());
    assert!(ids.contains(&2) && ids.contains(&3));
    let status = process.status(&table, "first");
    assert_eq!((status.error, status.run), (TaskError::Ok, 1));
}

#[test]
fn another_bucket_is_delivered_into_from_one_position_on() {
    let world = World::default();
    world.lake.make("other");
    let process = world.start();
    let table = process.table();
    crate::bucket::add_bucket(&process, "other", lakeferry_model::BucketLocation::Local);
    process.create(&table, spec("first", Mode::BaseInc));
    process.write(&table, (0..20).map(|id| (id, id)));
    delivered(&process, &table, 20);
    process
        .update(&table, "first", |spec| {
            spec.destination.bucket = lakeferry_model::BucketName::parse("other").unwrap();
        })
        .unwrap();
    process.write(&table, (20..30).map(|id| (id, id)));
    delivered(&process, &table, 30);
    assert_eq!(world.rows(), (0..20).map(|id| (id, id)).collect::<Vec<_>>());
    let other = world.objects_in("other");
    let mut ids: Vec<i64> = other.values().flat_map(|object| integers(object, "id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (20..30).collect::<Vec<_>>());
}

/// Changes of schema and prefix among writes, with a process that ends at any step.
fn check_every_crash(mode: Mode) {
    let asked = |prefix: &str| {
        let mut asked = spec("first", mode);
        asked.destination.prefix = prefix.to_owned();
        asked.schema = ids_and(&[("v", "v", FieldKind::Int64)]);
        asked.tuning.lanes_min = 2;
        asked
    };
    let second = |spec: &mut TaskSpec| {
        spec.schema = ids_and(&[("v", "v", FieldKind::Int64), ("w", "w", FieldKind::Int64)]);
        spec.destination.prefix = "q/$HH".to_owned();
        spec.tuning.compression = Compression::None;
    };
    for does_step in [false, true] {
        for step in 1.. {
            let world = World::default();
            let process = world.start_with(Fuse::at(step, does_step));
            let lived = live(&process, asked("p/$mm"), second);
            drop(process);
            for again in [2, 5] {
                let process = world.start_with(Fuse::at(again, does_step));
                process.reaches("its end", || process.is_idle());
            }
            let process = world.start();
            let table = process.table_in(2).unwrap();
            if process.delivery().list(&table).is_empty() {
                continue;
            }
            let case = format!("{mode:?}, step {step}, done: {does_step}");
            process.update_via(&table, "first", CreateVia::Wire, second).unwrap();
            let expected: Vec<(i64, i64)> = {
                let rows = |from| (from..from + 10).map(|id| (id, 1));
                let mut all: Vec<_> = rows(20).chain(rows(120)).chain(rows(40)).chain(rows(140)).collect();
                if mode == Mode::BaseInc {
                    all.extend(rows(0).chain(rows(100)));
                }
                all.sort_unstable();
                all
            };
            let missing = expected.iter().filter(|(id, _)| !crate::dirty::has_row(&process, &table, *id));
            process.write(&table, missing.copied().collect::<Vec<_>>());
            let is_done = || {
                let status = process.status(&table, "first");
                status.rows_waiting == 0 && status.next_configuration.is_none() && status.phase == Phase::Incr
            };
            process.reaches("the end", || {
                process.deliver_now(&table, "first");
                is_done() && world.rows().len() >= expected.len()
            });
            process.reaches("what was given up to be gone", || {
                let names = world.names();
                let manifests = manifests(&world);
                let mut named = manifests.iter().flat_map(|manifest| &manifest.objects);
                world.rows().len() <= expected.len() && named.all(|object| names.contains(&object.name))
            });
            assert_eq!(world.rows(), expected, "{case}");
            let rewritten = world.lake.rewritten.lock();
            assert!(rewritten.is_empty(), "{case}: {rewritten:?}");
            check_manifests(&world, &case);
            if lived.is_some() {
                assert!(step > 15, "{case}: too few steps to be worth it");
                break;
            }
        }
    }
}

/// Each object is named by one manifest, and has the columns that this one says.
pub fn check_manifests(world: &World, case: &str) {
    let mut objects = world.objects();
    for manifest in manifests(world) {
        let columns: Vec<_> = manifest.schema.columns().iter().map(|column| column.target.clone()).collect();
        for named in &manifest.objects {
            let object = objects.remove(&named.name).unwrap_or_else(|| {
                panic!("{case}: {} {:?} {:?}", named.name, manifest.name(), world.names())
            });
            let columns = &columns[..named.columns.unwrap_or(columns.len())];
            assert_eq!(object.columns, columns, "{case}: {}", named.name);
            let prefix = if named.name.starts_with("q/") { 2 } else { 1 };
            assert!(manifest.configuration >= prefix, "{case}: {}", named.name);
        }
    }
    assert!(objects.is_empty(), "{case}: {:?}", objects.keys());
}

fn live(process: &Process, asked: TaskSpec, second: fn(&mut TaskSpec)) -> Option<()> {
    let table = process.table_in(2)?;
    let rows = |from: i64| (from..from + 10).map(|id| put(id, vec![("v", Value::Integer(1))])).collect();
    process.try_write(&table, rows(0))?;
    process.try_write(&table, rows(100))?;
    process.try_create(&table, asked)?.ok()?;
    process.try_write(&table, rows(20))?;
    process.world().clock.advance(Duration::from_secs(60));
    process.deliver_now(&table, "first");
    process.try_write(&table, rows(120))?;
    process.try_update(&table, "first", CreateVia::Wire, second)?.ok()?;
    process.try_write(&table, rows(40))?;
    process.world().clock.advance(Duration::from_secs(3600));
    process.try_write(&table, rows(140))?;
    process
        .reaches("the end", || {
            process.deliver_now(&table, "first");
            let status = process.status(&table, "first");
            status.rows_waiting == 0 && status.next_configuration.is_none() && status.phase == Phase::Incr
        })
        .then_some(())
}

#[test]
fn an_inc_task_is_changed_and_delivers_each_change_once_whenever_the_process_ends() {
    check_every_crash(Mode::Inc);
}

#[test]
fn a_base_inc_task_is_changed_and_delivers_each_row_once_whenever_the_process_ends() {
    check_every_crash(Mode::BaseInc);
}

#[test]
fn settings_that_are_changed_while_an_update_waits_stay_changed() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    world.lake.hold("p/first");
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    assert_eq!(process.status(&table, "first").next_configuration, Some(2));
    let change = TuningChange { object_age_ms_max: Some(7777), ..TuningChange::default() };
    process.tune(&table, "first", change).unwrap();
    world.lake.release();
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 2);
    let described = process.delivery().describe(&table, &task_name("first")).unwrap();
    assert_eq!(described.spec.tuning.object_age_ms_max, 7777);
}

#[test]
fn an_update_that_waits_comes_into_force_once_a_paused_task_is_resumed() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    process.pause(&table, "first");
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    process.write(&table, [(2, 2)]);
    std::thread::sleep(Duration::from_millis(50));
    let status = process.status(&table, "first");
    assert_eq!((status.configuration, status.rows_delivered), (1, 1));
    process.resume(&table, "first");
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 2);
    delivered(&process, &table, 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
    let told: Vec<_> = process.history(&table, "first").into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(told.iter().filter(|kind| **kind == TaskEventKind::Updated).count(), 2, "{told:?}");
}

/// Has `change` be written down while a cut of the task waits to be committed, which it then does in the changed task.
fn changed_before_a_commit(process: &Process, table: &Table, change: fn(&mut TaskSpec)) {
    let world = process.world();
    world.lake.hold("/first_");
    process.deliver_now(table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.fuse.hold_entries();
    std::thread::scope(|threads| {
        let update = threads.spawn(|| process.update(table, "first", change));
        process.reaches("a change on its way", || process.fuse.entries_held.load(Ordering::SeqCst) > 0);
        world.lake.release();
        process.reaches("all of the cut", || manifests(world).len() == 1);
        // Nothing tells that the lane waits behind the change, so that it is told to stop in the commit itself.
        std::thread::sleep(Duration::from_millis(100));
        process.fuse.release_entries();
        update.join().unwrap().unwrap();
    });
}

#[test]
fn a_commit_that_meets_an_update_is_written_or_done_again() {
    let world = World::default();
    let process = world.start();
    let table = process.table_in(2).unwrap();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$yyyy".to_owned();
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    changed_before_a_commit(&process, &table, |spec| spec.tuning.object_age_ms_max = 60_000);
    delivered(&process, &table, 1);
    // Only the other partition moves on from here.
    process.write(&table, [(101, 101)]);
    delivered(&process, &table, 2);
    drop(process);
    let process = world.start();
    let table = process.table_in(2).unwrap();
    process.reaches("nothing left to do", || {
        process.deliver_now(&table, "first");
        process.status(&table, "first").rows_waiting == 0
    });
    assert_eq!(world.rows(), [(1, 1), (101, 101)]);
    assert_eq!(process.status(&table, "first").rows_delivered, 2);
}

#[test]
fn a_change_of_prefix_right_behind_one_of_the_dirty_prefix_waits_for_what_is_prepared() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    world.lake.hold("p/first");
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    // Nor can the lanes begin between the two.
    world.lake.is_probe_held.store(true, Ordering::SeqCst);
    process.update(&table, "first", |spec| spec.destination.dirty_prefix = Some("unfit".to_owned())).unwrap();
    process.update(&table, "first", |spec| spec.destination.prefix = "q".to_owned()).unwrap();
    assert_eq!(process.status(&table, "first").next_configuration, Some(3));
    world.lake.release();
    process.reaches("the other prefix", || process.status(&table, "first").configuration == 3);
    process.write(&table, [(3, 3)]);
    delivered(&process, &table, 3);
    assert_eq!(world.rows(), [(1, 1), (2, 2), (3, 3)]);
}

#[test]
fn a_prefix_that_a_paused_task_waits_for_no_more_is_free() {
    let world = World::default();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("u", 1).unwrap());
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    process.pause(&table, "first");
    let to = |prefix: &'static str| move |spec: &mut TaskSpec| spec.destination.prefix = prefix.to_owned();
    process.update(&table, "first", to("q")).unwrap();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "q".to_owned();
    assert_eq!(process.try_create(&other, asked.clone()).unwrap().unwrap_err().kind(), ErrorKind::Exists);
    process.update(&table, "first", to("p")).unwrap();
    process.create(&other, asked);
}

#[test]
fn a_column_that_joins_while_a_cut_is_on_its_way_is_undelivered_no_more() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, TaskSpec { schema: ids_and(&[]), ..spec("first", Mode::Inc) });
    world.lake.hold("p/first");
    process.try_write(&table, vec![put(1, vec![("name", Value::String("a".into()))])]).unwrap();
    process.deliver_now(&table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process
        .update(&table, "first", |spec| spec.schema = ids_and(&[("name", "name", FieldKind::Utf8)]))
        .unwrap();
    world.lake.release();
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(world.objects().into_values().next().unwrap().columns, ["id"], "as it was prepared");
    assert!(process.status(&table, "first").undelivered_columns.is_empty());
}

#[test]
fn a_bucket_that_is_gone_is_not_left_for_names_of_another_task() {
    let world = World::default();
    world.lake.make("other");
    let process = world.start();
    let (table, besides) = (process.table(), process.table_named("u", 1).unwrap());
    crate::bucket::add_bucket(&process, "other", lakeferry_model::BucketLocation::Local);
    let to_other = |spec: &mut TaskSpec| {
        spec.destination.bucket = lakeferry_model::BucketName::parse("other").unwrap();
    };
    let mut asked = spec("first", Mode::Inc);
    to_other(&mut asked);
    process.create(&besides, asked);
    process.write(&besides, [(7, 7)]);
    delivered(&process, &besides, 1);
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    delivered(&process, &table, 1);
    // A cut is prepared for the bucket: it cannot be left before that is in it.
    world.lake.hold("p/first");
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("a cut on its way", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    let lake = world.lake.remove("lake").unwrap();
    world.lake.release();
    process.reaches("trouble", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    let change = move |spec: &mut TaskSpec| {
        to_other(spec);
        spec.destination.prefix = "q".to_owned();
    };
    process.update(&table, "first", change).unwrap();
    // What is still to be levelled would go under `p` there, where the other task is.
    let failures = || process.delivery().failures(&table, &task_name("first")).unwrap()["INVALID_OSS_BUCKET"];
    let before = failures();
    process.reaches("more tries", || failures() > before + 3);
    assert_eq!(process.status(&table, "first").configuration, 1);
    world.lake.buckets.lock().insert("lake".to_owned(), lake);
    process.reaches("the other bucket", || process.status(&table, "first").configuration == 2);
    process.write(&table, [(3, 3)]);
    delivered(&process, &table, 3);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
    let names: Vec<_> = world.objects_in("other").into_keys().collect();
    assert_eq!(names, ["p/first_0_p__1", "q/first_0_q__3"]);
}

#[test]
fn a_dirty_prefix_that_lies_among_the_present_data_waits_for_the_other_prefix() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.schema = ids_and(&[("v", "v", FieldKind::Int64)]);
    asked.destination.prefix = "p/$mm".to_owned();
    asked.tuning.object_bytes_max = 2000;
    process.create(&table, asked);
    // The first folder stays open, with a dirty field; the second is full and runs ahead.
    let dirty = |id| put(id, vec![("v", Value::String("x".into()))]);
    process.try_write(&table, vec![dirty(0)]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    process.write(&table, (1..200).map(|id| (id, id)));
    process.reaches("a folder that is ahead", || process.status(&table, "first").rows_delivered > 0);
    let change = |spec: &mut TaskSpec| {
        spec.destination.prefix = "q".to_owned();
        spec.destination.dirty_prefix = Some("p/unfit".to_owned());
    };
    process.update(&table, "first", change).unwrap();
    process.reaches("the other prefix", || {
        let status = process.status(&table, "first");
        status.configuration > 1 && status.next_configuration.is_none()
    });
    process.try_write(&table, vec![dirty(200)]).unwrap();
    delivered(&process, &table, 201);
    let kept: Vec<_> = manifests(&world).into_iter().filter_map(|manifest| manifest.dirty).collect();
    let kept: Vec<_> = kept.iter().map(|dirty| dirty.name.split("/first-").next().unwrap()).collect();
    assert_eq!(kept, ["_lakeferry/dirty", "p/unfit"]);
}
