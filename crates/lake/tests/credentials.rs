//! Who the service is towards a store: keys, the environment, instances, roles; sessions that end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakeferry_lake::bucket::Environment;
use lakeferry_lake::{Bucket, BucketError, BucketLimits, Surroundings};
use lakeferry_model::{Ambient, AssumedRole, BucketEntry, BucketLocation, BucketName, RemoteBucket};

use crate::s3_server::{KEY_ID, KEY_SECRET, S3Server};
use crate::stores::azure::{ACCOUNT_KEY, AzureServer, entry as azure_entry};
use crate::stores::google::{GoogleServer, entry as google_entry};
use crate::stores::oss::{KEY, OssServer, entry as oss_entry};
use crate::stores::sts::StsServer;

const OSS_ROLE: &str = "acs:ram::123456789012:role/lake";
const AWS_ROLE: &str = "arn:aws:iam::123456789012:role/lake";

fn around(variables: &[(&str, String)]) -> Surroundings {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Surroundings {
        limits: BucketLimits { call: Duration::from_secs(5), part_bytes: 5 << 20, ..BucketLimits::default() },
        environment: Environment::of(move |name| variables.get(name).cloned()),
        ..Surroundings::new("unused")
    }
}

fn s3_entry(remote: RemoteBucket) -> BucketEntry {
    let name = BucketName::parse(&remote.bucket).unwrap();
    BucketEntry { name, location: BucketLocation::S3(remote), created_at: 0 }
}

fn s3_remote(server: &S3Server) -> RemoteBucket {
    RemoteBucket {
        endpoint: Some(server.url.clone()),
        region: "us-east-1".to_owned(),
        ..RemoteBucket::named("lake")
    }
}

fn role(arn: &str, sts: &StsServer) -> AssumedRole {
    AssumedRole { sts_endpoint: Some(sts.url()), ..AssumedRole::of_arn(arn) }
}

async fn works(bucket: &Bucket) {
    bucket.probe().await.unwrap();
    bucket.put_new("p/x", Bytes::from_static(b"x")).await.unwrap();
}

