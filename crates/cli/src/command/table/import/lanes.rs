//! Writes rows by several requests at once, and those of one primary key in their order.
//!
//! A row's key decides its lane. A lane writes one batch after the other, and a batch never has a key twice, so a
//! key's last row in the file is its last in the table. Each lane holds a batch that is filled, one that waits and
//! one under way: that bounds the memory.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lakeferry_client::{Client, Error, ErrorCode, RowWrite, TableWrites};
use lakeferry_model::{KeyValue, TableSchema, limits};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::tally::Tally;
use crate::rows::Place;

/// Bytes of a batch at most; half of what the protocol allows, so that a row more does no harm.
const BATCH_BYTES_MAX: usize = limits::BATCH_WRITE_BYTES_MAX / 2;

/// The lanes of an import.
pub struct Lanes {
    lanes: Vec<Lane>,
    /// Columns of a whole key. One with fewer is a new row, whose key the server completes.
    key_columns: usize,
    tasks: JoinSet<()>,
}

struct Lane {
    batch: Batch,
    send: mpsc::Sender<Batch>,
}

#[derive(Default)]
struct Batch {
    rows: Vec<RowWrite>,
    places: Vec<Place>,
    keys: HashSet<Vec<KeyValue>>,
    bytes: usize,
}

impl Lanes {
    /// Begins so many lanes.
    pub fn start(count: usize, client: &Client, table: &TableSchema, tally: &Arc<Mutex<Tally>>) -> Self {
        let mut tasks = JoinSet::new();
        let lanes = (0..count).map(|_| {
            let (send, batches) = mpsc::channel(1);
            let name = table.name.as_str().to_owned();
            let writer = Writer { client: client.clone(), table: name, tally: tally.clone() };
            tasks.spawn(writer.run(batches));
            Lane { batch: Batch::default(), send }
        });
        let lanes = lanes.collect();
        Self { lanes, key_columns: table.primary_key.len(), tasks }
    }

    /// Takes a row, once its lane has room for it.
    pub async fn add(&mut self, place: Place, row: RowWrite) {
        let key: Vec<KeyValue> = row.key().columns().iter().map(|(_, value)| value.clone()).collect();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.lanes.len() as u64;
        let at = usize::try_from(hasher.finish() % count).unwrap_or(0);
        let lane = &mut self.lanes[at];
        let bytes = row.size();
        let key = Some(key).filter(|key| key.len() == self.key_columns);
        if !lane.batch.has_room_for(key.as_deref(), bytes) {
            lane.flush().await;
        }
        lane.batch.push(place, key, row, bytes);
    }

    /// Writes what is left, and ends when everything that was begun has an end.
    pub async fn finish(mut self) {
        for lane in &mut self.lanes {
            lane.flush().await;
        }
        self.lanes.clear();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(panic) = ended.map_err(tokio::task::JoinError::into_panic) {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Lane {
    async fn flush(&mut self) {
        if !self.batch.rows.is_empty() {
            // Its writer ends only behind us, or in a panic that `finish` passes on.
            let _ = self.send.send(std::mem::take(&mut self.batch)).await;
        }
    }
}

impl Batch {
    fn has_room_for(&self, key: Option<&[KeyValue]>, bytes: usize) -> bool {
        self.rows.len() < limits::BATCH_WRITE_ROWS_MAX
            && (self.rows.is_empty() || self.bytes + bytes <= BATCH_BYTES_MAX)
            && !key.is_some_and(|key| self.keys.contains(key))
    }

    fn push(&mut self, place: Place, key: Option<Vec<KeyValue>>, row: RowWrite, bytes: usize) {
        self.rows.push(row);
        self.places.push(place);
        self.keys.extend(key);
        self.bytes += bytes;
    }
}

/// What a lane's task has.
struct Writer {
    client: Client,
    table: String,
    tally: Arc<Mutex<Tally>>,
}

impl Writer {
    async fn run(self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(Batch { rows, places, .. }) = batches.recv().await {
            let (rows, places) = self.wanted(rows, places);
            match self.write(&rows, &places).await {
                Ok(()) => {}
                // The whole batch is refused for one row: find out which.
                Err(error) if rows.len() > 1 && is_about_a_row(&error) => {
                    self.write_one_by_one(rows, &places).await;
                }
                Err(error) => self.give_up(&error, &places),
            }
        }
    }

    async fn write_one_by_one(&self, rows: Vec<RowWrite>, places: &[Place]) {
        for (row, place) in rows.into_iter().zip(places) {
            if self.tally.lock().is_wanted(*place)
                && let Err(error) = self.write(std::slice::from_ref(&row), &[*place]).await
            {
                self.give_up(&error, &[*place]);
            }
        }
    }

    /// The rows that are still to be written: all, unless the import has stopped.
    fn wanted(&self, rows: Vec<RowWrite>, places: Vec<Place>) -> (Vec<RowWrite>, Vec<Place>) {
        let tally = self.tally.lock();
        rows.into_iter().zip(places).filter(|(_, place)| tally.is_wanted(*place)).unzip()
    }

    async fn write(&self, rows: &[RowWrite], places: &[Place]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let batch = [TableWrites::new(&self.table, rows.iter().cloned())];
        let outcomes = self.client.batch_write_row(&batch).await?;
        let mut tally = self.tally.lock();
        for (outcome, place) in outcomes.into_iter().flatten().zip(places) {
            match outcome {
                Ok(_) => tally.written(*place),
                Err(error) => tally.refused(*place, &error.to_string()),
            }
        }
        Ok(())
    }

    /// A call failed as a whole: a single row's fault, or everybody's.
    fn give_up(&self, error: &Error, places: &[Place]) {
        if let [place] = places
            && is_about_a_row(error)
        {
            return self.tally.lock().refused(*place, &error.to_string());
        }
        let mut why = error.to_string();
        if error.is_outcome_unknown() {
            why.push_str("; whether rows from here on were written is unknown");
        }
        self.tally.lock().stop(places.first().copied(), &why);
    }
}

/// Whether the server refused the call for what is in it.
fn is_about_a_row(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::ParameterInvalid | ErrorCode::InvalidPrimaryKey | ErrorCode::RequestBodyTooLarge)
    )
}
