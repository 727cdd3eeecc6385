//! Libraries that are preloaded into the program, to model what no test can do to a real disk.

use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, broken};

/// Builds the library from its one source.
///
/// # Errors
/// If there is no C compiler, or the source does not build without a warning.
pub fn build(source: &Path, library: &Path) -> Result<(), Failure> {
    let built = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([library, source])
        .arg("-ldl")
        .output()
        .map_err(broken("run `cc`"))?;
    if built.status.success() {
        return Ok(());
    }
    let (said, source) = (String::from_utf8_lossy(&built.stderr), source.display());
    Err(Failure::Broken(format!("`cc` does not build `{source}`:\n{said}")))
}
