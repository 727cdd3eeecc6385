//! Which failed attempts are repeated, and after which pause.

use std::time::Duration;

use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::operation::{Group, Operation};

use crate::error::{Error, ServiceError};

/// The first pause; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// What a call does, as far as it matters for sending it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it may be sent as often as one likes.
    None,
    /// Something that must not be done twice.
    Once,
    /// Something of the tunnel service that its protocol makes good when it was done twice.
    Tunnel,
}

/// The pauses between the attempts of one call, until their time is used up.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    pause_max: Duration,
    left: Duration,
}

impl Effect {
    pub(crate) fn of(operation: Operation) -> Self {
        match operation {
            Operation::TunnelConnect
            | Operation::TunnelHeartbeat
            | Operation::TunnelCheckpoint
            | Operation::TunnelShutdown => Self::Tunnel,
            other if other.is_idempotent() => Self::None,
            _ => Self::Once,
        }
    }
}

impl Backoff {
    /// Pauses for `time_max` in all. The time that the attempts take is to be told by [`Self::spend`].
    pub(crate) fn new(time_max: Duration) -> Self {
        Self { pause: PAUSE_MIN, pause_max: PAUSE_MAX, left: time_max }
    }

    /// The pauses of the operation's official client; none at all if `time_max` is zero.
    pub(crate) fn of(operation: Operation, time_max: Duration) -> Self {
        let (pause, pause_max, left) = match operation {
            _ if time_max.is_zero() || operation.group() != Group::Tunnel => return Self::new(time_max),
            Operation::TunnelReadRecords => (16, 3_000, 75_000),
            _ => (100, 2_000, 35_000),
        };
        let [pause, pause_max, left] = [pause, pause_max, left].map(Duration::from_millis);
        Self { pause, pause_max, left }
    }

    pub(crate) fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// The next pause; `None` when the time is used up.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let pause = self.pause;
        self.left = self.left.checked_sub(pause)?;
        self.pause = (pause * 2).min(self.pause_max);
        Some(pause)
    }
}

/// Whether a failed call may be sent again.
pub(crate) fn may_repeat(error: &Error, effect: Effect) -> bool {
    match error {
        Error::Service(error) => may_repeat_service(error, effect),
        Error::Connect { .. } | Error::Exchange { .. } | Error::NoAnswer { .. } => effect != Effect::Once,
        Error::Endpoint { .. }
        | Error::Tls { .. }
        | Error::Request(_)
        | Error::Untrusted { .. }
        | Error::Malformed { .. } => false,
    }
}

/// Whether a call or a row of a batch that the server refused may be sent again.
pub(crate) fn may_repeat_service(error: &ServiceError, effect: Effect) -> bool {
    let code = error.code();
    let is_broken = error.status / 100 == 5;
    error.is_retried_always()
        || match effect {
            Effect::None => is_broken || code.is_some_and(ErrorCode::retried_if_idempotent),
            Effect::Once => false,
            // Without a code, something before the service has answered.
            Effect::Tunnel => is_broken && matches!(code, None | Some(ErrorCode::TunnelServerUnavailable)),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_wire::code::message;

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
            (ErrorCode::StorageServerBusy, true),
            (ErrorCode::OperationConflict, true),
            (ErrorCode::OperationThrottled, true),
            (ErrorCode::Timeout, false),
            (ErrorCode::ServerUnavailable, false),
            (ErrorCode::InternalServerError, false),
            (ErrorCode::ParameterInvalid, false),
            (ErrorCode::QuotaExhausted, false),
        ] {
            assert_eq!(may_repeat(&service(code, ""), Effect::Once), repeated, "{code}");
        }
        let passing = service(ErrorCode::QuotaExhausted, message::TOO_FREQUENT_TABLE_OPERATIONS);
        assert!(may_repeat(&passing, Effect::Once));
    }

    #[test]
    fn a_read_is_repeated_whenever_the_server_may_do_better() {
        for code in [ErrorCode::Timeout, ErrorCode::ServerUnavailable, ErrorCode::InternalServerError] {
            assert!(may_repeat(&service(code, ""), Effect::None), "{code}");
        }
        assert!(!may_repeat(&service(ErrorCode::ObjectNotExist, ""), Effect::None));
        let lost = Error::NoAnswer { endpoint: String::new(), waited: Duration::ZERO };
        assert!(may_repeat(&lost, Effect::None) && !may_repeat(&lost, Effect::Once));
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
    #[test]
    fn a_tunnels_calls_are_repeated_when_its_service_is_away() {
        let effect = Effect::of(Operation::TunnelCheckpoint);
        assert!(may_repeat(&service(ErrorCode::TunnelServerUnavailable, ""), effect));
        assert!(!may_repeat(&service(ErrorCode::SequenceNumberNotMatch, ""), effect));
        assert!(!may_repeat(&service(ErrorCode::Timeout, ""), effect));
        let lost = Error::NoAnswer { endpoint: String::new(), waited: Duration::ZERO };
        assert!(may_repeat(&lost, effect));
        assert!(!may_repeat(&lost, Effect::of(Operation::TunnelCreate)));
        assert_eq!(Effect::of(Operation::TunnelReadRecords), Effect::None);
    }

    #[test]
    fn a_tunnel_is_more_patient_than_a_table() {
        let pauses = |operation, time_max| {
            let mut backoff = Backoff::of(operation, time_max);
            std::iter::from_fn(|| backoff.next()).map(|pause| pause.as_millis()).sum::<u128>()
        };
        let ten = Duration::from_secs(10);
        assert!((70_000..=75_000).contains(&pauses(Operation::TunnelReadRecords, ten)));
        assert!((33_000..=35_000).contains(&pauses(Operation::TunnelHeartbeat, ten)));
        assert!(pauses(Operation::GetRow, ten) <= 10_000);
        assert_eq!(pauses(Operation::TunnelHeartbeat, Duration::ZERO), 0);
    }
}
