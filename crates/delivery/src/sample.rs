//! The columns of a task's objects: fixed, or open and widened as columns are seen.
//!
//! All lanes of a task share one schema. Whichever lane first meets a column gives it its type; what that
//! lane prepares is written down with the schema, and what it never prepared is seen again after a crash.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakeferry_lake::{ColumnScout, ObjectSchema};
use lakeferry_store::Error;
use parking_lot::Mutex;

use crate::source::{Record, Source};

/// Bytes of rows that are looked at in each partition before a task begins.
const SAMPLE_BYTES: usize = 256 * 1024;

/// A task's schema as it is now.
#[derive(Debug)]
pub(crate) struct Columns(Mutex<Arc<ObjectSchema>>);

impl Columns {
    pub(crate) fn new(schema: Arc<ObjectSchema>) -> Self {
        Self(Mutex::new(schema))
    }

    pub(crate) fn current(&self) -> Arc<ObjectSchema> {
        Arc::clone(&self.0.lock())
    }

    /// Puts another schema in the place of this one.
    pub(crate) fn replace(&self, schema: Arc<ObjectSchema>) {
        *self.0.lock() = schema;
    }

    /// Somebody who looks out for columns that the schema lacks, if they may join.
    pub(crate) fn scout(&self) -> Option<ColumnScout> {
        let schema = self.current();
        schema.is_open().then(|| ColumnScout::new(&schema))
    }

    /// Lets the scout's columns join, those that no other lane brought in with another type meanwhile, and
    /// sends out a new scout.
    pub(crate) fn widen(&self, scout: &mut Option<ColumnScout>) -> Arc<ObjectSchema> {
        let Some(found) = scout.as_ref().filter(|scout| scout.found().next().is_some()) else {
            return self.current();
        };
        let mut schema = self.0.lock();
        if let Some(wider) = schema.widened_with_all(found.found()) {
            *schema = Arc::new(wider);
        }
        *scout = schema.is_open().then(|| ColumnScout::new(&schema));
        Arc::clone(&schema)
    }
}

/// Looks at the first rows of each partition.
pub(crate) async fn sample(source: &dyn Source, columns: &Columns) -> Result<(), Error> {
    let partitions: BTreeSet<_> = source.partitions().into_iter().collect();
    for partition in partitions {
        let Some(mut scout) = columns.scout() else { return Ok(()) };
        let block = source.scan(partition, None, None, SAMPLE_BYTES).await?;
        for record in block.records() {
            look(&mut scout, &record?)?;
        }
        columns.widen(&mut Some(scout));
    }
    Ok(())
}

/// Lets a scout look at a record: whether it holds a column that the scout has found.
#[inline]
pub(crate) fn look(scout: &mut ColumnScout, record: &impl Record) -> Result<bool, Error> {
    let mut damage = None;
    let cells = record.cells().map_while(|cell| cell.map_err(|error| damage = Some(error)).ok());
    let has_found = scout.look(cells.map(|(name, value)| (name, value.kind())));
    damage.map_or(Ok(has_found), Err)
}
