//! Long computations in the middle of asynchronous work.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Computes what may take long while other threads take over what this one would have done next.
///
/// A runtime of one thread has nobody to take over: there it just computes.
pub fn aside<T>(compute: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(compute),
        _ => compute(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_it_computes() {
        let (say, said) = mpsc::channel();
        let computing = tokio::spawn(async move {
            tokio::spawn(async move { say.send(7).unwrap() });
            aside(|| said.recv().unwrap())
        });
        assert_eq!(computing.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_just_computes() {
        assert_eq!(aside(|| 7), 7);
    }
}
