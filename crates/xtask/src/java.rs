//! The Java SDK's delivery calls, against a store that can be held.
//!
//! Maven keeps what it builds below `tests/java` in the target directory. Beside the server runs a real S3
//! endpoint behind a gate (`system s3`, see `tests/system`), so that the test can hold the store while it
//! looks at a task's phase.

use crate::run::{build, find, prepared, program, root};
use crate::server::Server;
use crate::suite::{Outcome, Suite};

/// The suite.
pub fn suites() -> Vec<Suite> {
    let about = "delivery tasks as the official Java samples make them; phases seen with the store held";
    vec![Suite::new("java delivery", about, run)]
}

fn run() -> Outcome {
    for (tool, language) in [("mvn", "Maven"), ("javac", "a Java development kit")] {
        if find(tool).is_none() {
            return Outcome::Skipped(format!("{language} is missing: no `{tool}` on the path"));
        }
    }
    test().into()
}

fn test() -> Result<(), String> {
    let lakeferry = build("lakeferry")?;
    let system = build("system")?;
    let told = |error: std::io::Error| format!("make a folder: {error}");
    let (data, store) = (tempfile::tempdir().map_err(told)?, tempfile::tempdir().map_err(told)?);
    let logs = prepared("logs")?;
    let stored = store.path().to_string_lossy();
    let s3 = ["s3", "--root", &*stored, "--bucket", "datadeliverytest"];
    let gate = Server::start(&system, &s3, &logs.join("java-s3.log"))?;
    let folder = data.path().to_string_lossy();
    let serve = ["serve", "--dev", "--data", &*folder, "--listen", "127.0.0.1:0"];
    let server = Server::start(&lakeferry, &serve, &logs.join("java-server.log"))?;
    let build_folder = prepared("java")?;
    program("mvn")
        .arguments(["--batch-mode", "--quiet", "compile", "exec:java"])
        .arguments([format!("-Dbuild.folder={}", build_folder.display())])
        .within(&root().join("tests/java"))
        .variable("LAKEFERRY_ENDPOINT", &server.address)
        .variable("LAKEFERRY_LAKE", data.path().join("lake"))
        .variable("LAKEFERRY_S3", &gate.address)
        .show()
        .map_err(|why| format!("{why}; the logs lie in `{}`", logs.display()))
}
