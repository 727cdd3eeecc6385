//! The trials' command line. `cargo xtask` calls it; people may.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lakeferry_durable::{Place, Sync};
use lakeferry_system::failure::Failure;
use lakeferry_system::server::Faults;
use lakeferry_system::trial::Setup;
use lakeferry_system::{gate, kill, place, promises, rounds, soak};

#[derive(Parser)]
#[command(name = "system", about = "Trials of the program from outside")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill the server at random instants
    Kill {
        #[command(flatten)]
        place: Where,
        /// How often
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        /// What the instants are drawn from
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Kill the server at each named place
    Places {
        #[command(flatten)]
        place: Where,
        /// Only these
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Turn each named sync off and cut the power behind it, which must lose something
    Syncs {
        #[command(flatten)]
        place: Where,
        /// Only these
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Have store, disk and clock fail, and kill the server meanwhile
    Faults {
        #[command(flatten)]
        place: Where,
        /// How often
        #[arg(long, default_value_t = 200)]
        rounds: u32,
        /// What the faults are drawn from
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Write and deliver for a while, with restarts and a bucket that goes away, and show how it went
    Soak {
        #[command(flatten)]
        place: Where,
        /// For how long
        #[arg(long, default_value_t = 20)]
        minutes: u64,
        /// What the writers' choices are drawn from
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Write at a steady rate with all settings left alone, and check that every write is delivered in time
    Promises {
        #[command(flatten)]
        place: Where,
        /// For how long
        #[arg(long, default_value_t = 15)]
        minutes: u64,
    },
    /// Serve an S3 endpoint that can be held
    S3 {
        /// The folder whose folders are the buckets
        #[arg(long)]
        root: PathBuf,
        /// A bucket to make; may be given more than once
        #[arg(long = "bucket", value_name = "NAME")]
        buckets: Vec<String>,
        /// Where to answer
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
struct Where {
    /// The `lakeferry` program, built with the feature `faults`
    #[arg(long, env = "LAKEFERRY_PROGRAM")]
    program: PathBuf,
    /// Where trials keep what they make; what fails stays there
    #[arg(long, env = "LAKEFERRY_TEST_FOLDER")]
    folder: PathBuf,
    /// The source of the power cut library
    #[arg(long, env = "LAKEFERRY_POWERCUT_SOURCE")]
    powercut_source: PathBuf,
    /// The source of the full disk library
    #[arg(long, env = "LAKEFERRY_FULLDISK_SOURCE")]
    fulldisk_source: PathBuf,
    /// Throw away what is not synced at each kill
    #[arg(long)]
    powercut: bool,
}

impl Where {
    /// A small trial in a folder of its own, for kills at places.
    fn small(&self, name: &str) -> Setup {
        Setup {
            program: self.program.clone(),
            folder: self.folder.join(name),
            powercut: self.powercut.then(|| self.powercut_source.clone()),
            full_disk: None,
            faults: Faults::default(),
            store: None,
            beside: Vec::new(),
            keys_per_writer: 200,
            object_age_ms: 200,
            pause: Duration::ZERO,
            seed: 0,
        }
    }

    /// A long trial, for kills at random instants.
    fn long(&self, seed: u64) -> Setup {
        let name = if self.powercut { "powercut" } else { "kill" };
        Setup { keys_per_writer: 1000, object_age_ms: 1000, seed, ..self.small(name) }
    }

    /// A long trial, for faults of what is around the server.
    fn failing(&self, seed: u64) -> Setup {
        let pause = Duration::from_millis(10);
        let full_disk = Some(self.fulldisk_source.clone());
        Setup { full_disk, keys_per_writer: 1000, object_age_ms: 500, pause, seed, ..self.small("faults") }
    }

    /// A trial that takes minutes: its writers rest, so that everything they did can be compared in memory.
    fn soaking(&self, seed: u64) -> Setup {
        let pause = Duration::from_millis(50);
        Setup { keys_per_writer: 2000, object_age_ms: 2000, pause, seed, ..self.small("soak") }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Kill { place, rounds, seed } => {
            kill::run(&place.long(seed.unwrap_or_else(rand::random)), rounds).await
        }
        Command::Places { place, only } => places(&place, &only).await,
        Command::Syncs { place, only } => syncs(&Where { powercut: true, ..place }, &only).await,
        Command::Faults { place, rounds, seed } => {
            rounds::run(&place.failing(seed.unwrap_or_else(rand::random)), rounds).await
        }
        Command::Soak { place, minutes, seed } => {
            soak::run(&place.soaking(seed.unwrap_or_else(rand::random)), minutes).await
        }
        Command::Promises { place, minutes } => {
            promises::run(&place.program, &place.folder.join("promises"), minutes).await
        }
        Command::S3 { root, buckets, listen } => gate::serve(&root, &buckets, listen).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn places(surroundings: &Where, only: &[String]) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for at in Place::ALL.into_iter().filter(|place| is_wanted(place.name(), only)) {
        match place::run(&surroundings.small(at.name()), at).await {
            Ok(()) => println!("    {:<18} nothing lost", at.name()),
            Err(failure) => {
                println!("    {:<18} {failure}", at.name());
                failures.push(at.name());
            }
        }
    }
    summed_up(&failures)
}

async fn syncs(surroundings: &Where, only: &[String]) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for sync in Sync::ALL.into_iter().filter(|sync| is_wanted(sync.name(), only)) {
        match place::run_without(&surroundings.small(&format!("without-{}", sync.name())), sync).await {
            Ok(lost) => {
                let lost = lost.lines().next().unwrap_or_default();
                println!("    {:<16} off: lost, as it should be: {lost}", sync.name());
            }
            Err(failure) => {
                println!("    {:<16} {failure}", sync.name());
                failures.push(sync.name());
            }
        }
    }
    summed_up(&failures)
}

fn is_wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}

fn summed_up(failures: &[&str]) -> Result<(), Failure> {
    if failures.is_empty() { Ok(()) } else { Err(Failure::Lost(format!("at {}", failures.join(", ")))) }
}
