//! Streams: changes read back in order, as clients of the protocol read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use lakeferry_model::{Clock, KeyKind, Micros, SystemClock, ValueRef};
use lakeferry_wire::headers;
use lakeferry_wire::plain_buffer::{CellOperation, WireCell, WireRow};
use lakeferry_wire::proto::{self, ActionType, Message};

use crate::harness::{Answer, Request, TestServer, create_table, rows};
use crate::rows::{delete, get, put, told, update};

/// A table with a stream that keeps the old values of these columns.
pub fn streamed(name: &str, origin_columns: &[&str]) -> proto::CreateTableRequest {
    let columns_to_get = origin_columns.iter().map(|name| (*name).to_owned()).collect();
    let stream =
        proto::StreamSpecification { enable_stream: true, expiration_time: Some(24), columns_to_get };
    proto::CreateTableRequest { stream_spec: Some(stream), ..create_table(name, &[("pk", KeyKind::Integer)]) }
}

async fn make(server: &TestServer, request: &proto::CreateTableRequest) {
    server.call("CreateTable", request).await.ok::<proto::CreateTableResponse>();
}

async fn list(server: &TestServer, table: Option<&str>) -> Vec<proto::Stream> {
    let request = proto::ListStreamRequest { table_name: table.map(str::to_owned) };
    server.call("ListStream", &request).await.ok::<proto::ListStreamResponse>().streams
}

fn describe(stream: &str) -> proto::DescribeStreamRequest {
    proto::DescribeStreamRequest { stream_id: stream.to_owned(), ..Default::default() }
}

fn iterator_of(stream: &str, shard: &str) -> proto::GetShardIteratorRequest {
    proto::GetShardIteratorRequest {
        stream_id: stream.to_owned(),
        shard_id: shard.to_owned(),
        ..Default::default()
    }
}

fn behind(iterator: &str, limit: Option<i32>) -> proto::GetStreamRecordRequest {
    proto::GetStreamRecordRequest { shard_iterator: iterator.to_owned(), limit, table_name: None }
}

/// The ids of a table's stream and of its only shard.
async fn stream_of(server: &TestServer, table: &str) -> (String, String) {
    let [stream] = &list(server, Some(table)).await[..] else { panic!("the table has one stream") };
    let described = server.call("DescribeStream", &describe(&stream.stream_id)).await;
    let described = described.ok::<proto::DescribeStreamResponse>();
    let [shard] = &described.shards[..] else { panic!("the table has one partition") };
    (stream.stream_id.clone(), shard.shard_id.clone())
}

/// Where a table's only shard begins.
async fn start_of(server: &TestServer, table: &str) -> String {
    let (stream, shard) = stream_of(server, table).await;
    let answer = server.call("GetShardIterator", &iterator_of(&stream, &shard)).await;
    answer.ok::<proto::GetShardIteratorResponse>().shard_iterator
}

async fn read(server: &TestServer, iterator: &str) -> proto::GetStreamRecordResponse {
    server.call("GetStreamRecord", &behind(iterator, None)).await.ok()
}

