//! "Complete up to": what consumers of the lake are told of the sync point.

use std::time::Duration;

use lakeferry_lake::SyncMarks;
use lakeferry_model::Micros;

use super::Task;
use crate::stop::{Stop, Stopped};

impl Task {
    /// Says in the bucket how far the task is complete, whenever that moved along with an object, and every
    /// now and then without one.
    pub(super) async fn publish_marks(&self, stop: &Stop) {
        let marks = SyncMarks::of(self.board.entry().name(), self.id.number());
        let mut published: Option<Mark> = None;
        while stop.sleep(self.env.settings.tick).await.is_ok() {
            let mark = Mark {
                sync_point: self.board.sync_point(&*self.source),
                objects: self.board.objects(),
                at: self.env.clock.monotonic(),
            };
            if !mark.is_worth_publishing(published.as_ref()) {
                continue;
            }
            let entry = self.board.entry();
            let Ok(bucket) = self.env.destinations.find(&entry.spec.destination) else { continue };
            match stop.or(marks.publish(&bucket, entry.run, mark.sync_point)).await {
                Ok(Ok(())) => {}
                // The lanes tell of a bucket's trouble; the mark is told again with the next one.
                Ok(Err(error)) => tracing::debug!(task = %self.id, %error, "a mark could not be published"),
                Err(Stopped) => return,
            }
            published = Some(mark);
        }
    }
}

/// What a "complete up to" mark is made of.
struct Mark {
    sync_point: Micros,
    objects: u64,
    at: Duration,
}

impl Mark {
    /// How long a sync point may move without an object before it is published.
    const PAUSE: Duration = Duration::from_secs(60);

    fn is_worth_publishing(&self, published: Option<&Self>) -> bool {
        let Some(before) = published else { return self.sync_point > 0 };
        let has_moved = self.sync_point > before.sync_point;
        has_moved && (self.objects != before.objects || self.at.saturating_sub(before.at) >= Self::PAUSE)
    }
}
