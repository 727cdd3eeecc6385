//! The Java SDK: delivery calls against a store that can be held, the whole table service, tunnel workers.
//!
//! Maven keeps what it builds below `tests/java` in the target directory. Each suite gets a server of its own.
//! For delivery a real S3 endpoint behind a gate (`system s3`, see `tests/system`) runs beside it, so that the
//! test can hold the store while it looks at a task's phase.

use crate::run::{Run, build, find, prepared, program, root};
use crate::server::{Development, Server};
use crate::suite::{Outcome, Suite};

/// What Maven needs.
const TOOLS: [(&str, &str); 2] = [("mvn", "Maven"), ("javac", "a Java development kit")];

/// Classes of tests that need nothing but a server.
const CLASSES: [(&str, &str, &str); 3] = [
    (
        "rows",
        "TablesTest,WritesTest,ReadsTest,BulkTest,StreamsTest,UnsupportedTest",
        "every operation on tables, rows and streams by the Java SDK, and one failure of each",
    ),
    (
        "transactions",
        "TransactionsTest,IndexesTest",
        "local transactions, atomic batches and indexes, also under concurrent writers",
    ),
    ("tunnels", "TunnelTest", "workers of the Java SDK share channels, die and come back; nothing is lost"),
];

/// The suites.
pub fn suites() -> Vec<Suite> {
    let about = "delivery tasks as the official Java samples make them; phases seen with the store held";
    let mut suites = vec![Suite::new("java delivery", about, || run(delivery))];
    suites.extend(CLASSES.into_iter().map(|(name, classes, about)| {
        Suite::new(format!("java {name}"), about, move || run(move || service(name, classes)))
    }));
    suites
}

fn run(test: impl FnOnce() -> Result<(), String>) -> Outcome {
    for (tool, language) in TOOLS {
        if find(tool).is_none() {
            return Outcome::Skipped(format!("{language} is missing: no `{tool}` on the path"));
        }
    }
    test().into()
}

fn delivery() -> Result<(), String> {
    let system = build("system")?;
    let store = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
    let logs = prepared("logs")?;
    let stored = store.path().to_string_lossy();
    let s3 = ["s3", "--root", &*stored, "--bucket", "datadeliverytest"];
    let gate = Server::start(&system, &s3, &[], &logs.join("java-s3.log"))?;
    Development::start("java-delivery")?.test(maven("DeliveryTest")?.variable("LAKEFERRY_S3", &gate.address))
}

fn service(name: &str, classes: &str) -> Result<(), String> {
    let tests = maven(classes)?;
    Development::start(&format!("java-{name}"))?.test(tests)
}

fn maven(classes: &str) -> Result<Run, String> {
    let build_folder = prepared("java")?;
    Ok(program("mvn")
        .arguments(["--batch-mode", "--quiet", "test"])
        .arguments([format!("-Dtest={classes}"), format!("-Dbuild.folder={}", build_folder.display())])
        .within(&root().join("tests/java")))
}
