//! Room on the disk: what is free, what must stay free, and when to refuse.
//!
//! Fjall cannot be trusted on a full disk: it may hang in its back-pressure or poison the database. So row
//! writes stop at a reserve (their callers ask [`Disk::room`]), and below a floor, a quarter of the reserve,
//! the engine itself takes small batches alone ([`Disk::is_at_floor`]): notes and positions, without which nothing
//! could be given back.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::settings::ReserveSetting;
use crate::seam::Room;

/// The system is asked at most this often.
const ASKED_EVERY: Duration = Duration::from_millis(250);

/// What a file system answers about its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Tells how full a disk is. A seam, so that tests need no full disk.
pub trait Statvfs: Send + Sync + fmt::Debug + 'static {
    /// The space of the file system that holds `path`.
    ///
    /// # Errors
    /// What the system says.
    fn space(&self, path: &Path) -> io::Result<DiskSpace>;
}

/// Asks the system.
#[derive(Debug, Clone, Copy)]
pub struct SystemStatvfs;

impl Statvfs for SystemStatvfs {
    #[expect(unsafe_code, reason = "std has no call for free space")]
    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` ends with a zero byte and outlives the call, `answer` has room for the struct.
        if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has filled the struct.
        let answer = unsafe { answer.assume_init() };
        let block = answer.f_frsize;
        Ok(DiskSpace { free: answer.f_bavail * block, total: answer.f_blocks * block })
    }
}

/// The disk of one engine.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    reserve: ReserveSetting,
    statvfs: Arc<dyn Statvfs>,
    asked: Mutex<Option<(Instant, DiskSpace)>>,
}

impl Disk {
    pub(super) fn new(path: PathBuf, reserve: ReserveSetting, statvfs: Arc<dyn Statvfs>) -> Self {
        Self { path, reserve, statvfs, asked: Mutex::new(None) }
    }

    pub(super) fn room(&self) -> Room {
        match self.space() {
            Some(space) if space.free < self.reserve.bytes(space.total) => {
                Room::AtReserve { free: space.free, reserve: self.reserve.bytes(space.total) }
            }
            _ => Room::Free,
        }
    }

    /// Bytes that are free, and below which row writes are refused; nothing if the system does not say.
    pub(super) fn free_and_reserve(&self) -> Option<(u64, u64)> {
        self.space().map(|space| (space.free, self.reserve.bytes(space.total)))
    }

    /// Whether not even those who make room may write more than notes and positions.
    pub(super) fn is_at_floor(&self) -> bool {
        self.space().is_some_and(|space| space.free < self.reserve.bytes(space.total) / 4)
    }

    /// What the system said last, at most a quarter of a second ago; nothing if it never said anything.
    fn space(&self) -> Option<DiskSpace> {
        let mut asked = self.asked.lock();
        if let Some((at, space)) = *asked
            && at.elapsed() < ASKED_EVERY
        {
            return Some(space);
        }
        match self.statvfs.space(&self.path) {
            Ok(space) => *asked = Some((Instant::now(), space)),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the disk does not tell its free space")
            }
        }
        asked.map(|(_, space)| space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(DiskSpace);

    impl Statvfs for Fixed {
        fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
            Ok(self.0)
        }
    }

    fn disk(free: u64) -> Disk {
        let statvfs = Arc::new(Fixed(DiskSpace { free, total: 1_000_000 }));
        Disk::new("/".into(), ReserveSetting::Bytes(1_000), statvfs)
    }

    #[test]
    fn rows_stop_at_the_reserve_and_all_but_notes_at_a_quarter_of_it() {
        assert_eq!(disk(1_000).room(), Room::Free);
        assert_eq!(disk(999).room(), Room::AtReserve { free: 999, reserve: 1_000 });
        assert!(!disk(250).is_at_floor());
        assert!(disk(249).is_at_floor());
    }

    #[test]
    fn the_system_tells_the_space_of_a_folder() {
        let space = SystemStatvfs.space(Path::new("/")).unwrap();
        assert!(space.total > 0 && space.free <= space.total);
    }
}
