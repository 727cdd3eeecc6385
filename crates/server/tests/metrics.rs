//! The metrics: `docs/metrics.md` says what they are called, and these are compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::proto;
use serde_json::json;

use crate::harness::TestServer;
use crate::rows::put;

/// The documented metrics: their type and their labels, by name.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = include_str!("../../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `lakeferry_"));
    let metric = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (format!("lakeferry_{}", cells[0].trim_end_matches('`')), (cells[1].to_owned(), labels))
    };
    rows.map(metric).collect()
}

/// The metrics that a server tells: their type and all labels that occur, by name.
fn told(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut told: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut latest = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let counted = if kind == "counter" { "_total" } else { "" };
            latest = format!("{name}{counted}");
            told.insert(latest.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |found| found.0);
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            told.get_mut(&latest).expect("a type comes first").1.extend(names);
        }
    }
    told
}

async fn metrics(server: &TestServer) -> String {
    String::from_utf8(server.get_open("/metrics").await.body.to_vec()).unwrap()
}

async fn until(server: &TestServer, what: &str) -> String {
    let all = async {
        loop {
            let text = metrics(server).await;
            if text.contains(what) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A development server with two tasks: one delivers rows, one of them dirty, one has an unknown bucket.
async fn busy_server() -> TestServer {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let path = "instances/test/tables/t/tasks";
    let mut task = json!({
        "name": "to-lake",
        "mode": "BASE_INC",
        "destination": {
            "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "p/$yyyy",
            "event_time": { "column": "at", "format": "UNIX" }, "zone": "UTC", "suffix": "",
        },
        "schema": { "automatic": { "reserved": true } },
        "tuning": { "object_age_ms_max": 50 },
    });
    server.json(Method::POST, path, &task.to_string()).await.ok_json();
    task["name"] = json!("astray");
    task["destination"]["endpoint"] = json!("http://elsewhere.example");
    task["destination"]["bucket"] = json!("remote");
    let remote = json!({ "name": "remote", "url": "s3://theirs", "endpoint": "http://127.0.0.1:9" });
    server.json(Method::POST, "buckets", &remote.to_string()).await.ok_json();
    server.json(Method::POST, path, &task.to_string()).await.ok_json();
    for pk in 0..3 {
        let row = put("t", pk, &[("at", ValueRef::String("never"))]);
        server.call("PutRow", &row).await.ok::<proto::PutRowResponse>();
    }
    server.call("PutRow", &put("missing", 1, &[])).await;
    server
}

#[tokio::test]
async fn every_metric_is_documented_with_its_labels_and_every_documented_one_is_told() {
    let server = busy_server().await;
    let delivered = r#"lakeferry_task_rows_delivered{instance="test",table="t",task="to-lake"} 3"#;
    until(&server, delivered).await;
    until(&server, "lakeferry_task_latency_p99_seconds{").await;
    let text = until(&server, "lakeferry_task_failures_total{").await;
    assert_eq!(told(&text), documented(), "{text}");
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status_and_never_by_what_callers_write() {
    let server = busy_server().await;
    server.json(Method::GET, "no/such/path", "").await;
    server.json(Method::DELETE, "instances", "").await;
    server.call("NoSuchOperation", &proto::ListTableRequest {}).await;
    let text = metrics(&server).await;
    for (operation, status) in [
        ("PutRow", "200"),
        ("PutRow", "404"),
        ("unknown", "404"),
        ("unknown", "405"),
        ("unknown", "400"),
        ("POST /api/v1/instances/{instance}/tables/{table}/tasks", "200"),
    ] {
        let labels = format!(r#"operation="{operation}",status="{status}""#);
        assert!(text.contains(&format!("lakeferry_requests_total{{{labels}}}")), "{labels} in {text}");
        assert!(text.contains(&format!("lakeferry_request_seconds_count{{{labels}}}")), "{labels} in {text}");
    }
    assert!(!text.contains("no/such") && !text.contains("NoSuchOperation"), "{text}");
}

#[tokio::test]
async fn the_originals_two_promises_are_told_of_each_task() {
    let server = busy_server().await;
    until(&server, r#"lakeferry_task_rows_delivered{instance="test",table="t",task="to-lake"} 3"#).await;
    let text = until(&server, "lakeferry_task_latency_p99_seconds{").await;
    for promise in ["latency_3_minutes", "p99_10_minutes"] {
        let kept = format!(
            r#"lakeferry_task_promise_kept{{instance="test",table="t",task="to-lake",promise="{promise}"}} 1"#
        );
        assert!(text.contains(&kept), "{kept} in {text}");
    }
    let counted = r#"lakeferry_task_latency_seconds_count{instance="test",table="t",task="to-lake"} "#;
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("lakeferry_engine_commit_seconds_count "), "{text}");
}

#[tokio::test]
async fn the_gauges_of_a_task_say_what_its_status_says() {
    let server = busy_server().await;
    let path = "instances/test/tables/t/tasks/to-lake";
    until(&server, r#"lakeferry_task_rows_delivered{instance="test",table="t",task="to-lake"} 3"#).await;
    server.json(Method::POST, &format!("{path}/pause"), "").await.ok_json();
    server.call("PutRow", &put("t", 9, &[])).await.ok::<proto::PutRowResponse>();
    let label = r#"instance="test",table="t",task="to-lake""#;
    let text = until(&server, &format!("lakeferry_task_rows_waiting{{{label}}} 1")).await;
    let gauge = |name: &str, more: &str| -> f64 {
        let begin = format!("lakeferry_task_{name}{{{label}{more}}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        line.unwrap_or_else(|| panic!("{begin} in {text}")).parse().unwrap()
    };
    let status = server.json(Method::GET, path, "").await.ok_json()["status"].clone();
    for (name, field) in [
        ("rows_waiting", "rows_waiting"),
        ("rows_delivered", "rows_delivered"),
        ("bytes_delivered", "bytes_delivered"),
        ("objects", "objects"),
    ] {
        assert_eq!(Some(gauge(name, "")), status[field].as_f64(), "{name} and {status}");
    }
    assert_eq!((gauge("phase", ""), gauge("paused", "")), (2.0, 1.0));
    assert_eq!((&status["phase"], &status["is_paused"]), (&json!("INCR"), &json!(true)));
    let dirty = gauge("dirty_fields", r#",reason="event_time""#);
    assert_eq!((Some(dirty), dirty), (status["dirty_reasons"]["event_time"].as_f64(), 3.0));
    let sync_point = status["sync_point"].as_i64().unwrap() / 1_000_000;
    assert_eq!(gauge("sync_point_seconds", ""), sync_point as f64);
    let lag_s = status["lag_s"].as_f64().unwrap();
    assert!((0.0..=lag_s).contains(&gauge("lag_seconds", "")), "{status}");
}

#[tokio::test]
async fn what_is_of_a_run_falls_back_to_0_when_the_next_one_begins() {
    let server = busy_server().await;
    let path = "instances/test/tables/t/tasks/to-lake";
    let label = r#"instance="test",table="t",task="to-lake""#;
    let dirty = |fields| format!(r#"lakeferry_task_dirty_fields{{{label},reason="event_time"}} {fields}"#);
    until(&server, &dirty(3)).await;
    // A paused task does not count again.
    server.json(Method::POST, &format!("{path}/pause"), "").await.ok_json();
    server.json(Method::POST, &format!("{path}/deliver-again"), "").await.ok_json();
    let text = until(&server, &dirty(0)).await;
    for name in ["rows_delivered", "bytes_delivered", "objects"] {
        assert!(text.contains(&format!("lakeferry_task_{name}{{{label}}} 0\n")), "{name} in {text}");
    }
}
