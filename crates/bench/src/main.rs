//! Benchmarks: ratios against what the parts can do bare, measured in one run, since machines differ and are
//! shared. Each figure is printed with the bound that is asked of it; the exit status is 1 if one is missed.
//!
//! - `base`: a full delivery to a local directory, against a bare scan of the same entries and a bare Parquet
//!   writer on ready batches, in rows per second of CPU.
//!   Also how much faster it is on two cores than on one.
//! - `write`: BatchWriteRow over HTTP, against bare fjall that writes the same entries, in rows per second.
//! - `inc`: the time from an answered write to its object, at a steady rate; the rate that delivery sustains; what it
//!   takes from the writers.
//! - `folders`: what rows for many folders cost, against one, and the memory that they take.
//! - `tasks`: the memory of many full deliveries at once.
//! - `range`: GetRange in pages of 5,000 rows, against a bare scan, a bare encoding and the MD5 of the same rows,
//!   in rows per second of CPU; and what four versions and a time to live cost it.
//! - `get`, `put`: the server's CPU for a row read or written alone; writes to 64 partitions against one.
//! - `init`: how long a new task stays in INIT, whatever its bucket is like.
//! - `trouble`: how soon a bucket that is gone is told of, and how soon it is well again.
//! - `start`: the time from `exec` to the first answer on a large table, after a stop and after a kill.
//! - `memory`: the most memory that any of the servers took; measured in passing.
//!
//! The server is the program of this workspace, in a process of its own, with its data in a temporary directory.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bare;
mod base;
mod cores;
mod folders;
mod get;
mod inc;
mod init;
mod page;
mod put;
mod range;
mod report;
mod rows;
mod server;
mod start;
mod tasks;
mod trouble;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use report::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures Lakeferry against its bare parts, in one run")]
struct Arguments {
    /// What to measure [default: all of it]
    names: Vec<Name>,
    /// One JSON line for each figure
    #[arg(long)]
    json: bool,
    /// Rows of the large tables
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// The program to measure
    #[arg(long, value_name = "FILE", env = "LAKEFERRY_PROGRAM")]
    program: PathBuf,
    /// Where the data may lie meanwhile [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Base,
    Write,
    Inc,
    Folders,
    Tasks,
    Range,
    Get,
    Put,
    Init,
    Trouble,
    Start,
}

/// What every benchmark is run with.
pub struct Setting {
    /// The program to measure.
    pub program: PathBuf,
    /// Rows of the large tables.
    pub rows: u64,
    /// A directory that goes with the run.
    pub scratch: tempfile::TempDir,
}

fn main() -> ExitCode {
    // As the program under test does: the bare parts must not be slowed by their allocator.
    lakeferry_allocator::set_up();
    let arguments = Arguments::parse();
    let mut report = Report::new(arguments.json);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs only threads and a poll");
    match runtime.block_on(run(&arguments, &mut report)) {
        Ok(()) if report.all_held() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark broke off: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let folder = arguments.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = tempfile::Builder::new().prefix("lakeferry-bench-").tempdir_in(folder)?;
    let setting = Setting { program: arguments.program.clone(), rows: arguments.rows, scratch };
    let wanted = |name| arguments.names.is_empty() || arguments.names.contains(&name);
    for shape in rows::SHAPES {
        if wanted(Name::Base) {
            base::run(&setting, shape, report).await?;
        }
        if wanted(Name::Write) {
            write::run(&setting, shape, report).await?;
        }
    }
    if wanted(Name::Base) {
        cores::run(&setting, report).await?;
    }
    if wanted(Name::Inc) {
        inc::run(&setting, report).await?;
    }
    if wanted(Name::Folders) {
        folders::run(&setting, report).await?;
    }
    if wanted(Name::Tasks) {
        tasks::run(&setting, report).await?;
    }
    if wanted(Name::Range) {
        range::run(&setting, rows::SHAPES[0], report).await?;
    }
    if wanted(Name::Get) {
        get::run(&setting, report).await?;
    }
    if wanted(Name::Put) {
        put::run(&setting, report).await?;
    }
    if wanted(Name::Init) {
        init::run(&setting, report).await?;
    }
    if wanted(Name::Trouble) {
        trouble::run(&setting, report).await?;
    }
    if wanted(Name::Start) {
        start::run(&setting, report).await?;
    }
    report.memory();
    Ok(())
}
