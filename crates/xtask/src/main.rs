//! `cargo xtask`: check, test, and what proves the promises about crashes. Each is one command.
//!
//! - `check`: formatting, lints, house rules. What the gate looks at before it builds anything long.
//! - `test`: house rules, the workspace's own tests, then the program itself under the official SDKs, under
//!   readers of the lake, under mutated requests, under SIGKILL, faults and power cuts. Ends with `N passed, N failed, N skipped`.
//! - `bench`: ratios against the bare parts, in a release build.
//! - `kill`, `powercut`: these two alone, longer, with a seed that brings a failure back.
//! - `faults`: a store, a disk and a clock that fail, with kills among them.
//! - `soak`: twenty minutes of writing and delivering on a release build, with restarts; draws how it went.
//! - `promises`: fifteen minutes of steady writing at the default settings; every write is in its object in time.
//! - `fuzz`: decoders, or a running server, under random and mutated bytes, as long as asked for.
//!
//! A test that needs a language prepares what it needs below `tests/` in the target directory. Nothing is
//! installed for the whole system; a language that is missing is skipped by name, which `CI=true` forbids.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod check;
mod crash;
mod fuzz;
mod go;
mod java;
mod node;
mod python;
mod rules;
mod run;
mod server;
mod suite;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks and tests Lakeferry")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, lints and house rules
    Check,
    /// Every test there is
    Test {
        /// Run only the suites whose name contains this
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Name the suites and end
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        seed: Seed,
    },
    /// Measure Lakeferry against its bare parts; `--help` behind it tells what there is
    #[command(disable_help_flag = true)]
    Bench {
        /// Names of benchmarks and their options, as `base --json`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill the server at random instants, then at every named place, and compare table and lake with what
    /// was answered
    Kill {
        /// How often to kill at a random instant
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        #[command(flatten)]
        seed: Seed,
    },
    /// The same, with all that is not yet synced thrown away at each kill; then with each sync turned off in
    /// turn, which must lose something
    Powercut {
        /// How often to cut the power at a random instant
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        #[command(flatten)]
        seed: Seed,
    },
    /// Have the object store, the disk and the clock fail, with kills among them, and compare table and lake with
    /// what was answered
    Faults {
        /// How many faults
        #[arg(long, default_value_t = 200)]
        rounds: u32,
        #[command(flatten)]
        seed: Seed,
    },
    /// Write and deliver for a while, with a restart each minute and a bucket that goes away; then compare table
    /// and lake, and draw lag, memory and open files
    Soak {
        /// For how long
        #[arg(long, default_value_t = 20)]
        minutes: u64,
        #[command(flatten)]
        seed: Seed,
    },
    /// Write at a steady rate with all settings left alone, and check that every write is in its object within 125 s
    /// and that the original's promises of freshness hold, by objects and by metrics
    Promises {
        /// For how long
        #[arg(long, default_value_t = 15)]
        minutes: u64,
    },
    /// Give decoders, or a running server, random and mutated bytes
    Fuzz {
        /// The decoder, or `server` [default: every decoder]
        target: Option<String>,
        /// How many mutants, of each decoder
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
        /// The number of the first, to bring a failure back
        #[arg(long, default_value_t = 0)]
        first: u64,
        #[command(flatten)]
        seed: Seed,
    },
}

#[derive(Args)]
struct Seed {
    /// Take what was random in an earlier run
    #[arg(long)]
    seed: Option<u64>,
}

impl Seed {
    fn or_random(&self) -> u64 {
        self.seed.unwrap_or_else(rand::random)
    }
}

fn main() -> ExitCode {
    let suites = match Arguments::parse().command {
        Command::Bench { arguments } => return bench::run(&arguments),
        Command::Check => check::suites(),
        Command::Test { only, list, seed } => {
            let mut suites = suite::every(seed.or_random());
            suites.retain(|suite| only.as_ref().is_none_or(|part| suite.name.contains(part)));
            if list {
                suites.iter().for_each(|suite| println!("{:<28} {}", suite.name, suite.about));
                return ExitCode::SUCCESS;
            }
            if suites.is_empty() {
                println!("no suite has `{}` in its name; `--list` names them", only.unwrap_or_default());
                return ExitCode::from(2);
            }
            suites
        }
        Command::Fuzz { target, cases, first, seed } => fuzz::fuzz(target, cases, seed.or_random(), first),
        Command::Kill { rounds, seed } => crash::kill(rounds, seed.or_random()),
        Command::Faults { rounds, seed } => crash::faults(rounds, seed.or_random()),
        Command::Soak { minutes, seed } => crash::soak(minutes, seed.or_random()),
        Command::Promises { minutes } => crash::promises(minutes),
        Command::Powercut { rounds, seed } => crash::powercut(rounds, seed.or_random()),
    };
    suite::run(suites)
}
