//! Fields that do not fit their columns: left out, counted, kept, and a reason to stop.

use std::collections::BTreeMap;

use lakeferry_delivery::CreateVia;
use lakeferry_lake::Manifest;
use lakeferry_model::delivery::{
    DirtyReason, EventTimeColumn, EventTimeFormat, Field, FieldKind, Mode, Phase, SchemaSpec, TaskError,
    TaskSpec,
};
use lakeferry_model::{RowChange, RowOperation, Value};
use serde_json::{Value as Json, json};

use crate::harness::*;

fn field(source: &str, kind: FieldKind) -> Field {
    let (source, target) = (source.to_owned(), source.to_owned());
    Field { source, target, kind, encoding: Default::default(), type_extend: None }
}

/// A task that delivers `id` and `v`, the latter as INT64.
fn asked(mode: Mode) -> TaskSpec {
    let schema = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Int64)]);
    TaskSpec { schema, ..spec("first", mode) }
}

fn text(id: i64, text: &str) -> RowChange {
    put(id, vec![("v", Value::String(text.into()))])
}

fn number(id: i64) -> RowChange {
    put(id, vec![("v", Value::Integer(id))])
}

/// What lies in the bucket under a folder, by name.
fn under(world: &World, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let buckets = world.lake.buckets.lock();
    let objects = buckets["lake"].iter().filter(|(name, _)| name.starts_with(folder));
    objects.map(|(name, bytes)| (name.clone(), bytes.to_vec())).collect()
}

fn lines(bytes: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn manifests(world: &World) -> Vec<Manifest> {
    let found = under(world, "_lakeferry/manifests/");
    found.values().map(|bytes| Manifest::from_bytes(bytes).unwrap()).collect()
}

#[test]
fn a_dirty_field_is_left_out_its_row_arrives_and_its_value_is_kept_with_all_that_tells_of_it() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    asked.destination.event_time =
        Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
    process.create(&table, asked);
    let at = |seconds| ("at", Value::Integer(seconds));
    let rows = vec![
        put(1, vec![at(1_598_889_780), ("v", Value::String("x".into()))]),
        put(2, vec![at(1_598_889_780), ("v", Value::Integer(2))]),
        put(3, vec![("at", Value::Double(0.5)), ("v", Value::Integer(3))]),
        put(4, vec![("v", Value::Boolean(true))]),
    ];
    process.try_write(&table, rows).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 4);
    assert_eq!(world.rows(), [(1, -1), (2, 2), (3, 3), (4, -1)]);

    let status = process.status(&table, "first");
    assert_eq!(status.dirty_fields, 4);
    let reasons = BTreeMap::from([(DirtyReason::Type, 2), (DirtyReason::EventTime, 2)]);
    assert_eq!(status.dirty_reasons, reasons);
    assert_eq!(status.dirty_columns, BTreeMap::from([("at".to_owned(), 2), ("v".to_owned(), 2)]));

    let manifest = manifests(&world).remove(0);
    let dirty = manifest.dirty.expect("the cut has dirty fields");
    let name = format!("_lakeferry/dirty/first-{}/run-1/lane-0/00000000000000000001.jsonl", manifest.task_id);
    assert_eq!((&dirty.name, dirty.fields, dirty.kept), (&name, 4, 4));
    let found = under(&world, "_lakeferry/dirty/");
    assert_eq!(found.len(), 1);
    assert_eq!(found[&name].len() as u64, dirty.bytes);
    let lines = lines(&found[&name]);
    let told: Vec<_> = lines
        .iter()
        .map(|line| json!([line["primary_key"][0]["value"], line["column"], line["reason"], line["value"]]))
        .collect();
    let expected = [
        json!(["1", "v", "type", "x"]),
        json!(["3", "at", "event_time", "0.5"]),
        json!(["4", "v", "type", "true"]),
        json!(["4", "at", "event_time", null]),
    ];
    assert_eq!(told, expected);
    let first = &lines[0];
    assert_eq!((&first["task"], &first["task_id"]), (&json!("first"), &json!(manifest.task_id)));
    assert_eq!((&first["operation"], &first["type"]), (&json!("PUT"), &json!("STRING")));
    assert!(first["sequence"].as_u64().unwrap() > 0 && first["commit_time"] == json!(START), "{first}");
}

