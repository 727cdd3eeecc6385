//! How a task is doing, in a line.

use std::time::Duration;

use lakeferry_model::Micros;
use lakeferry_model::delivery::{Mode, Phase, TaskError, TaskStatus};

use crate::text;

/// The phase's name in the protocol.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Init => "INIT",
        Phase::Full => "FULL",
        Phase::Incr => "INCR",
    }
}

/// The phase, and whether the task is paused in it.
pub fn standing(status: &TaskStatus) -> String {
    let paused = if status.is_paused { ", paused" } else { "" };
    format!("{}{paused}", phase(status.phase))
}

/// The mode's name in the protocol.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Base => "BASE",
        Mode::Inc => "INC",
        Mode::BaseInc => "BASE_INC",
    }
}

/// The error's code in the protocol, if there is an error.
pub fn error_code(error: TaskError) -> Option<&'static str> {
    match error {
        TaskError::Ok => None,
        TaskError::Unauthorized => Some("UNAUTHORIZED"),
        TaskError::InvalidOssBucket => Some("INVALID_OSS_BUCKET"),
        TaskError::TooManyDirtyFields => Some("TOO_MANY_DIRTY_FIELDS"),
    }
}

/// What waits, and when it lands: `3,412 rows waiting, next object in 1m12s`.
pub fn waiting(status: &TaskStatus) -> String {
    let mut text = match status.rows_waiting {
        0 => "nothing waiting".to_owned(),
        rows => format!("{} waiting", text::counted(rows, ("row", "rows"))),
    };
    if let Some(ms) = status.next_cut_in_ms {
        text.push_str(&format!(", next object in {}", text::duration(Duration::from_millis(ms))));
    }
    text
}

/// How far the lake is behind: `complete up to 2.1s ago`.
pub fn behind(status: &TaskStatus, now: Micros) -> String {
    if status.sync_point == 0 {
        return "not complete up to any time yet".to_owned();
    }
    let behind = Duration::from_micros(u64::try_from(now - status.sync_point).unwrap_or(0));
    format!("complete up to {} ago", text::duration(behind))
}

/// The whole line: phase, what waits, how far the lake is behind, and what is wrong.
pub fn line(status: &TaskStatus, now: Micros) -> String {
    let mut line = format!("{}, {}, {}", standing(status), waiting(status), behind(status, now));
    if let Some(problem) = problem(status, now) {
        line.push_str("; ");
        line.push_str(&problem);
    }
    line
}

/// What is wrong with the task, if anything is: the code, what to do, and when it tries again.
pub fn problem(status: &TaskStatus, now: Micros) -> Option<String> {
    let mut text = cause(status)?;
    if let Some(left) = next_try(status, now) {
        text.push_str(&format!(" (next try in {left})"));
    }
    Some(text)
}

/// The same without the time of the next try, which is another with every look.
pub fn cause(status: &TaskStatus) -> Option<String> {
    match (error_code(status.error), status.next_try_at) {
        (None, None) => None,
        (None, Some(_)) => Some(without_next_try(&status.detail).to_owned()),
        (Some(code), _) => Some(format!("{code}: {}", without_next_try(&status.detail))),
    }
}

/// How long it is until a failed task tries again.
pub fn next_try(status: &TaskStatus, now: Micros) -> Option<String> {
    let left = |at: Micros| Duration::from_micros(u64::try_from(at - now).unwrap_or(0));
    status.next_try_at.map(|at| text::duration(left(at)))
}

/// The server's sentence ends with the next try in whole seconds: `…; next try in 4 s`.
fn without_next_try(detail: &str) -> &str {
    match detail.rsplit_once("; next try in ") {
        Some((cause, time)) if time.ends_with(" s") => cause,
        _ => detail,
    }
}

