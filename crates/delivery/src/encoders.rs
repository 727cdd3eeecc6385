//! A fixed number of encoders: encoding runs on threads of its own, never on the async runtime.
//!
//! They are few and stay the same. An encoder fills the memory again that it has emptied; on the runtime's blocking
//! threads, which take turns, most of an object's pages would be asked of the system anew.
//!
//! Work that could end anywhere asks now and then whether other work waits, and goes on as long as none does.
//!
//! An object may stay open from one piece of work to the next, and holds its memory meanwhile: as many may be open
//! as there are encoders, whatever the number of tasks.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// The encoders of all tasks. Handles are shared; with the last one the threads end.
#[derive(Debug, Clone)]
pub(crate) struct Encoders {
    jobs: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    may_be_open: Arc<Semaphore>,
}

/// While this lives, an object may be open.
pub(crate) type MayBeOpen = OwnedSemaphorePermit;

impl Encoders {
    /// Starts so many, at least one. What they run may wait for what the current runtime does.
    ///
    /// # Panics
    /// If the system has no thread to give, or outside of a runtime.
    pub(crate) fn new(count: usize) -> Self {
        let (jobs, taken) = channel();
        let (taken, runtime) = (Arc::new(Mutex::new(taken)), Handle::current());
        let waiting = Arc::new(AtomicUsize::new(0));
        let may_be_open = Arc::new(Semaphore::new(count.max(1)));
        for number in 0..count.max(1) {
            let (taken, runtime, waiting) = (Arc::clone(&taken), runtime.clone(), Arc::clone(&waiting));
            let encode = move || encode(&taken, &waiting, &runtime);
            let started = thread::Builder::new().name(format!("encoder-{number}")).spawn(encode);
            started.expect("a start has a few threads to take");
        }
        Self { jobs, waiting, may_be_open }
    }

    /// Leave to open an object, if fewer are open than there are encoders.
    pub(crate) fn try_open(&self) -> Option<MayBeOpen> {
        Arc::clone(&self.may_be_open).try_acquire_owned().ok()
    }

    /// Leave to open an object, in the order of asking.
    pub(crate) async fn open(&self) -> MayBeOpen {
        Arc::clone(&self.may_be_open).acquire_owned().await.expect("nobody closes the semaphore")
    }

    /// Whether work waits for an encoder.
    pub(crate) fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Runs the work on an encoder, once one is free. A panic of the work goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, done) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody may be waiting any more.
            _ = tell.send(catch_unwind(AssertUnwindSafe(work)));
        });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.send(job).expect("the encoders end with their last handle");
        match done.await.expect("an encoder answers each of its jobs") {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Does one job after the other until there can be no more.
fn encode(jobs: &Mutex<Receiver<Job>>, waiting: &AtomicUsize, runtime: &Handle) {
    let _runtime = runtime.enter();
    loop {
        // Whoever has the lock waits for the next job; the others wait for the lock.
        let job = jobs.lock().recv();
        match job {
            Ok(job) => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                job();
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn as_much_runs_at_a_time_as_there_are_encoders() {
        let encoders = Encoders::new(2);
        let both = Arc::new(Barrier::new(2));
        let meet = || {
            let both = Arc::clone(&both);
            move || {
                both.wait();
                thread::current().id()
            }
        };
        let (first, second) = tokio::join!(encoders.run(meet()), encoders.run(meet()));
        assert_ne!(first, second);
        let mut threads = HashSet::from([first, second]);
        for _ in 0..20 {
            threads.insert(encoders.run(|| thread::current().id()).await);
        }
        assert_eq!(threads.len(), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_sees_that_other_work_waits() {
        let encoders = Encoders::new(1);
        let asked = encoders.clone();
        assert!(!encoders.run(move || asked.are_wanted()).await);
        let asked = encoders.clone();
        let first = encoders.run(move || {
            while !asked.are_wanted() {
                thread::yield_now();
            }
        });
        tokio::join!(first, encoders.run(|| ()));
        assert!(!encoders.are_wanted());
    }

    #[tokio::test]
    async fn as_many_objects_are_open_as_there_are_encoders() {
        let encoders = Encoders::new(2);
        let (first, _second) = (encoders.open().await, encoders.open().await);
        assert!(encoders.try_open().is_none());
        let asked = encoders.clone();
        let third = tokio::spawn(async move { asked.open().await });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        let _third = third.await.unwrap();
        assert!(encoders.try_open().is_none());
    }

    #[tokio::test]
    async fn a_panic_goes_on_in_the_caller_and_the_encoder_stays() {
        let encoders = Encoders::new(1);
        let asked = encoders.clone();
        let failed = tokio::spawn(async move { asked.run(|| panic!("broken")).await }).await;
        assert!(failed.unwrap_err().is_panic());
        assert_eq!(encoders.run(|| 7).await, 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_may_wait_for_the_runtime_and_is_done_also_when_nobody_waits() {
        let encoders = Encoders::new(1);
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let (go, told) = oneshot::channel::<()>();
        let work = encoders.run(move || {
            Handle::current().block_on(told).unwrap();
            done.store(true, Ordering::SeqCst);
        });
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), work).await;
        assert!(given_up.is_err());
        go.send(()).unwrap();
        encoders.run(|| ()).await;
        assert!(is_done.load(Ordering::SeqCst));
    }
}
