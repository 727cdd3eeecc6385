//! The whole way with a real local bucket and the real engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_delivery::{CreateVia, Delivery, Settings};
use lakeferry_engine::{FjallEngine, FjallSettings};
use lakeferry_lake::{Bucket, Manifest, read_object};
use lakeferry_model::delivery::{Mode, Phase, TaskStatus};
use lakeferry_model::*;
use lakeferry_store::{Store, Table, TableSpec};

use crate::harness::{integers, put, soon, spec, task_name};

struct Home {
    store: Store,
    delivery: Delivery,
    table: Table,
}

/// Opens everything in a directory, as a start of the program does.
async fn open(dir: &Path) -> Home {
    let settings = FjallSettings::default();
    let engine = Arc::new(FjallEngine::open(&dir.join("store"), settings).unwrap());
    let clock = SystemClock::shared();
    let store = Store::open(engine, clock, lakeferry_store::Settings::default(), soon()).await.unwrap();
    let instance = InstanceName::parse("i").unwrap();
    let name = TableName::parse("t").unwrap();
    let table = match store.table(&instance, &name) {
        Ok(table) => table,
        Err(_) => {
            store.create_instance(&instance).await.unwrap();
            let name_of_bucket = BucketName::parse("lake").unwrap();
            let bucket = BucketEntry { name: name_of_bucket, location: BucketLocation::Local, created_at: 0 };
            std::fs::create_dir(dir.join("lake")).unwrap();
            Bucket::create(&bucket, &dir.join("lake")).await.unwrap();
            store.put_bucket(bucket).await.unwrap();
            let key = KeyColumn { name: "id".to_owned(), kind: KeyKind::Integer, auto_increment: false };
            let spec = TableSpec {
                schema: TableSchema { name, primary_key: vec![key], defined_columns: vec![] },
                options: TableOptions::default(),
                throughput: ReservedThroughput::default(),
                stream: None,
                split_points: vec![],
            };
            store.create_table(&instance, spec).await.unwrap()
        }
    };
    let settings = Settings { tick: Duration::from_millis(10), ..Settings::new(dir.join("lake")) };
    let delivery = Delivery::open(store.clone(), settings).await.unwrap();
    store.start_background(Arc::new(delivery.clone()));
    Home { store, delivery, table }
}

impl Home {
    async fn write(&self, ids: impl Iterator<Item = i64>) {
        let changes = ids.map(|id| put(id, vec![("v", Value::Integer(id))])).collect();
        self.table.write(changes, soon()).await.into_iter().for_each(|written| drop(written.unwrap()));
    }

    async fn wait(&self, holds: impl Fn(&TaskStatus) -> bool) {
        let name = task_name("first");
        let reached = async {
            while !holds(&self.delivery.describe(&self.table, &name).unwrap().status) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    }

    async fn close(self) {
        self.delivery.close(soon()).await;
        self.store.close(soon()).await.unwrap();
    }
}

/// Every file of a bucket that a glob over data would meet.
fn data_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            data_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_reach_a_local_directory_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let home = open(dir.path()).await;
    home.write(0..100).await;
    home.delivery.create(&home.table, spec("first", Mode::BaseInc), CreateVia::Wire).await.unwrap();
    home.wait(|status| status.phase == Phase::Incr).await;
    home.write(100..150).await;
    home.delivery.deliver_now(&home.table, &task_name("first")).unwrap();
    home.wait(|status| status.rows_delivered == 150).await;
    let shown = home.delivery.describe(&home.table, &task_name("first")).unwrap().status.sync_point;
    home.close().await;

    let home = open(dir.path()).await;
    let status = home.delivery.describe(&home.table, &task_name("first")).unwrap().status;
    assert_eq!((status.rows_delivered, status.phase), (150, Phase::Incr));
    assert!(status.sync_point >= shown, "{} after {shown}", status.sync_point);
    home.write(150..160).await;
    home.delivery.deliver_now(&home.table, &task_name("first")).unwrap();
    home.wait(|status| status.rows_delivered == 160).await;

    let bucket = dir.path().join("lake/lake");
    let mut files = Vec::new();
    data_files(&bucket.join("p"), &mut files);
    let mut ids: Vec<i64> = Vec::new();
    for file in &files {
        ids.extend(integers(&read_object(std::fs::read(file).unwrap().into()).unwrap(), "id"));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..160).collect::<Vec<_>>());
    // Manifests tell of the same objects.
    let mut manifests = Vec::new();
    data_files(&bucket.join("_lakeferry/manifests"), &mut manifests);
    let told = manifests.iter().map(|file| Manifest::from_bytes(&std::fs::read(file).unwrap()).unwrap());
    let told: Vec<_> = told.flat_map(|manifest| manifest.objects).collect();
    assert_eq!(told.len(), files.len());
    assert_eq!(told.iter().map(|object| object.rows).sum::<u64>(), 160);
    home.wait(|_| bucket.join("_lakeferry/complete").is_dir()).await;
    home.close().await;
}
