//! A bucket of an S3-compatible store.
//!
//! What an error means is read from the store's own answer: its status and the code in its XML. An answer that
//! did not come, or that is not from the store, is never taken for "missing" or "denied".

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use lakeferry_model::StoreCredentials;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};

use super::error::BucketError;
use super::{BucketLimits, ListedObject, Part, PutMode, PutOutcome, ReadObject, Store, within};

/// A bucket reached over HTTP.
#[derive(Debug)]
pub(super) struct S3Store {
    store: AmazonS3,
    limits: BucketLimits,
    /// The store has said that it knows no conditional writes.
    lacks_create: AtomicBool,
}

impl S3Store {
    pub(super) fn new(
        bucket: &str,
        endpoint: Option<&str>,
        region: &str,
        credentials: Option<&StoreCredentials>,
        limits: BucketLimits,
    ) -> Result<Self, BucketError> {
        // Without a key the library would ask the network around it for one.
        let Some(credentials) = credentials else {
            return Err(BucketError::denied(format!(
                "the entry of bucket `{bucket}` has no access key, and roles of stores are not assumed yet: \
                 add the bucket with a key"
            )));
        };
        let plain_http = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let client = ClientOptions::new()
            .with_allow_http(plain_http)
            .with_connect_timeout(limits.connect)
            // Every call is bounded from outside, by its size.
            .with_timeout_disabled();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(&credentials.access_key_id)
            .with_secret_access_key(credentials.access_key_secret.reveal())
            .with_virtual_hosted_style_request(false)
            .with_client_options(client)
            .with_retry(brief_retries());
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        let store = builder.build().map_err(|error| {
            BucketError::lasting_from(format!("the entry of bucket `{bucket}` cannot be used"), error)
        })?;
        Ok(Self { store, limits, lacks_create: AtomicBool::new(false) })
    }

    async fn create(&self, path: &ObjectPath, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        if !self.lacks_create.load(Ordering::Relaxed) {
            let mode = object_store::PutMode::Create;
            match self.store.put_opts(path, PutPayload::from(bytes.clone()), mode.into()).await {
                Ok(_) => return Ok(PutOutcome::Created),
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(PutOutcome::Exists),
                Err(error) if answer(&error).is_some_and(|answer| answer.status == 501) => {
                    self.lacks_create.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(explain("write", path, error)),
            }
        }
        // Names are used once by one service, so looking first does where the store cannot.
        match self.store.head(path).await {
            Ok(_) => Ok(PutOutcome::Exists),
            // Also if the bucket is missing: then the put says so.
            Err(object_store::Error::NotFound { .. }) => self.replace(path, bytes).await,
            Err(error) => Err(explain("look for", path, error)),
        }
    }

    async fn replace(&self, path: &ObjectPath, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        let put = self.store.put(path, PutPayload::from(bytes)).await;
        put.map(|_| PutOutcome::Created).map_err(|error| explain("write", path, error))
    }

    async fn read_path(&self, path: &ObjectPath, part: Part) -> Result<Option<ReadObject>, BucketError> {
        let range = match part {
            Part::Whole => None,
            Part::End(bytes) => Some(GetRange::Suffix(bytes)),
        };
        let options = GetOptions { range, ..GetOptions::default() };
        // The first words of the answer tell how much will come, and so how long it may take.
        let result = match within(self.limits.call, self.store.get_opts(path, options)).await? {
            Ok(result) => result,
            Err(error) if answer(&error).is_some_and(|answer| answer.code == "NoSuchKey") => return Ok(None),
            Err(error) => return Err(explain("read", path, error)),
        };
        let object_bytes = result.meta.size;
        let body_bytes = usize::try_from(result.range.end - result.range.start).unwrap_or(usize::MAX);
        let body = within(self.limits.transfer(body_bytes), result.bytes()).await?;
        let bytes = body.map_err(|error| explain("read", path, error))?;
        Ok(Some(ReadObject { bytes, object_bytes }))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        let path = parse(name)?;
        match mode {
            PutMode::Create => self.create(&path, bytes).await,
            PutMode::Replace => self.replace(&path, bytes).await,
        }
    }

    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        self.read_path(&parse(name)?, part).await
    }

