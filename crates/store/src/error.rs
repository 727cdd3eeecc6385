//! What can go wrong, precisely inside, in a handful of kinds outside.

use lakeferry_engine::WriteError;
use lakeferry_model::{InstanceName, TableName, Violation};

/// A call that did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The row is not as the write expects it.
    #[error("the row is not as the write expects it")]
    ConditionFailed,
    /// Another writer holds the row or its partition key; nothing was written.
    #[error("the row is being written by others")]
    Conflict,
    /// There is no such transaction, or its time is over.
    #[error("there is no such transaction")]
    NoSuchTransaction,
    /// There is no such instance.
    #[error("there is no instance `{0}`")]
    NoSuchInstance(InstanceName),
    /// There is no such table, or it is being deleted.
    #[error("there is no table `{0}`")]
    NoSuchTable(TableName),
    /// It is an index, which is only read.
    #[error("`{0}` is an index, which is only read")]
    IsIndex(TableName),
    /// The table has no such index.
    #[error("there is no index `{0}`")]
    NoSuchIndex(TableName),
    /// The index does not hold all rows yet.
    #[error("the index `{0}` is being built")]
    IndexBuilding(TableName),
    /// The name is taken.
    #[error("there is a table `{0}` already")]
    TableExists(TableName),
    /// The name is taken.
    #[error("there is {what} `{name}` already")]
    Exists {
        /// What bears the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An instance holds as many tables as it may.
    #[error("instance `{0}` holds as many tables as it may")]
    TableQuota(InstanceName),
    /// A row would grow beyond what one entry may hold.
    #[error(
        "the row takes {bytes} bytes with all its columns and versions; at most {bytes_max} are possible"
    )]
    RowTooLarge {
        /// What it would take.
        bytes: usize,
        /// What is possible.
        bytes_max: usize,
    },
    /// The disk is at its reserve; nothing was written.
    #[error("{free} bytes are free on the disk and {reserve} must stay free")]
    AtReserve {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// Nothing was written; a later try may succeed.
    #[error("the partition takes no writes now: {0}")]
    NotWritten(String),
    /// A read failed; a later try may succeed.
    #[error("read from the engine")]
    Read(#[source] lakeferry_engine::Error),
    /// The write may have happened or not.
    #[error("whether it was written is not known")]
    Unknown(#[source] lakeferry_engine::Error),
    /// The log before this sequence is gone.
    #[error("the log before sequence {trimmed} is gone")]
    LogTrimmed {
        /// The greatest sequence that is gone.
        trimmed: u64,
    },
    /// Bytes on disk are not what was written.
    #[error("damaged data: {0}")]
    Corrupt(String),
}

/// What an [`Error`] means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind<'a> {
    /// Wrong; sending it again fails again.
    Invalid(&'a Violation),
    /// The row is not as the write expects it.
    ConditionFailed,
    /// Another writer holds the row; nothing was written.
    Conflict,
    /// There is no such transaction, or its time is over.
    NoSuchTransaction,
    /// There is no such instance.
    NoSuchInstance,
    /// There is no such table.
    NoSuchTable,
    /// The table's name is taken.
    TableExists,
    /// It is an index, which is only read.
    IsIndex(&'a TableName),
    /// The index cannot be read yet; a later try may succeed.
    IndexBuilding,
    /// Another name is taken.
    Exists,
    /// Something named is not there.
    NotFound,
    /// A quota is used up.
    QuotaExhausted,
    /// A row would grow too large.
    RowTooLarge,
    /// The disk is at its reserve; nothing was written.
    AtReserve,
    /// Nothing was written or read; a later try may succeed.
    Unavailable,
    /// The write may have happened or not.
    Unknown,
    /// Bytes on disk are not what was written.
    Corrupt,
}

impl Error {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind<'_> {
        match self {
            Self::Invalid(violation) => ErrorKind::Invalid(violation),
            Self::ConditionFailed => ErrorKind::ConditionFailed,
            Self::Conflict => ErrorKind::Conflict,
            Self::NoSuchTransaction => ErrorKind::NoSuchTransaction,
            Self::NoSuchInstance(_) => ErrorKind::NoSuchInstance,
            Self::NoSuchTable(_) => ErrorKind::NoSuchTable,
            Self::TableExists(_) => ErrorKind::TableExists,
            Self::IsIndex(name) => ErrorKind::IsIndex(name),
            Self::NoSuchIndex(_) => ErrorKind::NotFound,
            Self::IndexBuilding(_) => ErrorKind::IndexBuilding,
            Self::Exists { .. } => ErrorKind::Exists,
            Self::TableQuota(_) => ErrorKind::QuotaExhausted,
            Self::RowTooLarge { .. } => ErrorKind::RowTooLarge,
            Self::AtReserve { .. } => ErrorKind::AtReserve,
            Self::NotWritten(_) => ErrorKind::Unavailable,
            Self::Read(lakeferry_engine::Error::Corrupt(_)) | Self::Corrupt(_) => ErrorKind::Corrupt,
            // A space goes with its table or index, which was dropped meanwhile.
            Self::Read(lakeferry_engine::Error::SpaceGone(_)) => ErrorKind::NoSuchTable,
            Self::Read(_) => ErrorKind::Unavailable,
            Self::Unknown(_) => ErrorKind::Unknown,
            Self::LogTrimmed { .. } => ErrorKind::NotFound,
        }
    }

    /// Whether a write that ended so may have happened: then it holds, since it is written again with the next one.
    pub(crate) fn may_be_written(&self) -> bool {
        !matches!(self, Self::NotWritten(_))
    }
}

impl From<lakeferry_engine::Error> for Error {
    fn from(error: lakeferry_engine::Error) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotWritten(error) => Self::NotWritten(error.to_string()),
            WriteError::Unknown(error) => Self::Unknown(error),
        }
    }
}
