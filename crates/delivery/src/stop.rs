//! Ending work that runs in the background: one side says stop, the other sees it at its next wait.
//!
//! Lanes stop where they wait, never in the middle of a write to the engine, so no write is ever dropped
//! half-way.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

/// The side that says stop.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// The side that stops. Clones hear the same.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("told to stop")]
pub(crate) struct Stopped;

impl Stopper {
    pub(crate) fn new() -> Self {
        Self(watch::channel(false).0)
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn handle(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if *self.0.borrow() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits until told to stop. A stopper that is gone says the same.
    pub(crate) async fn told(&self) {
        let mut receiver = self.0.clone();
        // An error means that the stopper is gone.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Runs the work, and drops it where it waits if told to stop.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = self.told() => Err(Stopped),
            done = work => Ok(done),
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.or(tokio::time::sleep(time)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_where_it_waits() {
        let stopper = Stopper::new();
        let stop = stopper.handle();
        assert_eq!(stop.or(async { 7 }).await, Ok(7));
        stopper.stop();
        assert_eq!(stop.check(), Err(Stopped));
        assert_eq!(stop.or(std::future::pending::<()>()).await, Err(Stopped));
    }
}
