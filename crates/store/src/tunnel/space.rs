//! The space of a table's tunnels, and batches for it. What lies in it is drawn in [`super::entry`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Engine, Scan, Space, SpaceId, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::{ChannelEntry, ClientEntry, FORMAT, TunnelEntry};
use super::error::Error;
use super::state::State;
use super::{ChannelId, ClientId, TunnelId};
use crate::key;
use crate::table::TableId;

const PREFIX: &str = "tunnels-";
const READ_ENTRIES: usize = 4096;
const READ_BYTES: usize = 1 << 20;

/// The space of a table's tunnels.
#[derive(Debug, Clone)]
pub(super) struct TunnelSpace(Arc<dyn Space>);

/// A tunnel as it was found.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: TunnelEntry,
    pub(super) channels: BTreeMap<ChannelId, ChannelEntry>,
    pub(super) clients: BTreeMap<ClientId, ClientEntry>,
}

impl TunnelSpace {
    pub(super) fn id(table: TableId) -> SpaceId {
        SpaceId::new(format!("{PREFIX}{}", table.0))
    }

    /// The table whose tunnels lie in the space, if it is such a space.
    pub(super) fn table(space: &SpaceId) -> Option<TableId> {
        space.as_str().strip_prefix(PREFIX)?.parse().ok().map(TableId)
    }

    pub(super) async fn open(
        engine: &Arc<dyn Engine>,
        table: TableId,
        deadline: Instant,
    ) -> Result<Self, Error> {
        engine.open_space(&Self::id(table), deadline).await.map(Self).map_err(Error::Read)
    }

    pub(super) async fn write(&self, writes: Writes, deadline: Instant) -> Result<(), WriteError> {
        self.0.write(writes.0, deadline).await
    }

    /// Reads all tunnels. What belongs to none of them is left out, and named in the batch that removes it.
    pub(super) async fn load(&self, deadline: Instant) -> Result<(Vec<Stored>, Writes), Error> {
        let mut tunnels: BTreeMap<TunnelId, Stored> = BTreeMap::new();
        let mut orphans = Writes::default();
        for (_, value) in self.entries("t", "u", deadline).await? {
            let entry: TunnelEntry = json(&value)?;
            if entry.format > FORMAT {
                return Err(crate::Error::Corrupt("a tunnel was written by a newer program".into()).into());
            }
            let stored = Stored { entry, channels: BTreeMap::new(), clients: BTreeMap::new() };
            tunnels.insert(stored.entry.id.clone(), stored);
        }
        for (key, value) in self.entries("c", "d", deadline).await? {
            match part_of(&key, &mut tunnels) {
                Some((stored, id)) => drop(stored.channels.insert(ChannelId::new(id), json(&value)?)),
                None => orphans.0.delete(key),
            }
        }
        for (key, value) in self.entries("w", "x", deadline).await? {
            match part_of(&key, &mut tunnels) {
                Some((stored, id)) => drop(stored.clients.insert(ClientId::new(id), json(&value)?)),
                None => orphans.0.delete(key),
            }
        }
        Ok((tunnels.into_values().collect(), orphans))
    }

    async fn entries(
        &self,
        from: &'static str,
        to: &'static str,
        deadline: Instant,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut entries = Vec::new();
        let mut from = Bytes::from_static(from.as_bytes());
        loop {
            let scan = Scan {
                area: Area::Table,
                from,
                to: Some(Bytes::from_static(to.as_bytes())),
                backward: false,
                entries_max: READ_ENTRIES,
                bytes_max: READ_BYTES,
            };
            let block = self.0.scan(scan, deadline).await.map_err(Error::Read)?;
            for (key, value) in block.iter() {
                let key = String::from_utf8(key.to_vec());
                let key = key.map_err(|_| crate::Error::Corrupt("a tunnel's key is no text".into()))?;
                entries.push((key, value.to_vec()));
            }
            match block.last_key() {
                Some(last) if block.more => from = key::successor(last).into(),
                _ => return Ok(entries),
            }
        }
    }
}

/// A batch for the space. Written twice it is the same as written once.
#[derive(Debug, Default)]
pub(super) struct Writes(Batch);

impl Writes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put_tunnel(&mut self, entry: &TunnelEntry) {
        self.put(tunnel_key(entry), entry);
    }

    /// Everything of a state.
    pub(super) fn put_state(&mut self, tunnel: &TunnelId, state: &State) {
        self.put_changes(tunnel, &State::default(), state);
    }

    /// What has changed from one state to the other.
    pub(super) fn put_changes(&mut self, tunnel: &TunnelId, before: &State, after: &State) {
        for (id, channel) in &after.channels {
            if before.channels.get(id) != Some(channel) {
                self.put(channel_key(tunnel, id), channel);
            }
        }
        for (id, client) in &after.clients {
            if before.clients.get(id).map(|client| &client.entry) != Some(&client.entry) {
                self.put(client_key(tunnel, id), &client.entry);
            }
        }
        for id in before.clients.keys().filter(|id| !after.clients.contains_key(*id)) {
            self.0.delete(client_key(tunnel, id));
        }
    }

    pub(super) fn remove(&mut self, entry: &TunnelEntry, state: &State) {
        self.0.delete(tunnel_key(entry));
        for id in state.channels.keys() {
            self.0.delete(channel_key(&entry.id, id));
        }
        for id in state.clients.keys() {
            self.0.delete(client_key(&entry.id, id));
        }
    }

    fn put(&mut self, key: String, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("our own entries have only text keys");
        self.0.put(key, value);
    }
}

fn tunnel_key(entry: &TunnelEntry) -> String {
    format!("t{}", entry.spec.name)
}

fn channel_key(tunnel: &TunnelId, channel: &ChannelId) -> String {
    format!("c{tunnel}/{channel}")
}

fn client_key(tunnel: &TunnelId, client: &ClientId) -> String {
    format!("w{tunnel}/{client}")
}

/// The tunnel that a channel or client belongs to, and its own id.
fn part_of<'a, 'k>(
    key: &'k str,
    tunnels: &'a mut BTreeMap<TunnelId, Stored>,
) -> Option<(&'a mut Stored, &'k str)> {
    let (tunnel, id) = key.get(1..)?.split_once('/')?;
    Some((tunnels.get_mut(&TunnelId::new(tunnel))?, id))
}

fn json<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(Error::Damaged)
}
