//! Keys that the server picks, atomic batches, imports, and the options that writes obey.

use bytes::Bytes;
use lakeferry_model::{
    CellChange, ColumnUpdate, DefinedColumn, DefinedKind, KeyKind, KeyValue, TableName, Value, ValueKind,
    ValueRef,
};
use lakeferry_wire::plain_buffer::{CellOperation, WireKeyValue, WireRow, encode};
use lakeferry_wire::proto::{self, OperationType, RowExistenceExpectation};

use crate::batches::{batch, put_in_batch};
use crate::harness::{TestServer, create_table, rows};
use crate::rows::{delete, expecting, get, put, row, told, update};

// Keys that the server picks.

async fn auto_server() -> TestServer {
    let server = TestServer::start().await;
    let mut request = create_table("t", &[("user", KeyKind::String), ("id", KeyKind::Integer)]);
    request.table_meta.primary_key[1].option = Some(proto::PrimaryKeyOption::AutoIncrement.into());
    server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    server
}

fn auto_key(user: &str, id: Option<i64>) -> [(&str, Option<ValueRef<'_>>); 2] {
    [("user", Some(ValueRef::String(user))), ("id", id.map(ValueRef::Integer))]
}

fn auto_row(user: &str, id: Option<i64>) -> Bytes {
    let cell = CellChange { name: "c".into(), update: ColumnUpdate::Put(Value::Integer(1), None) };
    encode::insert(auto_key(user, id), &[cell])
}

fn auto_put(user: &str, id: Option<i64>) -> proto::PutRowRequest {
    let return_content = Some(proto::ReturnContent {
        return_type: Some(proto::ReturnType::Pk.into()),
        return_column_names: Vec::new(),
    });
    proto::PutRowRequest {
        table_name: "t".into(),
        row: auto_row(user, id),
        return_content,
        ..Default::default()
    }
}

fn id_of(row: &WireRow) -> i64 {
    match &row.key[1] {
        (name, WireKeyValue::Value(KeyValue::Integer(id))) if *name == "id" => *id,
        other => panic!("{other:?} is no picked value"),
    }
}

#[tokio::test]
async fn a_put_with_the_placeholder_answers_the_value_that_was_picked() {
    let server = auto_server().await;
    let mut last = 0;
    for user in ["a", "b", "a"] {
        let answer = server.call("PutRow", &auto_put(user, None)).await.ok::<proto::PutRowResponse>();
        let id = id_of(&rows(&answer.row.unwrap())[0]);
        assert!(id > last);
        last = id;
    }
    let server = server.restart().await;
    let answer = server.call("PutRow", &auto_put("a", None)).await.ok::<proto::PutRowResponse>();
    assert!(id_of(&rows(&answer.row.unwrap())[0]) > last);
    let scanned = server.scan("t", &["user", "id"]).await;
    assert_eq!(scanned.len(), 4);
    assert!(scanned[..3].is_sorted_by(|a, b| id_of(a) < id_of(b)), "within a user they rise");
    let described = proto::DescribeTableRequest { table_name: "t".into() };
    let described = server.call("DescribeTable", &described).await.ok::<proto::DescribeTableResponse>();
    let options: Vec<Option<i32>> =
        described.table_meta.primary_key.iter().map(|column| column.option).collect();
    assert_eq!(options, [None, Some(1)]);
}

#[tokio::test]
async fn a_key_of_ones_own_must_be_that_of_a_row_that_is_there() {
    let server = auto_server().await;
    let answer = server.call("PutRow", &auto_put("a", Some(1))).await;
    answer.refused(403, "OTSConditionCheckFail", "Condition check failed.");
    let answer = server.call("PutRow", &auto_put("a", None)).await.ok::<proto::PutRowResponse>();
    let id = id_of(&rows(&answer.row.unwrap())[0]);
    server.call("PutRow", &auto_put("a", Some(id))).await.ok::<proto::PutRowResponse>();
    let item = |id| proto::RowInBatchWriteRowRequest {
        r#type: OperationType::Put.into(),
        row_change: auto_row("a", id),
        ..Default::default()
    };
    let request = batch(vec![("t", vec![item(Some(id + 1)), item(None), item(Some(id))])]);
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    let told: Vec<Option<&str>> = answer.tables[0].rows.iter().map(code).collect();
    assert_eq!(told, [Some("OTSConditionCheckFail"), None, None]);
    assert_eq!(server.scan("t", &["user", "id"]).await.len(), 2);
}

fn code(row: &proto::RowInBatchWriteRowResponse) -> Option<&str> {
    row.error.as_ref().map(|error| error.code.as_str())
}

#[tokio::test]
async fn an_update_with_the_placeholder_makes_a_new_row() {
    let server = auto_server().await;
    let add = |update| [CellChange { name: "c".into(), update }];
    let request = |id, by| proto::UpdateRowRequest {
        table_name: "t".into(),
        row_change: encode::insert(auto_key("a", id), &add(ColumnUpdate::Increment(by))),
        return_content: auto_put("a", None).return_content,
        ..Default::default()
    };
    let answer = server.call("UpdateRow", &request(None, 1)).await.ok::<proto::UpdateRowResponse>();
    let id = id_of(&rows(&answer.row.unwrap())[0]);
    server.call("UpdateRow", &request(Some(id), 15)).await.ok::<proto::UpdateRowResponse>();
    let answer = server.call("UpdateRow", &request(Some(id + 1), 15)).await;
    answer.refused(403, "OTSConditionCheckFail", "Condition check failed.");
    let answer = server.call("UpdateRow", &request(None, 7)).await.ok::<proto::UpdateRowResponse>();
    assert!(id_of(&rows(&answer.row.unwrap())[0]) > id);
    let scanned = server.scan("t", &["user", "id"]).await;
    let sums: Vec<_> = scanned.iter().map(|row| row.cells[0].value.clone()).collect();
    assert_eq!(sums, [Some(Value::Integer(16)), Some(Value::Integer(7))]);
    let put = ColumnUpdate::DeleteAll;
    let nothing = proto::UpdateRowRequest {
        row_change: encode::insert(auto_key("a", None), &add(put)),
        ..request(None, 0)
    };
    server.call("UpdateRow", &nothing).await.ok::<proto::UpdateRowResponse>();
    assert_eq!(server.scan("t", &["user", "id"]).await.len(), 2, "nothing was put into it");
}

#[tokio::test]
async fn the_placeholder_stands_for_the_picked_column_alone() {
    let server = auto_server().await;
    let refused = "VT_AUTO_INCREMENT is an invalid type for the primary key.";
    let key = encode::insert(auto_key("a", None), &[]);
    let removed =
        proto::DeleteRowRequest { table_name: "t".into(), primary_key: key.clone(), ..Default::default() };
    server.call("DeleteRow", &removed).await.refused(400, "OTSParameterInvalid", refused);
    let read = proto::GetRowRequest {
        table_name: "t".into(),
        primary_key: key,
        max_versions: Some(1),
        ..Default::default()
    };
    server.call("GetRow", &read).await.refused(400, "OTSParameterInvalid", refused);
    let wrong = encode::insert([("user", None), ("id", Some(ValueRef::Integer(1)))], &[]);
    let request = proto::PutRowRequest { row: wrong, ..auto_put("a", None) };
    let message = "Validate PK type fail. Input: VT_AUTO_INCREMENT, Meta: VT_STRING.";
    server.call("PutRow", &request).await.refused(400, "OTSInvalidPK", message);
    let two = encode::insert([("user", None), ("id", None)], &[]);
    let request = proto::PutRowRequest { row: two, ..auto_put("a", None) };
    let message = "At most one primary key column can be VT_AUTO_INCREMENT.";
    server.call("PutRow", &request).await.refused(400, "OTSParameterInvalid", message);
    let wrong_name = encode::insert([("user", Some(ValueRef::String("a"))), ("x", None)], &[]);
    let request = proto::PutRowRequest { row: wrong_name, ..auto_put("a", None) };
    let message = "Validate PK name fail. Input: x, Meta: id.";
    server.call("PutRow", &request).await.refused(400, "OTSInvalidPK", message);
    assert!(server.scan("t", &["user", "id"]).await.is_empty());
}

// Atomic batches.

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.make_table("u", &[("pk", KeyKind::Integer)]).await;
    server
}

