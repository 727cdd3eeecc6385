//! One tunnel: what its clients ask of it. Every change of its state is durable before it is shown.

use std::time::Instant;

use lakeferry_engine::WriteError;
use lakeferry_model::Micros;
use tokio::sync::{Mutex, MutexGuard};

use super::entry::{ChannelEntry, ClientEntry, TunnelEntry};
use super::page::{self, Page, Times};
use super::space::{TunnelSpace, Writes};
use super::state::{Client, State};
use super::{
    CLIENTS_MAX, ChannelId, ChannelReport, ChannelStatus, ClientId, Error, Position, StartAt, TAG_CHARS_MAX,
    TIMEOUT_S, TIMEOUT_S_MAX, TunnelId, TunnelKind, TunnelSpec, new_id,
};
use crate::partition::Partition;
use crate::store::Store;
use crate::table::Table;

/// A tunnel.
#[derive(Debug)]
pub struct Tunnel {
    store: Store,
    table: Table,
    space: TunnelSpace,
    entry: TunnelEntry,
    state: Mutex<Kept>,
}

/// The state as it is durable.
#[derive(Debug)]
struct Kept {
    state: State,
    /// Whether more may be written than is known, or less: a deletion. It is written over with the next change.
    unsettled: bool,
    deleted: bool,
}

/// Which part of its work a tunnel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It reads rows.
    ProcessBaseData,
    /// All rows are read, or there were none to read.
    ProcessStream,
}

/// A tunnel as described to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelDescription {
    /// Its id.
    pub id: TunnelId,
    /// What was asked for.
    pub spec: TunnelSpec,
    /// The stream that it reads, if it reads changes.
    pub stream_id: Option<String>,
    /// When it was made, in microseconds since the epoch.
    pub created_at: Micros,
    /// Which part of its work it does.
    pub stage: Stage,
    /// Whether what it has yet to read is gone.
    pub expired: bool,
    /// Its channels, by id.
    pub channels: Vec<ChannelDescription>,
}

/// A channel as described to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelDescription {
    /// Its id.
    pub id: ChannelId,
    /// Whether it reads rows; else it reads a log.
    pub is_base: bool,
    /// How it is doing.
    pub status: ChannelStatus,
    /// Who has it.
    pub client: Option<ClientId>,
    /// The time up to which everything is read and checkpointed, in microseconds since the epoch.
    pub read_until: Micros,
    /// Rows or records read up to the last checkpoint.
    pub count: u64,
}

impl Tunnel {
    pub(super) fn new(
        store: Store,
        table: Table,
        space: TunnelSpace,
        entry: TunnelEntry,
        state: State,
    ) -> Self {
        let kept = Kept { state, unsettled: false, deleted: false };
        Self { store, table, space, entry, state: Mutex::new(kept) }
    }

    /// Its id.
    pub fn id(&self) -> &TunnelId {
        &self.entry.id
    }

    /// The table that it reads.
    pub fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn entry(&self) -> &TunnelEntry {
        &self.entry
    }

    /// Describes the tunnel and its channels.
    ///
    /// # Errors
    /// If others hold it until the deadline.
    pub async fn describe(&self, deadline: Instant) -> Result<TunnelDescription, Error> {
        let mut state = self.hold(deadline).await?.state.clone();
        state.forget_silent(self.store.clock().monotonic());
        let stage = if self.entry.spec.kind == TunnelKind::Stream || state.base_is_done() {
            Stage::ProcessStream
        } else {
            Stage::ProcessBaseData
        };
        let channel = |(id, channel): (&ChannelId, &ChannelEntry)| ChannelDescription {
            id: id.clone(),
            is_base: channel.is_base(),
            status: channel.status,
            client: channel.client.clone(),
            read_until: self.read_until(channel),
            count: channel.count,
        };
        Ok(TunnelDescription {
            id: self.entry.id.clone(),
            spec: self.entry.spec.clone(),
            stream_id: self.entry.stream_id.clone(),
            created_at: self.entry.created_at,
            stage,
            expired: self.is_expired(&state),
            channels: state.channels.iter().map(channel).collect(),
        })
    }

