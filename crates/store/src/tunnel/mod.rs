//! Tunnels: rows and changes of a table, read by groups of clients that share the work.
//!
//! A tunnel has channels: ranges of rows, and the logs of partitions. Clients connect, and with each heartbeat
//! learn which channels are theirs now; of these they read pages, and write down how far they are as
//! checkpoints, with which the next client goes on.
//!
//! - [`service`]: what clients ask of one tunnel.
//! - [`state`]: channels and clients, and what a heartbeat makes of them; [`share`] tells who gets how many.
//! - [`page`]: reads. [`entry`] and [`space`]: what is written down.
//!
//! Everything that a client was told is durable before it is told: after a restart, or a kill, clients go on with
//! the channels they have. A row of the full phase and its later changes are both read, in this order: a tunnel's
//! logs begin where they were before its rows are looked at, and are read after all rows.
//!
//! A tunnel holds back no log. One that is too far behind is expired, for good.

mod entry;
mod error;
mod page;
mod service;
mod share;
mod space;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lakeferry_model::{InstanceName, Micros, Violation};
use parking_lot::RwLock;

use crate::partition::head::LogKeeper;
use crate::store::Store;
use crate::table::{Table, TableId};
use entry::{ChannelEntry, FORMAT, Source, TunnelEntry};
pub use entry::{ChannelId, ChannelStatus, ClientId, Position, StartAt, TunnelId, TunnelKind, TunnelSpec};
pub use error::Error;
pub use page::{Page, Read};
pub use service::{ChannelDescription, Stage, Tunnel, TunnelDescription};
use space::{TunnelSpace, Writes};
pub use state::ChannelReport;
use state::{Client, State};

/// Tunnels of one table at most, as documented.
pub const TUNNELS_MAX: usize = 10;
/// Clients of one tunnel at most: each is held in memory until its heartbeats time out.
const CLIENTS_MAX: usize = 1000;
/// Ranges that the rows of a partition are read in, at most.
const RANGES_MAX: usize = 4;
/// Seconds after which a client that says nothing of it is gone, and the longest that it may ask for.
const TIMEOUT_S: u32 = 300;
const TIMEOUT_S_MAX: u32 = 24 * 3600;
/// Characters of what a client calls itself that are kept.
const TAG_CHARS_MAX: usize = 255;

/// All tunnels of a store. Handles are shared.
#[derive(Debug, Clone)]
pub struct Tunnels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    all: RwLock<All>,
    /// Held while a tunnel is made or deleted.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct All {
    by_id: HashMap<TunnelId, Arc<Tunnel>>,
    by_name: BTreeMap<(TableId, String), TunnelId>,
}

impl Tunnels {
    /// Reads the tunnels of all tables, and clears away what tables that are gone have left.
    ///
    /// # Errors
    /// If the engine does not answer, or an entry is damaged.
    pub async fn open(store: Store, deadline: Instant) -> Result<Self, Error> {
        let engine = store.engine().clone();
        let mut all = All::default();
        for space_id in engine.spaces(deadline).await.map_err(Error::Read)? {
            let Some(table_id) = TunnelSpace::table(&space_id) else { continue };
            let Some(table) = store.table_by_id(table_id) else {
                engine.drop_space(&space_id, deadline).await.map_err(Error::Read)?;
                continue;
            };
            let space = TunnelSpace::open(&engine, table_id, deadline).await?;
            let (tunnels, orphans) = space.load(deadline).await?;
            if !orphans.is_empty() {
                space.write(orphans, deadline).await.map_err(Error::Write)?;
            }
            for stored in tunnels {
                let now = store.clock().monotonic();
                let client = |entry| Client { entry, seen: now, beats: true };
                let clients = stored.clients.into_iter().map(|(id, entry)| (id, client(entry)));
                let state = State { channels: stored.channels, clients: clients.collect() };
                let (store, table) = (store.clone(), table.clone());
                all.add(Tunnel::new(store, table, space.clone(), stored.entry, state));
            }
        }
        let turn = tokio::sync::Mutex::default();
        Ok(Self(Arc::new(Inner { store, all: RwLock::new(all), turn })))
    }

