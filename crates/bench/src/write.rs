//! BatchWriteRow over HTTP, against bare fjall that writes the same entries.
//!
//! The bodies are encoded before; signing them, sending them and checking the signed answers is part of what is
//! measured, on the same cores.

use crate::bare::{self, Bare};
use crate::report::{Bound, Report};
use crate::rows::{Shape, table};
use crate::server::{CONNECTIONS, Server, write_all};
use crate::{Failure, Setting};
use lakeferry_model::StreamSpec;

/// Measures a shape of rows.
pub async fn run(setting: &Setting, shape: Shape, report: &mut Report) -> Result<(), Failure> {
    let count = setting.rows / 2 / shape.divisor;
    report
        .step(&format!("write: {count} rows of about {}, stream on, {CONNECTIONS} connections", shape.name));
    let server = Server::start(setting, &format!("write-{}", shape.name))?;
    let stream = StreamSpec { expiration_hours: 24, origin_columns: Vec::new() };
    server.client()?.create_table(table().stream(stream)).await?;
    // The first requests open connections and files; they are not what is measured.
    let warm = count / 20;
    write_all(&server, shape.bodies(0, warm)).await?;
    let bodies = shape.bodies(warm, count);
    let cpu = server.cpu_seconds()?;
    let took = write_all(&server, bodies).await?;
    let cpu = server.cpu_seconds()? - cpu;
    let data = server.stop(report)?;

    let pairs = Bare::open(&data)?.pairs()?;
    if pairs.len() as u64 != count {
        return Err(format!("{count} rows were written and {} are in the log", pairs.len()).into());
    }
    let bare_folder = setting.scratch.path().join("bare");
    let warm_pairs = usize::try_from(warm)?;
    let bare_took = bare::write(&bare_folder, &pairs[warm_pairs..])?;
    std::fs::remove_dir_all(&bare_folder)?;
    std::fs::remove_dir_all(&data)?;

    let measured = (count - warm) as f64;
    let served = measured / took.as_secs_f64();
    let bare = measured / bare_took.as_secs_f64();
    let case = |what: &str| format!("{what}_{}", shape.name);
    report.figure("write", &case("bare"), bare, "rows/s", Bound::None);
    report.figure("write", &case("served"), served, "rows/s", Bound::None);
    report.figure("write", &case("cpu"), cpu / measured * 1e6, "µs CPU/row of the server", Bound::None);
    report.figure("write", &case("ratio"), served / bare, "ratio", Bound::AtLeast(0.35));
    Ok(())
}
