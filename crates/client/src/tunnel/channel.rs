//! Reads one channel: from its checkpoint on, page by page, until it ends or is to be given back.
//!
//! A page is processed before the next one is read, and before a checkpoint behind it is written. So a record is
//! processed at least once: again after a crash, after a lost checkpoint, and when the channel goes to another
//! client in between.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::session::{Checkpoint, FINISHED, TunnelSession, is_in_stream};
use crate::error::Error;
use crate::record::ChangeRecord;
use lakeferry_wire::code::ErrorCode;

/// Times that a checkpoint is tried with another number before the channel is given up.
const CHECKPOINT_TRIES: u32 = 3;

/// Records of one channel, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelRecords {
    /// The channel. Those of one channel come in order; those of several come side by side.
    pub channel: String,
    /// The records, in their order.
    pub records: Vec<ChangeRecord>,
}

/// Why records could not be processed.
pub type ProcessError = Box<dyn std::error::Error + Send + Sync>;

/// What to do with records. Any function that takes [`ChannelRecords`] and answers later is one.
pub trait Processor: Send + Sync + 'static {
    /// Processes records; behind them a checkpoint may be written.
    ///
    /// # Errors
    /// They could not be processed. The channel is given back, and its records since the last checkpoint come
    /// again, here or to another client.
    fn process(&self, records: ChannelRecords) -> impl Future<Output = Result<(), ProcessError>> + Send;
}

impl<F, A> Processor for F
where
    F: Fn(ChannelRecords) -> A + Send + Sync + 'static,
    A: Future<Output = Result<(), ProcessError>> + Send,
{
    fn process(&self, records: ChannelRecords) -> impl Future<Output = Result<(), ProcessError>> + Send {
        self(records)
    }
}

/// One channel, read by one task.
pub(super) struct ChannelReader<P> {
    pub(super) session: TunnelSession,
    pub(super) channel: String,
    pub(super) processor: Arc<P>,
    pub(super) pace: Pace,
    /// Pages that may be held at once, over all channels.
    pub(super) pages: Arc<Semaphore>,
    /// Whether the channel is to be given back.
    pub(super) stop: watch::Receiver<bool>,
}

/// When to write checkpoints, and how long to wait where nothing is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) checkpoint_interval: Duration,
    pub(super) idle_pause_min: Duration,
    pub(super) idle_pause_max: Duration,
}

/// How the reading of a channel ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// There is nothing more in it, ever.
    Finished,
    /// It was to be given back.
    Asked,
    /// It could not go on.
    Failed(Failure),
}

/// Why the reading of a channel could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] Error),
    /// The application failed.
    #[error("process records")]
    Process(#[source] ProcessError),
}

/// How far the channel is processed, and how far that is written down.
struct Progress {
    token: String,
    saved: Checkpoint,
    saved_at: Instant,
}

impl<P: Processor> ChannelReader<P> {
    pub(super) async fn run(mut self) -> Ended {
        let saved = match self.session.checkpoint(&self.channel).await {
            Ok(saved) => saved,
            Err(error) => return Ended::Failed(error.into()),
        };
        let mut progress = Progress { token: saved.token.clone(), saved, saved_at: Instant::now() };
        let outcome = self.read_on(&mut progress).await;
        // What was processed is not to come again, whatever ended it.
        let saved = self.save(&mut progress).await;
        match (outcome, saved) {
            (Err(failure), _) | (Ok(()), Err(failure)) => Ended::Failed(failure),
            (Ok(()), Ok(())) if progress.token == FINISHED => Ended::Finished,
            (Ok(()), Ok(())) => Ended::Asked,
        }
    }

    /// Reads and processes until the end, or until asked to stop.
    async fn read_on(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        let is_stream = is_in_stream(&progress.token);
        let mut idle_pause = self.pace.idle_pause_min;
        while progress.token != FINISHED && !*self.stop.borrow() {
            let has_more = self.read_page(progress).await?;
            if progress.saved_at.elapsed() >= self.pace.checkpoint_interval {
                self.save(progress).await?;
            }
            if has_more || !is_stream {
                idle_pause = self.pace.idle_pause_min;
                continue;
            }
            // An error means that nobody will ever ask, since the worker is gone; it takes this task with it.
            let _ = tokio::time::timeout(idle_pause, self.stop.wait_for(|stop| *stop)).await;
            idle_pause = (idle_pause * 2).min(self.pace.idle_pause_max);
        }
        Ok(())
    }

    async fn read_page(&self, progress: &mut Progress) -> Result<bool, Failure> {
        let _page = self.pages.acquire().await.expect("nobody closes the semaphore");
        let page = self.session.read(&self.channel, &progress.token).await?;
        if !page.records.is_empty() {
            let records = ChannelRecords { channel: self.channel.clone(), records: page.records };
            self.processor.process(records).await.map_err(Failure::Process)?;
        }
        progress.token = page.next;
        Ok(page.has_more)
    }

    /// Writes a checkpoint, unless there is nothing new to write.
    async fn save(&self, progress: &mut Progress) -> Result<(), Failure> {
        progress.saved_at = Instant::now();
        let mut tries = 0;
        while progress.token != progress.saved.token {
            tries += 1;
            let next = Checkpoint {
                token: progress.token.clone(),
                sequence_number: progress.saved.sequence_number.saturating_add(1),
            };
            match self.session.set_checkpoint(&self.channel, &next).await {
                Ok(()) => progress.saved = next,
                // Somebody counted on, perhaps this client by a call whose answer was lost.
                Err(error)
                    if error.code() == Some(ErrorCode::SequenceNumberNotMatch)
                        && tries < CHECKPOINT_TRIES =>
                {
                    progress.saved = self.session.checkpoint(&self.channel).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
