//! Calls that succeed: what is sent, and what is made of the answer.

use lakeferry_model::delivery::{Mode, Phase};
use lakeferry_model::{KeyKind, KeyValue, Value, ValueKind, ValueRef};
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::plain_buffer::{RowWriter, encode};
use lakeferry_wire::{capacity, convert, headers, proto};
use prost::Message;
use serde_json::json;

use super::*;
use crate::{
    CreateTable, Delete, Key, Method, Operation, Put, Range, Read, RowWrite, Signature, TableReads,
    TableWrites, TimeRange, Units, Update, encode_batch_write,
};

#[tokio::test]
async fn a_row_is_put_as_the_official_sdk_puts_it() {
    let server = TestServer::playing([put_ok()]).await;
    let row = Put::new(Key::new("pk", "a")).set_at("s", "x", 1_500_000_000_000).only_if_missing();
    let written = client(&server).put_row("t", row).await.unwrap();
    assert_eq!((written.consumed, written.row), (Units { read: 0, write: 1 }, None));

    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/PutRow"));
    let request = proto::PutRowRequest::decode(seen.body.clone()).unwrap();
    let (table, put) = convert::put_row(request).unwrap();
    assert_eq!(table.as_str(), "t");
    assert_eq!(put.change.condition.existence, lakeferry_model::RowExistence::ExpectNotExist);
    assert_eq!(put.change.operation.cells().len(), 1);
}

#[tokio::test]
async fn an_update_says_every_kind_of_change() {
    let mut returned = RowWriter::new();
    returned.start_row();
    returned.key_cell("pk", ValueRef::String("a"));
    returned.cell("n", ValueRef::Integer(5), 9);
    returned.end_row();
    let answer =
        proto::UpdateRowResponse { consumed: capacity::consumed(1, 1), row: Some(returned.finish()) };
    let server = TestServer::playing([ok(&answer)]).await;
    let update = Update::new(Key::new("pk", "a"))
        .set("s", "x")
        .remove_version("o", 1_500_000_000_000)
        .remove("z")
        .increment("n", 2)
        .only_if_exists()
        .returning(["n"]);
    let written = client(&server).update_row("t", update).await.unwrap();
    assert_eq!(written.row.unwrap().integer("n"), Some(5));

    let request = proto::UpdateRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    let (_, update) = convert::update_row(request).unwrap();
    assert_eq!(update.change.operation.cells().len(), 4);
    let returning = lakeferry_model::Returning::AfterModify(vec!["n".to_owned()]);
    assert_eq!(update.change.returning, returning);
}

#[tokio::test]
async fn a_row_is_deleted_by_its_key_alone() {
    let server = TestServer::playing([ok(&proto::DeleteRowResponse::default())]).await;
    client(&server).delete_row("t", Key::new("pk", "a")).await.unwrap();
    let request = proto::DeleteRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    assert_eq!(
        convert::delete_row(request).unwrap().1.change.operation,
        lakeferry_model::RowOperation::Delete
    );
}

#[tokio::test]
async fn a_row_is_read_or_is_not_there() {
    let found = proto::GetRowResponse { row: page(&[7]), ..Default::default() };
    let server = TestServer::playing([ok(&found), ok(&proto::GetRowResponse::default())]).await;
    let client = client(&server);
    let read = Read::default().columns(["n"]).time(TimeRange::At(1));
    let row = client.get_row("t", &Key::new("id", 7), &read).await.unwrap().unwrap();
    assert_eq!(row.key.get("id"), Some(&KeyValue::Integer(7)));
    assert_eq!((row.integer("n"), row.text("n"), row.get("m")), (Some(7), None, None));
    assert_eq!(row.cells[0].value, Value::Integer(7));
    assert_eq!(client.get_row("t", &Key::new("id", 8), &Read::default()).await.unwrap(), None);

    let request = proto::GetRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    let asked = convert::get_row(request).unwrap();
    assert_eq!((asked.options.time_range, asked.options.versions_max), (Some(TimeRange::At(1)), None));
}

