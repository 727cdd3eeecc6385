//! A task's names in its bucket: they go on above those that are there, and above those that deleted tasks of the
//! same names have used.

use std::collections::BTreeMap;

use lakeferry_lake::{Bucket, Prefix, recognise};
use lakeferry_model::TaskName;
use lakeferry_model::delivery::Destination;
use uuid::Uuid;

use super::{RunReason, Task};
use crate::error::Error;
use crate::space::{Stage, StoredTask, Writes};
use crate::status::Who;
use crate::stop::{Stop, Stopped};
use crate::trouble::Trouble;

impl Task {
    /// Waits until the bucket can be used, sees that it is the one that it was, and goes on above the names
    /// that it holds already. Answers the run.
    pub(super) async fn settle_names(&self, stop: &Stop) -> Result<u32, Stopped> {
        let mut failures = 0;
        loop {
            if self.is_paused() {
                self.forget_trouble(Who::Task);
            }
            self.wait_while_paused(stop).await?;
            match stop.or(self.try_to_settle()).await? {
                Ok(settled) => {
                    self.clear_trouble(Who::Task);
                    return self.note_settled(settled, stop).await;
                }
                Err(trouble) => {
                    failures += 1;
                    self.wait_in_trouble(Who::Task, trouble, failures, stop).await?;
                }
            }
        }
    }

    async fn try_to_settle(&self) -> Result<Settled, Trouble> {
        let entry = self.board.entry();
        let name = &entry.spec.destination.bucket;
        let of_bucket = |error| Trouble::of_bucket(name, &error);
        let bucket = self.try_destination().await?;
        let identity = match entry.bucket_identity {
            None => Some(bucket.identify(self.env.clock.now_micros()).await.map_err(of_bucket)?),
            Some(_) => bucket.identity().await.map_err(of_bucket)?,
        };
        let identity = identity.map(|identity| identity.id);
        if entry.bucket_identity.is_some() && identity != entry.bucket_identity {
            return Ok(Settled::Refounded(entry.configuration));
        }
        if let Some(identity) = identity {
            self.claim_names(identity)?;
        }
        let mut highest = BTreeMap::new();
        if !entry.are_names_listed {
            self.clear_marks(entry.run, &bucket).await.map_err(of_bucket)?;
            let (task, suffix) = (entry.name(), &entry.spec.destination.suffix);
            let mut note = |name: &str| {
                if let Some(parts) = recognise(name, task, suffix) {
                    let known = highest.entry(parts.lane).or_insert(0);
                    *known = parts.sequence.max(*known);
                }
            };
            let root = Prefix::parse(&entry.spec.destination.prefix)
                .expect("the prefix has passed its rules")
                .fixed_root();
            bucket.visit(&root, &mut |object| note(&object.name)).await.map_err(of_bucket)?;
        }
        Ok(Settled::Same { configuration: entry.configuration, identity, highest })
    }

    async fn note_settled(&self, settled: Settled, stop: &Stop) -> Result<u32, Stopped> {
        let (configuration, identity, highest) = match settled {
            Settled::Same { configuration, identity, highest } => (configuration, identity, highest),
            Settled::Refounded(configuration) => {
                let run = self.board.entry().run;
                self.begin_run(run, RunReason::Refounded(configuration)).await;
                return Err(Stopped);
            }
        };
        let mut book = self.book.lock().await;
        if book.entry.stage != Stage::Live || book.entry.configuration != configuration {
            return Err(Stopped);
        }
        let run = book.entry.run;
        if book.entry.are_names_listed && book.entry.bucket_identity == identity {
            return Ok(run);
        }
        let mut writes = Writes::default();
        for (lane, listed) in self.burned(&book).into_iter().chain(highest) {
            let counters = &mut book.lanes.entry(lane).or_default().counters;
            counters.next_sequence = counters.next_sequence.max(listed.saturating_add(1));
            writes.put_counters(self.id, lane, *counters);
        }
        book.entry.are_names_listed = true;
        book.entry.bucket_identity = identity;
        writes.put_entry(&book.entry);
        self.write_book(writes).await?;
        self.board.set_entry(&book.entry);
        drop(book);
        self.space.remove_tallies(self.id, run, stop).await?;
        Ok(run)
    }

    /// Whether the bucket can be written to; it gets an identity if it has none.
    pub(super) async fn try_destination(&self) -> Result<Bucket, Trouble> {
        let entry = self.board.entry();
        let destination = &entry.spec.destination;
        let bucket = self.env.destinations.find(destination)?;
        let of_bucket = |error| Trouble::of_bucket(&destination.bucket, &error);
        let probe = bucket.probe().await.map_err(of_bucket)?;
        self.env.destinations.note_probe(&destination.bucket, probe, self.env.clock.now_micros());
        self.board.set_doubt(probe.doubt());
        Ok(bucket)
    }

    /// Notes in the catalog which names were used, before anybody can make a task of the same name.
    pub(crate) async fn burn(&self, book: &StoredTask) -> Result<(), Error> {
        let destination = &book.entry.spec.destination;
        let names = burned_names(destination, book.entry.name());
        let highest = book
            .lanes
            .iter()
            .map(|(lane, stored)| (format!("{names}{lane}"), stored.counters.next_sequence - 1));
        Ok(self.env.store.catalog().burn(highest.collect()).await?)
    }

    /// The highest sequences that deleted tasks of the same names have used, by lane.
    fn burned(&self, book: &StoredTask) -> Vec<(u32, u64)> {
        let destination = &book.entry.spec.destination;
        let names = burned_names(destination, book.entry.name());
        let burned = self.env.store.catalog().burned(&names);
        burned
            .iter()
            .filter_map(|(text, highest)| Some((text[names.len()..].parse().ok()?, *highest)))
            .collect()
    }
}

/// What was found in the bucket before a run's first cut.
enum Settled {
    /// The bucket is the one it was, or the first that was seen; the highest sequences in it by lane. All of it
    /// for one version of the configuration.
    Same { configuration: u32, identity: Option<Uuid>, highest: BTreeMap<u32, u64> },
    /// The bucket of that version was made again.
    Refounded(u32),
}

/// What the catalog's entries of a task's burned names begin with; the lane follows. No part can hold a line
/// feed.
fn burned_names(destination: &Destination, task: &TaskName) -> String {
    format!("names\n{}\n{}\n{task}\n", destination.bucket, destination.prefix.trim_matches('/'))
}
