//! A process that ends at any step leaves each row in the lake exactly once.

use std::time::Duration;

use lakeferry_model::delivery::{Mode, Phase, TaskSpec};
use lakeferry_store::Table;

use crate::harness::*;

/// Lets the process end at its first, second, third step of writing, and so on, each time before the step and
/// each time after it, then lets another one finish.
fn check_every_crash(asked: &TaskSpec, expected: &[(i64, i64)]) {
    for does_step in [false, true] {
        for step in 1.. {
            let world = World::default();
            let blown = {
                let process = world.start_with(Fuse::at(step, does_step));
                let ended = live(&process, asked);
                drop(process);
                ended.is_none()
            };
            // The one that takes over may end, too, while it makes up for the first.
            for again in [1, 2, 4] {
                let process = world.start_with(Fuse::at(again, step % 2 == 0));
                process.reaches("its end", || process.is_idle());
            }
            let process = world.start();
            let table = process.table_in(2).unwrap();
            finish(&process, &table, asked);
            let case = format!("{:?}, step {step}, done: {does_step}", asked.mode);
            // One that ended in the sweep of a scan's cut has left it to the janitor.
            process.reaches("what was given up to be gone", || world.rows().len() <= expected.len());
            assert_eq!(world.rows(), expected, "{case}");
            assert!(world.lake.rewritten.lock().is_empty(), "{case}: {:?}", world.lake.rewritten.lock());
            if !blown {
                assert!(step > 15, "{case}: too few steps to be worth it");
                break;
            }
        }
    }
}

/// Rows before the task, the task, rows after it, in more than one folder and more than one cut.
fn live(process: &Process, asked: &TaskSpec) -> Option<()> {
    let table = process.table_in(2)?;
    write(process, &table, (0..20).map(|at| (at * 10, 1)))?;
    process.try_create(&table, asked.clone())?.ok()?;
    for round in 0..2 {
        write(process, &table, (0..10).map(|at| (1000 + round * 10 + at, 2)))?;
        write(process, &table, (0..10).map(|at| (at - 100 - round * 10, 2)))?;
        process.world().clock.advance(Duration::from_secs(60));
        process.deliver_now(&table, asked.name.as_str());
        let name = asked.name.as_str();
        let is_done = || {
            let status = process.status(&table, name);
            status.rows_waiting == 0 && status.phase == Phase::Incr
        };
        if !process.reaches("a round", is_done) {
            return None;
        }
    }
    Some(())
}

fn write(process: &Process, table: &Table, rows: impl Iterator<Item = (i64, i64)>) -> Option<()> {
    let changes = rows.map(|(id, v)| put(id, vec![("v", lakeferry_model::Value::Integer(v))])).collect();
    process.try_write(table, changes)
}

/// Makes up for what the first process did not come to, and waits until all of it is in the lake.
fn finish(process: &Process, table: &Table, asked: &TaskSpec) {
    let name = asked.name.as_str();
    if process.delivery().list(table).is_empty() {
        write(process, table, (0..20).map(|at| (at * 10, 1))).unwrap();
        process.create(table, asked.clone());
    }
    let missing: Vec<_> = changes().filter(|(id, _)| !has_row(process, table, *id)).collect();
    process.write(table, missing);
    process.deliver_now(table, name);
    let is_done = || {
        let status = process.status(table, name);
        status.phase == Phase::Incr && status.rows_waiting == 0
    };
    process.reaches("the end", || {
        process.deliver_now(table, name);
        is_done()
    });
}

fn has_row(process: &Process, table: &Table, id: i64) -> bool {
    let key = lakeferry_model::PrimaryKey::new(vec![lakeferry_model::KeyValue::Integer(id)]);
    let table = table.clone();
    process.run(async move { table.get(&[key], soon()).await.unwrap()[0].is_some() })
}

/// The rows that are written after the task is made.
fn changes() -> impl Iterator<Item = (i64, i64)> {
    let round =
        |round: i64| (0..10).flat_map(move |at| [(1000 + round * 10 + at, 2), (at - 100 - round * 10, 2)]);
    (0..2).flat_map(round)
}

#[test]
fn an_inc_task_delivers_each_change_once_whenever_the_process_ends() {
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "p/$mm".to_owned();
    let mut expected: Vec<_> = changes().collect();
    expected.sort_unstable();
    check_every_crash(&asked, &expected);
}

#[test]
fn a_base_inc_task_delivers_each_row_once_whenever_the_process_ends() {
    let mut asked = spec("first", Mode::BaseInc);
    asked.tuning.lanes_min = 2;
    let mut expected: Vec<_> = changes().chain((0..20).map(|at| (at * 10, 1))).collect();
    expected.sort_unstable();
    check_every_crash(&asked, &expected);
}
