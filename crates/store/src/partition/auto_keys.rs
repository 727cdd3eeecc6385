//! The values of a table's auto-increment key column.
//!
//! A partition counts upward, over all its partition keys. Values are set aside in the engine, many at once, before
//! any of them is given; a start goes on behind those that were set aside. So no value is given twice, whatever
//! becomes of the rows. Whoever inserts rows under a partition key holds the key itself from before the value is
//! picked until the row is queued: rows become readable in the order of their values.

use std::time::Instant;

use bytes::Bytes;
use lakeferry_engine::{Area, Space};
use lakeferry_model::{KeyValue, PrimaryKey, RowChange};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::committer::Request;
use super::head::SET_ASIDE_KEY;
use super::{Keyed, Partition, wait};
use crate::error::Error;
use crate::key;

/// Values that are set aside at a time: this many may be passed over by a start.
const AT_A_TIME: i64 = 10_000;

/// The values that may be given.
#[derive(Debug)]
pub struct AutoKeys(Mutex<Values>);

#[derive(Debug)]
struct Values {
    next: i64,
    /// Up to here, exclusive, values are set aside.
    end: i64,
}

/// Changes whose keys are whole, each with its key's bytes.
#[derive(Debug)]
pub struct Completed(Vec<(Bytes, RowChange)>);

impl AutoKeys {
    /// Goes on behind what was set aside before.
    pub fn behind(set_aside: i64) -> Self {
        Self(Mutex::new(Values { next: set_aside, end: set_aside }))
    }

    /// The first of `count` values; else how far values must be set aside before.
    fn take(&self, count: i64) -> Result<i64, i64> {
        let mut values = self.0.lock();
        let first = values.next;
        let end = first.saturating_add(count);
        if end > values.end {
            return Err(end.saturating_add(AT_A_TIME));
        }
        values.next = end;
        Ok(first)
    }

    fn add_up_to(&self, end: i64) {
        let mut values = self.0.lock();
        values.end = values.end.max(end);
    }
}

impl Completed {
    /// The changes as the write path takes them.
    pub fn keyed(&self) -> Vec<Keyed<'_>> {
        self.0.iter().map(|(key, change)| (key.clone(), change)).collect()
    }
}

/// How far values were set aside, exclusive; the first value is 1.
///
/// # Errors
/// If the engine does not answer, or the entry is damaged.
pub async fn read_set_aside(space: &dyn Space, deadline: Instant) -> Result<i64, Error> {
    let read = space.read(Area::Table, vec![Bytes::from_static(SET_ASIDE_KEY)], deadline).await?;
    let Some(bytes) = read.into_iter().flatten().next() else { return Ok(1) };
    let bytes = <[u8; 8]>::try_from(bytes.as_ref());
    let end = bytes.map_err(|_| Error::Corrupt("a partition's key values set aside are damaged".into()))?;
    Ok(i64::from_le_bytes(end))
}

impl Partition {
    /// Picks the values of inserted rows, in the order of the changes; `None` where there are none. The rows'
    /// partition keys must be held.
    ///
    /// # Errors
    /// [`Error::NotWritten`] if no values could be set aside.
    pub async fn complete(
        &self,
        changes: &[Keyed<'_>],
        deadline: Instant,
    ) -> Result<Option<Completed>, Error> {
        let is_insert = |change: &RowChange| change.operation.picks_key();
        let count = changes.iter().filter(|(_, change)| is_insert(change)).count();
        if count == 0 {
            return Ok(None);
        }
        let Some(at) = self.0.info.borrow().schema.auto_increment() else { return Ok(None) };
        let mut value = self.pick(i64::try_from(count).unwrap_or(i64::MAX), deadline).await?;
        let changes = changes.iter().map(|(key, change)| {
            if !is_insert(change) {
                return (key.clone(), (*change).clone());
            }
            let change =
                RowChange { primary_key: with_value(&change.primary_key, at, value), ..(*change).clone() };
            value += 1;
            (key::encoded(&change.primary_key).into(), change)
        });
        Ok(Some(Completed(changes.collect())))
    }

    async fn pick(&self, count: i64, deadline: Instant) -> Result<i64, Error> {
        loop {
            let end = match self.0.auto_keys.take(count) {
                Ok(first) => return Ok(first),
                Err(end) => end,
            };
            let (reply, answer) = oneshot::channel();
            self.enqueue(Request::SetAside(end, reply))?;
            // Whatever became of that, nothing of the row was handed on.
            wait(answer, deadline).await.map_err(|error| Error::NotWritten(error.to_string()))?;
            self.0.auto_keys.add_up_to(end);
        }
    }
}

fn with_value(key: &PrimaryKey, at: usize, value: i64) -> PrimaryKey {
    let mut values = key.values().to_vec();
    values[at] = KeyValue::Integer(value);
    PrimaryKey::new(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_only_once_they_are_set_aside() {
        let keys = AutoKeys::behind(1);
        let end = keys.take(2).unwrap_err();
        assert_eq!(keys.take(2), Err(end), "asking changes nothing");
        keys.add_up_to(end);
        assert_eq!((keys.take(2), keys.take(1)), (Ok(1), Ok(3)));
        assert!(keys.take(AT_A_TIME).is_err());
        keys.add_up_to(1);
        assert_eq!(keys.take(1), Ok(4), "what is set aside stays so");
    }
}
