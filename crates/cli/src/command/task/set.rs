//! `lakeferry task set`: settings that take effect at once.

use std::time::Duration;

use lakeferry_model::delivery::TuningChange;

use super::super::api;
use super::{Named, describe};
use crate::args::{SetTask, TuningArgs};
use crate::console;
use crate::failure::Failure;
use crate::text::Limit;

/// Changes the settings that are typed.
pub async fn run(args: SetTask) -> Result<(), Failure> {
    let change = change(&args.tuning);
    if change == TuningChange::default() {
        return Err(Failure::usage("no setting is named")
            .hint("name one, such as --object-age 30s; `lakeferry task set --help` shows all"));
    }
    let named = Named::open(&args.task)?;
    let body = serde_json::to_value(&change).expect("a change can always be written");
    let answer = named.server.patch(&format!("{}/tuning", named.path()), &body).await?;
    let task: api::Task = api::read(answer)?;
    console::answer(format_args!(
        "task {} of table {}\n{}",
        named.task,
        named.table,
        describe::tuned(&task.spec)
    ))
}

/// The change that is typed.
pub(super) fn change(args: &TuningArgs) -> TuningChange {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let limit = |limit: Option<Limit>| limit.map(|Limit(limit)| limit);
    TuningChange {
        object_age_ms_max: args.object_age.map(ms),
        inactivity_ms_max: limit(args.inactivity),
        object_bytes_max: args.object_size,
        lanes_min: args.lanes_min,
        lanes_max: args.lanes_max,
        bytes_per_s_max: limit(args.bytes_per_second),
        rows_per_s_max: limit(args.rows_per_second),
        lateness_ms: args.lateness.map(ms),
        has_success_objects: args.success_objects,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command, TaskCommand};

    #[test]
    fn only_what_is_typed_is_changed() {
        let line = "lakeferry task set t to-lake --object-age 30s --bytes-per-second off --rows-per-second 5";
        let Command::Task(TaskCommand::Set(args)) = Args::parse_from(line.split_whitespace()).command else {
            unreachable!("`task set` was typed")
        };
        let expected = TuningChange {
            object_age_ms_max: Some(30_000),
            bytes_per_s_max: Some(None),
            rows_per_s_max: Some(Some(5)),
            ..TuningChange::default()
        };
        assert_eq!(change(&args.tuning), expected);
    }
}
