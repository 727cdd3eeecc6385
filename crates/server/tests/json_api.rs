//! The JSON API: who may do what, and what it answers.

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::proto;
use serde_json::{Value, json};

use crate::harness::{Key, TestServer};
use crate::rows::put;

async fn application(server: &TestServer) -> Key {
    let made =
        server.json(Method::POST, "keys", r#"{"kind":"application","instances":["test"]}"#).await.ok_json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Key { id: text("id"), secret: text("secret") }
}

fn task(name: &str, tuning: &Value) -> Value {
    json!({
        "name": name,
        "mode": "BASE_INC",
        "destination": {
            "bucket": "lake", "endpoint": "local", "role": "AliyunServiceRoleForOTSDataDelivery",
            "prefix": "orders", "event_time": null, "zone": "Europe/Berlin", "suffix": ".parquet",
        },
        "schema": { "automatic": { "reserved": true } },
        "tuning": tuning,
    })
}

#[tokio::test]
async fn what_belongs_to_operators_is_refused_to_applications() {
    let server = TestServer::start().await;
    let key = application(&server).await;
    for (method, path, body) in [
        (Method::POST, "instances", r#"{"name":"mine"}"#),
        (Method::POST, "keys", r#"{"kind":"operator","instances":[]}"#),
        (Method::GET, "keys", ""),
        (Method::DELETE, "keys/any", ""),
        (Method::GET, "buckets", ""),
        (Method::POST, "buckets", r#"{"name":"mine"}"#),
        (Method::GET, "roles", ""),
        (Method::POST, "roles", r#"{"name":"mine"}"#),
        (Method::DELETE, "roles/any", ""),
        (Method::POST, "dev/reset", ""),
    ] {
        let answer = server.json_as(&key, method.clone(), path, body).await;
        assert_eq!(answer.json_error(), (403, "OTSNoPermissionAccess".into()), "{method} {path}");
    }
    let instances = server.json(Method::GET, "instances", "").await.ok_json();
    assert_eq!(instances["instances"].as_array().unwrap().len(), 1);
    assert_eq!(server.json(Method::GET, "buckets", "").await.ok_json(), json!({"buckets": []}));
    assert_eq!(server.json(Method::GET, "keys", "").await.ok_json()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_application_sees_its_own_instances_alone() {
    let server = TestServer::start().await;
    server.json(Method::POST, "instances", r#"{"name":"theirs"}"#).await.ok_json();
    let key = application(&server).await;
    let listed = server.json_as(&key, Method::GET, "instances", "").await.ok_json();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);
    assert_eq!(listed["instances"][0]["name"], "test");
    let own = server.json_as(&key, Method::GET, "instances/test/tables", "").await;
    assert_eq!(own.ok_json(), json!({"tables": []}));
    let foreign = server.json_as(&key, Method::GET, "instances/theirs/tables", "").await;
    assert_eq!(foreign.json_error(), (403, "OTSAuthFailed".into()));
}

#[tokio::test]
async fn an_unsigned_or_wrongly_signed_request_is_refused() {
    let server = TestServer::start().await;
    let stranger = Key { secret: "wrong".into(), ..server.key.clone() };
    let request = crate::harness::Request {
        path: "/api/v1/instances".into(),
        body: r#"{"name":"mine"}"#.into(),
        key: stranger,
        ..server.request("", &proto::ListTableRequest {})
    };
    assert_eq!(server.send(&request).await.json_error(), (403, "OTSAuthFailed".into()));
    assert_eq!(server.get_open("/api/v1/instances").await.json_error(), (400, "OTSParameterInvalid".into()));
    let listed = server.json(Method::GET, "instances", "").await.ok_json();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1, "a refused request changes nothing");
}

#[tokio::test]
async fn a_secret_is_told_once_and_the_last_operator_stays() {
    let server = TestServer::start().await;
    let made = server.json(Method::POST, "keys", r#"{"kind":"operator"}"#).await.ok_json();
    assert!(made["secret"].as_str().unwrap().len() >= 30);
    let listed = server.json(Method::GET, "keys", "").await.ok_json();
    assert!(listed["keys"].as_array().unwrap().iter().all(|key| key.get("secret").is_none()));
    let path = format!("keys/{}", made["id"].as_str().unwrap());
    server.json(Method::DELETE, &path, "").await.ok_json();
    assert_eq!(server.json(Method::DELETE, &path, "").await.json_error().0, 404);
    let own = format!("keys/{}", server.key.id);
    assert_eq!(server.json(Method::DELETE, &own, "").await.json_error(), (400, "OTSParameterInvalid".into()));
    server.json(Method::GET, "keys", "").await.ok_json();
}

#[tokio::test]
async fn a_bucket_is_a_directory_or_an_object_store() {
    let server = TestServer::start().await;
    server.json(Method::POST, "buckets", r#"{"name":"lake"}"#).await.ok_json();
    assert!(server.data.path().join("lake/lake").is_dir());
    let again = server.json(Method::POST, "buckets", r#"{"name":"lake"}"#).await;
    assert_eq!(again.json_error(), (409, "OTSObjectAlreadyExist".into()));
    let remote = json!({
        "name": "remote", "url": "s3://theirs", "endpoint": "http://127.0.0.1:9", "region": null,
        "access_key_id": "id", "access_key_secret": "hidden",
    });
    server.json(Method::POST, "buckets", &remote.to_string()).await.ok_json();
    let listed = server.json(Method::GET, "buckets", "").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("hidden"), "no secret is told");
    let names: Vec<Value> =
        listed.ok_json()["buckets"].as_array().unwrap().iter().map(|bucket| bucket["name"].clone()).collect();
    assert_eq!(names, ["lake", "remote"]);
    for bad in [
        json!({"name": "B"}),
        json!({"name": "b", "url": "ftp://x"}),
        json!({"name": "b", "size": 1}),
        json!({}),
    ] {
        let answer = server.json(Method::POST, "buckets", &bad.to_string()).await;
        assert_eq!(answer.json_error(), (400, "OTSParameterInvalid".into()), "{bad}");
    }
}

#[tokio::test]
async fn a_role_is_made_and_removed() {
    let server = TestServer::start().await;
    server.json(Method::POST, "roles", r#"{"name":"writer"}"#).await.ok_json();
    let names = async || {
        let roles = server.json(Method::GET, "roles", "").await.ok_json();
        roles["roles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|role| role["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(names().await.contains(&"writer".to_owned()));
    server.json(Method::DELETE, "roles/writer", "").await.ok_json();
    assert!(!names().await.contains(&"writer".to_owned()));
    assert_eq!(server.json(Method::DELETE, "roles/writer", "").await.json_error().0, 404);
}

#[tokio::test]
async fn a_task_of_our_own_gets_the_servers_tuning_where_it_names_none() {
    let server = TestServer::start_dev().await;
    server.make_table("orders", &[("pk", KeyKind::Integer)]).await;
    let path = "instances/test/tables/orders/tasks";
    let asked = task("to-lake", &json!({ "object_age_ms_max": 250 }));
    let made = server.json(Method::POST, path, &asked.to_string()).await.ok_json();
    assert_eq!((&made["table"], &made["name"]), (&json!("orders"), &json!("to-lake")));
    let tuning = &made["spec"]["tuning"];
    assert_eq!((&tuning["object_age_ms_max"], &tuning["lanes_min"]), (&json!(250), &json!(1)));
    let expected = json!({ "tasks": [{ "name": "to-lake", "mode": "BASE_INC" }] });
    assert_eq!(server.json(Method::GET, path, "").await.ok_json(), expected);
    let described = server.json(Method::GET, &format!("{path}/to-lake"), "").await.ok_json();
    assert_eq!(described["spec"], made["spec"]);
    assert_eq!(described["status"]["run"], 1);
    let table = server.json(Method::GET, "instances/test/tables/orders", "").await.ok_json();
    assert_eq!(table["tasks"], expected["tasks"]);
    assert_eq!(table["partitions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_of_our_own_is_held_to_the_documented_rules() {
    let server = TestServer::start_dev().await;
    server.make_table("orders", &[("pk", KeyKind::Integer)]).await;
    let path = "instances/test/tables/orders/tasks";
    let mut no_prefix = task("to-lake", &Value::Null);
    no_prefix["destination"]["prefix"] = json!("");
    let mut unknown_zone = task("to-lake", &Value::Null);
    unknown_zone["destination"]["zone"] = json!("Atlantis/Centre");
    for bad in [
        task("To_Lake", &Value::Null),
        task("to-lake", &json!({ "speed": 1 })),
        no_prefix,
        unknown_zone,
        json!({ "name": "to-lake" }),
        json!([]),
    ] {
        let answer = server.json(Method::POST, path, &bad.to_string()).await;
        assert_eq!(answer.json_error(), (400, "OTSParameterInvalid".into()), "{bad}");
    }
    assert_eq!(server.json(Method::GET, path, "").await.ok_json(), json!({ "tasks": [] }));
}

#[tokio::test]
async fn a_development_server_can_be_emptied_and_another_cannot() {
    let server = TestServer::start_dev().await;
    server.make_table("orders", &[("pk", KeyKind::Integer)]).await;
    server
        .call("PutRow", &put("orders", 1, &[("c", ValueRef::Integer(1))]))
        .await
        .ok::<proto::PutRowResponse>();
    let path = "instances/test/tables/orders/tasks";
    server.json(Method::POST, path, &task("to-lake", &Value::Null).to_string()).await.ok_json();
    server.json(Method::POST, "dev/reset", "").await.ok_json();
    assert_eq!(server.json(Method::GET, "instances", "").await.ok_json(), json!({ "instances": [] }));
    server.make_table("orders", &[("pk", KeyKind::Integer)]).await;
    assert!(server.scan("orders", &["pk"]).await.is_empty());

    let server = TestServer::start().await;
    server.make_table("orders", &[("pk", KeyKind::Integer)]).await;
    let answer = server.json(Method::POST, "dev/reset", "").await;
    assert_eq!(answer.json_error(), (403, "OTSNoPermissionAccess".into()));
    assert!(server.scan("orders", &["pk"]).await.is_empty(), "the table is still there");
}

#[tokio::test]
async fn health_and_metrics_are_open_on_the_loopback_address() {
    let server = TestServer::start().await;
    let health = server.get_open("/health").await;
    assert_eq!((health.status.as_u16(), &health.body[..]), (200, &b"ok\n"[..]));
    server.call("ListTable", &proto::ListTableRequest {}).await.ok::<proto::ListTableResponse>();
    server.call("Search", &proto::ListTableRequest {}).await;
    let metrics = server.get_open("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        metrics.contains(r#"lakeferry_requests_total{operation="ListTable",status="200"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"lakeferry_errors_total{code="OTSUnsupportOperation"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_path_that_there_is_not_is_told_in_json() {
    let server = TestServer::start().await;
    let answer = server.json(Method::GET, "nothing/here", "").await;
    assert_eq!(answer.json_error(), (404, "OTSObjectNotExist".into()));
}
