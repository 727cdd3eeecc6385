//! Buckets that are missing, come back, or are made again.

use std::sync::atomic::Ordering;

use lakeferry_delivery::ErrorKind;
use lakeferry_model::delivery::{Mode, Phase, TaskError, TaskSpec};
use lakeferry_model::{
    Ambient, AssumedRole, BucketEntry, BucketLocation, BucketName, RemoteBucket, RoleEntry, RoleName,
};

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
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
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
    // The next look takes the error away.
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
    assert_eq!(process.status(&table, "first").run, 1);
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
    let location = BucketLocation::S3(RemoteBucket::named("remote"));
    add_bucket(&process, "remote", location);
    let mut asked = spec("first", Mode::Base);
    asked.destination.bucket = BucketName::parse("remote").unwrap();
    asked.destination.role = "acs:ram::17:role/carrier".to_owned();
    process.create(&table, asked);
    process.reaches("the error", || process.status(&table, "first").error == TaskError::Unauthorized);
    assert!(process.status(&table, "first").detail.contains("role 'carrier'"));
    let (store, name) = (process.store().clone(), RoleName::parse("carrier").unwrap());
    process
        .run(async move { store.put_role(RoleEntry { name, created_at: START, assumed: None }).await })
        .unwrap();
    process.reaches("INCR", || process.status(&table, "first").phase == Phase::Incr);
    assert_eq!(process.status(&table, "first").error, TaskError::Ok);
}

#[test]
fn a_bucket_that_goes_away_is_seen_while_there_is_nothing_to_write() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    for (name, mode) in [("following", Mode::BaseInc), ("finished", Mode::Base)] {
        process.create(&table, spec(name, mode));
        process.wait_for_rows(&table, name, 1);
        process.reaches("INCR", || process.status(&table, name).phase == Phase::Incr);
    }
    let objects = world.lake.remove("lake").unwrap();
    for name in ["following", "finished"] {
        process.reaches("the error", || process.status(&table, name).error == TaskError::InvalidOssBucket);
        assert!(process.status(&table, name).next_try_at.is_some());
    }
    world.lake.buckets.lock().insert("lake".to_owned(), objects);
    for name in ["following", "finished"] {
        process.reaches("no error", || process.status(&table, name).error == TaskError::Ok);
        assert_eq!(process.status(&table, name).run, 1);
    }
    assert_eq!(world.rows(), [(1, 1), (1, 1)], "one row of each task");
}

#[test]
fn a_bucket_that_may_only_be_read_is_seen_while_there_is_nothing_to_write() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.write(&table, [(1, 1)]);
    process.create(&table, spec("first", Mode::BaseInc));
    process.wait_for_rows(&table, "first", 1);
    world.lake.denied.lock().push("/".to_owned());
    process.reaches("the error", || process.status(&table, "first").error == TaskError::Unauthorized);
    world.lake.denied.lock().clear();
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("both rows", || world.rows() == [(1, 1), (2, 2)]);
}