#[tokio::test]
async fn calls_share_a_connection() {
    let server = TestServer::playing([put_ok(), put_ok(), put_ok()]).await;
    let client = client(&server);
    for id in 0..3 {
        client.clone().put_row("t", Put::new(Key::new("id", id))).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn requests_can_be_signed_with_a_derived_key() {
    let server = TestServer::playing([put_ok()]).await;
    let mut config = config(&server);
    config.signature = Signature::V4 { region: "cn-hangzhou".to_owned() };
    let client = Client::new(config).unwrap();
    client.put_row("t", Put::new(Key::new("id", 1))).await.unwrap();
    assert_eq!(server.seen()[0].signature_header, headers::SIGNATURE_V4);
}

#[tokio::test]
async fn a_range_is_read_page_by_page() {
    let page_of = |ids: &[i64], next: Option<i64>| {
        ok(&proto::GetRangeResponse {
            rows: page(ids),
            next_start_primary_key: next.map(|id| encode::key([("id", ValueRef::Integer(id))])),
            ..Default::default()
        })
    };
    // The second page is empty although there is a third one, as after a filter.
    let server =
        TestServer::playing([page_of(&[1, 2], Some(3)), page_of(&[], Some(5)), page_of(&[5], None)]).await;
    let mut rows = client(&server).rows("t", Range::all(["id"]).limit(10));
    let mut ids = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        ids.push(row.integer("n").unwrap());
    }
    assert_eq!(ids, [1, 2, 5]);
    let asked: Vec<_> = server
        .seen()
        .into_iter()
        .map(|seen| convert::get_range(proto::GetRangeRequest::decode(seen.body).unwrap()).unwrap())
        .collect();
    assert_eq!(asked.iter().map(|range| range.limit).collect::<Vec<_>>(), [Some(10), Some(8), Some(8)]);
    let start = lakeferry_model::KeyBound::Value(KeyValue::Integer(5));
    assert_eq!(asked[2].start, [("id".into(), start)]);
}

#[tokio::test]
async fn a_range_ends_at_its_limit() {
    let answer = proto::GetRangeResponse {
        rows: page(&[1, 2]),
        next_start_primary_key: Some(encode::key([("id", ValueRef::Integer(3))])),
        ..Default::default()
    };
    let server = TestServer::playing([ok(&answer)]).await;
    let mut rows = client(&server).rows("t", Range::all(["id"]).limit(2));
    let mut count = 0;
    while rows.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, server.seen().len()), (2, 1));
}

#[test]
fn a_range_can_begin_with_a_part_of_the_key_and_go_backward() {
    let range = Range::beginning_with(&Key::new("user", "ann"), ["at"]).backward();
    let read = convert::get_range(range.to_request("t")).unwrap();
    let bound = |last| {
        let ann = lakeferry_model::KeyBound::Value(KeyValue::String("ann".into()));
        vec![("user".into(), ann), ("at".into(), last)]
    };
    assert!(read.backward);
    assert_eq!(read.start, bound(lakeferry_model::KeyBound::InfMax));
    assert_eq!(read.end, bound(lakeferry_model::KeyBound::InfMin));
}

fn batch_answer(rows: &[Result<(), ErrorCode>]) -> Answer {
    let row = |row: &Result<(), ErrorCode>| proto::RowInBatchWriteRowResponse {
        is_ok: row.is_ok(),
        error: row.err().map(|code| proto::Error {
            code: code.as_str().to_owned(),
            message: Some("no".to_owned()),
            access_denied_detail: None,
        }),
        ..Default::default()
    };
    let table = proto::TableInBatchWriteRowResponse {
        table_name: "t".to_owned(),
        rows: rows.iter().map(row).collect(),
    };
    ok(&proto::BatchWriteRowResponse { tables: vec![table] })
}

fn three_rows() -> [TableWrites; 1] {
    let rows: Vec<RowWrite> = vec![
        Put::new(Key::new("id", 1)).into(),
        Update::new(Key::new("id", 2)).set("n", 1).into(),
        Delete::new(Key::new("id", 3)).into(),
    ];
    [TableWrites::new("t", rows)]
}

#[tokio::test]
async fn rows_of_a_batch_that_failed_in_passing_are_sent_again_alone() {
    let busy = Err(ErrorCode::ServerBusy);
    let server = TestServer::playing([batch_answer(&[Ok(()), busy, Ok(())]), batch_answer(&[Ok(())])]).await;
    let outcomes = client(&server).batch_write_row(&three_rows()).await.unwrap();
    assert!(outcomes[0].iter().all(Result::is_ok));
    assert_eq!(outcomes[0].len(), 3);
    let seen = server.seen();
    assert_eq!(seen[0].body, encode_batch_write(&three_rows()));
    let again = proto::BatchWriteRowRequest::decode(seen[1].body.clone()).unwrap();
    let again = convert::batch_write_row(again).unwrap();
    assert_eq!(again.tables[0].rows.len(), 1);
    assert_eq!(again.tables[0].rows[0].change.primary_key.values(), [KeyValue::Integer(2)]);
}

