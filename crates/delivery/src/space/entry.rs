//! What is written down, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lakeferry_lake::ObjectSchema;
use lakeferry_model::delivery::{Compression, DirtyReason, Mode, Phase, TaskEvent, TaskSpec};
use lakeferry_model::{BucketName, Micros, TaskName, ValueKind};
use lakeferry_store::PartitionId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::progress::Progress;

/// The format of the entries here; a newer one is refused.
pub(super) const FORMAT: u32 = 1;
/// Bits of a task's id that are its number.
const NUMBER_BITS: u32 = 21;

/// A task's id, never used again: a number that the catalog gives, under a random half, so that objects of two
/// deployments in one bucket cannot be mistaken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(u64);

impl TaskId {
    /// The id of the task with this number, which the catalog gives once. Below 2^53, so that every reader
    /// of JSON gets it right.
    pub(crate) fn of_number(number: u64) -> Self {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        Self((random >> 32) << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
    }

    /// The id in a key.
    pub(super) fn of_key(id: u64) -> Self {
        Self(id)
    }

    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self::of_number(Uuid::new_v4().as_u64_pair().1)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task as it was asked for, and how far its life has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskEntry {
    pub(crate) format: u32,
    pub(crate) id: TaskId,
    /// What is in force.
    pub(crate) spec: TaskSpec,
    /// The version of the configuration that is in force, counted from 1.
    #[serde(default = "first")]
    pub(crate) configuration: u32,
    /// What comes into force once no folder is ahead.
    #[serde(default)]
    pub(crate) next: Option<Next>,
    pub(crate) created_at: Micros,
    pub(crate) stage: Stage,
    /// The phase of this run; an INC task that scans the table again is in FULL here and reports INCR.
    pub(crate) phase: Phase,
    pub(crate) run: u32,
    /// Where the sync point begins when FULL is over.
    pub(crate) sync_floor: Micros,
    /// Whether the names in the bucket were listed, so that sequences go on above them.
    pub(crate) are_names_listed: bool,
    /// What the bucket said of itself when the task first saw it.
    pub(crate) bucket_identity: Option<Uuid>,
    /// What was accepted with a doubt.
    pub(crate) warnings: Vec<String>,
    /// What a person should know of this run.
    pub(crate) note: Option<String>,
    /// Whether it rests until it is resumed.
    #[serde(default)]
    pub(crate) is_paused: bool,
}

/// A specification that waits to come into force, and what of it was accepted with a doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Next {
    pub(crate) spec: TaskSpec,
    pub(crate) warnings: Vec<String>,
}

fn first() -> u32 {
    1
}

/// How far the making or the end of a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The entry is written; the log is not pinned yet.
    Entered,
    /// The pins are written.
    Live,
    /// Deleted; what is left is being cleared away.
    Deleted,
}

/// Where a run begins in a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) sequence: u64,
    pub(crate) commit_time: Micros,
}

/// What a lane counts. Never goes back, not with a new run either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneCounters {
    pub(crate) next_sequence: u64,
    pub(crate) next_cut: u64,
}

impl LaneCounters {
    pub(crate) fn take_sequence(&mut self) -> u64 {
        let taken = self.next_sequence;
        self.next_sequence += 1;
        taken
    }

    pub(crate) fn take_cut(&mut self) -> u64 {
        let taken = self.next_cut;
        self.next_cut += 1;
        taken
    }
}

impl Default for LaneCounters {
    fn default() -> Self {
        Self { next_sequence: 1, next_cut: 1 }
    }
}

/// What a run has delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
    pub(crate) dirty_fields: u64,
    pub(crate) event_time_dirty: u64,
    pub(crate) undelivered: BTreeMap<String, u64>,
    /// The types first seen of those names, but for those that older programs counted.
    #[serde(default)]
    pub(crate) undelivered_kinds: BTreeMap<String, ValueKind>,
    /// Dirty fields by source column and reason, but for those that older programs counted.
    #[serde(default)]
    pub(crate) dirty: BTreeMap<String, BTreeMap<DirtyReason, u64>>,
    pub(crate) last_object_at: Option<Micros>,
    pub(crate) last_object: Option<String>,
}

impl Totals {
    /// Dirty fields by reason.
    pub(crate) fn dirty_reasons(&self) -> BTreeMap<DirtyReason, u64> {
        let mut reasons = BTreeMap::new();
        for (reason, count) in self.dirty.values().flatten() {
            *reasons.entry(*reason).or_default() += count;
        }
        reasons
    }

    /// Dirty fields by source column.
    pub(crate) fn dirty_columns(&self) -> BTreeMap<String, u64> {
        self.dirty.iter().map(|(column, reasons)| (column.clone(), reasons.values().sum())).collect()
    }
}

/// A range of row keys that the full phase scans, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScanRange {
    pub(crate) partition: u64,
    /// Rows up to this are in the lake; absent: none.
    #[serde(with = "hex_key")]
    pub(crate) after: Option<Bytes>,
    /// The last row key of the range; absent: to the partition's end.
    #[serde(with = "hex_key")]
    pub(crate) until: Option<Bytes>,
    pub(crate) is_done: bool,
}

