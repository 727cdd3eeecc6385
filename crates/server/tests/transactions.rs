//! Local transactions as their callers see them: by an id in the requests.

use bytes::Bytes;
use lakeferry_model::{KeyBound, KeyKind, KeyValue, ValueRef};
use lakeferry_wire::plain_buffer::{RowWriter, encode};
use lakeferry_wire::proto;

use crate::harness::{TestServer, create_table, rows};
use crate::rows::told;

const NO_SESSION: (u16, &str, &str) = (404, "OTSSessionNotExist", "Session not exist or may be timeout.");
const CONFLICT: (u16, &str, &str) =
    (409, "OTSRowOperationConflict", "Data is being modified by the other request.");

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("user", KeyKind::Integer), ("pk", KeyKind::Integer)]).await;
    server
}

fn key(user: i64, pk: i64) -> Bytes {
    encode::key([("user", ValueRef::Integer(user)), ("pk", ValueRef::Integer(pk))])
}

fn row(user: i64, pk: i64, value: i64) -> Bytes {
    let mut row = RowWriter::new();
    row.start_row();
    row.key_cell("user", ValueRef::Integer(user));
    row.key_cell("pk", ValueRef::Integer(pk));
    row.change("c", Some(ValueRef::Integer(value)), lakeferry_wire::plain_buffer::CellOperation::Put, None);
    row.end_row();
    row.finish()
}

fn put(user: i64, pk: i64, value: i64, id: Option<&str>) -> proto::PutRowRequest {
    proto::PutRowRequest {
        table_name: "t".into(),
        row: row(user, pk, value),
        transaction_id: id.map(str::to_owned),
        ..Default::default()
    }
}

fn start_request(columns: &[(&str, i64)]) -> proto::StartLocalTransactionRequest {
    let key = encode::key(columns.iter().map(|(name, value)| (*name, ValueRef::Integer(*value))));
    proto::StartLocalTransactionRequest { table_name: "t".into(), key }
}

async fn start(server: &TestServer, user: i64) -> String {
    let answer = server.call("StartLocalTransaction", &start_request(&[("user", user)])).await;
    answer.ok::<proto::StartLocalTransactionResponse>().transaction_id
}

async fn read(server: &TestServer, user: i64, pk: i64, id: Option<&str>) -> Option<String> {
    let request = proto::GetRowRequest {
        table_name: "t".into(),
        primary_key: key(user, pk),
        max_versions: Some(1),
        transaction_id: id.map(str::to_owned),
        ..Default::default()
    };
    let answer = server.call("GetRow", &request).await.ok::<proto::GetRowResponse>();
    rows(&answer.row).first().map(|row| row.cells.iter().map(|cell| format!("{:?}", cell.value)).collect())
}

fn range(id: &str, users: (i64, i64), limit: Option<i32>) -> proto::GetRangeRequest {
    let bound = |user, bound| {
        let user = KeyBound::Value(KeyValue::Integer(user));
        encode::bound([("user", &user), ("pk", &bound)])
    };
    proto::GetRangeRequest {
        table_name: "t".into(),
        max_versions: Some(1),
        limit,
        inclusive_start_primary_key: bound(users.0, KeyBound::InfMin),
        exclusive_end_primary_key: bound(users.1, KeyBound::InfMax),
        transaction_id: Some(id.to_owned()),
        ..Default::default()
    }
}

async fn end(server: &TestServer, operation: &str, id: &str) -> crate::harness::Answer {
    // The two requests look alike on the wire.
    server.call(operation, &proto::CommitTransactionRequest { transaction_id: id.to_owned() }).await
}

