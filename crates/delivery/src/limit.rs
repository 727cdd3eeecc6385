//! How fast a task may send to its store: so many bytes, so many rows per second, on average. Pure.
//!
//! What is sent is owed, and paid off as time passes, at the rate of the limit. An object is sent when nothing is
//! owed, however large it is: what it has beyond is waited for behind it. So a limit below the size of an object
//! does not stop a task, and a changed limit holds at once for what is still owed.

use std::time::Duration;

use lakeferry_model::delivery::Tuning;
use parking_lot::Mutex;

/// A task's account of what it has sent.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<Owed>);

#[derive(Debug, Default)]
struct Owed {
    bytes: f64,
    rows: f64,
    /// Up to when it is paid off, by the monotonic clock.
    paid_at: Duration,
}

impl Limiter {
    /// Whether so much may be sent at `now`, which is then owed; else how long to wait before asking again.
    pub(crate) fn try_pass(
        &self,
        now: Duration,
        tuning: &Tuning,
        bytes: u64,
        rows: u64,
    ) -> Result<(), Duration> {
        let mut owed = self.0.lock();
        let passed_s = now.saturating_sub(owed.paid_at).as_secs_f64();
        owed.paid_at = now;
        let waits = [
            pay(&mut owed.bytes, tuning.bytes_per_s_max, passed_s),
            pay(&mut owed.rows, tuning.rows_per_s_max, passed_s),
        ];
        let wait_s = waits.into_iter().fold(0.0, f64::max);
        if wait_s > 0.0 {
            // Limits are at least one per second, and what is owed is below what a task can send.
            return Err(Duration::try_from_secs_f64(wait_s).unwrap_or(Duration::MAX));
        }
        #[expect(clippy::cast_precision_loss, reason = "objects are far below 2^52 bytes and rows")]
        let (bytes, rows) = (bytes as f64, rows as f64);
        owed.bytes += if tuning.bytes_per_s_max.is_some() { bytes } else { 0.0 };
        owed.rows += if tuning.rows_per_s_max.is_some() { rows } else { 0.0 };
        Ok(())
    }
}

/// Pays off what is owed. Answers in how many seconds nothing is.
fn pay(owed: &mut f64, per_s_max: Option<u64>, passed_s: f64) -> f64 {
    let Some(per_s) = per_s_max else {
        *owed = 0.0;
        return 0.0;
    };
    #[expect(clippy::cast_precision_loss, reason = "a limit need not be kept to the last of 2^52 bytes")]
    let per_s = per_s.max(1) as f64;
    *owed = (*owed - passed_s * per_s).max(0.0);
    // Less than a thousandth of what passes in a second is rounding.
    if *owed < per_s / 1000.0 { 0.0 } else { *owed / per_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn tuning(bytes: Option<u64>, rows: Option<u64>) -> Tuning {
        Tuning { bytes_per_s_max: bytes, rows_per_s_max: rows, ..Tuning::default() }
    }

    #[test]
    fn what_is_sent_is_waited_for_at_the_rate_of_the_limit() {
        let (limiter, tuning) = (Limiter::default(), tuning(Some(100), None));
        assert_eq!(limiter.try_pass(S, &tuning, 250, 1), Ok(()), "an object beyond the limit passes");
        assert_eq!(limiter.try_pass(S, &tuning, 1, 1), Err(Duration::from_millis(2500)));
        assert_eq!(limiter.try_pass(S * 3, &tuning, 1, 1), Err(Duration::from_millis(500)));
        assert_eq!(limiter.try_pass(S * 3 + S / 2, &tuning, 1, 1), Ok(()));
    }

    #[test]
    fn over_a_long_time_no_more_passes_than_the_limit_and_one_object() {
        let (limiter, tuning) = (Limiter::default(), tuning(None, Some(10)));
        let mut sent = 0;
        for tenth in 0..1000 {
            let now = Duration::from_millis(100 * tenth);
            if limiter.try_pass(now, &tuning, 5, 7).is_ok() {
                sent += 7;
            }
        }
        assert!((987..=1007).contains(&sent), "{sent}");
    }

    #[test]
    fn a_changed_limit_holds_at_once_and_a_lifted_one_forgives() {
        let limiter = Limiter::default();
        limiter.try_pass(S, &tuning(Some(1), None), 1000, 1).unwrap();
        assert_eq!(limiter.try_pass(S, &tuning(Some(500), None), 1, 1), Err(S * 2));
        assert_eq!(limiter.try_pass(S, &tuning(None, None), 1000, 1), Ok(()));
        assert_eq!(limiter.try_pass(S, &tuning(Some(1), None), 1, 1), Ok(()));
    }
}
