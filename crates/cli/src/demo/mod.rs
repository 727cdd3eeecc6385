//! `lakeferry demo`: the whole main job on real input, and a check of the result.
//!
//! 1. A server starts in this process, with its data in a directory of this run alone ([`place`]).
//! 2. A table is made and gets its first rows: what this computer says about itself ([`metrics`],
//!    [`recorder`]). A BASE_INC task begins to deliver it, so these rows arrive in the full phase.
//! 3. Each second more rows are written, over HTTP like by any client, while the objects that land are printed
//!    ([`lake`]), until Ctrl-C or the end of `--seconds`.
//! 4. What still waits is delivered. Then the state rebuilt from the objects alone is held against the table
//!    ([`check`]), and the exit status says whether they are equal ([`report`]).

mod check;
mod diskstats;
mod lake;
mod metrics;
mod place;
mod recorder;
mod report;
mod run;
mod setup;
mod table;

use std::path::Path;
use std::time::Duration;

use lakeferry_model::SystemClock;

use crate::args::DemoArgs;
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::stop::Stop;
use crate::text::shell;

/// Runs the demo. `Ok` means that the lake equals the table.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let stop = Stop::listen(None)?;
    let directory = place::make(&args.data)?;
    let result = ferry(&directory, args.seconds.map(Duration::from_secs), stop).await;
    let verdict =
        result.map_err(|failure| failure.hint(format!("the data is in {}", directory.display())))?;
    console::answer(format_args!("\n{verdict}\n"))?;
    tell_where(&directory)
}

/// The demo itself, up to the sentence that says that the lake equals the table.
async fn ferry(directory: &Path, time: Option<Duration>, stop: Stop) -> Result<String, Failure> {
    let clock = SystemClock::shared();
    let server = setup::start_server(directory, clock.clone()).await?;
    console::answer("Lakeferry demo: what this computer says about itself, from a table into a data lake")?;
    console::answer(format_args!("  data    {}", directory.display()))?;
    console::answer(format_args!("  server  {}", server.endpoint()))?;

    let table = table::Table::make(server.connection()).await?;
    let mut live = Live::start();
    let mut run = run::Run::new(&server, table, clock, &mut live);
    run.write_first_rows().await?;
    run.make_task().await?;
    run.until(time, stop).await?;
    run.deliver_all().await?;
    let (table, objects) = (run.read_table().await?, run.read_lake()?);
    live.clear();
    server.stop().await?;
    report::verdict(&table, objects)
}

fn tell_where(directory: &Path) -> Result<(), Failure> {
    let objects = setup::objects_directory(directory);
    console::answer(format_args!("The objects are in {}", objects.display()))?;
    console::answer("Look at them with DuckDB, which `pip install duckdb-cli` brings:\n")?;
    console::answer(format_args!("  {}\n", report::duckdb_command(&objects)))?;
    let data = shell(&directory.display().to_string());
    console::answer(format_args!("The table is served again by: lakeferry serve --data {data}"))
}
