//! What fjall's errors mean to our callers.

use fjall::LsmError;

use crate::seam::{Error, WriteError};

/// The meaning of an error of anything but a commit.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
pub(super) fn of_read(error: fjall::Error) -> Error {
    match &error {
        fjall::Error::Io(_)
        | fjall::Error::Poisoned
        | fjall::Error::Locked
        | fjall::Error::KeyspaceDeleted
        | fjall::Error::Storage(LsmError::Io(_)) => Error::Unavailable(error.to_string()),
        _ => Error::Corrupt(error.to_string()),
    }
}

/// The meaning of an error of a commit.
pub(super) fn of_commit(error: &fjall::Error) -> WriteError {
    let cause = Error::Unavailable(error.to_string());
    match error {
        // The one error that a commit gives before it writes to the journal.
        fjall::Error::Poisoned => WriteError::NotWritten(cause),
        // Part of the batch may be in the journal, or all of it but unsynced; the rest may follow from a
        // buffer when the database is dropped.
        _ => WriteError::Unknown(cause),
    }
}
