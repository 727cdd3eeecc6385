//! A bucket of Alibaba Cloud OSS, in OSS's own protocol.
//!
//! Its S3 face answers 501 to conditional writes; here a name that is taken is left alone by
//! `x-oss-forbid-overwrite`. The bucket stands before the host (OSS refuses any other style), requests are signed
//! with V4, and credentials are found by OpenDAL's signer ([`super::oss_identity`]).
//!
//! Large objects are uploaded in parts, as everywhere ([`super::cloud`]).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, RANGE};
use http::{Method, Request, Response, Uri};
use lakeferry_model::{AssumedRole, RemoteBucket};
use object_store::client::HttpResponseBody;
use serde::Deserialize;

use super::answer::Answer;
use super::cloud::{END_MAX, PARTS_MAX};
use super::error::BucketError;
use super::http::{Client, Reply, options, request};
use super::oss_identity::Identity;
use super::surroundings::Surroundings;
use super::uploads::{ListedUploads, encoded};
use super::{BucketLimits, ListedObject, Part, PutMode, PutOutcome, ReadObject, Store, within};

const FORBID_OVERWRITE: &str = "x-oss-forbid-overwrite";

/// A bucket of OSS. Clones share what lies behind.
#[derive(Debug, Clone)]
pub(super) struct OssStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    identity: Identity,
    /// Scheme, bucket and host.
    bucket_url: String,
    limits: BucketLimits,
}

/// A handle on the bucket; `role` is assumed with whatever credentials there are.
pub(super) fn open(
    remote: &RemoteBucket,
    role: Option<&AssumedRole>,
    around: &Surroundings,
) -> Result<OssStore, BucketError> {
    let (bucket_url, region) = address(remote)?;
    let client = Client::new(&options(remote, &around.limits)?)?;
    let identity = Identity::new(remote, role, &region, around)?;
    Ok(OssStore(Arc::new(Shared { client, identity, bucket_url, limits: around.limits })))
}

/// Scheme, bucket and host; and the region, which the host tells if the entry does not.
fn address(remote: &RemoteBucket) -> Result<(String, String), BucketError> {
    let wrong = |text: &str| BucketError::lasting(format!("the entry of bucket `{}` {text}", remote.bucket));
    let endpoint = match (&remote.endpoint, remote.region.as_str()) {
        (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
        (None, "") => return Err(wrong("names neither a region nor an endpoint")),
        (None, region) => format!("https://oss-{region}.aliyuncs.com"),
    };
    let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
    let bare = host.split(':').next().unwrap_or(host);
    if bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok() || host.contains('/') {
        return Err(wrong(
            "has an endpoint that is no host name; OSS takes the bucket before its host alone",
        ));
    }
    let region = match remote.region.as_str() {
        "" => region_of(bare)
            .ok_or_else(|| wrong("names no region to sign for, and its endpoint tells none"))?,
        region => region,
    };
    // An endpoint that names the bucket itself is taken as it is.
    let in_front = format!("{}.", remote.bucket);
    let host = if host.starts_with(&in_front) { host.to_owned() } else { format!("{in_front}{host}") };
    Ok((format!("{scheme}://{host}"), region.to_owned()))
}

/// The region that an endpoint of OSS itself tells: `oss-cn-hangzhou-internal.aliyuncs.com`.
fn region_of(host: &str) -> Option<&str> {
    let label = host.strip_suffix(".aliyuncs.com")?.rsplit('.').next()?;
    let region = label.strip_prefix("oss-")?;
    Some(region.strip_suffix("-internal").unwrap_or(region))
}

/// What a call asks for.
struct Call<'c> {
    method: Method,
    /// Of an object; empty for the bucket itself.
    name: &'c str,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl<'c> Call<'c> {
    fn new(method: Method, name: &'c str) -> Self {
        Self { method, name, query: String::new(), headers: Vec::new(), body: Bytes::new() }
    }

    fn query(self, query: String) -> Self {
        Self { query, ..self }
    }

    fn body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// For a put that must not replace anything.
    fn mode(self, mode: PutMode) -> Self {
        match mode {
            PutMode::Create => self.header(FORBID_OVERWRITE, "true"),
            PutMode::Replace => self,
        }
    }
}

