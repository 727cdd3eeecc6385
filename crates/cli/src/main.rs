//! The `lakeferry` program.
//!
//! 1. [`args`] takes what was typed and does nothing else.
//! 2. [`command`] turns it into work: one file per command. `serve` runs the server, `demo` runs server and
//!    client together, and every other command is a client that finds its server as [`connection`] says.
//! 3. Answers go to stdout, all else to stderr; [`failure`] tells "no" (1) from "broken" (2) at the exit.

mod args;
mod command;
mod connection;
mod console;
mod demo;
mod failure;
mod log;
mod rows;
mod stop;
mod text;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    lakeferry_allocator::set_up();
    let args = args::Args::parse();
    match log::start(args.log.as_deref(), args.command.is_server()).and_then(|()| command::run(args.command))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
