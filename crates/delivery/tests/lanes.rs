//! Lanes of the incremental phase: as few as it takes, and partitions that change theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakeferry_delivery::CreateVia;
use lakeferry_model::delivery::{
    EventTimeColumn, EventTimeFormat, Mode, Phase, TaskEventKind, TaskSpec, TuningChange,
};
use lakeferry_model::{RowChange, Value};
use lakeferry_store::Table;

use crate::harness::*;
use crate::updates::ids_and;

/// Keys of a partition that are written again and again.
const KEYS: i64 = 5;

/// A world whose lanes are busy with so many bytes a second.
fn world_with(lane_bytes_per_s: u64) -> World {
    World { lane_bytes_per_s, ..World::default() }
}

fn world() -> World {
    world_with(4000)
}

/// A task with three folders that are full after a few rows.
fn asked(lanes_max: u32) -> TaskSpec {
    use lakeferry_model::delivery::FieldKind::Int64;
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$mm".to_owned();
    asked.destination.event_time =
        Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
    asked.schema = ids_and(&[("v", "v", Int64), ("$sequence", "sequence", Int64)]);
    asked.tuning.object_bytes_max = 10_000;
    asked.tuning.lanes_max = lanes_max;
    asked
}

/// Writes to a table with a task that follows it.
struct Writer<'a> {
    process: &'a Process,
    table: Table,
    round: i64,
    rows: Vec<(i64, i64)>,
}

impl<'a> Writer<'a> {
    fn new(process: &'a Process, table: Table) -> Self {
        Self { process, table, round: 0, rows: Vec::new() }
    }

    /// Writes a row of so many bytes to each of these partitions, a quarter of a second after those before.
    fn write(&mut self, partitions: std::ops::Range<i64>, bytes: usize) {
        let rows = partitions.map(|partition| (partition * 100 + self.round % KEYS, self.round));
        let rows: Vec<_> = rows.collect();
        let changes = rows.iter().map(|(id, v)| row(*id, *v, v % 3, bytes)).collect();
        self.process.try_write(&self.table, changes).expect("the process goes on");
        self.rows.extend(rows);
        self.round += 1;
        self.process.world().clock.advance(Duration::from_millis(250));
    }

    /// Keeps these partitions busy until something holds.
    fn write_until(&mut self, what: &str, partitions: std::ops::Range<i64>, holds: impl Fn(&Self) -> bool) {
        let process = self.process;
        process.reaches(what, || {
            if holds(self) {
                return true;
            }
            self.write(partitions.clone(), 2000);
            // A lane rests as long between two reads.
            std::thread::sleep(Duration::from_millis(20));
            false
        });
    }

    fn lanes(&self) -> u32 {
        self.process.status(&self.table, "first").lanes
    }

    /// Waits until everything is in the lake, and checks that it is there once and in order.
    fn check(&mut self) {
        let (process, table) = (self.process, &self.table);
        process.reaches("the rows", || {
            process.deliver_now(table, "first");
            let status = process.status(table, "first");
            status.rows_waiting == 0 && status.rows_delivered == self.rows.len() as u64
        });
        self.rows.sort_unstable();
        assert_eq!(process.world().rows(), self.rows);
        check_order(process.world());
    }
}

/// A row of so many bytes for the folder of so many minutes after the start.
fn row(id: i64, v: i64, minute: i64, bytes: usize) -> RowChange {
    let at = START / 1_000_000 + 60 * minute;
    let text = "x".repeat(bytes);
    put(id, vec![("v", Value::Integer(v)), ("at", Value::Integer(at)), ("text", Value::String(text.into()))])
}

/// The first and the last sequence of a partition's rows in an object, its lane, and its number there.
type Span = (i64, i64, u32, u64);

/// In a folder, the rows of a partition lie in the order of their sequences: within each object, from one object of
/// a lane to its next, and in objects of different lanes apart from each other.
fn check_order(world: &World) {
    let mut spans: BTreeMap<(String, i64), Vec<Span>> = BTreeMap::new();
    for (name, object) in world.objects() {
        let (folder, file) = name.rsplit_once('/').unwrap();
        let (lane, number) = (lane_of(&name), file.rsplit_once("__").unwrap().1.parse().unwrap());
        let mut by_partition: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (id, sequence) in integers(&object, "id").into_iter().zip(integers(&object, "sequence")) {
            by_partition.entry(id / 100).or_default().push(sequence);
        }
        for (partition, sequences) in by_partition {
            assert!(sequences.is_sorted_by(|a, b| a < b), "{name}: {sequences:?}");
            let span = (sequences[0], sequences[sequences.len() - 1], lane, number);
            spans.entry((folder.to_owned(), partition)).or_default().push(span);
        }
    }
    for (place, mut spans) in spans {
        spans.sort_unstable();
        for pair in spans.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            assert!(before.1 < after.0, "{place:?}: {before:?} and {after:?} overlap");
            assert!(before.2 != after.2 || before.3 < after.3, "{place:?}: {before:?}, then {after:?}");
        }
    }
}

