//! Listens to the table's tunnel through all lives of the server.
//!
//! A tunnel hands out each record at least once, and those of a channel in their order, again from a checkpoint
//! on after a crash. So rows that are put together from its records end as the table's do, and every change that
//! the lake has was heard, too.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_client::tunnel::{ChannelRecords, ProcessError, TunnelWorker, WorkerSettings};
use lakeferry_client::{Action, ChangeRecord};
use lakeferry_model::{ColumnUpdate, KeyValue, Value};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::failure::{Failure, broken};
use crate::row::{Delivered, Key, Operation, Row};
use crate::server::Keeper;
use crate::target::Target;
use crate::writer::DEV_KEY;

/// A worker on the tunnel, made anew in each life.
#[derive(Debug)]
pub struct Listener {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<Failure>,
}

/// What the tunnel said so far.
#[derive(Debug, Default)]
struct Heard {
    rows: BTreeMap<Key, Row>,
    /// Numbers of the puts and updates.
    numbers: HashSet<i64>,
    /// Why a record could not be taken.
    unfit: Option<String>,
}

impl Listener {
    /// Begins to listen.
    pub fn start(keeper: Arc<Keeper>, tunnel: String) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listens = listen(keeper, tunnel, Arc::clone(&heard));
        Self { heard, task: tokio::spawn(listens) }
    }

    /// Waits until what was heard makes up the table, and checks that all changes of the lake were heard.
    ///
    /// # Errors
    /// If it does not come to that before `end`.
    pub async fn end(
        self,
        table: &BTreeMap<Key, Row>,
        lake: &[Delivered],
        end: Instant,
    ) -> Result<(), Failure> {
        loop {
            if self.task.is_finished() {
                return Err(self.task.await.unwrap_or_else(broken("listen to the tunnel")));
            }
            let missing = {
                let heard = self.heard.lock();
                if let Some(unfit) = &heard.unfit {
                    return Err(Failure::Lost(format!("a record of the tunnel: {unfit}")));
                }
                heard.missing(table, lake)
            };
            match missing {
                None => break,
                Some(what) if Instant::now() > end => return Err(Failure::Lost(what)),
                Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        self.task.abort();
        Ok(())
    }
}

impl Heard {
    fn missing(&self, table: &BTreeMap<Key, Row>, lake: &[Delivered]) -> Option<String> {
        let keys = table.keys().chain(self.rows.keys());
        if let Some(key) = keys.into_iter().find(|key| self.rows.get(key) != table.get(key)) {
            let (heard, row) = (self.rows.get(key), table.get(key));
            return Some(format!("{key:?}: the tunnel told {heard:?}, the table has {row:?}"));
        }
        let changes = lake.iter().filter(|row| matches!(row.operation, Operation::Put | Operation::Update));
        let unheard =
            changes.into_iter().find(|row| row.write.is_none_or(|write| !self.numbers.contains(&write)));
        unheard.map(|row| format!("the tunnel did not tell of {row:?}"))
    }

    fn take(&mut self, record: &ChangeRecord) -> Result<(), String> {
        let key = Key { place: key_part(record, "place")?, item: key_part(record, "item")? };
        if record.action == Action::Delete {
            self.rows.remove(&key);
            return Ok(());
        }
        let mut row = match record.action {
            Action::Update => self.rows.remove(&key),
            Action::Put | Action::Delete => None,
        }
        .unwrap_or(Row { write: 0, text: None, count: 0 });
        for change in &record.changes {
            match (change.name.as_ref(), &change.update) {
                ("write", ColumnUpdate::Put(Value::Integer(write), _)) => row.write = *write,
                ("count", ColumnUpdate::Put(Value::Integer(count), _)) => row.count = *count,
                ("text", ColumnUpdate::Put(Value::String(text), _)) => row.text = Some(text.to_string()),
                other => return Err(format!("{other:?} of {key:?}")),
            }
        }
        self.numbers.insert(row.write);
        self.rows.insert(key, row);
        Ok(())
    }
}

async fn listen(keeper: Arc<Keeper>, tunnel: String, heard: Arc<Mutex<Heard>>) -> Failure {
    let settings = WorkerSettings {
        heartbeat_interval: Duration::from_millis(200),
        session_timeout: Duration::from_secs(1),
        checkpoint_interval: Duration::from_millis(200),
        idle_pause_max: Duration::from_millis(200),
        ..WorkerSettings::default()
    };
    let mut next = 1;
    loop {
        let (address, life) = match keeper.life(next).await {
            Ok(up) => up,
            Err(failure) => return failure,
        };
        let target = match Target::at(&address, DEV_KEY) {
            Ok(target) => target,
            Err(failure) => return failure,
        };
        let heard = Arc::clone(&heard);
        let process = move |channel: ChannelRecords| {
            let mut heard = heard.lock();
            for record in &channel.records {
                if let Err(unfit) = heard.take(record) {
                    heard.unfit.get_or_insert(unfit);
                }
            }
            std::future::ready(Ok::<(), ProcessError>(()))
        };
        // Dropped with the life that it belongs to; what it did not write down comes again.
        let worker = TunnelWorker::start(target.client().clone(), &tunnel, settings.clone(), process);
        while keeper.is_in(life) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(worker);
        next = life + 1;
    }
}

fn key_part(record: &ChangeRecord, name: &str) -> Result<i64, String> {
    match record.key.get(name) {
        Some(KeyValue::Integer(part)) => Ok(*part),
        other => Err(format!("the primary key column `{name}` is {other:?}")),
    }
}