#[test]
fn a_cut_without_dirty_fields_has_no_dirty_object() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, asked(Mode::Inc));
    process.try_write(&table, vec![number(1)]).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(under(&world, "_lakeferry/dirty/").len(), 0);
    assert_eq!(manifests(&world)[0].dirty, None);
}

#[test]
fn dirty_fields_of_the_full_phase_are_kept_under_the_tasks_own_prefix() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.try_write(&table, (0..10).map(|id| text(id, "x")).collect()).unwrap();
    let mut asked = asked(Mode::Base);
    asked.destination.dirty_prefix = Some("/unfit/".to_owned());
    process.create(&table, asked);
    process.reaches("the end", || process.status(&table, "first").phase == Phase::Incr);
    let kept: Vec<_> = under(&world, "unfit/first-").values().flat_map(|bytes| lines(bytes)).collect();
    assert_eq!(kept.len(), 10);
    assert!(kept.iter().all(|line| line["operation"] == "BASE"));
    assert_eq!(process.status(&table, "first").dirty_fields, 10);
}

#[test]
fn a_dirty_prefix_among_the_data_is_refused() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    asked.destination.dirty_prefix = Some("p/dirty".to_owned());
    let refused = process.try_create(&table, asked).unwrap().unwrap_err();
    assert!(refused.to_string().contains("where the task's data lies"), "{refused}");
}

#[test]
fn the_first_dirty_field_stops_a_task_that_may_leave_out_none_until_it_may() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    asked.tuning.dirty_fields_max = Some(0);
    process.create(&table, asked);
    process.try_write(&table, vec![number(1)]).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    process.try_write(&table, vec![text(2, "x"), number(3)]).unwrap();
    process.deliver_now(&table, "first");
    let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
    process.reaches("standing still", stopped);
    let status = process.status(&table, "first");
    for part in ["1 fields are dirty", "column 'v' (type)", "lakeferry task update t first"] {
        assert!(status.detail.contains(part), "{}", status.detail);
    }
    assert_eq!((status.next_try_at, status.rows_delivered, status.dirty_fields), (None, 1, 0));
    assert_eq!(world.rows(), [(1, 1)], "nothing is thinned out");
    drop(process);

    // A restart does not help, an update does.
    let process = world.start();
    let table = process.table();
    let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
    process.reaches("standing still again", stopped);
    process.update(&table, "first", |spec| spec.tuning.dirty_fields_max = Some(1)).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 3);
    assert_eq!(world.rows(), [(1, 1), (2, -1), (3, 3)]);
    let status = process.status(&table, "first");
    assert_eq!((status.error, status.dirty_fields), (TaskError::Ok, 1));
}

#[test]
fn a_task_that_stands_still_can_be_paused_updated_and_resumed() {
    for mode in [Mode::Inc, Mode::BaseInc] {
        let world = World::default();
        let process = world.start();
        let table = process.table();
        let mut asked = asked(mode);
        asked.tuning.dirty_fields_max = Some(0);
        process.try_write(&table, vec![text(1, "x")]).unwrap();
        process.create(&table, asked);
        process.try_write(&table, vec![text(2, "x")]).unwrap();
        process.deliver_now(&table, "first");
        let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
        process.reaches("standing still", stopped);
        process.pause(&table, "first");
        std::thread::sleep(std::time::Duration::from_millis(50));
        let status = process.status(&table, "first");
        assert!(status.is_paused && stopped(), "{status:?}");
        // Resumed as it is, it stands still again.
        process.resume(&table, "first");
        process.reaches("standing still again", stopped);
        process.pause(&table, "first");
        let wide = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Utf8)]);
        process.update(&table, "first", |spec| spec.schema = wide).unwrap();
        process.resume(&table, "first");
        process.deliver_now(&table, "first");
        process.wait_for_rows(&table, "first", if mode == Mode::Inc { 1 } else { 2 });
        let status = process.status(&table, "first");
        assert_eq!((status.error, status.dirty_fields), (TaskError::Ok, 0));
    }
}

