//! What the operations on tunnels share: finding a tunnel, tokens, the protocol's words, and errors.

use std::sync::Arc;

use lakeferry_engine::WriteError;
use lakeferry_model::{TableName, TableSchema, Violation};
use lakeferry_store::tunnel::{
    ChannelReport, ChannelStatus, Error, Position, Stage, StartAt, Tunnel, TunnelDescription, TunnelId,
    TunnelKind,
};
use lakeferry_store::{Table, key};
use lakeferry_wire::code::{ErrorCode, message};
use lakeferry_wire::convert::ChannelToken;
use lakeferry_wire::proto::tunnel as proto;

use super::Call;
use crate::error::{ApiError, chain};

/// Times are nanoseconds on the tunnels' wire, and microseconds within.
pub const NANOS_PER_MICRO: i64 = 1000;

impl Call {
    /// A tunnel of the caller's instance by its id.
    pub(super) fn tunnel(&self, id: &str) -> Result<Arc<Tunnel>, ApiError> {
        Ok(self.shared.tunnels.find(&self.instance, &TunnelId::new(id))?)
    }

    /// A table by its name, and its tunnel by name. A tunnel of a table that is not there is as unknown as any
    /// other, by the one code that clients expect when they clear away what may not be there.
    pub(super) fn named_tunnel(&self, table: &str, name: &str) -> Result<(Table, Arc<Tunnel>), ApiError> {
        let table = self.table(&TableName::parse(table)?).map_err(|error| match error.code {
            ErrorCode::ObjectNotExist => ApiError { code: ErrorCode::ParameterInvalid, ..error },
            _ => error,
        })?;
        let tunnel = self.shared.tunnels.find_by_name(&table, name)?;
        Ok((table, tunnel))
    }
}

/// A position as clients carry it.
///
/// # Errors
/// If it holds a key that does not fit the schema: it is damaged.
pub fn token(position: &Position, schema: &TableSchema) -> Result<String, ApiError> {
    let token = match position {
        Position::Rows { after, count } => {
            let after = after.as_deref().map(|after| key::decode(after, &schema.primary_key)).transpose()?;
            let names = || schema.primary_key.iter().map(|column| column.name.as_str().into());
            let after = after.map(|key| names().zip(key.values().iter().cloned()).collect());
            ChannelToken::Rows { after, count: *count }
        }
        Position::Log { after, time, count } => {
            ChannelToken::Log { after: *after, time: *time, count: *count }
        }
        Position::Finished => ChannelToken::Finished,
    };
    Ok(token.encode())
}

/// Takes a position as clients carry it.
///
/// # Errors
/// If it is none, or its key does not fit the schema.
pub fn position(token: &str, schema: &TableSchema) -> Result<Position, Violation> {
    Ok(match ChannelToken::parse(token)? {
        ChannelToken::Rows { after, count } => {
            let after = after.map(|columns| schema.key(columns)).transpose()?;
            Position::Rows { after: after.as_ref().map(key::encoded), count }
        }
        ChannelToken::Log { after, time, count } => Position::Log { after, time, count },
        ChannelToken::Finished => Position::Finished,
    })
}

/// A tunnel as answers tell it.
pub fn info(tunnel: &Tunnel, described: &TunnelDescription) -> proto::TunnelInfo {
    let table = tunnel.table().info();
    proto::TunnelInfo {
        tunnel_id: described.id.to_string(),
        tunnel_type: kind_name(described.spec.kind).to_owned(),
        table_name: table.schema.name.as_str().to_owned(),
        instance_name: table.instance.as_str().to_owned(),
        stream_id: described.stream_id.clone().unwrap_or_default(),
        stage: match described.stage {
            Stage::ProcessBaseData => "ProcessBaseData",
            Stage::ProcessStream => "ProcessStream",
        }
        .to_owned(),
        expired: Some(described.expired),
        tunnel_name: Some(described.spec.name.clone()),
        public: Some(true),
        stream_tunnel_config: Some(stream_config(described)),
        create_time: Some(described.created_at.saturating_mul(NANOS_PER_MICRO)),
    }
}

