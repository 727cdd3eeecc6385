//! A bucket that is a local directory.
//!
//! A put, step by step:
//! 1. The bytes are written to a file of their own under `_lakeferry/tmp`, and the file is synced. Large ones go
//!    past the page cache.
//! 2. The folders that are missing are made, and the parent of each is synced.
//! 3. The file gets its name: by a link, which never replaces anything, or by a rename, which does.
//! 4. The folder is synced. Only then has the put succeeded.
//!
//! A crash before 3 leaves a temporary file, which the next start removes; a crash between 3 and 4 leaves the
//! object whole, and a power cut may take its name away again.
//!
//! Blocking calls run on tokio's blocking threads, a bounded number at a time. A caller that gives up leaves
//! its call to end by itself.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use lakeferry_durable::{Place, Sync};
use lakeferry_model::BucketName;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::direct;
use super::error::BucketError;
use super::{BucketLimits, ListedObject, Part, PutMode, PutOutcome, ReadObject, Store, within};
use crate::SERVICE_FOLDER;

/// Blocking calls on one bucket at a time. Disks gain nothing from more.
const CALLS_MAX: usize = 8;
/// Folders remembered as durable; beyond it, all are forgotten and synced again when used.
const FOLDERS_MAX: usize = 4096;

/// A directory that keeps objects.
#[derive(Debug)]
pub(super) struct LocalStore {
    disk: Arc<Disk>,
    calls: Arc<Semaphore>,
    limits: BucketLimits,
}

impl LocalStore {
    pub(super) fn new(lake_dir: &Path, name: &BucketName, limits: BucketLimits) -> Self {
        let disk = Disk {
            root: lake_dir.join(name.as_str()),
            parent: lake_dir.to_owned(),
            parent_device: OnceLock::new(),
            durable_folders: Mutex::default(),
            naming: Mutex::default(),
        };
        disk.note_device();
        Self { disk: Arc::new(disk), calls: Arc::new(Semaphore::new(CALLS_MAX)), limits }
    }

    pub(super) async fn create(&self) -> Result<(), BucketError> {
        self.run(Disk::create).await
    }

    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Disk) -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, BucketError> {
        let permit = Arc::clone(&self.calls).acquire_owned().await.expect("the semaphore is never closed");
        let disk = Arc::clone(&self.disk);
        let task = tokio::task::spawn_blocking(move || {
            // The permit is held until the call ends, also when nobody waits for it any more.
            let _permit = permit;
            call(&disk)
        });
        task.await.unwrap_or_else(|error| {
            Err(BucketError::passing_from("a call on a local bucket was cut off".to_owned(), error))
        })
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        let name = name.to_owned();
        self.run(move |disk| disk.put(&name, &bytes, mode)).await
    }

    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        let name = name.to_owned();
        let size = {
            let name = name.clone();
            within(self.limits.call, self.run(move |disk| disk.size(&name))).await??
        };
        let Some(size) = size else { return Ok(None) };
        let limit = self.limits.transfer(usize::try_from(size).unwrap_or(usize::MAX));
        within(limit, self.run(move |disk| disk.read(&name, part))).await?
    }

    async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let name = name.to_owned();
        self.run(move |disk| disk.delete(&name)).await
    }

    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let (objects, below) =
                within(self.limits.call, self.run(move |disk| disk.list(&folder))).await??;
            folders.extend(below);
            objects.into_iter().for_each(&mut *show);
        }
        Ok(())
    }

    async fn try_writing(&self) -> Result<(), BucketError> {
        self.run(Disk::try_writing).await
    }

    async fn clean_temporary(&self) -> Result<(), BucketError> {
        self.run(Disk::clean_temporary).await
    }
}

