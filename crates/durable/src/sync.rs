//! Every sync in our own code.

use std::fs::File;
use std::io;
use std::path::Path;

/// A sync, by the name of what it makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sync {
    /// A group of the engine: rows, change records, heads, task progress. Synced by fjall's own journal; the
    /// durability it is asked for hangs on [`Sync::is_on`].
    EngineCommit,
    /// An object's bytes, before it gets its name.
    ObjectFile,
    /// The parents of folders made for an object.
    ObjectParents,
    /// The folder in which an object got its name.
    ObjectFolder,
    /// The data directory's name in its parent, when it is made.
    DataFolder,
    /// The first access key's file, and its folder.
    KeyFile,
}

impl Sync {
    /// All syncs.
    pub const ALL: [Self; 6] = [
        Self::EngineCommit,
        Self::ObjectFile,
        Self::ObjectParents,
        Self::ObjectFolder,
        Self::DataFolder,
        Self::KeyFile,
    ];

    /// The name that `LAKEFERRY_SYNC_OFF` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::EngineCommit => "engine.commit",
            Self::ObjectFile => "object.file",
            Self::ObjectParents => "object.parents",
            Self::ObjectFolder => "object.folder",
            Self::DataFolder => "data.folder",
            Self::KeyFile => "key.file",
        }
    }

    /// Makes a file's bytes durable.
    ///
    /// # Errors
    /// What the system says; the file's state is then unknown.
    pub fn file(self, file: &File) -> io::Result<()> {
        if self.is_on() { file.sync_all() } else { Ok(()) }
    }

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn folder(self, folder: &Path) -> io::Result<()> {
        if self.is_on() { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// Whether the sync happens. Always, but in a build with the feature `faults`.
    #[cfg(not(feature = "faults"))]
    pub fn is_on(self) -> bool {
        true
    }

    /// Whether the sync happens.
    #[cfg(feature = "faults")]
    pub fn is_on(self) -> bool {
        use std::sync::OnceLock;
        static OFF: OnceLock<Vec<String>> = OnceLock::new();
        let off = OFF.get_or_init(|| {
            let names = std::env::var("LAKEFERRY_SYNC_OFF").unwrap_or_default();
            names.split(',').map(str::to_owned).collect()
        });
        !off.iter().any(|name| name == self.name())
    }
}
