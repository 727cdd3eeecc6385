//! What is wrong with a bucket, told apart; and what puts leave on a disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use lakeferry_lake::{Bucket, BucketError, BucketLimits, PutOutcome, Surroundings};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RemoteBucket};
use tokio::net::TcpListener;

use crate::s3_server::{KEY_SECRET, S3Server, entry};

const HASTY: BucketLimits = BucketLimits {
    call: Duration::from_millis(300),
    connect: Duration::from_millis(300),
    bytes_per_s_min: 1024 * 1024,
    part_bytes: 1024 * 1024,
};

fn local(lake_dir: &Path) -> Bucket {
    let name = BucketName::parse("b").unwrap();
    let entry = BucketEntry { name, location: BucketLocation::Local, created_at: 0 };
    Bucket::open(&entry, lake_dir).unwrap()
}

async fn errors_of_every_call(bucket: &Bucket) -> Vec<BucketError> {
    vec![
        bucket.put_new("p/x", Bytes::from_static(b"x")).await.unwrap_err(),
        bucket.replace("p/x", Bytes::from_static(b"x")).await.unwrap_err(),
        bucket.read("p/x").await.unwrap_err(),
        bucket.delete("p/x").await.unwrap_err(),
        bucket.list("p").await.unwrap_err(),
        bucket.identity().await.unwrap_err(),
        bucket.probe().await.unwrap_err(),
        bucket.try_writing(Duration::ZERO).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_wrong_key_is_denied() {
    let server = S3Server::start().await;
    server.make_bucket("lake");
    let bucket = Bucket::open(&server.entry("lake", "wrong"), Path::new("unused")).unwrap();
    for error in errors_of_every_call(&bucket).await {
        assert!(error.is_denied(), "{error:?}");
        assert!(!error.in_full().contains("wrong"), "a secret is told: {}", error.in_full());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_not_missing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let bucket = Bucket::open(&entry(&url, "lake", KEY_SECRET), Path::new("unused")).unwrap();
    for error in errors_of_every_call(&bucket).await {
        assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_store_that_never_answers_ends_in_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let around = Surroundings { limits: HASTY, ..Surroundings::new("unused") };
    let bucket = Bucket::open_in(&entry(&url, "lake", KEY_SECRET), None, &around).unwrap();
    for error in errors_of_every_call(&bucket).await {
        assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_store_that_asks_for_a_role_is_denied_rather_than_looked_for() {
    let mut entry = entry("http://127.0.0.1:1", "lake", KEY_SECRET);
    let endpoint = Some("http://127.0.0.1:1".to_owned());
    entry.location = BucketLocation::S3(RemoteBucket { endpoint, ..RemoteBucket::named("b") });
    assert!(Bucket::open(&entry, Path::new("unused")).unwrap_err().is_denied());
}

#[tokio::test]
async fn a_local_bucket_without_its_parent_is_not_missing() {
    let lake = tempfile::tempdir().unwrap();
    let bucket = local(&lake.path().join("unmounted"));
    for error in errors_of_every_call(&bucket).await {
        assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn temporary_files_lie_apart_and_are_cleaned() {
    let lake = tempfile::tempdir().unwrap();
    fs::create_dir(lake.path().join("b")).unwrap();
    let bucket = local(lake.path());
    bucket.put_new("p/x", Bytes::from_static(b"x")).await.unwrap();
    bucket.put_new("p/x", Bytes::from_static(b"y")).await.unwrap();
    bucket.replace("p/x", Bytes::from_static(b"z")).await.unwrap();
    let temporary = lake.path().join("b/_lakeferry/tmp");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    fs::write(temporary.join("left-over"), b"half").unwrap();
    let names: Vec<_> = bucket.list("").await.unwrap().into_iter().map(|object| object.name).collect();
    assert_eq!(names, ["p/x"]);
    bucket.clean_temporary().await.unwrap();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_somebody_removed_is_made_again() {
    let lake = tempfile::tempdir().unwrap();
    fs::create_dir(lake.path().join("b")).unwrap();
    let bucket = local(lake.path());
    for folder in ["b/p", "b/_lakeferry"] {
        bucket.replace("p/q/x", Bytes::from_static(b"x")).await.unwrap();
        fs::remove_dir_all(lake.path().join(folder)).unwrap();
        bucket.replace("p/q/y", Bytes::from_static(b"y")).await.unwrap();
        assert_eq!(bucket.put_new("p/q/z", Bytes::from_static(b"z")).await.unwrap(), PutOutcome::Created);
        bucket.delete("p/q/z").await.unwrap();
    }
    assert_eq!(fs::read(lake.path().join("b/p/q/y")).unwrap(), b"y");
}

#[tokio::test]
async fn many_who_create_one_local_name_leave_one_whole_object() {
    let lake = tempfile::tempdir().unwrap();
    fs::create_dir(lake.path().join("b")).unwrap();
    let bucket = local(lake.path());
    let puts = (0..32_u8).map(|who| bucket.put_new("new/folder/x", Bytes::from(vec![who; 10_000])));
    let outcomes = futures::future::join_all(puts).await;
    let created = outcomes.iter().filter(|outcome| matches!(outcome, Ok(PutOutcome::Created))).count();
    assert_eq!(created, 1);
    assert!(outcomes.iter().all(Result::is_ok));
    let bytes = bucket.read("new/folder/x").await.unwrap().unwrap();
    assert!(bytes.len() == 10_000 && bytes.iter().all(|byte| *byte == bytes[0]));
}

#[tokio::test]
async fn names_that_leave_the_bucket_are_refused() {
    let lake = tempfile::tempdir().unwrap();
    fs::create_dir(lake.path().join("b")).unwrap();
    fs::write(lake.path().join("secret"), b"s").unwrap();
    let server = S3Server::start().await;
    server.make_bucket("lake");
    let remote = Bucket::open(&server.entry("lake", KEY_SECRET), Path::new("unused")).unwrap();
    for bucket in [local(lake.path()), remote] {
        for name in ["../secret", "a/../../secret", "a//b"] {
            assert!(
                matches!(bucket.read(name).await, Err(BucketError::Other { retryable: false, .. })),
                "{name}"
            );
            assert!(bucket.replace(name, Bytes::from_static(b"x")).await.is_err(), "{name}");
        }
    }
    assert_eq!(fs::read(lake.path().join("secret")).unwrap(), b"s");
}

#[tokio::test]
async fn making_a_local_bucket_twice_is_fine() {
    let lake = tempfile::tempdir().unwrap();
    let name = BucketName::parse("b").unwrap();
    let entry = BucketEntry { name, location: BucketLocation::Local, created_at: 0 };
    Bucket::create(&entry, lake.path()).await.unwrap();
    Bucket::create(&entry, lake.path()).await.unwrap();
    Bucket::open(&entry, lake.path()).unwrap().probe().await.unwrap();
    assert!(Bucket::create(&entry, &lake.path().join("absent")).await.is_err());
}

#[tokio::test]
async fn a_store_with_an_authority_of_its_own_is_trusted_by_its_certificate() {
    let server = S3Server::start_with_tls().await;
    server.make_bucket("lake");
    let entry = server.entry("lake", KEY_SECRET);
    let strange = Bucket::open(&entry, Path::new("unused")).unwrap();
    let error = strange.probe().await.unwrap_err();
    assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    let mut remote = entry.location.remote().unwrap().clone();
    let with = |remote: RemoteBucket| BucketEntry { location: BucketLocation::S3(remote), ..entry.clone() };
    remote.ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/test-only-ca.pem"));
    let trusted = Bucket::open(&with(remote.clone()), Path::new("unused")).unwrap();
    trusted.probe().await.unwrap();
    for (file, word) in [("no/such/file", "no/such/file"), ("Cargo.toml", "there is none")] {
        remote.ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let error = Bucket::open(&with(remote.clone()), Path::new("unused")).unwrap_err();
        assert!(error.in_full().contains(word), "{}", error.in_full());
    }
}
