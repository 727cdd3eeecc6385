//! Large objects: an upload appears whole or not at all, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use lakeferry_lake::{Bucket, BucketError, PutOutcome};
use tokio::time::sleep;

use crate::bucket_contract::open;
use crate::s3_server::{KEY_SECRET, S3Server};
use crate::stores::azure::{ACCOUNT_KEY, AzureServer};
use crate::stores::google::GoogleServer;
use crate::stores::oss::{KEY, OssServer};
use crate::stores::{Faults, Shelf};

fn large() -> Bytes {
    (0..17_000_000_u32).map(|number| number.to_le_bytes()[0]).collect::<Vec<_>>().into()
}

/// Waits for what ends in the background.
async fn reaches(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} was not reached");
}

/// The whole of it, over a store whose faults can be set and whose open uploads can be counted.
async fn an_upload_is_whole_or_nothing(
    bucket: &Bucket,
    fault: impl Fn(Faults),
    uploads: impl Fn() -> usize,
    parts: impl Fn() -> usize,
    forgets: bool,
) {
    fault(Faults { refused_part: Some(3), ..Faults::default() });
    let error = bucket.put_new("p/x", large()).await.unwrap_err();
    assert!(error.is_denied(), "{error:?}");
    assert_eq!(bucket.read("p/x").await.unwrap(), None);
    assert_eq!(bucket.list("p").await.unwrap(), []);
    if !forgets {
        assert_eq!(uploads(), 0, "an upload that failed is ended");
    }
    fault(Faults { silent_part: Some(2), ..Faults::default() });
    let before = parts();
    let put = tokio::spawn({
        let bucket = bucket.clone();
        async move { bucket.put_new("p/x", large()).await }
    });
    // From its first part on, the upload is known to whoever is to end it.
    reaches("a part", || parts() > before).await;
    put.abort();
    assert!(put.await.is_err());
    if !forgets {
        reaches("the end of an upload that was given up", || uploads() == 0).await;
    }
    fault(Faults::default());
    assert_eq!(bucket.put_new("p/x", large()).await.unwrap(), PutOutcome::Created);
    assert!(bucket.read("p/x").await.unwrap() == Some(large()));
    assert_eq!(uploads(), 0);
}

/// How to set faults of a shelf, and to count its open uploads and the parts that came to be held.
fn over<'s>(
    shelf: &'s Arc<Shelf>,
) -> (impl Fn(Faults) + 's, impl Fn() -> usize + 's, impl Fn() -> usize + 's) {
    let parts = || shelf.silent_parts.load(Ordering::SeqCst);
    (|faults| *shelf.faults.lock() = faults, || shelf.uploads.lock().len(), parts)
}

#[tokio::test]
async fn an_upload_to_s3_is_whole_or_nothing() {
    let server = S3Server::start().await;
    server.make_bucket("lake");
    let bucket = open(&server.entry("lake", KEY_SECRET));
    let fault = |faults| *server.faults.lock() = faults;
    let (uploads, parts) = (|| server.uploads.lock().len(), || server.parts.load(Ordering::SeqCst));
    an_upload_is_whole_or_nothing(&bucket, fault, uploads, parts, false).await;
}

#[tokio::test]
async fn an_upload_to_oss_is_whole_or_nothing() {
    let server = OssServer::start().await;
    server.shelf.make("lake");
    let (fault, uploads, parts) = over(&server.shelf);
    an_upload_is_whole_or_nothing(&open(&server.entry("lake", KEY.1)), fault, uploads, parts, false).await;
}

#[tokio::test]
async fn an_upload_to_google_is_whole_or_nothing() {
    let server = GoogleServer::start().await;
    server.shelf.make("lake");
    let (fault, uploads, parts) = over(&server.shelf);
    an_upload_is_whole_or_nothing(&open(&server.entry("lake", true)), fault, uploads, parts, false).await;
}

#[tokio::test]
async fn an_upload_to_azure_is_whole_or_nothing() {
    let server = AzureServer::start().await;
    server.shelf.make("lake");
    let (fault, uploads, parts) = over(&server.shelf);
    // Azure forgets blocks that are not committed by itself.
    an_upload_is_whole_or_nothing(&open(&server.entry("lake", ACCOUNT_KEY)), fault, uploads, parts, true)
        .await;
}

#[tokio::test]
async fn an_upload_that_a_crash_has_left_is_ended_before_its_name_is_used_again() {
    let oss = OssServer::start().await;
    oss.shelf.make("lake");
    oss.shelf.begin_upload("lake", "p/x");
    oss.shelf.begin_upload("lake", "p/x and more");
    let bucket = open(&oss.entry("lake", KEY.1));
    bucket.put_new("p/x", large()).await.unwrap();
    let names = || oss.shelf.uploads.lock().values().map(|upload| upload.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(), ["p/x and more"], "another's upload goes on");
    oss.shelf.begin_upload("lake", "p/given up");
    bucket.end_uploads("p/given up").await.unwrap();
    assert_eq!(names(), ["p/x and more"]);

    let s3 = S3Server::start().await;
    s3.make_bucket("lake");
    let bucket = open(&s3.entry("lake", KEY_SECRET));
    *s3.faults.lock() = Faults { silent_part: Some(1), ..Faults::default() };
    let put = {
        let bucket = bucket.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // Ends with its runtime, as in a crash: nothing is ended in the background.
            let put = bucket.put_new("p/x", large());
            runtime.block_on(async { tokio::time::timeout(Duration::from_millis(300), put).await.is_err() })
        })
    };
    reaches("an upload", || !s3.uploads.lock().is_empty()).await;
    assert!(put.join().unwrap());
    *s3.faults.lock() = Faults::default();
    bucket.put_new("p/x", large()).await.unwrap();
    assert!(bucket.read("p/x").await.unwrap() == Some(large()));
    assert!(s3.uploads.lock().is_empty());
}

#[tokio::test]
async fn a_store_that_hangs_in_the_middle_of_an_upload_ends_in_a_time_out() {
    use lakeferry_lake::{BucketLimits, Surroundings};
    let server = OssServer::start().await;
    server.shelf.make("lake");
    server.shelf.faults.lock().silent_part = Some(2);
    let limits = BucketLimits {
        call: Duration::from_millis(200),
        bytes_per_s_min: u32::MAX,
        part_bytes: 5 << 20,
        ..BucketLimits::default()
    };
    let around = Surroundings { limits, ..Surroundings::new("unused") };
    let bucket = Bucket::open_in(&server.entry("lake", KEY.1), None, &around).unwrap();
    let error = bucket.put_new("p/x", large()).await.unwrap_err();
    assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    reaches("the end of the upload", || server.shelf.uploads.lock().is_empty()).await;
}
