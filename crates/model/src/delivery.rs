//! What a delivery task is asked to do: its mode, its destination, its columns.
//!
//! These are the values as the protocol names them (`OSSTaskConfig`), beside those that only our own program
//! and console can set. `lake` gives prefixes and columns their meaning, `delivery` the modes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{BucketName, TaskName};
use crate::value::ValueKind;

/// What a task delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// The table as it is, once.
    Base,
    /// Every change from the task's making on.
    Inc,
    /// The table as it is, then every change.
    BaseInc,
}

/// A task as its maker asked for it. The bucket is checked against the bucket table when the task runs, not
/// when it is made: what the task named is kept and described back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task's name, unique within its table.
    pub name: TaskName,
    /// What it delivers.
    pub mode: Mode,
    /// Where to, and how it is cut.
    pub destination: Destination,
    /// The columns of its objects.
    pub schema: SchemaSpec,
    /// How it cuts, and how many lanes it may use.
    #[serde(default)]
    pub tuning: Tuning,
}

/// Where a task's objects go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// An entry of the bucket table.
    pub bucket: BucketName,
    /// The bucket's endpoint as the task named it; not empty.
    pub endpoint: String,
    /// The role as the task named it, an ARN or a short name; not empty.
    pub role: String,
    /// The prefix with its time variables, as asked.
    pub prefix: String,
    /// The column whose value is a row's time; else the commit time is.
    pub event_time: Option<EventTimeColumn>,
    /// An IANA zone name for the time variables.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// What object names end with; `.parquet` for tasks of our own program, nothing on the wire.
    #[serde(default)]
    pub suffix: String,
    /// The folder that dirty fields are kept in, without variables; absent for the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty_prefix: Option<String>,
}

fn default_zone() -> String {
    "UTC".to_owned()
}

/// The column that tells a row's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTimeColumn {
    /// A primary key or attribute column.
    pub column: String,
    /// How its value is written.
    pub format: EventTimeFormat,
}

/// How an event time is written. All but `Unix` are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventTimeFormat {
    /// `02 Jan 06 15:04 MST`, a weekday and seconds may be there.
    Rfc822,
    /// `Monday, 02-Jan-06 15:04:05 MST`.
    Rfc850,
    /// `Mon, 02 Jan 2006 15:04:05 GMT`.
    Rfc1123,
    /// `2006-01-02T15:04:05Z`, with a fraction or an offset.
    Rfc3339,
    /// An integer: seconds since the epoch, or milliseconds from 10^11 on, or microseconds from 10^14 on.
    Unix,
}

/// The columns of a task's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaSpec {
    /// Exactly these.
    Manual(Vec<Field>),
    /// Primary keys, defined columns, then columns as they are seen; the reserved source names too if asked.
    Automatic {
        /// Whether `$operation`, `$commit_time` and `$sequence` are delivered.
        reserved: bool,
    },
}

/// One column of a task's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The table's column, or a reserved name: `$operation`, `$commit_time`, `$sequence`.
    pub source: String,
    /// The column's name in the objects.
    pub target: String,
    /// Its type in the objects.
    pub kind: FieldKind,
    /// Its encoding in the objects.
    #[serde(default)]
    pub encoding: Encoding,
    /// The type's parameters as the task named them; `BINARY` makes a UTF8 column a plain byte array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_extend: Option<String>,
}

/// The protocol's types of delivered columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the protocol's own names")]
pub enum FieldKind {
    Bool,
    Int64,
    Utf8,
    Double,
    Date,
    Decimal,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    List,
    Map,
    Interval,
    Float,
    Int32,
    Int96,
}

/// The protocol's encodings of delivered columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the protocol's own names")]
pub enum Encoding {
    #[default]
    Plain,
    PlainDictionary,
    DeltaBinaryPacked,
    DeltaByteArray,
    DeltaLengthByteArray,
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Fast, and read by everything.
    #[default]
    Snappy,
    /// Not at all.
    None,
}

/// How a task cuts, and how many lanes it may use. Defaults are the server's settings at its making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// A folder is cut at the latest this long after its first row was gathered, in milliseconds.
    pub object_age_ms_max: u64,
    /// A folder is cut also when it got no row for this long, in milliseconds; absent for no such limit.
    #[serde(default)]
    pub inactivity_ms_max: Option<u64>,
    /// A folder is cut when its gathered records reach this size.
    pub object_bytes_max: u64,
    /// Lanes of the incremental phase at least, and to start a run with.
    pub lanes_min: u32,
    /// Lanes of the incremental phase at most.
    pub lanes_max: u32,
    /// Bytes of objects that the task sends to its store per second at most, on average; absent for no limit.
    pub bytes_per_s_max: Option<u64>,
    /// Rows that the task sends to its store per second at most, on average; absent for no limit.
    pub rows_per_s_max: Option<u64>,
    /// How long after a folder's time it is marked complete at the earliest, in milliseconds.
    pub lateness_ms: u64,
    /// Whether a folder that is complete gets a `_SUCCESS` object beside its data.
    pub has_success_objects: bool,
    /// How objects are compressed.
    pub compression: Compression,
    /// Dirty fields of a run at most: a cut with which there would be more is held back, and the task stops
    /// until it is updated. 0 stops at the first; absent for no such limit.
    #[serde(default)]
    pub dirty_fields_max: Option<u64>,
}