impl OssStore {
    async fn begin(&self, verb: &str, call: Call<'_>) -> Result<Response<HttpResponseBody>, BucketError> {
        let what = format!("cannot {verb} `{}`", call.name);
        let signed = self.signed(&what, call).await?;
        let begun = self.0.client.begin(request(signed)).await;
        begun
            .map_err(|error| BucketError::passing_from(format!("{what}: the store cannot be reached"), error))
    }

    async fn signed(&self, what: &str, call: Call<'_>) -> Result<Request<Bytes>, BucketError> {
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let uri = format!("{}/{}{query}", self.0.bucket_url, encoded(call.name, true));
        let unusable =
            |error: http::Error| BucketError::lasting_from(format!("{what}: no request can be made"), error);
        let uri: Uri = uri.parse().map_err(|error: http::uri::InvalidUri| unusable(error.into()))?;
        // Signed with the others: no signature then fits another host.
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let mut building = Request::builder().method(call.method.clone()).uri(uri).header(HOST, host);
        if call.method != Method::GET && call.method != Method::DELETE {
            building = building.header(CONTENT_LENGTH, call.body.len());
        }
        for (name, value) in call.headers {
            building = building.header(name, value);
        }
        let (mut parts, body) = building.body(call.body).map_err(unusable)?.into_parts();
        self.0.identity.sign(&mut parts).await.map_err(|error| error.while_it(what))?;
        Ok(Request::from_parts(parts, body))
    }

    async fn send(
        &self,
        verb: &str,
        call: Call<'_>,
    ) -> Result<Result<Reply, (Answer, BucketError)>, BucketError> {
        let what = format!("cannot {verb} `{}`", call.name);
        let (parts, body) = self.begin(verb, call).await?.into_parts();
        let body = body.bytes().await.map_err(|error| {
            BucketError::passing_from(format!("{what}: the store's answer broke off"), error)
        })?;
        let reply = Reply { status: parts.status, headers: parts.headers, body };
        let answer = Answer::of(reply.status.as_u16(), &reply.body);
        // The end of an upload may be answered with success and an error in its body.
        if reply.status.is_success() && answer.code.is_empty() {
            return Ok(Ok(reply));
        }
        let error = answer.explain(&what, reply.to_string());
        Ok(Err((answer, error)))
    }

    async fn expect(&self, verb: &str, call: Call<'_>) -> Result<Reply, BucketError> {
        self.send(verb, call).await?.map_err(|(_, error)| error)
    }

    async fn put_whole(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        let call = Call::new(Method::PUT, name).body(bytes).mode(mode);
        outcome(self.send("write", call).await?)
    }

    async fn put_parts(&self, name: &str, bytes: &Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        self.end_uploads(name).await?;
        let call = Call::new(Method::POST, name).query("uploads=".to_owned()).mode(mode);
        let begun = match self.send("write", call).await? {
            Ok(reply) => reply,
            Err(refused) => return outcome::<Reply>(Err(refused)),
        };
        let mut upload = Upload::new(self.clone(), name, &begun)?;
        let put = upload.finish(bytes, mode).await;
        if matches!(put, Ok(PutOutcome::Created)) {
            upload.is_over = true
        } else {
            upload.end().await
        }
        put
    }
}

fn outcome<T>(sent: Result<T, (Answer, BucketError)>) -> Result<PutOutcome, BucketError> {
    match sent {
        Ok(_) => Ok(PutOutcome::Created),
        Err((answer, _)) if answer.code == "FileAlreadyExists" => Ok(PutOutcome::Exists),
        Err((_, error)) => Err(error),
    }
}

