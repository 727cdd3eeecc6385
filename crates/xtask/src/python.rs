//! The Python SDK, and DuckDB, PyArrow and Spark as readers of the lake.
//!
//! A virtual environment below `tests/python` in the target directory takes what `requirements.txt` pins. The
//! tests get a server of their own: `LAKEFERRY_ENDPOINT` is its address, `LAKEFERRY_LAKE` the folder of its
//! local buckets. Those that restart it get the program instead, see [`Restartable`].
//!
//! Spark is large and needs Java, so it has a suite of its own, which reads what the suites of types and of
//! steered tasks leave behind, and pins of its own in `requirements-spark.txt`.

use std::path::{Path, PathBuf};

use crate::run::{Run, find, prepared, program, root};
use crate::server::{Development, Restartable};
use crate::suite::{Outcome, Suite};

const FILES: [(&str, &str); 6] = [
    ("sdk", "100,000 rows, every row operation and one failure of each operation, by the Python SDK"),
    ("features", "versions, conditions, transactions and indexes by the Python SDK"),
    ("base", "BASE objects, read by DuckDB and PyArrow, hold every row once"),
    (
        "types",
        "every type, encoding and compression, dirty fields and added columns, read by DuckDB and PyArrow",
    ),
    ("inc", "INC objects hold every change once and in order, over two lanes"),
    ("base_inc", "BASE_INC objects rebuild the table while writers run"),
];

/// The oldest Java that Spark starts with.
const SPARK_JAVA_MIN: u32 = 17;

/// One suite per file of `tests/python`, and one for Spark.
pub fn suites() -> Vec<Suite> {
    let suite = |(file, about)| {
        Suite::new(format!("python {file}"), about, move || run(move |python| test(python, file)))
    };
    let mut suites: Vec<Suite> = FILES.into_iter().map(suite).collect();
    let about = "tasks of every type, paused, updated and restarted under writes, read by DuckDB and PyArrow";
    suites.push(Suite::new("python steered", about, || run(|python| steered(environment(python)?))));
    let about = "the same as `types` and `steered`, read by Spark, which nobody here wrote either";
    suites.push(Suite::new("python spark", about, || match java() {
        Ok(()) => run(spark),
        Err(why) => Outcome::Skipped(why),
    }));
    suites
}

fn run(test: impl FnOnce(PathBuf) -> Result<(), String>) -> Outcome {
    let Some(python) = find("python3") else {
        return Outcome::Skipped("Python is missing: no `python3` on the path".to_owned());
    };
    if let Err(why) = program(&python).arguments(["-c", "import ensurepip, venv"]).quiet() {
        return Outcome::Skipped(format!("Python's `venv` is missing ({why})"));
    }
    test(python).into()
}

fn test(python: PathBuf, file: &str) -> Result<(), String> {
    let tests = unittest(environment(python)?, &[&format!("test_{file}")]);
    Development::start(&format!("python-{file}"))?.test(tests)
}

fn steered(python: PathBuf) -> Result<(), String> {
    Restartable::new("python-steered")?.test(unittest(python, &["test_steered"]))
}

fn spark(python: PathBuf) -> Result<(), String> {
    let python = environment(python)?;
    install(&python, "requirements-spark.txt")?;
    let tests = unittest(python, &["test_types", "test_steered"]).variable("LAKEFERRY_READERS", "Spark");
    Restartable::new("python-spark")?.test(tests)
}

/// Whether there is a Java for Spark, looked for where Spark does.
fn java() -> Result<(), String> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java =
        home.or_else(|| find("java")).ok_or("Java is missing: no `java` on the path, and no JAVA_HOME")?;
    // One before 9 does not know the option, and ends with an error.
    let said = program(&java).arguments(["--version"]).quiet();
    match java_version(&said.map_err(|why| format!("Java cannot be used: {why}"))?) {
        Some(version) if version < SPARK_JAVA_MIN => {
            Err(format!("Spark needs Java {SPARK_JAVA_MIN} or newer; `{}` is {version}", java.display()))
        }
        _ => Ok(()),
    }
}

/// The 17 of `openjdk 17.0.15 2025-04-15`.
fn java_version(said: &str) -> Option<u32> {
    said.split_whitespace().nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

fn unittest(python: PathBuf, modules: &[&str]) -> Run {
    program(python)
        .arguments(["-m", "unittest", "--verbose"])
        .arguments(modules)
        .within(&root().join("tests/python"))
        .variable("PYTHONDONTWRITEBYTECODE", "1")
}

/// The virtual environment's interpreter, with everything installed that `requirements.txt` pins.
fn environment(python: PathBuf) -> Result<PathBuf, String> {
    let folder = prepared("python")?;
    let own = folder.join("bin/python");
    if !is_installed("requirements.txt")? {
        println!("    preparing a virtual environment in {}", folder.display());
        program(python).arguments(["-m", "venv", "--clear"]).arguments([&folder]).quiet()?;
        install(&own, "requirements.txt")?;
    }
    Ok(own)
}

/// Installs what a file of `tests/python` pins, if that has not been done.
fn install(python: &Path, file: &str) -> Result<(), String> {
    if is_installed(file)? {
        return Ok(());
    }
    println!("    installing what `tests/python/{file}` pins");
    program(python)
        .arguments(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arguments([root().join("tests/python").join(file)])
        .quiet()?;
    std::fs::write(prepared("python")?.join(file), pins(file)?)
        .map_err(|error| format!("note what is installed: {error}"))
}

/// Whether the virtual environment has what the file pins now. What it has is noted in it under the file's name.
fn is_installed(file: &str) -> Result<bool, String> {
    let pins = pins(file)?;
    Ok(std::fs::read_to_string(prepared("python")?.join(file)).is_ok_and(|installed| installed == pins))
}

fn pins(file: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join("tests/python").join(file))
        .map_err(|error| format!("read the pins: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_its_version_in_its_first_line() {
        for (said, version) in [
            ("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime Environment", Some(17)),
            ("openjdk 25 2025-09-16", Some(25)),
            ("java 11-ea 2018-09-25", Some(11)),
            ("", None),
        ] {
            assert_eq!(java_version(said), version, "{said}");
        }
    }
}
