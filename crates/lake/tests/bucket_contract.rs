//! The contract of buckets: the same functions on every kind of store.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use lakeferry_lake::{Bucket, BucketError, BucketLimits, ObjectEncoder, PutOutcome, Surroundings};
use lakeferry_model::delivery::{Compression, FieldKind};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, ValueRef};

use crate::rows::{META, manual, plain};
use crate::s3_server::{KEY_SECRET, S3Server};
use crate::stores::Shelf;
use crate::stores::azure::{ACCOUNT_KEY, AzureServer};
use crate::stores::google::GoogleServer;
use crate::stores::oss::{KEY, OssServer};

/// Where a suite gets its buckets from.
trait Site {
    /// A handle on the bucket, which need not be there.
    fn open(&self, bucket: &str) -> Bucket;
    /// Makes the bucket, as its operator does.
    fn make(&self, bucket: &str);
    /// Removes the bucket with all that is in it.
    fn remove(&self, bucket: &str);
}

#[tokio::test]
async fn a_local_directory_keeps_the_contract() {
    let lake = tempfile::tempdir().unwrap();
    contract(&LocalSite { lake_dir: lake.path() }).await;
}

#[tokio::test]
async fn an_s3_endpoint_keeps_the_contract() {
    let server = S3Server::start().await;
    contract(&S3Site { server: &server }).await;
}

#[tokio::test]
async fn an_s3_endpoint_without_conditional_writes_keeps_the_contract() {
    let server = S3Server::start_without_creates().await;
    contract(&S3Site { server: &server }).await;
}

#[tokio::test]
async fn oss_keeps_the_contract() {
    let server = OssServer::start().await;
    contract(&ShelfSite { shelf: &server.shelf, entry: &|bucket| server.entry(bucket, KEY.1) }).await;
}

#[tokio::test]
async fn azure_keeps_the_contract() {
    let server = AzureServer::start().await;
    contract(&ShelfSite { shelf: &server.shelf, entry: &|bucket| server.entry(bucket, ACCOUNT_KEY) }).await;
}

#[tokio::test]
async fn google_keeps_the_contract() {
    let server = GoogleServer::start().await;
    contract(&ShelfSite { shelf: &server.shelf, entry: &|bucket| server.entry(bucket, true) }).await;
}

#[tokio::test]
async fn a_store_that_overwrites_keeps_the_contract_once_it_is_probed() {
    let server = OssServer::start().await;
    server.shelf.faults.lock().overwrites = true;
    server.shelf.make("lake");
    let bucket = open(&server.entry("lake", KEY.1));
    let probe = bucket.probe().await.unwrap();
    assert!(!probe.creates && probe.appears_whole && probe.doubt().is_some(), "{probe:?}");
    a_name_that_is_taken_is_left_alone(&bucket).await;
    of_many_who_create_one_name_one_wins(&bucket).await;
}

/// A handle that uploads in parts what is larger than 10 MiB.
pub fn open(entry: &BucketEntry) -> Bucket {
    let limits = BucketLimits { part_bytes: 5 << 20, ..BucketLimits::default() };
    let around = Surroundings { limits, ..Surroundings::new("unused") };
    Bucket::open_in(entry, None, &around).unwrap()
}

async fn contract(site: &impl Site) {
    site.make("lake");
    let bucket = site.open("lake");
    bucket.clean_temporary().await.unwrap();
    an_object_comes_back_whole(&bucket).await;
    a_name_that_is_taken_is_left_alone(&bucket).await;
    of_many_who_create_one_name_one_wins(&bucket).await;
    readers_never_see_a_part(&bucket).await;
    a_missing_name_can_be_deleted(&bucket).await;
    a_listing_is_complete(&bucket).await;
    metadata_is_read_from_the_end(&bucket).await;
    a_probe_leaves_nothing(&bucket).await;
    whether_it_may_be_written_is_told_at_the_cost_of_one_object_at_most(&bucket).await;
    a_bucket_made_again_has_lost_its_identity(site).await;
    every_call_on_a_missing_bucket_says_so(site).await;
}

async fn an_object_comes_back_whole(bucket: &Bucket) {
    for (name, bytes) in [
        ("a", Bytes::from_static(b"1")),
        ("deep/year=2020/month=08/t_0_deep__1.parquet", Bytes::from(vec![7; 12_000_000])),
        ("é 漢+%20&=?#x/[1]*", Bytes::from_static(b"odd")),
    ] {
        assert_eq!(bucket.put_new(name, bytes.clone()).await.unwrap(), PutOutcome::Created, "{name}");
        assert!(bucket.read(name).await.unwrap() == Some(bytes.clone()), "{name}");
        bucket.replace(name, bytes).await.unwrap();
    }
    assert_eq!(bucket.read("absent/x").await.unwrap(), None);
}

