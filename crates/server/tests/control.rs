//! Steering tasks through the JSON API, while SDKs look on.

use std::time::Duration;

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::proto;
use serde_json::{Value, json};

use crate::harness::TestServer;
use crate::rows::put;
use crate::tasks::task;

const TASK: &str = "instances/test/tables/t/tasks/to-lake";

/// A development server with a table and a task that an SDK made.
async fn server() -> TestServer {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let made = server.call("CreateDeliveryTask", &task("t", "to-lake")).await;
    made.ok::<proto::CreateDeliveryTaskResponse>();
    until(&server, "INCR", |told| told["status"]["phase"] == "INCR").await;
    server
}

async fn write(server: &TestServer, pk: i64) {
    let row = put("t", pk, &[("c", ValueRef::Integer(pk))]);
    server.call("PutRow", &row).await.ok::<proto::PutRowResponse>();
}

async fn until(server: &TestServer, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let all = async {
        loop {
            let told = server.json(Method::GET, TASK, "").await.ok_json();
            if holds(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn post(server: &TestServer, what: &str) -> Value {
    server.json(Method::POST, &format!("{TASK}/{what}"), "").await.ok_json()
}

async fn kinds(server: &TestServer) -> Vec<String> {
    let told = server.json(Method::GET, &format!("{TASK}/history"), "").await.ok_json();
    let events = told["events"].as_array().unwrap();
    events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_paused_task_rests_over_a_restart_and_sdks_describe_it_as_ever() {
    let server = server().await;
    assert_eq!(post(&server, "pause").await["status"]["is_paused"], true);
    write(&server, 1).await;
    post(&server, "deliver-now").await;
    let server = server.restart().await;
    let told = server.json(Method::GET, TASK, "").await.ok_json();
    assert_eq!((&told["status"]["is_paused"], &told["status"]["rows_delivered"]), (&json!(true), &json!(0)));
    assert_eq!(told["status"]["rows_waiting"], 1);
    let named = proto::DescribeDeliveryTaskRequest {
        table_name: Some("t".into()),
        task_name: Some("to-lake".into()),
    };
    let described: proto::DescribeDeliveryTaskResponse =
        server.call("DescribeDeliveryTask", &named).await.ok();
    let state = described.task_sync_stat.unwrap();
    assert_eq!(state.task_sync_phase(), proto::TaskSyncPhase::Incr);
    assert!(state.detail().starts_with("paused"), "{}", state.detail());
    assert!(state.current_sync_timestamp() > 0, "the sync point stays");
    post(&server, "resume").await;
    post(&server, "deliver-now").await;
    let told = until(&server, "delivery", |told| told["status"]["rows_delivered"] == 1).await;
    assert_eq!(told["status"]["is_paused"], false);
    let expected = ["made", "phase", "phase", "paused", "resumed"];
    assert_eq!(kinds(&server).await, expected);
}

#[tokio::test]
async fn a_tasks_settings_change_at_once_and_wrong_ones_are_refused() {
    let server = server().await;
    write(&server, 1).await;
    let path = format!("{TASK}/tuning");
    let asked = json!({ "object_age_ms_max": 50, "rows_per_s_max": 1000, "inactivity_ms_max": 9 });
    let tuned = server.json(Method::PATCH, &path, &asked.to_string()).await.ok_json();
    assert_eq!(tuned["spec"]["tuning"]["object_age_ms_max"], 50);
    assert_eq!(tuned["spec"]["tuning"]["rows_per_s_max"], 1000);
    until(&server, "a cut by the new age", |told| told["status"]["rows_delivered"] == 1).await;
    let lifted = server.json(Method::PATCH, &path, r#"{"rows_per_s_max": null}"#).await.ok_json();
    assert_eq!(lifted["spec"]["tuning"]["rows_per_s_max"], Value::Null);
    assert_eq!(lifted["spec"]["tuning"]["inactivity_ms_max"], 9, "what is not named stays");
    for bad in [
        json!({ "object_age_ms_max": 0 }),
        json!({ "rows_per_s_max": 0 }),
        json!({ "lanes_min": 5, "lanes_max": 4 }),
        json!({ "compression": "none" }),
        json!({ "speed": 1 }),
        json!([]),
    ] {
        let answer = server.json(Method::PATCH, &path, &bad.to_string()).await;
        assert_eq!(answer.json_error(), (400, "OTSParameterInvalid".into()), "{bad}");
    }
    assert_eq!(kinds(&server).await.iter().filter(|kind| *kind == "settings").count(), 2);
}

#[tokio::test]
async fn all_tasks_of_an_instance_are_listed_in_full() {
    let server = server().await;
    server.make_table("u", &[("pk", KeyKind::Integer)]).await;
    server.call("CreateDeliveryTask", &task("u", "other")).await.ok::<proto::CreateDeliveryTaskResponse>();
    until(&server, "a lag", |told| told["status"]["lag_s"].is_number()).await;
    let told = server.json(Method::GET, "instances/test/tasks", "").await.ok_json();
    let names: Vec<(&str, &str)> = told["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["table"].as_str().unwrap(), task["name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("t", "to-lake"), ("u", "other")]);
    assert!(told["tasks"][0]["status"]["lag_s"].is_number(), "{told}");
    let status = told["tasks"][0]["status"].as_object().unwrap();
    for part in [
        "phase",
        "sync_point",
        "lag_s",
        "rows_delivered",
        "bytes_delivered",
        "rows_waiting",
        "objects",
        "dirty_fields",
        "dirty_reasons",
        "error",
        "detail",
        "last_error",
        "next_try_at",
        "last_object_at",
    ] {
        assert!(status.contains_key(part), "{part} in {status:?}");
    }
}

#[tokio::test]
async fn steering_a_task_that_there_is_not_is_refused() {
    let server = server().await;
    for what in ["pause", "resume", "retry-now", "deliver-now", "deliver-again"] {
        let path = format!("instances/test/tables/t/tasks/missing/{what}");
        let answer = server.json(Method::POST, &path, "").await;
        assert_eq!(answer.json_error(), (404, "OTSObjectNotExist".into()), "{what}");
    }
    post(&server, "retry-now").await;
}
