//! Tables: made, listed, described, changed and removed.

use lakeferry_model::{DefinedColumn, DefinedKind, KeyKind, KeyValue, ValueKind, ValueRef};
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, create_table};
use crate::rows::{get, put};

async fn describe(server: &TestServer, table: &str) -> proto::DescribeTableResponse {
    let request = proto::DescribeTableRequest { table_name: table.into() };
    server.call("DescribeTable", &request).await.ok()
}

async fn list(server: &TestServer) -> Vec<String> {
    let answer = server.call("ListTable", &proto::ListTableRequest {}).await.ok::<proto::ListTableResponse>();
    let mut names = answer.table_names;
    names.sort();
    names
}

fn update(change: impl FnOnce(&mut proto::UpdateTableRequest)) -> proto::UpdateTableRequest {
    let mut request = proto::UpdateTableRequest { table_name: "t".into(), ..Default::default() };
    change(&mut request);
    request
}

#[tokio::test]
async fn a_described_table_has_every_field_that_some_client_needs() {
    let server = TestServer::start().await;
    let mut request =
        create_table("t", &[("a", KeyKind::String), ("b", KeyKind::Integer), ("c", KeyKind::Binary)]);
    let schema = convert::read_table_meta(&request.table_meta).unwrap();
    let defined = DefinedColumn { name: "d".into(), kind: DefinedKind(ValueKind::Double) };
    let schema = lakeferry_model::TableSchema { defined_columns: vec![defined], ..schema };
    request.table_meta = convert::table_meta(&schema);
    request.table_options = None;
    request.partitions = convert::partition_ranges(&[KeyValue::String("m".into())]);
    request.reserved_throughput.capacity_unit = proto::CapacityUnit { read: Some(1), write: Some(2) };
    server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    let described = describe(&server, "t").await;
    assert_eq!(described.table_meta, request.table_meta);
    assert_eq!(described.table_status, proto::TableStatus::Active as i32);
    let throughput = &described.reserved_throughput_details;
    assert_eq!((throughput.capacity_unit.read, throughput.capacity_unit.write), (Some(1), Some(2)));
    assert!(throughput.last_increase_time > 1_700_000_000);
    assert_eq!(
        described.table_options,
        proto::TableOptions {
            time_to_live: Some(-1),
            max_versions: Some(1),
            deviation_cell_version_in_sec: Some(86_400),
            allow_update: Some(true),
            update_full_row: Some(false),
            ..Default::default()
        }
    );
    assert_eq!(described.stream_details, Some(proto::StreamDetails::default()));
    assert_eq!(described.shard_splits.len(), 1);
    assert_eq!(described.shard_splits[0], request.partitions[1].begin);
    assert!(described.creation_time.unwrap() > 1_700_000_000_000_000);
}

#[tokio::test]
async fn a_table_is_listed_until_it_is_deleted() {
    let server = TestServer::start().await;
    assert!(list(&server).await.is_empty());
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.make_table("u", &[("pk", KeyKind::Integer)]).await;
    assert_eq!(list(&server).await, ["t", "u"]);
    let request = create_table("t", &[("other", KeyKind::String)]);
    let again = server.call("CreateTable", &request).await;
    again.refused(409, "OTSObjectAlreadyExist", "Requested table already exists.");
    assert_eq!(describe(&server, "t").await.table_meta.primary_key[0].name, "pk");

    let request = proto::DeleteTableRequest { table_name: "t".into() };
    let answer = server.call("DeleteTable", &request).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "one client needs an empty body");
    assert_eq!(list(&server).await, ["u"]);
    for operation in ["DeleteTable", "DescribeTable"] {
        let answer = server.call(operation, &request).await;
        answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    }
}