#[test]
fn a_task_that_was_changed_while_it_was_paused_does_not_stand_still_again_for_what_it_was() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    asked.tuning.dirty_fields_max = Some(0);
    process.create(&table, asked);
    process.try_write(&table, vec![text(2, "x")]).unwrap();
    process.deliver_now(&table, "first");
    let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
    process.reaches("standing still", stopped);
    process.pause(&table, "first");
    drop(process);

    // The process that takes over has not seen that it stood still.
    let process = world.start();
    let table = process.table();
    let wide = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Utf8)]);
    process.update(&table, "first", |spec| spec.schema = wide).unwrap();
    process.resume(&table, "first");
    process.reaches("the row", || {
        process.deliver_now(&table, "first");
        process.status(&table, "first").rows_delivered == 1
    });
    let object = world.objects().into_values().next().unwrap();
    assert_eq!(object.column("v").unwrap(), [Some(&Value::String("x".into()))]);
    assert_eq!(process.status(&table, "first").dirty_fields, 0);
    assert_eq!(manifests(&world).len(), 1);
}

#[test]
fn a_task_that_stands_still_goes_on_with_a_schema_that_takes_the_values() {
    for mode in [Mode::Inc, Mode::BaseInc] {
        let world = World::default();
        let process = world.start();
        let table = process.table();
        let mut asked = asked(mode);
        asked.tuning.dirty_fields_max = Some(0);
        if mode == Mode::BaseInc {
            process.try_write(&table, vec![text(2, "x")]).unwrap();
            process.create(&table, asked);
        } else {
            process.create(&table, asked);
            process.try_write(&table, vec![text(2, "x")]).unwrap();
            process.deliver_now(&table, "first");
        }
        let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
        process.reaches("standing still", stopped);
        let wide = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Utf8)]);
        process.update(&table, "first", |spec| spec.schema = wide).unwrap();
        process.deliver_now(&table, "first");
        process.wait_for_rows(&table, "first", 1);
        let object = world.objects().into_values().next().unwrap();
        assert_eq!(object.column("v").unwrap(), [Some(&Value::String("x".into()))]);
        assert_eq!(process.status(&table, "first").dirty_fields, 0);
    }
}

#[test]
fn a_scan_with_too_many_dirty_fields_leaves_nothing_behind_when_the_task_is_deleted() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.try_write(&table, (0..50).map(|id| text(id, "x")).collect()).unwrap();
    let mut asked = asked(Mode::BaseInc);
    asked.tuning.dirty_fields_max = Some(0);
    process.create(&table, asked);
    let stopped = || process.status(&table, "first").error == TaskError::TooManyDirtyFields;
    process.reaches("standing still", stopped);
    process.delete(&table, "first").unwrap();
    process
        .reaches("nothing left", || world.rows().is_empty() && under(&world, "_lakeferry/dirty/").is_empty());
    assert_eq!(manifests(&world).len(), 0);
}

