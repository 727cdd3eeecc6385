//! `lakeferry demo`.

use std::path::PathBuf;

use clap::Args;

/// Samples this computer's processors, memory, disks, networks and load each second into a table, delivers
/// the table into a lake while it does, and at the end checks that the lake says what the table says.
///
/// Exits with 0 only if both are equal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry demo                    until Ctrl-C
  lakeferry demo --seconds 30       for half a minute

The server of the demo runs inside it, on a free port of the loopback address. Each run has a directory \
of its own; `lakeferry serve --data` with it serves its table again.")]
pub struct DemoArgs {
    /// End after this many seconds, instead of at Ctrl-C
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: Option<u64>,
    /// Where each run makes a directory of its own
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    pub data: PathBuf,
}