async fn scanned(server: &TestServer, table: &str) -> Vec<String> {
    server.scan(table, &["pk"]).await.iter().map(told).collect()
}

async fn atomic(
    server: &TestServer,
    tables: Vec<(&str, Vec<proto::RowInBatchWriteRowRequest>)>,
) -> Vec<Vec<String>> {
    let request = proto::BatchWriteRowRequest { is_atomic: Some(true), ..batch(tables) };
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    let row = |row: &proto::RowInBatchWriteRowResponse| match &row.error {
        None => {
            assert!(row.is_ok && row.consumed.is_some());
            row.row.as_ref().map_or("ok".to_owned(), |row| told(&rows(row)[0]))
        }
        Some(error) => format!("{} {}", error.code, error.message()),
    };
    answer.tables.iter().map(|table| table.rows.iter().map(row).collect()).collect()
}

#[tokio::test]
async fn an_atomic_batch_is_written_whole_or_not_at_all() {
    let server = server().await;
    let mut removed = put_in_batch(1, 0);
    removed.r#type = OperationType::Delete.into();
    removed.row_change = delete("t", 1).primary_key;
    let mut returned = put_in_batch(1, 3);
    returned.return_content = Some(proto::ReturnContent {
        return_type: Some(proto::ReturnType::Pk.into()),
        return_column_names: Vec::new(),
    });
    let rows = vec![put_in_batch(1, 1), removed, returned];
    assert_eq!(atomic(&server, vec![("t", rows)]).await, [["ok", "ok", "1"]]);
    assert_eq!(scanned(&server, "t").await, ["1 c=3"]);
    let failing = proto::RowInBatchWriteRowRequest {
        condition: expecting(RowExistenceExpectation::ExpectNotExist),
        ..put_in_batch(1, 4)
    };
    let told = atomic(&server, vec![("t", vec![put_in_batch(1, 5), failing])]).await;
    assert_eq!(told, [["OTSConditionCheckFail Condition check failed."; 2]]);
    assert_eq!(scanned(&server, "t").await, ["1 c=3"]);
}