/// Whether the system lets this process make files in a folder.
#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The next put tells.
#[cfg(not(unix))]
fn may_write(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// What blocking calls share.
#[derive(Debug)]
struct Disk {
    root: PathBuf,
    parent: PathBuf,
    /// The device that the parent lay on when it was seen first.
    parent_device: OnceLock<u64>,
    /// Folders whose own names are known to be durable.
    durable_folders: Mutex<HashSet<PathBuf>>,
    /// Held while a file gets its name without a link.
    naming: Mutex<()>,
}

impl Disk {
    fn put(&self, name: &str, bytes: &[u8], mode: PutMode) -> Result<PutOutcome, BucketError> {
        self.check_root()?;
        let target = self.path(name)?;
        let folder = target.parent().expect("an object's path goes on below the bucket's").to_owned();
        let temporary = self.write_temporary(bytes).map_err(|error| failed("write", name, error))?;
        let outcome = self.name(&temporary, &folder, &target, mode);
        if !matches!((&outcome, mode), (Ok(PutOutcome::Created), PutMode::Replace)) {
            // It is either linked under its name, or of no use. What cannot be removed is removed at start.
            let _ = fs::remove_file(&temporary);
        }
        let outcome = outcome.map_err(|error| failed("name", name, error))?;
        if outcome == PutOutcome::Created {
            Sync::ObjectFolder.folder(&folder).map_err(|error| failed("sync the folder of", name, error))?;
            Place::ObjectDurable.pass();
        }
        Ok(outcome)
    }

    fn write_temporary(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let folder = self.temporary_folder();
        let path = folder.join(Uuid::new_v4().to_string());
        let file =
            self.with_folder(&folder, || OpenOptions::new().write(true).create_new(true).open(&path))?;
        let written = write_file(&file, &path, bytes).and_then(|()| Sync::ObjectFile.file(&file));
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Place::ObjectWritten.pass();
        Ok(path)
    }

    fn name(&self, temporary: &Path, folder: &Path, target: &Path, mode: PutMode) -> io::Result<PutOutcome> {
        let outcome = self.with_folder(folder, || match mode {
            PutMode::Replace => fs::rename(temporary, target).map(|()| PutOutcome::Created),
            PutMode::Create => match fs::hard_link(temporary, target) {
                Ok(()) => Ok(PutOutcome::Created),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
                Err(error) if has_no_links(&error) => self.rename_to_free_name(temporary, target),
                Err(error) => Err(error),
            },
        })?;
        if outcome == PutOutcome::Created {
            Place::ObjectNamed.pass();
        }
        Ok(outcome)
    }

    /// For file systems without links. One process uses a bucket's directory, so a lock does as well as a
    /// rename that refuses names that are taken.
    fn rename_to_free_name(&self, temporary: &Path, target: &Path) -> io::Result<PutOutcome> {
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::symlink_metadata(target) {
            Ok(_) => Ok(PutOutcome::Exists),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::rename(temporary, target).map(|()| PutOutcome::Created)
            }
            Err(error) => Err(error),
        }
    }

    /// Does something in a folder that is there, durably.
    fn with_folder<T>(&self, folder: &Path, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        self.make_folder(folder)?;
        match act() {
            // Somebody has removed a folder that we remember: it is made again, once.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.make_folder(folder)?;
                act()
            }
            done => done,
        }
    }

    /// Makes a folder and those above it, up to the bucket's root, which is never made here.
    ///
    /// The lock is held over making and syncing, so that nobody puts an object into a folder that another
    /// call has made and not yet synced.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut durable = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.contains(folder) {
            return Ok(());
        }
        if durable.len() >= FOLDERS_MAX {
            durable.clear();
        }
        let below = folder.strip_prefix(&self.root).map_err(|_| ErrorKind::InvalidInput)?;
        let mut parent = self.root.clone();
        for segment in below {
            let child = parent.join(segment);
            if !durable.contains(&child) {
                match fs::create_dir(&child) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists && child.is_dir() => {}
                    made => made?,
                }
                // Also if it was there: whoever made it may have been cut off before the sync.
                Sync::ObjectParents.folder(&parent)?;
                durable.insert(child.clone());
            }
            parent = child;
        }
        Ok(())
    }

    fn size(&self, name: &str) -> Result<Option<u64>, BucketError> {
        self.check_root()?;
        match fs::metadata(self.path(name)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(failed("read", name, error)),
        }
    }

    fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        self.check_root()?;
        match read_file(&self.path(name)?, part) {
            Ok(object) => Ok(Some(object)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(failed("read", name, error)),
        }
    }

    fn delete(&self, name: &str) -> Result<(), BucketError> {
        self.check_root()?;
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(failed("delete", name, error)),
        }
        let folder = path.parent().expect("an object's path goes on below the bucket's");
        match Sync::ObjectFolder.folder(folder) {
            Err(error) if !is_absence(&error) => Err(failed("sync the folder of", name, error)),
            _ => Ok(()),
        }
    }

    /// The objects right in a folder, and the folders in it.
    fn list(&self, folder: &str) -> Result<(Vec<ListedObject>, Vec<String>), BucketError> {
        self.check_root()?;
        let path = if folder.is_empty() { self.root.clone() } else { self.path(folder)? };
        let (mut objects, mut folders) = (Vec::new(), Vec::new());
        if path == self.temporary_folder() {
            return Ok((objects, folders));
        }
        let listed = |error| failed("list", folder, error);
        let entries = match fs::read_dir(&path) {
            Err(error) if is_absence(&error) => return Ok((objects, folders)),
            entries => entries.map_err(listed)?,
        };
        for entry in entries {
            let entry = entry.map_err(listed)?;
            // A name that is not text is none of ours.
            let Some(last) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let name = if folder.is_empty() { last } else { format!("{folder}/{last}") };
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(name),
                Ok(metadata) if metadata.is_file() => {
                    objects.push(ListedObject { name, bytes: metadata.len() });
                }
                Ok(_) => {}
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(listed(error)),
            }
        }
        Ok((objects, folders))
    }

    /// The system is asked, nothing is written.
    fn try_writing(&self) -> Result<(), BucketError> {
        self.check_root()?;
        let temporary = self.temporary_folder();
        let folder = if temporary.is_dir() { &temporary } else { &self.root };
        may_write(folder).map_err(|error| failed("write", SERVICE_FOLDER, error))
    }

    fn clean_temporary(&self) -> Result<(), BucketError> {
        self.check_root()?;
        let cleaned = |error| failed("clean", "_lakeferry/tmp", error);
        let entries = match fs::read_dir(self.temporary_folder()) {
            Err(error) if is_absence(&error) => return Ok(()),
            entries => entries.map_err(cleaned)?,
        };
        for entry in entries {
            fs::remove_file(entry.map_err(cleaned)?.path()).map_err(cleaned)?;
        }
        Ok(())
    }

    fn create(&self) -> Result<(), BucketError> {
        let create = || {
            match fs::create_dir(&self.root) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && self.root.is_dir() => {}
                made => made?,
            }
            Sync::ObjectParents.folder(&self.parent)
        };
        create().map_err(|error| self.trouble("make the directory", error))
    }

    /// The directory must be there. It is missing only if its parent is there, on the device it always was
    /// on: anything else may be a disk that is not mounted.
    fn check_root(&self) -> Result<(), BucketError> {
        self.note_device();
        let error = match fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => {
                let root = self.root.display();
                return Err(BucketError::lasting(format!("`{root}` is not a directory")));
            }
            Err(error) => error,
        };
        let gone = error.kind() == ErrorKind::NotFound
            && fs::symlink_metadata(&self.root).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if gone && device(&self.parent).is_some_and(|now| self.parent_device.get() == Some(&now)) {
            return Err(BucketError::missing(format!("the directory `{}` is missing", self.root.display())));
        }
        Err(self.trouble("look into the directory", error))
    }

    fn trouble(&self, what: &str, error: io::Error) -> BucketError {
        let what = format!("cannot {what} `{}`", self.root.display());
        by_kind(what, error)
    }

    fn note_device(&self) {
        if self.parent_device.get().is_none()
            && let Some(device) = device(&self.parent)
        {
            self.parent_device.get_or_init(|| device);
        }
    }

    fn temporary_folder(&self) -> PathBuf {
        self.root.join(SERVICE_FOLDER).join("tmp")
    }

    fn path(&self, name: &str) -> Result<PathBuf, BucketError> {
        let segment_fits = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
        if name.split('/').all(segment_fits) {
            Ok(self.root.join(name))
        } else {
            Err(BucketError::lasting(format!("`{name}` is no name of an object")))
        }
    }
}