fn lane_of(name: &str) -> u32 {
    name.rsplit('/').next().unwrap().split('_').nth(1).unwrap().parse().unwrap()
}

fn lanes_used(world: &World) -> BTreeSet<u32> {
    world.names().iter().map(|name| lane_of(name)).collect()
}

#[test]
fn a_busy_task_grows_to_its_bound_and_delivers_each_row_once_and_in_order() {
    let world = world();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    process.create(&table, asked(4));
    let mut writer = Writer::new(&process, table.clone());
    assert_eq!(writer.lanes(), 1);
    writer.write_until("four lanes", 0..4, |writer| writer.lanes() == 4);
    writer.write_until("a row more of each", 0..4, |writer| lanes_used(writer.process.world()).len() == 4);
    writer.check();
    let grown =
        process.history(&table, "first").into_iter().filter(|(kind, _)| *kind == TaskEventKind::Lanes);
    let grown: Vec<String> = grown.map(|(_, text)| text).collect();
    assert_eq!(grown.len(), 3, "{grown:?}");
    assert!(grown[0].starts_with("lanes: 2 instead of 1; they read "), "{grown:?}");
    assert!(grown[2].starts_with("lanes: 4 instead of 3; they read "), "{grown:?}");
}

#[test]
fn a_task_gets_no_more_lanes_than_it_may_have_and_other_bounds_hold_at_once() {
    let world = world();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    process.create(&table, asked(2));
    let mut writer = Writer::new(&process, table.clone());
    writer.write_until("two lanes", 0..4, |writer| writer.lanes() == 2);
    let until = writer.round + 40;
    writer.write_until("ten seconds more", 0..4, |writer| writer.round == until);
    assert_eq!((writer.lanes(), lanes_used(&world)), (2, BTreeSet::from([0, 1])));
    let bounds = |min, max| TuningChange { lanes_min: min, lanes_max: max, ..TuningChange::default() };
    process.tune(&table, "first", bounds(Some(3), Some(3))).unwrap();
    writer.write_until("three lanes", 0..4, |writer| writer.lanes() == 3);
    process.tune(&table, "first", bounds(Some(1), Some(1))).unwrap();
    writer.write_until("one lane", 0..4, |writer| writer.lanes() == 1);
    writer.check();
}

