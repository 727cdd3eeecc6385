//! Pages with one value for each column: BulkExport, and GetRange where it is asked to.

use lakeferry_model::filter::{ColumnTest, Comparator};
use lakeferry_model::{ColumnCondition, KeyBound, KeyKind, Value, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, encode};
use lakeferry_wire::row_matrix::{self, Matrix};
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, rows, whole_range};

const KEY: [&str; 3] = ["a", "b", "c"];
/// Names and values of a row's key.
const KEY_BYTES: i64 = 3 + 1 + 8 + 8;

/// A server with rows of three key columns, `n` from 0 on: (x, n, n) and two attributes, of which odd rows lack
/// the second.
async fn server(count: i64) -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("a", KeyKind::String), ("b", KeyKind::Integer), ("c", KeyKind::Integer)]).await;
    for n in 0..count {
        let mut cells = vec![("v", ValueRef::Integer(n))];
        if n % 2 == 0 {
            cells.push(("w", ValueRef::String("even")));
        }
        put(&server, n, &cells).await;
    }
    server
}

async fn put(server: &TestServer, n: i64, cells: &[(&str, ValueRef<'_>)]) {
    let mut row = RowWriter::new();
    row.start_row();
    row.key_cell("a", ValueRef::String("x"));
    row.key_cell("b", ValueRef::Integer(n));
    row.key_cell("c", ValueRef::Integer(n));
    for (name, value) in cells {
        row.change(name, Some(*value), CellOperation::Put, None);
    }
    row.end_row();
    let request = proto::PutRowRequest { table_name: "t".into(), row: row.finish(), ..Default::default() };
    server.call("PutRow", &request).await.ok::<proto::PutRowResponse>();
}

fn export(columns: &[&str]) -> proto::BulkExportRequest {
    proto::BulkExportRequest {
        table_name: "t".into(),
        columns_to_get: columns.iter().map(|&name| name.to_owned()).collect(),
        inclusive_start_primary_key: encode::bound(KEY.map(|name| (name, &KeyBound::InfMin))),
        exclusive_end_primary_key: encode::bound(KEY.map(|name| (name, &KeyBound::InfMax))),
        ..Default::default()
    }
}

async fn exported(server: &TestServer, request: &proto::BulkExportRequest) -> proto::BulkExportResponse {
    server.call("BulkExport", request).await.ok::<proto::BulkExportResponse>()
}

fn matrix(answer: &proto::BulkExportResponse) -> Matrix {
    assert_eq!(answer.data_block_type, Some(proto::DataBlockType::SimpleRowMatrix.into()));
    row_matrix::decode(&answer.rows).unwrap()
}

/// The rows as text, `-` for what is absent.
fn told(matrix: &Matrix) -> Vec<String> {
    let value = |value: &Option<Value>| match value {
        None => "-".to_owned(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => format!("{other:?}"),
    };
    matrix.rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join(" ")).collect()
}

fn sizes(consumed: &proto::ConsumedCapacity) -> (Option<i32>, Option<i32>, Option<i64>) {
    let unit = &consumed.capacity_unit;
    (unit.read, unit.write, consumed.capacity_data_size.as_ref().unwrap().read_size)
}

#[tokio::test]
async fn an_export_has_the_columns_that_are_named_keys_first() {
    let server = server(3).await;
    let answer = exported(&server, &export(&["w", "c", "v", "b", "w"])).await;
    let block = matrix(&answer);
    assert_eq!((block.key_names.clone(), block.entire_key), (vec!["b".into(), "c".into()], false));
    assert_eq!(block.attribute_names, ["v", "w"]);
    assert_eq!(told(&block), ["0 0 0 even", "1 1 1 -", "2 2 2 even"]);
    // Names and values: of the whole key, whatever of it is named, a number of each row, and a text of two.
    assert_eq!(sizes(&answer.consumed), (Some(0), Some(0), Some(3 * (KEY_BYTES + 9) + 2 * 5)));
    assert_eq!(answer.next_start_primary_key, None);
    let block = matrix(&exported(&server, &export(&["a", "b", "c", "v"])).await);
    assert!(block.entire_key);
    assert_eq!(told(&block)[1], "x 1 1 1");
}

#[tokio::test]
async fn a_row_without_any_column_that_is_named_is_left_out() {
    let server = server(3).await;
    let block = matrix(&exported(&server, &export(&["w"])).await);
    assert!(block.key_names.is_empty());
    assert_eq!(told(&block), ["even", "even"]);
    // Its key is named, so it is there.
    assert_eq!(told(&matrix(&exported(&server, &export(&["b", "w"])).await)), ["0 even", "1 -", "2 even"]);
}

#[tokio::test]
async fn an_empty_export_is_a_block_without_rows() {
    let server = server(0).await;
    let answer = exported(&server, &export(&["a", "v"])).await;
    let block = matrix(&answer);
    assert!(block.rows.is_empty());
    assert_eq!((block.key_names, block.attribute_names), (vec!["a".into()], vec!["v".into()]));
    assert_eq!(sizes(&answer.consumed), (Some(0), Some(0), Some(0)));
}

#[tokio::test]
async fn an_export_of_rows_has_their_whole_keys() {
    let server = server(2).await;
    let plain = proto::BulkExportRequest {
        data_block_type_hint: Some(proto::DataBlockType::PlainBuffer.into()),
        ..export(&["v"])
    };
    let answer = exported(&server, &plain).await;
    assert_eq!(answer.data_block_type, Some(proto::DataBlockType::PlainBuffer.into()));
    let read = rows(&answer.rows);
    assert_eq!(read.iter().map(|row| (row.key.len(), row.cells.len())).collect::<Vec<_>>(), [(3, 1), (3, 1)]);
    assert_eq!(sizes(&answer.consumed).2, Some(2 * (KEY_BYTES + 9)));
    let all = proto::BulkExportRequest { columns_to_get: Vec::new(), ..plain };
    assert_eq!(rows(&exported(&server, &all).await.rows)[0].cells.len(), 2);
}

#[tokio::test]
async fn an_export_has_newest_versions_of_rows_that_pass_its_filter() {
    let server = server(6).await;
    let options = proto::TableOptions { max_versions: Some(3), ..Default::default() };
    let request = proto::UpdateTableRequest {
        table_name: "t".into(),
        table_options: Some(options),
        ..Default::default()
    };
    server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    put(&server, 3, &[("v", ValueRef::Integer(30)), ("w", ValueRef::String("new"))]).await;
    let above = ColumnTest::compare("v", Comparator::GreaterOrEqual, Value::Integer(4));
    let filter = convert::filter_bytes(&ColumnCondition::from(above).into());
    let request = proto::BulkExportRequest { filter, ..export(&["b", "v", "w"]) };
    let answer = exported(&server, &request).await;
    assert_eq!(told(&matrix(&answer)), ["3 30 new", "4 4 even", "5 5 -"]);
    // Rows that the filter leaves out were read, too.
    assert_eq!(sizes(&answer.consumed).2, Some(6 * (KEY_BYTES + 9) + 3 * 5 + 4));
}

#[tokio::test]
async fn an_export_goes_on_page_by_page() {
    let server = server(0).await;
    let value = "x".repeat(900_000);
    for n in 0..7 {
        put(&server, n, &[("v", ValueRef::String(&value))]).await;
    }
    let mut request = export(&["b", "v"]);
    let mut pages = Vec::new();
    loop {
        let answer = exported(&server, &request).await;
        let numbers = matrix(&answer).rows.into_iter().map(|row| row[0].clone().unwrap());
        pages.push(numbers.collect::<Vec<_>>());
        match answer.next_start_primary_key {
            Some(next) => request.inclusive_start_primary_key = next,
            None => break,
        }
    }
    assert_eq!(
        pages.iter().map(Vec::len).collect::<Vec<_>>(),
        [5, 2],
        "a page ends with the row that fills it"
    );
    assert_eq!(pages.concat(), (0..7).map(Value::Integer).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_that_breaks_a_rule_is_refused() {
    let server = server(1).await;
    let refused = async |request: proto::BulkExportRequest, status, code: &str, message: &str| {
        server.call("BulkExport", &request).await.refused(status, code, message);
    };
    let parameter = "OTSParameterInvalid";
    let message = "DBT_SIMPLE_ROW_MATRIX need at least one column to get.";
    refused(export(&[]), 400, parameter, message).await;
    let message =
        "The number of columns from the request exceeds the limit, limit count: 1024, column count: 1025.";
    refused(export(&["v"; 1025]), 400, parameter, message).await;
    let bounds = export(&["v"]);
    let inverted = proto::BulkExportRequest {
        inclusive_start_primary_key: bounds.exclusive_end_primary_key.clone(),
        exclusive_end_primary_key: bounds.inclusive_start_primary_key.clone(),
        ..bounds
    };
    refused(inverted, 400, parameter, "Begin key must less than end key in FORWARD").await;
    let short = proto::BulkExportRequest {
        inclusive_start_primary_key: encode::bound(["a", "b"].map(|name| (name, &KeyBound::InfMin))),
        ..export(&["v"])
    };
    refused(short, 400, "OTSInvalidPK", "Validate PK size fail. Input: 2, Meta: 3.").await;
    let missing = proto::BulkExportRequest { table_name: "missing".into(), ..export(&["v"]) };
    refused(missing, 404, "OTSObjectNotExist", "Requested table does not exist.").await;
}

#[tokio::test]
async fn a_range_is_a_matrix_if_it_asks_for_one() {
    let server = server(3).await;
    let request = proto::GetRangeRequest {
        columns_to_get: vec!["w".into(), "v".into()],
        data_block_type_hint: Some(proto::DataBlockType::SimpleRowMatrix.into()),
        limit: Some(2),
        ..whole_range("t", &KEY)
    };
    let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
    assert_eq!(answer.data_block_type, Some(proto::DataBlockType::SimpleRowMatrix.into()));
    let block = row_matrix::decode(&answer.rows).unwrap();
    assert!(block.entire_key && block.key_names.len() == 3);
    assert_eq!(told(&block), ["x 0 0 0 even", "x 1 1 1 -"]);
    assert!(answer.next_start_primary_key.is_some());
    let fewer = proto::GetRangeRequest { return_entire_primary_keys: Some(false), ..request.clone() };
    let answer = server.call("GetRange", &fewer).await.ok::<proto::GetRangeResponse>();
    assert!(row_matrix::decode(&answer.rows).unwrap().key_names.is_empty());
    // Without names there are no columns to put values into: the answer says that it has rows.
    let all = proto::GetRangeRequest { columns_to_get: Vec::new(), ..request };
    let answer = server.call("GetRange", &all).await.ok::<proto::GetRangeResponse>();
    assert_eq!(answer.data_block_type, Some(proto::DataBlockType::PlainBuffer.into()));
    assert_eq!(rows(&answer.rows).len(), 2);
}
