//! Places between two steps, where a crash must lose nothing.

/// A place that the program passes, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A group is durable in the engine, no writer has been answered.
    EngineCommitted,
    /// A task's catalog entry is written, its log is not pinned.
    TaskEntered,
    /// A cut is decided and not yet written down.
    CutDecided,
    /// A cut is prepared, nothing of it is uploaded.
    CutPrepared,
    /// An object's temporary file is synced and has no name.
    ObjectWritten,
    /// An object has its name, its folder is not synced.
    ObjectNamed,
    /// An object is whole and durable.
    ObjectDurable,
    /// All objects of a cut are uploaded, its manifest is not.
    CutUploaded,
    /// The manifest is uploaded, the cut is not committed.
    CutManifested,
    /// The cut is committed.
    CutCommitted,
    /// The last scan of the full phase is committed, the phase has not moved.
    FullScanned,
    /// An update is written down, its task's lanes have not heard of it.
    UpdatePrepared,
    /// No folder is ahead any more, the destination that waits for that is not in force.
    UpdateLevel,
    /// Another destination is in force, its names are not listed.
    UpdateInForce,
    /// A run's prepared cuts are given up, its new lanes are not started.
    RunBegun,
    /// A deleted task's mark is written, its rest is not cleared away.
    TaskDeleted,
    /// The first access key's file is in place, and the key is in the catalog.
    KeyFileWritten,
}

impl Place {
    /// All places.
    pub const ALL: [Self; 17] = [
        Self::EngineCommitted,
        Self::TaskEntered,
        Self::CutDecided,
        Self::CutPrepared,
        Self::ObjectWritten,
        Self::ObjectNamed,
        Self::ObjectDurable,
        Self::CutUploaded,
        Self::CutManifested,
        Self::CutCommitted,
        Self::FullScanned,
        Self::UpdatePrepared,
        Self::UpdateLevel,
        Self::UpdateInForce,
        Self::RunBegun,
        Self::TaskDeleted,
        Self::KeyFileWritten,
    ];

    /// The name that `LAKEFERRY_KILL_AT` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::EngineCommitted => "engine.committed",
            Self::TaskEntered => "task.entered",
            Self::CutDecided => "cut.decided",
            Self::CutPrepared => "cut.prepared",
            Self::ObjectWritten => "object.written",
            Self::ObjectNamed => "object.named",
            Self::ObjectDurable => "object.durable",
            Self::CutUploaded => "cut.uploaded",
            Self::CutManifested => "cut.manifested",
            Self::CutCommitted => "cut.committed",
            Self::FullScanned => "full.scanned",
            Self::UpdatePrepared => "update.prepared",
            Self::UpdateLevel => "update.level",
            Self::UpdateInForce => "update.in_force",
            Self::RunBegun => "run.begun",
            Self::TaskDeleted => "task.deleted",
            Self::KeyFileWritten => "key.file",
        }
    }

    /// Passes the place. Ends the process here if the environment of a test says so.
    #[cfg(not(feature = "faults"))]
    pub fn pass(self) {}

    /// Passes the place. Ends the process here if the environment says so.
    #[cfg(feature = "faults")]
    #[expect(unsafe_code, reason = "SIGKILL to ourselves has no safe spelling in std")]
    pub fn pass(self) {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU64, Ordering};
        static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("LAKEFERRY_KILL_AT").ok()?;
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_owned(), count.parse().ok()?))
        });
        let Some((name, count)) = wanted else { return };
        if name == self.name() && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count {
            // SAFETY: kill and getpid touch no memory of ours.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            // The signal may reach another thread first: nothing may be done past this place meanwhile.
            loop {
                std::thread::park();
            }
        }
    }
}
