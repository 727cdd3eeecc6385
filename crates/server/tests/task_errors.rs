//! Every error of delivery that is documented, as an SDK meets it: refusals of the five calls, and the codes that a
//! task carries.

use http::Method;
use lakeferry_model::KeyKind;
use lakeferry_wire::proto::{self, DataType};
use serde_json::json;

use crate::harness::{Answer, TestServer};
use crate::tasks::{column, describe, named, phase, task, until};

/// A server that makes no bucket and no role by itself, with the table `t`.
async fn strict_server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

async fn state(server: &TestServer, name: &str) -> proto::TaskSyncStat {
    describe(server, name).await.task_sync_stat.unwrap()
}

async fn until_error(server: &TestServer, code: proto::ErrorType) -> String {
    until("the error's code", async || state(server, "task1").await.error_code() == code).await;
    state(server, "task1").await.detail.unwrap()
}

/// A request to make a task, changed a little.
fn task_but(change: impl FnOnce(&mut proto::OssTaskConfig)) -> proto::CreateDeliveryTaskRequest {
    let mut request = task("t", "task1");
    change(request.task_config.as_mut().unwrap());
    request
}

fn update(table: &str, name: &str, config: proto::OssTaskConfig) -> proto::UpdateDeliveryTaskRequest {
    proto::UpdateDeliveryTaskRequest {
        table: Some(table.into()),
        task_name: Some(name.into()),
        task_config: Some(config),
    }
}

#[track_caller]
fn is_invalid(answer: &Answer, word: &str) {
    let (code, message) = answer.error();
    assert_eq!((answer.status.as_u16(), code.as_str()), (400, "OTSParameterInvalid"), "{word}: {message}");
    assert!(message.contains(word), "{message} says nothing of {word}");
}

async fn add_remote(server: &TestServer, endpoint: &str, with_key: bool) {
    let mut bucket =
        json!({ "name": "lake", "url": "s3://lake", "region": "us-east-1", "endpoint": endpoint });
    if with_key {
        bucket["access_key_id"] = json!("id");
        bucket["access_key_secret"] = json!("secret");
    }
    server.json(Method::POST, "buckets", &bucket.to_string()).await.ok_json();
}

