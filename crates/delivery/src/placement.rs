//! Which folder a row goes to.
//!
//! Its time is its commit time, or that of its event time column. A delete has no attributes, so its event
//! time is known only if that is a primary key column; else its commit time is taken. A row whose event time
//! is missing or cannot be read is delivered whole in the folder of its commit time, and counted.

use std::sync::Arc;

use lakeferry_lake::{FolderFinder, FolderPath, Operation, Prefix, Zone, event_time};
use lakeferry_model::delivery::EventTimeColumn;
use lakeferry_model::{KeyColumn, Micros};
use lakeferry_store::{Error, key};

use crate::source::Record;

/// Finds the folder of each record.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    finder: FolderFinder,
    key_columns: Arc<[KeyColumn]>,
    event: Option<Event>,
    delivers_deletes: bool,
}

#[derive(Debug, Clone)]
struct Event {
    column: EventTimeColumn,
    /// Its place in the primary key, if it is part of it.
    key_position: Option<usize>,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a FolderPath,
    /// Whether the event time was missing or could not be read.
    pub(crate) is_event_time_dirty: bool,
}

impl Placement {
    pub(crate) fn new(
        prefix: &Prefix,
        zone: Zone,
        event: Option<EventTimeColumn>,
        key_columns: Arc<[KeyColumn]>,
        delivers_deletes: bool,
    ) -> Self {
        let event = event.map(|column| Event {
            key_position: key_columns.iter().position(|key| key.name == column.column),
            column,
        });
        Self { finder: FolderFinder::new(prefix.clone(), zone), key_columns, event, delivers_deletes }
    }

    /// The column that tells a record's time, if one does.
    pub(crate) fn event_column(&self) -> Option<&EventTimeColumn> {
        self.event.as_ref().map(|event| &event.column)
    }

    /// Whether the record's event time is asked for, and missing or not to be read.
    pub(crate) fn lacks_event_time(&self, record: &impl Record) -> Result<bool, Error> {
        match &self.event {
            Some(event) if event.is_asked(record) => Ok(event.time(record, &self.key_columns)?.is_none()),
            _ => Ok(false),
        }
    }

    /// Where the record goes; nothing if it is not delivered at all.
    #[inline]
    pub(crate) fn place(&mut self, record: &impl Record) -> Result<Option<Place<'_>>, Error> {
        let is_delete = record.operation() == Operation::Delete;
        if is_delete && !self.delivers_deletes {
            return Ok(None);
        }
        let event_time = match &self.event {
            Some(event) if event.is_asked(record) => Some(event.time(record, &self.key_columns)?),
            _ => None,
        };
        let is_event_time_dirty = event_time == Some(None);
        let time = event_time.flatten().unwrap_or_else(|| record.commit_time());
        Ok(Some(Place { folder: self.finder.folder(time), is_event_time_dirty }))
    }
}

impl Event {
    /// A delete has no attributes, and so no event time in one.
    #[inline]
    fn is_asked(&self, record: &impl Record) -> bool {
        self.key_position.is_some() || record.operation() != Operation::Delete
    }

    /// The record's event time; nothing if it is missing or cannot be read.
    fn time(&self, record: &impl Record, key_columns: &[KeyColumn]) -> Result<Option<Micros>, Error> {
        let format = self.column.format;
        if let Some(position) = self.key_position {
            let part = key::parts(record.key(), key_columns).nth(position).transpose()?;
            return Ok(part.and_then(|part| event_time::parse(format, part.as_ref()).ok()));
        }
        for cell in record.cells() {
            let (name, value) = cell?;
            if name == self.column.column {
                return Ok(event_time::parse(format, value).ok());
            }
        }
        Ok(None)
    }
}
