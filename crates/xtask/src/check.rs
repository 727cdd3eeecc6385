//! Formatting, lints and house rules.

use crate::rules;
use crate::run::cargo;
use crate::suite::Suite;

/// The suites of `cargo xtask check`.
pub fn suites() -> Vec<Suite> {
    let mut suites = vec![
        Suite::new("format", "every file is formatted", || {
            cargo(["fmt", "--all", "--", "--check"]).show().into()
        }),
        Suite::new("lints", "no warning anywhere", || {
            let lint = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
            cargo(lint).show().into()
        }),
    ];
    suites.extend(rules::suites());
    suites
}
