//! Dirty fields as they are met: counted by column and reason, and written down as lines, as far as there is
//! room for them.
//!
//! Everything here is off the path that most rows take: an encoder comes here for a row with a dirty field
//! only. The lines depend on nothing but the rows and the room, so a cut that is done again writes the same.
//!
//! The room of a cut is 16 MiB, shared out over its objects, with at least 4 KiB for each; what finds none is
//! only counted, and the manifest tells how many were kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeferry_lake::{DIRTY_VALUE_BYTES_MAX, DirtyField, DirtyValue, ObjectSchema, Source};
use lakeferry_model::delivery::DirtyReason;
use lakeferry_model::{KeyColumn, TaskName, ValueRef};
use lakeferry_store::Error;

use crate::placement::Placement;
use crate::source::Record;
use crate::space::{TaskId, Totals};

/// Bytes of lines of one cut at most, about.
pub(crate) const CUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of lines that each object of a cut has room for, however many there are.
const OBJECT_BYTES_MIN: usize = 4 * 1024;
/// Room that no line fits into.
const LINE_BYTES_MIN: usize = 128;

/// The room for the lines of one of so many objects.
pub(crate) fn room_of_one(objects: usize) -> usize {
    (CUT_BYTES_MAX / objects.max(1)).max(OBJECT_BYTES_MIN)
}

/// What dirty fields of a task are told with.
#[derive(Debug)]
pub(crate) struct DirtyForm {
    task: TaskName,
    id: TaskId,
    placement: Placement,
}

/// The dirty fields of one object.
#[derive(Debug)]
pub(crate) struct DirtyNotes {
    form: Arc<DirtyForm>,
    schema: Arc<ObjectSchema>,
    key_columns: Arc<[KeyColumn]>,
    room: usize,
    found: DirtyFound,
    /// By column of the schema: fields by reason.
    counts: Vec<[u64; DirtyReason::ALL.len()]>,
}

/// What was found dirty.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirtyFound {
    /// Lines of the dirty object.
    pub(crate) lines: Vec<u8>,
    /// Dirty fields, event times among them.
    pub(crate) fields: u64,
    /// Lines.
    pub(crate) kept: u64,
    /// Fields by source column and reason.
    pub(crate) counts: BTreeMap<(String, DirtyReason), u64>,
    /// Event times among the fields.
    pub(crate) event_times: u64,
}

impl DirtyForm {
    pub(crate) fn new(task: &TaskName, id: TaskId, placement: Placement) -> Self {
        Self { task: task.clone(), id, placement }
    }

    /// Whether the record lies in its folder for want of an event time.
    pub(crate) fn lacks_event_time(&self, record: &impl Record) -> Result<bool, Error> {
        self.placement.lacks_event_time(record)
    }
}

impl DirtyNotes {
    pub(crate) fn new(
        form: &Arc<DirtyForm>,
        schema: &Arc<ObjectSchema>,
        key_columns: &Arc<[KeyColumn]>,
        room: usize,
    ) -> Self {
        Self {
            form: Arc::clone(form),
            schema: Arc::clone(schema),
            key_columns: Arc::clone(key_columns),
            room,
            found: DirtyFound::default(),
            counts: Vec::new(),
        }
    }

    /// Notes the fields of a record that its columns, by their places in the schema, have left out.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(
        &mut self,
        columns: &[usize],
        record: &impl Record,
        key: &[ValueRef<'_>],
    ) -> Result<(), Error> {
        let schema = Arc::clone(&self.schema);
        self.counts.resize(schema.columns().len(), [0; DirtyReason::ALL.len()]);
        // In name order, see [`Record::cells`].
        let cells = record.cells().collect::<Result<Vec<_>, _>>()?;
        let cell = |wanted: &str| {
            let found = cells.binary_search_by(|(name, _)| (*name).cmp(wanted));
            found.ok().map(|at| cells[at].1)
        };
        for &at in columns {
            let column = &schema.columns()[at];
            let value = match &column.source {
                Source::Key(_, position) => key.get(*position).copied(),
                Source::Attribute(name) => cell(name),
                Source::Operation => Some(ValueRef::String(record.operation().as_str())),
                Source::CommitTime => Some(ValueRef::Integer(record.commit_time())),
                Source::Sequence => {
                    Some(ValueRef::Integer(i64::try_from(record.sequence()).unwrap_or(i64::MAX)))
                }
            };
            let reason = value.map_or(DirtyReason::Type, |value| column.kind.why_dirty(value));
            self.counts[at][reason as usize] += 1;
            self.keep(record, key, reason, column.source.name(), Some(&column.target), value);
        }
        Ok(())
    }

