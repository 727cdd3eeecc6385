//! Records in, one Parquet object out: what lies between the store's rows and lake's encoder.
//!
//! The bytes of an object depend on nothing but its rows in their order, its schema and its metadata, so a
//! cut that is done again gives the same bytes. Everything here computes; it runs on blocking threads.

use std::sync::Arc;

use bytes::Bytes;
use lakeferry_lake::{EncodeError, EncodedObject, ObjectEncoder, ObjectSchema, RowMeta};
use lakeferry_model::delivery::Compression;
use lakeferry_model::{KeyColumn, ValueKind, ValueRef, limits::KEY_COLUMNS_MAX};
use lakeferry_store::key::{self, KeyPart};
use lakeferry_store::{FoundValue, RecordView, RowShape};
use smallvec::SmallVec;

use crate::dirty::{DirtyForm, DirtyFound, DirtyNotes};
use crate::gather::GatheredFolder;
use crate::source::{Record, ScannedRow};
use crate::space::{TaskId, Totals};

/// The task's id in an object's key-value metadata, in decimal.
pub const TASK_KEY: &str = "lakeferry.task_id";
/// The lane in an object's key-value metadata, in decimal.
pub const LANE_KEY: &str = "lakeferry.lane";
/// The sequence in an object's key-value metadata, in decimal.
pub const SEQUENCE_KEY: &str = "lakeferry.sequence";
/// The run in an object's key-value metadata, in decimal.
pub const RUN_KEY: &str = "lakeferry.run";

/// Who an object is, as its metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectId {
    pub(crate) task: TaskId,
    pub(crate) run: u32,
    pub(crate) lane: u32,
    pub(crate) sequence: u64,
}

/// How objects of a task are made.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) schema: Arc<ObjectSchema>,
    pub(crate) compression: Compression,
    pub(crate) key_columns: Arc<[KeyColumn]>,
    pub(crate) dirty: Arc<DirtyForm>,
}

/// A finished object, and what its rows lacked.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// How many bytes it has, also when they are kept no longer.
    pub(crate) byte_count: u64,
    pub(crate) rows: u64,
    pub(crate) crc32: u32,
    pub(crate) schema: Arc<ObjectSchema>,
    /// What its rows had to leave out.
    pub(crate) dirty: DirtyFound,
    undelivered: Vec<(String, u64)>,
    undelivered_kinds: Vec<(String, ValueKind)>,
    undelivered_others: u64,
}