impl Default for Tuning {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            object_age_ms_max: 120_000,
            inactivity_ms_max: None,
            object_bytes_max: 64 * 1024 * 1024,
            lanes_min: 1,
            lanes_max: u32::try_from(cores).unwrap_or(u32::MAX),
            bytes_per_s_max: None,
            rows_per_s_max: None,
            lateness_ms: 0,
            has_success_objects: false,
            compression: Compression::Snappy,
            dirty_fields_max: None,
        }
    }
}

/// Why a field is dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirtyReason {
    /// The column takes no value of that type.
    Type,
    /// The column's type cannot hold the number as it is.
    Range,
    /// The text does not read as the column's type.
    Format,
    /// The event time is missing or cannot be read; the row lies in the folder of its commit time.
    EventTime,
}

impl DirtyReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Type, Self::Range, Self::Format, Self::EventTime];

    /// The reason's name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Range => "range",
            Self::Format => "format",
            Self::EventTime => "event_time",
        }
    }
}

/// What of a task's tuning is changed while it runs. What is left out stays; `null` lifts a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuningChange {
    /// See [`Tuning::object_age_ms_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_age_ms_max: Option<u64>,
    /// See [`Tuning::inactivity_ms_max`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub inactivity_ms_max: Option<Option<u64>>,
    /// See [`Tuning::object_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_bytes_max: Option<u64>,
    /// See [`Tuning::lanes_min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes_min: Option<u32>,
    /// See [`Tuning::lanes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes_max: Option<u32>,
    /// See [`Tuning::bytes_per_s_max`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub bytes_per_s_max: Option<Option<u64>>,
    /// See [`Tuning::rows_per_s_max`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub rows_per_s_max: Option<Option<u64>>,
    /// See [`Tuning::lateness_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_ms: Option<u64>,
    /// See [`Tuning::has_success_objects`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_success_objects: Option<bool>,
}

/// A limit that is named, perhaps as `null`.
fn named<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl TuningChange {
    /// The tuning after the change.
    pub fn applied_to(&self, tuning: &Tuning) -> Tuning {
        Tuning {
            object_age_ms_max: self.object_age_ms_max.unwrap_or(tuning.object_age_ms_max),
            inactivity_ms_max: self.inactivity_ms_max.unwrap_or(tuning.inactivity_ms_max),
            object_bytes_max: self.object_bytes_max.unwrap_or(tuning.object_bytes_max),
            lanes_min: self.lanes_min.unwrap_or(tuning.lanes_min),
            lanes_max: self.lanes_max.unwrap_or(tuning.lanes_max),
            bytes_per_s_max: self.bytes_per_s_max.unwrap_or(tuning.bytes_per_s_max),
            rows_per_s_max: self.rows_per_s_max.unwrap_or(tuning.rows_per_s_max),
            lateness_ms: self.lateness_ms.unwrap_or(tuning.lateness_ms),
            has_success_objects: self.has_success_objects.unwrap_or(tuning.has_success_objects),
            compression: tuning.compression,
            dirty_fields_max: tuning.dirty_fields_max,
        }
    }
}

/// Something that happened to a task, for people who ask what it has been through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Counted from 1 in each task; never used again.
    pub number: u64,
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// What kind of thing it was.
    pub kind: TaskEventKind,
    /// A sentence.
    pub text: String,
}

/// What kind of thing happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEventKind {
    /// It was made.
    Made,
    /// It went on to another phase.
    Phase,
    /// A new run began.
    Run,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// Its settings were changed.
    Settings,
    /// It was updated: another version of its configuration was asked for, or came into force.
    Updated,
    /// Something began to keep it from delivering.
    Trouble,
    /// What kept it from delivering is over.
    Recovered,
    /// A folder that was marked complete got late rows, and was marked again.
    Remarked,
    /// It has another number of lanes.
    Lanes,
}

/// How far a task's life has come. It never goes back within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Its schema is not sampled or its destination not tried yet.
    Init,
    /// It delivers the table as it is.
    Full,
    /// It delivers changes; a BASE task that has finished rests here.
    Incr,
}

/// What keeps a task from delivering, as far as the protocol has a code for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskError {
    /// Nothing, or something the protocol has no code for; then the detail says what.
    #[default]
    Ok,
    /// The role is missing, or the store denies access.
    Unauthorized,
    /// There is no such bucket.
    InvalidOssBucket,
    /// More fields are dirty than the task may leave out; the protocol has no code for it.
    TooManyDirtyFields,
}

