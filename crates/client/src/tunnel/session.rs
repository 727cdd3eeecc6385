//! One client of a tunnel, and the calls it has. [`TunnelWorker`](super::TunnelWorker) makes them all; they are
//! here for those who want to hold the channels themselves.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto::Message;
use lakeferry_wire::proto::tunnel::{self as proto, ChannelStatus};

use crate::error::Error;
use crate::record::ChangeRecord;
use crate::transport::Client;

/// The token behind a channel's last record.
pub const FINISHED: &str = "finished";

/// A client of a tunnel. It holds channels as long as its heartbeats come in time.
#[derive(Debug, Clone)]
pub struct TunnelSession {
    client: Client,
    tunnel_id: String,
    client_id: String,
}

/// What a client and the server tell one another about a channel. The greater version is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel's id.
    pub id: String,
    /// Grows with every change of the status, whoever makes it.
    pub version: i64,
    /// How the channel stands.
    pub status: ChannelStatus,
}

/// How far a channel has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The token to read on from, or [`FINISHED`].
    pub token: String,
    /// The number of the last checkpoint; the next one's is greater by 1.
    pub sequence_number: i64,
}

/// A page of a channel's records.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPage {
    /// The records, in their order.
    pub records: Vec<ChangeRecord>,
    /// The token behind them, or [`FINISHED`].
    pub next: String,
    /// Whether more can be read at once: as the server says, or as a page of this size suggests.
    pub has_more: bool,
}

/// A page without a word about more is taken for a full one beyond these many records or bytes, as the official
/// clients do.
const FULL_PAGE_RECORDS: usize = 500;
const FULL_PAGE_BYTES: usize = 900 * 1024;

impl Client {
    /// Joins a tunnel as a new client. `timeout` is how long it may be silent before its channels are given to
    /// others; `tag` says who it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connect_tunnel(
        &self,
        tunnel_id: &str,
        timeout: Duration,
        tag: &str,
    ) -> Result<TunnelSession, Error> {
        let config = proto::ClientConfig {
            timeout: Some(i64::try_from(timeout.as_secs().max(1)).unwrap_or(i64::MAX)),
            client_tag: Some(tag.to_owned()),
        };
        let request = proto::ConnectRequest { tunnel_id: tunnel_id.to_owned(), client_config: Some(config) };
        let answer: proto::ConnectResponse = self.call(Operation::TunnelConnect, &request).await?;
        Ok(TunnelSession {
            client: self.clone(),
            tunnel_id: tunnel_id.to_owned(),
            client_id: answer.client_id,
        })
    }
}

impl TunnelSession {
    /// The server's name for this client.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Says how this client's channels stand, and learns which it is to have: all of them, and no others.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn heartbeat(&self, channels: &[ChannelState]) -> Result<Vec<ChannelState>, Error> {
        let channels = channels.iter().map(|channel| proto::Channel {
            channel_id: channel.id.clone(),
            version: channel.version,
            status: channel.status.into(),
            detail: None,
        });
        let request = proto::HeartbeatRequest {
            tunnel_id: self.tunnel_id.clone(),
            client_id: self.client_id.clone(),
            channels: channels.collect(),
        };
        let answer: proto::HeartbeatResponse = self.client.call(Operation::TunnelHeartbeat, &request).await?;
        let channels = answer.channels.into_iter().map(|channel| {
            let status = ChannelStatus::try_from(channel.status)
                .map_err(|_| malformed(Operation::TunnelHeartbeat, "a channel's status is none"))?;
            Ok(ChannelState { id: channel.channel_id, version: channel.version, status })
        });
        channels.collect()
    }

    /// How far a channel has been read, by whomever.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn checkpoint(&self, channel: &str) -> Result<Checkpoint, Error> {
        let request = proto::GetCheckpointRequest {
            tunnel_id: self.tunnel_id.clone(),
            client_id: self.client_id.clone(),
            channel_id: channel.to_owned(),
        };
        let answer: proto::GetCheckpointResponse =
            self.client.call(Operation::TunnelGetCheckpoint, &request).await?;
        Ok(Checkpoint { token: answer.checkpoint, sequence_number: answer.sequence_number })
    }

    /// Writes down how far a channel has been read.
    ///
    /// # Errors
    /// See [`Error`]; `OTSSequenceNumberNotMatch` if the number is not the next one.
    pub async fn set_checkpoint(&self, channel: &str, checkpoint: &Checkpoint) -> Result<(), Error> {
        let request = proto::CheckpointRequest {
            tunnel_id: self.tunnel_id.clone(),
            client_id: self.client_id.clone(),
            channel_id: channel.to_owned(),
            checkpoint: checkpoint.token.clone(),
            sequence_number: checkpoint.sequence_number,
        };
        let proto::CheckpointResponse {} = self.client.call(Operation::TunnelCheckpoint, &request).await?;
        Ok(())
    }

    /// Reads records of a channel from a token on.
    ///
    /// # Errors
    /// See [`Error`]; `OTSResourceGone` if the channel is no longer this client's.
    pub async fn read(&self, channel: &str, token: &str) -> Result<ChannelPage, Error> {
        let request = proto::ReadRecordsRequest {
            tunnel_id: self.tunnel_id.clone(),
            client_id: self.client_id.clone(),
            channel_id: channel.to_owned(),
            token: token.to_owned(),
        };
        let answer: proto::ReadRecordsResponse =
            self.client.call(Operation::TunnelReadRecords, &request).await?;
        let bytes: usize = answer.records.iter().map(|record| record.record.len()).sum();
        let is_full = answer.records.len() > FULL_PAGE_RECORDS || bytes > FULL_PAGE_BYTES;
        let records = answer.records.iter().map(|record| {
            ChangeRecord::decode(record.action_type, &record.record, record.origin_record.as_ref())
                .map_err(|reason| malformed(Operation::TunnelReadRecords, reason))
        });
        Ok(ChannelPage {
            records: records.collect::<Result<_, _>>()?,
            next: answer.next_token,
            has_more: answer.may_more_record.unwrap_or(is_full),
        })
    }

    /// Leaves the tunnel. Its channels are given to others.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shutdown(self) -> Result<(), Error> {
        let request = proto::ShutdownRequest { tunnel_id: self.tunnel_id, client_id: self.client_id };
        let proto::ShutdownResponse {} = self.client.call(Operation::TunnelShutdown, &request).await?;
        Ok(())
    }
}

/// Whether a token stands in a stream, where there may be nothing to read for a while; else in base data.
pub(crate) fn is_in_stream(token: &str) -> bool {
    let token = BASE64.decode(token).ok().and_then(|bytes| proto::Token::decode(Bytes::from(bytes)).ok());
    // Both versions of the content have the iterator in the same field.
    let content = token.and_then(|token| proto::TokenContent::decode(token.content).ok());
    content.and_then(|content| content.iterator).is_some_and(|iterator| !iterator.is_empty())
}

fn malformed(operation: Operation, reason: impl std::fmt::Display) -> Error {
    Error::malformed(operation, reason)
}