#[async_trait]
impl Store for OssStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        check(name)?;
        if self.0.limits.takes_parts(bytes.len()) {
            self.put_parts(name, &bytes, mode).await
        } else {
            self.put_whole(name, bytes, mode).await
        }
    }

    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        check(name)?;
        let mut call = Call::new(Method::GET, name);
        if let Part::End(bytes) = part {
            call = call.header(RANGE.as_str(), &format!("bytes=-{bytes}"));
        }
        let (parts, body) = within(self.0.limits.call, self.begin("read", call)).await??.into_parts();
        let number = |text: &str| text.parse::<u64>().ok();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let body_bytes = header(CONTENT_LENGTH).and_then(number);
        let limit = self.0.limits.transfer(usize::try_from(body_bytes.unwrap_or(0)).unwrap_or(usize::MAX));
        let cut_off =
            |error| BucketError::passing_from(format!("cannot read `{name}`: the answer broke off"), error);
        let bytes = within(limit, body.bytes()).await?.map_err(cut_off)?;
        if !parts.status.is_success() {
            let answer = Answer::of(parts.status.as_u16(), &bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return if answer.is_absence() {
                Ok(None)
            } else {
                Err(answer.explain(&format!("cannot read `{name}`"), text))
            };
        }
        let whole = header(CONTENT_RANGE).and_then(|range| number(range.rsplit_once('/')?.1));
        let object_bytes = whole.unwrap_or(bytes.len() as u64);
        Ok(Some(ReadObject { bytes, object_bytes }))
    }

    async fn delete(&self, name: &str) -> Result<(), BucketError> {
        check(name)?;
        match self.send("delete", Call::new(Method::DELETE, name)).await? {
            Err((answer, error)) if !answer.is_absence() => Err(error),
            _ => Ok(()),
        }
    }

    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut after = String::new();
        loop {
            let query = format!(
                "{after}encoding-type=url&list-type=2&max-keys=1000&prefix={}",
                encoded(&prefix, false)
            );
            let call = Call::new(Method::GET, "").query(query);
            let reply = within(self.0.limits.call, self.expect("list", call)).await??;
            let page: Page = quick_xml::de::from_reader(&*reply.body).map_err(|error| {
                BucketError::passing_from(format!("the listing of `{folder}` cannot be read"), error)
            })?;
            for object in page.contents {
                show(ListedObject { name: decoded(&object.key), bytes: object.size });
            }
            match page.next_continuation_token {
                Some(token) if page.is_truncated => {
                    after = format!("continuation-token={}&", encoded(&token, false));
                }
                _ => return Ok(()),
            }
        }
    }

    async fn end_uploads(&self, name: &str) -> Result<(), BucketError> {
        let query = format!("prefix={}&uploads=", encoded(name, false));
        let listed = self.expect("list uploads of", Call::new(Method::GET, "").query(query)).await?;
        for id in ListedUploads::of_name(&listed.body, name)? {
            Upload { store: self.clone(), name: name.to_owned(), id, is_over: false }.end().await;
        }
        Ok(())
    }

    /// An upload that was cut off leaves nothing that has a name of its own.
    async fn clean_temporary(&self) -> Result<(), BucketError> {
        Ok(())
    }
}

/// An upload in parts, which is ended if it is let go before it is complete.
struct Upload {
    store: OssStore,
    name: String,
    id: String,
    is_over: bool,
}

impl Upload {
    fn new(store: OssStore, name: &str, begun: &Reply) -> Result<Self, BucketError> {
        let id = super::answer::element(&begun.text(), "UploadId");
        if id.is_empty() {
            return Err(BucketError::passing(format!("cannot write `{name}`: the upload has no id")));
        }
        Ok(Self { store, name: name.to_owned(), id, is_over: false })
    }