fn row_of(record: &proto::StreamRecord) -> WireRow {
    let mut rows = rows(&record.record);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

async fn put_row(server: &TestServer, table: &str, pk: i64, value: i64) {
    let request = put(table, pk, &[("c", ValueRef::Integer(value))]);
    server.call("PutRow", &request).await.ok::<proto::PutRowResponse>();
}

#[tokio::test]
async fn a_stream_tells_each_change_once_and_in_order() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    let start = start_of(&server, "t").await;
    assert_eq!(read(&server, &start).await.next_shard_iterator(), start, "nothing was read yet");

    let cells = [
        ("colToDel", ValueRef::String("abc")),
        ("colToDelAll", ValueRef::Boolean(true)),
        ("colToUpdate", ValueRef::Integer(123)),
    ];
    server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    let seen = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    let seen = rows(&seen.row).remove(0);
    let answer = read(&server, &start).await;
    let [record] = &answer.stream_records[..] else { panic!("one change is one record") };
    assert_eq!((record.action_type(), &record.origin_record), (ActionType::PutRow, &None));
    let row = row_of(record);
    assert_eq!((&row.key, &row.cells), (&seen.key, &seen.cells), "also its timestamps are those of the row");

    let at = row.cells[0].timestamp_ms;
    let changes = [
        ("colToDel", None, CellOperation::DeleteVersion, at),
        ("colToDelAll", None, CellOperation::DeleteAll, None),
        ("colToUpdate", Some(ValueRef::Double(3.5)), CellOperation::Put, None),
    ];
    server.call("UpdateRow", &update("t", 1, &changes)).await.ok::<proto::UpdateRowResponse>();
    server.call("DeleteRow", &delete("t", 1)).await.ok::<proto::DeleteRowResponse>();
    let second = answer.next_shard_iterator().to_owned();
    let answer = read(&server, &second).await;
    let [updated, deleted] = &answer.stream_records[..] else { panic!("two changes are two records") };
    assert_eq!(updated.action_type(), ActionType::UpdateRow);
    let told: Vec<_> = row_of(updated)
        .cells
        .into_iter()
        .map(|WireCell { name, value, operation, timestamp_ms }| {
            (name.to_string(), value.is_some(), operation, timestamp_ms)
        })
        .collect();
    let put_at = told[2].3;
    assert!(put_at > at);
    assert_eq!(
        told,
        [
            ("colToDel".to_owned(), false, CellOperation::DeleteVersion, at),
            ("colToDelAll".to_owned(), false, CellOperation::DeleteAll, None),
            ("colToUpdate".to_owned(), true, CellOperation::Put, put_at),
        ]
    );
    let gone = row_of(deleted);
    assert_eq!(
        (deleted.action_type(), gone.cells.len(), gone.delete_marker),
        (ActionType::DeleteRow, 0, true)
    );
    let places: Vec<_> = [record, updated, deleted].map(|record| row_of(record).sequence.unwrap()).into();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");

    let end = answer.next_shard_iterator().to_owned();
    let drained = read(&server, &end).await;
    assert_eq!((drained.next_shard_iterator(), drained.may_more_record), (&*end, Some(false)));
    // The same position reads the same records.
    assert_eq!(read(&server, &second).await.stream_records, answer.stream_records);
}

#[tokio::test]
async fn an_increment_is_told_as_the_sum_that_it_put() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    let add = [("n", Some(ValueRef::Integer(5)), CellOperation::Increment, None)];
    for _ in 0..2 {
        server.call("UpdateRow", &update("t", 1, &add)).await.ok::<proto::UpdateRowResponse>();
    }
    let answer = read(&server, &start_of(&server, "t").await).await;
    let told: Vec<String> = answer.stream_records.iter().map(|record| told(&row_of(record))).collect();
    assert_eq!(told, ["1 n=5", "1 n=10"]);
    assert!(answer.stream_records.iter().all(|r| row_of(r).cells[0].operation == CellOperation::Put));
}

#[tokio::test]
async fn the_columns_that_a_stream_asks_for_are_told_as_they_were_before() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &["c", "d"])).await;
    put_row(&server, "t", 1, 1).await;
    put_row(&server, "t", 1, 2).await;
    let cells = [("e", Some(ValueRef::Integer(9)), CellOperation::Put, None)];
    server.call("UpdateRow", &update("t", 1, &cells)).await.ok::<proto::UpdateRowResponse>();
    server.call("DeleteRow", &delete("t", 1)).await.ok::<proto::DeleteRowResponse>();
    let answer = read(&server, &start_of(&server, "t").await).await;
    let before = |record: &proto::StreamRecord| record.origin_record.as_ref().map(|row| told(&rows(row)[0]));
    let before: Vec<_> = answer.stream_records.iter().map(before).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(before, [None, some("1 c=1"), some("1 c=2"), some("1 c=2")]);
}

