//! Random and mutated bytes: calls of the fuzzer in `tests/fuzz`.

use crate::run::{build, prepared, program};
use crate::suite::Suite;

/// Mutants of each decoder in `cargo xtask test`, and requests to a server.
const SHORT_CASES: u64 = 20_000;

/// `cargo xtask fuzz`: one target, or all decoders.
pub fn fuzz(target: Option<String>, cases: u64, seed: u64, first: u64) -> Vec<Suite> {
    let name = format!("fuzz: {}", target.as_deref().unwrap_or("decoders"));
    vec![suite(name, "random and mutated bytes", target, cases, seed, first)]
}

/// What `cargo xtask test` takes of it.
pub fn suites_of_test(seed: u64) -> Vec<Suite> {
    let decoders = "every decoder of foreign bytes takes random and mutated ones";
    let server = "a server under random and mutated requests answers as the protocol says, and does not grow";
    vec![
        suite("fuzz: decoders".to_owned(), decoders, None, SHORT_CASES, seed, 0),
        suite("fuzz: server".to_owned(), server, Some("server".to_owned()), SHORT_CASES, seed, 0),
    ]
}

fn suite(
    name: String,
    about: &'static str,
    target: Option<String>,
    cases: u64,
    seed: u64,
    first: u64,
) -> Suite {
    Suite::new(name, about, move || run(target, cases, seed, first).into())
}

fn run(target: Option<String>, cases: u64, seed: u64, first: u64) -> Result<(), String> {
    let lakeferry = build("lakeferry")?;
    program(build("fuzz")?)
        .arguments(target)
        .arguments([format!("--cases={cases}"), format!("--seed={seed}"), format!("--first={first}")])
        .variable("LAKEFERRY_PROGRAM", lakeferry)
        .variable("LAKEFERRY_LOG", prepared("logs")?.join("fuzz-server.log"))
        .show()
}
