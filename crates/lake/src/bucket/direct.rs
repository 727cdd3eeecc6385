//! Large files written past the page cache.
//!
//! An object is written once and seldom read by this machine soon. In the page cache it would push out what the
//! engine reads, and copying it there costs more than anything else of a put. So the front of a large file goes
//! to the disk as it is; the rest, less than a block, is written as ever. What the system does not know how to
//! write so is written as ever, too. Bytes that lie as the disk wants them, as those of an object do, are not even
//! copied once.

use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
use {
    rustix::fs::OFlags,
    std::fs::OpenOptions,
    std::io::ErrorKind,
    std::os::unix::fs::{FileExt, OpenOptionsExt},
};

#[cfg(not(target_os = "linux"))]
pub(super) fn write_front(_path: &Path, _bytes: &[u8]) -> io::Result<usize> {
    Ok(0)
}

/// Files smaller than this gain nothing.
#[cfg(target_os = "linux")]
const FILE_BYTES_MIN: usize = 256 * 1024;
/// Addresses, places and lengths are multiples of this: the block of nearly every disk and file system.
#[cfg(target_os = "linux")]
const BLOCK_BYTES: usize = crate::sink::ALIGNMENT;
/// Bytes of a write.
#[cfg(target_os = "linux")]
const PIECE_BYTES: usize = 1024 * 1024;

/// Writes the front of an empty file: how many bytes of it, which may be none. They are not synced.
///
/// # Errors
/// What the system says about a write that it knows how to do.
#[cfg(target_os = "linux")]
pub(super) fn write_front(path: &Path, bytes: &[u8]) -> io::Result<usize> {
    if bytes.len() < FILE_BYTES_MIN {
        return Ok(0);
    }
    let flags = OFlags::DIRECT.bits().cast_signed();
    let file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(0),
        Err(error) => return Err(error),
    };
    let is_aligned = bytes.as_ptr().align_offset(BLOCK_BYTES) == 0;
    let mut room = if is_aligned { Vec::new() } else { vec![0; PIECE_BYTES + BLOCK_BYTES] };
    let start = room.as_ptr().align_offset(BLOCK_BYTES);
    let front = bytes.len() - bytes.len() % BLOCK_BYTES;
    let mut written = 0;
    for piece in bytes[..front].chunks(PIECE_BYTES) {
        let piece = if is_aligned {
            piece
        } else {
            let Some(room) = room.get_mut(start..start + piece.len()) else { break };
            room.copy_from_slice(piece);
            room
        };
        match file.write_at(piece, written as u64) {
            Ok(count) if count == piece.len() => written += count,
            // A part may end anywhere; the rest is written as ever, from the last whole piece on.
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => break,
            Err(error) if error.kind() == ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn the_front_is_whole_blocks_and_as_it_was_given() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let longest = 3 * PIECE_BYTES + 5000;
        let room: Vec<u8> = (0..=250).cycle().take(longest + 2 * BLOCK_BYTES).collect();
        let aligned = room.as_ptr().align_offset(BLOCK_BYTES);
        for size in [0, 1, FILE_BYTES_MIN - 1, FILE_BYTES_MIN, FILE_BYTES_MIN + 1, PIECE_BYTES, longest] {
            let written = [aligned, aligned + 1].map(|start| {
                let bytes = &room[start..start + size];
                let path = folder.path().join(format!("{start}-{size}"));
                File::create_new(&path).unwrap();
                let written = write_front(&path, bytes).unwrap();
                assert_eq!(written % BLOCK_BYTES, 0);
                assert!(written == 0 || size - written < BLOCK_BYTES, "{written} of {size}");
                assert!(size >= FILE_BYTES_MIN || written == 0);
                assert_eq!(fs::read(&path).unwrap(), bytes[..written]);
                written
            });
            assert_eq!(written[0], written[1], "with a copy as much goes to the disk as without");
            if size >= FILE_BYTES_MIN {
                assert_eq!(written[0] > 0, is_direct_known(folder.path()), "{written:?} of {size}");
            }
        }
    }

    /// Whether the system opens files there for writes past the page cache.
    fn is_direct_known(folder: &Path) -> bool {
        let flags = OFlags::DIRECT.bits().cast_signed();
        let path = folder.join("direct");
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path).is_ok()
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_front(&folder.path().join("gone"), &[0; FILE_BYTES_MIN]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
