//! The Python SDK, and PyArrow and DuckDB as readers of the lake.
//!
//! A virtual environment below `tests/python` in the target directory takes what `requirements.txt` pins. The
//! tests get a server of their own: `LAKEFERRY_ENDPOINT` is its address, `LAKEFERRY_LAKE` the folder of its
//! local buckets.

use std::path::PathBuf;

use crate::run::{find, prepared, program, root};
use crate::server::Development;
use crate::suite::{Outcome, Suite};

const FILES: [(&str, &str); 6] = [
    ("sdk", "100,000 rows, every row operation and one failure of each operation, by the Python SDK"),
    ("features", "versions, conditions, transactions and indexes by the Python SDK"),
    ("base", "BASE objects, read by DuckDB and PyArrow, hold every row once"),
    ("types", "every type with every encoding, dirty fields and added columns, read by DuckDB and PyArrow"),
    ("inc", "INC objects hold every change once and in order, over two lanes"),
    ("base_inc", "BASE_INC objects rebuild the table while writers run"),
];

/// One suite per file of `tests/python`.
pub fn suites() -> Vec<Suite> {
    let suite = |(file, about)| Suite::new(format!("python {file}"), about, move || run(file));
    FILES.into_iter().map(suite).collect()
}

fn run(file: &'static str) -> Outcome {
    let Some(python) = find("python3") else {
        return Outcome::Skipped("Python is missing: no `python3` on the path".to_owned());
    };
    if let Err(why) = program(&python).arguments(["-c", "import ensurepip, venv"]).quiet() {
        return Outcome::Skipped(format!("Python's `venv` is missing ({why})"));
    }
    test(python, file).into()
}

fn test(python: PathBuf, file: &str) -> Result<(), String> {
    let tests = program(environment(python)?)
        .arguments(["-m", "unittest", "--verbose", &format!("test_{file}")])
        .within(&root().join("tests/python"))
        .variable("PYTHONDONTWRITEBYTECODE", "1");
    Development::start(&format!("python-{file}"))?.test(tests)
}

/// The virtual environment's interpreter, with everything installed that is pinned.
fn environment(python: PathBuf) -> Result<PathBuf, String> {
    let folder = prepared("python")?;
    let wanted = root().join("tests/python/requirements.txt");
    let pins = std::fs::read_to_string(&wanted).map_err(|error| format!("read the pins: {error}"))?;
    let done = folder.join("installed.txt");
    let own = folder.join("bin/python");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == pins) {
        return Ok(own);
    }
    println!("    preparing a virtual environment in {}", folder.display());
    program(python).arguments(["-m", "venv", "--clear"]).arguments([&folder]).quiet()?;
    program(&own)
        .arguments(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arguments([&wanted])
        .quiet()?;
    std::fs::write(&done, pins).map_err(|error| format!("note what is installed: {error}"))?;
    Ok(own)
}
