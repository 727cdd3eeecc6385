//! Kills and power cuts: calls of the harness in `tests/system`.

use crate::run::{build, find, prepared, program, root};
use crate::suite::Suite;

/// `cargo xtask kill`.
pub fn kill(rounds: u32, seed: u64) -> Vec<Suite> {
    vec![
        harness(
            "kill: random",
            "SIGKILL at random instants",
            vec!["kill".to_owned(), format!("--rounds={rounds}"), format!("--seed={seed}")],
        ),
        harness("kill: places", "SIGKILL at every named place", vec!["places".to_owned()]),
    ]
}

/// `cargo xtask powercut`.
pub fn powercut(rounds: u32, seed: u64) -> Vec<Suite> {
    vec![
        cut(harness(
            "power cut: random",
            "power cuts at random instants",
            vec![
                "kill".to_owned(),
                format!("--rounds={rounds}"),
                format!("--seed={seed}"),
                "--powercut".to_owned(),
            ],
        )),
        cut(harness(
            "power cut: places",
            "power cuts at every named place",
            vec!["places".to_owned(), "--powercut".to_owned()],
        )),
        cut(harness("power cut: syncs", "each sync turned off loses something", vec!["syncs".to_owned()])),
    ]
}

/// What `cargo xtask test` takes of both.
pub fn suites_of_test(seed: u64) -> Vec<Suite> {
    let two = ["syncs", "--only=engine.commit", "--only=object.folder"].map(str::to_owned).to_vec();
    vec![
        kill(20, seed).remove(0),
        kill(20, seed).remove(1),
        powercut(10, seed).remove(0),
        cut(harness("power cut: two syncs", "two syncs turned off, each loses something", two)),
    ]
}

fn harness(name: &str, about: &'static str, arguments: Vec<String>) -> Suite {
    Suite::new(name, about, move || run(&arguments).into())
}

/// A suite that needs the preloaded library, and so Linux and a C compiler.
fn cut(suite: Suite) -> Suite {
    if !cfg!(target_os = "linux") {
        return suite.skip("power cuts are modelled by a preloaded library, on Linux only");
    }
    if find("cc").is_none() {
        return suite.skip("a C compiler is missing: no `cc` on the path");
    }
    suite
}

fn run(arguments: &[String]) -> Result<(), String> {
    let lakeferry = build("lakeferry")?;
    let system = build("system")?;
    program(system)
        .arguments(arguments)
        .variable("LAKEFERRY_PROGRAM", lakeferry)
        .variable("LAKEFERRY_POWERCUT_SOURCE", root().join("tests/powercut/powercut.c"))
        .variable("LAKEFERRY_TEST_FOLDER", prepared("crash")?)
        .show()
}
