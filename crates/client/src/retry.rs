//! Which failed attempts are repeated, and after which pause.

use std::time::Duration;

use crate::error::{Error, ServiceError};

/// The first pause; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// The pauses between the attempts of one call, until their time is used up.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    left: Duration,
}

impl Backoff {
    /// Pauses for `time_max` in all. The time that the attempts take is to be told by [`Self::spend`].
    pub(crate) fn new(time_max: Duration) -> Self {
        Self { pause: PAUSE_MIN, left: time_max }
    }

    pub(crate) fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// The next pause; `None` when the time is used up.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let pause = self.pause;
        self.left = self.left.checked_sub(pause)?;
        self.pause = (pause * 2).min(PAUSE_MAX);
        Some(pause)
    }
}

/// Whether a failed call may be sent again.
pub(crate) fn may_repeat(error: &Error, idempotent: bool) -> bool {
    match error {
        Error::Service(error) => may_repeat_service(error, idempotent),
        Error::Connect { .. } | Error::Exchange { .. } | Error::NoAnswer { .. } => idempotent,
        Error::Endpoint { .. } | Error::Request(_) | Error::Untrusted { .. } | Error::Malformed { .. } => {
            false
        }
    }
}

/// Whether a call or a row of a batch that the server refused may be sent again.
pub(crate) fn may_repeat_service(error: &ServiceError, idempotent: bool) -> bool {
    let when_idempotent = error.status / 100 == 5
        || error.code().is_some_and(lakeferry_wire::code::ErrorCode::retried_if_idempotent);
    error.is_retried_always() || (idempotent && when_idempotent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_wire::code::{ErrorCode, message};

    fn service(code: ErrorCode, message: &str) -> Error {
        let (code, status) = (code.as_str().to_owned(), code.status());
        ServiceError { status, code, message: message.to_owned(), request_id: String::new() }.into()
    }

    #[test]
    fn a_write_is_repeated_only_when_nothing_was_written() {
        for (code, repeated) in [
            (ErrorCode::RowOperationConflict, true),
            (ErrorCode::NotEnoughCapacityUnit, true),
            (ErrorCode::TableNotReady, true),
            (ErrorCode::PartitionUnavailable, true),
            (ErrorCode::ServerBusy, true),
            (ErrorCode::Timeout, false),
            (ErrorCode::ServerUnavailable, false),
            (ErrorCode::InternalServerError, false),
            (ErrorCode::ParameterInvalid, false),
            (ErrorCode::QuotaExhausted, false),
        ] {
            assert_eq!(may_repeat(&service(code, ""), false), repeated, "{code}");
        }
        let passing = service(ErrorCode::QuotaExhausted, message::TOO_FREQUENT_TABLE_OPERATIONS);
        assert!(may_repeat(&passing, false));
    }

    #[test]
    fn a_read_is_repeated_whenever_the_server_may_do_better() {
        for code in [ErrorCode::Timeout, ErrorCode::ServerUnavailable, ErrorCode::InternalServerError] {
            assert!(may_repeat(&service(code, ""), true), "{code}");
        }
        assert!(!may_repeat(&service(ErrorCode::ObjectNotExist, ""), true));
        let lost = Error::NoAnswer { endpoint: String::new(), waited: Duration::ZERO };
        assert!(may_repeat(&lost, true) && !may_repeat(&lost, false));
    }

    #[test]
    fn pauses_double_until_the_time_is_used_up() {
        let mut backoff = Backoff::new(Duration::from_millis(700));
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.next()).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320]);
        let mut slow = Backoff::new(Duration::from_millis(700));
        slow.spend(Duration::from_millis(695));
        assert_eq!(slow.next(), None);
        assert_eq!(Backoff::new(Duration::ZERO).next(), None);
    }
}
