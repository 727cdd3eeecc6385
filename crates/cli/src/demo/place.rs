//! Where a run of the demo keeps its data: a new directory each time, numbered from 1.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Makes the next run's directory below `base` and tells its full path.
pub fn make(base: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error| {
        Failure::broken(format!("make the demo's directory `{}`", path.display()))
            .caused_by(error)
            .hint("choose another place with --data DIR")
    };
    fs::create_dir_all(base).map_err(|error| failed(base, error))?;
    let base = base.canonicalize().map_err(|error| failed(base, error))?;
    for number in 1_u64.. {
        let path = base.join(number.to_string());
        // Making it is what claims it, so that two demos at once do not share one.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    unreachable!("no disk holds a directory for each number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_directory_of_its_own() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().join("not/there/yet");
        let (first, second) = (make(&base).unwrap(), make(&base).unwrap());
        assert!(first.ends_with("1") && second.ends_with("2"));
        assert!(first.is_absolute() && first.is_dir());
    }
}