#[tokio::test]
async fn what_is_written_under_an_id_is_seen_under_it_and_by_all_after_the_commit() {
    let server = server().await;
    let id = start(&server, 1).await;
    assert!(!id.is_empty());
    server.call("PutRow", &put(1, 1, 7, Some(&id))).await.ok::<proto::PutRowResponse>();
    assert_eq!(read(&server, 1, 1, Some(&id)).await.unwrap(), "Some(Integer(7))");
    assert_eq!(read(&server, 1, 1, None).await, None);
    let page = server.call("GetRange", &range(&id, (1, 1), None)).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&page.rows).iter().map(told).collect::<Vec<_>>(), ["1 c=7"]);
    let update = proto::UpdateRowRequest {
        table_name: "t".into(),
        row_change: row(1, 2, 8),
        transaction_id: Some(id.clone()),
        ..Default::default()
    };
    server.call("UpdateRow", &update).await.ok::<proto::UpdateRowResponse>();
    let page = server.call("GetRange", &range(&id, (1, 1), Some(1))).await.ok::<proto::GetRangeResponse>();
    assert_eq!((rows(&page.rows).len(), page.next_start_primary_key), (1, Some(key(1, 2))));
    end(&server, "CommitTransaction", &id).await.ok::<proto::CommitTransactionResponse>();
    assert_eq!(read(&server, 1, 2, None).await.unwrap(), "Some(Integer(8))");
    let server = server.restart().await;
    assert_eq!(read(&server, 1, 1, None).await.unwrap(), "Some(Integer(7))");
}

#[tokio::test]
async fn writes_without_the_id_are_refused_and_may_be_sent_again() {
    let server = server().await;
    let id = start(&server, 1).await;
    let refused = server.call("PutRow", &put(1, 1, 7, None)).await;
    refused.refused(CONFLICT.0, CONFLICT.1, CONFLICT.2);
    server.call("PutRow", &put(2, 1, 7, None)).await.ok::<proto::PutRowResponse>();
    let second = server.call("StartLocalTransaction", &start_request(&[("user", 1)])).await;
    second.refused(CONFLICT.0, CONFLICT.1, CONFLICT.2);
    end(&server, "AbortTransaction", &id).await.ok::<proto::AbortTransactionResponse>();
    server.call("PutRow", &put(1, 1, 7, None)).await.ok::<proto::PutRowResponse>();
}

#[tokio::test]
async fn rows_of_a_batch_under_an_id_fail_alone_where_they_leave_its_key() {
    let server = server().await;
    server.make_table("u", &[("user", KeyKind::Integer), ("pk", KeyKind::Integer)]).await;
    let id = start(&server, 1).await;
    let item = |user, pk| proto::RowInBatchWriteRowRequest {
        r#type: proto::OperationType::Put.into(),
        row_change: row(user, pk, pk),
        ..Default::default()
    };
    let table = |name: &str, rows| proto::TableInBatchWriteRowRequest { table_name: name.into(), rows };
    let request = |atomic| proto::BatchWriteRowRequest {
        tables: vec![table("t", vec![item(1, 1), item(2, 2)]), table("u", vec![item(1, 3)])],
        transaction_id: Some(id.clone()),
        is_atomic: atomic,
    };
    let answer = server.call("BatchWriteRow", &request(None)).await.ok::<proto::BatchWriteRowResponse>();
    let codes: Vec<Option<&str>> = answer.tables.iter().flat_map(|table| &table.rows).map(code).collect();
    assert_eq!(codes, [None, Some("OTSDataOutOfRange"), Some("OTSDataOutOfRange")]);
    let error = answer.tables[0].rows[1].error.as_ref().unwrap();
    assert_eq!(error.message(), "Data out of scope of transaction. Transaction PartKey:1. Data PartKey:2");
    let answer =
        server.call("BatchWriteRow", &request(Some(true))).await.ok::<proto::BatchWriteRowResponse>();
    let codes: Vec<Option<&str>> = answer.tables.iter().flat_map(|table| &table.rows).map(code).collect();
    assert_eq!(codes, [Some("OTSDataOutOfRange"); 3]);
    end(&server, "CommitTransaction", &id).await.ok::<proto::CommitTransactionResponse>();
    assert_eq!(server.scan("t", &["user", "pk"]).await.len(), 1);
    assert!(server.scan("u", &["user", "pk"]).await.is_empty());
}

fn code(row: &proto::RowInBatchWriteRowResponse) -> Option<&str> {
    row.error.as_ref().map(|error| error.code.as_str())
}

#[tokio::test]
async fn a_read_under_an_id_stays_within_its_key() {
    let server = server().await;
    let id = start(&server, 1).await;
    let message = "Data out of scope of transaction. Transaction PartKey:1. Data PartKey:2";
    let answer = server.call("GetRange", &range(&id, (1, 2), None)).await;
    answer.refused(400, "OTSDataOutOfRange", message);
    let request = proto::GetRowRequest {
        table_name: "t".into(),
        primary_key: key(2, 1),
        max_versions: Some(1),
        transaction_id: Some(id),
        ..Default::default()
    };
    server.call("GetRow", &request).await.refused(400, "OTSDataOutOfRange", message);
}

