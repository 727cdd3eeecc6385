//! Which folder a row goes to.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeferry_model::delivery::{DirtyReason, EventTimeColumn, EventTimeFormat, Mode, TaskSpec};
use lakeferry_model::{RowOperation, Value};

use crate::harness::*;

fn by_event(column: &str, format: EventTimeFormat) -> TaskSpec {
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$yyyy-$MM-$dd".to_owned();
    asked.destination.event_time = Some(EventTimeColumn { column: column.to_owned(), format });
    asked
}

#[test]
fn the_event_time_decides_and_an_unreadable_one_is_counted() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_event("at", EventTimeFormat::Rfc3339));
    let text = |text: &str| vec![("at", Value::String(text.into()))];
    let rows = vec![put(1, text("2001-02-03T04:05:06Z")), put(2, text("yesterday")), put(3, vec![])];
    process.try_write(&table, rows);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 3);
    let names = world.names();
    assert_eq!(names, ["p/2001-02-03/first_0_p_2001-02-03__1", "p/2020-08-31/first_0_p_2020-08-31__2"]);
    assert_eq!(process.status(&table, "first").dirty_fields, 2);
}

#[test]
fn a_delete_goes_to_its_event_time_only_if_that_is_in_the_primary_key() {
    for (column, folder) in [("id", "p/2001-02-03"), ("at", "p/2020-08-31")] {
        let world = World::default();
        let process = world.start();
        let table = process.table();
        let mut asked = by_event(column, EventTimeFormat::Unix);
        asked.schema = lakeferry_model::delivery::SchemaSpec::Automatic { reserved: true };
        process.create(&table, asked);
        process.try_write(&table, vec![change(981_173_106, RowOperation::Delete)]);
        process.deliver_now(&table, "first");
        process.wait_for_rows(&table, "first", 1);
        assert!(world.names()[0].starts_with(folder), "{:?}", world.names());
        assert_eq!(process.status(&table, "first").dirty_fields, 0);
    }
}

#[test]
fn the_zone_of_the_task_decides_on_the_day() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$dd/$HH".to_owned();
    asked.destination.zone = "Asia/Shanghai".to_owned();
    process.create(&table, asked);
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(world.names(), ["p/01/00/first_0_p_01_00__1"]);
}

#[test]
fn every_format_of_event_time_names_the_folder_in_the_tasks_zone() {
    use EventTimeFormat::{Rfc822, Rfc850, Rfc1123, Rfc3339, Unix};
    let text = |text: &str| Value::String(text.into());
    let cases = [
        (Rfc822, vec![text("31 Aug 20 16:03 GMT"), text("Mon, 31 Aug 2020 12:03:00 EDT")]),
        (Rfc850, vec![text("Monday, 31-Aug-20 16:03:00 UTC")]),
        (Rfc1123, vec![text("Mon, 31 Aug 2020 16:03:00 GMT"), text("Tue, 01 Sep 2020 00:03:00 +0800")]),
        (Rfc3339, vec![text("2020-08-31T16:03:00Z"), text("2020-09-01T00:03:00.5+08:00")]),
        (Unix, [1_598_889_780, 1_598_889_780_000, 1_598_889_780_000_000].map(Value::Integer).to_vec()),
    ];
    for (format, values) in cases {
        let world = World::default();
        world.clock.advance(Duration::from_secs(400 * 86_400));
        let process = world.start();
        let table = process.table();
        let mut asked = by_event("at", format);
        asked.destination.zone = "Asia/Shanghai".to_owned();
        process.create(&table, asked);
        let rows = values.len() as u64;
        let changes = (0..).zip(values).map(|(id, value)| put(id, vec![("at", value)])).collect();
        process.try_write(&table, changes).unwrap();
        process.deliver_now(&table, "first");
        process.wait_for_rows(&table, "first", rows);
        assert_eq!(world.names(), ["p/2020-09-01/first_0_p_2020-09-01__1"], "{format:?}");
        assert_eq!(process.status(&table, "first").dirty_fields, 0, "{format:?}");
    }
}

