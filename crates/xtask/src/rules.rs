//! House rules: what the compiler does not see to.
//!
//! Each rule reads the tree and answers with its violations, one line each. They run in `check`, in `test`,
//! and as unit tests of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::run::root;
use crate::suite::{Outcome, Suite};

/// A rule's name, what it says, and how it is checked.
type Rule = (&'static str, &'static str, fn(&Tree) -> Vec<String>);

const RULES: [Rule; 5] = [
    ("rule: syncs", "every sync of our own code has a name in `durable::Sync`", syncs_are_named),
    ("rule: clock", "time comes in by the constructor; only `clock.rs` asks the system", time_is_taken),
    ("rule: stories", "every file opens with its story", files_open_with_their_story),
    (
        "rule: arrows",
        "crates depend on one another in the direction of ARCHITECTURE.md",
        arrows_point_one_way,
    ),
    ("rule: promises", "what docs/promises.md names as shown by a test is", promises_have_tests),
];

/// What stands outside the program: it may point at anything, and nothing points at it.
const OUTSIDE: [&str; 4] = ["crates/xtask", "crates/bench", "tests/fuzz", "tests/system"];

/// The rules as suites.
pub fn suites() -> Vec<Suite> {
    let suite = |(name, about, rule): Rule| {
        Suite::new(name, about, move || {
            let violations = match Tree::read(root()) {
                Ok(tree) => rule(&tree),
                Err(why) => return Outcome::Failed(why),
            };
            violations.iter().for_each(|violation| println!("    {violation}"));
            match violations.len() {
                0 => Outcome::Passed,
                count => Outcome::Failed(format!("{count} violations")),
            }
        })
    };
    RULES.into_iter().map(suite).collect()
}

/// The files that rules look at.
#[derive(Default)]
struct Tree {
    /// Rust files, by their path from the root.
    sources: BTreeMap<PathBuf, String>,
    /// The members' manifests, by their folder from the root.
    manifests: BTreeMap<PathBuf, String>,
    /// Python files, by their path from the root.
    scripts: BTreeMap<PathBuf, String>,
    /// ARCHITECTURE.md.
    architecture: String,
    /// docs/promises.md.
    promises: String,
}

impl Tree {
    fn read(root: &Path) -> Result<Self, String> {
        let page = |name: &str| {
            let page = root.join(name);
            std::fs::read_to_string(&page).map_err(|error| format!("read `{}`: {error}", page.display()))
        };
        let (architecture, promises) = (page("ARCHITECTURE.md")?, page("docs/promises.md")?);
        let mut tree = Self { architecture, promises, ..Self::default() };
        for folder in ["crates", "tests"] {
            tree.add(root, &root.join(folder))?;
        }
        Ok(tree)
    }

