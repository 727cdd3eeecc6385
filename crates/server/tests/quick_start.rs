//! What the official quick start says of a task's objects, to the letter: its destination table, its words about the
//! numbers in names, its mapping of types.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lakeferry_lake::{DecodedObject, read_object};
use lakeferry_model::{Clock, KeyKind, Micros, SystemClock, Value, ValueRef};
use lakeferry_wire::headers;
use lakeferry_wire::proto::{self, DataType, DeliveryTaskType, Message};

use crate::harness::{Answer, Request, TestServer, create_table};
use crate::rows::put;
use crate::tasks::{column, task};

/// "Data was written to Tablestore at 16:03 on August 31, 2020."
const WRITTEN: Micros = 1_598_889_780_000_000;

/// The table: the name of a task, its destination prefix, and the URL of its first object. The bucket is written in
/// the small letters that OSS asks for. Of the third URL the page shows only the beginning, and the fourth ends there
/// with a 0, although the number "starts from 1" in the page's own words.
const DESTINATIONS: [(&str, &str, &str); 4] = [
    ("testTask", "myPrefix", "oss://mybucket/myPrefix/testTask_0_myPrefix__1"),
    (
        "testTaskTimeParitioned",
        "myPrefix/$yyyy/$MM/$dd/$HH/$mm",
        "oss://mybucket/myPrefix/2020/08/31/16/03/testTaskTimeParitioned_0_myPrefix_2020_08_31_16_03__1",
    ),
    (
        "testTaskTimeParitionedHiveNamingStyle",
        "myPrefix/year=$yyyy/month=$MM/day=$dd",
        "oss://mybucket/myPrefix/year=2020/month=08/day=31/\
         testTaskTimeParitionedHiveNamingStyle_0_myPrefix_year=2020_month=08_day=31__1",
    ),
    ("testTaskDs", "ds=$yyyy$MM$dd", "oss://mybucket/ds=20200831/testTaskDs_0_ds=20200831__1"),
];

/// A clock whose time of day stands still, while time passes.
#[derive(Debug)]
struct Standing(Arc<dyn Clock>);