    /// Connects a client, which is gone after `timeout_s` seconds without a heartbeat; 0 stands for the default.
    ///
    /// # Errors
    /// If the tunnel has expired or has too many clients, or it cannot be written.
    pub async fn connect(&self, timeout_s: u32, tag: &str, deadline: Instant) -> Result<ClientId, Error> {
        let now = self.store.clock().monotonic();
        let timeout_s = if timeout_s == 0 { TIMEOUT_S } else { timeout_s.min(TIMEOUT_S_MAX) };
        let tag = tag.chars().take(TAG_CHARS_MAX).collect();
        let client = Client { entry: ClientEntry { timeout_s, tag }, seen: now, beats: false };
        let id = ClientId::new(new_id());
        self.change(deadline, |state| {
            self.check_expired(state)?;
            state.forget_silent(now);
            if state.clients.len() >= CLIENTS_MAX {
                return Err(Error::Clients(self.entry.id.clone()));
            }
            state.clients.insert(id.clone(), client);
            Ok(id)
        })
        .await
    }

    /// Takes a client's heartbeat and answers all the channels that are its own now.
    ///
    /// # Errors
    /// If the client is gone or the tunnel has expired, or it cannot be written.
    pub async fn heartbeat(
        &self,
        client: &ClientId,
        reports: &[ChannelReport],
        deadline: Instant,
    ) -> Result<Vec<ChannelReport>, Error> {
        let now = self.store.clock().monotonic();
        self.change(deadline, |state| {
            self.check_expired(state)?;
            state.heartbeat(self.entry.spec.kind, client, reports, now)
        })
        .await
    }

