//! One file per command: what was typed goes in, an answer on stdout or a failure comes out.

mod api;
mod bucket;
mod instance;
mod key;
mod role;
mod serve;
mod table;
mod task;

use std::time::Duration;

use crate::args::Command;
use crate::failure::Failure;

pub use api::{Task, path, read as read_answer};
pub use task::create::body as task_body;
pub use task::progress;

/// Carries out one command.
pub fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::broken("start the program's threads").caused_by(error))?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => crate::demo::run(&args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Instance(command) => instance::run(command).await,
            Command::Bucket(command) => bucket::run(command).await,
            Command::Role(command) => role::run(command).await,
            Command::Key(command) => key::run(command).await,
            Command::Table(command) => table::run(command).await,
            Command::Task(command) => task::run(command).await,
        }
    });
    // Work that outlives its command, such as a connection kept open, is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}