impl Clock for Standing {
    fn now_micros(&self) -> Micros {
        WRITTEN
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// A server on August 31, 2020, at 16:03, with the table `t`.
async fn server() -> TestServer {
    let server = TestServer::start_dev_at(Arc::new(Standing(SystemClock::shared()))).await;
    let table = create_table("t", &[("pk", KeyKind::Integer)]);
    call(&server, "CreateTable", &table).await.ok::<proto::CreateTableResponse>();
    server
}

/// Sends a request with that day's date.
async fn send(server: &TestServer, request: Request) -> Answer {
    let headers = vec![(headers::DATE, headers::format_date(WRITTEN))];
    server.send(&Request { headers, ..request }).await
}

async fn call(server: &TestServer, operation: &str, message: &impl Message) -> Answer {
    send(server, server.request(operation, message)).await
}

async fn create(server: &TestServer, name: &str, prefix: &str, mode: DeliveryTaskType) {
    let mut request = task("t", name);
    let config = request.task_config.as_mut().unwrap();
    config.oss_prefix = Some(prefix.to_owned());
    config.oss_bucket = Some("mybucket".to_owned());
    config.schema.clear();
    request.task_type = Some(mode.into());
    call(server, "CreateDeliveryTask", &request).await.ok::<proto::CreateDeliveryTaskResponse>();
}

async fn write(server: &TestServer, pk: i64, cells: &[(&str, ValueRef<'_>)]) {
    call(server, "PutRow", &put("t", pk, cells)).await.ok::<proto::PutRowResponse>();
}

async fn deliver_now(server: &TestServer, name: &str) {
    let path = format!("/api/v1/instances/test/tables/t/tasks/{name}/deliver-now");
    let request = Request { method: Method::POST, path, ..server.request("", &proto::ListTableRequest {}) };
    send(server, request).await.ok_json();
}

/// The URLs of all objects in the bucket, once there are so many.
async fn objects(server: &TestServer, count: usize) -> Vec<String> {
    let bucket = server.data.path().join("lake/mybucket");
    let all = async {
        loop {
            let mut found = Vec::new();
            walk(&bucket, "oss://mybucket", &mut found);
            if found.len() >= count {
                found.sort();
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the objects come")
}

/// What lies below a folder, apart from what the service keeps for itself.
fn walk(folder: &Path, url: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let url = format!("{url}/{name}");
        match entry.path().is_dir() {
            true if name == "_lakeferry" => {}
            true => walk(&entry.path(), &url, found),
            false => found.push(url),
        }
    }
}

fn read(server: &TestServer, url: &str) -> DecodedObject {
    let path = url.replace("oss://mybucket", "lake/mybucket");
    read_object(std::fs::read(server.data.path().join(path)).unwrap().into()).unwrap()
}

fn urls() -> Vec<String> {
    let mut urls: Vec<_> = DESTINATIONS.iter().map(|(_, _, url)| (*url).to_owned()).collect();
    urls.sort();
    urls
}

#[tokio::test]
async fn the_first_object_of_each_row_of_the_destination_table_has_its_url_in_full_mode() {
    let server = server().await;
    write(&server, 1, &[]).await;
    for (name, prefix, _) in DESTINATIONS {
        create(&server, name, prefix, DeliveryTaskType::Base).await;
    }
    assert_eq!(objects(&server, 4).await, urls());
}

#[tokio::test]
async fn the_first_object_of_each_row_of_the_destination_table_has_its_url_in_incremental_mode() {
    let server = server().await;
    for (name, prefix, _) in DESTINATIONS {
        create(&server, name, prefix, DeliveryTaskType::Inc).await;
    }
    write(&server, 1, &[]).await;
    for (name, _, _) in DESTINATIONS {
        deliver_now(&server, name).await;
    }
    assert_eq!(objects(&server, 4).await, urls());
}

#[tokio::test]
async fn the_sequence_id_of_a_delivered_file_increases_from_1() {
    let server = server().await;
    let (name, prefix, first) = DESTINATIONS[0];
    create(&server, name, prefix, DeliveryTaskType::Inc).await;
    let mut expected = Vec::new();
    for number in 1..=3 {
        write(&server, i64::from(number), &[]).await;
        deliver_now(&server, name).await;
        expected.push(format!("{}{number}", first.strip_suffix('1').unwrap()));
        assert_eq!(objects(&server, expected.len()).await, expected);
    }
}

#[tokio::test]
async fn data_types_are_mapped_as_the_quick_start_says_in_the_order_of_the_schema() {
    let server = server().await;
    let mut request = task("t", "testTask");
    let config = request.task_config.as_mut().unwrap();
    (config.oss_prefix, config.oss_bucket) = (Some("myPrefix".into()), Some("mybucket".into()));
    config.schema = vec![
        column("text", "text", DataType::Utf8),
        column("flag", "flag", DataType::Bool),
        column("number", "number", DataType::Double),
        column("whole", "whole", DataType::Int64),
        // Of another type than what is written: dirty, and left out.
        column("astray", "astray", DataType::Int64),
        column("pk", "pk", DataType::Int64),
    ];
    call(&server, "CreateDeliveryTask", &request).await.ok::<proto::CreateDeliveryTaskResponse>();
    let cells = [
        ("astray", ValueRef::String("7")),
        ("flag", ValueRef::Boolean(true)),
        ("number", ValueRef::Double(0.5)),
        ("text", ValueRef::String("a")),
        ("whole", ValueRef::Integer(-3)),
    ];
    write(&server, 1, &cells).await;
    deliver_now(&server, "testTask").await;
    let objects = objects(&server, 1).await;
    let object = read(&server, &objects[0]);
    assert_eq!(object.columns, ["text", "flag", "number", "whole", "astray", "pk"]);
    let row = [
        Some(Value::String("a".into())),
        Some(Value::Boolean(true)),
        Some(Value::Double(0.5)),
        Some(Value::Integer(-3)),
        None,
        Some(Value::Integer(1)),
    ];
    assert_eq!(object.rows, [row]);
}
