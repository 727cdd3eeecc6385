//! Lets go of logs that nobody needs any more, and keeps the floor of closed times ahead of use.
//!
//! A partition's log is needed behind the lowest position of its readers, and as long as the table's stream does
//! not expire. Positions of readers lie in other spaces and may be read late: they only grow, so late is safe.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lakeferry_model::Micros;

use crate::error::Error;
use crate::partition::times::SharedTime;
use crate::partition::{Partition, PartitionId};
use crate::store::{Store, WeakStore};
use crate::table::{Table, TableId};

/// The pause between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// The pause between two looks at the floor.
const FLOOR_ROUND: Duration = Duration::from_millis(250);
/// How far ahead of now the floor is raised, and how near now may come to it.
const FLOOR_AHEAD: Micros = 2_900_000;
const FLOOR_MARGIN: Micros = 1_500_000;
/// The same of commit times that are ahead of the clock, and go on by a microsecond each. Little, because a restart
/// begins above the floor: with many of them, commit times would run away.
const GIVEN_AHEAD: Micros = 100_000;
const GIVEN_MARGIN: Micros = 50_000;
/// Calls of one round have this long.
const CALL: Duration = Duration::from_secs(20);

/// Whoever reads logs and holds them back.
#[async_trait]
pub trait LogReaders: Send + Sync + 'static {
    /// The positions up to which the readers of a table need nothing any more, for each of its partitions;
    /// `None` if it has no readers.
    async fn low_positions(&self, table: TableId) -> Result<Option<HashMap<PartitionId, u64>>, Error>;
}

/// Trims all logs, round after round, until the store is gone.
pub(crate) async fn trim_logs(store: WeakStore, readers: Arc<dyn LogReaders>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(store) = store.upgrade() else { return };
        for table in store.all_tables() {
            match trim_table(&store, &table, &*readers).await {
                Ok(()) => {}
                // A table that is being deleted, or an engine that is not back: the next round sees.
                Err(error) => tracing::debug!(table = table.id().0, %error, "a log was not trimmed"),
            }
        }
    }
}

/// Raises the floor of closed times before anybody reaches it, until the store is gone.
pub(crate) async fn keep_floor_ahead(store: WeakStore) {
    while let Some(store) = store.upgrade() {
        let time = store.time();
        if time.take_wanted()
            && let Some(floor) = floor_wanted(time)
        {
            match store.catalog().raise_floor(floor).await {
                Ok(()) => time.raise_floor(floor),
                Err(error) => tracing::warn!(%error, "the floor of closed times cannot be raised"),
            }
        }
        drop(store);
        tokio::time::sleep(FLOOR_ROUND).await;
    }
}

/// Where the floor should be, unless it is far enough ahead.
fn floor_wanted(time: &SharedTime) -> Option<Micros> {
    let (now, complete) = (time.now(), time.complete());
    let is_near = time.floor() < (now + FLOOR_MARGIN).max(complete + GIVEN_MARGIN);
    is_near.then(|| (now + FLOOR_AHEAD).max(complete + GIVEN_AHEAD))
}

async fn trim_table(store: &Store, table: &Table, readers: &dyn LogReaders) -> Result<(), Error> {
    // Before the readers are asked: one that comes later begins at a head that is no less than this.
    let heads: Vec<u64> = table.partitions().iter().map(|partition| partition.head().sequence).collect();
    let low = readers.low_positions(table.id()).await?;
    let indexed = store.index_positions(table);
    let stream = table.info().stream.clone();
    let hour: Micros = 3_600_000_000;
    let expired_at =
        stream.map(|stream| store.time().now() - Micros::from(stream.spec.expiration_hours) * hour);
    let mut outcome = Ok(());
    for (partition, head) in table.partitions().iter().zip(heads) {
        let unread = match &low {
            // A partition that the readers do not know yet is not theirs to let go.
            Some(low) => low.get(&partition.id()).copied().unwrap_or(0),
            None => head,
        };
        let unread = match &indexed {
            Some(low) => unread.min(low.get(&partition.id()).copied().unwrap_or(0)),
            None => unread,
        };
        // One that cannot be trimmed now does not hold up the others.
        outcome = outcome.and(trim_partition(partition, unread.min(head), expired_at).await);
    }
    outcome
}

async fn trim_partition(partition: &Partition, unread: u64, expired_at: Option<Micros>) -> Result<(), Error> {
    let deadline = Instant::now() + CALL;
    let below = match expired_at {
        Some(expired_at) => unread.min(partition.position_before(expired_at, deadline).await?),
        None => unread,
    };
    // What was let go before may not be given back yet: the engine may have failed meanwhile.
    if below > partition.trimmed() || partition.has_log(deadline).await? {
        partition.trim(below.max(partition.trimmed()), deadline).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lakeferry_model::ManualClock;

    use super::*;
    use crate::partition::times::Times;
    use crate::time::BelievedClock;

    #[test]
    fn commit_times_do_not_run_away_with_many_restarts() {
        let clock = ManualClock::at(0);
        let (mut floor, mut last) = (0, 0);
        for _ in 0..10 {
            let time = SharedTime::new(BelievedClock::new(clock.clone()), floor);
            let times = Times::new(time.clone(), last);
            last = times.begin_group(1_000) + 999;
            times.end_group();
            floor = floor_wanted(&time).unwrap_or(floor);
            time.raise_floor(floor);
            assert!(times.closed() > last, "readers wait for what is committed");
        }
        assert!(last <= FLOOR_AHEAD + 10 * (GIVEN_AHEAD + 1_001), "{last}");
    }
}
