//! The memory of many full deliveries at once: as many objects are open as there are encoders, however many tasks
//! there are, and what waits for its upload counts against the one budget.

use lakeferry_model::delivery::{Mode, Tuning};

use crate::base::{create, task};
use crate::inc::delivered;
use crate::report::{Bound, Report};
use crate::rows::SHAPES;
use crate::server::{Server, load};
use crate::{Failure, Setting};

/// Tasks at one time.
const TASKS: usize = 20;

/// Measures it.
pub async fn run(setting: &Setting, report: &mut Report) -> Result<(), Failure> {
    let shape = SHAPES[1];
    let rows = setting.rows / 4;
    report.step(&format!("tasks: {TASKS} full deliveries of {rows} rows at once"));
    let server = Server::start(setting, "tasks")?;
    load(&server, shape, rows).await?;
    let client = server.client()?;
    for number in 0..TASKS {
        let name = format!("task-{number}");
        create(&client, &task(&name, Mode::Base, &name, Tuning::default())?).await?;
    }
    for number in 0..TASKS {
        let status = delivered(&server, &format!("task-{number}"), rows).await?;
        if status.rows_delivered != rows {
            return Err(format!("{} of {rows} rows were delivered", status.rows_delivered).into());
        }
    }
    report.figure("tasks", "peak_mib", server.peak_mib()?, "MiB", Bound::AtMost(512.0));
    let data = server.stop(report)?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}
