//! `lakeferry task watch`: a task's progress, live.
//!
//! Every half second the task is described. What has landed since then goes to stdout, a line per change of
//! the count of objects; how it stands goes to stderr, in place on a terminal. It ends on Ctrl-C, or once
//! everything that was committed before the watch began is in the lake.

use std::time::Duration;

use lakeferry_model::delivery::TaskStatus;
use lakeferry_model::{Micros, SystemClock};

use super::super::api::Task;
use super::{Named, progress};
use crate::args::WatchTask;
use crate::console::Live;
use crate::failure::Failure;
use crate::text;

const INTERVAL: Duration = Duration::from_millis(500);

/// Follows a task.
pub async fn run(args: WatchTask) -> Result<(), Failure> {
    let named = Named::open(&args.task)?;
    let clock = SystemClock::shared();
    let began_at = clock.now_micros();
    let mut live = Live::start();
    let mut before: Option<TaskStatus> = None;
    loop {
        let read = tokio::select! {
            task = named.read() => task,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Task { spec, status, .. } = match read {
            Ok(task) => task,
            // A server that was there once may start again; a task that is gone is gone.
            Err(failure) if before.is_some() && !failure.is_no() => {
                live.set(format!("{failure}").replace('\n', ";"));
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let now = clock.now_micros();
        for line in news(before.as_ref(), &status, now) {
            live.answer(line)?;
        }
        if args.until_delivered && progress::is_delivered(spec.mode, &status, began_at) {
            live.clear();
            return live.answer(delivered(&status));
        }
        live.set(progress::line(&status, now));
        before = Some(status);
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn delivered(status: &TaskStatus) -> String {
    format!(
        "delivered: {} in {}, {}",
        text::counted(status.rows_delivered, ("row", "rows")),
        text::counted(status.objects, ("object", "objects")),
        text::size(status.bytes_delivered)
    )
}

/// What has changed since the task was last described; at first, how it stands.
fn news(before: Option<&TaskStatus>, status: &TaskStatus, now: Micros) -> Vec<String> {
    let time = text::instant(now);
    let mut lines = Vec::new();
    let known = match before {
        Some(before) if before.run == status.run => Some(before),
        Some(_) => {
            lines.push(format!("{time}  run {} begins", status.run));
            None
        }
        None => None,
    };
    if known.map(|known| known.phase) != Some(status.phase) {
        lines.push(format!("{time}  phase {}", progress::phase(status.phase)));
    }
    if let Some(landed) = landed(known, status) {
        lines.push(format!("{time}  {landed}"));
    }
    if let Some(problem) = progress::cause(status)
        && known.and_then(progress::cause).as_ref() != Some(&problem)
    {
        lines.push(format!("{time}  {problem}"));
    }
    lines
}

/// The objects that have landed: `metrics/…__3.parquet, 1,200 rows, 34 KiB`, and how many besides the last.
fn landed(known: Option<&TaskStatus>, status: &TaskStatus) -> Option<String> {
    let since = |of: fn(&TaskStatus) -> u64| of(status).saturating_sub(known.map_or(0, of));
    let objects = since(|status| status.objects);
    if objects == 0 {
        return None;
    }
    let name = status.last_object.as_deref().unwrap_or("an object");
    let others = match objects {
        1 => String::new(),
        more => format!(" and {} before it", text::counted(more - 1, ("object", "objects"))),
    };
    let rows = text::counted(since(|status| status.rows_delivered), ("row", "rows"));
    Some(format!("{name}{others}, {rows}, {}", text::size(since(|status| status.bytes_delivered))))
}

#[cfg(test)]
mod tests {
    use lakeferry_model::delivery::Phase;

    use super::*;
    use crate::command::task::progress::tests::{CUT_OFF, cut_off, status};

    fn told(before: Option<&TaskStatus>, status: &TaskStatus) -> Vec<String> {
        let skip = text::instant(0).len() + 2;
        news(before, status, 0).into_iter().map(|line| line[skip..].to_owned()).collect()
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let first = TaskStatus { phase: Phase::Full, ..status() };
        assert_eq!(told(None, &first), ["phase FULL"]);
        assert!(told(Some(&first), &first).is_empty());
        let second = TaskStatus {
            phase: Phase::Incr,
            objects: 1,
            rows_delivered: 1_200,
            bytes_delivered: 2048,
            last_object: Some("p/t__1".into()),
            ..first.clone()
        };
        assert_eq!(told(Some(&first), &second), ["phase INCR", "p/t__1, 1,200 rows, 2 KiB"]);
        let third = TaskStatus {
            objects: 4,
            rows_delivered: 1_201,
            bytes_delivered: 2050,
            last_object: Some("p/t__4".into()),
            ..second.clone()
        };
        assert_eq!(told(Some(&second), &third), ["p/t__4 and 2 objects before it, 1 row, 2 B"]);
    }

    #[test]
    fn a_new_run_counts_from_nothing() {
        let first = TaskStatus { objects: 9, rows_delivered: 9, ..status() };
        let second = TaskStatus { run: 2, objects: 1, rows_delivered: 3, ..status() };
        assert_eq!(told(Some(&first), &second), ["run 2 begins", "phase INIT", "an object, 3 rows, 0 B"]);
    }

    #[test]
    fn a_problem_is_told_once_however_often_it_is_tried_again() {
        assert_eq!(told(Some(&status()), &cut_off(4)), [CUT_OFF]);
        assert!(told(Some(&cut_off(4)), &cut_off(9)).is_empty());
    }
}
