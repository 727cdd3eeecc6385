//! What a restart keeps: everything that was answered.

use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::proto;

use crate::harness::{Request, TestServer};
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