#[tokio::test]
async fn old_values_that_only_an_index_needs_are_not_told() {
    let server = TestServer::start().await;
    let mut request = streamed("t", &[]);
    let kind = proto::DefinedColumnType::Integer.into();
    request.table_meta.defined_column.push(proto::DefinedColumnSchema { name: "c".into(), r#type: kind });
    request.index_metas.push(proto::IndexMeta {
        name: "by_c".into(),
        primary_key: vec!["c".into()],
        defined_column: Vec::new(),
        index_update_mode: proto::IndexUpdateMode::AsyncIndex.into(),
        index_type: proto::IndexType::GlobalIndex.into(),
        index_sync_phase: None,
    });
    make(&server, &request).await;
    put_row(&server, "t", 1, 1).await;
    put_row(&server, "t", 1, 2).await;
    let answer = read(&server, &start_of(&server, "t").await).await;
    assert_eq!(answer.stream_records.len(), 2);
    assert!(answer.stream_records.iter().all(|record| record.origin_record.is_none()));
}

#[tokio::test]
async fn a_full_page_says_that_there_may_be_more() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    for pk in 0..5 {
        put_row(&server, "t", pk, pk).await;
    }
    let mut iterator = start_of(&server, "t").await;
    let mut pages = Vec::new();
    loop {
        let request = behind(&iterator, Some(2));
        let page: proto::GetStreamRecordResponse = server.call("GetStreamRecord", &request).await.ok();
        pages.push((page.stream_records.len(), page.may_more_record()));
        if page.next_shard_iterator() == iterator {
            break;
        }
        iterator = page.next_shard_iterator().to_owned();
    }
    assert_eq!(pages, [(2, true), (2, true), (1, false), (0, false)]);
}

#[tokio::test]
async fn a_stream_is_read_from_a_time_on() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    for pk in 0..3 {
        put_row(&server, "t", pk, pk).await;
    }
    let (stream, shard) = stream_of(&server, "t").await;
    let all = read(&server, &start_of(&server, "t").await).await.stream_records;
    let second = row_of(&all[1]).sequence.unwrap().timestamp;
    for (timestamp, expected) in [(0, 3), (second, 2), (second + 1, 1), (i64::MAX, 0)] {
        let request =
            proto::GetShardIteratorRequest { timestamp: Some(timestamp), ..iterator_of(&stream, &shard) };
        let answer = server.call("GetShardIterator", &request).await;
        let answer = answer.ok::<proto::GetShardIteratorResponse>();
        assert_eq!(answer.next_token, None);
        assert_eq!(read(&server, &answer.shard_iterator).await.stream_records.len(), expected, "{timestamp}");
    }
    // A time to come is waited for.
    let in_an_hour = second + 3_600_000_000;
    let request =
        proto::GetShardIteratorRequest { timestamp: Some(in_an_hour), ..iterator_of(&stream, &shard) };
    let answer = server.call("GetShardIterator", &request).await;
    let iterator = answer.ok::<proto::GetShardIteratorResponse>().shard_iterator;
    put_row(&server, "t", 3, 3).await;
    let early = read(&server, &iterator).await;
    assert_eq!(early.stream_records.len(), 0);
    assert_eq!(
        read(&server, early.next_shard_iterator()).await.next_shard_iterator(),
        early.next_shard_iterator()
    );
}