/// Whether everything that was committed before `time` is in the lake.
pub fn is_delivered(mode: Mode, status: &TaskStatus, time: Micros) -> bool {
    match mode {
        // The sync point of a BASE task stands still; it has finished when it rests in INCR.
        Mode::Base => status.phase == Phase::Incr,
        Mode::Inc | Mode::BaseInc => status.phase == Phase::Incr && status.sync_point >= time,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A task that has just begun.
    pub fn status() -> TaskStatus {
        TaskStatus {
            phase: Phase::Init,
            sync_point: 0,
            error: TaskError::Ok,
            detail: String::new(),
            run: 1,
            lanes: 1,
            rows_waiting: 0,
            rows_delivered: 0,
            bytes_delivered: 0,
            objects: 0,
            dirty_fields: 0,
            undelivered_columns: Vec::new(),
            undelivered_kinds: Default::default(),
            configuration: 1,
            next_configuration: None,
            dirty_reasons: Default::default(),
            dirty_columns: Default::default(),
            last_object_at: None,
            last_object: None,
            next_cut_in_ms: None,
            next_try_at: None,
            warnings: Vec::new(),
            is_paused: false,
            lag_s: None,
            last_error: None,
        }
    }

    #[test]
    fn a_line_says_what_waits_and_when_it_lands() {
        let status = TaskStatus {
            phase: Phase::Incr,
            rows_waiting: 3_412,
            next_cut_in_ms: Some(72_000),
            sync_point: 8_000_000,
            ..status()
        };
        assert_eq!(
            line(&status, 10_100_000),
            "INCR, 3,412 rows waiting, next object in 1m12s, complete up to 2.1s ago"
        );
    }

    /// A task as a server tells of it whose bucket is in no bucket table.
    pub fn astray(next_try_in_s: i64) -> TaskStatus {
        TaskStatus {
            error: TaskError::InvalidOssBucket,
            detail: format!("{ASTRAY}; next try in {next_try_in_s} s"),
            next_try_at: Some(next_try_in_s * 1_000_000),
            last_error: Some(ASTRAY.to_owned()),
            ..status()
        }
    }

    /// One whose store cannot be reached, for which the protocol has no code.
    pub fn cut_off(next_try_in_s: i64) -> TaskStatus {
        TaskStatus {
            error: TaskError::Ok,
            detail: format!("{CUT_OFF}; next try in {next_try_in_s} s"),
            last_error: Some(CUT_OFF.to_owned()),
            ..astray(next_try_in_s)
        }
    }

    const ASTRAY: &str = "the bucket table has no bucket 'nowhere'; make it with: lakeferry bucket create nowhere \
                          (a directory), or: lakeferry bucket add nowhere --url URL";
    pub const CUT_OFF: &str = "bucket 'far': cannot list `_lakeferry/probe`: the store cannot be reached: Generic S3 \
                               error: Error performing list request";

    #[test]
    fn a_problem_is_told_with_its_code_and_once_with_the_next_try() {
        let line = line(&astray(4), 0);
        let expected = format!("; INVALID_OSS_BUCKET: {ASTRAY} (next try in 4s)");
        assert!(line.ends_with(&expected), "{line}");
    }

    #[test]
    fn a_problem_that_has_no_code_is_told_as_well() {
        assert_eq!(problem(&cut_off(4), 1_000_000), Some(format!("{CUT_OFF} (next try in 3s)")));
        assert_eq!(problem(&status(), 0), None);
    }

    #[test]
    fn delivered_means_the_sync_point_has_passed_unless_the_task_is_a_finished_base() {
        let at = |phase, sync_point| TaskStatus { phase, sync_point, ..status() };
        assert!(!is_delivered(Mode::BaseInc, &at(Phase::Incr, 9), 10));
        assert!(is_delivered(Mode::BaseInc, &at(Phase::Incr, 10), 10));
        assert!(!is_delivered(Mode::BaseInc, &at(Phase::Full, 10), 10));
        assert!(is_delivered(Mode::Base, &at(Phase::Incr, 0), 10));
        assert!(!is_delivered(Mode::Base, &at(Phase::Full, 0), 10));
    }
}
