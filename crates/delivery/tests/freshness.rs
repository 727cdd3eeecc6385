//! The original's two promises, as a task tells of them.

use std::time::Duration;

use lakeferry_delivery::Freshness;
use lakeferry_model::delivery::{Mode, TaskError};
use lakeferry_store::Table;

use crate::harness::*;

fn freshness(process: &Process, table: &Table) -> Freshness {
    process.delivery().freshness(table, &task_name("first")).unwrap()
}

fn kept(process: &Process, table: &Table) -> (bool, bool) {
    let told = freshness(process, table);
    (told.is_within_3_minutes, told.is_p99_within_10_minutes)
}

#[test]
fn the_promises_of_freshness_are_broken_while_rows_wait_and_kept_again_once_late_rows_are_past() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.reaches("a sync point", || process.status(&table, "first").sync_point > 0);
    assert_eq!(kept(&process, &table), (true, true));
    process.pause(&table, "first");
    process.write(&table, [(1, 1)]);
    for (seconds, expected) in [(170, (true, true)), (20, (false, true)), (420, (false, false))] {
        world.clock.advance(Duration::from_secs(seconds));
        process.reaches("what is promised", || kept(&process, &table) == expected);
    }
    process.resume(&table, "first");
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    process.reaches("the late row", || freshness(&process, &table).slowest.is_some());
    let told = freshness(&process, &table);
    assert_eq!((told.slowest, told.slowest_mean), (Some(Duration::from_secs(610)), told.slowest));
    assert_eq!(kept(&process, &table), (false, false));
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kept(&process, &table), (true, true));
    assert_eq!(freshness(&process, &table).latencies.count(), 1);
}

#[test]
fn a_task_that_never_could_deliver_breaks_the_promises_as_soon_as_its_rows_have_waited() {
    let world = World::default();
    world.lake.remove("lake");
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    assert_eq!(process.status(&table, "first").lag_s, None);
    for (seconds, expected) in [(180, (true, true)), (1, (false, true)), (420, (false, false))] {
        world.clock.advance(Duration::from_secs(seconds));
        assert_eq!(kept(&process, &table), expected);
    }
}
