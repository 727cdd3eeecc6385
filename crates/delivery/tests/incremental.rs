//! The incremental phase.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeferry_model::delivery::{Encoding, Field, FieldKind, Mode, Phase, SchemaSpec};
use lakeferry_model::{RowOperation, Value};

use crate::harness::*;

fn field(source: &str, kind: FieldKind) -> Field {
    let (source, target) = (source.to_owned(), source.trim_start_matches('$').to_owned());
    Field { source, target, kind, encoding: Encoding::Plain, type_extend: None }
}

#[test]
fn an_inc_task_delivers_what_comes_after_it() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(2, 2), (1, 3)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 3), (2, 2)]);
    assert_eq!(process.status(&table, "first").phase, Phase::Incr);
}

#[test]
fn a_folder_is_cut_by_its_age_and_not_before() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.reaches("a cut to wait for", || process.status(&table, "first").next_cut_in_ms.is_some());
    world.clock.advance(Duration::from_millis(119_999));
    std::thread::sleep(Duration::from_millis(30));
    assert!(world.names().is_empty());
    assert_eq!(process.status(&table, "first").next_cut_in_ms, Some(1));
    world.clock.advance(Duration::from_millis(1));
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(world.names(), ["p/first_0_p__1"]);
}

#[test]
fn a_folder_is_cut_by_its_size_while_the_others_wait() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$mm".to_owned();
    asked.tuning.object_bytes_max = 4000;
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    process.reaches("the first row", || process.status(&table, "first").next_cut_in_ms.is_some());
    world.clock.advance(Duration::from_secs(60));
    process.write(&table, (0..200).map(|id| (id, 2)));
    process.reaches("the full folder", || world.names() == ["p/04/first_0_p_04__1"]);
    world.clock.advance(Duration::from_secs(60));
    process.wait_for_rows(&table, "first", 201);
    assert_eq!(world.names(), ["p/03/first_0_p_03__2", "p/04/first_0_p_04__1"]);
}

#[test]
fn deletes_are_ignored_and_the_sync_point_passes_them() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.try_write(&table, vec![change(1, RowOperation::Delete)]);
    world.clock.advance(Duration::from_secs(1));
    let now = START + 1_000_000;
    process.reaches("the sync point", || process.status(&table, "first").sync_point >= now);
    assert!(world.names().is_empty());
    assert_eq!(process.status(&table, "first").rows_waiting, 0);
}

#[test]
fn a_schema_that_maps_the_operation_delivers_deletes() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    let fields = [("id", FieldKind::Int64), ("v", FieldKind::Int64), ("$operation", FieldKind::Utf8)];
    asked.schema = SchemaSpec::Manual(fields.into_iter().map(|(name, kind)| field(name, kind)).collect());
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    process.try_write(&table, vec![change(1, RowOperation::Delete)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    let objects = world.objects();
    let operations: Vec<_> =
        objects.values().flat_map(|object| object.column("operation").unwrap()).collect();
    let text = |text: &str| Value::String(text.into());
    assert_eq!(operations, [Some(&text("PUT")), Some(&text("DELETE"))]);
    assert_eq!(world.rows(), [(1, -1), (1, 1)]);
}

#[test]
fn attributes_without_a_column_and_dirty_fields_are_counted() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.schema = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Int64)]);
    process.create(&table, asked);
    let cells = vec![("v", Value::Boolean(true)), ("w", Value::Integer(1))];
    process.try_write(&table, vec![put(1, cells)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    let status = process.status(&table, "first");
    assert_eq!(status.dirty_fields, 1);
    assert_eq!(status.undelivered_columns, [("w".to_owned(), 1)]);
}

#[test]
fn a_column_that_comes_later_joins_the_schema() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    process.try_write(&table, vec![put(2, vec![("w", Value::Integer(5))])]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    let objects = world.objects();
    assert_eq!(objects["p/first_0_p__1"].columns, ["id", "v"]);
    assert_eq!(objects["p/first_0_p__2"].columns, ["id", "v", "w"]);
}

#[test]
fn base_and_changes_add_up_to_the_table_under_concurrent_writers() {
    let world = World::default();
    let process = world.start();
    let table = process.table_in(2).unwrap();
    process.write(&table, (0..200).map(|id| (id, 0)));
    let mut asked = spec("first", Mode::BaseInc);
    asked.tuning.object_bytes_max = 4096;
    asked.tuning.lanes_min = 2;
    let fields = [("id", FieldKind::Int64), ("v", FieldKind::Int64), ("$sequence", FieldKind::Int64)];
    asked.schema = SchemaSpec::Manual(fields.into_iter().map(|(name, kind)| field(name, kind)).collect());
    let (writing, written_table) = (table.clone(), table.clone());
    let (delivery, asked_) = (process.delivery().clone(), asked);
    process.run(async move {
        let writers = async {
            for round in 1..30 {
                let rows = (0..200)
                    .filter(|id| id % 3 == round % 3)
                    .map(|id| put(id, vec![("v", Value::Integer(round))]));
                for written in writing.write(rows.collect(), soon()).await {
                    written.unwrap();
                }
            }
        };
        let create = delivery.create(&written_table, asked_, lakeferry_delivery::CreateVia::Wire);
        let (_, created) = tokio::join!(writers, create);
        created.unwrap();
    });
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    process.deliver_now(&table, "first");
    process.reaches("the end", || process.status(&table, "first").rows_waiting == 0);
    let mut newest: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    for object in world.objects().values() {
        let rows =
            integers(object, "id").into_iter().zip(integers(object, "v")).zip(integers(object, "sequence"));
        for ((id, v), sequence) in rows {
            assert!(seen.insert((id, sequence)), "row {id} at {sequence} was delivered twice");
            let known = newest.entry(id).or_insert((0, 0));
            *known = (*known).max((sequence, v));
        }
    }
    let last = |id: i64| (1..30).rev().find(|round| id % 3 == round % 3).unwrap();
    let expected: Vec<_> = (0..200).map(|id| (id, last(id))).collect();
    assert_eq!(newest.into_iter().map(|(id, (_, v))| (id, v)).collect::<Vec<_>>(), expected);
}

#[test]
fn the_sync_point_never_goes_back_over_restarts() {
    let world = World::default();
    let mut shown = 0;
    let mut process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    for round in 0..6 {
        let table = process.table();
        if round % 2 == 0 {
            process.try_write(&table, vec![change(1, RowOperation::Delete)]);
        } else {
            process.write(&table, [(round, round)]);
        }
        for _ in 0..20 {
            world.clock.advance(Duration::from_millis(700));
            std::thread::sleep(Duration::from_millis(2));
            let now = process.status(&table, "first").sync_point;
            assert!(now >= shown, "round {round}: {now} after {shown}");
            shown = now;
        }
        process.crash();
        process = world.start();
        let now = process.status(&process.table(), "first").sync_point;
        assert!(now >= shown, "round {round}: {now} after {shown} and a restart");
    }
    assert!(shown > START);
}

#[test]
fn memory_pressure_cuts_what_is_gathered() {
    let world = World { memory_bytes: 4 << 20, ..World::default() };
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$mm".to_owned();
    process.create(&table, asked);
    let filler = "x".repeat(20_000);
    for batch in 0..10 {
        let cells = || vec![("f", Value::String(filler.as_str().into()))];
        process.try_write(&table, (0..50).map(|at| put(batch * 50 + at, cells())).collect());
        world.clock.advance(Duration::from_secs(1));
    }
    process.reaches("a cut", || process.status(&table, "first").objects > 0);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 500);
    assert!(process.delivery().memory_bytes() < 4 << 20);
}
