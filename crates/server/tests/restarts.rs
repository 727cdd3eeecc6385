//! What outlasts a restart, a caller who leaves, and a full disk.

use std::time::Duration;

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_server::KEY_FILE;
use lakeferry_server::settings::EngineLayer;
use lakeferry_wire::proto;

use crate::harness::{Key, Request, TestServer};
use crate::rows::{put, told};

#[tokio::test]
async fn a_restart_keeps_keys_instances_tables_and_rows() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    for pk in 0..10 {
        server
            .call("PutRow", &put("t", pk, &[("c", ValueRef::Integer(pk))]))
            .await
            .ok::<proto::PutRowResponse>();
    }
    let before = server.scan("t", &["pk"]).await;
    assert_eq!(told(&before[9]), "9 c=9");
    let key = server.key.clone();

    let server = server.restart().await;
    assert_eq!(server.key.id, key.id);
    assert_eq!(server.scan("t", &["pk"]).await, before);
    // The key of before the restart still signs.
    let request = Request { key, ..server.request("ListTable", &proto::ListTableRequest {}) };
    assert_eq!(server.send(&request).await.ok::<proto::ListTableResponse>().table_names, ["t"]);
}

#[tokio::test]
async fn the_key_that_everybody_knows_opens_servers_for_development_alone() {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let known = server.key.clone();
    let server = server.reopen_in_earnest().await;
    let own = server.call("ListTable", &proto::ListTableRequest {}).await;
    assert_eq!(own.ok::<proto::ListTableResponse>().table_names, ["t"]);
    let request = Request { key: known, ..server.request("ListTable", &proto::ListTableRequest {}) };
    server.send(&request).await.refused(403, "OTSAuthFailed", "The AccessKeyID does not exist.");
}

/// Makes another operator.
async fn operator(server: &TestServer) -> Key {
    let made = server.json(Method::POST, "keys", r#"{"kind":"operator"}"#).await.ok_json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Key { id: text("id"), secret: text("secret") }
}

#[tokio::test]
async fn the_file_of_the_first_key_goes_with_the_key() {
    let server = TestServer::start().await;
    let (first, file) = (server.key.clone(), server.data.path().join(KEY_FILE));
    let (second, third) = (operator(&server).await, operator(&server).await);
    server.json(Method::DELETE, &format!("keys/{}", third.id), "").await.ok_json();
    assert!(file.exists(), "it holds another key");
    server.json_as(&second, Method::DELETE, &format!("keys/{}", first.id), "").await.ok_json();
    assert!(!file.exists(), "a start that finds no operator would take the key from it");
}

#[tokio::test]
async fn of_two_operators_that_delete_each_other_one_is_left() {
    let server = TestServer::start().await;
    let (first, second) = (server.key.clone(), operator(&server).await);
    // A key may be gone before it signs; then the answer is not signed either.
    let delete = async |key: &Key, other: &Key| {
        let request = Request {
            method: Method::DELETE,
            path: format!("/api/v1/keys/{}", other.id),
            body: bytes::Bytes::new(),
            key: key.clone(),
            ..server.request("", &proto::ListTableRequest {})
        };
        server.send(&request).await
    };
    let answers = tokio::join!(delete(&first, &second), delete(&second, &first));
    let done = [&answers.0, &answers.1].map(|answer| answer.status.is_success());
    assert!(done[0] != done[1], "{answers:?}");
}

#[tokio::test]
async fn a_restart_keeps_tasks() {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
        .call("CreateDeliveryTask", &crate::tasks::task("t", "task1"))
        .await
        .ok::<proto::CreateDeliveryTaskResponse>();
    let server = server.restart().await;
    let request = proto::ListDeliveryTaskRequest { table_name: Some("t".into()) };
    let answer = server.call("ListDeliveryTask", &request).await.ok::<proto::ListDeliveryTaskResponse>();
    assert_eq!(answer.tasks.iter().map(|task| task.task_name()).collect::<Vec<_>>(), ["task1"]);
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_still_done() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let request = server.request("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))]));
    server.send_and_leave(&request).await;
    let written = async {
        while server.scan("t", &["pk"]).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.expect("the row is written");
}

#[tokio::test]
async fn at_the_disks_reserve_rows_are_read_and_not_written() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))])).await.ok::<proto::PutRowResponse>();
    // No disk has so much free.
    let server =
        server.reopen_with(EngineLayer { reserve_mib: Some(1 << 40), ..EngineLayer::default() }).await;
    let answer = server.call("PutRow", &put("t", 2, &[("c", ValueRef::Integer(2))])).await;
    let (code, message) = answer.error();
    // SDKs do not send a write again after this code: it would not help before somebody makes room.
    assert_eq!((answer.status.as_u16(), code.as_str()), (503, "OTSServerUnavailable"));
    assert!(message.contains("reserve"), "{message}");
    assert_eq!(server.scan("t", &["pk"]).await.iter().map(told).collect::<Vec<_>>(), ["1 c=1"]);
}
