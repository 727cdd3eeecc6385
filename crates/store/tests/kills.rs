//! Processes that are killed while they write: what belongs together is there whole or not at all, what was answered
//! is there, and no key that was picked comes twice.
//!
//! The writer is this test program again, told by its environment where to write. It says on its standard output what
//! was answered.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lakeferry_engine::testing::Chance;
use lakeferry_engine::{FjallEngine, FjallSettings, ReserveSetting};
use lakeferry_model::{KeyValue, SystemClock};
use lakeferry_store::{Settings, Store, Table};

use crate::support::{
    all_rows, auto_spec, insert, instance, newest, picked, put, seed, soon, spec, table_name, write,
};

/// Where the killed process finds its engine.
const FOLDER: &str = "LAKEFERRY_KILLED_WRITER";
const KILLS: usize = 6;
/// Rows that are written together.
const ROWS: i64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_together_survives_a_kill_whole_or_not_at_all() {
    let mut chance = Chance::new(seed("kills"));
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.create_instance(&instance()).await.unwrap();
    store.create_table(&instance(), spec("t")).await.unwrap();
    let mut picked_spec = auto_spec();
    picked_spec.schema.name = table_name("picked");
    store.create_table(&instance(), picked_spec).await.unwrap();
    store.close(soon()).await.unwrap();
    drop(store);
    let mut keys = Vec::new();
    for _ in 0..KILLS {
        let pause = Duration::from_millis(chance.below(60));
        let answered = kill_a_writer(folder.path(), pause);
        let store = open(folder.path()).await;
        let table = store.table(&instance(), &table_name("t")).unwrap();
        for user in ["batch", "transaction"] {
            let last = answered.iter().filter(|(of, _)| of == user).map(|(_, number)| *number).max();
            check_together(&table, user, last.unwrap_or(0)).await;
        }
        keys.extend(answered.iter().filter(|(of, _)| of == "picked").map(|(_, key)| *key));
        assert!(keys.is_sorted_by(|a, b| a < b), "a key came twice, or below one that was given: {keys:?}");
        let table = store.table(&instance(), &table_name("picked")).unwrap();
        let there: Vec<KeyValue> =
            all_rows(&table).await.into_iter().map(|row| row.primary_key.values()[1].clone()).collect();
        for key in &keys {
            assert!(there.contains(&KeyValue::Integer(*key)), "the answered row {key} is gone");
        }
        store.close(soon()).await.unwrap();
    }
    assert!(!keys.is_empty(), "nothing was written");
}

/// All rows hold one number: the last that was answered, or the one behind it.
async fn check_together(table: &Table, user: &str, answered: i64) {
    let mut numbers = Vec::new();
    for n in 0..ROWS {
        numbers.push(newest(table, user, n, "number").await.unwrap_or(0));
    }
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{user}: torn: {numbers:?}");
    assert!(numbers[0] >= answered, "{user}: {answered} was answered, {} is there", numbers[0]);
}

/// Starts a writer, kills it some time after its first answer, and tells what it answered.
fn kill_a_writer(folder: &Path, pause: Duration) -> Vec<(String, i64)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::writer", "--ignored", "--nocapture"]).env(FOLDER, folder);
    let mut writer: Child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut answers = Vec::new();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        answers.extend(answer_in(&line));
        if !answers.is_empty() {
            break;
        }
    }
    std::thread::sleep(pause);
    writer.kill().unwrap();
    writer.wait().unwrap();
    answers.extend(lines.filter_map(|line| answer_in(&line)));
    answers
}

/// `answered USER NUMBER`, where the line is whole.
fn answer_in(line: &str) -> Option<(String, i64)> {
    let (_, answer) = line.split_once("answered ")?;
    let (user, number) = answer.strip_suffix(';')?.split_once(' ')?;
    Some((user.to_owned(), number.parse().ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes until it is killed; another test starts it"]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder)).await;
    let table = store.table(&instance(), &table_name("t")).unwrap();
    let picked_table = store.table(&instance(), &table_name("picked")).unwrap();
    let inserting = tokio::spawn(async move {
        loop {
            let written = write(&picked_table, insert("ann", &[("a", 1)])).await.unwrap();
            tell("picked", picked(&written));
        }
    });
    let batches = {
        let table = table.clone();
        tokio::spawn(async move {
            for number in next_number(&table, "batch").await.. {
                table.write_together(rows("batch", number), soon()).await.unwrap();
                tell("batch", number);
            }
        })
    };
    for number in next_number(&table, "transaction").await.. {
        let key = KeyValue::String("transaction".into());
        let id = store.start_transaction(&table, key, soon()).await.unwrap();
        let transaction = store.transaction(&instance(), id).unwrap();
        for row in rows("transaction", number) {
            transaction.write(vec![row], soon()).await.pop().unwrap().unwrap();
        }
        transaction.commit(soon()).await.unwrap();
        tell("transaction", number);
    }
    batches.await.unwrap();
    inserting.await.unwrap();
}

#[expect(clippy::print_stdout, reason = "it is how the two processes talk")]
fn tell(user: &str, number: i64) {
    println!("answered {user} {number};");
}

fn rows(user: &str, number: i64) -> Vec<lakeferry_model::RowChange> {
    (0..ROWS).map(|n| put(user, n, &[("number", number)])).collect()
}

async fn next_number(table: &Table, user: &str) -> i64 {
    newest(table, user, 0, "number").await.unwrap_or(0) + 1
}

async fn open(folder: &Path) -> Store {
    let settings =
        FjallSettings { cache_bytes: 8 << 20, reserve: ReserveSetting::Bytes(0), ..FjallSettings::default() };
    let engine = FjallEngine::open(&folder.join("engine"), settings).unwrap();
    Store::open(Arc::new(engine), SystemClock::shared(), Settings::default(), soon()).await.unwrap()
}
