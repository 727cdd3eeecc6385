//! The description of the JSON API: every answer that any test gets is checked against it.

use std::sync::OnceLock;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer};

/// The description that the server carries.
fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        serde_json::from_str(include_str!("../src/api/openapi.json")).expect("the description is JSON")
    })
}

/// Says that an answer is one of those that the description has for its request. A path that is not described may
/// only be answered with an error.
#[track_caller]
pub fn check_answer(method: &Method, path: &str, answer: &Answer) {
    let body: Value = serde_json::from_slice(&answer.body).expect("answers are JSON");
    let schema = match operation(method, path) {
        Some(operation) if answer.status.is_success() => {
            &operation["responses"]["200"]["content"]["application/json"]["schema"]
        }
        Some(operation) => &operation["responses"]["default"]["content"]["application/json"]["schema"],
        None => {
            assert!(!answer.status.is_success(), "{method} {path} is answered and not described");
            &json!({ "$ref": "#/components/schemas/Error" })
        }
    };
    check_schema(schema, &body, &format!("the answer to {method} {path}"));
}

/// Says that a request's body is what the description asks for.
#[track_caller]
fn check_request(method: &Method, path: &str, body: &Value) {
    let operation = operation(method, path).expect("the request is described");
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    check_schema(schema, body, &format!("the body of {method} {path}"));
}

#[track_caller]
fn check_schema(schema: &Value, told: &Value, what: &str) {
    if let Err(why) = fits(schema, told) {
        panic!("{what} is not as described: {why}, in {told}");
    }
}

/// Whether a value is as a JSON schema says, by those of its keywords that the description uses. Any other keyword is
/// refused, so that nothing is described that is not checked.
fn fits(schema: &Value, told: &Value) -> Result<(), String> {
    let keywords = schema.as_object().ok_or("a schema is an object")?;
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "description" => Ok(()),
            "$ref" => {
                let name = rule.as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
                let schemas = &description()["components"]["schemas"];
                fits(&schemas[name.ok_or("a reference leads to a schema of the description")?], told)
            }
            "type" => match rule {
                Value::Array(types) => check(types.iter().any(|name| is_of(name, told))),
                name => check(is_of(name, told)),
            },
            "enum" => check(rule.as_array().is_some_and(|values| values.contains(told))),
            "minimum" => check(told.is_null() || told.as_i64() >= rule.as_i64()),
            "maximum" => check(told.is_null() || told.as_i64() <= rule.as_i64()),
            "minItems" => {
                check(told.as_array().is_some_and(|told| told.len() as u64 >= rule.as_u64().unwrap()))
            }
            "maxItems" => {
                check(told.as_array().is_some_and(|told| told.len() as u64 <= rule.as_u64().unwrap()))
            }
            "items" => told.as_array().into_iter().flatten().try_for_each(|item| fits(rule, item)),
            "prefixItems" => {
                let pairs = rule.as_array().into_iter().flatten().zip(told.as_array().into_iter().flatten());
                pairs.into_iter().try_for_each(|(rule, item)| fits(rule, item))
            }
            "oneOf" => {
                let rules = rule.as_array().into_iter().flatten();
                check(rules.filter(|rule| fits(rule, told).is_ok()).count() == 1)
            }
            "required" => {
                let names = rule.as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
                check(names.into_iter().all(|name| told.get(name).is_some()))
            }
            "properties" => rule.as_object().into_iter().flatten().try_for_each(|(name, rule)| {
                told.get(name).map_or(Ok(()), |told| fits(rule, told)).map_err(|why| format!("{name}: {why}"))
            }),
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                let mut others = told.as_object().into_iter().flatten().filter(|(name, _)| !is_known(name));
                match rule {
                    Value::Bool(false) => check(others.next().is_none()),
                    rule => others.try_for_each(|(_, told)| fits(rule, told)),
                }
            }
            other => panic!("the description uses '{other}', which this test does not know"),
        };
        holds.map_err(
            |why| if why.is_empty() { format!("{keyword} {rule} is not so of {told}") } else { why },
        )?;
    }
    Ok(())
}