    async fn finish(&self, bytes: &Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        let part_bytes = self.store.0.limits.part_bytes;
        let starts = (0..bytes.len()).step_by(part_bytes).zip(1_u32..);
        let parts = starts.map(|(start, number)| {
            let part = bytes.slice(start..bytes.len().min(start + part_bytes));
            async move { Ok::<_, BucketError>((number, self.put_part(number, part).await?)) }
        });
        let mut tags: Vec<(u32, String)> =
            stream::iter(parts).buffer_unordered(PARTS_MAX).try_collect().await?;
        tags.sort_unstable();
        let list = |(number, tag): &(u32, String)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
        };
        let list: String = tags.iter().map(list).collect();
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let call = Call::new(Method::POST, &self.name)
            .query(format!("uploadId={}", encoded(&self.id, false)))
            .header(CONTENT_TYPE.as_str(), "application/xml")
            .body(body.into())
            .mode(mode);
        outcome(self.store.send("write", call).await?)
    }

    /// Answers the part's tag.
    async fn put_part(&self, number: u32, part: Bytes) -> Result<String, BucketError> {
        let query = format!("partNumber={number}&uploadId={}", encoded(&self.id, false));
        let call = Call::new(Method::PUT, &self.name).query(query).body(part);
        let reply = self.store.expect("write", call).await?;
        let tag = reply.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned)
            .ok_or_else(|| BucketError::passing(format!("cannot write `{}`: a part has no tag", self.name)))
    }

    /// Ends the upload, so that its parts are neither kept nor paid for.
    async fn end(&mut self) {
        self.is_over = true;
        let call =
            Call::new(Method::DELETE, &self.name).query(format!("uploadId={}", encoded(&self.id, false)));
        match tokio::time::timeout(END_MAX, self.store.send("end the upload of", call)).await {
            Ok(Ok(Err((answer, error)))) if !answer.is_ended_upload() => {
                tracing::debug!(%error, "an upload could not be ended");
            }
            Ok(Err(error)) => tracing::debug!(%error, "an upload could not be ended"),
            Ok(Ok(_)) => {}
            Err(_) => tracing::debug!("an upload could not be ended in time"),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut left = Self {
            store: self.store.clone(),
            name: std::mem::take(&mut self.name),
            id: std::mem::take(&mut self.id),
            is_over: true,
        };
        // Given up on the way: it ends in the background, within its time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { left.end().await });
        }
    }
}

/// A page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    is_truncated: bool,
    next_continuation_token: Option<String>,
    contents: Vec<Listed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    key: String,
    size: u64,
}

/// Refuses names that are none within a bucket.
fn check(name: &str) -> Result<(), BucketError> {
    let is_name = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_name { Ok(()) } else { Err(BucketError::lasting(format!("`{name}` is no name of an object"))) }
}

/// A name as a listing writes it: percent signs and hexadecimal digits.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = (*first == b'%').then(|| behind.get(..2)).flatten();
        let byte = byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(endpoint: Option<&str>, region: &str) -> RemoteBucket {
        RemoteBucket {
            endpoint: endpoint.map(str::to_owned),
            region: region.to_owned(),
            ..RemoteBucket::named("lake")
        }
    }

    #[test]
    fn the_bucket_stands_before_the_host() {
        for (endpoint, region, url, signed_for) in [
            (None, "cn-hangzhou", "https://lake.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
            (
                Some("oss-cn-beijing-internal.aliyuncs.com"),
                "",
                "https://lake.oss-cn-beijing-internal.aliyuncs.com",
                "cn-beijing",
            ),
            (
                Some("http://oss-us-east-1.aliyuncs.com/"),
                "",
                "http://lake.oss-us-east-1.aliyuncs.com",
                "us-east-1",
            ),
            (Some("https://lake.oss-cn-x.aliyuncs.com"), "", "https://lake.oss-cn-x.aliyuncs.com", "cn-x"),
            (Some("http://localhost:81"), "r", "http://lake.localhost:81", "r"),
        ] {
            let found = address(&remote(endpoint, region)).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), (url, signed_for), "{endpoint:?}");
        }
    }

    #[test]
    fn an_address_that_oss_would_refuse_is_refused_by_name() {
        for (endpoint, region, word) in [
            (None, "", "region"),
            (Some("http://10.0.0.1:80"), "r", "host name"),
            (Some("https://oss.example.com"), "", "region"),
        ] {
            let error = address(&remote(endpoint, region)).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn names_in_listings_are_read_byte_for_byte() {
        assert_eq!(decoded("a/%C3%A9%20b%2B%"), "a/é b+%");
    }
}
