//! Delivery tasks over the protocol: made, listed, described, deleted, and rows that land in the lake.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_server::settings::DeliveryLayer;
use lakeferry_wire::proto;
use serde_json::json;

use crate::harness::TestServer;
use crate::rows::put;

/// A column of a task as an SDK sends it.
pub fn column(name: &str, target: &str, kind: proto::DataType) -> proto::ParquetSchema {
    proto::ParquetSchema {
        column_name: Some(name.into()),
        oss_column_name: Some(target.into()),
        r#type: Some(kind.into()),
        encode: Some(proto::Encoding::Plain.into()),
        type_extend: None,
    }
}

/// A request for a task as an SDK sends it.
pub fn task(table: &str, name: &str) -> proto::CreateDeliveryTaskRequest {
    proto::CreateDeliveryTaskRequest {
        table_name: Some(table.into()),
        task_name: Some(name.into()),
        task_config: Some(proto::OssTaskConfig {
            oss_prefix: Some(format!("{name}/year=$yyyy")),
            oss_bucket: Some("lake".into()),
            oss_endpoint: Some("http://oss.example".into()),
            oss_sts_role: Some("acs:ram::1:role/aliyunserviceroleforotsdatadelivery".into()),
            format: Some(proto::Format::Parquet.into()),
            schema: vec![
                column("pk", "pk", proto::DataType::Int64),
                column("c", "n", proto::DataType::Int64),
            ],
            ..Default::default()
        }),
        task_type: Some(proto::DeliveryTaskType::BaseInc.into()),
    }
}

pub fn named(table: &str, name: &str) -> proto::DescribeDeliveryTaskRequest {
    proto::DescribeDeliveryTaskRequest { table_name: Some(table.into()), task_name: Some(name.into()) }
}

pub async fn describe(server: &TestServer, name: &str) -> proto::DescribeDeliveryTaskResponse {
    server.call("DescribeDeliveryTask", &named("t", name)).await.ok()
}

pub async fn phase(server: &TestServer, name: &str) -> proto::TaskSyncPhase {
    describe(server, name).await.task_sync_stat.unwrap().task_sync_phase()
}

/// Waits until `holds`; the test's own time limit is what fails it.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn server() -> TestServer {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

