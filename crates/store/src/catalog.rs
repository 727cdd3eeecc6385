//! The catalog: what there is beside rows. A space of its own, held in memory whole, written before it is seen.
//!
//! ```text
//! key                                  value (JSON but for numbers)
//! instance/NAME                        InstanceEntry
//! table/ID                             TableRecord: the table and its partitions
//! bucket/NAME  role/NAME  key/ID       BucketEntry, RoleEntry, AccessKey
//! number/KIND                          the last id given of that kind; ids are never given again
//! floor                                no closed time above it was answered yet; microseconds
//! burned/TEXT                          a number kept for ever under a text: sequence ids of deleted tasks
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeferry_engine::{Area, Batch, Engine, Scan, Space, SpaceId, WriteError};
use lakeferry_model::{
    AccessKey, BucketEntry, BucketName, InstanceEntry, InstanceName, Micros, RoleEntry, RoleName,
};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::index::IndexInfo;
use crate::key;
use crate::partition::PartitionId;
use crate::table::{TableId, TableInfo};

/// A write of the catalog that is not back by then has an unknown outcome.
const WRITE_S_MAX: u64 = 30;
const READ_BYTES: usize = 1024 * 1024;
const READ_ENTRIES: usize = 4096;

/// The catalog.
#[derive(Debug)]
pub struct Catalog {
    space: Arc<dyn Space>,
    entries: RwLock<Entries>,
    /// Changes of which nobody knows whether they were written. They are written again with the next one, so that
    /// what is in memory and what is on disk agree again.
    unsettled: Mutex<Vec<Change>>,
    // One write at a time: what is written is what is then seen, in the same order.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Entries {
    instances: BTreeMap<InstanceName, InstanceEntry>,
    tables: BTreeMap<TableId, TableRecord>,
    buckets: BTreeMap<BucketName, Arc<BucketEntry>>,
    roles: BTreeMap<RoleName, Arc<RoleEntry>>,
    keys: BTreeMap<String, Arc<AccessKey>>,
    numbers: BTreeMap<String, u64>,
    burned: BTreeMap<String, u64>,
    floor: Micros,
}

/// A table as the catalog holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableRecord {
    /// The table.
    pub info: TableInfo,
    /// Its partitions, in key order.
    pub partitions: Vec<PartitionRecord>,
    /// Whether it is being deleted: nobody sees it, and the next start finishes the job.
    #[serde(default)]
    pub deleting: bool,
    /// Indexes that were dropped and whose entries are still being removed.
    #[serde(default)]
    pub dropped_indexes: Vec<IndexInfo>,
}

/// A partition as the catalog holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Its id.
    pub id: PartitionId,
    /// Its smallest row key's bytes.
    pub start: Vec<u8>,
}

/// Ids that are never given again.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// Of tables.
    Table,
    /// Of partitions.
    Partition,
    /// Of delivery tasks.
    Task,
}

/// A change of the catalog. Written twice it is the same as written once.
#[derive(Debug, Clone)]
enum Change {
    Instance(InstanceEntry),
    Table(Box<TableRecord>),
    RemoveTable(TableId),
    RemoveInstance(InstanceName),
    Bucket(BucketEntry),
    RemoveBucket(BucketName),
    Role(RoleEntry),
    RemoveRole(RoleName),
    Key(AccessKey),
    RemoveKey(String),
    Number(String, u64),
    Burned(String, u64),
    Floor(Micros),
}

