//! A look at the bucket every few seconds, also while there is nothing to write: what is wrong with it is shown
//! within ten seconds, and gone from the status as soon as it is mended. A paused task is not looked after.

use lakeferry_model::delivery::TaskEventKind;

use super::{RunReason, Task};
use crate::status::Who;
use crate::stop::{Stop, Stopped};

impl Task {
    /// Looks at the destination until told to stop. A bucket that was made again begins a new run, which stops
    /// this one.
    pub(super) async fn watch_destination(&self, run: u32, stop: &Stop) {
        while stop.sleep(self.env.settings.look_every).await.is_ok() {
            if self.is_paused() {
                self.forget_trouble(Who::Destination);
                continue;
            }
            let entry = self.board.entry();
            match stop.or(self.env.destinations.look(&entry.spec.destination)).await {
                Err(Stopped) => return,
                Ok(Ok(identity)) => {
                    // Lanes that fail for other reasons stay as they are.
                    if self.board.clear_trouble(Who::Destination) {
                        self.note(TaskEventKind::Recovered, "delivery goes on".to_owned());
                    }
                    // One that has lost its identity object alone was made again as well, as far as can be told.
                    if entry.bucket_identity.is_some() && identity != entry.bucket_identity {
                        return self.begin_run(run, RunReason::Refounded(entry.configuration)).await;
                    }
                }
                Ok(Err(trouble)) => {
                    let micros = i64::try_from(self.env.settings.look_every.as_micros()).unwrap_or(i64::MAX);
                    let next = self.env.clock.now_micros().saturating_add(micros);
                    self.show_trouble(Who::Destination, trouble, Some(next));
                }
            }
        }
    }
}
