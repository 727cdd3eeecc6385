//! The clock that the server goes by: the computer's. For trials of clocks that step, a file may say by how many
//! seconds the server's is ahead; only a program with the feature `faults` looks for it.

use std::sync::Arc;

use lakeferry_model::{Clock, SystemClock};

/// The clock.
#[cfg(not(feature = "faults"))]
pub fn shared() -> Arc<dyn Clock> {
    SystemClock::shared()
}

/// The clock, ahead by what the file `LAKEFERRY_CLOCK_AHEAD` says, if there is such a variable.
#[cfg(feature = "faults")]
pub fn shared() -> Arc<dyn Clock> {
    match std::env::var_os("LAKEFERRY_CLOCK_AHEAD") {
        Some(file) => stepped::SteppedClock::shared(file.into()),
        None => SystemClock::shared(),
    }
}

#[cfg(feature = "faults")]
mod stepped {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    use lakeferry_model::{Clock, Micros, SystemClock};

    /// The pause before the file is looked at again.
    const PAUSE: Duration = Duration::from_millis(10);

    /// The computer's clock, and how far ahead of it this one is.
    #[derive(Debug)]
    pub struct SteppedClock {
        clock: Arc<dyn Clock>,
        ahead: Arc<AtomicI64>,
    }

    impl SteppedClock {
        /// A clock that follows the file for as long as it is used.
        pub fn shared(file: PathBuf) -> Arc<dyn Clock> {
            let ahead = Arc::new(AtomicI64::new(seconds_in(&file)));
            let told = Arc::downgrade(&ahead);
            std::thread::spawn(move || follow(&file, &told));
            Arc::new(Self { clock: SystemClock::shared(), ahead })
        }
    }

    impl Clock for SteppedClock {
        fn now_micros(&self) -> Micros {
            self.clock.now_micros() + self.ahead.load(Ordering::Relaxed) * 1_000_000
        }

        fn monotonic(&self) -> Duration {
            self.clock.monotonic()
        }
    }

    fn follow(file: &PathBuf, ahead: &Weak<AtomicI64>) {
        while let Some(ahead) = ahead.upgrade() {
            ahead.store(seconds_in(file), Ordering::Relaxed);
            drop(ahead);
            std::thread::sleep(PAUSE);
        }
    }

    /// Whole seconds; 0 for a file that is not there yet or says nothing.
    fn seconds_in(file: &PathBuf) -> i64 {
        std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}