/// The error says who refused what, and no secret.
fn is_denied(error: &BucketError, words: &[&str]) {
    let text = error.in_full();
    assert!(error.is_denied(), "{error:?}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    for secret in [KEY.1, KEY_SECRET, ACCOUNT_KEY, "token1", "Signature="] {
        assert!(!text.contains(secret) && !format!("{error:?}").contains(secret), "a secret is told: {text}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_denied_by_every_store() {
    let (oss, azure, google) =
        (OssServer::start().await, AzureServer::start().await, GoogleServer::start().await);
    for shelf in [&oss.shelf, &azure.shelf, &google.shelf] {
        shelf.make("lake");
    }
    let wrong = [oss.entry("lake", "wrong"), azure.entry("lake", "d3Jvbmc="), google.entry("lake", false)];
    for entry in wrong {
        let bucket = Bucket::open_in(&entry, None, &around(&[])).unwrap();
        is_denied(&bucket.probe().await.unwrap_err(), &["cannot list"]);
        is_denied(&bucket.put_new("p/x", Bytes::from_static(b"x")).await.unwrap_err(), &["p/x"]);
        is_denied(&bucket.read("p/x").await.unwrap_err(), &["p/x"]);
        assert!(!format!("{bucket:?}").contains("wrong") && !format!("{entry:?}").contains("wrong"));
    }
}

#[tokio::test]
async fn keys_are_found_in_the_environment() {
    let (oss, s3, azure) = (OssServer::start().await, S3Server::start().await, AzureServer::start().await);
    oss.shelf.make("lake");
    azure.shelf.make("lake");
    s3.make_bucket("lake");
    let from = |remote: RemoteBucket| RemoteBucket { ambient: Some(Ambient::Environment), ..remote };
    let entries = [
        oss_entry(from(oss.remote("lake"))),
        s3_entry(from(s3_remote(&s3))),
        azure_entry(from(azure.remote("lake"))),
    ];
    for entry in &entries {
        let error = Bucket::open_in(entry, None, &around(&[])).unwrap_err();
        is_denied(&error, &["environment has"]);
    }
    let filled = around(&[
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0.to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1.to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", KEY_SECRET.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
    ]);
    for entry in &entries {
        works(&Bucket::open_in(entry, None, &filled).unwrap()).await;
    }
}

#[tokio::test]
async fn an_instance_is_known_by_its_metadata_service() {
    let (oss, s3, azure) = (OssServer::start().await, S3Server::start().await, AzureServer::start().await);
    oss.shelf.make("lake");
    azure.shelf.make("lake");
    s3.make_bucket("lake");
    let (of_oss, of_s3) = (StsServer::start(&oss.keys).await, StsServer::start(&s3.keys).await);
    let of_azure = StsServer::start_for_bearers(&azure.tokens).await;
    let variables = around(&[
        ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", of_oss.url()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", of_s3.url()),
        ("IDENTITY_ENDPOINT", format!("{}/msi", of_azure.url())),
    ]);
    let from = |remote: RemoteBucket| RemoteBucket { ambient: Some(Ambient::Instance), ..remote };
    let (oss_entry, s3_entry) = (oss_entry(from(oss.remote("lake"))), s3_entry(from(s3_remote(&s3))));
    // Without a role, the instance has no credentials to give.
    for entry in [&oss_entry, &s3_entry] {
        let bucket = Bucket::open_in(entry, None, &variables).unwrap();
        is_denied(&bucket.probe().await.unwrap_err(), &["no credentials", "404"]);
    }
    of_oss.state.roles.lock().push("ecs-role".to_owned());
    of_s3.state.roles.lock().push("ec2-role".to_owned());
    for entry in [oss_entry, s3_entry, azure_entry(from(azure.remote("lake")))] {
        works(&Bucket::open_in(&entry, None, &variables).unwrap()).await;
    }
}

#[tokio::test]
async fn a_google_instance_is_known_by_its_metadata_service() {
    let google = GoogleServer::start().await;
    google.shelf.make("lake");
    let metadata = StsServer::start_for_bearers(&google.tokens).await;
    // The library reads the variable itself, so the rest is tried by a process that has it.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "credentials::with_the_variables_of_a_google_instance", "--ignored"])
        .env("GCE_METADATA_HOST", metadata.host())
        .env("TEST_GOOGLE_ENDPOINT", google.remote("lake").endpoint.unwrap())
        .env("HOME", "/nonexistent");
    let child = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(google.shelf.read("lake", "p/x").is_some());
}

#[tokio::test]
#[ignore = "run by the test above, in a process with other variables"]
async fn with_the_variables_of_a_google_instance() {
    let remote = RemoteBucket {
        endpoint: Some(std::env::var("TEST_GOOGLE_ENDPOINT").unwrap()),
        ambient: Some(Ambient::Instance),
        ..RemoteBucket::named("lake")
    };
    works(&Bucket::open_in(&google_entry(remote), None, &around(&[])).unwrap()).await;
}

#[tokio::test]
async fn a_role_is_assumed_by_the_stores_own_sts() {
    let (oss, s3) = (OssServer::start().await, S3Server::start().await);
    oss.shelf.make("lake");
    s3.make_bucket("lake");
    let (of_oss, of_s3) = (StsServer::start(&oss.keys).await, StsServer::start(&s3.keys).await);
    let with = |entry: &BucketEntry, assumed: AssumedRole| {
        let mut remote = entry.location.remote().unwrap().clone();
        remote.assumed = Some(assumed);
        remote
    };
    let oss_entry = oss_entry(with(&oss.entry("lake", KEY.1), role(OSS_ROLE, &of_oss)));
    let s3_entry = s3_entry(with(&s3.entry("lake", KEY_SECRET), role(AWS_ROLE, &of_s3)));
    for (entry, words) in [(&oss_entry, ["403 NoPermission"]), (&s3_entry, ["403 AccessDenied"])] {
        let bucket = Bucket::open_in(entry, None, &around(&[])).unwrap();
        is_denied(&bucket.probe().await.unwrap_err(), &words);
        // The role is made, and the same handle goes on.
        of_oss.state.roles.lock().push(OSS_ROLE.to_owned());
        of_s3.state.roles.lock().push(AWS_ROLE.to_owned());
        works(&bucket).await;
        of_s3.state.roles.lock().clear();
    }
    assert_eq!(
        (*oss.keys.sessions.lock(), *s3.keys.sessions.lock()),
        (1, 1),
        "a session is used as long as it lasts"
    );
}

#[tokio::test]
async fn the_role_of_a_task_is_assumed_for_a_bucket_that_has_nothing_else() {
    let oss = OssServer::start().await;
    oss.shelf.make("lake");
    let sts = StsServer::start(&oss.keys).await;
    sts.state.roles.lock().push(OSS_ROLE.to_owned());
    let entry = oss_entry(oss.remote("lake"));
    assert!(Bucket::open_in(&entry, None, &around(&[])).unwrap_err().is_denied());
    let variables = around(&[
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0.to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1.to_owned()),
    ]);
    works(&Bucket::open_in(&entry, Some(&role(OSS_ROLE, &sts)), &variables).unwrap()).await;
    assert_eq!(*oss.keys.sessions.lock(), 1);
}

