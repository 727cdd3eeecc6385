//! The regression corpus: bytes that once broke something, or came from another encoder than ours.
//!
//! One text file per target in `tests/fuzz/corpus`, so that a review can read it: a line of hexadecimal digits
//! for each input, and lines that begin with `#` to say what it is.

use std::path::{Path, PathBuf};

/// The file of a target; it need not be there.
pub fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{}.txt", target.replace('/', "_")))
}

/// Everything that the corpus holds for a target.
///
/// # Errors
/// The file cannot be read, or a line is no hexadecimal number of whole bytes.
pub fn read(target: &str) -> Result<Vec<Vec<u8>>, String> {
    let file = file(target);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("read `{}`: {error}", file.display())),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| decode(line).ok_or_else(|| format!("{}: not bytes: {line}", file.display()))).collect()
}

/// The names of the targets that the corpus has files of, as files spell them.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<String>, String> {
    let folder = file("x").parent().map(Path::to_owned).unwrap_or_default();
    let told = |error: std::io::Error| format!("read `{}`: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    Ok(names)
}

/// The bytes as the corpus writes them.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(line: &str) -> Option<Vec<u8>> {
    if !line.len().is_multiple_of(2) {
        return None;
    }
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(line.get(at..at + 2)?, 16).ok()).collect()
}
