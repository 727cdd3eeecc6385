//! Steering a running task: pause, resume, retry now, limits, settings, and the history that tells of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lakeferry_delivery::ErrorKind;
use lakeferry_model::delivery::{Mode, Phase, TaskError, TaskEventKind, TuningChange};
use lakeferry_store::{LogReaders, Table};

use crate::harness::*;

/// A task that follows the table, which has one row.
fn following(world: &World) -> (Process, Table) {
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    (process, table)
}

fn rests(process: &Process, table: &Table) {
    process.reaches("rest", || process.status(table, "first").detail.starts_with("paused"));
}

#[test]
fn a_paused_task_delivers_nothing_keeps_its_log_and_shows_its_lag() {
    let world = World::default();
    let (process, table) = following(&world);
    process.pause(&table, "first");
    rests(&process, &table);
    process.write(&table, [(2, 2), (3, 3)]);
    process.deliver_now(&table, "first");
    world.clock.advance(Duration::from_secs(600));
    std::thread::sleep(Duration::from_millis(50));
    let status = process.status(&table, "first");
    assert_eq!((status.phase, status.is_paused, status.error), (Phase::Incr, true, TaskError::Ok));
    assert_eq!((status.rows_waiting, status.rows_delivered), (2, 1));
    assert!(status.lag_s.unwrap() >= 600, "{status:?}");
    assert!(status.sync_point >= START, "what was certain stays so");
    let lows = {
        let (delivery, id) = (process.delivery().clone(), table.id());
        process.run(async move { delivery.low_positions(id).await }).unwrap().unwrap()
    };
    assert_eq!(lows.into_values().collect::<Vec<_>>(), [1], "the log is held behind the delivered row");
    process.resume(&table, "first");
    process.wait_for_rows(&table, "first", 3);
    assert_eq!(world.rows(), [(1, 1), (2, 2), (3, 3)]);
}

#[test]
fn what_a_paused_task_had_gathered_gives_its_memory_back_and_is_delivered_once() {
    let world = World::default();
    let (process, table) = following(&world);
    process.write(&table, [(2, 2)]);
    process.reaches("a gathered row", || process.delivery().memory_bytes() > 0);
    process.pause(&table, "first");
    process.reaches("memory given back", || process.delivery().memory_bytes() == 0);
    process.resume(&table, "first");
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
}

#[test]
fn a_pause_takes_effect_after_the_cut_on_its_way_is_committed() {
    let world = World::default();
    let (process, table) = following(&world);
    process.write(&table, [(2, 2)]);
    world.lake.hold("p/first");
    process.deliver_now(&table, "first");
    process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.pause(&table, "first");
    process.write(&table, [(3, 3)]);
    process.deliver_now(&table, "first");
    let status = process.status(&table, "first");
    assert!(status.is_paused && status.detail.starts_with("being paused"), "{status:?}");
    world.lake.release();
    process.wait_for_rows(&table, "first", 2);
    rests(&process, &table);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
}

#[test]
fn a_pause_gives_up_a_cut_that_waits_for_its_store_and_resuming_does_it_again() {
    let world = World { retry_min: Duration::from_secs(600), ..World::default() };
    let (process, table) = following(&world);
    let objects = world.lake.remove("lake").unwrap();
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    process.pause(&table, "first");
    rests(&process, &table);
    process.reaches("nobody trying", || process.status(&table, "first").error == TaskError::Ok);
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    rests(&process, &table);
    let status = process.status(&table, "first");
    assert_eq!((status.error, status.rows_delivered), (TaskError::Ok, 1), "nobody tries any more");
    process.resume(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.names(), ["p/first_0_p__1", "p/first_0_p__2"], "under the name that was prepared");
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
}

