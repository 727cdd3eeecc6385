//! Tallies of folders in the tasks' space, and which of them are still to be marked complete.
//!
//! Two entries for a folder, both behind everything that is read at the start:
//! - `y` task run folder: its tally;
//! - `x` task run end folder: that it is to be marked once that time is over; with no value.

use lakeferry_engine::{Area, Scan};
use lakeferry_model::Micros;

use super::{Key, TaskSpace, WRITE_AGAIN, Writes, call, json};
use crate::error::Error;
use crate::space::TaskId;
use crate::stop::{Stop, Stopped};
use crate::task::Tally;

/// Keys that are removed in one batch.
const REMOVED_AT_ONCE: usize = 4096;

/// Where a time stands in a key: times before 1970 never occur.
fn key_time(at: Micros) -> u64 {
    u64::try_from(at).unwrap_or(0)
}

fn tally_key(task: TaskId, run: u32, folder: &str) -> Key {
    Key::new(b'y', task).u32(run).text(folder)
}

fn due_key(task: TaskId, run: u32, ends_at: Micros, folder: &str) -> Key {
    Key::new(b'x', task).u32(run).u64(key_time(ends_at)).text(folder)
}

impl Writes {
    pub(crate) fn put_tally(&mut self, task: TaskId, run: u32, folder: &str, tally: &Tally) {
        self.put(tally_key(task, run, folder), tally);
    }

    pub(crate) fn put_due_folder(&mut self, task: TaskId, run: u32, ends_at: Micros, folder: &str) {
        self.0.put(due_key(task, run, ends_at, folder).0, Vec::new());
    }

    pub(crate) fn remove_due_folder(&mut self, task: TaskId, run: u32, ends_at: Micros, folder: &str) {
        self.0.delete(due_key(task, run, ends_at, folder).0);
    }
}

impl TaskSpace {
    /// The tallies of these folders, in their order, read again and again until they are there.
    pub(crate) async fn read_tallies(
        &self,
        task: TaskId,
        run: u32,
        folders: &[&str],
        stop: &Stop,
    ) -> Result<Vec<Option<Tally>>, Stopped> {
        let keys: Vec<_> = folders.iter().map(|folder| tally_key(task, run, folder).0.into()).collect();
        self.surely(stop, || async {
            let read = self.space.read(Area::Table, keys.clone(), call()).await.map_err(Error::ReadTasks)?;
            read.iter().map(|value| value.as_ref().map(|value| json(value)).transpose()).collect()
        })
        .await
    }

    /// Folders that are to be marked and whose time was over at `before`, the earliest first.
    pub(crate) async fn due_folders(
        &self,
        task: TaskId,
        run: u32,
        before: Micros,
        count_max: usize,
        stop: &Stop,
    ) -> Result<Vec<String>, Stopped> {
        let from = Key::new(b'x', task).u32(run);
        let behind = from.0.len() + 8;
        let to = Key::new(b'x', task).u32(run).u64(key_time(before).saturating_add(1));
        let scan = Scan {
            area: Area::Table,
            from: from.0.into(),
            to: Some(to.0.into()),
            backward: false,
            entries_max: count_max,
            bytes_max: 1 << 20,
        };
        self.surely(stop, || async {
            let block = self.space.scan(scan.clone(), call()).await.map_err(Error::ReadTasks)?;
            let folder = |(key, _): (&[u8], &[u8])| {
                let text = key.get(behind..).and_then(|text| std::str::from_utf8(text).ok());
                text.map(str::to_owned).ok_or(Error::Damaged("a folder's key holds no text"))
            };
            block.iter().map(folder).collect()
        })
        .await
    }

    /// Removes the tallies of a task's runs before this one.
    pub(crate) async fn remove_tallies(&self, task: TaskId, before: u32, stop: &Stop) -> Result<(), Stopped> {
        for kind in [b'x', b'y'] {
            loop {
                let (from, to) = (Key::new(kind, task), Key::new(kind, task).u32(before));
                let scan = Scan {
                    area: Area::Table,
                    from: from.0.into(),
                    to: Some(to.0.into()),
                    backward: false,
                    entries_max: REMOVED_AT_ONCE,
                    bytes_max: 1 << 20,
                };
                let block = self.surely(stop, || async {
                    self.space.scan(scan.clone(), call()).await.map_err(Error::ReadTasks)
                });
                let block = block.await?;
                let mut writes = Writes::default();
                block.iter().for_each(|(key, _)| writes.0.delete(key.to_vec()));
                self.write_surely(writes, stop).await?;
                if !block.more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads again and again until it succeeds.
    async fn surely<T, F>(&self, stop: &Stop, read: impl Fn() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match stop.or(read()).await? {
                Ok(read) => return Ok(read),
                Err(error) => {
                    tracing::warn!(space = %self.space.id(), %error, "folders could not be read, trying again");
                    stop.sleep(WRITE_AGAIN).await?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lakeferry_engine::{Engine, MemoryEngine};

    use super::*;
    use crate::stop::Stopper;

    #[tokio::test]
    async fn folders_are_due_in_the_order_of_their_ends_and_removed_by_run() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let space = TaskSpace::open(&engine, 1).await.unwrap();
        let (task, stopper) = (TaskId::of_number(1), Stopper::new());
        let stop = stopper.handle();
        let mut writes = Writes::default();
        for (run, folder, ends_at) in [(1, "b", 5), (1, "a", 9), (1, "c", 10), (2, "d", 1)] {
            writes.put_tally(task, run, folder, &Tally { rows: 3, ends_at, ..Tally::default() });
            writes.put_due_folder(task, run, ends_at, folder);
        }
        space.write_surely(writes, &stop).await.unwrap();
        assert_eq!(space.due_folders(task, 1, 9, 10, &stop).await.unwrap(), ["b", "a"]);
        assert_eq!(space.due_folders(task, 1, 9, 1, &stop).await.unwrap(), ["b"]);
        assert!(space.load().await.unwrap().tasks.is_empty(), "the start does not read them");
        space.remove_tallies(task, 2, &stop).await.unwrap();
        assert!(space.due_folders(task, 1, 99, 10, &stop).await.unwrap().is_empty());
        let left = space.read_tallies(task, 2, &["d", "b"], &stop).await.unwrap();
        assert_eq!((left[0].map(|tally| tally.rows), left[1]), (Some(3), None));
    }
}
