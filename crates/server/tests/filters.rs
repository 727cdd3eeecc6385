//! Filters of reads: which rows they let pass, what they see, how they count, and how they are refused.

use bytes::Bytes;
use lakeferry_model::filter::{CastKind, ColumnTest, Comparator, Comparison, ValueTransfer};
use lakeferry_model::{ColumnCondition, ColumnPage, Filter, KeyKind, Value, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, encode};
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, rows, whole_range};
use crate::rows::{Change, get, put, row, told, units, update};

fn integer(column: &'static str, comparator: Comparator, value: i64) -> ColumnTest {
    ColumnTest::compare(column, comparator, Value::Integer(value))
}

fn text(column: &'static str, comparator: Comparator, value: &'static str) -> ColumnTest {
    ColumnTest::compare(column, comparator, Value::String(value.into()))
}

fn bytes_of(filter: impl Into<Filter>) -> Option<Bytes> {
    convert::filter_bytes(&filter.into())
}

fn condition(test: impl Into<ColumnCondition>) -> Option<Bytes> {
    bytes_of(test.into())
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

async fn read(server: &TestServer, request: &proto::GetRowRequest) -> String {
    let answer = server.call("GetRow", request).await.ok::<proto::GetRowResponse>();
    rows(&answer.row).first().map_or_else(|| "none".to_owned(), told)
}

async fn fill(server: &TestServer, count: i64) {
    for from in (0..count).step_by(200) {
        let rows = (from..count.min(from + 200)).map(|pk| proto::RowInBatchWriteRowRequest {
            r#type: proto::OperationType::Put.into(),
            row_change: row(pk, &[("c", ValueRef::Integer(pk % 10))]),
            ..Default::default()
        });
        let tables =
            vec![proto::TableInBatchWriteRowRequest { table_name: "t".into(), rows: rows.collect() }];
        let request = proto::BatchWriteRowRequest { tables, ..Default::default() };
        server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    }
}

#[tokio::test]
async fn a_row_that_does_not_pass_is_as_if_it_were_not_there() {
    use Comparator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let server = server().await;
    let cells = [
        ("b", ValueRef::Binary(b"\xff")),
        ("d", ValueRef::Double(1.5)),
        ("i", ValueRef::Integer(7)),
        ("s", ValueRef::String("t1:abc,t2:42,")),
        ("t", ValueRef::Boolean(true)),
    ];
    server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    let strict = |test: ColumnTest| ColumnTest { pass_if_missing: false, ..test };
    let part = |pattern: &str, cast, test: ColumnTest| ColumnTest {
        transfer: Some(ValueTransfer::new(pattern, cast).unwrap()),
        ..test
    };
    let cases: Vec<(ColumnCondition, bool)> = vec![
        (integer("i", Equal, 7).into(), true),
        (integer("i", NotEqual, 7).into(), false),
        (integer("i", Greater, 6).into(), true),
        (integer("i", GreaterOrEqual, 8).into(), false),
        (integer("i", Less, 8).into(), true),
        (integer("i", LessOrEqual, 6).into(), false),
        (ColumnTest::compare("d", Greater, Value::Double(1.25)).into(), true),
        (ColumnTest::compare("t", Equal, Value::Boolean(true)).into(), true),
        (ColumnTest::compare("b", Greater, Value::Binary(Bytes::from_static(b"\x01"))).into(), true),
        // Of another type: not even unequal.
        (integer("d", NotEqual, 1).into(), false),
        // The primary key is compared as any other column.
        (integer("pk", Equal, 1).into(), true),
        (integer("pk", Greater, 1).into(), false),
        // Missing columns.
        (integer("x", Equal, 1).into(), true),
        (strict(integer("x", Equal, 1)).into(), false),
        (ColumnTest::new("i", Comparison::Exists).into(), true),
        (ColumnTest::new("x", Comparison::Exists).into(), false),
        (ColumnTest::new("x", Comparison::IsMissing).into(), true),
        // Parts of a text.
        (part("t1:([a-z]+),", Some(CastKind::String), text("s", Equal, "abc")).into(), true),
        (part("t2:([0-9]+),", Some(CastKind::Integer), integer("s", Greater, 9)).into(), true),
        (part("t2:([0-9]+),", None, text("s", Equal, "42")).into(), true),
        (part("t3:([0-9]+),", Some(CastKind::Integer), integer("s", Greater, 9)).into(), false),
        (part("t1:([a-z]+),", Some(CastKind::Integer), integer("s", NotEqual, 9)).into(), false),
        (part("t3", None, ColumnTest::new("s", Comparison::IsMissing)).into(), true),
        // Put together.
        (ColumnCondition::Not(Box::new(integer("i", Equal, 7).into())), false),
        (ColumnCondition::And(vec![integer("i", Equal, 7).into(), integer("pk", Equal, 1).into()]), true),
        (ColumnCondition::And(vec![integer("i", Equal, 7).into(), integer("pk", Equal, 2).into()]), false),
        (ColumnCondition::Or(vec![integer("i", Equal, 8).into(), integer("pk", Equal, 1).into()]), true),
    ];
    for (tested, passes) in cases {
        let request = proto::GetRowRequest { filter: condition(tested.clone()), ..get("t", 1) };
        let answer = server.call("GetRow", &request).await.ok::<proto::GetRowResponse>();
        assert_eq!(!answer.row.is_empty(), passes, "{tested:?}");
        assert_eq!(units(&answer.consumed), (1, 0));
    }
}

#[tokio::test]
async fn a_filter_sees_what_the_reader_would_be_shown() {
    let server = server().await;
    let options = proto::TableOptions {
        max_versions: Some(3),
        deviation_cell_version_in_sec: Some(i64::MAX / 1_000_000),
        ..Default::default()
    };
    let request = proto::UpdateTableRequest {
        table_name: "t".into(),
        table_options: Some(options),
        ..Default::default()
    };
    server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    let versions: Vec<Change<'_>> =
        (1..=4).map(|ms| ("c", Some(ValueRef::Integer(ms)), CellOperation::Put, Some(ms))).collect();
    server.call("UpdateRow", &update("t", 1, &versions)).await.ok::<proto::UpdateRowResponse>();
    server
        .call("UpdateRow", &update("t", 1, &[("d", Some(ValueRef::Integer(9)), CellOperation::Put, Some(1))]))
        .await
        .ok::<proto::UpdateRowResponse>();
    let newest = |value| ColumnTest { pass_if_missing: false, ..integer("c", Comparator::Equal, value) };
    let any = |value| ColumnTest { latest_version_only: false, ..newest(value) };
    let range = |start, end| {
        Some(proto::TimeRange { start_time: Some(start), end_time: Some(end), specific_time: None })
    };
    for (max_versions, time_range, test, passes) in [
        (Some(3), None, newest(4), true),
        (Some(3), None, newest(3), false),
        (Some(3), None, any(2), true),
        // The table keeps three versions, the reader asks for two, or for a time.
        (Some(3), None, any(1), false),
        (Some(2), None, any(2), false),
        (None, range(0, 4), newest(3), true),
        (None, range(0, 2), any(2), false),
    ] {
        let filter = condition(test.clone());
        let request = proto::GetRowRequest { max_versions, time_range, filter, ..get("t", 1) };
        let shown = read(&server, &request).await;
        assert_eq!(shown != "none", passes, "{max_versions:?} {time_range:?} {test:?}: {shown}");
    }
    // A column that is not asked for is missing.
    for (columns, expected) in [(&["d"][..], "none"), (&["c"], "1 c=4"), (&["c", "d"], "1 c=4 d=9")] {
        let request = proto::GetRowRequest {
            columns_to_get: columns.iter().map(|&name| name.to_owned()).collect(),
            filter: condition(newest(4)),
            ..get("t", 1)
        };
        assert_eq!(read(&server, &request).await, expected, "{columns:?}");
    }
    let request =
        proto::GetRowRequest { start_column: Some("d".into()), filter: condition(newest(4)), ..get("t", 1) };
    assert_eq!(read(&server, &request).await, "none");
}

#[tokio::test]
async fn rows_that_do_not_pass_count_as_read_and_not_as_shown() {
    let server = server().await;
    fill(&server, 40).await;
    let request = proto::GetRangeRequest {
        filter: condition(integer("c", Comparator::Equal, 3)),
        limit: Some(3),
        ..whole_range("t", &["pk"])
    };
    let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows).iter().map(told).collect::<Vec<_>>(), ["3 c=3", "13 c=3", "23 c=3"]);
    // The next page begins with the first row that was not on this one, shown or not.
    assert_eq!(answer.next_start_primary_key, Some(encode::key([("pk", ValueRef::Integer(24))])));
    let rest = proto::GetRangeRequest {
        inclusive_start_primary_key: answer.next_start_primary_key.unwrap(),
        ..request.clone()
    };
    let answer = server.call("GetRange", &rest).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows).iter().map(told).collect::<Vec<_>>(), ["33 c=3"]);
    assert_eq!(answer.next_start_primary_key, None);
    let backward = proto::GetRangeRequest {
        direction: proto::Direction::Backward.into(),
        inclusive_start_primary_key: request.exclusive_end_primary_key.clone(),
        exclusive_end_primary_key: request.inclusive_start_primary_key.clone(),
        ..request
    };
    let answer = server.call("GetRange", &backward).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows).iter().map(told).collect::<Vec<_>>(), ["33 c=3", "23 c=3", "13 c=3"]);
    assert_eq!(answer.next_start_primary_key, Some(encode::key([("pk", ValueRef::Integer(12))])));
}