/// Writes a file that is open and empty; a large one goes past the page cache for the most part.
fn write_file(mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let front = direct::write_front(path, bytes)?;
    file.seek(SeekFrom::Start(front as u64))?;
    file.write_all(&bytes[front..])
}

fn read_file(path: &Path, part: Part) -> io::Result<ReadObject> {
    let mut file = File::open(path)?;
    let object_bytes = file.metadata()?.len();
    if let Part::End(bytes) = part {
        file.seek(SeekFrom::Start(object_bytes.saturating_sub(bytes)))?;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(ReadObject { bytes: bytes.into(), object_bytes })
}

/// A file where a folder should be means that there is nothing below.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// FAT and some network file systems answer so.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::TooManyLinks)
}

fn failed(verb: &str, name: &str, error: io::Error) -> BucketError {
    by_kind(format!("cannot {verb} `{name}` in a local bucket"), error)
}

fn by_kind(what: String, error: io::Error) -> BucketError {
    match error.kind() {
        ErrorKind::PermissionDenied => BucketError::Denied { what, source: Some(error.into()) },
        ErrorKind::InvalidFilename
        | ErrorKind::InvalidInput
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => BucketError::lasting_from(what, error),
        _ => BucketError::passing_from(what, error),
    }
}

#[cfg(unix)]
fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(path).ok()?.dev())
}

