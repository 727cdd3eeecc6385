//! The life of indexes: made with a table or on one that has rows, opened again after a restart, and read.
//!
//! What indexes a table has stands in the table's own catalog entry, so making one is one write. One whose making
//! fails halfway is [dropped](super::dropping) at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use lakeferry_model::{
    IndexKind, IndexSpec, InstanceName, TableName, check_index_count, check_index_options,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::building::build;
use super::dropping::until_done;
use super::follower::{Follower, Progress};
use super::plan::{Plan, local_prefix};
use super::{IndexInfo, IndexPhase, IndexReport};
use crate::catalog::{Number, TableRecord};
use crate::error::Error;
use crate::partition::{Partition, PartitionId};
use crate::store::{Store, WeakStore};
use crate::table::{Table, TableId, TableInfo};

/// The indexes of all tables, by instance and name.
#[derive(Debug, Default)]
pub(crate) struct Indexes(RwLock<HashMap<(InstanceName, TableName), Arc<Index>>>);

/// An index that is open.
#[derive(Debug)]
struct Index {
    id: TableId,
    /// The table whose index it is.
    base: Table,
    /// The index as a table.
    table: Table,
    /// Of the followers of a global one, by the partitions of the table.
    progress: Vec<Arc<Progress>>,
    tasks: Mutex<Vec<Task>>,
}

/// Work in the background that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whoever builds an index tells by this that a part of it is built.
#[derive(Debug)]
pub(crate) struct ReadyWhenAll {
    store: WeakStore,
    table: TableId,
    index: TableId,
    all: Vec<Arc<Progress>>,
}

impl ReadyWhenAll {
    /// Lets the index be read, if all its parts are built.
    pub(crate) async fn tell(self) {
        if !self.all.iter().all(|progress| progress.caught_up()) {
            return;
        }
        let (table, index) = (self.table, self.index);
        let open = |store: Store| async move { store.index_is_ready(table, index).await };
        until_done(&self.store, index, "an index cannot be opened yet", open).await;
    }
}

