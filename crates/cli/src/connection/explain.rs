//! What a client's error means to the person at the terminal, and what to do about it.

use lakeferry_client::{Error, ErrorCode, ServiceError};
use lakeferry_model::InstanceName;

use crate::failure::Failure;

/// What was asked of whom.
pub struct Asked<'a> {
    /// The server's address.
    pub endpoint: &'a str,
    /// The instance, if the command concerns one.
    pub instance: Option<&'a InstanceName>,
}

/// Turns an error into a failure with a way out.
pub fn explain(error: Error, asked: &Asked<'_>) -> Failure {
    let endpoint = asked.endpoint;
    match error {
        Error::Service(error) => answered(&error, asked),
        Error::Endpoint { .. } => Failure::usage("the server's address cannot be used")
            .caused_by(error)
            .hint("write it as http://HOST:PORT or https://HOST"),
        Error::Tls { .. } => Failure::broken("no secure connection can be made")
            .caused_by(error)
            .hint("are the system's certificates there? SSL_CERT_FILE names another file of them"),
        Error::Connect { .. } => Failure::broken(format!("no server answers at {endpoint}"))
            .caused_by(root(&error))
            .hint("start one with: lakeferry serve")
            .hint("or say where it is, with --endpoint or TABLESTORE_ENDPOINT"),
        Error::Untrusted { .. } => {
            Failure::broken(format!("what answers at {endpoint} is not the server of this key"))
                .caused_by(error)
                .hint("check that the address is that of a Lakeferry, and that both clocks are right")
        }
        error if error.is_outcome_unknown() => {
            Failure::broken("the answer was lost: it may have been done or not; look before you ask again")
                .caused_by(error)
        }
        error => Failure::broken("the request failed").caused_by(error),
    }
}

/// What the system says, without the layers between, which all say that they could not connect.
fn root(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The server said no, or that something is broken.
fn answered(error: &ServiceError, asked: &Asked<'_>) -> Failure {
    let instance = asked.instance.map_or("NAME", InstanceName::as_str);
    let message = error.message.as_str();
    let told = format!("{message} ({})", error.code);
    // The codes are few; the words tell which thing is missing.
    let misses = |word: &str| message.to_ascii_lowercase().contains(word);
    match error.code() {
        Some(ErrorCode::AuthFailed | ErrorCode::ObjectNotExist) if misses("instance") && !misses("privilege") => {
            Failure::no(told)
                .hint(format!("make it with: lakeferry instance create {instance}"))
                .hint("`lakeferry instance list` shows which there are")
        }
        Some(ErrorCode::ObjectNotExist) if misses("task") => {
            Failure::no(told).hint(format!("`lakeferry task list --instance {instance}` shows which there are"))
        }
        Some(ErrorCode::ObjectNotExist) if misses("table") => {
            Failure::no(told).hint(format!("`lakeferry table list --instance {instance}` shows which there are"))
        }
        Some(ErrorCode::ObjectNotExist | ErrorCode::ObjectAlreadyExist) => Failure::no(told),
        Some(ErrorCode::NoPermissionAccess) => {
            Failure::broken(told).hint("this takes an operator's key; the first one is in the data directory's operator-key.toml")
        }
        Some(ErrorCode::AuthFailed) => Failure::broken(told)
            .hint("check TABLESTORE_ACCESS_KEY_ID and TABLESTORE_ACCESS_KEY_SECRET; both are `dev` for `serve --dev`")
            .hint("a server's first key is in its data directory's operator-key.toml: see --data"),
        _ => Failure::broken(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: ErrorCode, message: &str) -> Failure {
        let error = ServiceError {
            status: code.status(),
            code: code.as_str().to_owned(),
            message: message.to_owned(),
            request_id: String::new(),
        };
        let instance = InstanceName::parse("shop").unwrap();
        explain(error.into(), &Asked { endpoint: "http://127.0.0.1:8087", instance: Some(&instance) })
    }

    #[test]
    fn a_missing_instance_is_told_with_the_command_that_makes_it() {
        for (code, message) in [
            (ErrorCode::AuthFailed, "The instance is not found."),
            (ErrorCode::ObjectNotExist, "There is no instance 'shop'."),
        ] {
            let failure = explained(code, message);
            assert!(failure.is_no());
            assert!(failure.to_string().contains("lakeferry instance create shop"), "{failure}");
        }
    }

    #[test]
    fn a_key_that_may_not_is_no_missing_instance() {
        let failure = explained(ErrorCode::AuthFailed, "The user has no privilege to access the instance.");
        assert!(!failure.is_no() && failure.to_string().contains("TABLESTORE_ACCESS_KEY_ID"), "{failure}");
    }

    #[test]
    fn a_missing_thing_is_no_and_a_broken_one_is_broken() {
        assert!(explained(ErrorCode::ObjectNotExist, "Requested table does not exist.").is_no());
        assert!(explained(ErrorCode::ObjectAlreadyExist, "There is a bucket 'b' already.").is_no());
        assert!(!explained(ErrorCode::ParameterInvalid, "Invalid zone.").is_no());
        assert!(!explained(ErrorCode::Timeout, "Operation timeout.").is_no());
    }
}
