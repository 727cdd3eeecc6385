//! The bare parts: fjall without anything around it, the Parquet writer on ready batches.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use fjall::{Database, Keyspace, PersistMode};
use lakeferry_engine::FjallSettings;
use lakeferry_engine::fjall_engine::tuning::{database_builder, log_options, table_options};
use lakeferry_lake::{ObjectSchema, writer_properties};
use lakeferry_model::delivery::Compression;
use lakeferry_store::RecordView;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// Rows of a batch that is synced, row and change record each.
pub const SYNCED_ROWS: usize = 1600;

/// A bare database on a server's data.
pub struct Bare {
    database: Database,
}

/// An entry and its change record, each with its key.
pub struct Pair {
    row: (Vec<u8>, Vec<u8>),
    record: (Vec<u8>, Vec<u8>),
}

impl Bare {
    /// Opens what a stopped server has left.
    pub fn open(data: &Path) -> Result<Self, Failure> {
        let database = database_builder(&data.join("engine"), &FjallSettings::default()).open()?;
        Ok(Self { database })
    }

    /// Reads every row entry once: how many there were, and the CPU time it took.
    pub fn scan(&self) -> Result<(u64, Duration), Failure> {
        let mut rows = 0;
        let mut bytes = 0;
        let started = thread_cpu();
        for keyspace in self.keyspaces(|name| name.starts_with("partition-") && !name.contains('.'))? {
            for entry in keyspace.iter() {
                let (key, value) = entry.into_inner()?;
                // The head of a partition is no row.
                rows += u64::from(key.first() == Some(&1));
                bytes += key.len() + value.len();
            }
        }
        let took = thread_cpu().saturating_sub(started);
        if bytes == 0 {
            return Err("the scan found nothing".into());
        }
        Ok((rows, took))
    }

    /// All rows with their change records, in the order of their writing.
    pub fn pairs(&self) -> Result<Vec<Pair>, Failure> {
        let mut rows = HashMap::new();
        for keyspace in self.keyspaces(|name| name.starts_with("partition-") && !name.contains('.'))? {
            for entry in keyspace.iter() {
                let (key, value) = entry.into_inner()?;
                rows.insert(key.to_vec(), value.to_vec());
            }
        }
        let mut pairs = Vec::new();
        for keyspace in self.keyspaces(|name| name.starts_with("partition-") && name.ends_with(".log"))? {
            for entry in keyspace.iter() {
                let (log_key, record) = entry.into_inner()?;
                let mut row_key = vec![1];
                row_key.extend_from_slice(RecordView::from_log(&log_key, &record)?.key());
                let Some(row) = rows.remove(&row_key) else { continue };
                pairs.push(Pair { row: (row_key, row), record: (log_key.to_vec(), record.to_vec()) });
            }
        }
        pairs.sort_unstable_by(|a, b| a.record.0.cmp(&b.record.0));
        Ok(pairs)
    }

    fn keyspaces(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Keyspace>, Failure> {
        let mut names: Vec<String> =
            self.database.list_keyspace_names().iter().map(|name| name.to_string()).collect();
        names.retain(|name| wanted(name));
        names.sort();
        let open = |name: &String| {
            let options = if name.ends_with(".log") { log_options } else { table_options };
            Ok(self.database.keyspace(name, options)?)
        };
        names.iter().map(open).collect()
    }
}

/// Writes the pairs into a new database, a synced batch at a time, and returns how long that took.
pub fn write(folder: &Path, pairs: &[Pair]) -> Result<Duration, Failure> {
    let database = database_builder(folder, &FjallSettings::default()).open()?;
    let rows = database.keyspace("rows", table_options)?;
    let log = database.keyspace("log", log_options)?;
    let started = Instant::now();
    for part in pairs.chunks(SYNCED_ROWS) {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for pair in part {
            batch.insert(&rows, pair.row.0.as_slice(), pair.row.1.as_slice());
            batch.insert(&log, pair.record.0.as_slice(), pair.record.1.as_slice());
        }
        batch.commit()?;
    }
    Ok(started.elapsed())
}

/// Writes the rows of these objects again, from batches that are ready: how many rows, and the CPU time.
pub fn encode(objects: &[Vec<u8>], schema: &ObjectSchema) -> Result<(u64, Duration), Failure> {
    let mut rows = 0;
    let mut took = Duration::ZERO;
    for object in objects {
        let bytes = bytes::Bytes::copy_from_slice(object);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(8192).build()?;
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
        let Some(first) = batches.first() else { continue };
        let properties = writer_properties(schema, Compression::Snappy, &[]);
        let started = thread_cpu();
        let mut writer =
            ArrowWriter::try_new(Vec::with_capacity(object.len()), first.schema(), Some(properties))?;
        for batch in &batches {
            writer.write(batch)?;
        }
        let written = writer.into_inner()?;
        took += thread_cpu().saturating_sub(started);
        // The same rows with the same settings come out at the same size, but for the metadata.
        if written.len().abs_diff(object.len()) > object.len() / 20 + 4096 {
            let message = format!("the bare writer wrote {} bytes for {}", written.len(), object.len());
            return Err(message.into());
        }
        rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
    }
    Ok((rows, took))
}

/// The CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