/// Why an object could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("encode an object")]
    Encode(#[from] EncodeError),
    #[error("read a row to encode")]
    Read(#[from] lakeferry_store::Error),
    #[error("text that is not UTF-8: an entry is damaged")]
    Text(#[from] std::str::Utf8Error),
    #[error("read rows to deliver")]
    Scan(#[source] lakeferry_store::Error),
}

/// Encodes records one after the other.
#[derive(Debug)]
pub(crate) struct RecordEncoder {
    encoder: ObjectEncoder,
    schema: Arc<ObjectSchema>,
    /// The encoder's names, with its numbers.
    shape: RowShape,
    key_columns: Arc<[KeyColumn]>,
    record_bytes: u64,
    notes: DirtyNotes,
}

impl ObjectId {
    /// The object's key-value metadata.
    pub(crate) fn metadata(&self) -> Vec<(String, String)> {
        let pairs = [
            (TASK_KEY, self.task.to_string()),
            (RUN_KEY, self.run.to_string()),
            (LANE_KEY, self.lane.to_string()),
            (SEQUENCE_KEY, self.sequence.to_string()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Whether the metadata of an object says that it is this one.
    pub(crate) fn is_in(&self, metadata: &[(String, String)]) -> bool {
        is_of_task(self.task, metadata)
            && value_of(LANE_KEY, metadata) == Some(self.lane.to_string().as_str())
            && value_of(SEQUENCE_KEY, metadata) == Some(self.sequence.to_string().as_str())
    }
}

/// Whether the metadata of an object says that the task made it.
pub(crate) fn is_of_task(task: TaskId, metadata: &[(String, String)]) -> bool {
    value_of(TASK_KEY, metadata) == Some(task.to_string().as_str())
}

fn value_of<'a>(key: &str, metadata: &'a [(String, String)]) -> Option<&'a str> {
    metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// Encodes the rows of a gathered folder: by partition, then by sequence.
/// `dirty_room` bytes are left for what they have to leave out.
pub(crate) fn encode_folder(
    form: &Form,
    id: &ObjectId,
    folder: &GatheredFolder,
    dirty_room: usize,
) -> Result<Encoded, Failure> {
    let mut encoder = RecordEncoder::new(form, id, dirty_room)?;
    for part in folder.parts.values() {
        let may_lack_event_time = part.event_time_dirty > 0;
        for (sequence, record) in part.records() {
            let sequence = sequence.to_be_bytes();
            let record = RecordView::from_log(&sequence, record)?;
            encoder.push(&record)?;
            if may_lack_event_time && form.dirty.lacks_event_time(&record)? {
                encoder.note_event_time(&record)?;
            }
        }
    }
    encoder.finish()
}

impl RecordEncoder {
    /// Begins an object, with so many bytes of room for what its rows have to leave out.
    pub(crate) fn new(form: &Form, id: &ObjectId, dirty_room: usize) -> Result<Self, Failure> {
        let encoder = ObjectEncoder::new(Arc::clone(&form.schema), form.compression, &id.metadata())?;
        let key_columns = Arc::clone(&form.key_columns);
        let notes = DirtyNotes::new(&form.dirty, &form.schema, &key_columns, dirty_room);
        let mut shape = RowShape::default();
        for name in encoder.names() {
            shape.learn(name);
        }
        let schema = Arc::clone(&form.schema);
        Ok(Self { encoder, schema, shape, key_columns, record_bytes: 0, notes })
    }

    /// Adds a record.
    #[inline]
    pub(crate) fn push(&mut self, record: &impl Record) -> Result<(), Failure> {
        let parts = KeyParts::of(record, &self.key_columns)?;
        let mut damage = None;
        let cells = record.cells().map_while(|cell| cell.map_err(|error| damage = Some(error)).ok());
        self.encoder.push(meta_of(record), &parts.values(), cells)?;
        if !self.encoder.dirty_columns().is_empty() {
            self.note_dirty(record)?;
        }
        damage.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Adds a row of a scan, unless one of its columns was never seen: then it answers false, and nothing was
    /// added.
    #[inline]
    pub(crate) fn push_known(&mut self, row: &ScannedRow<'_>) -> Result<bool, Failure> {
        let encoder = &mut self.encoder;
        encoder.begin_row(meta_of(row));
        // Values go from the row's bytes into their columns one by one, so that none lies in memory between.
        key::each_part(row.key(), &self.key_columns, |position, value| {
            match value {
                FoundValue::Text(text) => encoder.set_key_text(position, text)?,
                FoundValue::Other(value) => encoder.set_key(position, value),
            }
            Ok::<_, Failure>(())
        })?;
        let is_known = row.read_by(&mut self.shape, |number, value| {
            match value {
                FoundValue::Text(text) => encoder.set_text(number, text)?,
                FoundValue::Other(value) => encoder.set_cell(number, value),
            }
            Ok::<_, Failure>(())
        })?;
        if !is_known {
            encoder.take_row_back();
            return Ok(false);
        }
        encoder.end_row()?;
        if !self.encoder.dirty_columns().is_empty() {
            self.note_dirty(row)?;
        }
        Ok(true)
    }

    /// Adds a row of a scan with columns that were never seen: from now on they are known.
    #[cold]
    pub(crate) fn push_new(&mut self, row: &ScannedRow<'_>) -> Result<(), Failure> {
        self.push(row)?;
        for name in self.encoder.names().skip(self.shape.len()) {
            self.shape.learn(name);
        }
        Ok(())
    }

    /// Counts what a record took in the store.
    #[inline]
    pub(crate) fn count(
        &mut self,
        record: &impl Record,
        record_bytes: usize,
        is_event_time_dirty: bool,
    ) -> Result<(), Failure> {
        self.record_bytes += record_bytes as u64;
        if is_event_time_dirty { self.note_event_time(record) } else { Ok(()) }
    }

    #[cold]
    fn note_dirty(&mut self, record: &impl Record) -> Result<(), Failure> {
        let parts = KeyParts::of(record, &self.key_columns)?;
        Ok(self.notes.note(self.encoder.dirty_columns(), record, &parts.values())?)
    }

    #[cold]
    fn note_event_time(&mut self, record: &impl Record) -> Result<(), Failure> {
        let parts = KeyParts::of(record, &self.key_columns)?;
        Ok(self.notes.note_event_time(record, &parts.values())?)
    }

    /// Bytes of records so far.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.record_bytes
    }

    /// Bytes of memory held, about.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.encoder.memory_bytes() as u64
    }

    pub(crate) fn finish(self) -> Result<Encoded, Failure> {
        let EncodedObject { bytes, rows, crc32, undelivered, undelivered_kinds, undelivered_others, .. } =
            self.encoder.finish()?;
        Ok(Encoded {
            byte_count: bytes.len() as u64,
            bytes,
            rows,
            crc32,
            schema: self.schema,
            dirty: self.notes.finish(),
            undelivered,
            undelivered_kinds,
            undelivered_others,
        })
    }
}

/// A record's key, column by column.
struct KeyParts<'a> {
    parts: [KeyPart<'a>; KEY_COLUMNS_MAX],
    count: usize,
}

impl<'a> KeyParts<'a> {
    #[inline]
    fn of(record: &'a impl Record, columns: &'a [KeyColumn]) -> Result<Self, Failure> {
        let mut parts = [const { KeyPart::Integer(0) }; KEY_COLUMNS_MAX];
        let mut count = 0;
        for part in key::parts(record.key(), columns) {
            parts[count] = part?;
            count += 1;
        }
        Ok(Self { parts, count })
    }

    #[inline]
    fn values(&self) -> SmallVec<[ValueRef<'_>; KEY_COLUMNS_MAX]> {
        self.parts[..self.count].iter().map(KeyPart::as_ref).collect()
    }
}

fn meta_of(record: &impl Record) -> RowMeta {
    RowMeta { operation: record.operation(), commit_time: record.commit_time(), sequence: record.sequence() }
}

/// The name under which cells are counted whose names are too many to be counted one by one.
const OTHER_COLUMNS: &str = "(others)";
/// Names that a task counts one by one.
const UNDELIVERED_NAMES_MAX: usize = 1024;

impl Encoded {
    /// The same, once the bytes are in the bucket.
    pub(crate) fn without_bytes(mut self) -> Self {
        self.bytes = Bytes::new();
        self
    }

    /// What is told of the object once its dirty fields are in the bucket, too.
    pub(crate) fn without_lines(&self) -> Self {
        Self {
            bytes: Bytes::new(),
            schema: Arc::clone(&self.schema),
            dirty: self.dirty.without_lines(),
            undelivered: self.undelivered.clone(),
            undelivered_kinds: self.undelivered_kinds.clone(),
            ..*self
        }
    }

    /// Adds what the object holds and lacks to a task's totals.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        totals.rows += self.rows;
        totals.bytes += self.byte_count;
        totals.objects += 1;
        self.dirty.add_to(totals);
        let others = [(OTHER_COLUMNS.to_owned(), self.undelivered_others)];
        for (name, count) in self.undelivered.iter().chain(&others).filter(|(_, count)| *count > 0) {
            let is_counted = totals.undelivered.contains_key(name);
            let name = if is_counted || totals.undelivered.len() < UNDELIVERED_NAMES_MAX {
                name.as_str()
            } else {
                OTHER_COLUMNS
            };
            *totals.undelivered.entry(name.to_owned()).or_default() += count;
        }
        for (name, kind) in &self.undelivered_kinds {
            if totals.undelivered.contains_key(name) {
                totals.undelivered_kinds.entry(name.clone()).or_insert(*kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_lake::{Prefix, Zone};
    use lakeferry_model::delivery::{Encoding, Field, FieldKind};
    use lakeferry_model::{KeyKind, KeyValue, PrimaryKey, TableName, TableSchema, TaskName};
    use lakeferry_store::entry::{encode_columns, encode_head};
    use lakeferry_store::{Visibility, VisitedRow};

    use crate::placement::Placement;
    use crate::trouble::Trouble;

    /// An encoder of a table whose key is a text and a number.
    fn encoder() -> RecordEncoder {
        let column = |name: &str, kind| KeyColumn { name: name.to_owned(), kind, auto_increment: false };
        let key_columns = vec![column("text", KeyKind::String), column("number", KeyKind::Integer)];
        let table = TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: key_columns.clone(),
            defined_columns: vec![],
        };
        let field = |name: &str, kind| Field {
            source: name.to_owned(),
            target: name.to_owned(),
            kind,
            encoding: Encoding::Plain,
            type_extend: None,
        };
        let fields = [field("text", FieldKind::Utf8), field("number", FieldKind::Int64)];
        let prefix = Prefix::parse("p").unwrap();
        let placement = Placement::new(&prefix, Zone::UTC, None, key_columns.clone().into(), true);
        let task = TaskId::random();
        let form = Form {
            schema: Arc::new(ObjectSchema::manual(&fields, &table).unwrap()),
            compression: Compression::None,
            key_columns: key_columns.into(),
            dirty: Arc::new(DirtyForm::new(&TaskName::parse("t").unwrap(), task, placement)),
        };
        RecordEncoder::new(&form, &ObjectId { task, run: 0, lane: 0, sequence: 0 }, 0).unwrap()
    }

    /// What comes of the rows with these keys.
    fn encode(keys: &[&[u8]]) -> Result<Encoded, Failure> {
        let mut entry = Vec::new();
        encode_head(1, 2, &mut entry);
        encode_columns(&[], 1, &mut entry);
        let mut encoder = encoder();
        for key in keys {
            let visited = VisitedRow { key, entry: &entry, visibility: Visibility::ALL };
            assert!(encoder.push_known(&ScannedRow::of(&visited)?)?, "there is no column to be unknown");
        }
        encoder.finish()
    }

    fn key(text: &str) -> Vec<u8> {
        key::encoded(&PrimaryKey::new(vec![KeyValue::String(text.into()), KeyValue::Integer(7)]))
    }

    #[test]
    fn a_damaged_key_is_an_error() {
        let good = key("a good key");
        assert_eq!(encode(&[&good, &key("zero \0 byte")]).unwrap().rows, 2);
        for end in 0..good.len() {
            let refused = encode(&[&good, &good[..end]]).unwrap_err();
            assert!(matches!(refused, Failure::Read(_)), "{end} of {} bytes: {refused:?}", good.len());
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        // The tags of both columns, and the mark at the end of the text.
        for at in [0, 12, 13] {
            let refused = encode(&[&good, &with(at, 0xEE)]).unwrap_err();
            assert!(matches!(refused, Failure::Read(_)), "{at}: {refused:?}");
        }
        // Text that is none.
        let refused = encode(&[&good, &with(3, 0xEE)]).unwrap_err();
        assert!(matches!(refused, Failure::Encode(EncodeError::Text(_))), "{refused:?}");
        let told = Trouble::of(&refused);
        assert!(told.text().contains("text that is not UTF-8: an entry is damaged"), "{}", told.text());
        let mut zero = key("zero \0 byte");
        zero[1] = 0xEE;
        assert!(matches!(encode(&[&good, &zero]), Err(Failure::Read(_))));
    }
}