#[cfg(not(unix))]
fn device(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|_| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(lake_dir: &Path) -> Disk {
        let store = LocalStore::new(lake_dir, &BucketName::parse("b").unwrap(), BucketLimits::default());
        Arc::into_inner(store.disk).unwrap()
    }

    #[test]
    fn without_links_a_taken_name_stays_as_it_is() {
        let lake = tempfile::tempdir().unwrap();
        let disk = disk(lake.path());
        disk.create().unwrap();
        let target = disk.root.join("x");
        for (bytes, expected) in [(b"1", PutOutcome::Created), (b"2", PutOutcome::Exists)] {
            let temporary = disk.write_temporary(bytes).unwrap();
            assert_eq!(disk.rename_to_free_name(&temporary, &target).unwrap(), expected);
        }
        assert_eq!(fs::read(&target).unwrap(), b"1");
    }

    #[test]
    fn a_parent_on_another_device_means_not_mounted_rather_than_missing() {
        let lake = tempfile::tempdir().unwrap();
        let mut disk = disk(lake.path());
        assert!(disk.check_root().unwrap_err().is_missing());
        disk.parent_device = OnceLock::from(device(lake.path()).unwrap() + 1);
        assert!(matches!(disk.check_root(), Err(BucketError::Other { retryable: true, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_not_a_missing_bucket() {
        let lake = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(lake.path().join("elsewhere"), lake.path().join("b")).unwrap();
        let disk = disk(lake.path());
        assert!(matches!(disk.check_root(), Err(BucketError::Other { .. })));
    }

    #[test]
    fn names_cannot_leave_the_bucket() {
        let lake = tempfile::tempdir().unwrap();
        let disk = disk(lake.path());
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a\0b", "."] {
            assert!(disk.path(bad).is_err(), "{bad:?}");
        }
    }
}
