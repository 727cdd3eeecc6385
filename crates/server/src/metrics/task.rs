//! The metrics of delivery tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lakeferry_delivery::Freshness;
use lakeferry_model::delivery::{DirtyReason, TaskStatus};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::count;
use super::timed::TimedMetric;

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

/// How a task is doing, as its metrics tell it.
#[derive(Debug)]
pub struct TaskReading {
    /// Which task it is.
    pub label: TaskLabel,
    /// Its status.
    pub status: TaskStatus,
    /// Failed attempts by code.
    pub failures: BTreeMap<&'static str, u64>,
    /// How fresh it keeps the lake.
    pub freshness: Freshness,
}

/// A task, and one more label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct KindLabel<K> {
    task: TaskLabel,
    kind: K,
}

impl<K: EncodeLabelSet> EncodeLabelSet for KindLabel<K> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.task.encode(encoder)?;
        self.kind.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Promise {
    promise: &'static str,
}

/// Registers the metrics of all tasks.
pub fn register(registry: &mut Registry, tasks: Vec<TaskReading>) {
    register_status(registry, &tasks);
    register_kinds(registry, &tasks);
    let slowest = "Latency of the slowest row of the last 10 seconds";
    seconds(registry, &tasks, "task_latency_slowest_seconds", slowest, |task| task.freshness.slowest);
    let p99 = "Mean latency of the slowest 1 % of the rows of the last 10 seconds";
    seconds(registry, &tasks, "task_latency_p99_seconds", p99, |task| task.freshness.slowest_mean);
    let latencies = tasks.into_iter().map(|task| (task.label, task.freshness.latencies));
    let latencies = TimedMetric::Family(latencies.collect());
    registry.register("task_latency_seconds", "From a row's commit until it is in the lake", latencies);
}

fn register_status(registry: &mut Registry, tasks: &[TaskReading]) {
    type Value = fn(&TaskStatus) -> Option<i64>;
    let gauges: [(&str, &str, Value); 9] = [
        ("task_phase", "0 INIT, 1 FULL, 2 INCR", |status| Some(status.phase as i64)),
        ("task_paused", "Whether it is paused", |status| Some(status.is_paused.into())),
        ("task_lanes", "Lanes of the incremental phase", |status| Some(status.lanes.into())),
        ("task_sync_point_seconds", "Everything committed before is in the lake; 0 while absent", |status| {
            Some(status.sync_point / 1_000_000)
        }),
        ("task_lag_seconds", "Seconds that the lake is behind; absent without a sync point", |status| {
            status.lag_s.map(count)
        }),
        ("task_rows_waiting", "Rows gathered or still to be read", |status| Some(count(status.rows_waiting))),
        ("task_rows_delivered", "Rows in committed objects of this run", |status| {
            Some(count(status.rows_delivered))
        }),
        ("task_bytes_delivered", "Bytes in committed objects of this run", |status| {
            Some(count(status.bytes_delivered))
        }),
        ("task_objects", "Committed objects of this run", |status| Some(count(status.objects))),
    ];
    for (name, help, value) in gauges {
        let family = Family::<TaskLabel, Gauge>::default();
        for task in tasks {
            if let Some(value) = value(&task.status) {
                family.get_or_create(&task.label).set(value);
            }
        }
        registry.register(name, help, family);
    }
}

fn register_kinds(registry: &mut Registry, tasks: &[TaskReading]) {
    let dirty = Family::<KindLabel<Reason>, Gauge>::default();
    let failures = Family::<KindLabel<Code>, Counter>::default();
    let promises = Family::<KindLabel<Promise>, Gauge>::default();
    for TaskReading { label, status, failures: failed, freshness } in tasks {
        // All of them: what was told once falls back to 0 with the next run, and does not vanish.
        for reason in DirtyReason::ALL {
            let fields = status.dirty_reasons.get(&reason).copied().unwrap_or(0);
            let kind = Reason { reason: reason.name() };
            dirty.get_or_create(&KindLabel { task: label.clone(), kind }).set(count(fields));
        }
        for (code, times) in failed {
            let kind = Code { code };
            failures.get_or_create(&KindLabel { task: label.clone(), kind }).inc_by(*times);
        }
        let kept = [
            ("latency_3_minutes", freshness.is_within_3_minutes),
            ("p99_10_minutes", freshness.is_p99_within_10_minutes),
        ];
        for (promise, is_kept) in kept {
            let kind = Promise { promise };
            promises.get_or_create(&KindLabel { task: label.clone(), kind }).set(is_kept.into());
        }
    }
    registry.register("task_dirty_fields", "Fields that were left out, by reason, of this run", dirty);
    registry.register("task_failures", "Failed attempts since the start, by code", failures);
    registry.register("task_promise_kept", "Whether a promise of freshness is kept", promises);
}

/// Registers a gauge of seconds for those tasks that have any.
fn seconds(
    registry: &mut Registry,
    tasks: &[TaskReading],
    name: &str,
    help: &str,
    value: impl Fn(&TaskReading) -> Option<Duration>,
) {
    let family = Family::<TaskLabel, Gauge<f64, AtomicU64>>::default();
    for task in tasks {
        if let Some(value) = value(task) {
            family.get_or_create(&task.label).set(value.as_secs_f64());
        }
    }
    registry.register(name, help, family);
}
