//! What can go wrong when somebody asks something of the delivery tasks.
//!
//! What keeps a task from delivering is no error of this kind: it is shown in the task's status, see
//! [`crate::trouble`].

use lakeferry_engine::WriteError;
use lakeferry_model::{TableName, TaskName, Violation};

/// Why a call did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The table has no task of that name.
    #[error("table '{table}' has no delivery task '{task}'")]
    NoSuchTask {
        /// The table.
        table: TableName,
        /// The name asked for.
        task: TaskName,
    },
    /// The table has a task of that name already.
    #[error("table '{table}' has a delivery task '{task}' already")]
    Exists {
        /// The table.
        table: TableName,
        /// The name asked for.
        task: TaskName,
    },
    /// A task of another table has the same name, bucket and folders, so that their objects could share names.
    #[error(
        "task '{task}' of table '{table}' delivers under the same names into bucket '{bucket}'; choose another task name or prefix"
    )]
    NamesShared {
        /// The other task's table.
        table: TableName,
        /// The name of both tasks.
        task: TaskName,
        /// The bucket of both.
        bucket: String,
    },
    /// The task is in INIT; it can be changed and deleted in a few seconds.
    #[error("delivery task '{0}' is being initialized; try again later")]
    Initializing(TaskName),
    /// The store did not answer as it should.
    #[error("the store failed")]
    Store(#[from] lakeferry_store::Error),
    /// The tasks' space could not be read.
    #[error("delivery tasks could not be read")]
    ReadTasks(#[source] lakeferry_engine::Error),
    /// The tasks' space could not be written, as far as is known.
    #[error("the delivery task could not be written")]
    WriteTasks(#[source] WriteError),
    /// The deadline passed; what was asked for goes on in the background.
    #[error("the delivery task did not get there in time; it goes on in the background")]
    Deadline,
    /// An entry of a tasks' space is not what was written.
    #[error("a delivery task's entry is damaged: {0}")]
    Damaged(&'static str),
    /// An entry of a tasks' space is not what was written.
    #[error("a delivery task's entry is damaged")]
    DamagedEntry(#[source] serde_json::Error),
    /// A newer program wrote the entry.
    #[error("a delivery task was written in format {0}, by a newer program")]
    TooNew(u32),
    /// Delivery is closed.
    #[error("delivery is closed")]
    Closed,
}

/// What an [`Error`] means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; sending it again fails again.
    Invalid,
    /// There is no such task.
    NotFound,
    /// The name is taken.
    Exists,
    /// The task is in INIT; try again in a few seconds.
    Initializing,
    /// Nothing was done; try again later.
    Unavailable,
    /// It may have been done or not, or it goes on in the background.
    Unknown,
    /// The bytes on disk are not the bytes that were written.
    Corrupt,
}

impl Error {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NoSuchTask { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::NamesShared { .. } => ErrorKind::Exists,
            Self::Initializing(_) => ErrorKind::Initializing,
            Self::ReadTasks(lakeferry_engine::Error::Corrupt(_)) => ErrorKind::Corrupt,
            Self::Store(_) | Self::ReadTasks(_) | Self::Closed => ErrorKind::Unavailable,
            Self::WriteTasks(WriteError::NotWritten(_)) => ErrorKind::Unavailable,
            Self::WriteTasks(WriteError::Unknown(_)) | Self::Deadline => ErrorKind::Unknown,
            Self::Damaged(_) | Self::DamagedEntry(_) | Self::TooNew(_) => ErrorKind::Corrupt,
        }
    }
}
