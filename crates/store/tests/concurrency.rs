//! Many writers at once, and writers that go away.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lakeferry_engine::Engine;
use lakeferry_engine::testing::{Chance, Fault};
use lakeferry_model::{Micros, RowChange, RowExistence, TableOptions, Value};
use lakeferry_store::{ErrorKind, Partition, Settings, Table};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::support::{
    Memory, START, Site, add, all_rows, if_row, instance, keep_log, let_others_run, log, log_after, newest,
    put, read, row_key, seed, soon, spec, split_at, update, versions, with_options, write,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_expect_no_row_one_fails() {
    let site = Site::new().await;
    let table = site.table().await;
    for n in 0..100 {
        let change = if_row(RowExistence::ExpectNotExist, put("ann", n, &[("a", 1)]));
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let (table, change) = (table.clone(), change.clone());
            writers.spawn(async move { write(&table, change).await });
        }
        let outcomes = writers.join_all().await;
        let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(passed, 1, "{outcomes:?}");
        let rest = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(rest.into_iter().all(|error| error.kind() == ErrorKind::ConditionFailed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_of_one_cell_sum_up() {
    const TASKS: i64 = 64;
    const TIMES: i64 = 20;
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    let mut writers = JoinSet::new();
    for _ in 0..TASKS {
        let table = table.clone();
        writers.spawn(async move {
            for _ in 0..TIMES {
                write(&table, update("ann", 1, vec![add("a", 1)])).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(TASKS * TIMES));
    // The log tells every sum once, in order, each with a timestamp of its own.
    let records = log(&table).await;
    let told: Vec<Value> = records.iter().map(|record| record.newest[0].value.clone()).collect();
    assert_eq!(told, (1..=TASKS * TIMES).map(Value::Integer).collect::<Vec<_>>());
    assert!(records.is_sorted_by(|a, b| a.newest[0].timestamp_ms < b.newest[0].timestamp_ms));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_over_crossing_rows_all_come_to_an_end() {
    let seed = seed("crossing rows");
    let site = Site::new().await;
    let table = site.table_of(split_at(&["c", "f"])).await;
    let mut writers = JoinSet::new();
    for task in 0..16_u64 {
        let table = table.clone();
        writers.spawn(async move {
            let mut chance = Chance::new(seed.wrapping_add(task));
            for _ in 0..50 {
                let users = ["a", "b", "c", "d", "e", "f", "g"];
                let some = (0..8).map(|_| {
                    let user = users[chance.index(users.len())];
                    update(user, 1, vec![add("a", 1)])
                });
                for outcome in table.write(some.collect(), soon()).await {
                    outcome.unwrap();
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut sum = 0;
    for row in all_rows(&table).await {
        let Value::Integer(value) = row.cells[0].value else { panic!("a sum is an integer") };
        sum += value;
    }
    assert_eq!(sum, 16 * 50 * 8, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sequences_and_commit_times_rise_within_each_partition() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    keep_log(&table).await;
    let mut writers = JoinSet::new();
    for task in 0..16 {
        let (table, clock) = (table.clone(), site.clock.clone());
        writers.spawn(async move {
            for n in 0..40 {
                clock.advance(Duration::from_micros(1));
                let changes = vec![put("ann", task, &[("a", n)]), put("zoe", task, &[("a", n)])];
                for outcome in table.write(changes, soon()).await {
                    outcome.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
    for partition in table.partitions() {
        let records = log_after(&table, partition, 0).await;
        assert!(records.iter().map(|record| record.sequence).eq(1..=16 * 40));
        assert!(records.is_sorted_by(|a, b| a.commit_time < b.commit_time));
        let head = partition.head();
        let last = records.last().unwrap();
        assert_eq!((head.sequence, head.commit_time), (last.sequence, last.commit_time));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_commit_time_is_given_at_or_below_a_closed_time_asked_before() {
    let mut site = Site::new().await;
    let mut table = site.table().await;
    keep_log(&table).await;
    wait_for_closed_time(&table, START).await;
    let mut asked_last = 0;
    for back in [Duration::ZERO, Duration::from_secs(3600)] {
        asked_last = asked_last.max(write_and_ask(&site, &table).await);
        // The clock goes back while the store is away.
        let now = START - Micros::try_from(back.as_micros()).unwrap();
        site.clock.jump_to(now);
        site.crash().await;
        table = site.same_table();
        assert!(table.partitions()[0].closed_time() >= asked_last, "a closed time never goes back");
        write(&table, put("ann", 0, &[])).await.unwrap();
        let last = log(&table).await.pop().unwrap();
        assert!(last.commit_time > asked_last, "{} was closed before {}", asked_last, last.commit_time);
    }
}

/// Writes while closed times are asked for continually. Every row commits above what was asked before it was sent,
/// and what was closed is in the log. The greatest closed time asked.
async fn write_and_ask(site: &Site, table: &Table) -> Micros {
    let done = Arc::new(AtomicBool::new(false));
    let asked_often = Arc::new(AtomicBool::new(false));
    let asker = {
        let (table, done, asked_often) = (table.clone(), done.clone(), asked_often.clone());
        tokio::spawn(async move {
            let partition = &table.partitions()[0];
            let mut asked = Vec::new();
            let mut records = log(&table).await;
            while asked.is_empty() || !done.load(Ordering::SeqCst) {
                asked_often.store(asked.len() >= 20, Ordering::SeqCst);
                let closed = partition.closed_time();
                let last = records.last().map_or(0, |last| last.sequence);
                records.extend(log_after(&table, partition, last).await);
                asked.push((closed, records.partition_point(|record| record.commit_time <= closed)));
                tokio::task::yield_now().await;
            }
            asked
        })
    };
    let mut writers = JoinSet::new();
    for task in 0..4 {
        let (table, clock, asked_often) = (table.clone(), site.clock.clone(), asked_often.clone());
        writers.spawn(async move {
            let mut n = 0;
            while n < 50 || (n < 1000 && !asked_often.load(Ordering::SeqCst)) {
                n += 1;
                clock.advance(Duration::from_micros(300));
                let before = table.partitions()[0].closed_time();
                write(&table, put("ann", task, &[("a", n)])).await.unwrap();
                let row = table.get(&[row_key("ann", task)], soon()).await.unwrap().pop().unwrap().unwrap();
                assert!(row.view().unwrap().1.commit_time() > before);
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    let asked = asker.await.unwrap();
    assert!(asked.is_sorted_by(|a, b| a.0 <= b.0), "closed times never go back");
    let records = log(table).await;
    for (closed, complete) in &asked {
        let now = records.partition_point(|record| record.commit_time <= *closed);
        assert_eq!(now, *complete, "a row came at or below {closed} after it was closed");
    }
    asked.last().unwrap().0
}

#[tokio::test]
async fn a_group_that_is_under_way_or_in_doubt_holds_the_closed_time_back() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    wait_for_closed_time(&table, START).await;
    let partition = &table.partitions()[0];
    site.engine.fail_write(1, Fault::UnknownWritten);
    let (group, barrier) = (site.engine.hold_write(1), site.engine.hold_write(2));
    let caller = spawn_write(&table, put("ann", 1, &[]));
    group.has_come().await;
    site.clock.advance(Duration::from_millis(1));
    let under_way = partition.closed_time();
    group.release();
    assert_eq!(caller.await.unwrap().unwrap_err().kind(), ErrorKind::Unknown);
    barrier.has_come().await;
    let in_doubt = partition.closed_time();
    barrier.release();
    wait_for_closed_time(&table, START + 1000).await;
    let commit_time = log(&table).await[0].commit_time;
    assert!(under_way < commit_time && in_doubt < commit_time);
}

/// Notes the closed time at every moment at which a new head is told.
struct Looker {
    partition: Partition,
    closed: Mutex<Vec<Micros>>,
}

impl Wake for Looker {
    fn wake(self: Arc<Self>) {
        self.closed.lock().push(self.partition.closed_time());
    }
}

#[tokio::test]
async fn a_closed_time_never_lies_ahead_of_the_head_shown() {
    let site = Site::new().await;
    let table = site.table().await;
    wait_for_closed_time(&table, START).await;
    let partition = table.partitions()[0].clone();
    let looker = Arc::new(Looker { partition: partition.clone(), closed: Mutex::default() });
    let mut watch = partition.watch();
    let mut shown = pin!(watch.changed());
    let waker = Waker::from(looker.clone());
    assert!(shown.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let group = site.engine.hold_write(1);
    let caller = spawn_write(&table, put("ann", 1, &[]));
    group.has_come().await;
    site.clock.advance(Duration::from_millis(1));
    group.release();
    caller.await.unwrap().unwrap();
    let [closed] = looker.closed.lock()[..] else { panic!("one head is told") };
    assert!(closed < partition.head().commit_time, "the change was closed before the head was shown");
    assert!(partition.closed_time() >= partition.head().commit_time);
}

async fn wait_for_closed_time(table: &Table, time: Micros) {
    let until = soon();
    while table.partitions()[0].closed_time() < time {
        assert!(std::time::Instant::now() < until, "the floor of closed times is never raised");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_for_a_row_leaves_nothing_behind() {
    let site = Site::new().await;
    let table = site.table().await;
    let held = site.engine.hold_write(1);
    // The first waits for the committer and has given its rows back; the second holds the row while it reads.
    let first = spawn_write(&table, put("ann", 1, &[("a", 1)]));
    held.has_come().await;
    for _ in 0..3 {
        let gone = spawn_write(&table, update("ann", 1, vec![add("a", 10)]));
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    held.release();
    first.await.unwrap().unwrap();
    write(&table, update("ann", 1, vec![add("a", 1)])).await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(2));
}

#[tokio::test]
async fn a_caller_that_goes_away_after_its_rows_are_queued_has_them_committed() {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    let held = site.engine.hold_write(1);
    let under_way = spawn_write(&table, put("ann", 1, &[("a", 1)]));
    held.has_come().await;
    let queued = spawn_write(&table, update("ann", 1, vec![add("a", 1)]));
    let_others_run().await;
    for caller in [under_way, queued] {
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    held.release();
    write(&table, update("ann", 1, vec![add("a", 1)])).await.unwrap();
    assert_eq!(newest(&table, "ann", 1, "a").await, Some(3));
    assert_eq!(log(&table).await.len(), 3);
}

#[tokio::test]
async fn a_request_larger_than_all_that_may_wait_is_taken_alone() {
    let settings = Settings { waiting_bytes_max: 2048, ..Settings::default() };
    let site = Site::at(Memory::default(), settings).await;
    let table = site.table().await;
    let rows = |user: &'static str| (0..100).map(move |n| put(user, n, &[("a", n), ("b", n)])).collect();
    let answers = tokio::join!(table.write(rows("ann"), soon()), table.write(rows("bob"), soon()));
    assert!(answers.0.iter().chain(&answers.1).all(Result::is_ok));
    assert_eq!(all_rows(&table).await.len(), 200);
}

#[tokio::test]
async fn the_old_rows_that_an_index_needs_count_as_bytes_that_wait() {
    use crate::index_support::{declared, index};
    let settings = Settings { waiting_bytes_max: 1 << 20, ..Settings::default() };
    let site = Site::at(Memory::default(), settings).await;
    let indexes = vec![index("user_by_b", lakeferry_model::IndexKind::Local, &["user", "b"], &[])];
    let table = site.store.create_indexed_table(&instance(), declared(), indexes).await.unwrap();
    let large = Value::String("x".repeat(1 << 19).into());
    for n in 0..4 {
        let cell = crate::support::cell("text", lakeferry_model::ColumnUpdate::Put(large.clone(), None));
        write(&table, update("ann", n, vec![cell])).await.unwrap();
    }
    write(&table, put("ann", 0, &[("b", 0)])).await.unwrap();
    let held = site.engine.hold_write(1);
    let mut writers = JoinSet::new();
    let put_over = |n| {
        let table = table.clone();
        async move { write(&table, put("ann", n, &[("b", n)])).await }
    };
    writers.spawn(put_over(1));
    held.has_come().await;
    let reads = site.engine.calls().1;
    writers.spawn(put_over(2));
    let_others_run().await;
    assert_eq!(site.engine.calls().1, reads, "the second row is not read while the first one waits");
    held.release();
    assert!(writers.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_request_that_reads_large_rows_comes_through_in_pieces() {
    let site = Site::new().await;
    let table = site.table().await;
    let large = "x".repeat(1 << 20);
    let cell = |text: &str| {
        crate::support::cell("text", lakeferry_model::ColumnUpdate::Put(Value::String(text.into()), None))
    };
    for n in 0..12 {
        write(&table, update("ann", n, vec![cell(&large)])).await.unwrap();
    }
    // Rows of before are read with each, and the last two changes see what earlier ones made of their rows.
    let mut changes: Vec<RowChange> = (0..12).map(|n| update("ann", n, vec![add("a", n)])).collect();
    changes.push(update("ann", 0, vec![add("a", 100)]));
    changes.push(if_row(RowExistence::ExpectNotExist, put("ann", 11, &[])));
    let answers = table.write(changes, soon()).await;
    assert!(answers[..13].iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(answers[13].as_ref().unwrap_err().kind(), ErrorKind::ConditionFailed);
    for n in 0..12 {
        assert_eq!(newest(&table, "ann", n, "a").await, Some(if n == 0 { 100 } else { n }));
        assert_eq!(read(&table, "ann", n).await.unwrap().cells.len(), 2);
    }
}

#[tokio::test]
async fn closing_commits_what_waits_and_refuses_what_comes() {
    let mut site = Site::new().await;
    let table = site.table().await;
    let held = site.engine.hold_write(1);
    let mut callers = vec![spawn_write(&table, put("ann", 0, &[("a", 0)]))];
    held.has_come().await;
    for n in 1..4 {
        callers.push(spawn_write(&table, put("ann", n, &[("a", n)])));
    }
    let_others_run().await;
    let store = site.store.clone();
    let closing = tokio::spawn(async move { store.close(soon()).await });
    let_others_run().await;
    let late = write(&table, put("ann", 9, &[])).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    held.release();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    closing.await.unwrap().unwrap();
    site.crash().await;
    assert_eq!(all_rows(&site.same_table()).await.len(), 4);
}

#[tokio::test]
async fn a_store_that_nobody_has_any_more_ends_its_work() {
    let site = Site::new().await;
    let table = site.table().await;
    write(&table, put("ann", 1, &[])).await.unwrap();
    let engine: Arc<dyn Engine> = Arc::new(site.engine.clone());
    let before = Arc::strong_count(&engine);
    let store = lakeferry_store::Store::open(engine.clone(), site.clock.clone(), Settings::default(), soon());
    let store = store.await.unwrap();
    assert!(Arc::strong_count(&engine) > before);
    drop(store);
    let until = soon();
    while Arc::strong_count(&engine) > before {
        assert!(std::time::Instant::now() < until, "something holds the engine");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn successive_writes_of_one_row_each_make_a_version() {
    let mut site = Site::new().await;
    let options = TableOptions { versions_max: 100, ..TableOptions::default() };
    let table = site.table_of(with_options(options)).await;
    let times = [1, 2, 3].map(|value| update("ann", 1, vec![crate::support::set("a", value)]));
    for change in times.clone() {
        write(&table, change).await.unwrap();
    }
    for answer in table.write(times.to_vec(), soon()).await {
        answer.unwrap();
    }
    let found = versions(&table, "ann", 1, "a").await;
    assert_eq!(found.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [3, 2, 1, 3, 2, 1]);
    assert!(found.is_sorted_by(|a, b| a.0 > b.0));
    // Also when the clock went back while the store was away.
    site.second();
    write(&table, update("ann", 1, vec![crate::support::set("a", 4)])).await.unwrap();
    site.clock.jump_to(START - 3_600_000_000);
    site.reopen().await;
    write(&site.same_table(), update("ann", 1, vec![crate::support::set("a", 5)])).await.unwrap();
    assert_eq!(newest(&site.same_table(), "ann", 1, "a").await, Some(5));
    assert_eq!(site.store.tables(&instance()), [spec("t").schema.name]);
}

fn spawn_write(
    table: &Table,
    change: RowChange,
) -> tokio::task::JoinHandle<Result<lakeferry_store::Written, lakeferry_store::Error>> {
    let table = table.clone();
    tokio::spawn(async move { write(&table, change).await })
}