#[test]
fn a_pause_survives_a_restart() {
    let world = World::default();
    let (process, table) = following(&world);
    process.pause(&table, "first");
    process.crash();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    std::thread::sleep(Duration::from_millis(50));
    let status = process.status(&table, "first");
    assert_eq!((status.is_paused, status.rows_delivered, status.phase), (true, 1, Phase::Incr));
    process.resume(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    process.crash();
    assert!(!world.start().status(&table, "first").is_paused);
}

#[test]
fn a_task_that_is_paused_in_full_rests_and_scans_the_rest_once() {
    let world = World::default();
    let process = world.start();
    let table = process.table_in(2).unwrap();
    process.write(&table, (0..200).map(|id| (id, id)));
    world.lake.hold("p/first");
    let mut asked = spec("first", Mode::BaseInc);
    asked.tuning.object_bytes_max = 1000;
    process.create(&table, asked);
    process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    process.pause(&table, "first");
    assert_eq!(process.status(&table, "first").phase, Phase::Full);
    world.lake.release();
    rests(&process, &table);
    let delivered = process.status(&table, "first").rows_delivered;
    assert!((1..200).contains(&delivered), "the cuts on their way are committed, no more: {delivered}");
    process.resume(&table, "first");
    process.wait_for_rows(&table, "first", 200);
    assert_eq!(world.rows(), (0..200).map(|id| (id, id)).collect::<Vec<_>>());
}

#[test]
fn retry_now_skips_the_back_off() {
    let world = World { retry_min: Duration::from_secs(600), ..World::default() };
    let (process, table) = following(&world);
    let objects = world.lake.remove("lake").unwrap();
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    let status = process.status(&table, "first");
    assert_eq!((status.rows_delivered, status.next_try_at.is_some()), (1, true));
    process.delivery().retry_now(&table, &task_name("first")).unwrap();
    process.wait_for_rows(&table, "first", 2);
    // The look at the bucket may have seen it, too, and comes a little later.
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
}

#[test]
fn a_task_is_held_to_its_rows_per_second_and_another_is_not() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.tuning.rows_per_s_max = Some(1);
    asked.tuning.object_age_ms_max = 1;
    process.create(&table, asked);
    let mut free = spec("second", Mode::Inc);
    free.destination.prefix = "q".to_owned();
    process.create(&table, free);
    process.write(&table, (0..10).map(|id| (id, 1)));
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 10);
    // Ten rows are owed now, at one a second.
    process.write(&table, [(10, 1)]);
    process.deliver_now(&table, "first");
    process.deliver_now(&table, "second");
    process.wait_for_rows(&table, "second", 11);
    std::thread::sleep(Duration::from_millis(30));
    let status = process.status(&table, "first");
    assert_eq!((status.rows_delivered, status.rows_waiting), (10, 1));
    world.clock.advance(Duration::from_secs(9));
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(process.status(&table, "first").rows_delivered, 10);
    world.clock.advance(Duration::from_secs(1));
    process.wait_for_rows(&table, "first", 11);
}

#[test]
fn a_limit_on_bytes_that_is_lifted_holds_no_longer() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.tuning.bytes_per_s_max = Some(1);
    process.create(&table, asked);
    for (round, rows) in [(1, 1), (2, 1)] {
        process.write(&table, [(round, round)]);
        process.deliver_now(&table, "first");
        if round == 1 {
            process.wait_for_rows(&table, "first", rows);
        }
    }
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(process.status(&table, "first").rows_delivered, 1);
    let lifted = TuningChange { bytes_per_s_max: Some(None), ..TuningChange::default() };
    process.tune(&table, "first", lifted).unwrap();
    process.wait_for_rows(&table, "first", 2);
}

#[test]
fn a_task_that_waits_for_its_limit_can_be_paused_and_deleted() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.tuning.rows_per_s_max = Some(1);
    process.create(&table, asked);
    process.write(&table, (0..100).map(|id| (id, 1)));
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 100);
    process.write(&table, [(100, 1)]);
    process.deliver_now(&table, "first");
    std::thread::sleep(Duration::from_millis(30));
    process.pause(&table, "first");
    rests(&process, &table);
    process.resume(&table, "first");
    process.delete(&table, "first").unwrap();
    assert!(process.delivery().list(&table).is_empty());
}

