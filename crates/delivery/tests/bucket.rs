//! Buckets that are missing, come back, or are made again.

use lakeferry_model::delivery::{Mode, Phase, TaskError};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, RoleEntry, RoleName};

use crate::harness::*;

pub fn add_bucket(process: &Process, name: &str, location: BucketLocation) {
    let entry = BucketEntry { name: BucketName::parse(name).unwrap(), location, created_at: START };
    let store = process.store().clone();
    process.run(async move { store.put_bucket(entry).await }).unwrap();
}

#[test]
fn a_bucket_that_the_table_lacks_is_invalid_until_it_is_made() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    let mut asked = spec("first", Mode::BaseInc);
    asked.destination.bucket = BucketName::parse("other").unwrap();
    process.create(&table, asked);
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    let status = process.status(&table, "first");
    assert!(status.detail.contains("lakeferry bucket create other"), "{}", status.detail);
    process.reaches("FULL", || process.status(&table, "first").phase == Phase::Full);
    add_bucket(&process, "other", BucketLocation::Local);
    // The entry is there, the bucket is not.
    process.reaches("the other error", || !process.status(&table, "first").detail.contains("create other"));
    assert_eq!(process.status(&table, "first").error, TaskError::InvalidOssBucket);
    world.lake.make("other");
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(process.status(&table, "first").error, TaskError::Ok);
    assert_eq!(world.objects_in("other").len(), 1);
}

#[test]
fn a_bucket_that_comes_back_is_delivered_on_into() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    let objects = world.lake.remove("lake").unwrap();
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("the error", || process.status(&table, "first").error == TaskError::InvalidOssBucket);
    assert!(process.status(&table, "first").next_try_at.is_some());
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
    assert_eq!(
        (process.status(&table, "first").run, process.status(&table, "first").error),
        (1, TaskError::Ok)
    );
}

#[test]
fn into_a_bucket_that_was_made_again_everything_is_delivered_again() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::BaseInc));
    process.wait_for_rows(&table, "first", 1);
    world.lake.remove("lake");
    world.lake.make("lake");
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("another run", || process.status(&table, "first").run == 2);
    process.deliver_now(&table, "first");
    process.reaches("both rows", || world.rows() == [(1, 1), (2, 2)]);
    assert!(process.status(&table, "first").detail.contains("made again"));
}

#[test]
fn a_bucket_without_credentials_needs_the_role_that_the_task_names() {
    let world = World::default();
    world.lake.make("remote");
    let process = world.start();
    let table = process.table();
    let location = BucketLocation::S3 {
        bucket: "remote".to_owned(),
        endpoint: None,
        region: "r".to_owned(),
        credentials: None,
    };
    add_bucket(&process, "remote", location);
    let mut asked = spec("first", Mode::Base);
    asked.destination.bucket = BucketName::parse("remote").unwrap();
    asked.destination.role = "acs:ram::17:role/carrier".to_owned();
    process.create(&table, asked);
    process.reaches("the error", || process.status(&table, "first").error == TaskError::Unauthorized);
    assert!(process.status(&table, "first").detail.contains("role 'carrier'"));
    let (store, name) = (process.store().clone(), RoleName::parse("carrier").unwrap());
    process.run(async move { store.put_role(RoleEntry { name, created_at: START }).await }).unwrap();
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(process.status(&table, "first").error, TaskError::Ok);
}