#[tokio::test]
async fn rows_that_do_not_share_a_partition_key_are_no_atomic_batch() {
    let server = server().await;
    let error = "OTSDataOutOfRange Data out of scope of atomic. Atomic PartKey:0. Data PartKey:1";
    let told = atomic(&server, vec![("t", vec![put_in_batch(0, 1), put_in_batch(0, 2), put_in_batch(1, 1)])]);
    assert_eq!(told.await, [[error; 3]]);
    let told = atomic(&server, vec![("t", vec![put_in_batch(0, 1)]), ("u", vec![put_in_batch(1, 1)])]).await;
    assert_eq!(told, [[error], [error]]);
    let told = atomic(&server, vec![("missing", vec![put_in_batch(0, 1), put_in_batch(0, 2)])]).await;
    assert_eq!(told, [["OTSObjectNotExist Requested table does not exist."; 2]]);
    let wrong = proto::RowInBatchWriteRowRequest {
        row_change: encode::key([("id", ValueRef::Integer(0))]),
        ..put_in_batch(0, 1)
    };
    let told = atomic(&server, vec![("t", vec![put_in_batch(0, 1), wrong])]).await;
    assert_eq!(told, [["OTSInvalidPK Validate PK name fail. Input: id, Meta: pk."; 2]]);
    assert!(scanned(&server, "t").await.is_empty() && scanned(&server, "u").await.is_empty());
    // A table that is named twice is one table.
    let told = atomic(&server, vec![("t", vec![put_in_batch(0, 1)]), ("t", vec![put_in_batch(0, 2)])]).await;
    assert_eq!(told, [["ok"], ["ok"]]);
    assert_eq!(scanned(&server, "t").await, ["0 c=2"]);
}

// Imports.

fn import(table: &str, rows: Vec<proto::RowInBulkImportRequest>) -> proto::BulkImportRequest {
    proto::BulkImportRequest { table_name: table.into(), rows }
}