    /// Lets a client go; its channels are free at once. One that is gone already is no error.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn shutdown(&self, client: &ClientId, deadline: Instant) -> Result<(), Error> {
        self.change(deadline, |state| {
            state.forget(client);
            Ok(())
        })
        .await
    }

    /// How far a client's channel is checkpointed, and the number of that checkpoint; 0 before the first.
    ///
    /// # Errors
    /// If the channel is not the client's.
    pub async fn checkpoint_of(
        &self,
        client: &ClientId,
        channel: &ChannelId,
        deadline: Instant,
    ) -> Result<(Position, i64), Error> {
        let entry = self.readable(client, channel, deadline).await?;
        Ok((entry.checkpoint, entry.sequence_number))
    }

    /// Checks that a client may read a channel: before anything that it says of the channel is looked at.
    ///
    /// # Errors
    /// If the client is gone, or the channel is not its own.
    pub async fn check_readable(
        &self,
        client: &ClientId,
        channel: &ChannelId,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.readable(client, channel, deadline).await.map(drop)
    }

    /// Writes down how far a client has read its channel. `number` is one above the last checkpoint's.
    ///
    /// # Errors
    /// If the channel is not the client's, the number or the position is another, or it cannot be written.
    pub async fn checkpoint(
        &self,
        client: &ClientId,
        channel: &ChannelId,
        position: Position,
        number: i64,
        deadline: Instant,
    ) -> Result<(), Error> {
        let now = self.store.clock().monotonic();
        self.change(deadline, |state| {
            let entry = state.held(client, channel, now)?;
            self.check_position(&position, entry)?;
            state.checkpoint(client, channel, position, number, now)
        })
        .await
    }

    /// Reads a page of a client's channel behind a position; of a channel that nobody holds, also for nobody.
    ///
    /// # Errors
    /// If the channel is not the client's, the position is none of it, or what comes next is gone.
    pub async fn read(
        &self,
        client: &ClientId,
        channel: &ChannelId,
        position: Position,
        deadline: Instant,
    ) -> Result<Page, Error> {
        let entry = self.readable(client, channel, deadline).await?;
        self.check_position(&position, &entry)?;
        self.check_stream()?;
        let read = page::read(position, &entry.source, self.partition(&entry)?, self.times(), deadline);
        let page = match read.await {
            Err(crate::Error::LogTrimmed { .. }) => return Err(Error::Expired(self.entry.id.clone())),
            other => other?,
        };
        if page.next == Position::Finished && page.count > 0 {
            // The token that says so has no place for the count: it is kept until the checkpoint is written.
            let mut kept = self.hold(deadline).await?;
            let now = self.store.clock().monotonic();
            kept.state.count_finished(client, channel, page.count, now);
        }
        Ok(page)
    }

    /// Suspends, resumes or ends channels, as an operator asks; all of them or none.
    ///
    /// # Errors
    /// If there is no such channel, or it cannot be written.
    pub async fn schedule(
        &self,
        channels: &[(ChannelId, ChannelStatus)],
        deadline: Instant,
    ) -> Result<(), Error> {
        self.change(deadline, |state| {
            channels.iter().try_for_each(|(id, status)| state.schedule(id, *status))
        })
        .await
    }

    pub(super) async fn delete(&self, deadline: Instant) -> Result<(), Error> {
        let mut kept = self.hold(deadline).await?;
        let mut writes = Writes::default();
        writes.remove(&self.entry, &kept.state);
        self.write(&mut kept, writes, deadline).await?;
        kept.deleted = true;
        Ok(())
    }

    /// Changes the state: writes what has changed, then shows it.
    async fn change<T>(
        &self,
        deadline: Instant,
        apply: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.hold(deadline).await?;
        let mut next = kept.state.clone();
        let answer = apply(&mut next)?;
        let mut writes = Writes::default();
        writes.put_changes(&self.entry.id, &kept.state, &next);
        if kept.unsettled {
            writes.put_tunnel(&self.entry);
            writes.put_state(&self.entry.id, &next);
        }
        if !writes.is_empty() {
            self.write(&mut kept, writes, deadline).await?;
        }
        kept.state = next;
        Ok(answer)
    }

    /// Writes, and keeps in mind whether more may be written than is known: also if the caller goes away meanwhile.
    async fn write(&self, kept: &mut Kept, writes: Writes, deadline: Instant) -> Result<(), Error> {
        let was_unsettled = std::mem::replace(&mut kept.unsettled, true);
        let written = self.space.write(writes, deadline).await;
        match written {
            Ok(()) => kept.unsettled = false,
            Err(WriteError::NotWritten(_)) => kept.unsettled = was_unsettled,
            Err(WriteError::Unknown(_)) => {}
        }
        written.map_err(Error::Write)
    }

    async fn hold(&self, deadline: Instant) -> Result<MutexGuard<'_, Kept>, Error> {
        let kept = tokio::time::timeout_at(deadline.into(), self.state.lock()).await;
        let kept = kept.map_err(|_| Error::Busy)?;
        if kept.deleted { Err(Error::NoSuchTunnel(self.entry.id.clone())) } else { Ok(kept) }
    }

    /// A copy of a channel that the client may read: nobody is held up while it is read.
    async fn readable(
        &self,
        client: &ClientId,
        channel: &ChannelId,
        deadline: Instant,
    ) -> Result<ChannelEntry, Error> {
        let now = self.store.clock().monotonic();
        self.hold(deadline).await?.state.readable(client, channel, now).cloned()
    }

    fn times(&self) -> Times {
        let TunnelSpec { kind, start, end, .. } = self.entry.spec;
        // Only of a time to come there can be earlier changes behind the place where the channel began.
        let start = match start {
            StartAt::Time(time) if kind == TunnelKind::Stream => time,
            StartAt::Time(_) | StartAt::Latest | StartAt::Earliest => Micros::MIN,
        };
        Times { start, end }
    }

    fn check_position(&self, position: &Position, entry: &ChannelEntry) -> Result<(), Error> {
        Ok(page::check(position, &entry.source, self.partition(entry)?, self.entry.spec.end.is_some())?)
    }

    fn check_stream(&self) -> Result<(), Error> {
        let info = self.table.info();
        let stream_id = info.stream.as_ref().map(|stream| &stream.id);
        match &self.entry.stream_id {
            Some(own) if stream_id != Some(own) => Err(Error::Expired(self.entry.id.clone())),
            _ => Ok(()),
        }
    }

    fn check_expired(&self, state: &State) -> Result<(), Error> {
        if self.is_expired(state) { Err(Error::Expired(self.entry.id.clone())) } else { Ok(()) }
    }

    fn is_expired(&self, state: &State) -> bool {
        let is_behind = |channel: &ChannelEntry| match &channel.checkpoint {
            Position::Log { after, .. } if !channel.is_terminated() => {
                self.partition(channel).is_ok_and(|partition| *after < partition.trimmed())
            }
            _ => false,
        };
        self.check_stream().is_err() || state.channels.values().any(is_behind)
    }

    fn read_until(&self, channel: &ChannelEntry) -> Micros {
        match (&channel.checkpoint, self.partition(channel)) {
            (Position::Log { after, time, .. }, Ok(partition)) => {
                // Before the head: everything that is committed up to there is at or below it.
                let closed = partition.closed_time();
                if *after >= partition.head().sequence { closed } else { *time }
            }
            (Position::Log { time, .. }, Err(_)) => *time,
            (Position::Finished, _) if !channel.is_base() => self.entry.spec.end.unwrap_or_default(),
            // Rows have no time of their own: what is known is that they were there when the tunnel was made.
            (Position::Rows { .. } | Position::Finished, _) => self.entry.created_at,
        }
    }

    fn partition(&self, channel: &ChannelEntry) -> Result<&Partition, Error> {
        let mut partitions = self.table.partitions().iter();
        let found = partitions.find(|partition| partition.id() == channel.partition);
        found.ok_or_else(|| crate::Error::NoSuchTable(self.table.info().schema.name.clone()).into())
    }
}
