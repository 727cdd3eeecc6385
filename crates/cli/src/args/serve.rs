//! `lakeferry serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Each setting may also stand in the settings file, and in the environment as `LAKEFERRY_…`. A flag outweighs
/// the environment, and that outweighs the file.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "\
Examples:
  lakeferry serve                            data in ./data, at 127.0.0.1:8087
  lakeferry serve --dev --ephemeral          for tests: keys dev / dev, nothing kept
  lakeferry serve --listen 127.0.0.1:0       any free port; `ready: …` tells which
  lakeferry serve --settings lakeferry.toml  settings from a file

When it answers, it prints one line on stdout: `ready: http://ADDRESS:PORT`. It stops on Ctrl-C or SIGTERM \
and keeps all that it has answered; a second Ctrl-C ends it at once, which loses nothing either.

A settings file, with the defaults:
  data = \"data\"
  listen = \"127.0.0.1:8087\"
  [engine]
  cache_mib = 128
  [delivery]
  memory_mib = 176
  object_age_s = 120")]
pub struct ServeArgs {
    /// The directory that holds everything [default: data]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub data: Option<PathBuf>,
    /// The address to answer at; port 0 picks a free one [default: 127.0.0.1:8087]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// For development and CI: keys `dev` / `dev`; instances, buckets and roles are made when first named
    #[arg(long)]
    pub dev: bool,
    /// Keep nothing: the data lies in a temporary directory that is removed at the end
    #[arg(long)]
    pub ephemeral: bool,
    /// A TOML file with settings
    #[arg(long, env = "LAKEFERRY_SETTINGS", value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Seconds that a stop may take [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub stop_s_max: Option<u64>,
    /// Seconds until a request is given up [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub request_s_max: Option<u64>,
    /// MiB of the engine's blocks kept in memory [default: 128]
    #[arg(long, value_name = "MIB")]
    pub cache_mib: Option<u64>,
    /// MiB of disk that stay free; below it writes are refused [default: 1 GiB, or 5 % of a small disk]
    #[arg(long, value_name = "MIB")]
    pub reserve_mib: Option<u64>,
    /// MiB of rows that delivery gathers, over all tasks [default: 176]
    #[arg(long, value_name = "MIB")]
    pub delivery_memory_mib: Option<u64>,
    /// Columns up to which a new task's automatic schema grows [default: 1024]
    #[arg(long, value_name = "COLUMNS")]
    pub delivery_automatic_columns: Option<usize>,
    /// A new task's default: seconds after which an object is cut [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub object_age_s: Option<f64>,
    /// Set by a server that starts itself again: what was told at the first start is not told again
    #[arg(long, hide = true)]
    pub restarted: bool,
}