    fn add(&mut self, root: &Path, folder: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| format!("read `{}`: {error}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(told)? {
            let path = entry.map_err(told)?.path();
            let name = path.strip_prefix(root).expect("a file of the tree lies below its root").to_owned();
            if path.is_dir() {
                self.add(root, &path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.sources.insert(name, std::fs::read_to_string(&path).map_err(told)?);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                self.scripts.insert(name, std::fs::read_to_string(&path).map_err(told)?);
            } else if path.file_name().is_some_and(|file| file == "Cargo.toml") {
                let folder = name.parent().expect("a manifest lies in a folder").to_owned();
                self.manifests.insert(folder, std::fs::read_to_string(&path).map_err(told)?);
            }
        }
        Ok(())
    }

    /// The lines of code that have one of the words, as `path:line: text`; comments and texts left out.
    fn lines_with(&self, words: &[&str], allowed: impl Fn(&Path, &str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        for (path, text) in &self.sources {
            for (at, line) in text.lines().enumerate() {
                let code = code_of(line);
                if words.iter().any(|word| code.contains(word)) && !allowed(path, &code) {
                    found.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
                }
            }
        }
        found
    }
}

fn syncs_are_named(tree: &Tree) -> Vec<String> {
    let words = ["sync_all", "sync_data", "PersistMode::Sync", "fsync", "fdatasync", "syncfs"];
    tree.lines_with(&words, |path, code| {
        path.starts_with("crates/durable")
            // fjall syncs its journal itself; we say whether, in the one place that asks the sync's name.
            || (path.starts_with("crates/engine") && code.contains("Sync::EngineCommit.is_on()"))
            // The bare engine that ours is measured against.
            || path == Path::new("crates/bench/src/bare.rs")
            // The power cut's model is tried with the bare calls before it judges anybody's.
            || path.ends_with("tests/power_cut_model.rs")
    })
}

fn time_is_taken(tree: &Tree) -> Vec<String> {
    let words = ["SystemTime::now", "Utc::now", "Local::now"];
    tree.lines_with(&words, |path, _| path.file_name().is_some_and(|name| name == "clock.rs"))
}

fn files_open_with_their_story(tree: &Tree) -> Vec<String> {
    let silent = tree.sources.iter().filter(|(_, text)| !text.starts_with("//!"));
    silent.map(|(path, _)| format!("{}: opens without `//!`", path.display())).collect()
}

fn arrows_point_one_way(tree: &Tree) -> Vec<String> {
    let arrows = arrows(&tree.architecture);
    let mut found = Vec::new();
    for (folder, manifest) in &tree.manifests {
        if OUTSIDE.iter().any(|outside| folder == Path::new(outside)) {
            continue;
        }
        let name = folder.strip_prefix("crates").unwrap_or(folder).display().to_string();
        let allowed = reachable(&arrows, &name);
        for dependency in dependencies(manifest).into_iter().filter(|other| *other != name) {
            if !allowed.contains(dependency) {
                found.push(format!("{}: no arrow leads to `{dependency}`", folder.display()));
            }
            if reachable(&arrows, dependency).contains(name.as_str()) {
                found.push(format!("{}: an arrow comes back from `{dependency}`", folder.display()));
            }
        }
    }
    found
}

/// Each row of a table of docs/promises.md names what shows its promise, in backticks in its last cell: a test by the
/// name of its function, a figure as `bench/case`, or a command as `cargo xtask …`.
fn promises_have_tests(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in tree.promises.lines().enumerate() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else { continue };
        let cell = row.rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let is_heading = tree.promises.lines().nth(at + 1).is_some_and(|next| next.starts_with("|---"));
        if names.is_empty() && !is_heading {
            found.push(format!("docs/promises.md:{}: nothing shows it", at + 1));
        }
        let missing = names.into_iter().filter(|name| !is_shown_by(tree, name));
        found.extend(missing.map(|name| format!("docs/promises.md:{}: there is no `{name}`", at + 1)));
    }
    found
}

fn is_shown_by(tree: &Tree, name: &str) -> bool {
    let in_sources = |folder: &str, text: &str| {
        tree.sources.iter().any(|(path, source)| path.starts_with(folder) && source.contains(text))
    };
    if let Some(command) = name.strip_prefix("cargo xtask ") {
        let command = command.split(' ').next().unwrap_or_default();
        return in_sources("crates/xtask/src/main.rs", &format!("`{command}`"));
    }
    if let Some((_, case)) = name.split_once('/') {
        return in_sources("crates/bench", &format!("\"{case}\""));
    }
    let script = format!("def {name}(");
    in_sources("", &format!("fn {name}(")) || tree.scripts.values().any(|text| text.contains(&script))
}

/// The lines `from → to, to` of ARCHITECTURE.md.
fn arrows(architecture: &str) -> BTreeMap<&str, Vec<&str>> {
    let lines = architecture.lines().filter_map(|line| line.split_once('→'));
    lines.map(|(from, to)| (from.trim(), to.split(',').map(str::trim).collect())).collect()
}

/// What a crate may depend on: where its arrows lead, and theirs.
fn reachable<'a>(arrows: &BTreeMap<&'a str, Vec<&'a str>>, name: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = arrows.get(name).cloned().unwrap_or_default();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(arrows.get(next).into_iter().flatten());
        }
    }
    reached
}

/// The project's own crates in a manifest's `[dependencies]`, by their short names. What only tests need
/// (`[dev-dependencies]`) may point anywhere.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]"
            && let Some(rest) = line.strip_prefix("lakeferry-")
        {
            found.extend(rest.split(['.', ' ', '=']).next());
        }
    }
    found
}