#[test]
fn a_changed_object_age_holds_for_what_is_gathered_already_and_over_restarts() {
    let world = World::default();
    let (process, table) = following(&world);
    process.write(&table, [(2, 2)]);
    process.reaches("a cut to wait for", || process.status(&table, "first").next_cut_in_ms == Some(120_000));
    world.clock.advance(Duration::from_secs(5));
    let change = TuningChange { object_age_ms_max: Some(5_000), ..TuningChange::default() };
    process.tune(&table, "first", change).unwrap();
    process.wait_for_rows(&table, "first", 2);
    let wrong = TuningChange { object_age_ms_max: Some(0), ..TuningChange::default() };
    assert_eq!(process.tune(&table, "first", wrong).unwrap_err().kind(), ErrorKind::Invalid);
    process.crash();
    let process = world.start();
    let tuning = process.delivery().describe(&process.table(), &task_name("first")).unwrap().spec.tuning;
    assert_eq!(tuning.object_age_ms_max, 5_000);
}

#[test]
fn a_tasks_history_tells_what_it_has_been_through_and_survives_a_restart() {
    let world = World::default();
    let (process, table) = following(&world);
    process.pause(&table, "first");
    process.resume(&table, "first");
    let change = TuningChange { object_age_ms_max: Some(7_000), ..TuningChange::default() };
    process.tune(&table, "first", change).unwrap();
    let objects = world.lake.remove("lake").unwrap();
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    process.wait_for_rows(&table, "first", 2);
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
    process.deliver_again(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    let kinds = |process: &Process| -> Vec<TaskEventKind> {
        process.history(&table, "first").into_iter().map(|(kind, _)| kind).collect()
    };
    use TaskEventKind::*;
    let expected = [Made, Phase, Paused, Resumed, Settings, Trouble, Recovered, Run];
    process.reaches("the history", || kinds(&process).starts_with(&expected));
    let told = process.history(&table, "first");
    assert!(told[4].1.contains("object_age_ms_max 7000"), "{told:?}");
    assert!(told[5].1.starts_with("INVALID_OSS_BUCKET: "), "{told:?}");
    assert!(process.status(&table, "first").last_error.is_some());
    // What is noted is written down behind it; a pause and its end are waited for.
    std::thread::sleep(Duration::from_millis(50));
    process.crash();
    let process = world.start();
    assert!(kinds(&process).starts_with(&expected));
    assert!(process.status(&process.table(), "first").last_error.unwrap().contains("lake"));
}

#[test]
fn delivering_now_waits_neither_for_age_nor_for_size() {
    let world = World::default();
    let (process, table) = following(&world);
    process.write(&table, [(2, 2)]);
    process.reaches("a cut to wait for", || process.status(&table, "first").next_cut_in_ms == Some(120_000));
    assert_eq!(world.names().len(), 1);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.names(), ["p/first_0_p__1", "p/first_0_p__2"]);
}

#[test]
fn what_is_asked_for_right_behind_a_new_run_is_delivered_in_it() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    process.fuse.hold_entries();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (delivery, table, name) = (process.delivery().clone(), table.clone(), task_name("first"));
            process.run(async move {
                delivery.deliver_again(&table, &name).await.unwrap();
                delivery.deliver_now(&table, &name).unwrap();
            });
        });
        process.reaches("a run that begins", || process.fuse.entries_held.load(Ordering::SeqCst) > 0);
        // Behind where the run begins: no scan finds it.
        process.write(&table, [(2, 2)]);
        process.fuse.release_entries();
    });
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(process.status(&table, "first").run, 2);
}

#[test]
fn trouble_that_is_seen_while_there_is_nothing_to_write_is_in_the_history_and_rests_with_a_pause() {
    let world = World::default();
    let (process, table) = following(&world);
    let error = || process.status(&table, "first").error;
    let objects = world.lake.remove("lake").unwrap();
    process.reaches("the error", || error() == TaskError::InvalidOssBucket);
    process.pause(&table, "first");
    rests(&process, &table);
    process.reaches("nobody looking", || error() == TaskError::Ok);
    process.resume(&table, "first");
    process.reaches("the error again", || error() == TaskError::InvalidOssBucket);
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    process.reaches("no error", || error() == TaskError::Ok);
    use TaskEventKind::*;
    process.reaches("the history", || {
        let told: Vec<_> = process.history(&table, "first").into_iter().map(|(kind, _)| kind).collect();
        told[2..] == [Trouble, Paused, Resumed, Trouble, Recovered]
    });
}
