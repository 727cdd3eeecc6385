//! Deletes what was abandoned: objects of cuts that were given up.
//!
//! An abandoned name is looked after for ten minutes, since a slow upload may still land. Only an object that
//! says it is the task's own is deleted, so nobody else's is ever touched.

use std::sync::Arc;
use std::time::Duration;

use lakeferry_lake::Bucket;
use lakeferry_model::Micros;
use tokio::sync::Notify;

use crate::destination::{Destinations, metadata_of};
use crate::encode::is_of_task;
use crate::space::{Abandoned, TaskSpace, Writes};
use crate::stop::{Stop, Stopped};

/// How often abandoned names are looked at.
const ROUND: Duration = Duration::from_secs(30);

/// Wakes the janitor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Janitor(Arc<Notify>);

impl Janitor {
    /// Asks for a round now.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for the next round.
    pub(crate) async fn next_round(&self, stop: &Stop) -> Result<(), Stopped> {
        let waited = async {
            tokio::select! {
                () = self.0.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        };
        stop.or(waited).await
    }
}

/// Looks after the abandoned names of one space; answers how many are left.
pub(crate) async fn sweep(
    space: &TaskSpace,
    destinations: &Destinations,
    now: Micros,
    stop: &Stop,
) -> Result<usize, Stopped> {
    let names = match space.abandoned().await {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "abandoned names could not be read, trying again later");
            return Ok(usize::MAX);
        }
    };
    let mut left = names.len();
    for abandoned in &names {
        let is_gone = match destinations.find_by_name(&abandoned.bucket, &abandoned.role) {
            Ok(Some(bucket)) => stop.or(delete_if_ours(&bucket, abandoned)).await?,
            // A bucket that is out of the table is none of our business any more.
            Ok(None) => true,
            Err(_) => false,
        };
        if is_gone && now >= abandoned.until {
            let mut writes = Writes::default();
            writes.remove_abandoned(abandoned);
            space.write_surely(writes, stop).await?;
            left -= 1;
        }
    }
    Ok(left)
}

/// Whether the name bears no object of the task (any more).
async fn delete_if_ours(bucket: &Bucket, abandoned: &Abandoned) -> bool {
    let deleted = async {
        if abandoned.is_own_name {
            return bucket.delete(&abandoned.name).await;
        }
        match metadata_of(bucket, &abandoned.name).await? {
            Some(metadata) if is_of_task(abandoned.task, &metadata) => bucket.delete(&abandoned.name).await?,
            _ => {}
        }
        bucket.end_uploads(&abandoned.name).await
    };
    match deleted.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(name = abandoned.name, %error, "an abandoned object could not be deleted, trying again later");
            false
        }
    }
}