    async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let path = parse(name)?;
        match self.store.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) if answer(&error).is_some_and(|answer| answer.code == "NoSuchKey") => Ok(()),
            Err(error) => Err(explain("delete", &path, error)),
        }
    }

    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        let path = parse(folder)?;
        let mut listing = self.store.list((!folder.is_empty()).then_some(&path));
        loop {
            match within(self.limits.call, listing.next()).await? {
                Some(Ok(object)) => {
                    show(ListedObject { name: object.location.to_string(), bytes: object.size });
                }
                Some(Err(error)) => return Err(explain("list", &path, error)),
                None => return Ok(()),
            }
        }
    }

    /// Objects are put in one request, which leaves nothing behind.
    async fn clean_temporary(&self) -> Result<(), BucketError> {
        Ok(())
    }
}

/// The delivery loop decides on retries; these only smooth over a connection that was cut.
fn brief_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(3),
    }
}

fn parse(name: &str) -> Result<ObjectPath, BucketError> {
    ObjectPath::parse(name)
        .map_err(|error| BucketError::lasting_from(format!("`{name}` is no name of an object"), error))
}

fn explain(verb: &str, path: &ObjectPath, error: object_store::Error) -> BucketError {
    let what = format!("cannot {verb} `{path}`");
    match answer(&error) {
        Some(answer) => answer.explain(&what, error),
        None => BucketError::passing_from(format!("{what}: the store cannot be reached"), error),
    }
}

/// What a store answered to a request that failed.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// The code in the answer's XML; empty if there is none.
    code: String,
}

impl Answer {
    fn explain(&self, what: &str, error: object_store::Error) -> BucketError {
        let Self { status, code } = self;
        let what = if code.is_empty() {
            format!("{what}: the store answers {status}")
        } else {
            format!("{what}: the store answers {status} {code}")
        };
        match (*status, code.as_str()) {
            (_, "NoSuchBucket") => BucketError::Missing { what, source: Some(error.into()) },
            (401 | 403, _) | (_, "ExpiredToken" | "InvalidToken") => {
                BucketError::Denied { what, source: Some(error.into()) }
            }
            (408 | 409 | 425 | 429, _) | (500.., _) => BucketError::passing_from(what, error),
            _ => BucketError::lasting_from(what, error),
        }
    }
}

/// Finds the store's answer among the causes of an error; nothing if the store has not answered.
fn answer(error: &object_store::Error) -> Option<Answer> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        // The library keeps its type for answers to itself. This text is its whole message: the status and
        // the body, without the object's name, which others could choose so as to mislead us.
        if let Some(found) = parse_answer(&cause.to_string()) {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

fn parse_answer(message: &str) -> Option<Answer> {
    let behind = ["Server returned non-2xx status code: ", "Server returned error response: "]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    let code = behind.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map_or("", |(code, _)| code).trim().to_owned();
    Some(Answer { status: digits.parse().unwrap_or(500), code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(status: u16, code: &str) -> BucketError {
        let source = object_store::Error::NotSupported { source: "test".into() };
        Answer { status, code: code.to_owned() }.explain("cannot", source)
    }

    #[test]
    fn only_the_store_itself_says_that_a_bucket_is_missing() {
        assert!(explained(404, "NoSuchBucket").is_missing());
        for (status, code) in [(404, ""), (404, "NoSuchKey"), (503, ""), (301, "PermanentRedirect")] {
            assert!(matches!(explained(status, code), BucketError::Other { .. }), "{status} {code}");
        }
    }

    #[test]
    fn denied_is_what_a_person_must_grant() {
        for (status, code) in
            [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (401, ""), (400, "ExpiredToken")]
        {
            assert!(explained(status, code).is_denied(), "{status} {code}");
        }
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
        assert_eq!(parse_answer(&format!("Object at <Code>x</Code> not found: {message}")), None);
    }
}
