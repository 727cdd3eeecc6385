//! What is written down about the tunnels of one table: the space `tunnels-{table id}`.
//!
//! ```text
//! key                     value (JSON)
//! t NAME                  TunnelEntry
//! c TUNNEL / CHANNEL      ChannelEntry
//! w TUNNEL / CLIENT       ClientEntry
//! ```
//!
//! A tunnel and its channels are written in one batch, so that there are both or neither. The name is in the key:
//! of two tunnels that share one, because nobody knows whether the first was written, the later stays, and the
//! channels of the other belong to nobody.

use std::fmt;
use std::sync::Arc;

use lakeferry_model::Micros;
use serde::{Deserialize, Serialize};

use crate::partition::PartitionId;

/// The format that this code writes.
pub(super) const FORMAT: u32 = 1;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes any text: one that names nothing is found out by whoever looks for it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type! {
    /// A tunnel's id, never used again.
    TunnelId
}
id_type! {
    /// A client's id: of one connection of a worker to a tunnel.
    ClientId
}
impl ClientId {
    /// Whether it is that of no client: what is told of a channel that nobody holds.
    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }
}

id_type! {
    /// A channel's id, unique within its tunnel: `BaseData_1`, or `Stream_` and the partition's number.
    ChannelId
}

/// What a tunnel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelKind {
    /// The rows that are there when it is made.
    BaseData,
    /// The changes.
    Stream,
    /// The rows, then every change since the tunnel was made.
    BaseAndStream,
}

/// Where a tunnel of changes begins. One that reads rows first begins where it was made, whatever is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAt {
    /// With the first change after it was made.
    #[default]
    Latest,
    /// With the oldest change that the log holds.
    Earliest,
    /// With the first change that is committed at this time or later.
    Time(Micros),
}

/// A tunnel to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelSpec {
    /// Its name, unique among the table's tunnels: 1 to 255 bytes, no control characters.
    pub name: String,
    /// What it reads.
    pub kind: TunnelKind,
    /// Where its changes begin.
    pub start: StartAt,
    /// Changes that are committed at this time or later are not read: the tunnel has an end.
    pub end: Option<Micros>,
}

/// A tunnel as it is written down; it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TunnelEntry {
    pub(super) format: u32,
    pub(super) id: TunnelId,
    pub(super) spec: TunnelSpec,
    /// The stream that it reads; if the table has another or none, what the tunnel needs is gone.
    pub(super) stream_id: Option<String>,
    pub(super) created_at: Micros,
}

/// How a channel is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelStatus {
    /// Nobody has had it yet.
    Wait,
    /// A client reads it.
    Open,
    /// Its client has been asked to give it back.
    Closing,
    /// Its client has given it back, or is gone.
    Close,
    /// It is read to its end.
    Terminated,
}

/// What a channel reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// The rows behind a key and up to another, which is among them; absent: the partition's bounds.
    Rows { after: Option<Vec<u8>>, until: Option<Vec<u8>> },
    /// The log.
    Log,
}

/// How far a channel is read. What clients hold as a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Of rows: those up to this key are read, or none yet.
    Rows {
        /// The bytes of the key.
        after: Option<Vec<u8>>,
        /// Rows read so far.
        count: u64,
    },
    /// Of the log: the records up to this sequence are read.
    Log {
        /// The sequence.
        after: u64,
        /// The commit time of the last record that was read, or where the channel began.
        time: Micros,
        /// Records read so far.
        count: u64,
    },
    /// It is read to its end.
    Finished,
}

/// A channel as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChannelEntry {
    pub(super) partition: PartitionId,
    pub(super) source: Source,
    pub(super) status: ChannelStatus,
    /// Rises with every change of the status, on either side.
    pub(super) version: i64,
    /// Who reads it, or is to give it back.
    pub(super) client: Option<ClientId>,
    /// Whether an operator has taken it out of circulation.
    #[serde(default)]
    pub(super) suspended: bool,
    pub(super) checkpoint: Position,
    /// The number of the last checkpoint; 0 before the first.
    pub(super) sequence_number: i64,
    /// Rows or records read up to the checkpoint.
    pub(super) count: u64,
}

/// A client as it is written down, so that it outlasts a restart of the server: workers do not connect again
/// before their own heartbeats time out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientEntry {
    /// Seconds without a heartbeat after which it is gone.
    pub(super) timeout_s: u32,
    /// What it calls itself.
    pub(super) tag: String,
}

impl Position {
    /// Rows or records read so far, as far as it is known.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Rows { count, .. } | Self::Log { count, .. } => Some(*count),
            Self::Finished => None,
        }
    }
}

impl ChannelEntry {
    pub(super) fn new(partition: PartitionId, source: Source, start: Position) -> Self {
        Self {
            partition,
            source,
            status: ChannelStatus::Wait,
            version: 0,
            client: None,
            suspended: false,
            checkpoint: start,
            sequence_number: 0,
            count: 0,
        }
    }

    pub(super) fn is_base(&self) -> bool {
        matches!(self.source, Source::Rows { .. })
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.status == ChannelStatus::Terminated
    }
}
