//! What the server counts, told in the text format that Prometheus reads.
//!
//! `docs/metrics.md` lists every metric with its labels; a test compares it with what a server tells. Labels take few
//! values: operations, HTTP statuses and codes of the protocol, and the names of tasks, of which there are as many as
//! somebody made. What tasks and the engine know of themselves is read when it is asked for, and never counted twice.

mod task;
mod timed;

use std::time::Duration;

use lakeferry_durable::Timed;
use lakeferry_engine::Gauges;
use lakeferry_wire::code::ErrorCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use task::{TaskLabel, TaskReading};
use timed::TimedMetric;

/// Upper bounds of the times that requests take, in seconds.
const REQUEST_BOUNDS_S: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0];

/// The counters of a running server.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabel, Counter>,
    times: Family<RequestLabel, Histogram, fn() -> Histogram>,
    errors: Family<CodeLabel, Counter>,
}

/// What is read of the server's parts when somebody asks for the metrics.
#[derive(Debug)]
pub struct Readings {
    /// Every task.
    pub tasks: Vec<TaskReading>,
    /// How long cuts take.
    pub cut_times: Timed,
    /// Bytes that gathered rows of all tasks hold.
    pub delivery_memory_bytes: u64,
    /// The engine's room.
    pub engine: Gauges,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    operation: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(REQUEST_BOUNDS_S);
        Self {
            requests: Family::default(),
            times: Family::new_with_constructor(histogram),
            errors: Family::default(),
        }
    }
}

impl Metrics {
    /// Counts a request that was answered. The operation is one of few names, never what a caller wrote.
    pub fn count_request(&self, operation: &str, status: u16, took: Duration) {
        let label = RequestLabel { operation: operation.to_owned(), status };
        self.times.get_or_create(&label).observe(took.as_secs_f64());
        self.requests.get_or_create(&label).inc();
    }

    /// Counts a refusal.
    pub fn count_error(&self, code: ErrorCode) {
        self.errors.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// All metrics as text, as they are now.
    pub fn text(&self, readings: Readings) -> String {
        let mut registry = Registry::with_prefix("lakeferry");
        registry.register("requests", "Requests that were answered", self.requests.clone());
        registry.register("request_seconds", "How long requests take", self.times.clone());
        registry.register("errors", "Requests and rows refused, by code", self.errors.clone());
        task::register(&mut registry, readings.tasks);
        let cuts = TimedMetric::alone(readings.cut_times);
        registry.register("cut_seconds", "How long cuts take, from prepared to committed", cuts);
        let memory = "Bytes that gathered rows of all tasks hold";
        gauge(&mut registry, "delivery_memory_bytes", memory, Some(readings.delivery_memory_bytes));
        register_engine(&mut registry, readings.engine);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes every write");
        text
    }
}

fn register_engine(registry: &mut Registry, engine: Gauges) {
    let commits = TimedMetric::alone(engine.commit_times);
    registry.register("engine_commit_seconds", "How long commits take, each with one fsync", commits);
    gauge(registry, "engine_journal_bytes", "Bytes of the journal on disk", Some(engine.journal_bytes));
    gauge(registry, "engine_free_bytes", "Bytes that are free on the engine's disk", engine.free_bytes);
    let reserve = "Bytes of free space below which row writes are refused";
    gauge(registry, "engine_reserve_bytes", reserve, engine.reserve_bytes);
}

/// Registers a gauge, if there is anything to tell.
fn gauge(registry: &mut Registry, name: &str, help: &str, value: Option<u64>) {
    let Some(value) = value else { return };
    let gauge: Gauge = Gauge::default();
    gauge.set(count(value));
    registry.register(name, help, gauge);
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_errors_are_counted_by_name() {
        let metrics = Metrics::default();
        let nothing = Timed { steps: vec![(f64::INFINITY, 0)], sum_s: 0.0 };
        metrics.count_request("PutRow", 200, Duration::from_millis(3));
        metrics.count_request("PutRow", 200, Duration::from_secs(60));
        metrics.count_error(ErrorCode::ConditionCheckFail);
        let text = metrics.text(Readings {
            tasks: Vec::new(),
            cut_times: nothing.clone(),
            delivery_memory_bytes: 7,
            engine: Gauges { commit_times: nothing, journal_bytes: 1, free_bytes: None, reserve_bytes: None },
        });
        for line in [
            r#"lakeferry_requests_total{operation="PutRow",status="200"} 2"#,
            r#"lakeferry_request_seconds_bucket{le="0.005",operation="PutRow",status="200"} 1"#,
            r#"lakeferry_request_seconds_count{operation="PutRow",status="200"} 2"#,
            r#"lakeferry_errors_total{code="OTSConditionCheckFail"} 1"#,
            "lakeferry_delivery_memory_bytes 7",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
        assert!(!text.contains("engine_free_bytes"), "what is not known is not told");
    }
}