#[tokio::test]
async fn unauthorized_is_carried_while_the_role_is_missing_and_making_a_task_makes_the_documented_role() {
    let server = strict_server().await;
    let endpoint = "http://127.0.0.1:9";
    add_remote(&server, endpoint, false).await;
    let asked = task_but(|config| {
        (config.oss_endpoint, config.oss_sts_role) = (Some(endpoint.into()), Some("carrier".into()));
    });
    server.call("CreateDeliveryTask", &asked).await.ok::<proto::CreateDeliveryTaskResponse>();
    // "You must create a delivery task to trigger Tablestore to create the role."
    let roles = server.json(Method::GET, "roles", "").await.ok_json();
    assert!(roles.to_string().contains("AliyunServiceRoleForOTSDataDelivery"), "{roles}");
    let detail = until_error(&server, proto::ErrorType::Unauthorized).await;
    assert!(detail.contains("lakeferry role create carrier"), "{detail}");
    server.json(Method::POST, "roles", r#"{"name":"carrier"}"#).await.ok_json();
    // What is wrong then is another matter: the store of that bucket knows roles by more than a name.
    until("the role to be found", async || state(&server, "task1").await.detail().contains("no ARN")).await;
}

#[tokio::test]
async fn invalid_oss_bucket_is_carried_by_a_task_that_names_another_region() {
    let server = strict_server().await;
    add_remote(&server, "https://oss-cn-hangzhou.aliyuncs.com", true).await;
    let elsewhere = "http://oss-cn-beijing.aliyuncs.com";
    let asked = task_but(|config| config.oss_endpoint = Some(elsewhere.into()));
    server.call("CreateDeliveryTask", &asked).await.ok::<proto::CreateDeliveryTaskResponse>();
    let detail = until_error(&server, proto::ErrorType::InvalidOssBucket).await;
    assert!(detail.contains("oss-cn-hangzhou") && detail.contains(elsewhere), "{detail}");
    let config = describe(&server, "task1").await.task_config.unwrap();
    assert_eq!(config.oss_endpoint(), elsewhere, "what the task named is described back");
}

#[tokio::test]
async fn invalid_oss_bucket_is_carried_while_the_bucket_is_missing_and_then_all_data_is_written_again() {
    let server = strict_server().await;
    server.json(Method::POST, "buckets", r#"{"name":"lake"}"#).await.ok_json();
    let row = crate::rows::put("t", 1, &[]);
    server.call("PutRow", &row).await.ok::<proto::PutRowResponse>();
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    let path = "instances/test/tables/t/tasks/task1";
    let status = async || server.json(Method::GET, path, "").await.ok_json()["status"].clone();
    until("a delivered row", async || status().await["rows_delivered"] == 1).await;
    let bucket = server.data.path().join("lake/lake");
    std::fs::remove_dir_all(&bucket).unwrap();
    let detail = until_error(&server, proto::ErrorType::InvalidOssBucket).await;
    assert!(detail.contains("make the bucket"), "{detail}");
    std::fs::create_dir(&bucket).unwrap();
    // "When the OSS bucket is created, all data is written to the OSS bucket again. The delivery progress is
    // updated."
    until("another run", async || status().await["run"] == 2).await;
    until("the row again", async || status().await["rows_delivered"] == 1).await;
    until("no error", async || state(&server, "task1").await.error_code() == proto::ErrorType::Ok).await;
}

#[tokio::test]
async fn each_of_the_five_calls_tells_of_a_table_or_task_that_there_is_not() {
    let server = strict_server().await;
    let list = proto::ListDeliveryTaskRequest { table_name: Some("missing".into()) };
    for answer in [
        server.call("CreateDeliveryTask", &task("missing", "task1")).await,
        server.call("ListDeliveryTask", &list).await,
        server.call("DescribeDeliveryTask", &named("missing", "task1")).await,
        server.call("UpdateDeliveryTask", &update("missing", "task1", Default::default())).await,
        server.call("DeleteDeliveryTask", &named("missing", "task1")).await,
    ] {
        answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    }
    for answer in [
        server.call("DescribeDeliveryTask", &named("t", "task1")).await,
        server.call("UpdateDeliveryTask", &update("t", "task1", Default::default())).await,
        server.call("DeleteDeliveryTask", &named("t", "task1")).await,
    ] {
        answer.refused(404, "OTSObjectNotExist", "table 't' has no delivery task 'task1'");
    }
}

#[tokio::test]
async fn a_task_that_is_being_initialized_is_not_updated_either() {
    let server = strict_server().await;
    // A store that takes calls and never answers keeps a task in INIT for as long as it may stay there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    add_remote(&server, &endpoint, true).await;
    let asked = task_but(|config| config.oss_endpoint = Some(endpoint));
    server.call("CreateDeliveryTask", &asked).await.ok::<proto::CreateDeliveryTaskResponse>();
    let config = proto::OssTaskConfig { oss_prefix: Some("other".into()), ..Default::default() };
    let answer = server.call("UpdateDeliveryTask", &update("t", "task1", config)).await;
    let (code, message) = answer.error();
    if phase(&server, "task1").await == proto::TaskSyncPhase::Init {
        assert_eq!((answer.status.as_u16(), code.as_str()), (409, "OTSOperationConflict"));
        assert!(message.contains("being initialized; try again later"), "{message}");
        let config = describe(&server, "task1").await.task_config;
        assert_eq!(config, asked.task_config, "a refused request changes nothing");
    }
    until("the end of INIT", async || phase(&server, "task1").await != proto::TaskSyncPhase::Init).await;
}

#[tokio::test]
async fn a_task_whose_objects_could_share_names_with_anothers_is_refused_by_its_name() {
    let server = strict_server().await;
    server.make_table("u", &[("pk", KeyKind::Integer)]).await;
    server.call("CreateDeliveryTask", &task("t", "task1")).await.ok::<proto::CreateDeliveryTaskResponse>();
    let answer = server.call("CreateDeliveryTask", &task("u", "task1")).await;
    let (code, message) = answer.error();
    assert_eq!((answer.status.as_u16(), code.as_str()), (409, "OTSObjectAlreadyExist"));
    assert!(message.contains("task 'task1' of table 't' delivers under the same names"), "{message}");
}

#[tokio::test]
async fn names_and_prefixes_outside_of_the_documented_rules_are_refused_with_the_rule() {
    let server = strict_server().await;
    let mut request = task("t", "task1");
    for (name, word) in [("", "task name"), ("täsk", "task name"), ("a/b", "task name")] {
        request.task_name = Some(name.into());
        is_invalid(&server.call("CreateDeliveryTask", &request).await, word);
    }
    let prefixes = [
        ("p/$year", "$year"),
        ("p/$", "$"),
        ("p/../q", ".."),
        ("p//q", "slashes"),
        ("_lakeferry/p", "_lakeferry"),
    ];
    for (prefix, word) in prefixes {
        let request = task_but(|config| config.oss_prefix = Some(prefix.into()));
        is_invalid(&server.call("CreateDeliveryTask", &request).await, word);
    }
    let request = task_but(|config| config.oss_bucket = Some("My Bucket".into()));
    is_invalid(&server.call("CreateDeliveryTask", &request).await, "bucket name");
    let without = proto::CreateDeliveryTaskRequest { task_config: None, ..task("t", "task1") };
    is_invalid(&server.call("CreateDeliveryTask", &without).await, "taskConfig");
    // Our own program holds a task's name to the documented 3 to 16 letters.
    let body = json!({
        "name": "taskTest_29", "mode": "BASE",
        "destination": { "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "p" },
        "schema": { "automatic": { "reserved": true } },
    });
    let answer = server.json(Method::POST, "instances/test/tables/t/tasks", &body.to_string()).await;
    assert_eq!(answer.json_error(), (400, "OTSParameterInvalid".into()));
}

#[tokio::test]
async fn types_that_no_value_has_and_values_that_no_enumeration_has_are_refused() {
    let server = strict_server().await;
    let types = [
        (DataType::List, "LIST"),
        (DataType::Map, "MAP"),
        (DataType::Interval, "INTERVAL"),
        (DataType::Int96, "INT96"),
    ];
    for (kind, word) in types {
        let request = task_but(|config| config.schema.push(column("d", "d", kind)));
        is_invalid(&server.call("CreateDeliveryTask", &request).await, word);
    }
    type Change = fn(&mut proto::OssTaskConfig);
    let changes: [Change; 5] = [
        |config| config.format = Some(7),
        |config| config.formatter = Some(7),
        |config| config.schema[0].r#type = Some(77),
        |config| config.schema[0].encode = Some(77),
        |config| {
            let column = proto::EventColumn { column_name: Some("c".into()), time_format: Some(77) };
            config.event_time_column = Some(column);
        },
    ];
    for change in changes {
        is_invalid(&server.call("CreateDeliveryTask", &task_but(change)).await, "7");
    }
    let request = proto::CreateDeliveryTaskRequest { task_type: Some(7), ..task("t", "task1") };
    is_invalid(&server.call("CreateDeliveryTask", &request).await, "7");
    let twice = task_but(|config| config.schema.push(column("c", "n", DataType::Int64)));
    is_invalid(&server.call("CreateDeliveryTask", &twice).await, "n");
    let list = proto::ListDeliveryTaskRequest { table_name: Some("t".into()) };
    let listed = server.call("ListDeliveryTask", &list).await.ok::<proto::ListDeliveryTaskResponse>();
    assert!(listed.tasks.is_empty(), "a refused request changes nothing");
}