#[tokio::test]
async fn a_page_of_rows_that_do_not_pass_is_empty_and_goes_on() {
    let server = server().await;
    fill(&server, 5_020).await;
    let request = proto::GetRangeRequest {
        filter: condition(integer("pk", Comparator::GreaterOrEqual, 5_010)),
        limit: Some(7),
        ..whole_range("t", &["pk"])
    };
    let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
    assert_eq!((answer.rows.len(), units(&answer.consumed)), (0, (1, 0)));
    assert_eq!(answer.next_start_primary_key, Some(encode::key([("pk", ValueRef::Integer(5_000))])));
    let next = proto::GetRangeRequest {
        inclusive_start_primary_key: answer.next_start_primary_key.unwrap(),
        ..request
    };
    let answer = server.call("GetRange", &next).await.ok::<proto::GetRangeResponse>();
    let shown: Vec<String> = rows(&answer.rows).iter().map(told).collect();
    assert_eq!((shown.len(), shown[0].as_str(), shown[6].as_str()), (7, "5010 c=0", "5016 c=6"));
    assert_eq!(answer.next_start_primary_key, Some(encode::key([("pk", ValueRef::Integer(5_017))])));
}

#[tokio::test]
async fn each_table_of_a_batch_has_its_own_filter() {
    let server = server().await;
    fill(&server, 3).await;
    let table = |value| proto::TableInBatchGetRowRequest {
        table_name: "t".into(),
        primary_key: (0..4).map(|pk| encode::key([("pk", ValueRef::Integer(pk))])).collect(),
        max_versions: Some(1),
        filter: condition(integer("c", Comparator::Equal, value)),
        ..Default::default()
    };
    let request = proto::BatchGetRowRequest { tables: vec![table(0), table(2)] };
    let answer = server.call("BatchGetRow", &request).await.ok::<proto::BatchGetRowResponse>();
    for (table, shown) in answer.tables.iter().zip([0, 2]) {
        for (pk, row) in table.rows.iter().enumerate() {
            assert!(row.is_ok);
            assert_eq!(!row.row.as_ref().unwrap().is_empty(), pk == shown, "{pk} {shown}");
        }
    }
}

