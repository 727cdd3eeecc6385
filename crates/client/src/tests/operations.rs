//! Every other operation: what is sent, and what is made of the answer.

use lakeferry_model::filter::{ColumnTest, Comparator};
use lakeferry_model::{
    ColumnCondition, ColumnUpdate, IndexKind, KeyBound, KeyValue, StreamSpec, Value, ValueKind, ValueRef,
};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, encode};
use lakeferry_wire::{capacity, convert};

use super::*;
use crate::{
    Action, CreateTable, Delete, Index, Key, Put, Range, Read, RowWrite, SequenceInfo, TableReads,
    TableWrites, Update, UpdateTable,
};

fn empty() -> Answer {
    Answer::new(200, Bytes::new())
}

/// A row with the key `id` and these integers, in a buffer of its own.
fn row(id: i64, cells: &[(&str, i64)]) -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    writer.key_cell("id", ValueRef::Integer(id));
    for (name, value) in cells {
        writer.cell(name, ValueRef::Integer(*value), 1);
    }
    writer.end_row();
    writer.finish()
}

fn key(id: i64) -> Bytes {
    encode::key([("id", ValueRef::Integer(id))])
}

#[tokio::test]
async fn a_wide_row_is_read_in_pieces_and_comes_whole() {
    let piece = |cells, token: &'static [u8]| {
        let next_token = Some(Bytes::from_static(token)).filter(|token| !token.is_empty());
        ok(&proto::GetRowResponse { row: row(1, cells), next_token, ..Default::default() })
    };
    let server =
        TestServer::playing([piece(&[("a", 1)], b"t1"), piece(&[("b", 2)], b"t2"), piece(&[("c", 3)], b"")])
            .await;
    let found = client(&server).get_row("t", &Key::new("id", 1), &Read::default()).await.unwrap().unwrap();
    assert_eq!(found.cells.len(), 3);
    assert_eq!(found.integer("c"), Some(3));
    let tokens: Vec<_> = server
        .seen()
        .into_iter()
        .map(|seen| proto::GetRowRequest::decode(seen.body).unwrap().token)
        .collect();
    assert_eq!(tokens, [None, Some(Bytes::from_static(b"t1")), Some(Bytes::from_static(b"t2"))]);
}

