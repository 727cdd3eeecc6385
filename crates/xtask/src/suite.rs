//! Suites: what they are called, how they are run one after the other, and the summary at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::run::cargo;
use crate::{crash, fuzz, go, java, node, python, rules};

/// Tests that pass, fail or are skipped together.
pub struct Suite {
    /// What `--only` finds it by.
    pub name: String,
    /// What it shows, in a line.
    pub about: &'static str,
    run: Box<dyn FnOnce() -> Outcome>,
}

/// How a suite ended.
pub enum Outcome {
    /// Everything in it holds.
    Passed,
    /// Something does not; its output is printed already.
    Failed(String),
    /// It needs something that this machine has not.
    Skipped(String),
}

impl Suite {
    /// A suite that is run by `run`.
    pub fn new(
        name: impl Into<String>,
        about: &'static str,
        run: impl FnOnce() -> Outcome + 'static,
    ) -> Self {
        Self { name: name.into(), about, run: Box::new(run) }
    }

    /// The same suite, skipped.
    pub fn skip(self, why: &'static str) -> Self {
        Self { run: Box::new(|| Outcome::Skipped(why.to_owned())), ..self }
    }
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(why) => Self::Failed(why),
        }
    }
}

/// All suites of `cargo xtask test`, the quick ones first.
pub fn every(seed: u64) -> Vec<Suite> {
    let mut suites = rules::suites();
    suites.push(Suite::new("workspace", "the crates' own tests", || {
        cargo(["test", "--quiet", "--no-fail-fast", "--workspace", "--features", "lakeferry/faults"])
            .show()
            .into()
    }));
    suites.extend(python::suites());
    suites.extend(node::suites());
    suites.extend(go::suites());
    suites.extend(java::suites());
    suites.extend(fuzz::suites_of_test(seed));
    suites.extend(crash::suites_of_test(seed));
    suites
}

/// Runs the suites one after the other and sums up. The last line is `N passed, N failed, N skipped`.
pub fn run(suites: Vec<Suite>) -> ExitCode {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut rows = Vec::new();
    for suite in suites {
        println!("\n==> {}: {}", suite.name, suite.about);
        let begin = Instant::now();
        let outcome = match (suite.run)() {
            Outcome::Skipped(why) if strict => {
                Outcome::Failed(format!("{why}; under CI=true nothing may be skipped"))
            }
            outcome => outcome,
        };
        rows.push((suite.name, outcome, begin.elapsed()));
    }
    sum_up(&rows)
}

fn sum_up(rows: &[(String, Outcome, Duration)]) -> ExitCode {
    println!("\nSummary");
    for (name, outcome, time) in rows {
        let (word, why) = match outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed(why) => ("FAILED", format!(": {why}")),
            Outcome::Skipped(why) => ("skipped", format!(": {why}")),
        };
        println!("  {word:<8}{:>6.1} s  {name}{why}", time.as_secs_f64());
    }
    let count = |is: fn(&Outcome) -> bool| rows.iter().filter(|(_, outcome, _)| is(outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    println!("{passed} passed, {failed} failed, {} skipped", rows.len() - passed - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