#[tokio::test]
async fn a_pagination_filter_cuts_the_columns_of_each_row() {
    let server = server().await;
    let names = ["col1", "col2", "col3", "col4", "col5"];
    let cells = names.map(|name| (name, ValueRef::Integer(1)));
    server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    server.call("PutRow", &put("t", 2, &cells[..1])).await.ok::<proto::PutRowResponse>();
    let page = |offset, limit| Filter { condition: None, page: Some(ColumnPage { offset, limit }) };
    let asking = |filter: Filter, columns: &[&str], start: Option<&str>| proto::GetRowRequest {
        filter: bytes_of(filter),
        columns_to_get: columns.iter().map(|&name| name.to_owned()).collect(),
        start_column: start.map(str::to_owned),
        ..get("t", 1)
    };
    let passing =
        |value| Filter { condition: Some(integer("col5", Comparator::Equal, value).into()), ..page(0, 1) };
    for (filter, columns, start, expected) in [
        (page(1, 3), &[][..], None, "1 col2=1 col3=1 col4=1"),
        (page(0, 1), &[], None, "1 col1=1"),
        (page(3, 9), &[], None, "1 col4=1 col5=1"),
        (page(1, 1), &[], Some("col3"), "1 col4=1"),
        (page(1, 2), &["col1", "col4", "col5"], None, "1 col4=1 col5=1"),
        // There are columns, on other pages: who pages through them meets the end and not a missing row.
        (page(5, 1), &[], None, "1"),
        (page(1, 1), &["col4"], None, "1"),
        (page(0, 1), &["x"], None, "none"),
        // The filter sees the columns that are not on the page.
        (passing(1), &[], None, "1 col1=1"),
        (passing(2), &[], None, "none"),
    ] {
        let request = asking(filter.clone(), columns, start);
        assert_eq!(read(&server, &request).await, expected, "{filter:?} {columns:?} {start:?}");
    }
    let request = proto::GetRangeRequest { filter: bytes_of(page(1, 2)), ..whole_range("t", &["pk"]) };
    let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows).iter().map(told).collect::<Vec<_>>(), ["1 col2=1 col3=1", "2"]);
}

