//! The program's log, on stderr, so that it never mixes with answers.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts logging by `filter`, in the syntax of `RUST_LOG`. Without one a server tells what it does, and
/// every other command only what goes wrong.
pub fn start(filter: Option<&str>, is_server: bool) -> Result<(), Failure> {
    let default = if is_server { "info,fjall=warn,lsm_tree=warn" } else { "error" };
    let filter = EnvFilter::try_new(filter.unwrap_or(default)).map_err(|error| {
        Failure::usage(format!("the log filter is not valid: {error}"))
            .hint("write a level such as `debug`, or `lakeferry_delivery=debug,info`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(true)
        .init();
    Ok(())
}