fn imported(kind: OperationType, row_change: Bytes) -> proto::RowInBulkImportRequest {
    proto::RowInBulkImportRequest { r#type: kind.into(), row_change }
}

#[tokio::test]
async fn an_import_answers_the_bytes_of_each_row() {
    let server = server().await;
    let value = [("c", ValueRef::Integer(1))];
    let rows = vec![
        imported(OperationType::Put, row(1, &value)),
        imported(
            OperationType::Update,
            update("t", 2, &[("d", Some(ValueRef::Double(1.5)), CellOperation::Put, None)]).row_change,
        ),
        imported(OperationType::Put, row(3, &value)),
        imported(OperationType::Delete, delete("t", 3).primary_key),
    ];
    let answer = server.call("BulkImport", &import("t", rows)).await.ok::<proto::BulkImportResponse>();
    assert_eq!(answer.table_name, "t");
    let sizes: Vec<i64> = answer.rows.iter().map(size).collect();
    assert_eq!(sizes, [19, 19, 19, 10], "names and values, of a delete the key alone");
    assert_eq!(scanned(&server, "t").await, ["1 c=1", "2 d=1.5"]);
}

fn size(row: &proto::RowInBulkImportResponse) -> i64 {
    assert!(row.is_ok, "{:?}", row.error);
    let consumed = row.consumed.as_ref().unwrap();
    assert_eq!(crate::rows::units(consumed), (0, 0));
    consumed.capacity_data_size.as_ref().unwrap().write_size()
}

#[tokio::test]
async fn a_row_of_an_import_fails_alone() {
    let server = TestServer::start().await;
    let mut schema = lakeferry_model::TableSchema {
        name: TableName::parse("t").unwrap(),
        primary_key: vec![lakeferry_model::KeyColumn {
            name: "pk".into(),
            kind: KeyKind::Integer,
            auto_increment: false,
        }],
        defined_columns: Vec::new(),
    };
    schema.defined_columns =
        vec![DefinedColumn { name: "DC2".into(), kind: DefinedKind(ValueKind::Integer) }];
    let create =
        lakeferry_wire::convert::create_table_request(&schema, &Default::default(), Default::default(), None);
    server.call("CreateTable", &create).await.ok::<proto::CreateTableResponse>();
    let rows = vec![
        imported(OperationType::Put, row(1, &[("DC2", ValueRef::Integer(1))])),
        imported(OperationType::Put, row(2, &[("DC2", ValueRef::Binary(&[1]))])),
        imported(OperationType::Put, encode::key([("pk", ValueRef::String("a"))])),
        imported(OperationType::Put, row(3, &[])),
    ];
    let answer =
        server.call("BulkImport", &import("t", rows.clone())).await.ok::<proto::BulkImportResponse>();
    let told = |answer: &proto::BulkImportResponse| -> Vec<String> {
        let row = |row: &proto::RowInBulkImportResponse| {
            row.error.as_ref().map_or("ok".into(), |error| format!("{} {}", error.code, error.message()))
        };
        answer.rows.iter().map(row).collect()
    };
    assert_eq!(
        told(&answer),
        [
            "ok",
            "OTSParameterInvalid Invalid column type for column DC2 expect VT_INTEGER actual VT_BLOB",
            "OTSInvalidPK Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.",
            "ok",
        ]
    );
    let answer = server.call("BulkImport", &import("missing", rows)).await.ok::<proto::BulkImportResponse>();
    assert_eq!(told(&answer), ["OTSObjectNotExist Requested table does not exist."; 4]);
    let message = "No operation is specified for table: 't'.";
    let answer = server.call("BulkImport", &import("t", Vec::new())).await;
    answer.refused(400, "OTSParameterInvalid", message);
    let many = vec![imported(OperationType::Put, row(1, &[])); 201];
    let answer = server.call("BulkImport", &import("t", many)).await;
    answer.refused(400, "OTSParameterInvalid", "Rows count exceeds the upper limit: 200.");
    assert_eq!(scanned(&server, "t").await, ["1 DC2=1", "3"]);
}

// Options that writes obey.

#[tokio::test]
async fn a_table_may_forbid_updates_and_allow_them_again() {
    let server = server().await;
    let allow = |allowed| proto::UpdateTableRequest {
        table_name: "t".into(),
        table_options: Some(proto::TableOptions { allow_update: Some(allowed), ..Default::default() }),
        ..Default::default()
    };
    server.call("UpdateTable", &allow(false)).await.ok::<proto::UpdateTableResponse>();
    let change = update("t", 1, &[("c", Some(ValueRef::Integer(1)), CellOperation::Put, None)]);
    let answer = server.call("UpdateRow", &change).await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (400, "OTSParameterInvalid"));
    let item = proto::RowInBatchWriteRowRequest {
        r#type: OperationType::Update.into(),
        row_change: change.row_change.clone(),
        ..Default::default()
    };
    let request = batch(vec![("t", vec![item, put_in_batch(2, 2)])]);
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    assert_eq!(
        answer.tables[0].rows.iter().map(code).collect::<Vec<_>>(),
        [Some("OTSParameterInvalid"), None]
    );
    server.call("UpdateTable", &allow(true)).await.ok::<proto::UpdateTableResponse>();
    server.call("UpdateRow", &change).await.ok::<proto::UpdateRowResponse>();
    assert_eq!(scanned(&server, "t").await, ["1 c=1", "2 c=2"]);
}

