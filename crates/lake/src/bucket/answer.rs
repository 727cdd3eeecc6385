//! What a store answered to a request that failed, and what that means.
//!
//! An answer that did not come, or that is not from the store, is never taken for "missing" or "denied".

use std::error::Error as StdError;
use std::fmt;

use super::error::BucketError;

/// What a store answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The code in the answer's XML; empty if there is none.
    pub(super) code: String,
}

/// Whoever hands out credentials has refused: a person must grant something.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Who, and what it said; never a secret.
    pub(super) text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Refusal {}

impl Answer {
    /// An answer by its status and its body, which is XML or nothing.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        Self { status, code: element(&String::from_utf8_lossy(body), "Code") }
    }

    /// Whether the store says that there is no such object.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchKey" | "BlobNotFound")
    }

    /// Whether the store says that there is no such bucket.
    pub(super) fn is_missing_bucket(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchBucket" | "ContainerNotFound")
    }

    /// Whether the store says that there is no such upload: it was ended.
    pub(super) fn is_ended_upload(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    pub(super) fn explain(
        &self,
        what: &str,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> BucketError {
        let Self { status, code } = self;
        let what = if code.is_empty() {
            format!("{what}: the store answers {status}")
        } else {
            format!("{what}: the store answers {status} {code}")
        };
        if self.is_missing_bucket() {
            return BucketError::Missing { what, source: Some(error.into()) };
        }
        match (*status, code.as_str()) {
            // The account or bucket is being moved or removed; it comes back or turns into "missing".
            (_, "ContainerBeingDeleted" | "OperationAborted" | "RequestTimeTooSkewed" | "RequestTimeout") => {
                BucketError::passing_from(what, error)
            }
            (401 | 403, _)
            | (_, "ExpiredToken" | "InvalidToken" | "SecurityTokenExpired" | "InvalidSecurityToken") => {
                BucketError::Denied { what, source: Some(error.into()) }
            }
            (408 | 409 | 425 | 429, _) | (500.., _) => BucketError::passing_from(what, error),
            _ => BucketError::lasting_from(what, error),
        }
    }
}

/// What an error of the object stores' library means.
pub(super) fn explain(verb: &str, name: &str, error: object_store::Error) -> BucketError {
    let what = format!("cannot {verb} `{name}`");
    if let Some(refusal) = refusal(&error) {
        return BucketError::Denied { what: format!("{what}: {refusal}"), source: None };
    }
    match answer(&error) {
        Some(answer) => answer.explain(&what, error),
        None => BucketError::passing_from(format!("{what}: the store cannot be reached"), error),
    }
}

/// The refusal among the causes of an error.
pub(super) fn refusal<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Finds the store's answer among the causes of an error; nothing if the store has not answered.
pub(super) fn answer(error: &(dyn StdError + 'static)) -> Option<Answer> {
    // The library keeps its type for answers to itself. This text is its whole message: the status and the body,
    // without the object's name, which others could choose so as to mislead us.
    causes(error).find_map(|cause| parse_answer(&cause.to_string()))
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn parse_answer(message: &str) -> Option<Answer> {
    parse_of_batch(message).or_else(|| parse_of_request(message))
}

/// One of many deletions in one request, whose answer has a code alone, at the end of the message.
fn parse_of_batch(message: &str) -> Option<Answer> {
    let starts = ["Bulk delete request failed", "DeleteObjects request failed"];
    starts.iter().find(|start| message.starts_with(*start))?;
    let code = message.rsplit_once("(code: ")?.1.trim_end_matches(')');
    match code.parse() {
        Ok(status) => Some(Answer { status, code: String::new() }),
        Err(_) => {
            let status = if code == "AccessDenied" { 403 } else { 500 };
            Some(Answer { status, code: code.to_owned() })
        }
    }
}

fn parse_of_request(message: &str) -> Option<Answer> {
    let behind = ["Server returned non-2xx status code: ", "Server returned error response: "]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    Some(Answer { status: digits.parse().unwrap_or(500), code: element(behind, "Code") })
}

/// The text of the first element of that name; empty if there is none.
pub(super) fn element(xml: &str, name: &str) -> String {
    let inner =
        xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inner.map_or("", |(text, _)| text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(status: u16, code: &str) -> BucketError {
        Answer { status, code: code.to_owned() }.explain("cannot", "test")
    }

    #[test]
    fn only_the_store_itself_says_that_a_bucket_is_missing() {
        assert!(explained(404, "NoSuchBucket").is_missing());
        assert!(explained(404, "ContainerNotFound").is_missing());
        for (status, code) in [(404, ""), (404, "NoSuchKey"), (503, ""), (301, "PermanentRedirect")] {
            assert!(matches!(explained(status, code), BucketError::Other { .. }), "{status} {code}");
        }
    }

    #[test]
    fn denied_is_what_a_person_must_grant() {
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (401, ""),
            (400, "ExpiredToken"),
            (403, "AuthorizationFailure"),
        ] {
            assert!(explained(status, code).is_denied(), "{status} {code}");
        }
        assert!(!explained(403, "RequestTimeTooSkewed").is_denied(), "a clock passes");
    }

    #[test]
    fn what_may_pass_is_retried() {
        for (status, retry) in
            [(500, true), (503, true), (429, true), (409, true), (400, false), (404, false)]
        {
            assert!(
                matches!(explained(status, ""), BucketError::Other { retryable, .. } if retryable == retry),
                "{status}"
            );
        }
    }

    #[test]
    fn an_answer_is_read_from_its_message_alone() {
        let message =
            "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>";
        let answer = parse_answer(message).unwrap();
        assert_eq!(answer, Answer { status: 404, code: "NoSuchBucket".to_owned() });
        let message = "DeleteObjects request failed for key a: (code: 404) (code: AccessDenied)";
        assert_eq!(parse_answer(message).unwrap().status, 403);
        let message = "Bulk delete request failed for key a: gone (code: 404)";
        assert_eq!(parse_answer(message).unwrap(), Answer { status: 404, code: String::new() });
        assert_eq!(parse_answer(&format!("Object at <Code>x</Code> not found: {message}")), None);
    }
}
