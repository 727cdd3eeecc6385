//! What tests of tunnels share: tunnels in few words, and a worker that reads what is its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeferry_model::{Cell, KeyValue, PrimaryKey};
use lakeferry_store::tunnel::{
    ChannelId, ChannelReport, ChannelStatus, ClientId, Error, Page, Position, Read, StartAt, Tunnel,
    TunnelKind, TunnelSpec, Tunnels,
};
use lakeferry_store::{RowView, Table, TableSpec, Told, key};

use crate::support::{Site, all_rows, instance, put, soon, split_at, with_stream, write};

/// Rows and changes as a reader keeps them: the newest cells of each row.
pub type View = BTreeMap<PrimaryKeyText, Vec<Cell>>;
type PrimaryKeyText = String;

/// A worker that reads what is its own and keeps what it is told.
pub struct Worker {
    pub client: ClientId,
    pub tunnel: Arc<Tunnel>,
    pub channels: BTreeMap<ChannelId, Reading>,
    pub view: View,
    /// Records told, rows of the full phase among them.
    pub told: usize,
}

/// A channel as a worker reads it.
pub struct Reading {
    version: i64,
    status: ChannelStatus,
    position: Position,
    /// The number of the last checkpoint.
    number: i64,
}

impl Worker {
    pub async fn connect(tunnel: &Arc<Tunnel>) -> Self {
        let client = tunnel.connect(10, "test", soon()).await.unwrap();
        Self::resume(tunnel, client)
    }

    pub fn resume(tunnel: &Arc<Tunnel>, client: ClientId) -> Self {
        let tunnel = Arc::clone(tunnel);
        Self { client, tunnel, channels: BTreeMap::new(), view: View::new(), told: 0 }
    }

    /// Tells how its channels are doing, and takes up what it is given.
    pub async fn beat(&mut self) -> Result<(), Error> {
        let report = |(id, reading): (&ChannelId, &Reading)| ChannelReport {
            id: id.clone(),
            version: reading.version,
            status: reading.status,
        };
        let reports: Vec<ChannelReport> = self.channels.iter().map(report).collect();
        let answer = self.tunnel.heartbeat(&self.client, &reports, soon()).await?;
        let mut known = std::mem::take(&mut self.channels);
        for ChannelReport { id, version, status } in answer {
            let reading = match known.remove(&id) {
                Some(reading) if reading.version >= version => reading,
                Some(reading) if reading.status == ChannelStatus::Open => {
                    Reading { version, status, ..reading }
                }
                _ => {
                    let (position, number) = self.tunnel.checkpoint_of(&self.client, &id, soon()).await?;
                    Reading { version, status, position, number }
                }
            };
            self.channels.insert(id, reading);
        }
        Ok(())
    }

    /// Reads a page of each open channel, and writes down how far it is.
    pub async fn read(&mut self) -> Result<(), Error> {
        let (tunnel, schema) = (Arc::clone(&self.tunnel), self.tunnel.table().info().schema.clone());
        for (id, reading) in self.channels.iter_mut().filter(|(_, r)| r.status == ChannelStatus::Open) {
            let Page { read, next, .. } =
                tunnel.read(&self.client, id, reading.position.clone(), soon()).await?;
            let keep = |view: &mut View, key: &[u8], cells: Option<Vec<Cell>>| {
                let key = text(&key::decode(key, &schema.primary_key).unwrap());
                match cells {
                    Some(cells) => drop(view.insert(key, cells)),
                    None => drop(view.remove(&key)),
                }
            };
            match read {
                Read::Rows(block) => {
                    for row in block.rows() {
                        let (key, row) = row.unwrap();
                        keep(&mut self.view, key, Some(newest(&row)));
                        self.told += 1;
                    }
                }
                Read::Log(block, count) => {
                    for record in block.records().take(count).map(Result::unwrap) {
                        let is_delete = record.told() == Told::Change(lakeferry_store::Action::Delete);
                        let cells = record.newest().map(|cell| cell.unwrap().to_cell()).collect();
                        keep(&mut self.view, record.key(), (!is_delete).then_some(cells));
                        self.told += 1;
                    }
                }
                Read::Nothing => {}
            }
            reading.number += 1;
            tunnel.checkpoint(&self.client, id, next.clone(), reading.number, soon()).await?;
            if next == Position::Finished {
                reading.version += 1;
                reading.status = ChannelStatus::Terminated;
            }
            reading.position = next;
        }
        Ok(())
    }

    /// Gives back what it was asked for.
    pub fn give_back(&mut self) {
        for reading in self.channels.values_mut().filter(|r| r.status == ChannelStatus::Closing) {
            reading.version += 1;
            reading.status = ChannelStatus::Close;
        }
    }

    /// Reads until nothing new comes.
    pub async fn drain(&mut self) -> Result<(), Error> {
        let mut idle = 0;
        while idle < 4 {
            let told = self.told;
            self.beat().await?;
            self.read().await?;
            idle = if self.told == told { idle + 1 } else { 0 };
        }
        Ok(())
    }

    pub fn open(&self) -> Vec<&str> {
        let open = self.channels.iter().filter(|(_, reading)| reading.status == ChannelStatus::Open);
        open.map(|(id, _)| id.as_str()).collect()
    }
}

fn text(key: &PrimaryKey) -> String {
    let part = |value: &KeyValue| match value {
        KeyValue::Integer(number) => number.to_string(),
        KeyValue::String(text) => text.to_string(),
        KeyValue::Binary(bytes) => format!("{bytes:?}"),
    };
    key.values().iter().map(part).collect::<Vec<_>>().join(" ")
}

fn newest(row: &RowView<'_>) -> Vec<Cell> {
    row.cells().map(Result::unwrap).filter(|cell| cell.version == 0).map(|cell| cell.to_cell()).collect()
}

pub async fn view(table: &Table) -> View {
    all_rows(table).await.into_iter().map(|row| (text(&row.primary_key), row.cells)).collect()
}

pub fn streamed() -> TableSpec {
    TableSpec { stream: with_stream(&[]).stream, ..split_at(&["m"]) }
}

pub fn of_kind(kind: TunnelKind) -> TunnelSpec {
    TunnelSpec { name: "tunnel".into(), kind, start: StartAt::Latest, end: None }
}

pub async fn tunnels(site: &Site) -> Tunnels {
    Tunnels::open(site.store.clone(), soon()).await.unwrap()
}

pub async fn make(site: &Site, table: &Table, spec: TunnelSpec) -> Arc<Tunnel> {
    let tunnels = tunnels(site).await;
    let id = tunnels.create(table, spec, soon()).await.unwrap();
    tunnels.find(&instance(), &id).unwrap()
}

pub async fn again(site: &Site) -> Arc<Tunnel> {
    tunnels(site).await.find_by_name(&site.same_table(), "tunnel").unwrap()
}

pub async fn write_rows(table: &Table, rows: std::ops::Range<i64>) {
    for n in rows {
        for user in ["ann", "zoe"] {
            write(table, put(user, n, &[("a", n)])).await.unwrap();
        }
    }
}