#[test]
fn a_bucket_made_again_is_seen_while_there_is_nothing_to_write_and_the_detail_says_what_is_lost() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.write(&table, [(1, 2)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    world.lake.remove("lake");
    world.lake.make("lake");
    process.reaches("another run", || process.status(&table, "first").run == 2);
    process.wait_for_rows(&table, "first", 1);
    assert_eq!(world.rows(), [(1, 2)]);
    let detail = process.status(&table, "first").detail;
    assert!(detail.contains("made again") && detail.contains("2 changes"), "{detail}");
}

#[test]
fn a_role_that_is_deleted_is_seen_and_one_that_is_made_again_heals() {
    let world = World::default();
    world.lake.make("remote");
    let process = world.start();
    let table = process.table();
    add_bucket(&process, "remote", BucketLocation::Oss(RemoteBucket::named("remote")));
    let name = RoleName::parse("carrier").unwrap();
    let put = |assumed: Option<AssumedRole>| {
        let (store, role) =
            (process.store().clone(), RoleEntry { name: name.clone(), created_at: START, assumed });
        process.run(async move { store.put_role(role).await }).unwrap();
    };
    let mut asked = spec("first", Mode::Inc);
    asked.destination.bucket = BucketName::parse("remote").unwrap();
    asked.destination.role = "carrier".to_owned();
    process.create(&table, asked);
    let shows = |words: &str| {
        process.reaches(words, || {
            let status = process.status(&table, "first");
            status.error == TaskError::Unauthorized && status.detail.contains(words)
        });
    };
    shows("lakeferry role create carrier");
    put(None);
    // The store's own STS knows ARNs alone.
    shows("lakeferry role create carrier --arn");
    put(Some(AssumedRole::of_arn("acs:ram::17:role/carrier")));
    process.reaches("INCR", || process.status(&table, "first").error == TaskError::Ok);
    let (store, role) = (process.store().clone(), name.clone());
    process.run(async move { store.remove_role(&role).await }).unwrap();
    shows("the role 'carrier' is missing");
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    put(Some(AssumedRole::of_arn("acs:ram::17:role/carrier")));
    process.wait_for_rows(&table, "first", 1);
    process.reaches("no error", || process.status(&table, "first").error == TaskError::Ok);
}

#[test]
fn two_names_of_one_bucket_do_not_let_two_tasks_share_names() {
    let world = World::default();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("other", 1).unwrap());
    let alias = RemoteBucket { ambient: Some(Ambient::Environment), ..RemoteBucket::named("lake") };
    add_bucket(&process, "alias", BucketLocation::S3(alias));
    let into_alias = |name: &str| {
        let mut asked = spec(name, Mode::Inc);
        asked.destination.bucket = BucketName::parse("alias").unwrap();
        asked
    };
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    // Whoever delivers has claimed its names.
    process.wait_for_rows(&table, "first", 1);
    // Nobody has looked into the alias yet: it is found out before anything is written.
    process.create(&other, into_alias("first"));
    process.reaches("the error", || process.status(&other, "first").error == TaskError::InvalidOssBucket);
    let detail = process.status(&other, "first").detail;
    assert!(detail.contains("the same place as bucket 'lake'"), "{detail}");
    process.write(&table, [(3, 3)]);
    process.write(&other, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (3, 3)]);
    process.delete(&other, "first").unwrap();
    // Another name is free, and with it the alias is known.
    process.create(&other, into_alias("second"));
    process.deliver_now(&other, "second");
    process.reaches("INCR", || process.status(&other, "second").error == TaskError::Ok);
    process.reaches("a refusal at once", || {
        let created = process.try_create(&other, into_alias("first")).unwrap();
        let is_refused = created.as_ref().is_err_and(|error| error.kind() == ErrorKind::Exists);
        if !is_refused {
            let _ = process.delete(&other, "first");
        }
        is_refused
    });
    // A restart knows the claims from what is written down.
    process.crash();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("other", 1).unwrap());
    process.reaches("the claims", || process.try_create(&other, into_alias("first")).unwrap().is_err());
    process.delete(&table, "first").unwrap();
    process.create(&other, into_alias("first"));
    process.reaches("INCR", || process.status(&other, "first").phase == Phase::Incr);
}

#[test]
fn what_a_bucket_cannot_do_stands_in_the_detail() {
    let world = World::default();
    world.lake.overwrites.store(true, Ordering::SeqCst);
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    let detail = process.status(&table, "first").detail;
    assert!(detail.contains("does not create without overwriting"), "{detail}");
    let bucket = BucketName::parse("lake").unwrap();
    assert!(!process.delivery().probe_of(&bucket).unwrap().probe.creates);
    world.lake.overwrites.store(false, Ordering::SeqCst);
    let (delivery, name) = (process.delivery().clone(), bucket);
    assert!(process.run(async move { delivery.check_bucket(&name, None).await }).unwrap().creates);
    let (delivery, name) = (process.delivery().clone(), BucketName::parse("absent").unwrap());
    let (code, text) = process.run(async move { delivery.check_bucket(&name, None).await }).unwrap_err();
    assert_eq!(code, TaskError::InvalidOssBucket);
    assert!(text.contains("lakeferry bucket add absent"), "{text}");
}

