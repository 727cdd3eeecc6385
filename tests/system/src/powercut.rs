//! The power cut: builds the preloaded library, and makes of its shadow the data directory that a disk would
//! still hold. What is modelled stands in `tests/powercut/powercut.c`.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, broken};
use crate::preload;

/// A data directory whose power can be cut.
#[derive(Debug)]
pub struct PowerCut {
    library: PathBuf,
    data: PathBuf,
    shadow: PathBuf,
    /// Folders of the data directory to which the library's concession applies.
    journaled: Vec<PathBuf>,
}

impl PowerCut {
    /// Builds the library from `source` into `folder` and takes `data`, which must exist, as durable as it is.
    ///
    /// # Errors
    /// If the library does not build, or the shadow cannot be made.
    pub fn new(source: &Path, folder: &Path, data: &Path, journaled: &[&str]) -> Result<Self, Failure> {
        let library = folder.join("powercut.so");
        preload::build(source, &library)?;
        let data = data.canonicalize().map_err(broken("find the data directory"))?;
        let shadow = folder.join("shadow");
        let journaled = journaled.iter().map(|name| data.join(name)).collect();
        let cut = Self { library, data, shadow, journaled };
        cut.take_as_durable().map_err(broken("make the shadow"))?;
        Ok(cut)
    }

    /// The environment in which the program runs on the data directory.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let journaled: Vec<_> = self.journaled.iter().map(|path| path.display().to_string()).collect();
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("POWERCUT_ROOT", self.data.display().to_string()),
            ("POWERCUT_SHADOW", self.shadow.display().to_string()),
            ("POWERCUT_JOURNALED", journaled.join(":")),
        ]
    }

    /// Throws away what was not synced. The program must have ended.
    ///
    /// # Errors
    /// If the model itself had a fault, or files cannot be read or written.
    pub fn cut(&self) -> Result<(), Failure> {
        if let Ok(faults) = fs::read_to_string(self.shadow.join("faults")) {
            return Err(Failure::Broken(format!("the power cut library could not follow:\n{faults}")));
        }
        self.restore().map_err(broken("build the data directory again"))?;
        self.take_as_durable().map_err(broken("make the shadow"))
    }

    fn restore(&self) -> io::Result<()> {
        let root = id(&self.data, 0)?;
        for entry in fs::read_dir(&self.data)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        self.restore_folder(&root, &self.data)
    }

    fn restore_folder(&self, id: &str, folder: &Path) -> io::Result<()> {
        let names = match fs::read_to_string(self.shadow.join("dirs").join(id)) {
            Ok(names) => names,
            // A folder that was made and never synced is empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in names.lines() {
            let mut parts = line.splitn(4, ' ');
            let (Some(kind), Some(ino), Some(number), Some(name)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(io::Error::other(format!("a line of the shadow is not understood: {line}")));
            };
            let (id, path) = (format!("{ino}.{number}"), folder.join(name));
            if kind == "d" {
                fs::create_dir(&path)?;
                self.restore_folder(&id, &path)?;
                continue;
            }
            match copy(&self.shadow.join("files").join(&id), &path) {
                // A file with a synced name and no synced bytes is empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(File::create(&path)?),
                other => other?,
            }
        }
        Ok(())
    }

    fn take_as_durable(&self) -> io::Result<()> {
        if self.shadow.exists() {
            fs::remove_dir_all(&self.shadow)?;
        }
        fs::create_dir_all(self.shadow.join("files"))?;
        fs::create_dir_all(self.shadow.join("dirs"))?;
        self.keep_folder(&self.data)
    }

    fn keep_folder(&self, folder: &Path) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let ino = fs::symlink_metadata(&path)?.ino();
            let kind = if path.is_dir() { 'd' } else { 'f' };
            writeln!(names, "{kind} {ino} 0 {}", name.display())?;
            if path.is_dir() {
                self.keep_folder(&path)?;
            } else {
                copy(&path, &self.shadow.join("files").join(id(&path, 0)?))?;
            }
        }
        fs::write(self.shadow.join("dirs").join(id(folder, 0)?), names)
    }
}

/// The name under which the library knows a file or folder.
fn id(path: &Path, number: u32) -> io::Result<String> {
    Ok(format!("{}.{number}", fs::symlink_metadata(path)?.ino()))
}

/// Copies a file with its permissions, and leaves its holes holes: a fresh journal is 64 MiB of them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let about = source.metadata()?;
    target.set_len(about.len())?;
    let mut at = 0;
    while let Some(start) = seek(&source, at, libc::SEEK_DATA)? {
        let end = seek(&source, start, libc::SEEK_HOLE)?.unwrap_or(about.len());
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(&source, end - start), &mut target)?;
        at = end;
    }
    target.set_permissions(about.permissions())
}

/// The next offset of data or of a hole from `at` on; none behind the end.
#[expect(unsafe_code, reason = "std has no word for SEEK_DATA and SEEK_HOLE")]
fn seek(file: &File, at: u64, whence: i32) -> io::Result<Option<u64>> {
    let offset = i64::try_from(at).map_err(io::Error::other)?;
    // SAFETY: lseek on a descriptor that `file` keeps open touches no memory of ours.
    let found = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
