//! Making and deleting tasks, their phases and runs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lakeferry_delivery::ErrorKind;
use lakeferry_model::Value;
use lakeferry_model::delivery::{Encoding, Field, FieldKind, Mode, Phase, SchemaSpec, TaskSpec};

use crate::harness::*;

#[test]
fn a_task_in_init_cannot_be_deleted_and_leaves_init_by_itself() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    world.lake.is_probe_held.store(true, Ordering::SeqCst);
    process.create(&table, spec("first", Mode::BaseInc));
    let status = process.status(&table, "first");
    assert_eq!((status.phase, status.sync_point), (Phase::Init, 0));
    assert_eq!(process.delete(&table, "first").unwrap_err().kind(), ErrorKind::Initializing);
    // At most two seconds, whether the bucket answers or not.
    process.reaches("FULL", || process.status(&table, "first").phase == Phase::Full);
    world.lake.release();
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    process.delete(&table, "first").unwrap();
    assert_eq!(process.delete(&table, "first").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn phases_never_go_back_and_the_sync_point_waits_for_full_to_end() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    world.lake.hold("p/");
    process.create(&table, spec("first", Mode::BaseInc));
    process.reaches("FULL", || process.status(&table, "first").phase == Phase::Full);
    process.write(&table, [(2, 2)]);
    assert_eq!(process.status(&table, "first").sync_point, 0);
    world.lake.release();
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert!(process.status(&table, "first").sync_point >= START);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
}

#[test]
fn a_deleted_tasks_uploads_end_and_its_name_can_be_used_at_once() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    world.lake.hold("p/first");
    process.deliver_now(&table, "first");
    process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.delete(&table, "first").unwrap();
    assert!(process.delivery().list(&table).is_empty());
    world.lake.release();
    process.create(&table, spec("first", Mode::Base));
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(world.names(), ["p/first_0_p__2"], "the name of the deleted task's cut is burned");
    assert_eq!(world.rows(), [(1, 1)]);
}

#[test]
fn tables_that_are_gone_leave_one_space_while_names_that_were_given_up_are_looked_after() {
    let world = World::default();
    let process = world.start();
    let spaces = || {
        let engine = process.store().engine().clone();
        let spaces = process.run(async move { engine.spaces(soon()).await.unwrap() });
        let names = spaces.iter().map(|space| space.as_str().to_owned());
        names.filter(|name| name.starts_with("tasks-")).collect::<Vec<_>>()
    };
    let stays = process.table();
    let tasks_of_stays = format!("tasks-{}", stays.id().0);
    // A task that is deleted wakes whoever looks after names.
    let wake = || {
        process.create(&stays, spec("other", Mode::Inc));
        process.reaches("INCR", || process.status(&stays, "other").phase == Phase::Incr);
        process.delete(&stays, "other").unwrap();
    };
    for name in ["gone1", "gone2", "gone3"] {
        let table = process.table_named(name, 1).unwrap();
        process.create(&table, spec("first", Mode::Inc));
        process.write(&table, [(1, 1)]);
        world.lake.hold("p/first");
        process.deliver_now(&table, "first");
        process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
        process.delete(&table, "first").unwrap();
        world.lake.release();
        let (store, info) = (process.store().clone(), table.info());
        process.run(async move { store.delete_table(&info.instance, &info.schema.name).await }).unwrap();
    }
    wake();
    process.reaches("one space for all", || spaces() == ["tasks-0", &tasks_of_stays]);
    process.crash();

    let process = world.start();
    let spaces = || {
        let engine = process.store().engine().clone();
        let spaces = process.run(async move { engine.spaces(soon()).await.unwrap() });
        spaces.iter().filter(|space| space.as_str().starts_with("tasks-")).count()
    };
    assert_eq!(spaces(), 2, "the names are still looked after");
    world.clock.advance(Duration::from_secs(601));
    let stays = process.table();
    process.create(&stays, spec("other", Mode::Inc));
    process.reaches("INCR", || process.status(&stays, "other").phase == Phase::Incr);
    process.delete(&stays, "other").unwrap();
    process.reaches("only the space of the table that is there", || spaces() == 1);
}

#[test]
fn delivering_again_begins_a_run_beside_the_first() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    process.deliver_again(&table, "first");
    // An INC task scans the table first, but reports INCR all along.
    assert_eq!(process.status(&table, "first").phase, Phase::Incr);
    assert_eq!(process.status(&table, "first").run, 2);
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2), (2, 2)]);
    assert_eq!(world.names(), ["p/first_0_p__1", "p/first_0_p__2"]);
    process.reaches("a sync point", || process.status(&table, "first").sync_point >= START);
}

#[test]
fn two_tasks_whose_objects_could_share_names_cannot_both_exist() {
    let world = World::default();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("other", 1).unwrap());
    let with_prefix = |prefix: &str| {
        let mut asked = spec("first", Mode::Inc);
        asked.destination.prefix = prefix.to_owned();
        asked
    };
    process.create(&table, with_prefix("p/$yyyy"));
    let kind = |spec| process.try_create(&other, spec).unwrap().map_err(|error| error.kind());
    assert_eq!(kind(with_prefix("p/2031")), Err(ErrorKind::Exists));
    assert_eq!(kind(with_prefix("q/$yyyy")), Ok(()));
    assert_eq!(
        process.try_create(&table, spec("first", Mode::Inc)).unwrap().unwrap_err().kind(),
        ErrorKind::Exists
    );
}