fn stream_config(described: &TunnelDescription) -> proto::StreamTunnelConfig {
    let nanos = |micros: i64| u64::try_from(micros.saturating_mul(NANOS_PER_MICRO)).unwrap_or(0);
    let (flag, start_offset) = match described.spec.start {
        StartAt::Latest => (proto::StartOffsetFlag::Latest, None),
        StartAt::Earliest => (proto::StartOffsetFlag::Earliest, None),
        StartAt::Time(time) => (proto::StartOffsetFlag::Latest, Some(nanos(time))),
    };
    proto::StreamTunnelConfig {
        flag: Some(flag.into()),
        start_offset,
        end_offset: described.spec.end.map(nanos),
    }
}

fn kind_name(kind: TunnelKind) -> &'static str {
    match kind {
        TunnelKind::BaseData => "BaseData",
        TunnelKind::Stream => "Stream",
        TunnelKind::BaseAndStream => "BaseAndStream",
    }
}

/// The kind of a channel by its name.
pub fn channel_kind(is_base: bool) -> &'static str {
    if is_base { "BaseData" } else { "Stream" }
}

/// How a channel is doing by its name.
pub fn status_name(status: ChannelStatus) -> &'static str {
    match status {
        ChannelStatus::Wait => "WAIT",
        ChannelStatus::Open => "OPEN",
        ChannelStatus::Closing => "CLOSING",
        ChannelStatus::Close => "CLOSE",
        ChannelStatus::Terminated => "TERMINATED",
    }
}

/// A channel as heartbeats tell it.
pub fn channel(report: &ChannelReport) -> proto::Channel {
    let status = match report.status {
        ChannelStatus::Open => proto::ChannelStatus::Open,
        ChannelStatus::Closing => proto::ChannelStatus::Closing,
        // Heartbeats tell of no channel that nobody has had; the wire has no word for it.
        ChannelStatus::Close | ChannelStatus::Wait => proto::ChannelStatus::Close,
        ChannelStatus::Terminated => proto::ChannelStatus::Terminated,
    };
    proto::Channel {
        channel_id: report.id.to_string(),
        version: report.version,
        status: status.into(),
        detail: None,
    }
}

/// Takes the status of a channel.
///
/// # Errors
/// If it is none.
pub fn status(number: i32) -> Result<ChannelStatus, ApiError> {
    let status = proto::ChannelStatus::try_from(number)
        .map_err(|_| ApiError::parameter(format!("Invalid channel status: {number}.")))?;
    Ok(match status {
        proto::ChannelStatus::Open => ChannelStatus::Open,
        proto::ChannelStatus::Closing => ChannelStatus::Closing,
        proto::ChannelStatus::Close => ChannelStatus::Close,
        proto::ChannelStatus::Terminated => ChannelStatus::Terminated,
    })
}

/// Workers end at OTSTunnelExpired and OTSParameterInvalid, connect again or give a channel back at
/// OTSResourceGone, read their checkpoint again at OTSSequenceNumberNotMatch, and wait at
/// OTSTunnelServerUnavailable.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let told = chain(&error);
        let new = |code| Self::new(code, format!("{}.", first_upper(&told)));
        match error {
            Error::Invalid(violation) => violation.into(),
            Error::Exists { .. } => new(ErrorCode::TunnelExist),
            Error::Quota(_) | Error::Clients(_) => new(ErrorCode::QuotaExhausted),
            Error::NoSuchName { .. } | Error::NoSuchTunnel(_) | Error::NoStream(_) => {
                new(ErrorCode::ParameterInvalid)
            }
            Error::Expired(_) => new(ErrorCode::TunnelExpired),
            Error::ClientGone(_) | Error::ChannelGone(_) => new(ErrorCode::ResourceGone),
            Error::Sequence { .. } => new(ErrorCode::SequenceNumberNotMatch),
            Error::Store(error) => match Self::from(error) {
                // Nothing was written, and what was read is not there: workers wait.
                error if matches!(error.code, ErrorCode::ServerBusy | ErrorCode::ServerUnavailable) => {
                    Self { code: ErrorCode::TunnelServerUnavailable, ..error }
                }
                error => error,
            },
            Error::Read(_) | Error::Write(WriteError::NotWritten(_)) | Error::Busy => {
                Self::internal(ErrorCode::TunnelServerUnavailable, message::SERVER_UNAVAILABLE, told)
            }
            Error::Write(WriteError::Unknown(_)) => {
                Self::internal(ErrorCode::Timeout, message::TIMEOUT, told)
            }
            Error::Damaged(_) => Self::internal(ErrorCode::InternalServerError, message::INTERNAL, told),
        }
    }
}

fn first_upper(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