    /// Notes that a record lies in the folder of its commit time for want of an event time.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_event_time(
        &mut self,
        record: &impl Record,
        key: &[ValueRef<'_>],
    ) -> Result<(), Error> {
        let form = Arc::clone(&self.form);
        let Some(event) = form.placement.event_column() else { return Ok(()) };
        let position = self.key_columns.iter().position(|column| column.name == event.column);
        let value = match position {
            Some(position) => key.get(position).copied(),
            None => record
                .cells()
                .find_map(|cell| match cell {
                    Ok((name, value)) => (name == event.column).then_some(Ok(value)),
                    Err(error) => Some(Err(error)),
                })
                .transpose()?,
        };
        self.found.event_times += 1;
        *self.found.counts.entry((event.column.clone(), DirtyReason::EventTime)).or_default() += 1;
        self.keep(record, key, DirtyReason::EventTime, &event.column, None, value);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> DirtyFound {
        for (column, counts) in self.schema.columns().iter().zip(&self.counts) {
            for (reason, count) in DirtyReason::ALL.into_iter().zip(counts).filter(|(_, count)| **count > 0) {
                let name = column.source.name().to_owned();
                *self.found.counts.entry((name, reason)).or_default() += count;
            }
        }
        self.found
    }

    /// Counts a field, and keeps it if there is room for its line.
    fn keep(
        &mut self,
        record: &impl Record,
        key: &[ValueRef<'_>],
        reason: DirtyReason,
        column: &str,
        target: Option<&str>,
        value: Option<ValueRef<'_>>,
    ) {
        self.found.fields += 1;
        let before = self.found.lines.len();
        if self.room - before < LINE_BYTES_MIN {
            return;
        }
        // Escaped, a value may grow sixfold and still leave room for others.
        let bytes_max = DIRTY_VALUE_BYTES_MAX.min(self.room / 8);
        let named = self.key_columns.iter().zip(key);
        let primary_key: Vec<_> =
            named.map(|(column, value)| DirtyValue::new(&column.name, Some(*value), bytes_max)).collect();
        let field = DirtyField {
            task: self.form.task.as_str(),
            task_id: self.form.id.number(),
            primary_key: &primary_key,
            sequence: record.sequence(),
            commit_time: record.commit_time(),
            operation: record.operation().as_str(),
            reason,
            target,
            field: DirtyValue::new(column, value, bytes_max),
        };
        field.append_to(&mut self.found.lines);
        if self.found.lines.len() > self.room {
            self.found.lines.truncate(before);
        } else {
            self.found.kept += 1;
        }
    }
}

impl DirtyFound {
    /// The same without its lines, which may be many.
    pub(crate) fn without_lines(&self) -> Self {
        Self { lines: Vec::new(), counts: self.counts.clone(), ..*self }
    }

    /// Adds what was found to a task's totals.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        totals.event_time_dirty += self.event_times;
        totals.dirty_fields += self.fields - self.event_times;
        for ((column, reason), count) in &self.counts {
            *totals.dirty.entry(column.clone()).or_default().entry(*reason).or_default() += count;
        }
    }

    /// A column with its reason, such as `column 'n' (type)`, if any field is dirty.
    pub(crate) fn example(&self) -> Option<String> {
        let ((column, reason), _) = self.counts.iter().max_by_key(|(_, count)| **count)?;
        Some(format!("column '{column}' ({})", reason.name()))
    }
}
