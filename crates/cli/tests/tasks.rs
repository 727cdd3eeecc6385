//! Tables and tasks: from rows to objects, with the program's own commands.

use std::path::Path;

use lakeferry_client::{Client, ClientConfig, CreateTable, Key, Put, TableWrites};
use lakeferry_model::{KeyKind, ValueKind};

use crate::program::{Said, Server};

const ROWS: i64 = 250;

struct Shop {
    server: Server,
    data: tempfile::TempDir,
}

impl Shop {
    /// A server with an instance, a bucket and a table of [`ROWS`] orders.
    fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &[]);
        let shop = Self { server, data };
        shop.done("instance create shop");
        shop.done("bucket create lake");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(write_orders(&shop.server.endpoint, shop.data.path()));
        shop
    }

    fn ask(&self, line: &str) -> Said {
        self.server.ask(self.data.path(), &format!("{line} --log error"))
    }

    fn done(&self, line: &str) -> Said {
        let said = self.ask(line);
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        said
    }

    fn objects(&self) -> Vec<String> {
        let mut found: Vec<_> = std::fs::read_dir(self.data.path().join("lake/lake/orders"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        found
    }
}

async fn write_orders(endpoint: &str, data: &Path) {
    let key = std::fs::read_to_string(data.join("operator-key.toml")).unwrap();
    let key: toml::Table = key.parse().unwrap();
    let half = |name: &str| key[name].as_str().unwrap().to_owned();
    let config = ClientConfig::new(endpoint, "shop", half("access_key_id"), half("access_key_secret"));
    let client = Client::new(config).unwrap();
    let table = CreateTable::new("orders").key("id", KeyKind::Integer).column("price", ValueKind::Double);
    client.create_table(table).await.unwrap();
    let rows: Vec<_> = (0..ROWS).map(|id| Put::new(Key::new("id", id)).set("price", 1.5)).collect();
    for batch in rows.chunks(200) {
        let outcomes = client.batch_write_row(&[TableWrites::new("orders", batch.iter().cloned())]).await;
        assert!(outcomes.unwrap().into_iter().flatten().all(|outcome| outcome.is_ok()));
    }
}

#[test]
fn a_table_is_listed_described_and_scanned() {
    let shop = Shop::open();
    assert_eq!(shop.done("table list --instance shop").answer, "orders\n");
    let told = shop.done("table describe orders --instance shop").answer;
    assert!(told.contains("id INTEGER") && told.contains("price DOUBLE"), "{told}");
    let all = shop.done("table scan orders --instance shop").answer;
    assert_eq!(all.lines().count(), 250);
    assert_eq!(all.lines().next(), Some(r#"{"id":0,"price":1.5}"#));
    let some = shop.done("table scan orders --instance shop --backward --limit 2").answer;
    assert_eq!(some, "{\"id\":249,\"price\":1.5}\n{\"id\":248,\"price\":1.5}\n");
    assert_eq!(shop.done("table scan orders --instance shop --column none").answer, "");
}

#[test]
fn a_task_is_made_watched_described_steered_and_deleted() {
    let shop = Shop::open();
    shop.done(
        "task create --instance shop --table orders --name to-lake --bucket lake --prefix orders \
         --object-age 200ms --column id --column price:cost",
    );
    let watched = shop.done("task watch orders to-lake --instance shop --until-delivered").answer;
    assert!(watched.contains("phase INCR") && watched.contains("delivered: 250 rows"), "{watched}");
    let objects = shop.objects();
    assert!(!objects.is_empty() && objects.iter().all(|name| name.ends_with(".parquet")), "{objects:?}");

    let listed = shop.done("task list --instance shop").answer;
    for part in ["to-lake", "BASE_INC", "250", "KiB", "DIRTY", "NEXT TRY", "LAST ERROR"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    let told = shop.done("task describe orders to-lake --instance shop").answer;
    assert!(told.contains("price as cost DOUBLE") && told.contains("$sequence INT64"), "{told}");
    shop.done("task deliver-now orders to-lake --instance shop");

    shop.done("task pause orders to-lake --instance shop");
    assert!(shop.done("task list --instance shop").answer.contains("INCR, paused"));
    shop.done("task resume orders to-lake --instance shop");
    shop.done("task retry-now orders to-lake --instance shop");
    let set = "task set orders to-lake --instance shop";
    let told = shop.done(&format!("{set} --object-age 30s --bytes-per-second 10MiB --lateness 1m")).answer;
    for part in ["cut after 30", "10 MiB a second", "marked 1m"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = shop.done(&format!("{set} --object-age 200ms --bytes-per-second off")).answer;
    assert!(!told.contains("a second"), "{told}");
    assert_eq!(shop.ask(set).code, Some(2), "no setting is named");
    let told = shop.done("task history orders to-lake --instance shop").answer;
    for part in ["made", "paused", "resumed", "object_age_ms_max 30000"] {
        assert!(told.contains(part), "{part} in {told}");
    }

    shop.done("task deliver-again orders to-lake --instance shop");
    let watched = shop.done("task watch orders to-lake --instance shop --until-delivered").answer;
    assert!(watched.contains("delivered: 250 rows"), "{watched}");
    let told = shop.done("task describe orders to-lake --instance shop --json").answer;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"]["run"], 2);

    shop.done("task delete orders to-lake --instance shop");
    assert_eq!(shop.ask("task describe orders to-lake --instance shop").code, Some(1));
    assert!(shop.objects().len() > objects.len(), "what was delivered stays");
}

#[test]
fn a_server_stops_within_twelve_seconds_while_its_store_hangs() {
    let shop = Shop::open();
    // It takes connections, and never answers.
    let store = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", store.local_addr().unwrap());
    shop.done(&format!(
        "bucket add far --url s3://far --store-endpoint {url} --store-key-id a --store-key-secret b"
    ));
    shop.done("task create --instance shop --table orders --name to-far --bucket far --prefix orders");
    let _connection = store.accept().unwrap();
    let asked = std::time::Instant::now();
    let (status, _, notes) = shop.server.end_with("TERM");
    assert!(status.success(), "{notes}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(12), "{:?}: {notes}", asked.elapsed());
}

#[test]
fn a_bucket_is_tried_out_on_demand() {
    let shop = Shop::open();
    assert!(shop.done("bucket check lake").answer.contains("creates without overwriting: yes"));
    assert!(shop.done("bucket list").answer.contains("well"));
    shop.done("bucket add far --url s3://far --store-endpoint http://127.0.0.1:1 --store-key-id a --store-key-secret hush");
    let said = shop.ask("bucket check far");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.notes.contains("cannot be reached") && !said.notes.contains("hush"), "{said:?}");
    shop.done("bucket add roleful --url oss://far --region cn-hangzhou");
    let said = shop.ask("bucket check roleful");
    assert!(said.notes.contains("UNAUTHORIZED") && said.notes.contains("role"), "{said:?}");
    assert!(shop.done("bucket list").answer.contains("the task's role"));
    let said = shop.ask("bucket check nowhere");
    assert_eq!(said.code, Some(1), "{said:?}");
}

#[test]
fn a_task_into_a_bucket_that_is_not_there_says_which_command_makes_it() {
    let shop = Shop::open();
    let made =
        shop.ask("task create --instance shop --table orders --name astray --bucket nowhere --prefix orders");
    assert_eq!(made.code, Some(0), "{made:?}");
    let told = loop {
        let told = shop.done("task describe orders astray --instance shop").answer;
        if !told.contains("INIT") {
            break told;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(told.contains("INVALID_OSS_BUCKET") && told.contains("lakeferry bucket"), "{told}");
}

#[test]
fn a_task_is_updated_and_the_columns_that_it_leaves_out_are_added() {
    let shop = Shop::open();
    shop.done(
        "task create --instance shop --table orders --name to-lake --bucket lake --prefix orders \
         --object-age 200ms --column id",
    );
    shop.done("task watch orders to-lake --instance shop --until-delivered");
    let listed = shop.done("task columns orders to-lake --instance shop").answer;
    assert!(listed.contains("price") && listed.contains("DOUBLE") && listed.contains("250"), "{listed}");
    let added = shop.done("task columns orders to-lake --instance shop --add price").answer;
    assert!(added.contains("delivers price with the next object"), "{added}");
    let told = shop.done("task describe orders to-lake --instance shop").answer;
    assert!(told.contains("price DOUBLE") && told.contains("configuration"), "{told}");
    assert_eq!(shop.done("task columns orders to-lake --instance shop").answer, "");

    shop.done("task update orders to-lake --instance shop --prefix moved --dirty-max 7 --dirty-prefix unfit");
    let told = shop.done("task describe orders to-lake --instance shop --json").answer;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["spec"]["destination"]["prefix"], "moved");
    assert_eq!(told["spec"]["tuning"]["dirty_fields_max"], 7);
    let refused = shop.ask("task update orders to-lake --instance shop --zone Mars");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let nothing = shop.ask("task update orders to-lake --instance shop");
    assert_ne!(nothing.code, Some(0), "{nothing:?}");
}

#[test]
fn a_task_whose_store_is_away_says_so_and_says_once_when_it_tries_again() {
    let shop = Shop::open();
    shop.done(
        "bucket add far --url s3://far --store-endpoint http://127.0.0.1:1 --store-key-id a --store-key-secret b",
    );
    shop.done("task create --instance shop --table orders --name to-far --bucket far --prefix orders");
    let told = loop {
        let told = shop.done("task describe orders to-far --instance shop").answer;
        if told.contains("problem") {
            break told;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(told.contains("cannot be reached"), "{told}");
    assert_eq!(told.matches("next try in").count(), 1, "{told}");
    let listed = shop.done("task list --instance shop").answer;
    assert!(listed.contains("the store cannot be reached"), "{listed}");
}