#[test]
fn a_time_outside_of_the_years_1970_to_9999_is_that_of_the_commit() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_event("at", EventTimeFormat::Unix));
    let rows = [-1, i64::MAX, 253_402_300_800_000_000].map(Value::Integer);
    let rows = (0..).zip(rows).map(|(id, value)| put(id, vec![("at", value)])).collect();
    process.try_write(&table, rows).unwrap();
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 3);
    assert_eq!(world.names(), ["p/2020-08-31/first_0_p_2020-08-31__1"]);
    let status = process.status(&table, "first");
    assert_eq!(status.dirty_reasons, BTreeMap::from([(DirtyReason::EventTime, 3)]));
}

#[test]
fn late_and_early_rows_in_turn_make_one_object_per_folder_and_age() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_event("at", EventTimeFormat::Unix));
    // Rows of ten days in turn, from five days back to four days ahead.
    let day = |number: i64| 1_598_889_780 + (number % 10 - 5) * 86_400;
    process.try_write(&table, (0..200).map(|id| put(id, vec![("at", Value::Integer(day(id)))])).collect());
    process.reaches("all rows gathered", || process.status(&table, "first").next_cut_in_ms.is_some());
    assert_eq!(world.names().len(), 0, "no folder is cut because another one got a row");
    world.clock.advance(Duration::from_secs(120));
    process.wait_for_rows(&table, "first", 200);
    assert_eq!(world.names().len(), 10, "{:?}", world.names());
}

#[test]
fn each_folder_is_cut_by_its_own_age() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, by_event("at", EventTimeFormat::Unix));
    let day = |number: i64| vec![("at", Value::Integer(1_598_889_780 + number * 86_400))];
    process.try_write(&table, vec![put(1, day(0))]).unwrap();
    process.reaches("the first folder", || process.status(&table, "first").next_cut_in_ms == Some(120_000));
    world.clock.advance(Duration::from_secs(70));
    // A further row does not make its folder younger, nor another folder older.
    let before = process.delivery().memory_bytes();
    process.try_write(&table, vec![put(2, day(0)), put(3, day(1))]).unwrap();
    process.reaches("both folders", || process.delivery().memory_bytes() > before);
    world.clock.advance(Duration::from_secs(50));
    process.wait_for_rows(&table, "first", 2);
    process.reaches("the other's turn", || process.status(&table, "first").next_cut_in_ms == Some(70_000));
    assert_eq!(world.names(), ["p/2020-08-31/first_0_p_2020-08-31__1"]);
    world.clock.advance(Duration::from_secs(70));
    process.wait_for_rows(&table, "first", 3);
    assert_eq!(world.names()[1], "p/2020-09-01/first_0_p_2020-09-01__2");
}

#[test]
fn a_folder_is_cut_once_no_row_came_for_its_inactivity_limit() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    let mut asked = by_event("at", EventTimeFormat::Unix);
    asked.tuning.inactivity_ms_max = Some(10_000);
    process.create(&table, asked);
    let day = |number: i64| vec![("at", Value::Integer(1_598_889_780 + number * 86_400))];
    process.try_write(&table, vec![put(1, day(0)), put(2, day(1))]).unwrap();
    process.reaches("two rows", || process.status(&table, "first").next_cut_in_ms == Some(10_000));
    world.clock.advance(Duration::from_secs(6));
    let before = process.delivery().memory_bytes();
    process.try_write(&table, vec![put(3, day(0)), put(4, day(2))]).unwrap();
    process.reaches("a third folder", || process.delivery().memory_bytes() > before);
    world.clock.advance(Duration::from_secs(4));
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(world.names(), ["p/2020-09-01/first_0_p_2020-09-01__1"], "the other folders got rows");
    world.clock.advance(Duration::from_secs(6));
    process.wait_for_rows(&table, "first", 4);
}
