//! Why a call on a tunnel did not do what it was asked to.

use lakeferry_engine::WriteError;
use lakeferry_model::{TableName, Violation};

use super::{ChannelId, ClientId, TunnelId};

/// An error of a tunnel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The table has a tunnel of that name already.
    #[error("table '{table}' has a tunnel '{name}' already")]
    Exists {
        /// The table.
        table: TableName,
        /// The name asked for.
        name: String,
    },
    /// The table has as many tunnels as it may.
    #[error("table '{0}' has as many tunnels as it may")]
    Quota(TableName),
    /// So many clients are connected that no further one may be.
    #[error("tunnel '{0}' has as many clients as it may")]
    Clients(TunnelId),
    /// The table has no tunnel of that name.
    #[error("table '{table}' has no tunnel '{name}'")]
    NoSuchName {
        /// The table.
        table: TableName,
        /// The name asked for.
        name: String,
    },
    /// There is no such tunnel.
    #[error("there is no tunnel '{0}'")]
    NoSuchTunnel(TunnelId),
    /// The table has no stream, which the tunnel would read.
    #[error("table '{0}' has no stream")]
    NoStream(TableName),
    /// What the tunnel has yet to read is gone: the log was let go, or its stream was switched off.
    #[error("tunnel '{0}' has expired: what it has yet to read is gone")]
    Expired(TunnelId),
    /// The client never connected, has shut down, or sent no heartbeat in time.
    #[error("client '{0}' is not connected")]
    ClientGone(ClientId),
    /// The channel is not the client's, or not any more.
    #[error("channel '{0}' is not this client's")]
    ChannelGone(ChannelId),
    /// A checkpoint came with another number than the one after the last.
    #[error("the sequence number of the checkpoint is {given}, and {expected} is next")]
    Sequence {
        /// What came.
        given: i64,
        /// What should have come.
        expected: i64,
    },
    /// The store did not answer as it should.
    #[error("the store failed")]
    Store(#[from] crate::Error),
    /// The tunnels' space could not be read.
    #[error("read the tunnels of a table")]
    Read(#[source] lakeferry_engine::Error),
    /// The tunnels' space could not be written, as far as is known.
    #[error("write the tunnels of a table")]
    Write(#[source] WriteError),
    /// Others held the tunnel until the deadline; nothing was done.
    #[error("the tunnel is busy")]
    Busy,
    /// An entry is not what was written.
    #[error("a tunnel's entry is damaged")]
    Damaged(#[source] serde_json::Error),
}
