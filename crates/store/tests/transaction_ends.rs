//! Ends of transactions that come at the same instant.

use std::time::Duration;

use lakeferry_engine::testing::Chance;
use lakeferry_model::KeyValue;
use lakeferry_store::Error;

use crate::support::{Site, all_rows, instance, keep_log, log, put, seed, soon, write};

const TRANSACTIONS: i64 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_commit_abort_and_time_out_at_the_same_instant_exactly_one_wins() {
    let seed = seed("ends of transactions");
    let mut chance = Chance::new(seed);
    for _ in 0..4 {
        at_once(&mut chance, &format!("seed {seed}")).await;
    }
}

async fn at_once(chance: &mut Chance, what: &str) {
    let site = Site::new().await;
    let table = site.table().await;
    keep_log(&table).await;
    let mut open = Vec::new();
    for n in 0..TRANSACTIONS {
        let key = KeyValue::String(format!("user{n}").into());
        let id = site.store.start_transaction(&table, key, soon()).await.unwrap();
        let transaction = site.store.transaction(&instance(), id).unwrap();
        transaction
            .write(vec![put(&format!("user{n}"), n, &[("a", n)])], soon())
            .await
            .pop()
            .unwrap()
            .unwrap();
        open.push(transaction);
    }
    // From now on their time is over: the next look for such falls somewhere among the ends below.
    site.clock.advance(Duration::from_secs(61));
    let mut ends = Vec::new();
    for transaction in open {
        let (commit, abort) = (transaction.clone(), transaction);
        let pauses = [chance.below(600), chance.below(2)];
        ends.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(pauses[0])).await;
            let commit = tokio::spawn(commit.commit(soon()));
            if pauses[1] == 1 {
                tokio::task::yield_now().await;
            }
            (abort.abort(soon()).await, commit.await.unwrap())
        }));
    }
    let mut committed = Vec::new();
    for (n, end) in (0..).zip(ends) {
        match end.await.unwrap() {
            (Err(Error::NoSuchTransaction), Ok(())) => committed.push(n),
            // Aborted, or its time was over before both.
            (Ok(()) | Err(Error::NoSuchTransaction), Err(Error::NoSuchTransaction)) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    let rows: Vec<KeyValue> =
        all_rows(&table).await.iter().map(|row| row.primary_key.values()[1].clone()).collect();
    let records = log(&table).await.into_iter().map(|record| record.primary_key.values()[1].clone());
    let sorted = |values: Vec<KeyValue>| {
        let integer = |value: &KeyValue| match value {
            KeyValue::Integer(value) => *value,
            other => panic!("{other:?} is no integer"),
        };
        let mut values: Vec<i64> = values.iter().map(integer).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(sorted(rows), committed, "{what}");
    assert_eq!(sorted(records.collect()), committed, "{what}");
    for n in 0..TRANSACTIONS {
        write(&table, put(&format!("user{n}"), n, &[])).await.unwrap();
    }
}
