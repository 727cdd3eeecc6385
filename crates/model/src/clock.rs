//! Time, handed to whoever needs it, so that tests own it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch, UTC.
pub type Micros = i64;

/// Tells the time of day and the time passed.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The time of day. It may jump in both directions.
    fn now_micros(&self) -> Micros;

    /// Time passed since some fixed instant of this process. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The computer's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A handle on the computer's clock.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { started: Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the computer")]
    fn now_micros(&self) -> Micros {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that a test moves. Both of its times stand still in between.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    passed: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now` microseconds since the epoch.
    pub fn at(now: Micros) -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(now), passed: AtomicI64::new(0) })
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_add(micros, Ordering::SeqCst);
        self.passed.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the time of day alone, as an operator's hand or a time server would.
    pub fn jump_to(&self, now: Micros) {
        self.now.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> Micros {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.passed.load(Ordering::SeqCst)).unwrap_or(0))
    }
}
