//! A lane cuts every folder up to one position, so that no folder is ahead: only there can a task's destination
//! change, since how far a folder has come is known by its path alone.

use super::Lane;
use crate::gather::CutReason;
use crate::stop::Stopped;

impl Lane {
    /// Delivers up to where its furthest folder has come, and nothing behind. When this answers, nothing is
    /// prepared and no folder is ahead.
    pub(crate) async fn level(mut self) -> Result<(), Stopped> {
        let ended = self.cut_up_to_the_furthest().await;
        self.end_upload().await;
        ended
    }

    async fn cut_up_to_the_furthest(&mut self) -> Result<(), Stopped> {
        let partitions: Vec<_> = self.inputs.keys().copied().collect();
        for partition in partitions {
            while self.inputs[&partition].read < self.progress.furthest(partition) {
                self.check_paused()?;
                let before = self.inputs[&partition].read;
                self.read(partition).await?;
                if self.inputs[&partition].read == before {
                    // A block that could not be taken apart is read again.
                    self.stop.sleep(super::READ_PAUSE).await?;
                }
                let read_bytes = self.task.env.settings.read_bytes as u64;
                match self.gather.due(self.task.now(), &self.rules, true) {
                    Some(CutReason::Size) => self.cut_now(CutReason::Size).await?,
                    _ if !self.task.account.has_room(2 * read_bytes) => {
                        self.cut_now(CutReason::Memory).await?
                    }
                    _ => {}
                }
                self.show();
            }
        }
        self.check_paused()?;
        self.cut_now(CutReason::Asked).await?;
        if !self.progress.is_level() {
            self.advance().await?;
        }
        self.show();
        Ok(())
    }

    /// What is gathered while the task is paused is gathered again when it is resumed.
    fn check_paused(&self) -> Result<(), Stopped> {
        if !self.task.is_paused() {
            return Ok(());
        }
        self.show_rest();
        Err(Stopped)
    }

    /// Cuts folders, if there are any, and sees the cut committed.
    async fn cut_now(&mut self, reason: CutReason) -> Result<(), Stopped> {
        if self.gather.is_empty() {
            return Ok(());
        }
        self.cut(reason).await?;
        while self.in_flight.is_some() {
            self.collect().await?;
        }
        Ok(())
    }
}
