//! Fjall's journal files, as they lie in its directory: those that are full, and the one in use.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The journals by their numbers, which rise. The newest is the one in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journals {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    /// Bytes written to the one in use. Its length says nothing, since fjall makes it long from the start.
    pub(super) newest_bytes: u64,
    /// Bytes written to all of them.
    pub(super) bytes: u64,
}

impl Journals {
    pub(super) fn find(dir: &Path) -> io::Result<Self> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let number =
                path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
            // One that is flushed may be removed at any moment.
            if let (Some(number), Ok(metadata)) = (number, path.metadata()) {
                found.push((number, metadata.blocks() * 512));
            }
        }
        found.sort_unstable();
        let oldest = found.first().map_or(0, |first| first.0);
        let (newest, newest_bytes) = found.last().copied().unwrap_or_default();
        let bytes = found.iter().map(|(_, bytes)| bytes).sum();
        Ok(Self { oldest, newest, newest_bytes, bytes })
    }

    /// Whether no full journal is left of those with numbers up to this one.
    pub(super) fn are_gone_up_to(&self, number: u64) -> bool {
        self.oldest > number || self.oldest == self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_use_is_the_one_of_the_greatest_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Journals::find(folder.path()).unwrap(), Journals::default());
        for (name, bytes) in [("9.jnl", 1), ("10.jnl", 8_192), ("lock", 1), ("x.jnl", 1)] {
            std::fs::write(folder.path().join(name), vec![1; bytes]).unwrap();
        }
        let journals = Journals::find(folder.path()).unwrap();
        assert_eq!((journals.oldest, journals.newest), (9, 10));
        assert!(journals.newest_bytes >= 8_192);
    }

    #[test]
    fn full_journals_are_gone_when_only_the_one_in_use_is_left_or_younger_ones() {
        let of = |oldest, newest| Journals { oldest, newest, newest_bytes: 0, bytes: 0 };
        assert!(!of(3, 5).are_gone_up_to(3));
        assert!(of(4, 5).are_gone_up_to(3));
        assert!(of(3, 3).are_gone_up_to(3));
    }
}