#[tokio::test]
async fn a_filter_gives_up_at_the_deadline() {
    let server = TestServer::start_impatient().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    // No automaton of a bearable size finds this, and each letter meets every state of it.
    let letters: String =
        (0..64 << 10_u32).map(|at: u32| if at.count_ones().is_multiple_of(2) { 'a' } else { 'b' }).collect();
    for pk in 0..8 {
        server
            .call("PutRow", &put("t", pk, &[("c", ValueRef::String(&letters))]))
            .await
            .ok::<proto::PutRowResponse>();
    }
    let slow = |at: i64| {
        let pattern = format!("[ab]*a[ab]{{{}}}c", 500 + at);
        let transfer = Some(ValueTransfer::new(&pattern, None).unwrap());
        ColumnCondition::from(ColumnTest { transfer, ..ColumnTest::new("c", Comparison::Exists) })
    };
    let filter = condition(ColumnCondition::Or((0..31).map(slow).collect()));
    let range = proto::GetRangeRequest { filter: filter.clone(), ..whole_range("t", &["pk"]) };
    assert_eq!(server.call("GetRange", &range).await.error().0, "OTSServerUnavailable");
    let only_if = proto::Condition { row_existence: 0, column_condition: filter };
    let write = proto::PutRowRequest { condition: only_if, ..put("t", 1, &[]) };
    assert_eq!(server.call("PutRow", &write).await.error().0, "OTSServerBusy");
    assert_eq!(server.scan("t", &["pk"]).await[1].cells.len(), 1, "nothing was written");
}

#[tokio::test]
async fn a_filter_that_breaks_a_rule_is_refused_before_the_table_is_looked_up() {
    let server = server().await;
    let test = |at: i64| ColumnCondition::from(integer("c", Comparator::Equal, at));
    let many = |count| ColumnCondition::And((0..count).map(test).collect());
    let no_or = "Invalid AND/OR operator: the number of sub-filters must be more than 1.";
    let large =
        "The length of attribute column: 'c' exceeds the MaxLength:2097152 with CurrentLength:2097153.";
    for (filter, message) in [
        (condition(many(32)), "The count of filter exceeds the max: 32."),
        (condition(many(1)), no_or),
        (condition(ColumnCondition::Or(Vec::new())), no_or),
        (condition(integer("#c", Comparator::Equal, 1)), "Invalid column name: '#c'."),
        (
            condition(ColumnTest::compare(
                "c",
                Comparator::Less,
                Value::String("x".repeat(2_097_153).into()),
            )),
            large,
        ),
    ] {
        for table in ["t", "missing"] {
            let request = proto::GetRowRequest { filter: filter.clone(), ..get(table, 1) };
            server.call("GetRow", &request).await.refused(400, "OTSParameterInvalid", message);
        }
        let request = proto::GetRangeRequest { filter: filter.clone(), ..whole_range("t", &["pk"]) };
        server.call("GetRange", &request).await.refused(400, "OTSParameterInvalid", message);
    }
    assert_eq!(
        read(&server, &proto::GetRowRequest { filter: condition(many(31)), ..get("t", 1) }).await,
        "none"
    );
    let request = proto::GetRowRequest { filter: Some(Bytes::from_static(b"\xff")), ..get("t", 1) };
    assert_eq!(server.call("GetRow", &request).await.error().0, "OTSParameterInvalid");
}
