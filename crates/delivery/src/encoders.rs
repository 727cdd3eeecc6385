//! A fixed number of encoders: encoding runs on blocking threads, never on the async runtime.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// The encoders of all tasks. Handles are shared.
#[derive(Debug, Clone)]
pub(crate) struct Encoders(Arc<Semaphore>);

impl Encoders {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.max(1))))
    }

    /// Runs the work on an encoder, once one is free. A panic of the work goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("the encoders are never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match done.await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is going down, and this future with it.
            Err(_) => std::future::pending().await,
        }
    }
}
