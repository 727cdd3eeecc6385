//! A lane cuts every folder up to one position, so that no folder is ahead: only there can a task's destination
//! change, since how far a folder has come is known by its path alone; and only there can a partition change its
//! lane, since whatever is prepared or ahead is its lane's.

use super::Lane;
use crate::gather::CutReason;
use crate::stop::Stopped;

impl Lane {
    /// Delivers what it has gathered and what it still has to read up to where its furthest folder has come, and
    /// reads nothing behind that. When this answers, nothing is prepared and no folder is ahead.
    pub(super) async fn level(&mut self) -> Result<(), Stopped> {
        self.stop.check()?;
        self.collect_under_way().await?;
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
        self.task.board.forget_lane(self.ticket.lane);
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
        self.collect_under_way().await
    }

    /// Sees the cut on its way committed, if there is one.
    pub(super) async fn collect_under_way(&mut self) -> Result<(), Stopped> {
        while self.in_flight.is_some() {
            self.collect().await?;
        }
        Ok(())
    }
}