#[tokio::test]
async fn an_update_of_a_full_row_makes_all_its_columns_as_young_as_itself() {
    let server = TestServer::start().await;
    let mut request = create_table("t", &[("pk", KeyKind::Integer)]);
    let mut options = request.table_options.unwrap_or_default();
    options.update_full_row = Some(true);
    request.table_options = Some(options);
    server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    let described = proto::DescribeTableRequest { table_name: "t".into() };
    let described = server.call("DescribeTable", &described).await.ok::<proto::DescribeTableResponse>();
    assert_eq!(described.table_options.update_full_row, Some(true));
    server.call("PutRow", &put("t", 1, &[("a", ValueRef::Integer(1)), ("b", ValueRef::Integer(2))])).await;
    let change = update("t", 1, &[("b", Some(ValueRef::Integer(3)), CellOperation::Put, None)]);
    server.call("UpdateRow", &change).await.ok::<proto::UpdateRowResponse>();
    let answer = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    let row = &rows(&answer.row)[0];
    assert_eq!(told(row), "1 a=1 b=3");
    assert_eq!(row.cells[0].timestamp_ms, row.cells[1].timestamp_ms);
}

#[tokio::test]
async fn a_timestamp_outside_the_tables_window_is_refused() {
    let server = server().await;
    let change = update("t", 1, &[("c", Some(ValueRef::Integer(1)), CellOperation::Put, Some(1_000))]);
    let answer = server.call("UpdateRow", &change).await;
    let (code, message) = answer.error();
    assert_eq!(code, "OTSParameterInvalid");
    assert!(message.starts_with("Timestamp must be in range ["), "{message}");
    assert!(scanned(&server, "t").await.is_empty());
}

#[tokio::test]
async fn what_a_write_returns_must_be_what_it_increments() {
    let server = server().await;
    let returning = |kind: proto::ReturnType, names: &[&str]| proto::UpdateRowRequest {
        return_content: Some(proto::ReturnContent {
            return_type: Some(kind.into()),
            return_column_names: names.iter().map(|name| (*name).to_owned()).collect(),
        }),
        ..update(
            "t",
            1,
            &[
                ("n", Some(ValueRef::Integer(4)), CellOperation::Increment, None),
                ("p", Some(ValueRef::Integer(1)), CellOperation::Put, None),
            ],
        )
    };
    use proto::ReturnType::{AfterModify, None as Nothing, Pk};
    for (kind, names) in
        [(AfterModify, &["p"][..]), (AfterModify, &["n", "x"]), (Pk, &["n"]), (Nothing, &["n"])]
    {
        let answer = server.call("UpdateRow", &returning(kind, names)).await;
        assert_eq!(answer.error().0, "OTSParameterInvalid", "{kind:?} {names:?}");
    }
    assert!(scanned(&server, "t").await.is_empty(), "what is refused changes nothing");
    for (kind, names, expected) in [
        (Nothing, &[][..], None),
        (Pk, &[], Some("1")),
        (AfterModify, &[], Some("1")),
        (AfterModify, &["n"], Some("1 n=16")),
    ] {
        let answer = server.call("UpdateRow", &returning(kind, names)).await.ok::<proto::UpdateRowResponse>();
        let row = answer.row.map(|row| told(&rows(&row)[0]));
        assert_eq!(row.as_deref(), expected, "{kind:?}");
    }
}