#[tokio::test]
async fn a_token_that_leads_nowhere_ends_the_call() {
    let piece = proto::GetRowResponse {
        row: row(1, &[("a", 1)]),
        next_token: Some(Bytes::from_static(b"t")),
        ..Default::default()
    };
    let server = TestServer::playing([ok(&piece), ok(&piece)]).await;
    let error = client(&server).get_row("t", &Key::new("id", 1), &Read::default()).await.unwrap_err();
    assert!(matches!(error, crate::Error::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_wide_row_at_the_end_of_a_page_goes_on_with_the_next_answer() {
    let mut first = RowWriter::new();
    for (id, name) in [(1, "a"), (2, "a")] {
        first.start_row();
        first.key_cell("id", ValueRef::Integer(id));
        first.cell(name, ValueRef::Integer(id), 1);
        first.end_row();
    }
    let first = proto::GetRangeResponse {
        rows: first.finish(),
        next_start_primary_key: Some(key(2)),
        next_token: Some(Bytes::from_static(b"t")),
        ..Default::default()
    };
    let second = proto::GetRangeResponse {
        rows: row(2, &[("b", 2)]),
        next_start_primary_key: Some(key(3)),
        ..Default::default()
    };
    let server = TestServer::playing([ok(&first), ok(&second)]).await;
    let page = client(&server).get_range("t", &Range::all(["id"])).await.unwrap();
    assert_eq!(page.rows.len(), 2);
    assert_eq!(page.rows[1].cells.len(), 2);
    assert_eq!(page.next, Some(Key::new("id", 3)));
    let again = proto::GetRangeRequest::decode(server.seen()[1].body.clone()).unwrap();
    assert_eq!((again.inclusive_start_primary_key, again.token), (key(2), Some(Bytes::from_static(b"t"))));
}

#[tokio::test]
async fn only_the_wide_row_of_a_batch_is_asked_for_again() {
    let item = |row, token: Option<&'static [u8]>| proto::RowInBatchGetRowResponse {
        is_ok: true,
        row: Some(row),
        next_token: token.map(Bytes::from_static),
        ..Default::default()
    };
    let answer = |rows| {
        let tables = vec![proto::TableInBatchGetRowResponse { table_name: "t".to_owned(), rows }];
        ok(&proto::BatchGetRowResponse { tables })
    };
    let wide = row(2, &[("a", 1)]);
    let server = TestServer::playing([
        answer(vec![item(row(1, &[("a", 9)]), None), item(wide, Some(b"t")), item(Bytes::new(), None)]),
        answer(vec![item(row(2, &[("b", 2)]), None)]),
    ])
    .await;
    let keys = [1, 2, 3].map(|id| Key::new("id", id));
    let reads = [TableReads::new("t", keys, Read::default())];
    let rows = client(&server).batch_get_row(&reads).await.unwrap().remove(0);
    let found: Vec<_> = rows.into_iter().map(|row| row.unwrap().map(|row| row.cells.len())).collect();
    assert_eq!(found, [Some(1), Some(2), None]);
    let again = proto::BatchGetRowRequest::decode(server.seen()[1].body.clone()).unwrap();
    assert_eq!(again.tables[0].primary_key, [key(2)]);
    assert_eq!(again.tables[0].token, [Bytes::from_static(b"t")]);
}

#[tokio::test]
async fn a_read_can_be_bounded_by_column_names() {
    let server = TestServer::playing([ok(&proto::GetRowResponse::default())]).await;
    let read = Read::default().from_column("b").until_column("d");
    client(&server).get_row("t", &Key::new("id", 1), &read).await.unwrap();
    let request = proto::GetRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    assert_eq!((request.start_column(), request.end_column()), ("b", "d"));
}

#[tokio::test]
async fn a_filter_goes_with_every_read_and_a_condition_with_every_write() {
    let condition = || {
        let test = ColumnTest::compare("n", Comparator::Greater, Value::Integer(5));
        ColumnCondition::Not(Box::new(test.into()))
    };
    let batch = proto::BatchGetRowResponse {
        tables: vec![proto::TableInBatchGetRowResponse {
            table_name: "t".to_owned(),
            rows: vec![proto::RowInBatchGetRowResponse { is_ok: true, ..Default::default() }],
        }],
    };
    let server = TestServer::playing([
        ok(&proto::GetRowResponse::default()),
        ok(&proto::GetRangeResponse::default()),
        ok(&batch),
        put_ok(),
    ])
    .await;
    let client = client(&server);
    let read = Read::default().filter(condition());
    client.get_row("t", &Key::new("id", 1), &read).await.unwrap();
    client.get_range("t", &Range::all(["id"]).read(read.clone())).await.unwrap();
    client.batch_get_row(&[TableReads::new("t", [Key::new("id", 1)], read)]).await.unwrap();
    client.put_row("t", Put::new(Key::new("id", 1)).only_if_exists().only_if(condition())).await.unwrap();

    let seen = server.seen();
    let filters = [
        proto::GetRowRequest::decode(seen[0].body.clone()).unwrap().filter,
        proto::GetRangeRequest::decode(seen[1].body.clone()).unwrap().filter,
        proto::BatchGetRowRequest::decode(seen[2].body.clone()).unwrap().tables.remove(0).filter,
    ];
    for filter in filters {
        assert_eq!(convert::filter(&filter.unwrap()), Ok(condition().into()));
    }
    let put = proto::PutRowRequest::decode(seen[3].body.clone()).unwrap().condition;
    assert_eq!(put.row_existence(), proto::RowExistenceExpectation::ExpectExist);
    assert_eq!(convert::column_condition(&put.column_condition.unwrap()), Ok(condition()));
}

#[tokio::test]
async fn a_new_row_may_leave_a_column_of_its_key_to_the_server() {
    let answer = proto::PutRowResponse {
        consumed: capacity::consumed(0, 1),
        row: Some(encode::key([("user", ValueRef::String("ann")), ("number", ValueRef::Integer(17))])),
    };
    let server = TestServer::playing([ok(&answer)]).await;
    let key = Key::new("user", "ann").and_auto_increment("number");
    let put = Put::new(key).set("text", "hello").returning_key();
    let written = client(&server).put_row("notes", put).await.unwrap();
    assert_eq!(written.row.unwrap().key.get("number"), Some(&KeyValue::Integer(17)));
    let request = proto::PutRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    let sent = lakeferry_wire::plain_buffer::decode_row(&request.row).unwrap();
    assert_eq!(sent.key[1], ("number".into(), lakeferry_wire::plain_buffer::WireKeyValue::AutoIncrement));
    assert_eq!(sent.cells.len(), 1);
}

#[tokio::test]
async fn an_atomic_batch_says_so_and_its_rows_are_not_sent_again() {
    let item = |is_ok| proto::RowInBatchWriteRowResponse {
        is_ok,
        error: (!is_ok).then(|| proto::Error {
            code: ErrorCode::ServerBusy.as_str().to_owned(),
            message: Some("no".to_owned()),
            access_denied_detail: None,
        }),
        ..Default::default()
    };
    let table = proto::TableInBatchWriteRowResponse {
        table_name: "t".to_owned(),
        rows: vec![item(true), item(false)],
    };
    let server = TestServer::playing([ok(&proto::BatchWriteRowResponse { tables: vec![table] })]).await;
    let rows: [RowWrite; 2] =
        [Put::new(Key::new("id", 1)).into(), Delete::new(Key::new("id", 1).and("at", 2)).into()];
    let outcomes = client(&server).atomic_write(&TableWrites::new("t", rows)).await.unwrap();
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
    let request = proto::BatchWriteRowRequest::decode(server.seen()[0].body.clone()).unwrap();
    assert_eq!(request.is_atomic, Some(true));
}

#[tokio::test]
async fn everything_within_a_transaction_carries_its_id() {
    let batch = proto::BatchWriteRowResponse {
        tables: vec![proto::TableInBatchWriteRowResponse {
            table_name: "t".to_owned(),
            rows: vec![proto::RowInBatchWriteRowResponse { is_ok: true, ..Default::default() }],
        }],
    };
    let server = TestServer::playing([
        ok(&proto::StartLocalTransactionResponse { transaction_id: "tx".to_owned() }),
        put_ok(),
        ok(&proto::GetRowResponse::default()),
        ok(&proto::GetRangeResponse::default()),
        ok(&batch),
        empty(),
        ok(&proto::StartLocalTransactionResponse { transaction_id: "ty".to_owned() }),
        empty(),
    ])
    .await;
    let client = client(&server);
    let transaction = client.begin("t", &Key::new("id", 1)).await.unwrap();
    transaction.put_row(Put::new(Key::new("id", 1))).await.unwrap();
    transaction.get_row(&Key::new("id", 1), &Read::default()).await.unwrap();
    assert_eq!(transaction.rows(Range::all(["id"])).next().await.unwrap(), None);
    transaction.batch_write_row([Update::new(Key::new("id", 1)).set("n", 1)]).await.unwrap();
    transaction.commit().await.unwrap();
    client.begin("t", &Key::new("id", 1)).await.unwrap().abort().await.unwrap();

    let seen = server.seen();
    let start = proto::StartLocalTransactionRequest::decode(seen[0].body.clone()).unwrap();
    assert_eq!(start.key, key(1));
    let ids = [
        proto::PutRowRequest::decode(seen[1].body.clone()).unwrap().transaction_id,
        proto::GetRowRequest::decode(seen[2].body.clone()).unwrap().transaction_id,
        proto::GetRangeRequest::decode(seen[3].body.clone()).unwrap().transaction_id,
        proto::BatchWriteRowRequest::decode(seen[4].body.clone()).unwrap().transaction_id,
        Some(proto::CommitTransactionRequest::decode(seen[5].body.clone()).unwrap().transaction_id),
    ];
    assert!(ids.iter().all(|id| id.as_deref() == Some("tx")), "{ids:?}");
    assert_eq!(seen[7].path, "/AbortTransaction");
}

#[tokio::test]
async fn a_table_is_changed_and_says_how_it_is_then() {
    let answer = proto::UpdateTableResponse {
        reserved_throughput_details: convert::throughput_details(
            lakeferry_model::ReservedThroughput { read: 1, write: 2 },
            0,
        ),
        table_options: proto::TableOptions { max_versions: Some(5), ..Default::default() },
        stream_details: Some(proto::StreamDetails {
            enable_stream: true,
            stream_id: Some("s".to_owned()),
            expiration_time: Some(24),
            last_enable_time: Some(7),
            column_to_get: vec!["c".to_owned()],
        }),
    };
    let server = TestServer::playing([ok(&answer), empty(), empty(), empty(), empty()]).await;
    let client = client(&server);
    let spec = StreamSpec { expiration_hours: 24, origin_columns: vec!["c".to_owned()] };
    let change = UpdateTable::new("t").versions_max(5).time_to_live_s(None).stream_on(spec.clone());
    let updated = client.update_table(&change).await.unwrap();
    assert_eq!((updated.options.versions_max, updated.throughput.write), (5, 2));
    assert_eq!(updated.stream.map(|stream| stream.spec), Some(spec));
    client.add_defined_columns("t", [("a", ValueKind::Binary)]).await.unwrap();
    client.delete_defined_columns("t", ["a"]).await.unwrap();
    client.create_index("t", Index::new("i", IndexKind::Local, ["id", "c"]).column("d"), true).await.unwrap();
    client.drop_index("t", "i").await.unwrap();

    let seen = server.seen();
    let change = proto::UpdateTableRequest::decode(seen[0].body.clone()).unwrap();
    let options = change.table_options.unwrap();
    assert_eq!((options.max_versions, options.time_to_live, options.allow_update), (Some(5), Some(-1), None));
    assert_eq!(change.reserved_throughput, None);
    let added = proto::AddDefinedColumnRequest::decode(seen[1].body.clone()).unwrap();
    assert_eq!(added.columns[0].r#type(), proto::DefinedColumnType::Blob);
    let index = proto::CreateIndexRequest::decode(seen[3].body.clone()).unwrap();
    assert_eq!(index.include_base_data, Some(true));
    assert_eq!(index.index_meta.index_type(), proto::IndexType::LocalIndex);
    assert_eq!(index.index_meta.index_update_mode(), proto::IndexUpdateMode::SyncIndex);
    assert_eq!((index.index_meta.primary_key.len(), index.index_meta.defined_column.len()), (2, 1));
}

#[tokio::test]
async fn a_table_is_made_with_its_index_and_its_counting_column() {
    let server = TestServer::playing([empty()]).await;
    let create = CreateTable::new("t")
        .key("user", lakeferry_model::KeyKind::String)
        .auto_increment_key("number")
        .index(Index::new("i", IndexKind::Global, ["number"]))
        .allow_update(false)
        .local_transactions(false);
    client(&server).create_table(create).await.unwrap();
    let request = proto::CreateTableRequest::decode(server.seen()[0].body.clone()).unwrap();
    assert_eq!(request.table_meta.primary_key[1].option(), proto::PrimaryKeyOption::AutoIncrement);
    assert_eq!(request.table_meta.primary_key[0].option, None, "some clients break on it");
    assert_eq!(request.index_metas[0].name, "i");
    assert_eq!(request.enable_local_txn, Some(false));
    assert_eq!(request.table_options.unwrap().allow_update, Some(false));
}

#[tokio::test]
async fn splits_cover_the_whole_table() {
    let column = |name: &str| proto::PrimaryKeySchema {
        name: name.to_owned(),
        r#type: proto::PrimaryKeyType::Integer.into(),
        option: None,
    };
    let location = |location: &str, repeat| proto::SplitLocation { location: location.to_owned(), repeat };
    let answer = proto::ComputeSplitPointsBySizeResponse {
        consumed: capacity::consumed(1, 0),
        schema: vec![column("id"), column("at")],
        split_points: vec![key(5), encode::key([("id", ValueRef::Integer(9)), ("at", ValueRef::Integer(1))])],
        locations: vec![location("m", 2), location("n", 1)],
    };
    let short = proto::ComputeSplitPointsBySizeResponse { locations: Vec::new(), ..answer.clone() };
    let server = TestServer::playing([ok(&answer), ok(&short)]).await;
    let client = client(&server);
    let splits = client.split_by_size("t", 1, Some(1 << 20), None).await.unwrap();
    let five = |rest| vec![("id".into(), KeyBound::Value(KeyValue::Integer(5))), ("at".into(), rest)];
    assert_eq!(splits.len(), 3);
    assert_eq!(splits[0].range.end(), five(KeyBound::InfMin));
    assert_eq!(splits[1].range.start(), five(KeyBound::InfMin));
    assert!(splits[2].range.end().iter().all(|(_, bound)| *bound == KeyBound::InfMax));
    assert_eq!(splits.iter().map(|split| split.location.as_str()).collect::<Vec<_>>(), ["m", "m", "n"]);
    assert!(client.split_by_size("t", 1, None, None).await.is_err(), "every split lies somewhere");
}

/// An update of row 1: a put, a version and a column deleted, at a place in its stream.
pub(super) fn update_record() -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    writer.key_cell("id", ValueRef::Integer(1));
    writer.change("a", Some(ValueRef::Integer(5)), CellOperation::Put, Some(9));
    writer.change("b", None, CellOperation::DeleteVersion, Some(8));
    writer.change("c", None, CellOperation::DeleteAll, None);
    writer.sequence(SequenceInfo { epoch: 1, timestamp: 2, row_index: 3 });
    writer.end_row();
    writer.finish()
}

#[tokio::test]
async fn a_stream_is_listed_described_and_read() {
    let stream = proto::Stream { stream_id: "s".to_owned(), table_name: "t".to_owned(), creation_time: 5 };
    let shards = proto::DescribeStreamResponse {
        stream_id: "s".to_owned(),
        expiration_time: 24,
        table_name: "t".to_owned(),
        creation_time: 5,
        stream_status: proto::StreamStatus::Active.into(),
        shards: vec![proto::StreamShard {
            shard_id: "c".to_owned(),
            parent_id: Some("p".to_owned()),
            parent_sibling_id: None,
        }],
        ..Default::default()
    };
    let searching =
        proto::GetShardIteratorResponse { shard_iterator: "i".to_owned(), next_token: Some("n".to_owned()) };
    let found = proto::GetShardIteratorResponse { shard_iterator: "j".to_owned(), next_token: None };
    let records = proto::GetStreamRecordResponse {
        stream_records: vec![proto::StreamRecord {
            action_type: proto::ActionType::UpdateRow.into(),
            record: update_record(),
            origin_record: Some(row(1, &[("a", 4)])),
        }],
        next_shard_iterator: Some("k".to_owned()),
        consumed: None,
        may_more_record: Some(false),
    };
    let server = TestServer::playing([
        ok(&proto::ListStreamResponse { streams: vec![stream] }),
        ok(&shards),
        ok(&searching),
        ok(&found),
        ok(&records),
    ])
    .await;
    let client = client(&server);
    assert_eq!(client.list_streams(Some("t")).await.unwrap()[0].id, "s");
    let described = client.describe_stream("s", None, None).await.unwrap();
    assert!(described.is_active);
    assert_eq!(described.shards[0].parents, ["p"]);
    let iterator = client.shard_iterator("s", "c", Some(77)).await.unwrap();
    assert_eq!(iterator, "j", "the search goes on until it has found the place");
    let page = client.stream_records(&iterator, Some(10)).await.unwrap();
    assert_eq!((page.next.as_deref(), page.has_more), (Some("k"), Some(false)));
    let record = &page.records[0];
    assert_eq!((record.action, record.key.clone()), (Action::Update, Key::new("id", 1)));
    let updates: Vec<_> = record.changes.iter().map(|change| change.update.clone()).collect();
    let put = ColumnUpdate::Put(Value::Integer(5), Some(9));
    assert_eq!(updates, [put, ColumnUpdate::DeleteVersion(8), ColumnUpdate::DeleteAll]);
    assert_eq!(record.origin[0].value, Value::Integer(4));
    assert_eq!(record.sequence, Some(SequenceInfo { epoch: 1, timestamp: 2, row_index: 3 }));
}

#[tokio::test]
async fn rows_are_imported_and_exported_in_bulk() {
    let sized = |read_size, write_size| proto::ConsumedCapacity {
        capacity_data_size: Some(proto::CapacityDataSize { read_size, write_size }),
        ..capacity::consumed(0, 0)
    };
    let imported = proto::BulkImportResponse {
        table_name: "t".to_owned(),
        rows: vec![
            proto::RowInBulkImportResponse {
                is_ok: true,
                error: None,
                consumed: Some(sized(None, Some(50))),
            },
            proto::RowInBulkImportResponse {
                is_ok: false,
                error: Some(proto::Error {
                    code: ErrorCode::InvalidPrimaryKey.as_str().to_owned(),
                    ..Default::default()
                }),
                consumed: None,
            },
        ],
    };
    let exported = proto::BulkExportResponse {
        consumed: sized(Some(40), None),
        rows: page(&[1, 2]),
        next_start_primary_key: Some(key(3)),
        data_block_type: Some(proto::DataBlockType::PlainBuffer.into()),
    };
    let matrix = proto::BulkExportResponse {
        data_block_type: Some(proto::DataBlockType::SimpleRowMatrix.into()),
        ..exported.clone()
    };
    let server = TestServer::playing([ok(&imported), ok(&exported), ok(&matrix)]).await;
    let client = client(&server);
    let writes: [RowWrite; 2] = [Put::new(Key::new("id", 1)).into(), Delete::new(Key::new("id", 2)).into()];
    let outcomes = client.bulk_import(&TableWrites::new("t", writes)).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().bytes, 50);
    assert_eq!(outcomes[1].as_ref().unwrap_err().code(), Some(ErrorCode::InvalidPrimaryKey));
    let exported = client.bulk_export("t", &Range::all(["id"])).await.unwrap();
    assert_eq!((exported.rows.len(), exported.bytes, exported.next), (2, 40, Some(Key::new("id", 3))));
    assert!(client.bulk_export("t", &Range::all(["id"])).await.is_err(), "not the form that was asked for");
}