impl Catalog {
    /// Reads the catalog.
    ///
    /// # Errors
    /// If the engine does not answer, or an entry is damaged.
    pub async fn open(engine: &Arc<dyn Engine>, deadline: Instant) -> Result<Self, Error> {
        let space = engine.open_space(&SpaceId::new("catalog"), deadline).await?;
        let mut entries = Entries::default();
        let mut from = Bytes::new();
        loop {
            let scan = Scan {
                area: Area::Table,
                from: from.clone(),
                to: None,
                backward: false,
                entries_max: READ_ENTRIES,
                bytes_max: READ_BYTES,
            };
            let block = space.scan(scan, deadline).await?;
            for (key, value) in block.iter() {
                entries.take(key, value)?;
            }
            let Some(last) = block.last_key().filter(|_| block.more) else { break };
            from = key::successor(last).into();
        }
        Ok(Self {
            space,
            entries: RwLock::new(entries),
            unsettled: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// All instances, by name.
    pub fn instances(&self) -> Vec<InstanceEntry> {
        self.entries.read().instances.values().cloned().collect()
    }

    /// Whether there is such an instance.
    pub fn instance_exists(&self, name: &InstanceName) -> bool {
        self.entries.read().instances.contains_key(name)
    }

    /// All tables, those being deleted too. As they may be on disk: a record that is made of one of these must not
    /// take back what may be written already.
    pub fn tables(&self) -> Vec<TableRecord> {
        let unsettled = self.unsettled.lock();
        let mut tables = self.entries.read().tables.clone();
        for change in &*unsettled {
            match change {
                Change::Table(record) => drop(tables.insert(record.info.id, (**record).clone())),
                Change::RemoveTable(id) => drop(tables.remove(id)),
                _ => {}
            }
        }
        tables.into_values().collect()
    }

    /// A table as it may be on disk.
    pub fn table(&self, id: TableId) -> Option<TableRecord> {
        let unsettled = self.unsettled.lock();
        let last = unsettled.iter().rev().find_map(|change| match change {
            Change::Table(record) if record.info.id == id => Some(Some((**record).clone())),
            Change::RemoveTable(removed) if *removed == id => Some(None),
            _ => None,
        });
        last.unwrap_or_else(|| self.entries.read().tables.get(&id).cloned())
    }

    /// Whether a table's record, as [`Self::table`] gives it, is known to be on disk.
    pub fn is_settled(&self, id: TableId) -> bool {
        let unsettled = self.unsettled.lock();
        !unsettled.iter().any(|change| match change {
            Change::Table(record) => record.info.id == id,
            Change::RemoveTable(removed) => *removed == id,
            _ => false,
        })
    }

    /// A bucket.
    pub fn bucket(&self, name: &BucketName) -> Option<Arc<BucketEntry>> {
        self.entries.read().buckets.get(name).cloned()
    }

    /// All buckets, by name.
    pub fn buckets(&self) -> Vec<Arc<BucketEntry>> {
        self.entries.read().buckets.values().cloned().collect()
    }

    /// A role.
    pub fn role(&self, name: &RoleName) -> Option<Arc<RoleEntry>> {
        self.entries.read().roles.get(name).cloned()
    }

    /// All roles, by name.
    pub fn roles(&self) -> Vec<Arc<RoleEntry>> {
        self.entries.read().roles.values().cloned().collect()
    }

    /// An access key.
    pub fn key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.entries.read().keys.get(id).cloned()
    }

    /// All access keys, by id.
    pub fn keys(&self) -> Vec<Arc<AccessKey>> {
        self.entries.read().keys.values().cloned().collect()
    }

    /// The floor of closed times.
    pub fn floor(&self) -> Micros {
        self.entries.read().floor
    }

    /// The numbers kept under texts that begin so.
    pub fn burned(&self, prefix: &str) -> Vec<(String, u64)> {
        let entries = self.entries.read();
        let from = entries.burned.range(prefix.to_owned()..);
        from.take_while(|(text, _)| text.starts_with(prefix)).map(|(text, n)| (text.clone(), *n)).collect()
    }

    /// Adds an instance.
    ///
    /// # Errors
    /// If there is one of that name, or it cannot be written.
    pub async fn add_instance(&self, entry: InstanceEntry) -> Result<(), Error> {
        let taken = || Error::Exists { what: "an instance", name: entry.name.to_string() };
        let name = entry.name.clone();
        self.change_if(
            |entries| if entries.instances.contains_key(&name) { Err(taken()) } else { Ok(()) },
            || vec![Change::Instance(entry.clone())],
        )
        .await
    }

    /// Removes an instance that has no tables.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_instance(&self, name: &InstanceName) -> Result<(), Error> {
        self.change(vec![Change::RemoveInstance(name.clone())]).await
    }

    /// Adds a table or changes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_table(&self, record: TableRecord) -> Result<(), Error> {
        self.change(vec![Change::Table(Box::new(record))]).await
    }

