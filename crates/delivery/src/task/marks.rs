//! What consumers of the lake are told: the sync point as "complete up to", and folders that are complete.

use std::time::Duration;

use lakeferry_lake::SyncMarks;
use lakeferry_model::Micros;

use super::Task;
use crate::stop::{Stop, Stopped};

impl Task {
    /// Says in the bucket how far the task is complete, whenever that moved along with an object, and every
    /// now and then without one; and which folders are. A paused task says nothing.
    pub(super) async fn publish_marks(&self, run: u32, stop: &Stop) {
        let mut published: Option<Mark> = None;
        while stop.sleep(self.env.settings.tick).await.is_ok() {
            if !self.is_paused() && self.publish_once(run, &mut published, stop).await.is_err() {
                return;
            }
        }
    }

    async fn publish_once(&self, run: u32, published: &mut Option<Mark>, stop: &Stop) -> Result<(), Stopped> {
        let mark = Mark {
            sync_point: self.board.sync_point(&*self.source),
            objects: self.board.objects(),
            at: self.env.clock.monotonic(),
        };
        if mark.sync_point == 0 {
            return Ok(());
        }
        // Folders of an earlier configuration may be due still.
        let setup = self.setup();
        if setup.version > 1 || setup.prefix.has_folder_ends() {
            while self.mark_folders(run, mark.sync_point, stop).await? {}
        }
        if !mark.is_worth_publishing(published.as_ref()) {
            return Ok(());
        }
        let Some(bucket) = self.marked_bucket(stop).await? else { return Ok(()) };
        let marks = SyncMarks::of(self.board.entry().name(), self.id.number());
        match stop.or(marks.publish(&bucket, run, mark.sync_point)).await? {
            Ok(()) => *published = Some(mark),
            Err(error) => {
                // The lanes and the looks tell of a bucket's trouble.
                tracing::debug!(task = %self.id, %error, "a mark could not be published");
                stop.sleep(self.env.settings.retry_max).await?;
            }
        }
        Ok(())
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
