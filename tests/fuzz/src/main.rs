//! The fuzzer's command line. `cargo xtask fuzz` calls it; people may.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use lakeferry_fuzz::run::{self, Plan};
use lakeferry_fuzz::{server, target};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[derive(Parser)]
#[command(name = "fuzz", about = "Decoders, or a server, under random and mutated bytes")]
struct Arguments {
    /// The decoder, or `server` [default: every decoder]
    target: Option<String>,
    /// How many mutants, of each decoder
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// What they are drawn from
    #[arg(long)]
    seed: u64,
    /// The number of the first, to bring a failure back
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// The program to serve with
    #[arg(long, env = "LAKEFERRY_PROGRAM")]
    program: Option<PathBuf>,
    /// Where the server's log goes
    #[arg(long, env = "LAKEFERRY_LOG", default_value = "fuzz-server.log")]
    log: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match try_main(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn try_main(arguments: &Arguments) -> Result<(), String> {
    let plan = Plan { cases: arguments.cases, seed: arguments.seed, first: arguments.first };
    println!("seed {}", plan.seed);
    if arguments.target.as_deref() == Some("server") {
        let program = arguments.program.as_deref().ok_or("no program: give --program")?;
        let told = server::run(program, &arguments.log, plan)?;
        println!("{told}");
        return Ok(());
    }
    let mut targets = target::all();
    targets.retain(|target| arguments.target.as_deref().is_none_or(|name| name == target.name));
    if targets.is_empty() {
        let names: Vec<_> = target::all().iter().map(|target| target.name).collect();
        return Err(format!("there is no such target; there are `server` and {}", names.join(", ")));
    }
    // A panic is told by the run, with its input; told by the hook too, it would come twice, and often.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    for target in &targets {
        run::run(target, plan, Some(&MEMORY))?;
    }
    let cases = plan.cases * targets.len() as u64;
    println!("{} decoders took {cases} mutants in {:.1} s", targets.len(), started.elapsed().as_secs_f64());
    Ok(())
}