fn objects_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(objects_under(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn a_task_is_described_back_as_it_was_named() {
    let server = server().await;
    let asked = task("t", "taskTest_29");
    let answer = server.call("CreateDeliveryTask", &asked).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let described = describe(&server, "taskTest_29").await;
    assert_eq!(described.task_config, asked.task_config);
    assert_eq!(described.task_type, asked.task_type);
    let request = proto::ListDeliveryTaskRequest { table_name: Some("t".into()) };
    let listed = server.call("ListDeliveryTask", &request).await.ok::<proto::ListDeliveryTaskResponse>();
    let expected = proto::DeliveryTaskInfo {
        table_name: Some("t".into()),
        task_name: Some("taskTest_29".into()),
        task_type: asked.task_type,
    };
    assert_eq!(listed.tasks, [expected]);
}

#[tokio::test]
async fn rows_land_in_the_lake_and_the_sync_point_is_in_nanoseconds() {
    let server = server().await;
    for pk in 0..3 {
        server
            .call("PutRow", &put("t", pk, &[("c", ValueRef::Integer(pk))]))
            .await
            .ok::<proto::PutRowResponse>();
    }
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    until("INCR", async || phase(&server, "task1").await == proto::TaskSyncPhase::Incr).await;
    let state = describe(&server, "task1").await.task_sync_stat.unwrap();
    assert!(state.current_sync_timestamp() > 1_700_000_000_000_000_000, "{state:?}");
    assert_eq!(state.error_code(), proto::ErrorType::Ok);
    let folder = server.data.path().join("lake/lake/task1");
    // As many as the full phase has lanes for three rows.
    let before = objects_under(&folder).len();
    assert!((1..=3).contains(&before), "{before} objects");

    server.call("PutRow", &put("t", 9, &[("c", ValueRef::Integer(9))])).await.ok::<proto::PutRowResponse>();
    server.json(Method::POST, "instances/test/tables/t/tasks/task1/deliver-now", "").await.ok_json();
    until("one more object", async || objects_under(&folder).len() == before + 1).await;
    let metrics = server.get_open("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let label = r#"{instance="test",table="t",task="task1"}"#;
    assert!(metrics.contains(&format!("lakeferry_task_phase{label} 2")), "{metrics}");
}

#[tokio::test]
async fn columns_that_a_full_automatic_schema_does_not_take_are_told_as_undelivered() {
    let delivery = DeliveryLayer { automatic_columns: Some(2), ..DeliveryLayer::default() };
    let server = TestServer::start_dev_with(delivery).await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let cells = [("a", ValueRef::Integer(1)), ("b", ValueRef::Integer(2))];
    server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    let task = json!({
        "name": "task1",
        "mode": "BASE_INC",
        "destination": { "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "p", "suffix": "" },
        "schema": { "automatic": { "reserved": false } },
    });
    server.json(Method::POST, "instances/test/tables/t/tasks", &task.to_string()).await.ok_json();
    until("INCR", async || phase(&server, "task1").await == proto::TaskSyncPhase::Incr).await;
    let told = server.json(Method::GET, "instances/test/tables/t/tasks/task1", "").await.ok_json();
    assert_eq!(told["status"]["undelivered_columns"], json!([["b", 1]]), "{told}");
}

#[tokio::test]
async fn a_task_of_a_taken_name_is_refused() {
    let server = server().await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    let mut second = task("t", "task1");
    second.task_config.as_mut().unwrap().oss_prefix = Some("other".into());
    let answer = server.call("CreateDeliveryTask", &second).await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (409, "OTSObjectAlreadyExist"));
    assert_eq!(describe(&server, "task1").await.task_config, task("t", "task1").task_config);
}

#[tokio::test]
async fn a_task_that_there_is_not_is_told_so() {
    let server = server().await;
    for operation in ["DescribeDeliveryTask", "DeleteDeliveryTask"] {
        let answer = server.call(operation, &named("t", "nothing")).await;
        assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (404, "OTSObjectNotExist"));
        let answer = server.call(operation, &named("missing", "nothing")).await;
        answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    }
    let answer = server.call("CreateDeliveryTask", &task("missing", "task1")).await;
    answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
}

#[tokio::test]
async fn a_task_whose_destination_is_half_named_is_refused() {
    let server = server().await;
    let strip: [fn(&mut proto::OssTaskConfig); 5] = [
        |config| config.oss_prefix = Some(String::new()),
        |config| config.oss_bucket = None,
        |config| config.oss_endpoint = Some(String::new()),
        |config| config.oss_sts_role = None,
        |config| config.oss_prefix = Some("p/$what".into()),
    ];
    for strip in strip {
        let mut request = task("t", "task1");
        strip(request.task_config.as_mut().unwrap());
        let answer = server.call("CreateDeliveryTask", &request).await;
        assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (400, "OTSParameterInvalid"));
    }
    let request = proto::ListDeliveryTaskRequest { table_name: Some("t".into()) };
    let listed = server.call("ListDeliveryTask", &request).await.ok::<proto::ListDeliveryTaskResponse>();
    assert!(listed.tasks.is_empty(), "a refused request changes nothing");
}

#[tokio::test]
async fn a_table_with_tasks_is_not_deleted() {
    let server = server().await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    let delete_table = proto::DeleteTableRequest { table_name: "t".into() };
    let answer = server.call("DeleteTable", &delete_table).await;
    let message = "Table 't' has delivery tasks: 'task1'. Delete them first, with DeleteDeliveryTask.";
    answer.refused(400, "OTSParameterInvalid", message);
    until("the task is out of INIT", async || phase(&server, "task1").await != proto::TaskSyncPhase::Init)
        .await;
    let request =
        proto::DeleteDeliveryTaskRequest { table_name: Some("t".into()), task_name: Some("task1".into()) };
    let answer = server.call("DeleteDeliveryTask", &request).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let answer = server.call("DescribeDeliveryTask", &named("t", "task1")).await;
    assert_eq!(answer.error().0, "OTSObjectNotExist");
    server.call("DeleteTable", &delete_table).await.ok::<proto::DeleteTableResponse>();
}

#[tokio::test]
async fn a_task_into_a_bucket_that_there_is_not_says_what_to_do() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    let state = async || describe(&server, "task1").await.task_sync_stat.unwrap();
    until("an error code", async || state().await.error_code() == proto::ErrorType::InvalidOssBucket).await;
    let detail = state().await.detail.unwrap();
    assert!(detail.contains("lakeferry bucket create lake"), "{detail}");
    server.json(Method::POST, "buckets", r#"{"name":"lake"}"#).await.ok_json();
    until("INCR", async || phase(&server, "task1").await == proto::TaskSyncPhase::Incr).await;
}

#[tokio::test]
async fn a_task_that_is_being_initialized_is_not_deleted() {
    let server = server().await;
    // A store that takes calls and never answers keeps a task in INIT for as long as it may stay there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let bucket = serde_json::json!({
        "name": "remote", "url": "s3://remote", "endpoint": endpoint,
        "access_key_id": "id", "access_key_secret": "secret",
    });
    server.json(Method::POST, "buckets", &bucket.to_string()).await.ok_json();
    let mut request = task("t", "task1");
    let config = request.task_config.as_mut().unwrap();
    (config.oss_bucket, config.oss_endpoint) = (Some("remote".into()), Some(endpoint));
    server.call("CreateDeliveryTask", &request).await.ok::<proto::CreateDeliveryTaskResponse>();
    assert_eq!(phase(&server, "task1").await, proto::TaskSyncPhase::Init);
    let delete =
        proto::DeleteDeliveryTaskRequest { table_name: Some("t".into()), task_name: Some("task1".into()) };
    let answer = server.call("DeleteDeliveryTask", &delete).await;
    let (code, message) = answer.error();
    assert_eq!((answer.status.as_u16(), code.as_str()), (409, "OTSOperationConflict"));
    assert!(message.contains("being initialized"), "{message}");
    assert_eq!(
        phase(&server, "task1").await,
        proto::TaskSyncPhase::Init,
        "a refused request changes nothing"
    );
}