#[tokio::test]
async fn streams_are_listed_and_described_shard_by_shard() {
    let server = TestServer::start().await;
    server.make_table("plain", &[("pk", KeyKind::Integer)]).await;
    make(&server, &streamed("a", &[])).await;
    let split = {
        use lakeferry_wire::convert::partition_ranges;
        let points = [10, 20].map(lakeferry_model::KeyValue::Integer);
        proto::CreateTableRequest { partitions: partition_ranges(&points), ..streamed("b", &[]) }
    };
    make(&server, &split).await;
    assert_eq!(list(&server, Some("plain")).await, []);
    let all = list(&server, None).await;
    assert_eq!(all.iter().map(|stream| &*stream.table_name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(list(&server, Some("b")).await, all[1..]);

    let id = &all[1].stream_id;
    let whole: proto::DescribeStreamResponse = server.call("DescribeStream", &describe(id)).await.ok();
    assert_eq!((&whole.stream_id, &*whole.table_name, whole.expiration_time), (id, "b", 24));
    assert_eq!(
        (whole.stream_status(), whole.creation_time),
        (proto::StreamStatus::Active, all[1].creation_time)
    );
    assert_eq!((whole.shards.len(), &whole.next_shard_id), (3, &None));
    let mut pages = Vec::new();
    let mut from = None;
    loop {
        let request = proto::DescribeStreamRequest {
            inclusive_start_shard_id: from,
            shard_limit: Some(2),
            ..describe(id)
        };
        let page: proto::DescribeStreamResponse = server.call("DescribeStream", &request).await.ok();
        pages.push(page.shards.len());
        from = page.next_shard_id;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 1]);
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_its_name() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    let (stream, shard) = stream_of(&server, "t").await;
    let start = start_of(&server, "t").await;
    let no_stream = (404, "OTSObjectNotExist", "Requested stream does not exist.");
    let no_shard = (404, "OTSObjectNotExist", "Requested shard does not exist.");
    let refused = |answer: &Answer, (status, code, message): (u16, &str, &str)| {
        answer.refused(status, code, message);
    };
    refused(&server.call("DescribeStream", &describe("t_1")).await, no_stream);
    refused(&server.call("GetShardIterator", &iterator_of("t_1", &shard)).await, no_stream);
    refused(&server.call("GetShardIterator", &iterator_of(&stream, "x")).await, no_shard);
    let invalid = server.call("GetStreamRecord", &behind("x", None)).await;
    refused(&invalid, (400, "OTSParameterInvalid", "Invalid shard iterator: 'x'."));
    let limit = server.call("GetStreamRecord", &behind(&start, Some(0))).await;
    refused(&limit, (400, "OTSParameterInvalid", "The limit must be greater than 0."));
    let missing = proto::ListStreamRequest { table_name: Some("no".into()) };
    let missing = server.call("ListStream", &missing).await;
    refused(&missing, (404, "OTSObjectNotExist", "Requested table does not exist."));

    // A stream that is switched off and on again is another one.
    for enable_stream in [false, true] {
        let stream_spec = proto::StreamSpecification { enable_stream, ..Default::default() };
        let request = proto::UpdateTableRequest {
            table_name: "t".into(),
            stream_spec: Some(stream_spec),
            ..Default::default()
        };
        server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
        refused(&server.call("GetStreamRecord", &behind(&start, None)).await, no_stream);
    }
    assert_ne!(stream_of(&server, "t").await.0, stream);
}

#[tokio::test]
async fn an_iterator_is_of_use_in_its_own_instance_alone() {
    let server = TestServer::start_dev().await;
    make(&server, &streamed("t", &[])).await;
    let start = start_of(&server, "t").await;
    let request = server.request("GetStreamRecord", &behind(&start, None));
    let elsewhere = Request { instance: "other".into(), ..request };
    server.send(&elsewhere).await.refused(404, "OTSObjectNotExist", "Requested stream does not exist.");
}

#[tokio::test]
async fn an_iterator_outlasts_a_restart() {
    let server = TestServer::start().await;
    make(&server, &streamed("t", &[])).await;
    put_row(&server, "t", 1, 1).await;
    let iterator = read(&server, &start_of(&server, "t").await).await.next_shard_iterator().to_owned();
    let server = server.restart().await;
    put_row(&server, "t", 2, 2).await;
    let answer = read(&server, &iterator).await;
    assert_eq!(answer.stream_records.iter().map(|r| told(&row_of(r))).collect::<Vec<_>>(), ["2 c=2"]);
}

/// The computer's clock, put forward.
#[derive(Debug)]
struct Ahead(Arc<dyn Clock>, AtomicI64);

impl Ahead {
    fn micros(&self) -> Micros {
        self.1.load(Ordering::SeqCst)
    }
}

impl Clock for Ahead {
    fn now_micros(&self) -> Micros {
        self.0.now_micros() + self.micros()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() + Duration::from_micros(self.micros().unsigned_abs())
    }
}

#[tokio::test]
async fn records_that_have_expired_are_told_to_be_gone() {
    let clock = Arc::new(Ahead(SystemClock::shared(), AtomicI64::new(0)));
    let server = TestServer::start_dev_at(clock.clone()).await;
    make(&server, &streamed("t", &[])).await;
    let start = start_of(&server, "t").await;
    put_row(&server, "t", 1, 1).await;
    clock.1.store(25 * 3_600_000_000, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let request = server.request("GetStreamRecord", &behind(&start, None));
        let headers = vec![(headers::DATE, headers::format_date(clock.now_micros()))];
        let answer = server.send(&Request { headers, ..request }).await;
        if !answer.status.is_success() {
            let text = "Requested stream data is already trimmed or does not exist.";
            return answer.refused(404, "OTSTrimmedDataAccess", text);
        }
        let answer = proto::GetStreamRecordResponse::decode(answer.body).unwrap();
        assert_eq!(answer.stream_records.len(), 1, "what is there is told");
        assert!(Instant::now() < until, "nothing expires");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn records_of_the_longest_table_names_cannot_be_read_as_in_the_original() {
    let server = TestServer::start().await;
    for (length, readable) in [(238, true), (239, false)] {
        let table = "a".repeat(length);
        make(&server, &streamed(&table, &[])).await;
        let (stream, _) = stream_of(&server, &table).await;
        assert_eq!(stream.len() <= 255, readable);
        let answer = server.call("GetStreamRecord", &behind(&start_of(&server, &table).await, None)).await;
        assert_eq!(answer.status.is_success(), readable);
        if !readable {
            let (code, message) = answer.error();
            assert_eq!(code, "OTSParameterInvalid");
            assert!(message.starts_with("Invalid stream id"), "{message}");
        }
    }
}