    /// Makes a tunnel. Every change that is committed after this answers is told by it, if it reads changes; the
    /// table must have a stream then.
    ///
    /// # Errors
    /// If a rule is broken, the name is taken, the table has no stream, or it cannot be written.
    pub async fn create(
        &self,
        table: &Table,
        spec: TunnelSpec,
        deadline: Instant,
    ) -> Result<TunnelId, Error> {
        let _turn = self.take_turn(deadline).await?;
        self.check(table, &spec)?;
        let space = TunnelSpace::open(self.0.store.engine(), table.id(), deadline).await?;
        let now = self.0.store.time().now();
        let channels = channels(table, &spec, now, deadline).await?;
        let stream_id = table.info().stream.as_ref().map(|stream| stream.id.clone());
        let stream_id = stream_id.filter(|_| spec.kind != TunnelKind::BaseData);
        let id = TunnelId::new(new_id());
        let entry = TunnelEntry { format: FORMAT, id: id.clone(), spec, stream_id, created_at: now };
        let state = State { channels, clients: BTreeMap::new() };
        let mut writes = Writes::default();
        writes.put_tunnel(&entry);
        writes.put_state(&id, &state);
        space.write(writes, deadline).await.map_err(Error::Write)?;
        let tunnel = Tunnel::new(self.0.store.clone(), table.clone(), space, entry, state);
        self.0.all.write().add(tunnel);
        Ok(id)
    }

    /// Whether a tunnel could be made now, as far as that can be told before its table has a stream.
    ///
    /// # Errors
    /// If a rule is broken, the name is taken, or the table has as many tunnels as it may.
    pub fn check(&self, table: &Table, spec: &TunnelSpec) -> Result<(), Error> {
        check(spec)?;
        let name = || table.info().schema.name.clone();
        match self.0.all.read().of_table(table.id()) {
            names if names.contains(&&spec.name) => {
                Err(Error::Exists { table: name(), name: spec.name.clone() })
            }
            names if names.len() >= TUNNELS_MAX => Err(Error::Quota(name())),
            _ => Ok(()),
        }
    }

    /// Deletes a tunnel; its clients find it gone.
    ///
    /// # Errors
    /// If there is no such tunnel, or it cannot be written.
    pub async fn delete(&self, table: &Table, name: &str, deadline: Instant) -> Result<(), Error> {
        let _turn = self.take_turn(deadline).await?;
        let tunnel = self.find_by_name(table, name)?;
        tunnel.delete(deadline).await?;
        self.0.all.write().remove(&tunnel);
        Ok(())
    }

    /// Forgets the tunnels of a table that is deleted. What cannot be cleared away now is at the next start.
    pub async fn forget_table(&self, table: TableId, deadline: Instant) {
        let Ok(_turn) = self.take_turn(deadline).await else { return };
        let tunnels = self.0.all.read().tunnels_of(table);
        for tunnel in &tunnels {
            self.0.all.write().remove(tunnel);
        }
        if let Err(error) = self.0.store.engine().drop_space(&TunnelSpace::id(table), deadline).await {
            tracing::warn!(table = table.0, %error, "the tunnels' space of a deleted table stays");
        }
    }

    /// The tunnels of a table, by name.
    pub fn list(&self, table: &Table) -> Vec<Arc<Tunnel>> {
        self.0.all.read().tunnels_of(table.id())
    }

    /// A tunnel by its name.
    ///
    /// # Errors
    /// If the table has none of that name.
    pub fn find_by_name(&self, table: &Table, name: &str) -> Result<Arc<Tunnel>, Error> {
        let all = self.0.all.read();
        let id = all.by_name.get(&(table.id(), name.to_owned()));
        let found = id.and_then(|id| all.by_id.get(id)).cloned();
        let missing = || Error::NoSuchName { table: table.info().schema.name.clone(), name: name.to_owned() };
        found.ok_or_else(missing)
    }

    /// A tunnel of an instance by its id.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, instance: &InstanceName, id: &TunnelId) -> Result<Arc<Tunnel>, Error> {
        let found = self.0.all.read().by_id.get(id).cloned();
        let found = found.filter(|tunnel| tunnel.table().info().instance == *instance);
        found.ok_or_else(|| Error::NoSuchTunnel(id.clone()))
    }

    async fn take_turn(&self, deadline: Instant) -> Result<tokio::sync::MutexGuard<'_, ()>, Error> {
        tokio::time::timeout_at(deadline.into(), self.0.turn.lock()).await.map_err(|_| Error::Busy)
    }
}

