//! What many folders cost: rows whose event times take turns over them.
//!
//! A paused task follows a table that is loaded meanwhile; then it goes on, and what it does until everything is
//! delivered is measured. With one folder and with a hundred the same rows end in as many objects of about 10,000
//! rows. Ten thousand folders at once may take no more memory than ten.

use lakeferry_client::Method;
use lakeferry_model::delivery::{EventTimeColumn, EventTimeFormat, Mode, Tuning};

use crate::base::{create, task};
use crate::inc::{delivered, task_path};
use crate::report::{Bound, Report};
use crate::rows::{SHAPES, batches, table};
use crate::server::{Server, write_all};
use crate::{Failure, Setting};

const TASK: &str = "folders";
const OBJECT_ROWS: u64 = 10_000;
/// The size at which the objects of one folder get about 10,000 rows, at 146 bytes for each change record: what a lane
/// reads at a time comes on top.
const SIZE_OF_ONE: u64 = 1_265_000;
/// A size above that of a folder's 10,000 rows: each folder is one object.
const SIZE_OF_HUNDRED: u64 = 2 * SIZE_OF_ONE;
/// Folders are cut by size and memory while there is a backlog, and soon after it.
const OBJECT_AGE_MS: u64 = 3_000;
/// The first minute of the folders, in seconds since the epoch.
const FIRST_SECOND: i64 = 1_700_000_040;

/// What a run came to.
struct Outcome {
    cpu_seconds: f64,
    objects: u64,
    peak_mib: f64,
}

/// Measures one, a hundred and ten thousand folders.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    let rows = setting.rows;
    let one = deliver(setting, report, 1, SIZE_OF_ONE).await?;
    let hundred = deliver(setting, report, 100, SIZE_OF_HUNDRED).await?;
    let wanted = rows / OBJECT_ROWS;
    for (folders, outcome) in [(1, &one), (100, &hundred)] {
        if outcome.objects.abs_diff(wanted) > wanted / 10 {
            let objects = outcome.objects;
            return Err(
                format!("{folders} folders came in {objects} objects and not in about {wanted}").into()
            );
        }
    }
    let per_row = |outcome: &Outcome| outcome.cpu_seconds / rows as f64 * 1e6;
    report.figure("folders", "cost_of_one", per_row(&one), "µs CPU/row", Bound::None);
    report.figure("folders", "cost_of_100", per_row(&hundred), "µs CPU/row", Bound::None);
    let ratio = hundred.cpu_seconds / one.cpu_seconds;
    report.figure("folders", "cost_ratio", ratio, "ratio", Bound::AtMost(1.3));
    let many = deliver(setting, report, 10_000, Tuning::default().object_bytes_max).await?;
    report.figure("folders", "objects_of_10000", many.objects as f64, "objects", Bound::None);
    report.figure("folders", "peak_mib", many.peak_mib, "MiB", Bound::AtMost(512.0));
    Ok(())
}

async fn deliver(
    setting: &Setting,
    report: &mut Report,
    folders: u64,
    size: u64,
) -> Result<Outcome, Failure> {
    let rows = setting.rows;
    report.step(&format!("folders: {rows} rows that take turns over {folders}"));
    let server = Server::start(setting, &format!("folders-{folders}"))?;
    let client = server.client()?;
    client.create_table(table()).await?;
    let tuning = Tuning { object_age_ms_max: OBJECT_AGE_MS, object_bytes_max: size, ..Tuning::default() };
    let mut spec = task(TASK, Mode::Inc, "folders/$yyyy/$MM/$dd/$HH/$mm", tuning)?;
    let column = "at".to_owned();
    spec.destination.event_time = Some(EventTimeColumn { column, format: EventTimeFormat::Unix });
    create(&client, &spec).await?;
    delivered(&server, TASK, 0).await?;
    client.json(Method::POST, &format!("{}/pause", task_path(TASK)), None).await?;
    let row = |id: u64| {
        let minute = i64::try_from(id % folders).unwrap_or(0);
        SHAPES[0].row(id).set("at", FIRST_SECOND + 60 * minute)
    };
    for from in (0..rows).step_by(100_000) {
        write_all(&server, batches(from, (from + 100_000).min(rows), row)).await?;
    }
    server.settle().await?;
    let cpu = server.cpu_seconds()?;
    client.json(Method::POST, &format!("{}/resume", task_path(TASK)), None).await?;
    let status = delivered(&server, TASK, rows).await?;
    let cpu_seconds = server.cpu_seconds()? - cpu;
    let peak_mib = server.peak_mib()?;
    if status.rows_delivered != rows || status.dirty_fields > 0 {
        return Err(format!("{} of {rows} rows were delivered", status.rows_delivered).into());
    }
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok(Outcome { cpu_seconds, objects: status.objects, peak_mib })
}
