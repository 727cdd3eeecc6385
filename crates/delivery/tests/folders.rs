//! Which folder a row goes to.

use lakeferry_model::delivery::{EventTimeColumn, EventTimeFormat, Mode, TaskSpec};
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
