//! Transactions, atomic batches, picked keys and bulk import, asked of the real server.

use lakeferry_model::KeyKind;

use super::features::{ids, ten_rows};
use crate::{CreateTable, Delete, ErrorCode, Key, Put, Range, Read, RowWrite, TableWrites, Update};

#[tokio::test]
async fn a_transaction_is_seen_by_others_all_at_once_or_not_at_all() {
    let (server, client) = ten_rows().await;
    let key = || Key::new("id", 1);
    let read = async || {
        let row = client.get_row("t", &Key::new("id", 1), &Read::default().columns(["n"])).await.unwrap();
        row.and_then(|row| row.integer("n"))
    };
    let transaction = client.begin("t", &key()).await.unwrap();
    transaction.update_row(Update::new(key()).set("n", 100)).await.unwrap();
    let own = transaction.get_row(&key(), &Read::default()).await.unwrap().unwrap();
    assert_eq!(own.integer("n"), Some(100));
    assert_eq!(read().await, Some(1));
    let other = client.begin("t", &key()).await.unwrap_err();
    assert_eq!(other.code(), Some(ErrorCode::RowOperationConflict));
    transaction.commit().await.unwrap();
    assert_eq!(read().await, Some(100));

    let transaction = client.begin("t", &key()).await.unwrap();
    transaction.delete_row(key()).await.unwrap();
    transaction.abort().await.unwrap();
    assert_eq!(read().await, Some(100));
    server.stop().await;
}

#[tokio::test]
async fn an_atomic_batch_is_written_whole_or_not_at_all() {
    let (server, client) = ten_rows().await;
    let key = |at: i64| Key::new("user", "ann").and("at", at);
    let table = CreateTable::new("u").key("user", KeyKind::String).key("at", KeyKind::Integer);
    client.create_table(table).await.unwrap();
    let rows: Vec<RowWrite> = vec![Put::new(key(1)).into(), Put::new(key(2)).only_if_exists().into()];
    let outcomes = client.atomic_write(&TableWrites::new("u", rows)).await.unwrap();
    assert!(outcomes[1].is_err());
    assert_eq!(
        client.get_row("u", &key(1), &Read::default()).await.unwrap(),
        None,
        "the first is not written"
    );
    let rows = [Put::new(key(1)), Put::new(key(2))];
    let outcomes = client.atomic_write(&TableWrites::new("u", rows)).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    server.stop().await;
}

#[tokio::test]
async fn the_server_picks_rising_numbers_for_new_rows() {
    let (server, client) = ten_rows().await;
    let table = CreateTable::new("notes").key("user", KeyKind::String).auto_increment_key("id");
    client.create_table(table).await.unwrap();
    let mut picked = Vec::new();
    for text in ["one", "two"] {
        let key = Key::new("user", "ann").and_auto_increment("id");
        let put = Put::new(key).set("text", text).returning_key();
        let written = client.put_row("notes", put).await.unwrap();
        picked.push(written.row.unwrap().key.get("id").cloned());
    }
    assert!(picked[0] < picked[1], "{picked:?}");
    let range = Range::beginning_with(&Key::new("user", "ann"), ["id"]);
    assert_eq!(ids(&client, "notes", range).await.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn rows_go_in_and_out_in_bulk() {
    let (server, client) = ten_rows().await;
    let rows: Vec<RowWrite> = vec![
        Put::new(Key::new("id", 50)).set("n", 50).into(),
        Update::new(Key::new("id", 51)).set("n", 51).into(),
        Delete::new(Key::new("id", 0)).into(),
        Put::new(Key::new("id", "text")).into(),
    ];
    let outcomes = client.bulk_import(&TableWrites::new("t", rows)).await.unwrap();
    assert!(outcomes[..3].iter().all(|outcome| outcome.as_ref().is_ok_and(|row| row.bytes > 0)));
    assert_eq!(outcomes[3].as_ref().unwrap_err().code(), Some(ErrorCode::InvalidPrimaryKey));
    let exported = client.bulk_export("t", &Range::all(["id"])).await.unwrap();
    assert_eq!((exported.rows.len(), exported.next), (11, None));
    assert_eq!(exported.rows.last().unwrap().integer("n"), Some(51));
    server.stop().await;
}