async fn a_name_that_is_taken_is_left_alone(bucket: &Bucket) {
    let first = Bytes::from_static(b"first");
    assert_eq!(bucket.put_new("taken/x", first.clone()).await.unwrap(), PutOutcome::Created);
    let again = bucket.put_new("taken/x", Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(again, PutOutcome::Exists);
    assert_eq!(bucket.read("taken/x").await.unwrap(), Some(first));
    bucket.replace("taken/x", Bytes::from_static(b"third")).await.unwrap();
    assert_eq!(bucket.read("taken/x").await.unwrap(), Some(Bytes::from_static(b"third")));
}

async fn of_many_who_create_one_name_one_wins(bucket: &Bucket) {
    // One after the other where the store's own check is not atomic; the outcome must add up all the same.
    let mut created = 0;
    for attempt in 0..8_u8 {
        let outcome = bucket.put_new("race/new/folder/x", Bytes::from(vec![attempt; 10])).await.unwrap();
        created += u32::from(outcome == PutOutcome::Created);
    }
    assert_eq!(created, 1);
    // Of those that are uploaded in parts, too.
    let large = |byte: u8| Bytes::from(vec![byte; 12_000_000]);
    assert_eq!(bucket.put_new("race/large", large(1)).await.unwrap(), PutOutcome::Created);
    assert_eq!(bucket.put_new("race/large", large(2)).await.unwrap(), PutOutcome::Exists);
    assert!(bucket.read("race/large").await.unwrap() == Some(large(1)));
}

async fn readers_never_see_a_part(bucket: &Bucket) {
    let versions = [vec![1_u8; 400_000], vec![2; 900_000]].map(Bytes::from);
    bucket.replace("swap", versions[0].clone()).await.unwrap();
    let writer = {
        let (bucket, versions) = (bucket.clone(), versions.clone());
        tokio::spawn(async move {
            for round in 0..20 {
                bucket.replace("swap", versions[round % 2].clone()).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        // S3 servers may refuse a read whose object is replaced under it; what they serve is whole.
        if let Ok(read) = bucket.read("swap").await {
            assert!(versions.contains(&read.expect("the name is always taken")));
        }
        let listed = bucket.list("").await.unwrap();
        let swap = listed.iter().find(|object| object.name == "swap").unwrap();
        assert!(versions.iter().any(|version| version.len() as u64 == swap.bytes));
    }
    writer.await.unwrap();
}

async fn whether_it_may_be_written_is_told_at_the_cost_of_one_object_at_most(bucket: &Bucket) {
    let objects = async || bucket.list("").await.unwrap().len();
    let before = objects().await;
    for _ in 0..3 {
        bucket.try_writing(Duration::ZERO).await.unwrap();
        assert!(objects().await <= before + 1);
    }
}

async fn a_missing_name_can_be_deleted(bucket: &Bucket) {
    bucket.delete("never/was").await.unwrap();
    bucket.replace("goes", Bytes::from_static(b"x")).await.unwrap();
    bucket.delete("goes").await.unwrap();
    bucket.delete("goes").await.unwrap();
    bucket.delete("goes/below").await.unwrap();
    assert_eq!(bucket.read("goes").await.unwrap(), None);
}

async fn a_listing_is_complete(bucket: &Bucket) {
    let mut expected: Vec<String> =
        (0..40).map(|number| format!("many/{}/{}/x{number}", number % 3, number % 5)).collect();
    let puts = expected.iter().map(|name| bucket.put_new(name, Bytes::from_static(b"12345")));
    for outcome in futures::future::join_all(puts).await {
        assert_eq!(outcome.unwrap(), PutOutcome::Created);
    }
    bucket.replace("many-others/x", Bytes::from_static(b"x")).await.unwrap();
    expected.sort();
    let listed = bucket.list("many").await.unwrap();
    assert!(listed.iter().all(|object| object.bytes == 5));
    assert_eq!(listed.into_iter().map(|object| object.name).collect::<Vec<_>>(), expected);
    assert_eq!(bucket.list("many/0/1").await.unwrap().len(), 3);
    assert_eq!(bucket.list("many/none").await.unwrap(), []);
    let all: Vec<String> = bucket.list("").await.unwrap().into_iter().map(|object| object.name).collect();
    assert!(expected.iter().all(|name| all.contains(name)));
    assert!(all.contains(&"é 漢+%20&=?#x/[1]*".to_owned()));
}

async fn metadata_is_read_from_the_end(bucket: &Bucket) {
    let schema = manual(&[plain("pk", FieldKind::Utf8)]);
    // More metadata than the first read takes.
    for length in [1, 100_000] {
        let metadata = [("task".to_owned(), "t".repeat(length))];
        let mut encoder = ObjectEncoder::new(schema.clone(), Compression::Snappy, &metadata).unwrap();
        for number in 0..50_000 {
            encoder.push(META, &[ValueRef::String(&format!("key {number}"))], []).unwrap();
        }
        bucket.replace("data", encoder.finish().unwrap().bytes).await.unwrap();
        assert_eq!(bucket.metadata("data").await.unwrap().unwrap(), metadata);
    }
    assert_eq!(bucket.metadata("absent").await.unwrap(), None);
    bucket.replace("not-parquet", Bytes::from_static(b"something else")).await.unwrap();
    let error = bucket.metadata("not-parquet").await.unwrap_err();
    assert!(matches!(error, BucketError::Other { retryable: false, .. }), "{error:?}");
}

async fn a_probe_leaves_nothing(bucket: &Bucket) {
    let before = bucket.list("").await.unwrap();
    let probe = bucket.probe().await.unwrap();
    assert!(probe.creates && probe.appears_whole && probe.doubt().is_none(), "{probe:?}");
    assert_eq!(bucket.list("").await.unwrap(), before);
}

async fn a_bucket_made_again_has_lost_its_identity(site: &impl Site) {
    site.make("again");
    let bucket = site.open("again");
    assert_eq!(bucket.identity().await.unwrap(), None);
    let first = bucket.identify(17).await.unwrap();
    assert_eq!(first.created_at, 17);
    assert_eq!(site.open("again").identify(18).await.unwrap(), first);
    assert_eq!(bucket.identity().await.unwrap(), Some(first.clone()));
    site.remove("again");
    site.make("again");
    assert_eq!(bucket.identity().await.unwrap(), None);
    assert_ne!(bucket.identify(19).await.unwrap(), first);
    assert_eq!(bucket.put_new("p/new", Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
}

async fn every_call_on_a_missing_bucket_says_so(site: &impl Site) {
    let bucket = site.open("absent");
    let calls = [
        bucket.put_new("p/x", Bytes::from_static(b"x")).await.map(|_| ()),
        bucket.replace("p/x", Bytes::from_static(b"x")).await,
        bucket.read("p/x").await.map(|_| ()),
        bucket.delete("p/x").await,
        bucket.list("p").await.map(|_| ()),
        bucket.list("").await.map(|_| ()),
        bucket.metadata("p/x").await.map(|_| ()),
        bucket.identity().await.map(|_| ()),
        bucket.identify(1).await.map(|_| ()),
        bucket.probe().await.map(|_| ()),
        bucket.try_writing(Duration::ZERO).await,
        bucket.put_new("p/large", Bytes::from(vec![1; 12_000_000])).await.map(|_| ()),
    ];
    for (at, call) in calls.into_iter().enumerate() {
        assert!(matches!(call, Err(BucketError::Missing { .. })), "call {at}: {call:?}");
    }
    site.make("absent");
    bucket.probe().await.unwrap();
}

struct LocalSite<'a> {
    lake_dir: &'a Path,
}

impl Site for LocalSite<'_> {
    fn open(&self, bucket: &str) -> Bucket {
        let name = BucketName::parse(bucket).unwrap();
        let entry = BucketEntry { name, location: BucketLocation::Local, created_at: 0 };
        Bucket::open(&entry, self.lake_dir).unwrap()
    }

    fn make(&self, bucket: &str) {
        std::fs::create_dir(self.lake_dir.join(bucket)).unwrap();
    }

    fn remove(&self, bucket: &str) {
        std::fs::remove_dir_all(self.lake_dir.join(bucket)).unwrap();
    }
}

struct S3Site<'a> {
    server: &'a S3Server,
}

impl Site for S3Site<'_> {
    fn open(&self, bucket: &str) -> Bucket {
        open(&self.server.entry(bucket, KEY_SECRET))
    }

    fn make(&self, bucket: &str) {
        self.server.make_bucket(bucket);
    }

    fn remove(&self, bucket: &str) {
        std::fs::remove_dir_all(self.server.directory.path().join(bucket)).unwrap();
    }
}

/// A store whose contents lie in memory.
struct ShelfSite<'a> {
    shelf: &'a Shelf,
    entry: &'a (dyn Fn(&str) -> BucketEntry + Sync),
}

impl Site for ShelfSite<'_> {
    fn open(&self, bucket: &str) -> Bucket {
        open(&(self.entry)(bucket))
    }

    fn make(&self, bucket: &str) {
        self.shelf.make(bucket);
    }

    fn remove(&self, bucket: &str) {
        self.shelf.remove(bucket);
    }
}
