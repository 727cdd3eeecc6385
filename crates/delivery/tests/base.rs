//! The full phase.

use lakeferry_model::Value;
use lakeferry_model::delivery::{Compression, Mode, Phase, TaskError};

use crate::harness::*;
use crate::updates::check_manifests;

#[test]
fn a_base_task_delivers_each_row_once_and_rests_in_incr() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, (0..1000).map(|id| (id, id * 2)));
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(world.rows(), (0..1000).map(|id| (id, id * 2)).collect::<Vec<_>>());
    let status = process.status(&table, "first");
    assert_eq!((status.rows_delivered, status.error), (1000, TaskError::Ok));
    assert_eq!(status.objects, world.names().len() as u64);
    // It stands still, whatever happens afterwards.
    process.write(&table, [(5000, 1)]);
    world.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(process.status(&table, "first").sync_point, status.sync_point);
    assert!(status.sync_point >= START);
}

#[test]
fn a_scan_that_fails_on_its_way_goes_on_behind_the_rows_it_met() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, (0..100).map(|id| (id, id * 2)));
    process.fuse.visit_faults.store(5, std::sync::atomic::Ordering::SeqCst);
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(process.fuse.visit_faults.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(world.rows(), (0..100).map(|id| (id, id * 2)).collect::<Vec<_>>());
}

#[test]
fn the_first_object_is_named_as_documented() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    let mut asked = spec("testTask", Mode::Base);
    asked.destination.prefix = "myPrefix/year=$yyyy/month=$MM/day=$dd".to_owned();
    process.create(&table, asked);
    process.wait_for_rows(&table, "testTask", 1);
    let name = "myPrefix/year=2020/month=08/day=31/testTask_0_myPrefix_year=2020_month=08_day=31__1";
    assert_eq!(world.names(), [name]);
    let metadata = &world.objects()[name].metadata;
    for key in [lakeferry_delivery::TASK_KEY, lakeferry_delivery::LANE_KEY, lakeferry_delivery::SEQUENCE_KEY]
    {
        assert!(metadata.iter().any(|(name, _)| name == key), "{key}");
    }
}

#[test]
fn an_empty_table_is_delivered_at_once_without_an_object() {
    let world = World::default();
    let process = world.start();
    let table = process.table_in(3).unwrap();
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert!(world.names().is_empty());
}

#[test]
fn a_large_table_becomes_many_objects_over_many_lanes_and_partitions() {
    let world = World::default();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    for batch in 0..10 {
        process.write(&table, (0..200).map(|at| (batch * 200 + at, at)));
    }
    let mut asked = spec("first", Mode::Base);
    asked.tuning.object_bytes_max = 8 * 1024;
    process.create(&table, asked);
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(world.rows(), (0..2000).map(|id| (id, id % 200)).collect::<Vec<_>>());
    assert!(world.names().len() > 4, "{:?}", world.names());
    assert!(world.names().iter().any(|name| name.starts_with("p/first_1_")), "{:?}", world.names());
    let manifests =
        world.lake.buckets.lock()["lake"].keys().filter(|name| name.contains("/manifests/")).count();
    assert!(manifests > 1);
}

#[test]
fn rows_of_many_folders_are_told_apart() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    // Keys and times lie crosswise, so that the hot folder is missed again and again.
    for minute in 0..7_i64 {
        process.write(&table, (0..150).map(|at| (at * 7 + minute, minute)));
        world.clock.advance(std::time::Duration::from_secs(60));
    }
    let mut asked = spec("first", Mode::Base);
    asked.destination.prefix = "p/$HH-$mm".to_owned();
    process.create(&table, asked);
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(world.rows(), (0..1050).map(|id| (id, id % 7)).collect::<Vec<_>>());
    for (name, object) in world.objects() {
        let minute: i64 = name[5..7].parse().unwrap();
        assert!(integers(&object, "v").iter().all(|v| *v + 3 == minute), "{name}");
    }
}

#[test]
fn columns_that_were_never_sampled_join_when_they_are_met() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    // More than is sampled, then another column.
    let filler = "x".repeat(1000);
    for batch in 0..3_i64 {
        let row = |at| put(batch * 150 + at, vec![("f", Value::String(filler.as_str().into()))]);
        process.try_write(&table, (0..150).map(row).collect());
    }
    process.write(&table, [(9999, 7)]);
    process.create(&table, spec("first", Mode::Base));
    process.wait_for_rows(&table, "first", 451);
    assert_eq!(world.rows().last(), Some(&(9999, 7)));
    assert!(process.status(&table, "first").undelivered_columns.is_empty());
}

#[test]
fn columns_that_join_while_objects_are_open_close_none_of_them_and_manifests_tell_which_has_which() {
    const ROWS: i64 = 4000;
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let filler = "x".repeat(500);
    // From the middle on, each tenth row has a column that no row before it has; the last rows have all one more.
    let row = |id: i64| {
        let sparse = format!("sparse{id}");
        let mut cells = vec![("f", Value::String(filler.as_str().into()))];
        if id >= ROWS / 2 && id % 10 == 0 {
            cells.push((&sparse, Value::Integer(id)));
        }
        if id >= ROWS - 1200 {
            cells.push(("late", Value::Integer(id)));
        }
        put(id, cells)
    };
    for from in (0..ROWS).step_by(200) {
        process.try_write(&table, (from..from + 200).map(row).collect()).unwrap();
    }
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);

    assert!(process.status(&table, "first").undelivered_columns.is_empty());
    check_manifests(&world, "columns join");
    let objects = world.objects();
    // A lane has one object for what it knew, one for what waited, and one more when many rows in a row widened.
    assert!(objects.len() <= 2 * 3, "{:?}", objects.keys());
    let sum = |name: &str| -> i64 {
        let values = objects.values().filter_map(|object| object.column(name)).flatten().flatten();
        let integer = |value: &Value| if let Value::Integer(value) = value { *value } else { 0 };
        values.map(integer).sum()
    };
    assert_eq!(sum("id"), (0..ROWS).sum::<i64>());
    assert_eq!(sum("late"), (ROWS - 1200..ROWS).sum::<i64>());
    for id in (ROWS / 2..ROWS).step_by(10) {
        assert_eq!(sum(&format!("sparse{id}")), id);
    }
}

#[test]
fn a_tasks_suffix_and_compression_are_those_of_its_objects() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let text = "again and again ".repeat(500);
    process.try_write(&table, vec![put(1, vec![("f", Value::String(text.as_str().into()))])]).unwrap();
    let compressions = [(Compression::Snappy, "packed", ".snappy.parquet"), (Compression::None, "plain", "")];
    let mut bytes = Vec::new();
    for (compression, name, suffix) in compressions {
        let mut asked = spec(name, Mode::Base);
        asked.destination.suffix = suffix.to_owned();
        asked.tuning.compression = compression;
        process.create(&table, asked);
        process.wait_for_rows(&table, name, 1);
        let object = format!("p/{name}_0_p__1{suffix}");
        assert_eq!(world.objects()[&object].rows.len(), 1);
        bytes.push(world.lake.buckets.lock()["lake"][&object].len());
    }
    assert!(bytes[0] < bytes[1] && bytes[1] > text.len(), "{bytes:?}");
}
