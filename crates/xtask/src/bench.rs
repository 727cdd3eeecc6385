//! `cargo xtask bench`: builds the program and the benchmarks for release, and runs them.

use std::process::{Command, ExitCode};

use crate::run::{cargo, target};

/// Runs the benchmarks with these arguments; they are told by `cargo xtask bench --help`.
pub fn run(arguments: &[String]) -> ExitCode {
    match try_run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(arguments: &[String]) -> Result<(), String> {
    // Nothing but figures goes to the standard output: with `--json` each of its lines is one.
    eprintln!("building for release, which takes some minutes the first time");
    cargo(["build", "--release", "--quiet", "--package", "lakeferry", "--package", "lakeferry-bench"])
        .quiet()?;
    let built = target().join("release");
    let status = Command::new(built.join("lakeferry-bench"))
        .args(arguments)
        .env("LAKEFERRY_PROGRAM", built.join("lakeferry"))
        .status()
        .map_err(|error| format!("run the benchmarks: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the benchmarks ended with {status}")) }
}