#[tokio::test]
async fn a_task_is_updated_over_the_wire_and_what_is_left_out_stays() {
    let server = server().await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    until("INCR", async || phase(&server, "task1").await == proto::TaskSyncPhase::Incr).await;
    let update = |config| proto::UpdateDeliveryTaskRequest {
        table: Some("t".into()),
        task_name: Some("task1".into()),
        task_config: Some(config),
    };
    let mut schema = task("t", "task1").task_config.unwrap().schema;
    schema[1].oss_column_name = Some("renamed".into());
    let config =
        proto::OssTaskConfig { schema, oss_dirty_prefix: Some("unfit".into()), ..Default::default() };
    let answer = server.call("UpdateDeliveryTask", &update(config.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let mut expected = task("t", "task1").task_config.unwrap();
    expected.schema = config.schema;
    expected.oss_dirty_prefix = Some("unfit".into());
    assert_eq!(describe(&server, "task1").await.task_config, Some(expected));

    let empty = proto::OssTaskConfig { oss_prefix: Some(String::new()), ..Default::default() };
    let answer = server.call("UpdateDeliveryTask", &update(empty)).await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (400, "OTSParameterInvalid"));
    let mut missing = update(proto::OssTaskConfig::default());
    missing.task_name = Some("nothing".into());
    let answer = server.call("UpdateDeliveryTask", &missing).await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (404, "OTSObjectNotExist"));
}

#[tokio::test]
async fn a_merge_patch_changes_what_the_wire_has_no_words_for() {
    let server = server().await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    until("INCR", async || phase(&server, "task1").await == proto::TaskSyncPhase::Incr).await;
    let path = "instances/test/tables/t/tasks/task1";
    let patch = r#"{"destination": {"zone": "Asia/Shanghai"}, "tuning": {"dirty_fields_max": 3},
        "add_columns": [{"source": "d", "target": "d", "kind": "DOUBLE"}]}"#;
    let told = server.json(Method::PATCH, path, patch).await.ok_json();
    assert_eq!(told["spec"]["destination"]["zone"], "Asia/Shanghai");
    assert_eq!(told["spec"]["destination"]["prefix"], "task1/year=$yyyy");
    assert_eq!(told["spec"]["tuning"]["dirty_fields_max"], 3);
    assert_eq!(told["spec"]["schema"]["manual"].as_array().unwrap().len(), 3);
    let refused = server.json(Method::PATCH, path, r#"{"colour": 1}"#).await;
    assert_eq!(refused.status.as_u16(), 400);
    let list = r#"{"schema": {"manual": [{"source": "d", "target": "d", "kind": "LIST"}]}}"#;
    let refused = server.json(Method::PATCH, path, list).await;
    assert_eq!(refused.status.as_u16(), 400);
}