#[test]
fn a_task_with_one_partition_or_little_traffic_stays_at_one_lane() {
    for (partitions, written, bytes) in [(1, 0..1, 2000), (4, 0..4, 10), (4, 2..3, 2000)] {
        let world = world();
        let process = world.start();
        let table = process.table_in(partitions).unwrap();
        process.create(&table, asked(4));
        let mut writer = Writer::new(&process, table);
        for _ in 0..40 {
            writer.write(written.clone(), bytes);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(writer.lanes(), 1, "{written:?} of {partitions}");
        writer.check();
        assert_eq!(lanes_used(&world), BTreeSet::from([0]));
    }
}

#[test]
fn a_restart_keeps_the_lanes_and_a_new_run_begins_with_one() {
    let world = world();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    process.create(&table, asked(3));
    let mut writer = Writer::new(&process, table);
    writer.write_until("three lanes", 0..4, |writer| writer.lanes() == 3);
    let (round, rows) = (writer.round, std::mem::take(&mut writer.rows));
    process.crash();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    let mut writer = Writer { round, rows, ..Writer::new(&process, table.clone()) };
    assert_eq!(writer.lanes(), 3);
    writer.write(0..4, 10);
    writer.check();
    process.deliver_again(&table, "first");
    assert_eq!(writer.lanes(), 1);
    process.reaches("the second run", || process.status(&table, "first").rows_delivered == 4 * KEYS as u64);
}

#[test]
fn a_destination_that_is_updated_while_lanes_are_to_grow_delivers_each_row_once() {
    let world = world();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    process.create(&table, asked(4));
    let mut writer = Writer::new(&process, table.clone());
    writer.write_until("two lanes", 0..4, |writer| writer.lanes() == 2);
    // They are busy enough for a third, but cannot come to where no folder is ahead.
    world.lake.hold("p/");
    let until = writer.round + 40;
    writer.write_until("ten seconds more", 0..4, |writer| writer.round == until);
    assert_eq!(writer.lanes(), 2);
    process.update(&table, "first", |spec| spec.destination.prefix = "q/$mm".to_owned()).unwrap();
    writer.write(0..4, 2000);
    world.lake.release();
    writer.write_until("the other prefix", 0..4, |writer| {
        process.status(&writer.table, "first").configuration == 2
    });
    writer.write_until("four lanes", 0..4, |writer| writer.lanes() == 4);
    writer.check();
    assert!(world.names().iter().any(|name| name.starts_with("q/")));
}

#[test]
fn a_task_that_is_paused_while_lanes_are_to_grow_goes_on_when_it_is_resumed() {
    let world = world();
    let process = world.start();
    let table = process.table_in(4).unwrap();
    process.create(&table, asked(4));
    let mut writer = Writer::new(&process, table.clone());
    world.lake.hold("p/");
    let until = writer.round + 40;
    writer.write_until("ten seconds", 0..4, |writer| writer.round == until);
    process.pause(&table, "first");
    world.lake.release();
    process.reaches("a rest", || process.status(&table, "first").detail.starts_with("paused"));
    assert_eq!(writer.lanes(), 1);
    process.resume(&table, "first");
    writer.write_until("four lanes", 0..4, |writer| writer.lanes() == 4);
    writer.check();
}

/// Lanes that grow among writes, and perhaps a change of the prefix, with a process that ends at any step.
fn check_every_crash(prefix: Option<&'static str>) {
    for does_step in [false, true] {
        for step in 1.. {
            let world = world_with(1000);
            let process = world.start_with(Fuse::at(step, does_step));
            let lived = live(&process, prefix);
            drop(process);
            for again in [2, 5] {
                let process = world.start_with(Fuse::at(again, does_step));
                let is_there = |process: &Process, table: &Table| !process.delivery().list(table).is_empty();
                process.reaches("its end", || {
                    let table = process.table_in(3).filter(|table| is_there(&process, table));
                    table.is_none_or(|table| is_done(&process, &table))
                });
            }
            let process = world.start();
            let table = process.table_in(3).unwrap();
            if process.delivery().list(&table).is_empty() {
                continue;
            }
            let case = format!("{prefix:?}, step {step}, done: {does_step}");
            process.try_write(&table, (0..3).map(|at| row(at * 100 + 90, 1, 9, 10)).collect());
            let expected = rows_of(&process, &table);
            process.reaches("the end", || is_done(&process, &table) && world.rows().len() >= expected.len());
            assert_eq!(world.rows(), expected, "{case}");
            check_order(&world);
            let rewritten = world.lake.rewritten.lock();
            assert!(rewritten.is_empty(), "{case}: {rewritten:?}");
            if lived.is_some() {
                assert!(step > 30, "{case}: too few steps to be worth it");
                break;
            }
        }
    }
}

/// Writes rows, each under a key of its own, until there are three lanes.
fn live(process: &Process, prefix: Option<&'static str>) -> Option<()> {
    let table = process.table_in(3)?;
    process.try_create(&table, asked_for_crashes())?.ok()?;
    let status = || process.status(&table, "first");
    let mut rounds = 0;
    let mut write_until_lanes = |count: u32| {
        while status().lanes < count {
            // The first row of each two waits in its folder, of which the second one's gets ahead.
            let rows = (0..3).flat_map(|partition| {
                let id = partition * 100 + rounds;
                [row(id, 1, 9, 10), row(id + 40, 1, rounds % 3, 2000)]
            });
            let waiting = status().rows_waiting + 3;
            process.try_write(&table, rows.collect())?;
            rounds += 1;
            assert!(rounds < 40, "there are no more keys");
            if !process.reaches("the second ones", || status().rows_waiting <= waiting) {
                return None;
            }
            process.world().clock.advance(Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(())
    };
    write_until_lanes(2)?;
    if let Some(prefix) = prefix {
        let change = move |spec: &mut TaskSpec| spec.destination.prefix = prefix.to_owned();
        process.try_update(&table, "first", CreateVia::Wire, change)?.ok()?;
    }
    write_until_lanes(3)?;
    process.reaches("the end", || is_done(process, &table)).then_some(())
}

/// A task whose folders are full with one large row.
fn asked_for_crashes() -> TaskSpec {
    let mut asked = asked(3);
    asked.tuning.object_bytes_max = 2000;
    asked
}

fn is_done(process: &Process, table: &Table) -> bool {
    process.deliver_now(table, "first");
    let status = process.status(table, "first");
    status.rows_waiting == 0 && status.next_configuration.is_none() && status.phase == Phase::Incr
}

/// The rows of the table as (id, value).
fn rows_of(process: &Process, table: &Table) -> Vec<(i64, i64)> {
    (0..300).filter(|id| crate::dirty::has_row(process, table, *id)).map(|id| (id, 1)).collect()
}

#[test]
fn lanes_that_grow_deliver_each_change_once_whenever_the_process_ends() {
    check_every_crash(None);
}

#[test]
fn lanes_that_grow_beside_an_update_deliver_each_change_once_whenever_the_process_ends() {
    check_every_crash(Some("q/$mm"));
}