fn check(holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(String::new()) }
}

fn is_of(name: &Value, told: &Value) -> bool {
    match name.as_str() {
        Some("null") => told.is_null(),
        Some("object") => told.is_object(),
        Some("array") => told.is_array(),
        Some("string") => told.is_string(),
        Some("boolean") => told.is_boolean(),
        Some("integer") => told.is_i64() || told.is_u64(),
        other => panic!("the description uses type {other:?}, which this test does not know"),
    }
}

/// The operation that the description has for a request.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let is_asked = |described: &str| {
        let (described, asked) = (described.split('/'), path.split('/'));
        described.clone().count() == asked.clone().count()
            && described.zip(asked).all(|(described, asked)| described == asked || described.starts_with('{'))
    };
    let paths = description()["paths"].as_object().unwrap();
    let (_, operations) = paths.iter().find(|(described, _)| is_asked(described))?;
    operations.get(method.as_str().to_lowercase())
}

#[tokio::test]
async fn the_description_is_served_to_everybody_at_its_path() {
    let server = TestServer::start().await;
    let answer = server.get_open("/api/openapi.json").await;
    let served: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), &served), (200, description()));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(served["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_operation_that_is_described_is_there() {
    let server = TestServer::start_dev().await;
    for (path, operations) in description()["paths"].as_object().unwrap() {
        let path: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "missing" } else { part }).collect();
        let path = path.join("/");
        for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = server.json(method.clone(), path.trim_start_matches("/api/v1/"), "").await;
            let told = String::from_utf8_lossy(&answer.body);
            assert_ne!(answer.status.as_u16(), 405, "{method} {path}");
            assert!(!told.contains("nothing at this path"), "{method} {path}: {told}");
        }
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let server = TestServer::start().await;
    let answer = server.json(Method::GET, "instances/test/tables/missing", "").await;
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), &error["code"]), (404, &json!("OTSObjectNotExist")));
    assert!(error["hint"].as_str().unwrap().contains("names in the path"), "{error}");
}

#[test]
fn an_answer_that_is_not_as_described_is_found() {
    let good = json!({ "name": "a", "created_at": 1 });
    let schema = json!({ "$ref": "#/components/schemas/Instance" });
    check_schema(&schema, &good, "an instance");
    for bad in [
        json!({ "name": "a" }),
        json!({ "name": 1, "created_at": 1 }),
        json!({ "name": "a", "created_at": 1, "x": 2 }),
    ] {
        assert!(std::panic::catch_unwind(|| check_schema(&schema, &bad, "an instance")).is_err(), "{bad}");
    }
}

#[test]
fn requests_as_our_own_program_sends_them_are_as_described() {
    let tasks = "/api/v1/instances/i/tables/t/tasks";
    let task = json!({
        "name": "to-lake",
        "mode": "BASE_INC",
        "destination": {
            "bucket": "lake", "endpoint": "local", "role": "r", "prefix": "p", "event_time": null,
            "zone": "UTC", "suffix": ".parquet",
        },
        "schema": { "automatic": { "reserved": true } },
        "tuning": { "object_age_ms_max": 5, "compression": "snappy" },
    });
    check_request(&Method::POST, tasks, &task);
    let change = json!({ "bytes_per_s_max": null, "lateness_ms": 5 });
    check_request(&Method::PATCH, &format!("{tasks}/first/tuning"), &change);
    let update = json!({
        "destination": { "prefix": "q", "event_time": null, "dirty_prefix": null },
        "tuning": { "dirty_fields_max": null, "compression": "none" },
        "add_columns": [{ "source": "c", "target": "c", "kind": "UTF8" }],
    });
    check_request(&Method::PATCH, &format!("{tasks}/first"), &update);
}