impl Store {
    /// Makes an index on a table. Rows that are there already belong to it only if `with_rows`; then it can be read
    /// once they are entered, which happens in the background.
    ///
    /// # Errors
    /// If a rule is broken, the name is taken, there is no such table, or it cannot be written.
    pub async fn create_index(
        &self,
        instance: &InstanceName,
        table: &TableName,
        spec: IndexSpec,
        with_rows: bool,
    ) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let table = self.table(instance, table)?;
        let mut info = (*table.info()).clone();
        check_index_count(info.indexes.len() + 1)?;
        self.check_index(&info, &spec)?;
        let phase = if with_rows { IndexPhase::Building } else { IndexPhase::Ready };
        let index = self.new_index(spec, phase).await?;
        info.indexes.push(index.clone());
        let written = self.put_info(&table, info, |_| ()).await;
        if matches!(&written, Err(error) if !error.may_be_written()) {
            return written;
        }
        if let Err(error) = self.open_index(&table, &index).await {
            self.give_up(&table, index).await;
            return Err(error);
        }
        written
    }

    /// A table, or an index to be read as one.
    ///
    /// # Errors
    /// If there is none of that name, or the index is still being built.
    pub fn readable(&self, instance: &InstanceName, name: &TableName) -> Result<Table, Error> {
        let refused = match self.table(instance, name) {
            Err(refused @ Error::IsIndex(_)) => refused,
            other => return other,
        };
        let Some(index) = self.0.indexes.find(instance, name) else { return Err(refused) };
        let phase =
            index.base.info().indexes.iter().find(|known| known.id == index.id).map(|known| known.phase);
        match phase {
            Some(IndexPhase::Ready) => Ok(index.table.clone()),
            Some(IndexPhase::Building) => Err(Error::IndexBuilding(name.clone())),
            None => Err(Error::NoSuchTable(name.clone())),
        }
    }

    /// A table, or an index as a table whether it can be read or not.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn described(&self, instance: &InstanceName, name: &TableName) -> Result<Table, Error> {
        match self.0.indexes.find(instance, name) {
            Some(index) => Ok(index.table.clone()),
            None => self.table(instance, name),
        }
    }

    /// A table's indexes, and how far each is behind.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn index_reports(&self, table: &Table, deadline: Instant) -> Result<Vec<IndexReport>, Error> {
        let info = table.info();
        let mut reports = Vec::with_capacity(info.indexes.len());
        for (index, open) in self.open_indexes(&info) {
            let mut report = IndexReport {
                spec: index.spec.clone(),
                phase: index.phase,
                behind_changes: 0,
                behind_micros: 0,
            };
            if let Some(open) = open {
                for (partition, progress) in table.partitions().iter().zip(&open.progress) {
                    let position = progress.position();
                    let behind = partition.head().sequence.saturating_sub(position);
                    report.behind_changes += behind;
                    if behind > 0
                        && let Some(oldest) = partition.first_record(position + 1, deadline).await?
                    {
                        let age = self.time().now().saturating_sub(oldest.commit_time);
                        report.behind_micros = report.behind_micros.max(age);
                    }
                }
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// The positions up to which no global index of the table needs its log any more; `None` if it has none.
    pub(crate) fn index_positions(&self, table: &Table) -> Option<HashMap<PartitionId, u64>> {
        let info = table.info();
        if !info.has_global_index() {
            return None;
        }
        let mut low: HashMap<PartitionId, u64> =
            table.partitions().iter().map(|partition| (partition.id(), u64::MAX)).collect();
        for (_, open) in self.open_indexes(&info).filter(|(index, _)| index.spec.kind == IndexKind::Global) {
            for (partition, low) in &mut low {
                let progress = open.iter().flat_map(|open| &open.progress);
                let position = progress.clone().find(|progress| progress.partition == *partition);
                *low = (*low).min(position.map_or(0, |progress| progress.position()));
            }
        }
        Some(low)
    }

    /// Checks what a new index needs of its table, and that its name is free.
    pub(crate) fn check_index(&self, info: &TableInfo, spec: &IndexSpec) -> Result<(), Error> {
        check_index_options(&info.options)?;
        spec.check(&info.schema)?;
        let named = (info.instance.clone(), spec.name.clone());
        let is_taken = spec.name == info.schema.name
            || self.0.tables.read().contains_key(&named)
            || self.0.indexes.contains(&named.0, &named.1)
            || info.indexes.iter().any(|index| index.spec.name == spec.name);
        if is_taken { Err(Error::TableExists(spec.name.clone())) } else { Ok(()) }
    }

    /// An index with ids of its own.
    pub(crate) async fn new_index(&self, spec: IndexSpec, phase: IndexPhase) -> Result<IndexInfo, Error> {
        let id = TableId(self.0.catalog.give_numbers(Number::Table, 1).await?);
        let partition = match spec.kind {
            IndexKind::Local => None,
            IndexKind::Global => Some(PartitionId(self.0.catalog.give_numbers(Number::Partition, 1).await?)),
        };
        Ok(IndexInfo { id, spec, phase, partition, created_at: self.0.clock.now_micros() })
    }

    /// Opens an index of an open table, and lets it follow.
    ///
    /// # Errors
    /// If the engine does not answer. Part of it may be open then, and is the caller's to forget.
    pub(crate) async fn open_index(&self, table: &Table, index: &IndexInfo) -> Result<(), Error> {
        let deadline = Instant::now() + self.0.settings.table_call;
        let base_info = table.info();
        let (sender, info) = watch::channel(Arc::new(index.table_info(&base_info)?));
        let progress: Vec<Arc<Progress>> = match index.spec.kind {
            IndexKind::Local => Vec::new(),
            IndexKind::Global => table.partitions().iter().map(|of| Progress::new(of.id())).collect(),
        };
        let partitions: Vec<Partition> = match index.partition {
            Some(id) => vec![Partition::open(self.opening(id, Vec::new(), info, true), deadline).await?],
            None => {
                let view = |of: &Partition| of.local_index(local_prefix(index.id), info.clone());
                table.partitions().iter().map(view).collect()
            }
        };
        let open = Arc::new(Index {
            id: index.id,
            base: table.clone(),
            table: Table::new(index.id, sender, partitions.clone()),
            progress: progress.clone(),
            tasks: Mutex::default(),
        });
        self.0.indexes.add(&base_info.instance, &index.spec.name, open.clone());
        let ready = || ReadyWhenAll {
            store: self.downgrade(),
            table: table.id(),
            index: index.id,
            all: progress.clone(),
        };
        let is_building = index.phase == IndexPhase::Building;
        let plan = Plan::new(&base_info, index);
        if index.spec.kind == IndexKind::Local {
            if is_building {
                open.tasks.lock().push(Task(tokio::spawn(build(table.clone(), plan, ready()))));
            }
            return Ok(());
        }
        let plan = Arc::new(plan);
        for (base, progress) in table.partitions().iter().zip(&progress) {
            let mut follower = Follower {
                base: base.clone(),
                index: partitions[0].clone(),
                plan: plan.clone(),
                progress: progress.clone(),
                ready: is_building.then(ready),
                with_rows: is_building,
                entered: None,
                target: 0,
            };
            // Before anybody is told that there is an index: what is changed from then on is carried into it.
            follower.begin(deadline).await?;
            open.tasks.lock().push(Task(tokio::spawn(follower.run())));
        }
        Ok(())
    }

    /// Forgets the open indexes of a table that is being deleted.
    pub(crate) fn forget_indexes(&self, info: &TableInfo) {
        for index in &info.indexes {
            self.0.indexes.forget(&info.instance, &index.spec.name);
        }
    }

    /// Writes a table's new state; it holds also if that may be written or not.
    pub(crate) async fn put_info(
        &self,
        table: &Table,
        info: TableInfo,
        change: impl FnOnce(&mut TableRecord),
    ) -> Result<(), Error> {
        let mut record = TableRecord { info: info.clone(), ..self.record(table)? };
        change(&mut record);
        let written = self.0.catalog.put_table(record).await;
        // A change that may be written is written again with the next one: it counts as made.
        if written.as_ref().map_or_else(Error::may_be_written, |()| true) {
            for (index, open) in self.open_indexes(&info) {
                if let Some(open) = open {
                    open.table.set_info(index.table_info(&info)?);
                }
            }
            table.set_info(info);
        }
        written
    }

    /// The partitions of a table's global indexes.
    pub(crate) fn global_indexes(&self, table: &Table) -> Vec<Partition> {
        let info = table.info();
        let global = self.open_indexes(&info).filter(|(index, _)| index.partition.is_some());
        global.filter_map(|(_, open)| open?.table.partitions().first().cloned()).collect()
    }

    /// A table's indexes, each with what is open of it.
    fn open_indexes<'a>(
        &'a self,
        info: &'a TableInfo,
    ) -> impl Iterator<Item = (&'a IndexInfo, Option<Arc<Index>>)> {
        info.indexes.iter().map(|index| {
            let open = self.0.indexes.find(&info.instance, &index.spec.name);
            (index, open.filter(|open| open.id == index.id))
        })
    }

    async fn index_is_ready(&self, table: TableId, index: TableId) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let Some(table) = self.table_by_id(table) else { return Ok(()) };
        let mut info = (*table.info()).clone();
        let Some(known) = info.indexes.iter_mut().find(|known| known.id == index) else { return Ok(()) };
        known.phase = IndexPhase::Ready;
        self.put_info(&table, info, |_| ()).await
    }
}

impl Indexes {
    /// Whether there is an index of that name.
    pub(crate) fn contains(&self, instance: &InstanceName, name: &TableName) -> bool {
        self.0.read().contains_key(&(instance.clone(), name.clone()))
    }

    /// Ends what all indexes do in the background, and takes no further entries.
    pub(crate) fn close(&self) {
        for index in self.0.read().values() {
            index.close();
        }
    }

    fn find(&self, instance: &InstanceName, name: &TableName) -> Option<Arc<Index>> {
        self.0.read().get(&(instance.clone(), name.clone())).cloned()
    }

    fn add(&self, instance: &InstanceName, name: &TableName, index: Arc<Index>) {
        self.0.write().insert((instance.clone(), name.clone()), index);
    }

    pub(super) fn forget(&self, instance: &InstanceName, name: &TableName) {
        if let Some(index) = self.0.write().remove(&(instance.clone(), name.clone())) {
            index.close();
        }
    }
}

impl Index {
    fn close(&self) {
        self.tasks.lock().clear();
        // A local index lies in partitions that are its table's.
        if !self.progress.is_empty() {
            self.table.partitions().iter().for_each(Partition::close);
        }
    }
}
