//! "Complete up to": the newest mark wins, and older ones go.

use lakeferry_lake::{Bucket, SyncMarks};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, TaskName};

#[tokio::test]
async fn the_newest_mark_wins_and_older_ones_go() {
    let lake = tempfile::tempdir().unwrap();
    let name = BucketName::parse("b").unwrap();
    let entry = BucketEntry { name, location: BucketLocation::Local, created_at: 0 };
    Bucket::create(&entry, lake.path()).await.unwrap();
    let bucket = Bucket::open(&entry, lake.path()).unwrap();
    let marks = SyncMarks::of(&TaskName::parse("first").unwrap(), 7);
    let others = SyncMarks::of(&TaskName::parse("first").unwrap(), 8);
    assert_eq!(marks.newest(&bucket).await.unwrap(), None);

    others.publish(&bucket, 1, 1_000).await.unwrap();
    for at in [900, 10_000, 10_000, 200_000] {
        marks.publish(&bucket, 1, at).await.unwrap();
        assert_eq!(marks.newest(&bucket).await.unwrap(), Some(at));
    }
    assert_eq!(bucket.list("_lakeferry/complete").await.unwrap().len(), 2);
    let name = "_lakeferry/complete/first-7/00000000000000200000.json";
    let mark: serde_json::Value = serde_json::from_slice(&bucket.read(name).await.unwrap().unwrap()).unwrap();
    assert_eq!(mark["complete_up_to"], "1970-01-01T00:00:00.200000Z");

    marks.clear(&bucket).await.unwrap();
    assert_eq!(marks.newest(&bucket).await.unwrap(), None);
    assert_eq!(others.newest(&bucket).await.unwrap(), Some(1_000));
}