#[test]
fn names_in_the_bucket_are_never_used_again() {
    let world = World::default();
    let foreign = bytes::Bytes::from_static(b"somebody else's");
    world.lake.buckets.lock().get_mut("lake").unwrap().insert("p/first_0_p__7".to_owned(), foreign.clone());
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    // One that appears after the listing is left alone, too.
    world.lake.buckets.lock().get_mut("lake").unwrap().insert("p/first_0_p__9".to_owned(), foreign.clone());
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    let buckets = world.lake.buckets.lock();
    let names: Vec<_> = buckets["lake"].keys().filter(|name| name.starts_with("p/")).collect();
    assert_eq!(names, ["p/first_0_p__10", "p/first_0_p__7", "p/first_0_p__8", "p/first_0_p__9"]);
    assert_eq!(buckets["lake"]["p/first_0_p__7"], foreign);
    assert_eq!(buckets["lake"]["p/first_0_p__9"], foreign);
}

#[test]
fn the_service_role_is_made_with_the_first_task_alone() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    assert!(process.store().roles().is_empty());
    process.create(&table, spec("first", Mode::Base));
    let role = process.store().roles()[0].name.clone();
    let (store, name) = (process.store().clone(), role);
    process.run(async move { store.remove_role(&name).await }).unwrap();
    process.create(&table, spec("second", Mode::Base));
    assert!(process.store().roles().is_empty());
}

#[test]
fn the_log_is_held_while_a_task_follows_it() {
    use lakeferry_store::LogReaders;
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let lows = || {
        let (delivery, id) = (process.delivery().clone(), table.id());
        process.run(async move { delivery.low_positions(id).await }).unwrap()
    };
    assert_eq!(lows(), None);
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1), (2, 2)]);
    assert_eq!(lows().unwrap().into_values().collect::<Vec<_>>(), [0]);
    process.deliver_now(&table, "first");
    process.reaches("progress", || lows().unwrap().into_values().all(|low| low == 2));
    process.delete(&table, "first").unwrap();
    assert_eq!(lows(), None);
}

#[test]
fn our_own_program_holds_names_to_the_documented_rule() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let (delivery, table_) = (process.delivery().clone(), table);
    let own = lakeferry_delivery::CreateVia::Own;
    let refused =
        process.run(async move { delivery.create(&table_, spec("taskTest_29", Mode::Inc), own).await });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn our_own_program_changes_what_was_made_over_the_wire() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let field = |source: &str, target: &str, kind| Field {
        source: source.to_owned(),
        target: target.to_owned(),
        kind,
        encoding: Encoding::Plain,
        type_extend: None,
    };
    let mut asked = spec("taskTest_29", Mode::Inc);
    // As an official sample has it, though a number is never a truth value.
    asked.schema = SchemaSpec::Manual(vec![field("id", "id", FieldKind::Bool)]);
    process.create(&table, asked);
    process.reaches("INCR", || process.status(&table, "taskTest_29").phase == Phase::Incr);
    let warnings = process.status(&table, "taskTest_29").warnings;
    assert_eq!(warnings.len(), 1);
    let own = lakeferry_delivery::CreateVia::Own;
    let more = move |spec: &mut TaskSpec| {
        let SchemaSpec::Manual(fields) = &mut spec.schema else { unreachable!() };
        fields.push(field("v", "v", FieldKind::Int64));
    };
    process.update_via(&table, "taskTest_29", own, more).unwrap();
    assert_eq!(process.status(&table, "taskTest_29").warnings, warnings);
    // What is added is held to the rules.
    let doubtful = |spec: &mut TaskSpec| {
        let SchemaSpec::Manual(fields) = &mut spec.schema else { unreachable!() };
        fields[1].target = "ID".to_owned();
    };
    let refused = process.update_via(&table, "taskTest_29", own, doubtful).unwrap_err();
    assert!(refused.to_string().contains("but for case"), "{refused}");
}

#[test]
fn names_that_engines_mistake_are_refused_or_told_of_under_an_automatic_schema_too() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::BaseInc);
    asked.destination.prefix = "p/id=$yyyy/late=$MM".to_owned();
    let (delivery, table_, asked_) = (process.delivery().clone(), table.clone(), asked.clone());
    let own = lakeferry_delivery::CreateVia::Own;
    let refused = process.run(async move { delivery.create(&table_, asked_, own).await }).unwrap_err();
    assert!(refused.to_string().contains("'id='"), "{refused}");
    process.create(&table, asked);
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(process.status(&table, "first").warnings.len(), 1);
    // A column that joins later.
    process.try_write(&table, vec![put(1, vec![("late", Value::Integer(1))])]).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    let warnings = process.status(&table, "first").warnings;
    assert!(warnings.len() == 2 && warnings[1].contains("'late'"), "{warnings:?}");
}