/// A cut whose names are fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreparedCut {
    pub(crate) number: u64,
    pub(crate) run: u32,
    pub(crate) kind: CutKind,
    /// The version of the configuration that it was prepared with.
    #[serde(default = "first")]
    pub(crate) configuration: u32,
    /// How its objects are compressed; absent in cuts of older programs, for as the task has it.
    #[serde(default)]
    pub(crate) compression: Option<Compression>,
    /// The name of its dirty object, if it comes to have one; absent in cuts of older programs.
    #[serde(default)]
    pub(crate) dirty: Option<String>,
    pub(crate) schema: Arc<ObjectSchema>,
    pub(crate) objects: Vec<PreparedObject>,
}

/// What a cut was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CutKind {
    /// The log, up to these positions by partition; it is done again after a crash.
    Log {
        /// Positions by partition id.
        upto: BTreeMap<u64, u64>,
    },
    /// A scan; it is given up after a crash.
    Scan,
}

/// An object of a prepared cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreparedObject {
    pub(crate) folder: String,
    pub(crate) name: String,
    pub(crate) sequence: u64,
}

/// A name whose object, should it appear, is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Abandoned {
    pub(crate) task: TaskId,
    pub(crate) bucket: BucketName,
    /// The role that the task named for the bucket.
    #[serde(default)]
    pub(crate) role: String,
    pub(crate) name: String,
    /// Whether the name holds the task's id, so that whatever lies there is the task's own.
    #[serde(default)]
    pub(crate) is_own_name: bool,
    /// After this it is not looked after any more.
    pub(crate) until: Micros,
}

/// Everything that is written down about one task.
#[derive(Debug, Clone)]
pub(crate) struct StoredTask {
    pub(crate) entry: TaskEntry,
    pub(crate) schema: Option<Arc<ObjectSchema>>,
    pub(crate) pins: BTreeMap<PartitionId, Pin>,
    pub(crate) lanes: BTreeMap<u32, StoredLane>,
    pub(crate) ranges: BTreeMap<u32, ScanRange>,
    pub(crate) totals: Totals,
    /// Read once, at the start; then the task's history has them.
    pub(crate) events: Vec<TaskEvent>,
}

impl StoredTask {
    /// The lane of the incremental phase that serves each partition.
    pub(crate) fn serving(&self) -> BTreeMap<PartitionId, u32> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|(lane, stored)| stored.progress.partitions().map(|id| (id, *lane))).collect()
    }

    /// The lanes of the incremental phase: those that serve partitions.
    pub(crate) fn serving_lanes(&self) -> BTreeSet<u32> {
        self.serving().into_values().collect()
    }

    /// How many they are.
    pub(crate) fn lane_count(&self) -> u32 {
        u32::try_from(self.serving_lanes().len()).unwrap_or(u32::MAX)
    }
}

/// Everything that is written down about one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredLane {
    pub(crate) counters: LaneCounters,
    pub(crate) progress: Progress,
    pub(crate) prepared: Option<PreparedCut>,
}

/// What a table's space holds.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) tasks: Vec<StoredTask>,
    pub(crate) abandoned: Vec<Abandoned>,
}

impl TaskEntry {
    /// A task that was just asked for.
    pub(crate) fn new(id: TaskId, spec: TaskSpec, created_at: Micros, warnings: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            id,
            spec,
            configuration: 1,
            next: None,
            created_at,
            stage: Stage::Entered,
            phase: Phase::Init,
            run: 1,
            sync_floor: 0,
            are_names_listed: false,
            bucket_identity: None,
            warnings,
            note: None,
            is_paused: false,
        }
    }

    pub(crate) fn name(&self) -> &TaskName {
        &self.spec.name
    }

    /// What was asked for last, in force or not.
    pub(crate) fn asked(&self) -> &TaskSpec {
        self.next.as_ref().map_or(&self.spec, |next| &next.spec)
    }

    /// Whether the task follows the log.
    pub(crate) fn follows_log(&self) -> bool {
        self.spec.mode != Mode::Base
    }

    /// The phase as described to others.
    pub(crate) fn reported_phase(&self) -> Phase {
        match (self.spec.mode, self.phase) {
            (Mode::Inc, Phase::Full) => Phase::Incr,
            (_, phase) => phase,
        }
    }
}

/// Row keys in JSON: hexadecimal text.
mod hex_key {
    use std::fmt::Write;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(key: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(key) = key else { return serializer.serialize_none() };
        let mut text = String::with_capacity(key.len() * 2);
        for byte in key {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        serializer.serialize_some(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let key: Option<Vec<u8>> = pairs.map(byte).collect();
        key.map(|key| Some(key.into())).ok_or_else(|| D::Error::custom("a row key is not hexadecimal"))
    }
}
