//! A disk that is full for as long as a trial wants. What is modelled stands in `tests/fulldisk/fulldisk.c`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, broken};
use crate::preload;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fullness {
    /// Nothing is free, but writes still succeed: the reserve is what is left.
    Reserve,
    /// Nothing is free, and writes fail.
    Full,
    /// Writes fail, and the file system says nothing of it.
    Sudden,
}

/// The disk below one folder.
#[derive(Debug, Clone)]
pub struct FullDisk {
    /// While it is there, the disk is full.
    file: PathBuf,
}

impl FullDisk {
    /// The disk of the trial in this folder.
    pub fn of(folder: &Path) -> Self {
        Self { file: folder.join("disk-is-full") }
    }

    /// Builds the library from `source` into `folder`, and tells the environment in which the program runs on the
    /// disk below `root`.
    ///
    /// # Errors
    /// If the library does not build.
    pub fn environment(
        &self,
        source: &Path,
        folder: &Path,
        root: &Path,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let library = folder.join("fulldisk.so");
        preload::build(source, &library)?;
        Ok(vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("FULLDISK_ROOT", root.display().to_string()),
            ("FULLDISK_FILE", self.file.display().to_string()),
        ])
    }

    /// Fills the disk.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn fill(&self, how: Fullness) -> Result<(), Failure> {
        let letter = match how {
            Fullness::Reserve => "r",
            Fullness::Full => "f",
            Fullness::Sudden => "s",
        };
        fs::write(&self.file, letter).map_err(broken("fill the disk"))
    }

    /// Gives the room back.
    pub fn free(&self) {
        // It may not be full.
        _ = fs::remove_file(&self.file);
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        self.file.exists()
    }
}

impl fmt::Display for Fullness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserve => "the disk is full but for what stays free",
            Self::Full => "the disk is full",
            Self::Sudden => "the disk takes nothing, and says nothing of it",
        })
    }
}
