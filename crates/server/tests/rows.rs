//! Single rows: written, changed, read and removed, with their conditions and what they return.

use lakeferry_model::{KeyKind, Value, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, WireKeyValue, WireRow, encode};
use lakeferry_wire::proto;

use crate::harness::{TestServer, rows};

/// A request that puts a row with the key `pk`.
pub fn put(table: &str, pk: i64, cells: &[(&str, ValueRef<'_>)]) -> proto::PutRowRequest {
    proto::PutRowRequest { table_name: table.to_owned(), row: row(pk, cells), ..Default::default() }
}

/// A row to put.
pub fn row(pk: i64, cells: &[(&str, ValueRef<'_>)]) -> bytes::Bytes {
    changes(
        pk,
        &cells
            .iter()
            .map(|(name, value)| (*name, Some(*value), CellOperation::Put, None))
            .collect::<Vec<_>>(),
    )
}

/// A request that changes a row with the key `pk`.
pub fn update(table: &str, pk: i64, cells: &[Change<'_>]) -> proto::UpdateRowRequest {
    proto::UpdateRowRequest {
        table_name: table.to_owned(),
        row_change: changes(pk, cells),
        ..Default::default()
    }
}

/// A request for a row with the key `pk`.
pub fn get(table: &str, pk: i64) -> proto::GetRowRequest {
    proto::GetRowRequest {
        table_name: table.to_owned(),
        primary_key: encode::key([("pk", ValueRef::Integer(pk))]),
        max_versions: Some(1),
        ..Default::default()
    }
}

/// A request that removes a row with the key `pk`.
pub fn delete(table: &str, pk: i64) -> proto::DeleteRowRequest {
    let mut row = RowWriter::new();
    row.start_row();
    row.key_cell("pk", ValueRef::Integer(pk));
    row.delete_marker();
    row.end_row();
    proto::DeleteRowRequest { table_name: table.to_owned(), primary_key: row.finish(), ..Default::default() }
}

/// A cell of a row to be written.
pub type Change<'a> = (&'a str, Option<ValueRef<'a>>, CellOperation, Option<i64>);

fn changes(pk: i64, cells: &[Change<'_>]) -> bytes::Bytes {
    let mut row = RowWriter::new();
    row.start_row();
    row.key_cell("pk", ValueRef::Integer(pk));
    for (name, value, operation, timestamp_ms) in cells {
        row.change(name, *value, *operation, *timestamp_ms);
    }
    row.end_row();
    row.finish()
}

/// The first key column and the cells of a row as text: `2 a=1 b=x`.
pub fn told(row: &WireRow) -> String {
    let mut text = match &row.key[0].1 {
        WireKeyValue::Value(value) => value_told(&lakeferry_model::KeyValue::as_ref(value).to_value()),
        other => format!("{other:?}"),
    };
    for cell in &row.cells {
        text.push_str(&format!(
            " {}={}",
            cell.name,
            cell.value.as_ref().map_or_else(String::new, value_told)
        ));
    }
    text
}

fn value_told(value: &Value) -> String {
    match value {
        Value::Integer(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::String(text) => text.to_string(),
        Value::Binary(bytes) => format!("{bytes:?}"),
    }
}

/// The existence that a write expects.
pub fn expecting(existence: proto::RowExistenceExpectation) -> proto::Condition {
    proto::Condition { row_existence: existence.into(), column_condition: None }
}

/// Read and write units.
pub fn units(consumed: &proto::ConsumedCapacity) -> (i32, i32) {
    let unit = &consumed.capacity_unit;
    (unit.read.unwrap(), unit.write.unwrap())
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

#[tokio::test]
async fn a_row_comes_back_as_it_was_put() {
    let server = server().await;
    let cells = [
        ("b", ValueRef::Boolean(true)),
        ("bin", ValueRef::Binary(&[0, 255])),
        ("d", ValueRef::Double(1.5)),
        ("i", ValueRef::Integer(-7)),
        ("s", ValueRef::String("é")),
    ];
    let answer = server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    assert_eq!((units(&answer.consumed), answer.row), ((0, 1), None));
    let answer = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    assert_eq!(units(&answer.consumed), (1, 0));
    let row = &rows(&answer.row)[0];
    assert_eq!(told(row), "1 b=true bin=b\"\\0\\xff\" d=1.5 i=-7 s=é");
    assert!(row.cells.iter().all(|cell| cell.timestamp_ms.is_some()), "every cell has its timestamp");
}

#[tokio::test]
async fn a_missing_row_has_no_bytes_and_costs_a_unit() {
    let server = server().await;
    let answer = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    assert_eq!((answer.row.len(), units(&answer.consumed)), (0, (1, 0)));
    assert_eq!(answer.next_token, None);
}

#[tokio::test]
async fn a_put_replaces_the_row_and_an_update_changes_it() {
    let server = server().await;
    server.call("PutRow", &put("t", 1, &[("a", ValueRef::Integer(1)), ("b", ValueRef::Integer(2))])).await;
    server.call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(3)), ("n", ValueRef::Integer(5))])).await;
    assert_eq!(read(&server, &get("t", 1)).await, "1 c=3 n=5");
    let changes = [
        ("d", Some(ValueRef::String("new")), CellOperation::Put, None),
        ("c", None, CellOperation::DeleteAll, None),
        ("n", Some(ValueRef::Integer(-2)), CellOperation::Increment, None),
    ];
    let answer = server.call("UpdateRow", &update("t", 1, &changes)).await.ok::<proto::UpdateRowResponse>();
    assert_eq!(units(&answer.consumed), (0, 1));
    assert_eq!(read(&server, &get("t", 1)).await, "1 d=new n=3");
    let answer = server.call("DeleteRow", &delete("t", 1)).await.ok::<proto::DeleteRowResponse>();
    assert_eq!(units(&answer.consumed), (0, 1));
    assert_eq!(read(&server, &get("t", 1)).await, "none");
}

#[tokio::test]
async fn an_update_of_deletes_alone_makes_no_row() {
    let server = server().await;
    let changes = [("c", None, CellOperation::DeleteAll, None)];
    server.call("UpdateRow", &update("t", 1, &changes)).await.ok::<proto::UpdateRowResponse>();
    assert_eq!(read(&server, &get("t", 1)).await, "none");
}

#[tokio::test]
async fn a_write_whose_condition_fails_changes_nothing() {
    use proto::RowExistenceExpectation::{ExpectExist, ExpectNotExist};
    let server = server().await;
    let conditional = |existence, value| proto::PutRowRequest {
        condition: expecting(existence),
        ..put("t", 1, &[("c", ValueRef::Integer(value))])
    };
    let answer = server.call("PutRow", &conditional(ExpectExist, 1)).await;
    answer.refused(403, "OTSConditionCheckFail", "Condition check failed.");
    assert_eq!(read(&server, &get("t", 1)).await, "none");
    let answer = server.call("PutRow", &conditional(ExpectNotExist, 2)).await.ok::<proto::PutRowResponse>();
    assert_eq!(units(&answer.consumed), (1, 1));
    let answer = server.call("PutRow", &conditional(ExpectNotExist, 3)).await;
    answer.refused(403, "OTSConditionCheckFail", "Condition check failed.");
    assert_eq!(read(&server, &get("t", 1)).await, "1 c=2");
    let conditional = proto::DeleteRowRequest { condition: expecting(ExpectExist), ..delete("t", 1) };
    let answer = server.call("DeleteRow", &conditional).await.ok::<proto::DeleteRowResponse>();
    assert_eq!(units(&answer.consumed), (1, 1));
    assert_eq!(server.call("DeleteRow", &conditional).await.error().0, "OTSConditionCheckFail");
}

#[tokio::test]
async fn a_write_returns_its_key_if_it_is_asked_to() {
    let server = server().await;
    let content = Some(proto::ReturnContent {
        return_type: Some(proto::ReturnType::Pk.into()),
        return_column_names: Vec::new(),
    });
    let cells = [("c", ValueRef::Integer(1))];
    let request = proto::PutRowRequest { return_content: content.clone(), ..put("t", 7, &cells) };
    let answer = server.call("PutRow", &request).await.ok::<proto::PutRowResponse>();
    assert_eq!(rows(&answer.row.unwrap()).iter().map(told).collect::<Vec<_>>(), ["7"]);
    let request = proto::DeleteRowRequest { return_content: content, ..delete("t", 7) };
    let answer = server.call("DeleteRow", &request).await.ok::<proto::DeleteRowResponse>();
    assert_eq!(rows(&answer.row.unwrap()).iter().map(told).collect::<Vec<_>>(), ["7"]);
}

#[tokio::test]
async fn an_increment_returns_its_sum_if_it_is_asked_to() {
    let server = server().await;
    let request = proto::UpdateRowRequest {
        return_content: Some(proto::ReturnContent {
            return_type: Some(proto::ReturnType::AfterModify.into()),
            return_column_names: vec!["n".to_owned()],
        }),
        ..update("t", 1, &[("n", Some(ValueRef::Integer(4)), CellOperation::Increment, None)])
    };
    for sum in ["1 n=4", "1 n=8"] {
        let answer = server.call("UpdateRow", &request).await.ok::<proto::UpdateRowResponse>();
        assert_eq!(rows(&answer.row.unwrap()).iter().map(told).collect::<Vec<_>>(), [sum]);
    }
}

#[tokio::test]
async fn a_read_shows_the_columns_it_asks_for() {
    let server = server().await;
    let cells: Vec<(&str, ValueRef<'_>)> =
        ["a", "b", "c", "d"].map(|name| (name, ValueRef::Integer(1))).to_vec();
    server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    let asking = |columns: &[&str], start: Option<&str>, end: Option<&str>| proto::GetRowRequest {
        columns_to_get: columns.iter().map(|&name| name.to_owned()).collect(),
        start_column: start.map(str::to_owned),
        end_column: end.map(str::to_owned),
        ..get("t", 1)
    };
    for (columns, start, end, expected) in [
        (&["c", "a", "c"][..], None, None, "1 a=1 c=1"),
        (&["x"], None, None, "none"),
        (&["pk"], None, None, "1"),
        (&["pk", "b"], None, None, "1 b=1"),
        (&[], Some("b"), Some("d"), "1 b=1 c=1"),
        (&[], Some("x"), None, "1"),
        (&["a"], Some("b"), None, "none"),
    ] {
        assert_eq!(
            read(&server, &asking(columns, start, end)).await,
            expected,
            "{columns:?} {start:?} {end:?}"
        );
    }
}

#[tokio::test]
async fn a_read_shows_the_versions_it_asks_for() {
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
    let range = |start, end| {
        Some(proto::TimeRange { start_time: Some(start), end_time: Some(end), specific_time: None })
    };
    let at = |ms| Some(proto::TimeRange { start_time: None, end_time: None, specific_time: Some(ms) });
    for (max_versions, time_range, expected) in [
        (Some(9), None, "1 c=4 c=3 c=2"),
        (Some(2), None, "1 c=4 c=3"),
        (Some(1), range(1, 4), "1 c=3"),
        (None, range(0, 4), "1 c=3 c=2"),
        (None, at(2), "1 c=2"),
        // The table keeps three versions, so the oldest is gone.
        (None, at(1), "1"),
    ] {
        let request = proto::GetRowRequest { max_versions, time_range, ..get("t", 1) };
        assert_eq!(read(&server, &request).await, expected, "{max_versions:?} {time_range:?}");
    }
}

#[tokio::test]
async fn two_values_of_a_unit_each_cost_three_units() {
    let server = server().await;
    let value = "x".repeat(4096);
    let cells = [("a", ValueRef::String(&value)), ("b", ValueRef::String(&value))];
    let answer = server.call("PutRow", &put("t", 1, &cells)).await.ok::<proto::PutRowResponse>();
    assert_eq!(units(&answer.consumed), (0, 3));
    let answer = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    assert_eq!(units(&answer.consumed), (3, 0));
}

#[tokio::test]
async fn what_comes_later_is_refused_and_never_passed_over() {
    let server = server().await;
    let refused = |answer: crate::harness::Answer, part: &str| {
        let (code, message) = answer.error();
        assert_eq!((answer.status.as_u16(), code.as_str()), (400, "OTSUnsupportOperation"));
        assert!(message.contains(part), "{message}");
    };
    let request = proto::GetRowRequest { transaction_id: Some("x".into()), ..get("t", 1) };
    refused(server.call("GetRow", &request).await, "transaction");
    let cells = [("c", ValueRef::Integer(1))];
    let request = proto::PutRowRequest { transaction_id: Some("x".into()), ..put("t", 1, &cells) };
    refused(server.call("PutRow", &request).await, "transaction");
    let request = proto::GetRowRequest { token: Some("x".into()), ..get("t", 1) };
    assert_eq!(server.call("GetRow", &request).await.error().0, "OTSParameterInvalid");
    assert_eq!(read(&server, &get("t", 1)).await, "none");
}
