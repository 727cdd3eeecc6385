//! Uploads in parts that nobody has ended: a crash leaves them, unseen and paid for.
//!
//! Only those of one name are looked for, which a task is about to use or has given up: names are never used by
//! anybody else, so its uploads are ours.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use object_store::aws::{AmazonS3, AwsAuthorizer, AwsCredentialProvider};
use serde::Deserialize;

use super::answer::{Answer, explain};
use super::error::BucketError;
use super::http::{Client, Reply, request};

/// Finds and ends uploads of an S3-compatible store.
#[derive(Debug, Clone)]
pub(super) struct Uploads(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    client: Client,
    credentials: AwsCredentialProvider,
    region: String,
    /// Scheme, host and the bucket behind it.
    bucket_url: String,
}

/// What a store lists of uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedUploads {
    pub(super) upload: Vec<ListedUpload>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedUpload {
    pub(super) key: String,
    pub(super) upload_id: String,
}

impl ListedUploads {
    /// Reads the store's XML, and answers the ids of uploads of exactly that name.
    pub(super) fn of_name(xml: &[u8], name: &str) -> Result<Vec<String>, BucketError> {
        let listed: Self = quick_xml::de::from_reader(xml).map_err(|error| {
            BucketError::passing_from(format!("the store's uploads of `{name}` cannot be read"), error)
        })?;
        let same = listed.upload.into_iter().filter(|upload| upload.key == name);
        Ok(same.map(|upload| upload.upload_id).collect())
    }
}

impl Uploads {
    pub(super) fn new(client: Client, store: &AmazonS3, region: &str, bucket_url: String) -> Self {
        let credentials = Arc::clone(store.credentials());
        Self(Arc::new(Parts { client, credentials, region: region.to_owned(), bucket_url }))
    }

    /// Ends all uploads of that name.
    pub(super) async fn end(&self, name: &str) -> Result<(), BucketError> {
        let listed =
            self.call(Method::GET, &format!("?prefix={}&uploads=", encoded(name, false)), name).await?;
        if !listed.status.is_success() {
            // Not every store that calls itself compatible lists them; its own rules then clear them away.
            return match listed.status.as_u16() {
                400 | 404 | 405 | 501 if Answer::of(404, &listed.body).code != "NoSuchBucket" => Ok(()),
                status => Err(Answer::of(status, &listed.body)
                    .explain(&format!("cannot list the uploads of `{name}`"), listed.to_string())),
            };
        }
        for id in ListedUploads::of_name(&listed.body, name)? {
            let path = format!("/{}?uploadId={}", encoded(name, true), encoded(&id, false));
            let ended = self.call(Method::DELETE, &path, name).await?;
            let answer = Answer::of(ended.status.as_u16(), &ended.body);
            if !ended.status.is_success() && !answer.is_ended_upload() {
                return Err(answer.explain(&format!("cannot end an upload of `{name}`"), ended.to_string()));
            }
        }
        Ok(())
    }

    async fn call(&self, method: Method, path: &str, name: &str) -> Result<Reply, BucketError> {
        let Parts { client, credentials, region, bucket_url } = &*self.0;
        let refused = |error| explain("look for uploads of", name, error);
        let credential = credentials.get_credential().await.map_err(refused)?;
        let built = Request::builder().method(method).uri(format!("{bucket_url}{path}")).body(Bytes::new());
        let built = built.map_err(|error| {
            BucketError::lasting_from(format!("no request can be made of `{bucket_url}`"), error)
        })?;
        let mut built = request(built);
        AwsAuthorizer::new(&credential, "s3", region).authorize(&mut built, None);
        client
            .send(built)
            .await
            .map_err(|error| BucketError::passing_from(format!("cannot list the uploads of `{name}`"), error))
    }
}

/// A name as it stands in a URL; slashes stay in a path.
pub(super) fn encoded(name: &str, is_path: bool) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("text takes whatever is written to it");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uploads_of_exactly_that_name_are_ended() {
        let xml = b"<ListMultipartUploadsResult><Bucket>b</Bucket>
            <Upload><Key>p/x</Key><UploadId>1</UploadId></Upload>
            <Upload><Key>p/xy</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>";
        assert_eq!(ListedUploads::of_name(xml, "p/x").unwrap(), ["1"]);
        let none = b"<ListMultipartUploadsResult><Bucket>b</Bucket></ListMultipartUploadsResult>";
        assert_eq!(ListedUploads::of_name(none, "p/x").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_name_stands_in_a_url_byte_for_byte() {
        assert_eq!(encoded("a/é =1", true), "a/%C3%A9%20%3D1");
        assert_eq!(encoded("a/b", false), "a%2Fb");
    }
}