#[tokio::test]
async fn an_id_that_is_none_or_over_is_refused() {
    let server = server().await;
    let unknown = "0123456789abcdef0123456789abcdef";
    let ended = start(&server, 1).await;
    end(&server, "CommitTransaction", &ended).await.ok::<proto::CommitTransactionResponse>();
    for operation in ["CommitTransaction", "AbortTransaction"] {
        for id in ["", "x", "fake_transaction_id"] {
            end(&server, operation, id).await.refused(
                400,
                "OTSParameterInvalid",
                "TransactionID is invalid.",
            );
        }
        for id in [unknown, &ended] {
            end(&server, operation, id).await.refused(NO_SESSION.0, NO_SESSION.1, NO_SESSION.2);
        }
    }
    // An empty one is none either: the write would be done outside its transaction.
    for id in ["", "x"] {
        let answer = server.call("PutRow", &put(1, 1, 1, Some(id))).await;
        answer.refused(400, "OTSParameterInvalid", "TransactionID is invalid.");
    }
    let answer = server.call("PutRow", &put(1, 1, 1, Some(&ended))).await;
    answer.refused(NO_SESSION.0, NO_SESSION.1, NO_SESSION.2);
    let answer = server.call("GetRange", &range(unknown, (1, 1), None)).await;
    answer.refused(NO_SESSION.0, NO_SESSION.1, NO_SESSION.2);
}

#[tokio::test]
async fn a_start_that_does_not_fit_its_table_is_refused() {
    let server = server().await;
    let refused = async |columns: &[(&str, i64)], code: &str, message: &str| {
        server.call("StartLocalTransaction", &start_request(columns)).await.refused(400, code, message);
    };
    let message = "StartLocalTransaction support only one primary key.";
    refused(&[("user", 1), ("pk", 1)], "OTSParameterInvalid", message).await;
    refused(&[("pk", 1)], "OTSInvalidPK", "Validate PK name fail. Input: pk, Meta: user.").await;
    let mut request = start_request(&[("user", 1)]);
    request.key = encode::key([("user", ValueRef::String("a"))]);
    let answer = server.call("StartLocalTransaction", &request).await;
    answer.refused(400, "OTSInvalidPK", "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.");
    request = start_request(&[("user", 1)]);
    request.table_name = "missing".into();
    let answer = server.call("StartLocalTransaction", &request).await;
    answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    request.table_name = String::new();
    let answer = server.call("StartLocalTransaction", &request).await;
    answer.refused(400, "OTSParameterInvalid", "Invalid table name: ''.");
}

#[tokio::test]
async fn a_table_made_without_transactions_has_none_also_after_a_restart() {
    let server = TestServer::start().await;
    for (name, allowed) in [("off", Some(false)), ("on", Some(true))] {
        let request = proto::CreateTableRequest {
            enable_local_txn: allowed,
            ..create_table(name, &[("user", KeyKind::Integer)])
        };
        server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    }
    let server = server.restart().await;
    let start = |name: &str| proto::StartLocalTransactionRequest {
        table_name: name.into(),
        ..start_request(&[("user", 1)])
    };
    let message = "Try to call method using explicit transaction on explicit-transaction-disabled table.";
    let answer = server.call("StartLocalTransaction", &start("off")).await;
    answer.refused(400, "OTSParameterInvalid", message);
    let answer = server.call("StartLocalTransaction", &start("on")).await;
    answer.ok::<proto::StartLocalTransactionResponse>();
}

#[tokio::test]
async fn a_restart_ends_open_transactions() {
    let server = server().await;
    let id = start(&server, 1).await;
    server.call("PutRow", &put(1, 1, 1, Some(&id))).await.ok::<proto::PutRowResponse>();
    let server = server.restart().await;
    end(&server, "CommitTransaction", &id).await.refused(NO_SESSION.0, NO_SESSION.1, NO_SESSION.2);
    assert_eq!(read(&server, 1, 1, None).await, None);
    server.call("PutRow", &put(1, 1, 1, None)).await.ok::<proto::PutRowResponse>();
}