#[tokio::test]
async fn a_batch_with_a_row_that_failed_for_good_is_not_sent_again() {
    let rows = [Ok(()), Err(ErrorCode::ServerBusy), Err(ErrorCode::ConditionCheckFail)];
    let server = TestServer::playing([batch_answer(&rows)]).await;
    let outcomes = client(&server).batch_write_row(&three_rows()).await.unwrap();
    let failed = outcomes[0][2].as_ref().unwrap_err();
    assert_eq!((failed.code(), failed.message.as_str()), (Some(ErrorCode::ConditionCheckFail), "no"));
    assert_eq!(outcomes[0][1].as_ref().unwrap_err().code(), Some(ErrorCode::ServerBusy));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_a_batch_has_written_is_told_although_its_repetition_was_refused() {
    let rows = [Ok(()), Err(ErrorCode::ServerBusy), Ok(())];
    let refused = error(ErrorCode::ParameterInvalid, "no more");
    let server = TestServer::playing([batch_answer(&rows), refused]).await;
    let outcomes = client(&server).batch_write_row(&three_rows()).await.unwrap();
    assert_eq!(outcomes[0].iter().filter(|row| row.is_ok()).count(), 2);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn rows_of_several_tables_are_read_in_request_order() {
    let row =
        |row: Bytes| proto::RowInBatchGetRowResponse { is_ok: true, row: Some(row), ..Default::default() };
    let table = |rows| proto::TableInBatchGetRowResponse { table_name: String::new(), rows };
    let answer = proto::BatchGetRowResponse {
        tables: vec![table(vec![row(page(&[1])), row(Bytes::new())]), table(vec![row(page(&[3]))])],
    };
    let server = TestServer::playing([ok(&answer)]).await;
    let reads = |table: &str, ids: &[i64]| TableReads {
        table: table.to_owned(),
        keys: ids.iter().map(|id| Key::new("id", *id)).collect(),
        read: Read::default(),
    };
    let outcomes = client(&server).batch_get_row(&[reads("t", &[1, 2]), reads("u", &[3])]).await.unwrap();
    let found = |table: usize, row: usize| {
        outcomes[table][row].as_ref().unwrap().as_ref().and_then(|row| row.integer("n"))
    };
    assert_eq!((found(0, 0), found(0, 1), found(1, 0)), (Some(1), None, Some(3)));
}

#[tokio::test]
async fn a_table_is_made_listed_described_and_removed() {
    let create = CreateTable::new("t")
        .key("id", KeyKind::Integer)
        .column("n", ValueKind::Integer)
        .versions_max(3)
        .split_at([10_i64, 20]);
    let schema = lakeferry_model::TableSchema {
        name: lakeferry_model::TableName::parse("t").unwrap(),
        primary_key: vec![lakeferry_model::KeyColumn {
            name: "id".to_owned(),
            kind: KeyKind::Integer,
            auto_increment: false,
        }],
        defined_columns: Vec::new(),
    };
    let described = convert::describe_table(&convert::TableDescription {
        schema: &schema,
        options: &lakeferry_model::TableOptions::default(),
        throughput: lakeferry_model::ReservedThroughput { read: 1, write: 2 },
        throughput_set_at: 0,
        stream: None,
        split_points: &[KeyValue::Integer(10), KeyValue::Integer(20)],
        indexes: &[],
        created_at: 5,
    });
    let names = proto::ListTableResponse { table_names: vec!["t".to_owned()] };
    let empty = || Answer::new(200, Bytes::new());
    let server = TestServer::playing([empty(), ok(&names), ok(&described), empty()]).await;
    let client = client(&server);
    client.create_table(create).await.unwrap();
    assert_eq!(client.list_tables().await.unwrap(), ["t"]);
    let table = client.describe_table("t").await.unwrap();
    assert_eq!((&table.schema, table.created_at, &table.stream), (&schema, Some(5), &None));
    assert_eq!(table.split_points, [KeyValue::Integer(10), KeyValue::Integer(20)]);
    client.delete_table("t").await.unwrap();

    let seen = server.seen();
    let made = proto::CreateTableRequest::decode(seen[0].body.clone()).unwrap();
    let made = convert::create_table(&made).unwrap();
    assert_eq!((made.options.versions_max, made.split_points.len()), (3, 2));
    assert!(seen[1].body.is_empty());
}

#[tokio::test]
async fn a_delivery_task_is_described() {
    let answer = proto::DescribeDeliveryTaskResponse {
        task_config: Some(proto::OssTaskConfig { oss_bucket: Some("lake".to_owned()), ..Default::default() }),
        task_sync_stat: Some(proto::TaskSyncStat {
            task_sync_phase: Some(proto::TaskSyncPhase::Incr.into()),
            current_sync_timestamp: Some(7000),
            ..Default::default()
        }),
        task_type: Some(proto::DeliveryTaskType::BaseInc.into()),
    };
    let list = proto::ListDeliveryTaskResponse {
        tasks: vec![proto::DeliveryTaskInfo { task_name: Some("task".to_owned()), ..Default::default() }],
    };
    let server = TestServer::playing([ok(&answer), ok(&list), Answer::new(200, Bytes::new())]).await;
    let client = client(&server);
    let task = client.describe_delivery_task("t", "task").await.unwrap();
    assert_eq!((task.mode, task.report.phase, task.report.sync_point), (Mode::BaseInc, Phase::Incr, 7));
    assert_eq!(task.config.oss_bucket(), "lake");
    assert_eq!(client.list_delivery_tasks("t").await.unwrap(), [("task".to_owned(), Mode::Base)]);
    client.delete_delivery_task("t", "task").await.unwrap();
}

#[tokio::test]
async fn a_delivery_task_is_updated_with_all_that_the_wire_can_say() {
    let server = TestServer::playing([Answer::new(200, Bytes::new())]).await;
    let spec: lakeferry_model::delivery::TaskSpec = serde_json::from_value(json!({
        "name": "task1",
        "mode": "INC",
        "destination": {
            "bucket": "lake", "endpoint": "e", "role": "r", "prefix": "p/$yyyy", "event_time": null,
            "dirty_prefix": "unfit",
        },
        "schema": { "manual": [{ "source": "a", "target": "b", "kind": "INT64" }] },
    }))
    .unwrap();
    client(&server).update_delivery_task("t", &spec).await.unwrap();
    let seen = server.seen();
    let request = proto::UpdateDeliveryTaskRequest::decode(seen[0].body.clone()).unwrap();
    assert_eq!((request.table(), request.task_name()), ("t", "task1"));
    let config = request.task_config.unwrap();
    assert_eq!((config.oss_prefix(), config.oss_dirty_prefix()), ("p/$yyyy", "unfit"));
    assert_eq!(config.schema[0].oss_column_name(), "b");
}

#[tokio::test]
async fn the_json_api_is_called_with_its_own_methods() {
    let body = json!({"name": "lake"});
    let server = TestServer::playing([
        Answer::new(200, r#"[{"name":"lake"}]"#),
        Answer::new(201, r#"{"name":"lake"}"#),
        Answer::new(204, ""),
        Answer::new(404, r#"{"code":"OTSObjectNotExist","message":"no such role"}"#),
    ])
    .await;
    let client = client(&server);
    let buckets = client.json(Method::GET, "buckets", None).await.unwrap();
    assert_eq!(buckets[0], body);
    assert_eq!(client.json(Method::POST, "/api/v1/buckets", Some(&body)).await.unwrap(), body);
    assert!(client.json(Method::DELETE, "roles/r", None).await.unwrap().is_null());
    let missing = client.json(Method::DELETE, "roles/r", None).await.unwrap_err();
    assert_eq!(missing.code(), Some(ErrorCode::ObjectNotExist));
    let calls: Vec<_> =
        server.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let roles = "DELETE /api/v1/roles/r";
    assert_eq!(calls, ["GET /api/v1/buckets", "POST /api/v1/buckets", roles, roles]);
}

#[tokio::test]
async fn a_body_that_was_encoded_before_is_sent_as_it_is() {
    let server = TestServer::playing([batch_answer(&[Ok(()); 3]), batch_answer(&[Ok(()); 3])]).await;
    let client = client(&server);
    let body = crate::Body::from(encode_batch_write(&three_rows()));
    for _ in 0..2 {
        let answer = client.call_raw(Operation::BatchWriteRow, body.clone()).await.unwrap();
        assert_eq!(proto::BatchWriteRowResponse::decode(answer).unwrap().tables[0].rows.len(), 3);
    }
    let seen = server.seen();
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].body, encode_batch_write(&three_rows()));
}

#[tokio::test]
async fn health_is_asked_for_without_a_key() {
    let server = TestServer::playing([]).await;
    assert!(client(&server).is_healthy().await);
    assert!(server.seen().is_empty());
}
