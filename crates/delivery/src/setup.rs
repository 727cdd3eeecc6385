//! One version of a task's configuration, ready for use: what cuts depend on beside their rows.
//!
//! A lane works with one version from its beginning to its end. An update makes another version and lets the
//! lanes begin again; whatever a lane of the older one still wants to write down is refused
//! ([`crate::cut`]). A prepared cut names its version and holds what its bytes depend on, so that it is done
//! again just as it was, whatever has been changed since. Its destination is always that of the present
//! version: a destination changes only when no cut is prepared ([`crate::task`]).

use std::sync::Arc;

use lakeferry_lake::{FolderPath, ObjectSchema, Prefix, Zone, dirty_name, object_name};
use lakeferry_model::delivery::{Compression, Destination};
use lakeferry_model::{KeyColumn, Micros, TaskName, Violation};

use crate::cut::LaneTicket;
use crate::dirty::DirtyForm;
use crate::encode::Form;
use crate::placement::Placement;
use crate::space::{CutKind, PreparedCut, PreparedObject, TaskEntry, TaskId};

/// A version of a task's configuration.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) version: u32,
    pub(crate) destination: Destination,
    pub(crate) prefix: Prefix,
    compression: Compression,
    zone: Zone,
    task: TaskName,
    id: TaskId,
    key_columns: Arc<[KeyColumn]>,
}

impl Setup {
    /// The version that the entry has in force.
    pub(crate) fn of(entry: &TaskEntry, key_columns: Arc<[KeyColumn]>) -> Result<Self, Violation> {
        let destination = entry.spec.destination.clone();
        Ok(Self {
            version: entry.configuration,
            prefix: Prefix::parse(&destination.prefix)?,
            zone: Zone::parse(&destination.zone)?,
            compression: entry.spec.tuning.compression,
            task: entry.name().clone(),
            id: entry.id,
            destination,
            key_columns,
        })
    }

    /// Where records go that are delivered with that schema.
    pub(crate) fn placement(&self, schema: &ObjectSchema) -> Placement {
        let event = self.destination.event_time.clone();
        let key_columns = Arc::clone(&self.key_columns);
        Placement::new(&self.prefix, self.zone, event, key_columns, schema.delivers_deletes())
    }

    /// How objects of that schema are made.
    pub(crate) fn form(&self, schema: &Arc<ObjectSchema>) -> Form {
        Form {
            schema: Arc::clone(schema),
            compression: self.compression,
            key_columns: Arc::clone(&self.key_columns),
            dirty: Arc::new(DirtyForm::new(&self.task, self.id, self.placement(schema))),
        }
    }

    /// How the objects of a prepared cut are made.
    pub(crate) fn form_of(&self, cut: &PreparedCut) -> Form {
        let compression = cut.compression.unwrap_or(self.compression);
        Form { compression, ..self.form(&cut.schema) }
    }

    /// When the folder's time is over, if it has one.
    pub(crate) fn folder_end(&self, folder: &str) -> Option<Micros> {
        self.prefix.folder_end(folder, &self.zone)
    }

    pub(crate) fn object_name(&self, folder: &FolderPath, lane: u32, sequence: u64) -> String {
        object_name(folder, &self.task, lane, sequence, &self.destination.suffix).as_str().to_owned()
    }

    /// A cut to prepare.
    pub(crate) fn cut(
        &self,
        ticket: LaneTicket,
        number: u64,
        kind: CutKind,
        schema: Arc<ObjectSchema>,
        objects: Vec<PreparedObject>,
    ) -> PreparedCut {
        let LaneTicket { lane, run } = ticket;
        let prefix = self.destination.dirty_prefix.as_deref();
        let task = (&self.task, self.id.number());
        PreparedCut {
            number,
            run,
            kind,
            configuration: self.version,
            compression: Some(self.compression),
            dirty: Some(dirty_name(prefix, task, run, lane, number)),
            schema,
            objects,
        }
    }
}
