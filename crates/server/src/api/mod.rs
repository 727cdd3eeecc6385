//! The JSON API under `/api/v1`: what the protocol has no words for.
//!
//! Requests carry the protocol's own headers and signature, over their real method and path; answers are
//! signed like the protocol's. Bodies are JSON in both directions, an error is `{"code", "message"}` under the
//! HTTP status of its code. Only operators may use what is outside their instance; [`door`] checks the rest.
//!
//! | Method and path | |
//! |---|---|
//! | GET, POST `/instances` | the instances; makes one: `{"name"}` |
//! | GET, POST `/buckets` | the bucket table; adds to it: `{"name", "url"?, "endpoint"?, "region"?, "access_key_id"?, "access_key_secret"?}` |
//! | GET, POST `/roles`, DELETE `/roles/{name}` | the roles; makes one: `{"name"}` |
//! | GET, POST `/keys`, DELETE `/keys/{id}` | the access keys, without secrets; makes one: `{"kind", "instances"}` |
//! | GET `/instances/{instance}/tables` | its tables |
//! | GET `/instances/{instance}/tables/{table}` | schema, options, partitions, tasks |
//! | GET, POST `/instances/{instance}/tables/{table}/tasks` | its delivery tasks; makes one from a task's specification |
//! | GET, PATCH, DELETE `…/tasks/{task}` | a task's specification and status; a merge patch changes the former, and `add_columns` join it |
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
use axum::routing::{any, delete, get, post};

use crate::shared::Shared;

pub use tasks::all as all_tasks;

/// The routes, behind their door. They carry their whole paths, since signatures are over these.
pub fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    const API: &str = "/api/v1";
    let api = |path: &str| format!("{API}{path}");
    let table = api("/instances/{instance}/tables/{table}");
    Router::new()
        .route(&api("/instances"), get(instances::list).post(instances::create))
        .route(&api("/buckets"), get(buckets::list).post(buckets::create))
        .route(&api("/roles"), get(roles::list).post(roles::create))
        .route(&api("/roles/{name}"), delete(roles::remove))
        .route(&api("/keys"), get(keys::list).post(keys::create))
        .route(&api("/keys/{id}"), delete(keys::remove))
        .route(&api("/instances/{instance}/tables"), get(tables::list))
        .route(&table, get(tables::describe))
        .route(&format!("{table}/tasks"), get(tasks::list).post(tasks::create))
        .route(
            &format!("{table}/tasks/{{task}}"),
            get(tasks::describe).patch(tasks::update).delete(tasks::remove),
        )
        .route(&format!("{table}/tasks/{{task}}/deliver-now"), post(tasks::deliver_now))
        .route(&format!("{table}/tasks/{{task}}/deliver-again"), post(tasks::deliver_again))
        .route(&api("/dev/reset"), post(dev::reset))
        .route(&api("/{*path}"), any(door::no_such_path))
        .layer(middleware::from_fn_with_state(shared.clone(), door::pass))
}