/// How a task is doing, as described to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// How far its life has come.
    pub phase: Phase,
    /// Everything committed before this is in the lake; microseconds since the epoch, 0 while absent.
    pub sync_point: i64,
    /// What keeps it from delivering.
    pub error: TaskError,
    /// A sentence on what is wrong and what to do, or on how it goes.
    pub detail: String,
    /// Its run, counted from 1; one more with each "deliver again".
    pub run: u32,
    /// Lanes of the incremental phase, which number objects by themselves; 0 for a task that follows no changes.
    #[serde(default)]
    pub lanes: u32,
    /// Change records, or rows of the full phase, gathered or still to be read.
    pub rows_waiting: u64,
    /// Rows in committed objects of this run.
    pub rows_delivered: u64,
    /// Bytes in committed objects of this run.
    pub bytes_delivered: u64,
    /// Committed objects of this run.
    pub objects: u64,
    /// Fields left out because their values do not fit their columns, and event times that could not be read.
    pub dirty_fields: u64,
    /// The same by reason; what programs before this one counted is not in it.
    #[serde(default)]
    pub dirty_reasons: BTreeMap<DirtyReason, u64>,
    /// The same by source column.
    #[serde(default)]
    pub dirty_columns: BTreeMap<String, u64>,
    /// Attributes that no column takes, counted by name.
    pub undelivered_columns: Vec<(String, u64)>,
    /// The type first seen of each of them.
    #[serde(default)]
    pub undelivered_kinds: BTreeMap<String, ValueKind>,
    /// The version of the configuration that cuts are made with, counted from 1.
    #[serde(default)]
    pub configuration: u32,
    /// The version that follows once no folder is ahead.
    #[serde(default)]
    pub next_configuration: Option<u32>,
    /// When the last object was committed, in microseconds since the epoch.
    pub last_object_at: Option<i64>,
    /// The name of the object that was committed last.
    pub last_object: Option<String>,
    /// Milliseconds until the oldest gathered folder is cut by its age.
    pub next_cut_in_ms: Option<u64>,
    /// When a failed task tries again, in microseconds since the epoch.
    pub next_try_at: Option<i64>,
    /// Whether it is paused. A cut that is on its way is committed before it rests.
    #[serde(default)]
    pub is_paused: bool,
    /// Seconds that the lake is behind the table; absent without a sync point, and for a task that has nothing
    /// to follow.
    #[serde(default)]
    pub lag_s: Option<u64>,
    /// What last kept it from delivering, also when that is over.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What was accepted with a doubt when the task was made.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tuning_tests {
    use super::*;

    #[test]
    fn a_change_of_tuning_leaves_what_it_does_not_name_and_lifts_a_limit_with_null() {
        let tuning = Tuning { bytes_per_s_max: Some(5), inactivity_ms_max: Some(7), ..Tuning::default() };
        let asked = r#"{"object_age_ms_max": 9, "bytes_per_s_max": null, "rows_per_s_max": 3}"#;
        let change: TuningChange = serde_json::from_str(asked).unwrap();
        let changed = change.applied_to(&tuning);
        let expected =
            Tuning { object_age_ms_max: 9, bytes_per_s_max: None, rows_per_s_max: Some(3), ..tuning };
        assert_eq!(changed, expected);
        let written = serde_json::to_value(&change).unwrap();
        assert_eq!(written["bytes_per_s_max"], serde_json::Value::Null);
        assert_eq!(written.as_object().unwrap().len(), 3);
        assert!(serde_json::from_str::<TuningChange>(r#"{"compression": "none"}"#).is_err());
    }

    #[test]
    fn a_tuning_that_an_older_program_wrote_still_opens() {
        let written = r#"{"object_age_ms_max":1,"object_bytes_max":2,"lanes_min":1,"lanes_max":1,"compression":"none"}"#;
        let tuning: Tuning = serde_json::from_str(written).unwrap();
        assert_eq!((tuning.rows_per_s_max, tuning.lateness_ms, tuning.has_success_objects), (None, 0, false));
    }
}

/// A source name that tells about the change rather than the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReservedSource {
    /// BASE, PUT, UPDATE or DELETE.
    Operation,
    /// When the change became durable, in microseconds since the epoch.
    CommitTime,
    /// The change's position in its partition's change log.
    Sequence,
}

impl ReservedSource {
    /// All of them, in the order in which our own program maps them.
    pub const ALL: [Self; 3] = [Self::Operation, Self::CommitTime, Self::Sequence];

    /// The source name, with its dollar sign.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operation => "$operation",
            Self::CommitTime => "$commit_time",
            Self::Sequence => "$sequence",
        }
    }

    /// Finds the reserved source of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}
