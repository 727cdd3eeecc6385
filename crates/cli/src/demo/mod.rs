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

use std::time::Duration;

use lakeferry_model::SystemClock;

use crate::args::DemoArgs;
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::stop::Stop;

/// Runs the demo. `Ok` means that the lake equals the table.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let stop = Stop::listen("ending; Ctrl-C again ends at once, without the check", None)?;
    let directory = place::make(&args.data)?;
    let clock = SystemClock::shared();
    let server = setup::start_server(&directory, clock.clone()).await?;
    console::answer("Lakeferry demo: what this computer says about itself, ferried from a table into a data lake")?;
    console::answer(format_args!("  data    {}", directory.display()))?;
    console::answer(format_args!("  server  {}", server.endpoint()))?;

    let table = table::Table::make(server.connection()).await?;
    let mut live = Live::start();
    let mut run = run::Run::new(&server, table, clock, &mut live);
    run.write_first_rows().await?;
    run.make_task().await?;
    run.until(args.seconds.map(Duration::from_secs), stop).await?;
    run.deliver_all().await?;
    let (state, objects) = (run.read_table().await?, run.read_lake()?);
    live.clear();
    server.stop().await?;

    let verdict = report::verdict(&state, objects);
    let objects = setup::objects_directory(&directory);
    let look = |say: fn(String) -> Result<(), Failure>| {
        say(format!("\nThe objects are in {}", objects.display()))?;
        say(format!("Look at them with DuckDB (`pip install duckdb-cli` brings it):\n\n  {}\n", report::duckdb_command(&objects)))?;
        say(format!("The table is served again by: lakeferry serve --data {}", shell_path(&directory)))
    };
    console::answer(format_args!("\n{}", verdict?))?;
    look(|line| console::answer(line))
}

fn shell_path(path: &std::path::Path) -> String {
    crate::text::shell(&path.display().to_string())
}
