//! The Node.js SDK.
//!
//! What `package-lock.json` pins is installed below `tests/node` in the target directory; the tests find it
//! through `NODE_PATH`. No script of a package is run.

use std::path::PathBuf;

use crate::run::{find, prepared, program, root};
use crate::server::Development;
use crate::suite::{Outcome, Suite};

/// The suite.
pub fn suites() -> Vec<Suite> {
    vec![Suite::new("node rows", "the core operations by the Node.js SDK, and one failure of each", run)]
}

fn run() -> Outcome {
    for (tool, name) in [("node", "Node.js"), ("npm", "Node's package manager")] {
        if find(tool).is_none() {
            return Outcome::Skipped(format!("{name} is missing: no `{tool}` on the path"));
        }
    }
    test().into()
}

fn test() -> Result<(), String> {
    let tests = program("node")
        .arguments(["--test", "rows.test.js"])
        .within(&root().join("tests/node"))
        .variable("NODE_PATH", modules()?);
    Development::start("node-rows")?.test(tests)
}

/// The folder of the packages, with everything installed that is pinned.
fn modules() -> Result<PathBuf, String> {
    let folder = prepared("node")?;
    let done = folder.join("installed.json");
    let pins = std::fs::read_to_string(root().join("tests/node/package-lock.json"))
        .map_err(|error| format!("read the pins: {error}"))?;
    let modules = folder.join("node_modules");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == pins) {
        return Ok(modules);
    }
    println!("    installing packages in {}", folder.display());
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(root().join("tests/node").join(name), folder.join(name))
            .map_err(|error| format!("copy `{name}`: {error}"))?;
    }
    program("npm")
        .arguments(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .within(&folder)
        .quiet()?;
    std::fs::write(&done, pins).map_err(|error| format!("note what is installed: {error}"))?;
    Ok(modules)
}
