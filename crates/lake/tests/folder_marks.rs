//! Marks of folders on a local disk, where a name is a file or a directory.

use lakeferry_lake::{Bucket, FolderMark};
use lakeferry_model::{BucketEntry, BucketLocation, BucketName, TaskName};

fn mark(folder: &str, rows: u64) -> FolderMark {
    FolderMark {
        task: TaskName::parse("first").unwrap(),
        task_id: 7,
        run: 1,
        folder: folder.to_owned(),
        ends_at_micros: 5,
        complete_up_to_micros: 6,
        complete_up_to: FolderMark::time_text(6),
        rows,
        objects: 1,
        bytes: 10,
        has_success_object: rows == 5,
    }
}

#[tokio::test]
async fn marks_of_folders_within_each_other_lie_side_by_side_and_are_cleared() {
    let lake = tempfile::tempdir().unwrap();
    let name = BucketName::parse("b").unwrap();
    let entry = BucketEntry { name, location: BucketLocation::Local, created_at: 0 };
    Bucket::create(&entry, lake.path()).await.unwrap();
    let bucket = Bucket::open(&entry, lake.path()).unwrap();
    for (folder, rows) in [("p", 1), ("p/2020", 2), ("p/2020/01", 3), ("p/_done", 4), ("p", 5)] {
        mark(folder, rows).publish(&bucket).await.unwrap();
    }
    let read = bucket.read(&mark("p", 0).name()).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<FolderMark>(&read).unwrap(), mark("p", 5), "the newest");
    assert_eq!(bucket.list("_lakeferry/done").await.unwrap().len(), 4);
    assert_eq!(bucket.list("p").await.unwrap().len(), 1);
    let task = TaskName::parse("first").unwrap();
    FolderMark::clear(&bucket, &task, 7, 1).await.unwrap();
    assert_eq!(bucket.list("_lakeferry/done").await.unwrap().len(), 4, "those of the present run stay");
    FolderMark::clear(&bucket, &task, 7, 2).await.unwrap();
    assert!(bucket.list("_lakeferry/done").await.unwrap().is_empty());
    assert!(bucket.list("p").await.unwrap().is_empty());
}