    /// Forgets a table.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_table(&self, id: TableId) -> Result<(), Error> {
        self.change(vec![Change::RemoveTable(id)]).await
    }

    /// Adds a bucket or changes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_bucket(&self, entry: BucketEntry) -> Result<(), Error> {
        self.change(vec![Change::Bucket(entry)]).await
    }

    /// Forgets a bucket; its objects stay.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_bucket(&self, name: &BucketName) -> Result<(), Error> {
        self.change(vec![Change::RemoveBucket(name.clone())]).await
    }

    /// Adds a role.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_role(&self, entry: RoleEntry) -> Result<(), Error> {
        self.change(vec![Change::Role(entry)]).await
    }

    /// Forgets a role.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_role(&self, name: &RoleName) -> Result<(), Error> {
        self.change(vec![Change::RemoveRole(name.clone())]).await
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_key(&self, key: AccessKey) -> Result<(), Error> {
        self.change(vec![Change::Key(key)]).await
    }

    /// Forgets an access key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_key(&self, id: &str) -> Result<(), Error> {
        self.change(vec![Change::RemoveKey(id.to_owned())]).await
    }

    /// Gives `count` ids, ascending and never given before: the first of them.
    ///
    /// # Errors
    /// If it cannot be written; then the ids may be lost, but never given twice.
    pub async fn give_numbers(&self, kind: Number, count: u64) -> Result<u64, Error> {
        let name = match kind {
            Number::Table => "table",
            Number::Partition => "partition",
            Number::Task => "task",
        };
        let _writing = self.writing.lock().await;
        let last = self.entries.read().numbers.get(name).copied().unwrap_or(0);
        self.write(vec![Change::Number(name.to_owned(), last + count)]).await?;
        Ok(last + 1)
    }

    /// Keeps numbers under texts, where they are greater than those kept already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn burn(&self, numbers: Vec<(String, u64)>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let unsettled = self.unsettled.lock().clone();
        // What may be written already is never written over by less.
        let maybe = |text: &str| {
            let burned = unsettled.iter().filter_map(|change| match change {
                Change::Burned(of, number) if of == text => Some(*number),
                _ => None,
            });
            burned.max().unwrap_or(0)
        };
        let greater = |(text, number): &(String, u64)| {
            self.entries.read().burned.get(text).is_none_or(|kept| kept < number)
        };
        let numbers = numbers.into_iter().filter(greater);
        let changes: Vec<Change> =
            numbers.map(|(text, number)| Change::Burned(text.clone(), number.max(maybe(&text)))).collect();
        if changes.is_empty() { Ok(()) } else { self.write(changes).await }
    }

    /// Raises the floor of closed times.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn raise_floor(&self, floor: Micros) -> Result<(), Error> {
        self.change(vec![Change::Floor(floor)]).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        self.write(changes).await
    }

    async fn change_if(
        &self,
        check: impl FnOnce(&Entries) -> Result<(), Error>,
        changes: impl FnOnce() -> Vec<Change>,
    ) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        check(&self.entries.read())?;
        self.write(changes()).await
    }

    /// Writes, then shows. Whoever calls holds `writing`.
    async fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        let settled = self.unsettled.lock().clone();
        let mut all = settled.clone();
        all.extend(changes);
        let mut batch = Batch::default();
        for change in &all {
            let (key, value) = change.entry();
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        // A caller that goes away in the middle leaves an outcome that nobody knows, too.
        *self.unsettled.lock() = all;
        match self.space.write(batch, Instant::now() + Duration::from_secs(WRITE_S_MAX)).await {
            Ok(()) => {
                let mut unsettled = self.unsettled.lock();
                let mut entries = self.entries.write();
                for change in unsettled.drain(..) {
                    entries.apply(change);
                }
                Ok(())
            }
            Err(WriteError::NotWritten(error)) => {
                *self.unsettled.lock() = settled;
                Err(WriteError::NotWritten(error).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Change {
    fn entry(&self) -> (String, Option<Vec<u8>>) {
        match self {
            Self::Instance(entry) => (format!("instance/{}", entry.name), Some(json(entry))),
            Self::RemoveInstance(name) => (format!("instance/{name}"), None),
            Self::Table(record) => (format!("table/{}", record.info.id.0), Some(json(record))),
            Self::RemoveTable(id) => (format!("table/{}", id.0), None),
            Self::Bucket(entry) => (format!("bucket/{}", entry.name), Some(json(entry))),
            Self::RemoveBucket(name) => (format!("bucket/{name}"), None),
            Self::Role(entry) => (format!("role/{}", entry.name), Some(json(entry))),
            Self::RemoveRole(name) => (format!("role/{name}"), None),
            Self::Key(key) => (format!("key/{}", key.id), Some(json(key))),
            Self::RemoveKey(id) => (format!("key/{id}"), None),
            Self::Number(kind, last) => (format!("number/{kind}"), Some(json(last))),
            Self::Burned(text, number) => (format!("burned/{text}"), Some(json(number))),
            Self::Floor(floor) => ("floor".to_owned(), Some(json(floor))),
        }
    }
}

impl Entries {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Instance(entry) => {
                self.instances.insert(entry.name.clone(), entry);
            }
            Change::RemoveInstance(name) => {
                self.instances.remove(&name);
            }
            Change::Table(record) => {
                self.tables.insert(record.info.id, *record);
            }
            Change::RemoveTable(id) => {
                self.tables.remove(&id);
            }
            Change::Bucket(entry) => {
                self.buckets.insert(entry.name.clone(), Arc::new(entry));
            }
            Change::RemoveBucket(name) => {
                self.buckets.remove(&name);
            }
            Change::Role(entry) => {
                self.roles.insert(entry.name.clone(), Arc::new(entry));
            }
            Change::RemoveRole(name) => {
                self.roles.remove(&name);
            }
            Change::Key(key) => {
                self.keys.insert(key.id.clone(), Arc::new(key));
            }
            Change::RemoveKey(id) => {
                self.keys.remove(&id);
            }
            Change::Number(kind, last) => {
                self.numbers.insert(kind, last);
            }
            Change::Burned(text, number) => {
                self.burned.insert(text, number);
            }
            Change::Floor(floor) => self.floor = floor,
        }
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let key = std::str::from_utf8(key).map_err(|_| damaged(&String::from_utf8_lossy(key)))?;
        let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
        let change = match kind {
            "instance" => Change::Instance(parse(key, value)?),
            "table" => Change::Table(Box::new(parse(key, value)?)),
            "bucket" => Change::Bucket(parse(key, value)?),
            "role" => Change::Role(parse(key, value)?),
            "key" => Change::Key(parse(key, value)?),
            "number" => Change::Number(rest.to_owned(), parse(key, value)?),
            "burned" => Change::Burned(rest.to_owned(), parse(key, value)?),
            "floor" => Change::Floor(parse(key, value)?),
            _ => return Err(damaged(key)),
        };
        self.apply(change);
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("entries have text keys and no foreign serializers")
}

fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|_| damaged(key))
}

fn damaged(key: &str) -> Error {
    // The value may hold a secret: only the key is told.
    Error::Corrupt(format!("the catalog's entry `{key}` is damaged"))
}