#[tokio::test]
async fn a_table_made_again_is_empty_and_may_have_another_schema() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))])).await.ok::<proto::PutRowResponse>();
    let request = proto::DeleteTableRequest { table_name: "t".into() };
    server.call("DeleteTable", &request).await.ok::<proto::DeleteTableResponse>();
    let gone = server.call("GetRow", &get("t", 1)).await;
    gone.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    server.make_table("t", &[("name", KeyKind::String)]).await;
    assert!(server.scan("t", &["name"]).await.is_empty());
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_answers_everything() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let options = proto::TableOptions { max_versions: Some(5), ..Default::default() };
    let request = update(|request| request.table_options = Some(options));
    let answer = server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    assert_eq!((answer.table_options.max_versions, answer.table_options.time_to_live), (Some(5), Some(-1)));
    assert!(!answer.stream_details.unwrap().enable_stream);

    let columns = vec!["b".to_owned(), "a".to_owned()];
    let spec = proto::StreamSpecification {
        enable_stream: true,
        expiration_time: Some(12),
        columns_to_get: columns.clone(),
    };
    let request = update(|request| request.stream_spec = Some(spec));
    let answer = server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    let stream = answer.stream_details.unwrap();
    assert_eq!(
        (stream.enable_stream, stream.expiration_time, &stream.column_to_get),
        (true, Some(12), &columns)
    );
    assert!(!stream.stream_id().is_empty() && stream.last_enable_time() > 0);
    assert_eq!(answer.table_options.max_versions, Some(5));
    assert_eq!(describe(&server, "t").await.stream_details, Some(stream));

    let off = proto::StreamSpecification {
        enable_stream: false,
        expiration_time: None,
        columns_to_get: Vec::new(),
    };
    let request = update(|request| request.stream_spec = Some(off));
    let answer = server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    assert_eq!(answer.stream_details, Some(proto::StreamDetails::default()));

    let unit = proto::CapacityUnit { read: Some(3), write: None };
    let request = update(|request| {
        request.reserved_throughput = Some(proto::ReservedThroughput { capacity_unit: unit });
    });
    let answer = server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    let unit = answer.reserved_throughput_details.capacity_unit;
    assert_eq!((unit.read, unit.write), (Some(3), Some(0)));
}

#[tokio::test]
async fn an_update_with_update_full_row_is_refused() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let options =
        proto::TableOptions { update_full_row: Some(true), max_versions: Some(9), ..Default::default() };
    let answer = server.call("UpdateTable", &update(|request| request.table_options = Some(options))).await;
    let (code, message) = answer.error();
    assert_eq!(code, "OTSParameterInvalid");
    assert!(message.contains("contain updateFullRow"), "{message}");
    assert_eq!(describe(&server, "t").await.table_options.max_versions, Some(1));
}

#[tokio::test]
async fn a_table_that_cannot_be_as_asked_is_not_made() {
    let server = TestServer::start().await;
    let plain = || create_table("t", &[("pk", KeyKind::Integer), ("id", KeyKind::Integer)]);
    let mut auto = plain();
    auto.table_meta.primary_key[1].option = Some(proto::PrimaryKeyOption::AutoIncrement.into());
    let mut encrypted = plain();
    encrypted.sse_spec = Some(proto::SseSpecification { enable: true, ..Default::default() });
    let mut transactional = plain();
    transactional.enable_local_txn = Some(true);
    for (request, part) in [(auto, "'id'"), (encrypted, "Encryption"), (transactional, "transaction")] {
        let answer = server.call("CreateTable", &request).await;
        let (code, message) = answer.error();
        assert_eq!(code, "OTSUnsupportOperation");
        assert!(message.contains(part), "{message}");
    }
    assert!(list(&server).await.is_empty());
}

#[tokio::test]
async fn an_instance_holds_sixty_four_tables() {
    let server = TestServer::start().await;
    for number in 0..64 {
        server.make_table(&format!("t{number}"), &[("pk", KeyKind::Integer)]).await;
    }
    let answer = server.call("CreateTable", &create_table("one_more", &[("pk", KeyKind::Integer)])).await;
    answer.refused(403, "OTSQuotaExhausted", "Number of tables exceeds the quota:64.");
    assert_eq!(list(&server).await.len(), 64);
}