#[test]
fn long_values_are_cut_and_many_of_them_are_counted_beyond_their_room() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, asked(Mode::Inc));
    let long = "x".repeat(100 * 1024);
    for at in 0..30 {
        process.try_write(&table, (0..10).map(|id| text(at * 10 + id, &long)).collect()).unwrap();
    }
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 300);
    let dirty: Vec<_> = manifests(&world).into_iter().filter_map(|manifest| manifest.dirty).collect();
    assert_eq!(dirty.iter().map(|dirty| dirty.fields).sum::<u64>(), 300);
    assert!(dirty.iter().all(|dirty| dirty.bytes <= 16 << 20), "{dirty:?}");
    let bytes = under(&world, "_lakeferry/dirty/").into_values().next().unwrap();
    let first = &lines(&bytes)[0];
    assert_eq!(first["value"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(first["cut_from_bytes"], 100 * 1024);
}

#[test]
fn a_dirty_object_done_again_is_the_same_and_is_named_by_its_manifest_alone() {
    for does_step in [false, true] {
        for step in 1.. {
            let world = World::default();
            let live = |process: &Process| -> Option<()> {
                let table = process.table_in(2)?;
                process.try_write(&table, (0..20).map(|id| text(id * 10, "before")).collect())?;
                process.try_create(&table, asked(Mode::BaseInc))?.ok()?;
                process.try_write(&table, (0..20).map(|id| text(id * 10 + 1, "after")).collect())?;
                process.deliver_now(&table, "first");
                let is_done = || process.status(&table, "first").rows_delivered == 40;
                process.reaches("the end", is_done).then_some(())
            };
            let process = world.start_with(Fuse::at(step, does_step));
            let has_ended = live(&process).is_none();
            drop(process);
            let process = world.start();
            let table = process.table_in(2).unwrap();
            if process.delivery().list(&table).is_empty() {
                continue;
            }
            let ids: Vec<i64> = (0..20).map(|id| id * 10 + 1).collect();
            let missing: Vec<_> = ids.iter().filter(|id| !has_row(&process, &table, **id)).collect();
            process.try_write(&table, missing.into_iter().map(|id| text(*id, "after")).collect()).unwrap();
            process.reaches("the end", || {
                process.deliver_now(&table, "first");
                process.status(&table, "first").rows_delivered == 40
            });
            let case = format!("step {step}, done: {does_step}");
            process.reaches("what was given up to be gone", || {
                let named: Vec<String> = manifests(&world)
                    .into_iter()
                    .filter_map(|manifest| manifest.dirty)
                    .map(|d| d.name)
                    .collect();
                let found = under(&world, "_lakeferry/dirty/");
                found.keys().eq(named.iter())
            });
            let kept: Vec<_> = under(&world, "_lakeferry/dirty/").values().flat_map(|b| lines(b)).collect();
            assert_eq!(kept.len(), 40, "{case}");
            assert_eq!(process.status(&table, "first").dirty_fields, 40, "{case}");
            let rewritten = world.lake.rewritten.lock();
            assert!(rewritten.is_empty(), "{case}: {rewritten:?}");
            if !has_ended {
                assert!(step > 8, "{case}: too few steps to be worth it");
                break;
            }
        }
    }
}

#[test]
fn a_doubtful_schema_is_refused_by_our_own_program_in_an_update_too() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, asked(Mode::Inc));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    let doubtful = |spec: &mut TaskSpec| {
        spec.schema = SchemaSpec::Manual(vec![field("id", FieldKind::Int64), field("v", FieldKind::Int64)]);
        let SchemaSpec::Manual(fields) = &mut spec.schema else { unreachable!() };
        fields[1].target = "ID".to_owned();
    };
    let refused = process.update_via(&table, "first", CreateVia::Own, doubtful).unwrap_err();
    assert!(refused.to_string().contains("but for case"), "{refused}");
    process.update_via(&table, "first", CreateVia::Wire, doubtful).unwrap();
    assert_eq!(process.status(&table, "first").warnings.len(), 1);
}

pub fn has_row(process: &Process, table: &lakeferry_store::Table, id: i64) -> bool {
    let key = lakeferry_model::PrimaryKey::new(vec![lakeferry_model::KeyValue::Integer(id)]);
    let table = table.clone();
    process.run(async move { table.get(&[key], soon()).await.unwrap()[0].is_some() })
}

#[test]
fn a_delete_that_is_delivered_has_no_dirty_fields() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    let SchemaSpec::Manual(fields) = &mut asked.schema else { unreachable!() };
    fields.push(field("$operation", FieldKind::Utf8));
    asked.destination.event_time =
        Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
    process.create(&table, asked);
    process.try_write(&table, vec![change(7, RowOperation::Delete)]).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(process.status(&table, "first").dirty_fields, 0);
}

#[test]
fn dirty_fields_are_counted_by_each_of_the_four_reasons() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = asked(Mode::Inc);
    asked.destination.event_time =
        Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
    let fields = [("id", FieldKind::Int64), ("n", FieldKind::Int32), ("d", FieldKind::Date)];
    asked.schema = SchemaSpec::Manual(fields.map(|(name, kind)| field(name, kind)).to_vec());
    process.create(&table, asked);
    let at = || ("at", Value::Integer(1_598_889_780));
    let rows = vec![
        put(1, vec![at(), ("n", Value::Integer(i64::MAX))]),
        put(2, vec![at(), ("n", Value::Integer(i64::MIN)), ("d", Value::String("someday".into()))]),
        put(3, vec![at(), ("n", Value::Boolean(true)), ("d", Value::String("2020-08-31".into()))]),
        put(4, vec![]),
    ];
    process.try_write(&table, rows).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 4);
    use DirtyReason::*;
    let expected = BTreeMap::from([(Type, 1), (Range, 2), (Format, 1), (EventTime, 1)]);
    let status = process.status(&table, "first");
    assert_eq!((status.dirty_reasons, status.dirty_fields), (expected, 5));
}
