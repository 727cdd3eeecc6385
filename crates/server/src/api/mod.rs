//! The JSON API under `/api/v1`: what the protocol has no words for.
//!
//! Requests carry the protocol's own headers and signature, over their real method and path; answers are
//! signed like the protocol's. Bodies are JSON in both directions, an error is `{"code", "message", "hint"}` under
//! the HTTP status of its code. `GET /api/openapi.json` describes all of it, for everybody. Only operators may use what is outside their instance; [`door`] checks the rest.
//!
//! | Method and path | |
//! |---|---|
//! | GET, POST `/instances` | the instances; makes one: `{"name"}` |
//! | GET, POST `/buckets` | the bucket table; adds to it: `{"name", "url"?, "endpoint"?, "region"?, "access_key_id"?, "access_key_secret"?, "credentials_from"?, "assume_role"?, "external_id"?, "sts_endpoint"?, "ca_file"?}` |
//! | POST `/buckets/{name}/check` | tries a bucket out: `{"role"?}`; answers `{"error", "probe", "detail"}` |
//! | GET, POST `/roles`, DELETE `/roles/{name}` | the roles; makes one: `{"name", "arn"?, "external_id"?, "sts_endpoint"?}` |
//! | GET, POST `/keys`, DELETE `/keys/{id}` | the access keys, without secrets; makes one: `{"kind", "instances"}` |
//! | GET `/instances/{instance}/tables` | its tables |
//! | GET `/instances/{instance}/tasks` | the tasks of all its tables, in full |
//! | GET `/instances/{instance}/tables/{table}` | schema, options, partitions, tasks |
//! | GET, POST `/instances/{instance}/tables/{table}/tasks` | its delivery tasks; makes one from a task's specification |
//! | GET, PATCH, DELETE `…/tasks/{task}` | a task's specification and status; a merge patch changes the former, and `add_columns` join it |
//! | PATCH `…/tasks/{task}/tuning` | changes settings that take effect at once |
//! | GET `…/tasks/{task}/history` | what the task has been through |
//! | POST `…/tasks/{task}/pause`, `…/resume` | pauses it, also over restarts; lets it go on |
//! | POST `…/tasks/{task}/retry-now` | skips the back-off of a task in trouble |
//! | POST `…/tasks/{task}/deliver-now` | cuts everything gathered at once |
//! | POST `…/tasks/{task}/deliver-again` | begins a new run |
//! | POST `/dev/reset` | with `--dev`: deletes all tables, tasks and instances |

mod buckets;
mod dev;
mod door;
mod instances;
mod keys;
mod patch;
mod roles;
mod tables;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, delete, get, patch, post};
use http::header::CONTENT_TYPE;

use crate::shared::Shared;

pub use tasks::all as all_tasks;

/// The routes, behind their door. They carry their whole paths, since signatures are over these. The description of
/// the API is open to everybody: it says nothing of this server.
pub fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let signed = routes()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
        .route(door::ANYTHING, any(door::no_such_path))
        .method_not_allowed_fallback(door::no_such_method)
        .layer(middleware::from_fn_with_state(shared.clone(), door::pass));
    signed.route("/api/openapi.json", get(openapi))
}

/// Every route: its methods, its path, and what answers it.
fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Arc<Shared>>)> {
    macro_rules! in_table {
        ($rest:literal) => {
            concat!("/api/v1/instances/{instance}/tables/{table}", $rest)
        };
    }
    vec![
        ("get post", "/api/v1/instances", get(instances::list).post(instances::create)),
        ("get post", "/api/v1/buckets", get(buckets::list).post(buckets::create)),
        ("post", "/api/v1/buckets/{name}/check", post(buckets::check)),
        ("get post", "/api/v1/roles", get(roles::list).post(roles::create)),
        ("delete", "/api/v1/roles/{name}", delete(roles::remove)),
        ("get post", "/api/v1/keys", get(keys::list).post(keys::create)),
        ("delete", "/api/v1/keys/{id}", delete(keys::remove)),
        ("get", "/api/v1/instances/{instance}/tables", get(tables::list)),
        ("get", "/api/v1/instances/{instance}/tasks", get(tasks::list_all)),
        ("get", in_table!(""), get(tables::describe)),
        ("get post", in_table!("/tasks"), get(tasks::list).post(tasks::create)),
        (
            "delete get patch",
            in_table!("/tasks/{task}"),
            get(tasks::describe).patch(tasks::update).delete(tasks::remove),
        ),
        ("patch", in_table!("/tasks/{task}/tuning"), patch(tasks::tune)),
        ("get", in_table!("/tasks/{task}/history"), get(tasks::history)),
        ("post", in_table!("/tasks/{task}/pause"), post(tasks::pause)),
        ("post", in_table!("/tasks/{task}/resume"), post(tasks::resume)),
        ("post", in_table!("/tasks/{task}/retry-now"), post(tasks::retry_now)),
        ("post", in_table!("/tasks/{task}/deliver-now"), post(tasks::deliver_now)),
        ("post", in_table!("/tasks/{task}/deliver-again"), post(tasks::deliver_again)),
        ("post", "/api/v1/dev/reset", post(dev::reset)),
    ]
}

/// The API's description, in OpenAPI 3.1.
async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

/// Kept by hand. Tests compare it with every route and with every answer that they get.
const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let description: Value = serde_json::from_str(OPENAPI).unwrap();
        let methods = |path: &Value| {
            let names = path.as_object().unwrap().keys().filter(|name| *name != "parameters");
            let mut names: Vec<&str> = names.map(String::as_str).collect();
            names.sort_unstable();
            names.join(" ")
        };
        let paths = description["paths"].as_object().unwrap();
        let described: BTreeMap<&str, String> =
            paths.iter().map(|(path, operations)| (path.as_str(), methods(operations))).collect();
        let served: BTreeMap<&str, String> =
            routes().into_iter().map(|(methods, path, _)| (path, methods.to_owned())).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_path_parameter_is_described() {
        let description: Value = serde_json::from_str(OPENAPI).unwrap();
        for (path, operations) in description["paths"].as_object().unwrap() {
            let named = path.split(['{', '}']).skip(1).step_by(2);
            let described = operations["parameters"].as_array().into_iter().flatten();
            let described = described.map(|parameter| parameter["name"].as_str().unwrap());
            assert!(named.eq(described), "{path}");
        }
    }
}
