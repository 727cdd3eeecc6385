//! How a task begins: pinned, sampled, its destination tried.

use lakeferry_lake::{ObjectSchema, Prefix};
use lakeferry_model::delivery::{Mode, Phase, SchemaSpec, TaskEventKind, TaskSpec};
use lakeferry_store::{LogHead, PartitionId};

use super::Task;
use crate::error::Error;
use crate::sample::sample;
use crate::settings::Settings;
use crate::source::Source;
use crate::space::{Pin, Stage, StoredTask, Writes};
use crate::status::{Position, Who};
use crate::stop::{Stop, Stopped};
use crate::trouble::Trouble;

impl Task {
    /// Switches the log on and pins where it stands, if that is not done yet.
    pub(super) async fn finish_making(&self, stop: &Stop) -> Result<(), Stopped> {
        if self.book.lock().await.entry.stage != Stage::Entered {
            return Ok(());
        }
        let partitions = if self.board.entry().follows_log() { self.source.partitions() } else { Vec::new() };
        let mut heads = Vec::new();
        for partition in partitions {
            heads.push((partition, self.keep_log(partition, stop).await?));
        }
        let mut book = self.book.lock().await;
        let mut writes = Writes::default();
        self.pin(&mut book, &mut writes, &heads);
        book.entry.stage = Stage::Live;
        writes.put_entry(&book.entry);
        self.write_book(writes).await?;
        self.board.set_entry(&book.entry);
        self.show_pins(&book);
        self.is_live.send_replace(true);
        Ok(())
    }

    async fn keep_log(&self, partition: PartitionId, stop: &Stop) -> Result<LogHead, Stopped> {
        let mut failures = 0;
        loop {
            match stop.or(self.source.keep_log(partition)).await? {
                Ok(head) => return Ok(head),
                Err(error) => {
                    failures += 1;
                    self.wait_in_trouble(Who::Task, Trouble::of(&error), failures, stop).await?;
                }
            }
        }
    }

    /// Sets where a run begins: its pins, and the progress of its incremental lanes, over which the
    /// partitions are spread in turn.
    pub(super) fn pin(&self, book: &mut StoredTask, writes: &mut Writes, heads: &[(PartitionId, LogHead)]) {
        let lanes = book.entry.spec.tuning.lanes_min.max(1);
        for (&(partition, head), turn) in heads.iter().zip(0_u32..) {
            let pin = Pin { sequence: head.sequence, commit_time: head.commit_time };
            book.pins.insert(partition, pin);
            writes.put_pin(self.id, partition, &pin);
            let lane = turn % lanes;
            book.lanes.entry(lane).or_default().progress.set_low(partition, head.sequence);
            writes.put_low(self.id, lane, partition, head.sequence);
        }
        book.entry.sync_floor = heads.iter().map(|(_, head)| head.commit_time).min().unwrap_or(0);
    }

    pub(super) fn show_pins(&self, book: &StoredTask) {
        for (partition, pin) in &book.pins {
            self.board.set_position(*partition, Position::at(pin.sequence, pin.commit_time));
        }
        self.board.set_lane_count(book);
    }

    /// Shows how far the task is, before any of its lanes is begun: the first record that waits tells.
    pub(crate) async fn show_progress(&self) {
        let book = self.book.lock().await;
        self.show_pins(&book);
        let lanes = book.lanes.values();
        let lows = lanes.flat_map(|lane| lane.progress.partitions().map(|id| (id, lane.progress.low(id))));
        for (partition, low) in lows {
            let closed = self.source.closed_time(partition);
            let head = self.source.head(partition);
            let mut position = Position { certain: 0, ..Position::at(low, 0) };
            if head.sequence <= low {
                // Whatever was shown in an earlier life lies at or before these.
                position.certain = closed.max(head.commit_time);
            } else {
                match self.source.read_log(partition, low, 1).await {
                    Ok(block) => {
                        let first = block.records().next().and_then(Result::ok);
                        position.waiting_since = first.map(|record| record.commit_time());
                    }
                    // The lane that reads it will say the same, and go on trying.
                    Err(error) => tracing::warn!(task = %self.id, %error, "the log could not be read"),
                }
            }
            self.board.set_position(partition, position);
        }
    }

    /// INIT: samples the columns and tries the destination once, both for a bounded time.
    pub(super) async fn initialize(&self, stop: &Stop) -> Result<(), Stopped> {
        if self.phase().await != Phase::Init {
            return Ok(());
        }
        let limit = self.env.settings.init_max;
        let sampled = tokio::time::timeout(limit, sample(&*self.source, &self.columns));
        let tried = tokio::time::timeout(limit, self.try_destination());
        let (sampled, tried) = stop.or(async { tokio::join!(sampled, tried) }).await?;
        if !matches!(sampled, Ok(Ok(()))) {
            // The schema stays open: what a sample would have shown joins when it is first delivered.
            tracing::warn!(task = %self.id, "the table could not be sampled in time");
        }
        let trouble = match tried {
            Ok(Ok(_)) => None,
            Ok(Err(trouble)) => Some(trouble),
            Err(_) => Some(Trouble::Other("the bucket has not answered yet".to_owned())),
        };
        if let Some(trouble) = trouble {
            self.show_trouble(Who::Task, trouble, Some(self.env.clock.now_micros()));
        }
        let mut book = self.book.lock().await;
        if book.entry.stage != Stage::Live {
            return Err(Stopped);
        }
        let schema = self.columns.current();
        let warnings = name_warnings(&book, &schema, &self.setup().prefix);
        book.entry.warnings.extend(warnings);
        book.entry.phase = if book.entry.spec.mode == Mode::Inc { Phase::Incr } else { Phase::Full };
        let mut writes = Writes::default();
        writes.put_schema(self.id, &schema);
        writes.put_entry(&book.entry);
        book.schema = Some(schema);
        self.write_book(writes).await?;
        self.board.set_entry(&book.entry);
        let phase = phase_name(book.entry.phase);
        self.note(TaskEventKind::Phase, format!("initialized; phase {phase} begins"));
        Ok(())
    }
}

/// The phase's name in the protocol.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Init => "INIT",
        Phase::Full => "FULL",
        Phase::Incr => "INCR",
    }
}

/// The schema that a task begins with.
pub(super) fn first_schema(
    spec: &TaskSpec,
    source: &dyn Source,
    settings: &Settings,
) -> Result<ObjectSchema, Error> {
    let table = source.schema();
    Ok(match &spec.schema {
        SchemaSpec::Manual(fields) => ObjectSchema::manual(fields, &table)?,
        SchemaSpec::Automatic { reserved } => {
            ObjectSchema::automatic(&table, *reserved).open_to(settings.automatic_columns_max)
        }
    })
}

/// Doubts about the names of sampled columns; those of a manual schema were told when the task was made.
fn name_warnings(book: &StoredTask, schema: &ObjectSchema, prefix: &Prefix) -> Vec<String> {
    match &book.entry.spec.schema {
        SchemaSpec::Manual(_) => Vec::new(),
        SchemaSpec::Automatic { .. } => schema.name_warnings(prefix),
    }
}