#[test]
fn a_slow_store_does_not_take_memory_above_its_share() {
    let world = World { memory_bytes: 8 << 20, ..World::default() };
    world.lake.make("slow");
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("other", 1).unwrap());
    add_bucket(&process, "slow", BucketLocation::Local);
    let mut asked = spec("slow-one", Mode::Inc);
    asked.destination.bucket = BucketName::parse("slow").unwrap();
    asked.destination.prefix = "held".to_owned();
    asked.tuning.object_bytes_max = 1 << 20;
    process.create(&table, asked);
    process.create(&other, spec("quick-one", Mode::Inc));
    // Its objects alone: a bucket that cannot be listed would keep the lanes from beginning.
    world.lake.hold("held/slow-one");
    let large = |id: i64| put(id, vec![("v", lakeferry_model::Value::Binary(vec![7; 256 << 10].into()))]);
    for batch in 0..8 {
        process.try_write(&table, (0..4).map(|id| large(batch * 4 + id)).collect()).unwrap();
    }
    process.reaches("an upload that is held", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    // 8 MiB wait for a task that is guaranteed 2: the rest stays in the log.
    process.reaches("the share", || process.delivery().memory_bytes() > 1 << 20);
    for batch in 8..16 {
        process.try_write(&table, (0..4).map(|id| large(batch * 4 + id)).collect()).unwrap();
        assert!(process.delivery().memory_bytes() <= 6 << 20, "{}", process.delivery().memory_bytes());
    }
    // The other task has what it needs meanwhile.
    process.write(&other, [(1, 1)]);
    process.deliver_now(&other, "quick-one");
    process.wait_for_rows(&other, "quick-one", 1);
    world.lake.release();
    process.deliver_now(&table, "slow-one");
    process.wait_for_rows(&table, "slow-one", 64);
}

#[test]
fn closing_does_not_wait_for_a_store_that_hangs() {
    let world = World::default();
    let process = world.start();
    let table = process.table();
    process.create(&table, spec("first", Mode::Inc));
    process.write(&table, [(1, 1)]);
    process.deliver_now(&table, "first");
    process.wait_for_rows(&table, "first", 1);
    world.lake.hold("p/");
    process.write(&table, [(2, 2)]);
    process.deliver_now(&table, "first");
    process.reaches("an upload", || world.lake.held_now.load(Ordering::SeqCst) > 0);
    let delivery = process.delivery().clone();
    let limit = std::time::Duration::from_secs(60);
    // It would take until the upload's own limit, if it waited for the upload.
    process.run(async move {
        let closed = delivery.close(std::time::Instant::now() + limit);
        tokio::time::timeout(limit / 4, closed).await.unwrap();
    });
    process.crash();
    world.lake.release();
    let process = world.start();
    let table = process.table();
    process.wait_for_rows(&table, "first", 2);
    assert_eq!(world.rows(), [(1, 1), (2, 2)]);
}

#[test]
fn a_task_that_is_updated_to_names_of_another_under_an_alias_waits_until_it_is_updated_again() {
    let world = World::default();
    let process = world.start();
    let (table, other) = (process.table(), process.table_named("other", 1).unwrap());
    let alias = RemoteBucket { ambient: Some(Ambient::Environment), ..RemoteBucket::named("lake") };
    add_bucket(&process, "alias", BucketLocation::S3(alias));
    process.create(&table, spec("first", Mode::Inc));
    let mut asked = spec("first", Mode::Inc);
    asked.destination.prefix = "q".to_owned();
    process.create(&other, asked);
    process.write(&table, [(5, 5)]);
    process.deliver_now(&table, "first");
    // Whoever delivers has claimed its names.
    process.wait_for_rows(&table, "first", 1);
    process.reaches("INCR", || process.status(&other, "first").phase == Phase::Incr);
    let to = BucketName::parse("alias").unwrap();
    let change = |prefix: &'static str| {
        let to = to.clone();
        move |spec: &mut TaskSpec| {
            spec.destination.bucket = to;
            spec.destination.prefix = prefix.to_owned();
        }
    };
    process.update(&other, "first", change("p")).unwrap();
    process.reaches("the error", || process.status(&other, "first").error == TaskError::InvalidOssBucket);
    let detail = process.status(&other, "first").detail;
    assert!(detail.contains("update this task to another prefix"), "{detail}");
    process.write(&other, [(1, 1)]);
    process.update(&other, "first", change("r")).unwrap();
    process.reaches("the row", || {
        process.deliver_now(&other, "first");
        process.status(&other, "first").rows_delivered == 1
    });
    assert_eq!(process.status(&other, "first").error, TaskError::Ok);
    assert!(world.names().iter().any(|name| name.starts_with("r/first")), "{:?}", world.names());
    // Now the alias is known, and what it leads to is refused at once.
    assert_eq!(process.update(&other, "first", change("p")).unwrap_err().kind(), ErrorKind::Exists);
}
