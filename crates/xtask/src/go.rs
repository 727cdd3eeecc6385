//! The Go SDK: rows, and the workers of its tunnel client.
//!
//! Go keeps the modules that `tests/go/go.sum` pins in its own cache. Each package of tests gets a server of
//! its own, whose address is `LAKEFERRY_ENDPOINT`.

use crate::run::{find, program, root};
use crate::server::Development;
use crate::suite::{Outcome, Suite};

const PACKAGES: [(&str, &str); 3] = [
    ("rows", "the core operations by the Go SDK, and one failure of each"),
    ("expiration", "records that are over time are gone for streams and tunnels, by the Go SDK"),
    ("tunnels", "workers of the Go SDK share channels, die and come back; nothing is lost"),
];

/// One suite per package of tests below `tests/go`.
pub fn suites() -> Vec<Suite> {
    let suite = |(package, about)| Suite::new(format!("go {package}"), about, move || run(package));
    PACKAGES.into_iter().map(suite).collect()
}

fn run(package: &str) -> Outcome {
    if find("go").is_none() {
        return Outcome::Skipped("Go is missing: no `go` on the path".to_owned());
    }
    test(package).into()
}

fn test(package: &str) -> Result<(), String> {
    let tests = program("go")
        // Readonly: what is not pinned is an error, not a download.
        .arguments(["test", "-count=1", "-mod=readonly", "-timeout=15m", &format!("./{package}")])
        .within(&root().join("tests/go"));
    Development::start(&format!("go-{package}"))?.test(tests)
}
