//! The file that an export writes: under another name until it is whole, so that no half of one is taken for all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What is added to the name of a file that is not whole.
const PART: &str = ".part";

/// A file under way, or stdout. Dropped before its end, the file is removed.
pub struct Target {
    out: BufWriter<Box<dyn Write + Send>>,
    /// None for stdout.
    file: Option<Unfinished>,
}

struct Unfinished {
    path: PathBuf,
    part: PathBuf,
    is_done: bool,
}

impl Target {
    /// Begins a file, or stdout for `-`.
    pub fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self { out: BufWriter::new(Box::new(io::stdout())), file: None });
        }
        if path.exists() && !force {
            return Err(Failure::usage(format!("there is a file `{}` already", path.display()))
                .hint("write over it with --force"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(PART);
        let part = PathBuf::from(part);
        let out = File::create(&part)
            .map_err(|error| Failure::broken(format!("create `{}`", part.display())).caused_by(error))?;
        let file = Unfinished { path: path.to_owned(), part, is_done: false };
        Ok(Self { out: BufWriter::with_capacity(256 * 1024, Box::new(out)), file: Some(file) })
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(super::broken)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        fs::rename(&file.part, &file.path).map_err(|error| {
            Failure::broken(format!("name the file `{}`", file.path.display())).caused_by(error)
        })?;
        file.is_done = true;
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be removed still does not bear the name.
            let _ = fs::remove_file(&self.part);
        }
    }
}
