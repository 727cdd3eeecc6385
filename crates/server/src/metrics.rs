//! What the server counts, told in the text format that Prometheus reads.
//!
//! | Metric | Labels | |
//! |---|---|---|
//! | `lakeferry_requests_total` | `operation` | requests that passed the door |
//! | `lakeferry_errors_total` | `code` | requests refused, by the protocol's code |
//! | `lakeferry_task_phase` | `instance`, `table`, `task` | 0 INIT, 1 FULL, 2 INCR |
//! | `lakeferry_task_sync_point_seconds` | same | everything committed before is in the lake; 0 while absent |
//! | `lakeferry_task_lag_seconds` | same | now less the sync point, while there is one |
//! | `lakeferry_task_rows_waiting` | same | gathered or still to be read |
//! | `lakeferry_task_rows_delivered` | same | in committed objects of this run |
//! | `lakeferry_task_objects` | same | committed objects of this run |
//! | `lakeferry_task_dirty_fields` | same | fields left out for their type |

use lakeferry_model::delivery::TaskStatus;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::operation::Operation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of a running server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<OperationLabel, Counter>,
    errors: Family<CodeLabel, Counter>,
}

/// A task, as its metrics are labelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskLabel {
    /// The instance's name.
    pub instance: String,
    /// The table's name.
    pub table: String,
    /// The task's name.
    pub task: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    /// Counts a request that passed the door.
    pub fn count_request(&self, operation: Operation) {
        self.requests.get_or_create(&OperationLabel { operation: operation.name() }).inc();
    }

    /// Counts a refusal.
    pub fn count_error(&self, code: ErrorCode) {
        self.errors.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// All metrics as text, with the tasks as they are at `now_micros`.
    pub fn text(&self, now_micros: i64, tasks: &[(TaskLabel, TaskStatus)]) -> String {
        let mut registry = Registry::with_prefix("lakeferry");
        registry.register("requests", "Requests that passed the door", self.requests.clone());
        registry.register("errors", "Requests refused, by the protocol's code", self.errors.clone());
        task_gauge(&mut registry, tasks, "task_phase", "0 INIT, 1 FULL, 2 INCR", |status| {
            status.phase as i64
        });
        let sync_point = "Everything committed before is in the lake; 0 while absent";
        task_gauge(&mut registry, tasks, "task_sync_point_seconds", sync_point, |status| {
            status.sync_point / 1_000_000
        });
        let lag = "Seconds since the sync point; 0 while it is absent";
        task_gauge(&mut registry, tasks, "task_lag_seconds", lag, |status| {
            if status.sync_point == 0 { 0 } else { (now_micros - status.sync_point).max(0) / 1_000_000 }
        });
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let waiting = "Rows gathered or still to be read";
        task_gauge(&mut registry, tasks, "task_rows_waiting", waiting, |status| count(status.rows_waiting));
        let rows = "Rows in committed objects of this run";
        task_gauge(&mut registry, tasks, "task_rows_delivered", rows, |status| count(status.rows_delivered));
        let objects = "Committed objects of this run";
        task_gauge(&mut registry, tasks, "task_objects", objects, |status| count(status.objects));
        let dirty = "Fields left out for their type";
        task_gauge(&mut registry, tasks, "task_dirty_fields", dirty, |status| count(status.dirty_fields));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes every write");
        text
    }
}

fn task_gauge(
    registry: &mut Registry,
    tasks: &[(TaskLabel, TaskStatus)],
    name: &str,
    help: &str,
    value: impl Fn(&TaskStatus) -> i64,
) {
    let family = Family::<TaskLabel, Gauge>::default();
    for (label, status) in tasks {
        family.get_or_create(label).set(value(status));
    }
    registry.register(name, help, family);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_errors_are_counted_by_name() {
        let metrics = Metrics::default();
        metrics.count_request(Operation::PutRow);
        metrics.count_request(Operation::PutRow);
        metrics.count_error(ErrorCode::ConditionCheckFail);
        let text = metrics.text(0, &[]);
        assert!(text.contains("lakeferry_requests_total{operation=\"PutRow\"} 2"), "{text}");
        assert!(text.contains("lakeferry_errors_total{code=\"OTSConditionCheckFail\"} 1"), "{text}");
    }
}