impl All {
    fn add(&mut self, tunnel: Tunnel) {
        let entry = tunnel.entry();
        let name = (tunnel.table().id(), entry.spec.name.clone());
        self.by_name.insert(name, entry.id.clone());
        self.by_id.insert(entry.id.clone(), Arc::new(tunnel));
    }

    fn remove(&mut self, tunnel: &Tunnel) {
        self.by_name.remove(&(tunnel.table().id(), tunnel.entry().spec.name.clone()));
        self.by_id.remove(&tunnel.entry().id);
    }

    fn of_table(&self, table: TableId) -> Vec<&String> {
        self.named(table).map(|((_, name), _)| name).collect()
    }

    fn tunnels_of(&self, table: TableId) -> Vec<Arc<Tunnel>> {
        self.named(table).filter_map(|(_, id)| self.by_id.get(id)).cloned().collect()
    }

    fn named(&self, table: TableId) -> impl Iterator<Item = (&(TableId, String), &TunnelId)> {
        let from = (table, String::new());
        self.by_name.range(from..).take_while(move |((of, _), _)| *of == table)
    }
}

fn check(spec: &TunnelSpec) -> Result<(), Violation> {
    let name = &spec.name;
    if name.is_empty()
        || name.len() > lakeferry_model::limits::NAME_BYTES_MAX
        || name.contains(char::is_control)
    {
        return Err(Violation::parameter(format!("Invalid tunnel name: '{name}'.")));
    }
    if let (StartAt::Time(start), Some(end)) = (spec.start, spec.end)
        && start >= end
    {
        return Err(Violation::parameter("The start offset of a tunnel must be less than its end offset."));
    }
    Ok(())
}

/// A new tunnel's channels. The logs come first: a change that comes in between is told by them, at worst once more
/// than needed.
async fn channels(
    table: &Table,
    spec: &TunnelSpec,
    now: Micros,
    deadline: Instant,
) -> Result<BTreeMap<ChannelId, ChannelEntry>, Error> {
    let mut channels = BTreeMap::new();
    if spec.kind != TunnelKind::BaseData {
        let info = table.info();
        let stream = info.stream.as_ref().ok_or_else(|| Error::NoStream(info.schema.name.clone()))?;
        let start = if spec.kind == TunnelKind::Stream { spec.start } else { StartAt::Latest };
        for partition in table.partitions() {
            let from = match start {
                StartAt::Latest => None,
                StartAt::Earliest => Some(stream.enabled_at),
                StartAt::Time(time) => Some(time.max(stream.enabled_at)),
            };
            let after = match from {
                Some(time) => partition.position_before(time, deadline).await?,
                // Every change behind this head is in the log, whatever became of earlier switches.
                None => partition.keep_log(LogKeeper::Stream, true, deadline).await?.sequence,
            };
            let time = from.map_or(now, |from| from.min(now));
            let start = Position::Log { after, time, count: 0 };
            let id = ChannelId::new(format!("Stream_{}", partition.id().0));
            channels.insert(id, ChannelEntry::new(partition.id(), Source::Log, start));
        }
    }
    if spec.kind != TunnelKind::Stream {
        let mut number = 0;
        for partition in table.partitions() {
            let cuts = partition.split_keys(RANGES_MAX, deadline).await?;
            let cuts: Vec<Option<Vec<u8>>> = cuts.into_iter().map(|key| Some(key.to_vec())).collect();
            let ends = cuts.iter().cloned().chain([None]);
            for (after, until) in std::iter::once(None).chain(cuts.iter().cloned()).zip(ends) {
                let start = Position::Rows { after: None, count: 0 };
                let id = ChannelId::new(format!("BaseData_{number}"));
                let source = Source::Rows { after, until };
                channels.insert(id, ChannelEntry::new(partition.id(), source, start));
                number += 1;
            }
        }
    }
    Ok(channels)
}

/// An id that was never given and cannot be guessed.
fn new_id() -> String {
    let number: u128 = rand::random();
    let text = format!("{number:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}