#[tokio::test]
async fn sessions_are_renewed_before_they_end_also_in_the_middle_of_an_upload() {
    let large = Bytes::from(vec![7; 33_000_000]);
    let (oss, s3) = (OssServer::start().await, S3Server::start().await);
    oss.shelf.make("lake");
    s3.make_bucket("lake");
    let (of_oss, of_s3) = (StsServer::start(&oss.keys).await, StsServer::start(&s3.keys).await);
    of_oss.state.roles.lock().push(OSS_ROLE.to_owned());
    of_s3.state.roles.lock().push(AWS_ROLE.to_owned());
    // Within the two minutes in which OpenDAL's signer asks anew.
    *of_oss.state.life.lock() = Duration::from_secs(60);
    *of_s3.state.life.lock() = Duration::from_secs(2);
    let assumed = |entry: BucketEntry, assumed| {
        let mut remote = entry.location.remote().unwrap().clone();
        remote.assumed = Some(assumed);
        remote
    };
    let of_oss = oss_entry(assumed(oss.entry("lake", KEY.1), role(OSS_ROLE, &of_oss)));
    let of_s3 = s3_entry(assumed(s3.entry("lake", KEY_SECRET), role(AWS_ROLE, &of_s3)));
    for (entry, keys) in [(&of_oss, &oss.keys), (&of_s3, &s3.keys)] {
        let bucket = Arc::new(Bucket::open_in(entry, None, &around(&[])).unwrap());
        bucket.probe().await.unwrap();
        let before = *keys.sessions.lock();
        // The S3 server holds one part until the session that it began with has ended.
        s3.faults.lock().slow_part = Some((4, Duration::from_millis(2500)));
        bucket.put_new("p/large", large.clone()).await.unwrap();
        assert!(bucket.read("p/large").await.unwrap() == Some(large.clone()));
        assert!(*keys.sessions.lock() > before, "sessions: {before}");
    }
}

#[tokio::test]
async fn an_sts_that_cannot_be_reached_denies_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (oss, s3) = (OssServer::start().await, S3Server::start().await);
    let unreachable = |arn: &str| AssumedRole { sts_endpoint: Some(url.clone()), ..AssumedRole::of_arn(arn) };
    let with = |entry: BucketEntry, arn| {
        let mut remote = entry.location.remote().unwrap().clone();
        remote.assumed = Some(unreachable(arn));
        remote
    };
    let entries = [
        oss_entry(with(oss.entry("lake", KEY.1), OSS_ROLE)),
        s3_entry(with(s3.entry("lake", KEY_SECRET), AWS_ROLE)),
    ];
    for entry in entries {
        let bucket = Bucket::open_in(&entry, None, &around(&[])).unwrap();
        let error = bucket.probe().await.unwrap_err();
        assert!(matches!(error, BucketError::Other { retryable: true, .. }), "{error:?}");
    }
}
