//! Tunnels: a table's rows and changes, handed out in channels, with the server keeping who has read how far.
//!
//! - Here are the calls that make, list, describe and delete tunnels.
//! - [`session`] has the calls of one client of a tunnel: heartbeats, reading, checkpoints.
//! - [`worker`] holds a session, and reads each channel that the server assigns to it ([`channel`]).

mod channel;
mod session;
mod worker;

use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto::tunnel as proto;

use crate::error::Error;
use crate::transport::Client;

pub use channel::{ChannelRecords, ProcessError, Processor};
pub use lakeferry_wire::proto::tunnel::ChannelStatus;
pub use session::{ChannelPage, ChannelState, Checkpoint, FINISHED, TunnelSession};
pub use worker::{TunnelWorker, WorkerSettings};

/// What a tunnel hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelKind {
    /// The rows that the table has.
    BaseData,
    /// The changes from now on, or from another start.
    Stream,
    /// The rows, then the changes since the tunnel was made.
    BaseAndStream,
}

/// Where the changes of a [`TunnelKind::Stream`] begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TunnelStart {
    /// With the next one.
    #[default]
    Latest,
    /// With the first that there is.
    Earliest,
    /// With the first of this time or later, in nanoseconds since the epoch.
    At(u64),
}

/// A tunnel in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelInfo {
    /// Its id, by which it is read.
    pub id: String,
    /// Its name, unique within its table.
    pub name: String,
    /// The table.
    pub table: String,
    /// What it hands out, in the protocol's words: `BaseData`, `Stream` or `BaseAndStream`.
    pub kind: String,
    /// How far it is: `InitBaseDataAndStreamShard`, `ProcessBaseData` or `ProcessStream`.
    pub stage: String,
    /// Whether it fell too far behind to be read on.
    pub is_expired: bool,
    /// When it was made, in nanoseconds since the epoch, if the server says so.
    pub created_at_ns: Option<i64>,
}

/// A tunnel with its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelChannels {
    /// The tunnel.
    pub tunnel: TunnelInfo,
    /// Its channels.
    pub channels: Vec<ChannelInfo>,
    /// Up to when its changes have been read, in nanoseconds since the epoch.
    pub read_until_ns: Option<i64>,
}

/// A channel as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its id.
    pub id: String,
    /// `BaseData` or `Stream`.
    pub kind: String,
    /// `WAIT`, `OPEN`, `CLOSING`, `CLOSE` or `TERMINATED`.
    pub status: String,
    /// The session that it is assigned to; empty for none.
    pub client_id: String,
    /// Up to when it has been read, in nanoseconds since the epoch.
    pub read_until_ns: Option<i64>,
    /// Records read so far.
    pub records: i64,
}

impl Client {
    /// Makes a tunnel, and gives its id. Only a [`TunnelKind::Stream`] looks at `start`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_tunnel(
        &self,
        table: &str,
        name: &str,
        kind: TunnelKind,
        start: TunnelStart,
    ) -> Result<String, Error> {
        let tunnel_type = match kind {
            TunnelKind::BaseData => proto::TunnelType::BaseData,
            TunnelKind::Stream => proto::TunnelType::Stream,
            TunnelKind::BaseAndStream => proto::TunnelType::BaseAndStream,
        };
        let tunnel = proto::Tunnel {
            table_name: table.to_owned(),
            tunnel_name: name.to_owned(),
            tunnel_type: tunnel_type.into(),
            stream_tunnel_config: (kind == TunnelKind::Stream).then(|| start.to_message()),
            need_all_time_series_columns: None,
        };
        let request = proto::CreateTunnelRequest { tunnel };
        let answer: proto::CreateTunnelResponse = self.call(Operation::TunnelCreate, &request).await?;
        Ok(answer.tunnel_id)
    }

    /// Deletes a tunnel. Its readers find it gone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_tunnel(&self, table: &str, name: &str) -> Result<(), Error> {
        let request = proto::DeleteTunnelRequest {
            table_name: table.to_owned(),
            tunnel_name: name.to_owned(),
            tunnel_id: None,
        };
        let proto::DeleteTunnelResponse {} = self.call(Operation::TunnelDelete, &request).await?;
        Ok(())
    }

    /// The tunnels of a table.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_tunnels(&self, table: &str) -> Result<Vec<TunnelInfo>, Error> {
        let request = proto::ListTunnelRequest { table_name: Some(table.to_owned()) };
        let answer: proto::ListTunnelResponse = self.call(Operation::TunnelList, &request).await?;
        Ok(answer.tunnels.into_iter().map(tunnel_info).collect())
    }

    /// Describes a tunnel and its channels.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_tunnel(&self, table: &str, name: &str) -> Result<TunnelChannels, Error> {
        let request = proto::DescribeTunnelRequest {
            table_name: table.to_owned(),
            tunnel_name: name.to_owned(),
            tunnel_id: None,
        };
        let answer: proto::DescribeTunnelResponse = self.call(Operation::TunnelDescribe, &request).await?;
        let channels = answer.channels.into_iter().map(|channel| ChannelInfo {
            id: channel.channel_id,
            kind: channel.channel_type.unwrap_or_default(),
            status: channel.channel_status.unwrap_or_default(),
            client_id: channel.client_id.unwrap_or_default(),
            read_until_ns: channel.channel_rpo,
            records: channel.channel_count.unwrap_or_default(),
        });
        Ok(TunnelChannels {
            channels: channels.collect(),
            tunnel: tunnel_info(answer.tunnel),
            read_until_ns: answer.tunnel_rpo,
        })
    }
}

impl TunnelStart {
    fn to_message(self) -> proto::StreamTunnelConfig {
        let (flag, start_offset) = match self {
            Self::Latest => (proto::StartOffsetFlag::Latest, None),
            Self::Earliest => (proto::StartOffsetFlag::Earliest, None),
            Self::At(ns) => (proto::StartOffsetFlag::Latest, Some(ns)),
        };
        proto::StreamTunnelConfig { flag: Some(flag.into()), start_offset, end_offset: None }
    }
}

fn tunnel_info(tunnel: proto::TunnelInfo) -> TunnelInfo {
    TunnelInfo {
        id: tunnel.tunnel_id,
        name: tunnel.tunnel_name.unwrap_or_default(),
        table: tunnel.table_name,
        kind: tunnel.tunnel_type,
        stage: tunnel.stage,
        is_expired: tunnel.expired.unwrap_or_default(),
        created_at_ns: tunnel.create_time,
    }
}
