//! Where the bytes of an object gather.
//!
//! An object is large and its bytes are cold by the time it is complete: each further look at all of them costs about
//! as much as a tenth of encoding them. So they are summed up as they come, and lie where a disk takes them from
//! without a copy.

use std::io::{self, Write};

use bytes::Bytes;

/// What disks want the address of direct writes to be a multiple of.
pub(crate) const ALIGNMENT: usize = 4096;

/// Takes bytes, keeps them in one piece that begins at a multiple of [`ALIGNMENT`], and knows their CRC-32 (IEEE).
#[derive(Default)]
pub(crate) struct Sink {
    /// Padding, then the bytes taken.
    bytes: Vec<u8>,
    /// Bytes of padding.
    start: usize,
    crc: crc32fast::Hasher,
}

impl Sink {
    /// Bytes of memory set aside.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Sets memory aside for so many more bytes.
    pub(crate) fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() >= more {
            return;
        }
        let taken = &self.bytes[self.start..];
        let mut grown: Vec<u8> = Vec::with_capacity(taken.len() + more + ALIGNMENT);
        let start = grown.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        grown.resize(start, 0);
        grown.extend_from_slice(taken);
        (self.bytes, self.start) = (grown, start);
    }

    /// All bytes, and their CRC-32.
    pub(crate) fn finish(self) -> (Bytes, u32) {
        let mut bytes = Bytes::from(self.bytes);
        let bytes = bytes.split_off(self.start);
        (bytes, self.crc.finalize())
    }
}

impl Write for Sink {
    #[inline]
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.capacity() - self.bytes.len() < more.len() {
            self.reserve(more.len().max(self.bytes.len()));
        }
        self.bytes.extend_from_slice(more);
        self.crc.update(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back_aligned_and_summed_up() {
        for reserved in [0, 1, 5000, 1 << 20] {
            let mut sink = Sink::default();
            let mut expected = Vec::new();
            sink.reserve(reserved);
            for length in [0_usize, 1, 8192, 3, 70_000, 1] {
                let piece: Vec<u8> = (0..=250).cycle().take(length).collect();
                sink.write_all(&piece).unwrap();
                expected.extend_from_slice(&piece);
            }
            assert!(sink.capacity() >= expected.len());
            let (bytes, crc32) = sink.finish();
            assert_eq!((bytes.as_ref(), crc32), (expected.as_slice(), crc32fast::hash(&expected)));
            assert_eq!(bytes.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }

    #[test]
    fn nothing_is_an_object_of_no_bytes() {
        assert_eq!(Sink::default().finish(), (Bytes::new(), 0));
    }
}
