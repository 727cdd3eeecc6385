//! Kills, power cuts, faults, the soak and the promises of freshness: calls of the harness in `tests/system`.

use std::path::PathBuf;

use crate::run::{build, cargo, find, prepared, program, root, target};
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
        preloaded(harness(
            "power cut: random",
            "power cuts at random instants",
            vec![
                "kill".to_owned(),
                format!("--rounds={rounds}"),
                format!("--seed={seed}"),
                "--powercut".to_owned(),
            ],
        )),
        preloaded(harness(
            "power cut: places",
            "power cuts at every named place",
            vec!["places".to_owned(), "--powercut".to_owned()],
        )),
        preloaded(harness(
            "power cut: syncs",
            "each sync turned off loses something",
            vec!["syncs".to_owned()],
        )),
    ]
}

/// `cargo xtask faults`.
pub fn faults(rounds: u32, seed: u64) -> Vec<Suite> {
    let about =
        "a store, a disk and a clock that fail, with SIGKILL among them; nothing is lost or needs a hand";
    let arguments = vec!["faults".to_owned(), format!("--rounds={rounds}"), format!("--seed={seed}")];
    vec![preloaded(harness("faults", about, arguments))]
}

/// `cargo xtask soak`.
pub fn soak(minutes: u64, seed: u64) -> Vec<Suite> {
    let about = "writers, three tasks, restarts and a bucket that goes away; then table and lake are equal";
    let arguments = ["soak".to_owned(), format!("--minutes={minutes}"), format!("--seed={seed}")];
    vec![Suite::new("soak", about, move || {
        released().and_then(|lakeferry| run(lakeferry, &arguments)).into()
    })]
}

/// `cargo xtask promises`.
pub fn promises(minutes: u64) -> Vec<Suite> {
    let about =
        "at the default settings every write is in its object within 125 s, and the original's promises hold";
    let arguments = ["promises".to_owned(), format!("--minutes={minutes}")];
    vec![Suite::new("promises", about, move || {
        released().and_then(|lakeferry| run(lakeferry, &arguments)).into()
    })]
}

/// What `cargo xtask test` takes of them.
pub fn suites_of_test(seed: u64) -> Vec<Suite> {
    let two = ["syncs", "--only=engine.commit", "--only=object.folder"].map(str::to_owned).to_vec();
    vec![
        kill(20, seed).remove(0),
        kill(20, seed).remove(1),
        faults(20, seed).remove(0),
        powercut(10, seed).remove(0),
        preloaded(harness("power cut: two syncs", "two syncs turned off, each loses something", two)),
    ]
}

fn harness(name: &str, about: &'static str, arguments: Vec<String>) -> Suite {
    Suite::new(name, about, move || {
        build("lakeferry").and_then(|lakeferry| run(lakeferry, &arguments)).into()
    })
}

/// A suite that needs the preloaded library, and so Linux and a C compiler.
fn preloaded(suite: Suite) -> Suite {
    if !cfg!(target_os = "linux") {
        return suite.skip("disks are modelled by a preloaded library, on Linux only");
    }
    if find("cc").is_none() {
        return suite.skip("a C compiler is missing: no `cc` on the path");
    }
    suite
}

/// Builds the program for release, as people run it, and says where it lies.
fn released() -> Result<PathBuf, String> {
    println!("    building for release, which takes some minutes the first time");
    cargo(["build", "--release", "--quiet", "--package", "lakeferry"]).show()?;
    Ok(target().join("release/lakeferry"))
}

fn run(lakeferry: PathBuf, arguments: &[String]) -> Result<(), String> {
    let system = build("system")?;
    program(system)
        .arguments(arguments)
        .variable("LAKEFERRY_PROGRAM", lakeferry)
        .variable("LAKEFERRY_POWERCUT_SOURCE", root().join("tests/powercut/powercut.c"))
        .variable("LAKEFERRY_FULLDISK_SOURCE", root().join("tests/fulldisk/fulldisk.c"))
        .variable("LAKEFERRY_TEST_FOLDER", prepared("crash")?)
        .show()
}