/// A line without its comment and without what stands in quotes.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match (quoted, character) {
            (true, '\\') => drop(characters.next()),
            (_, '"') => quoted = !quoted,
            (false, '/') if characters.peek() == Some(&'/') => break,
            (false, other) => code.push(other),
            (true, _) => {}
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, text: &str) -> Tree {
        let entry = BTreeMap::from([(PathBuf::from(path), text.to_owned())]);
        let architecture = "store → engine, model\nlake → model\ndelivery → store, lake\n".to_owned();
        match path.ends_with(".rs") {
            true => Tree { sources: entry, architecture, ..Tree::default() },
            false => Tree { manifests: entry, architecture, ..Tree::default() },
        }
    }

    fn check(name: &str, path: &str, text: &str, violations: usize) {
        let (_, _, rule) = RULES.into_iter().find(|rule| rule.0 == name).unwrap();
        let found = rule(&tree(path, text));
        assert_eq!(found.len(), violations, "{found:?}");
    }

    #[test]
    fn the_tree_keeps_every_rule() {
        let tree = Tree::read(root()).unwrap();
        assert!(tree.sources.len() > 10 && tree.manifests.len() > 5, "the tree is found");
        let found: Vec<_> = RULES.iter().flat_map(|(_, _, rule)| rule(&tree)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_sync_without_a_name_is_found() {
        check("rule: syncs", "crates/lake/src/local.rs", "file.sync_all()?;", 1);
        check(
            "rule: syncs",
            "crates/engine/src/commit.rs",
            "batch.durability(Some(PersistMode::SyncData))",
            1,
        );
        check("rule: syncs", "crates/lake/src/local.rs", "// file.sync_all() is left to `Sync`", 0);
        check("rule: syncs", "crates/lake/src/local.rs", "let text = \"fsync\";", 0);
        check("rule: syncs", "crates/durable/src/sync.rs", "file.sync_all()", 0);
        let asked = "Sync::EngineCommit.is_on().then_some(PersistMode::SyncData)";
        check("rule: syncs", "crates/engine/src/commit.rs", asked, 0);
        check("rule: syncs", "crates/store/src/commit.rs", asked, 1);
    }

    #[test]
    fn a_look_at_the_systems_clock_is_found() {
        check("rule: clock", "crates/store/src/commit.rs", "let now = SystemTime::now();", 1);
        check("rule: clock", "crates/model/src/clock.rs", "let now = SystemTime::now();", 0);
    }

    #[test]
    fn a_file_without_a_story_is_found() {
        check("rule: stories", "crates/lake/src/a.rs", "use std::fs;\n//! late", 1);
        check("rule: stories", "crates/lake/src/a.rs", "//! What it is.\n", 0);
    }

    #[test]
    fn an_arrow_against_the_direction_is_found() {
        let asks = |name: &str| format!("[dependencies]\nlakeferry-{name}.workspace = true\n");
        check("rule: arrows", "crates/engine", &asks("model"), 1);
        check("rule: arrows", "crates/delivery", &asks("engine"), 0);
        check("rule: arrows", "crates/delivery", &asks("wire"), 1);
        check("rule: arrows", "crates/unknown", &asks("model"), 1);
        check("rule: arrows", "crates/lake", &asks("xtask"), 1);
        check("rule: arrows", "tests/system", &asks("delivery"), 0);
        check("rule: arrows", "crates/store", "[dev-dependencies]\nlakeferry-wire.workspace = true", 0);
    }

    #[test]
    fn a_promise_that_nothing_shows_is_found() {
        let shows = |cell: &str| {
            let text = "#[test]\nfn rows_arrive() {}\nreport.figure(\"inc\", \"p99\");".to_owned();
            let mut tree = tree("crates/bench/src/inc.rs", &text);
            tree.sources.insert("crates/xtask/src/main.rs".into(), "//! - `soak`: long".to_owned());
            tree.scripts.insert("tests/python/test_inc.py".into(), "def test_it_is_read(self):".to_owned());
            tree.promises = format!("# Promises\n\n| Promise | Shown by |\n|---|---|\n| a row | {cell} |\n");
            promises_have_tests(&tree).len()
        };
        assert_eq!(shows("`rows_arrive`, `test_it_is_read`, `inc/p99`, `cargo xtask soak --minutes 3`"), 0);
        assert_eq!(shows("`rows_leave`, `inc/p50`, `cargo xtask rest`"), 3);
        assert_eq!(shows("nothing yet"), 1);
    }
}
