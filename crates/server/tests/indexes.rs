//! Secondary indexes, defined columns and split points, as clients ask for them.

use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, encode};
use lakeferry_wire::proto;

use crate::harness::{TestServer, create_table, rows};
use crate::rows::{delete, get, put, told, update};

/// The table `t` with the key `pk`, the columns `i` and `s` declared, and these indexes.
fn table(indexes: &[proto::IndexMeta]) -> proto::CreateTableRequest {
    let mut request = create_table("t", &[("pk", KeyKind::Integer)]);
    request.table_meta.defined_column = vec![
        defined("i", proto::DefinedColumnType::Integer),
        defined("s", proto::DefinedColumnType::String),
        defined("d", proto::DefinedColumnType::Double),
    ];
    request.index_metas = indexes.to_vec();
    request
}

fn defined(name: &str, kind: proto::DefinedColumnType) -> proto::DefinedColumnSchema {
    proto::DefinedColumnSchema { name: name.into(), r#type: kind.into() }
}

fn global(name: &str, key: &[&str], carried: &[&str]) -> proto::IndexMeta {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    proto::IndexMeta {
        name: name.into(),
        primary_key: names(key),
        defined_column: names(carried),
        index_update_mode: proto::IndexUpdateMode::AsyncIndex.into(),
        index_type: proto::IndexType::GlobalIndex.into(),
        index_sync_phase: None,
    }
}

fn local(name: &str, key: &[&str], carried: &[&str]) -> proto::IndexMeta {
    proto::IndexMeta {
        index_update_mode: proto::IndexUpdateMode::SyncIndex.into(),
        index_type: proto::IndexType::LocalIndex.into(),
        ..global(name, key, carried)
    }
}

fn create_index(meta: proto::IndexMeta, with_rows: bool) -> proto::CreateIndexRequest {
    proto::CreateIndexRequest {
        main_table_name: "t".into(),
        index_meta: meta,
        include_base_data: Some(with_rows),
    }
}

async fn server(indexes: &[proto::IndexMeta]) -> TestServer {
    let server = TestServer::start().await;
    server.call("CreateTable", &table(indexes)).await.ok::<proto::CreateTableResponse>();
    server
}

async fn put_row(server: &TestServer, pk: i64, cells: &[(&str, ValueRef<'_>)]) {
    server.call("PutRow", &put("t", pk, cells)).await.ok::<proto::PutRowResponse>();
}

/// Waits until no index is behind, as the JSON API tells it.
async fn even(server: &TestServer) {
    loop {
        let table = server.json(Method::GET, "instances/test/tables/t", "").await.ok_json();
        let indexes = table["indexes"].as_array().unwrap();
        if indexes.iter().all(|index| index["behind_changes"] == 0 && index["phase"] == "READY") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn entries(server: &TestServer, index: &str, key: &[&str]) -> Vec<String> {
    server.scan(index, key).await.iter().map(told).collect()
}

async fn describe(server: &TestServer, table: &str) -> proto::DescribeTableResponse {
    server.call("DescribeTable", &proto::DescribeTableRequest { table_name: table.into() }).await.ok()
}

#[tokio::test]
async fn an_index_is_read_like_a_table() {
    let server = server(&[global("by_i", &["i"], &["s"]), local("of_pk", &["pk", "s"], &["i"])]).await;
    put_row(&server, 1, &[("i", ValueRef::Integer(9)), ("s", ValueRef::String("x"))]).await;
    put_row(&server, 2, &[("i", ValueRef::Integer(4)), ("other", ValueRef::Boolean(true))]).await;
    put_row(&server, 3, &[("s", ValueRef::String("y"))]).await;
    assert_eq!(entries(&server, "of_pk", &["pk", "s"]).await, ["1 i=9", "3"], "local ones are right at once");
    even(&server).await;
    assert_eq!(entries(&server, "by_i", &["i", "pk"]).await, ["4", "9 s=x"]);

    let key = [("i", ValueRef::Integer(9)), ("pk", ValueRef::Integer(1))];
    let by_key = proto::GetRowRequest { primary_key: encode::key(key), ..get("by_i", 0) };
    let found = server.call("GetRow", &by_key).await.ok::<proto::GetRowResponse>();
    assert_eq!(rows(&found.row).iter().map(told).collect::<Vec<_>>(), ["9 s=x"]);
    let batch = proto::BatchGetRowRequest {
        tables: vec![proto::TableInBatchGetRowRequest {
            table_name: "by_i".into(),
            primary_key: vec![encode::key(key)],
            max_versions: Some(1),
            ..Default::default()
        }],
    };
    let found = server.call("BatchGetRow", &batch).await.ok::<proto::BatchGetRowResponse>();
    let row = &found.tables[0].rows[0];
    assert!(row.is_ok);
    assert_eq!(rows(row.row.as_ref().unwrap()).len(), 1);

    server.call("DeleteRow", &delete("t", 2)).await.ok::<proto::DeleteRowResponse>();
    let change = update("t", 1, &[("i", Some(ValueRef::Integer(5)), CellOperation::Increment, None)]);
    server.call("UpdateRow", &change).await.ok::<proto::UpdateRowResponse>();
    even(&server).await;
    assert_eq!(entries(&server, "by_i", &["i", "pk"]).await, ["14 s=x"]);
}

#[tokio::test]
async fn a_table_tells_its_indexes_as_they_were_declared() {
    let declared = [global("by_i", &["i"], &["s", "d"]), local("of_pk", &["pk", "s"], &[])];
    let server = server(&declared).await;
    let told = describe(&server, "t").await.index_metas;
    let ready = Some(proto::IndexSyncPhase::Incr.into());
    let expected: Vec<_> =
        declared.into_iter().map(|meta| proto::IndexMeta { index_sync_phase: ready, ..meta }).collect();
    assert_eq!(told, expected);
    let index = describe(&server, "by_i").await.table_meta;
    let key: Vec<_> = index.primary_key.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(key, ["i", "pk"], "the key is completed with the table's");
    let tables = server.call("ListTable", &proto::ListTableRequest {}).await.ok::<proto::ListTableResponse>();
    assert_eq!(tables.table_names, ["t"]);
}

#[tokio::test]
async fn an_index_on_rows_that_are_there_comes_and_goes() {
    let server = server(&[]).await;
    for pk in 0..5 {
        put_row(&server, pk, &[("i", ValueRef::Integer(-pk))]).await;
    }
    for meta in [global("by_i", &["i"], &[]), local("of_pk", &["pk", "i"], &[])] {
        server.call("CreateIndex", &create_index(meta, true)).await.ok::<proto::CreateIndexResponse>();
    }
    server
        .call("CreateIndex", &create_index(global("late", &["i"], &[]), false))
        .await
        .ok::<proto::CreateIndexResponse>();
    even(&server).await;
    assert_eq!(entries(&server, "by_i", &["i", "pk"]).await, ["-4", "-3", "-2", "-1", "0"]);
    assert_eq!(entries(&server, "of_pk", &["pk", "i"]).await.len(), 5);
    assert_eq!(entries(&server, "late", &["i", "pk"]).await.len(), 0);

    let server = server.restart().await;
    put_row(&server, 7, &[("i", ValueRef::Integer(7))]).await;
    even(&server).await;
    assert_eq!(entries(&server, "by_i", &["i", "pk"]).await.len(), 6);
    assert_eq!(entries(&server, "late", &["i", "pk"]).await, ["7"]);

    let drop = proto::DropIndexRequest { main_table_name: "t".into(), index_name: "by_i".into() };
    server.call("DropIndex", &drop).await.ok::<proto::DropIndexResponse>();
    let missing = server.call("DropIndex", &drop).await;
    assert_eq!(missing.error().0, "OTSObjectNotExist");
    assert_eq!(describe(&server, "t").await.index_metas.len(), 2);
    let read = server.call("GetRow", &get("by_i", 1)).await;
    read.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
}

#[tokio::test]
async fn what_indexes_cannot_be_is_refused_in_the_protocols_words() {
    let server = server(&[]).await;
    let refusal = async |meta| {
        let (code, message) = server.call("CreateIndex", &create_index(meta, true)).await.error();
        assert_eq!(code, "OTSParameterInvalid");
        message
    };
    let five = ["a", "b", "c", "d", "e"];
    let keys = "The number of primary key columns must be in range: [1, 4] in index.";
    assert_eq!(refusal(global("x", &five, &[])).await, keys);
    assert_eq!(refusal(global("x", &[], &[])).await, keys);
    let many: Vec<String> = (0..33).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let columns = "The number of attribute columns must be in range: [0, 32] in index.";
    assert_eq!(refusal(global("x", &["i"], &many)).await, columns);
    assert_eq!(refusal(global("1", &["i"], &[])).await, "Invalid table name: '1'.");
    assert_eq!(refusal(global("x", &["d"], &[])).await, "DOUBLE is an invalid type for the primary key.");
    assert!(refusal(global("x", &["none"], &[])).await.contains("'none'"));
    assert!(refusal(local("x", &["i"], &[])).await.contains("local index"));

    let mut six = table(&vec![global("x", &["i"], &[]); 6]);
    six.table_meta.table_name = "u".into();
    let answer = server.call("CreateTable", &six).await;
    answer.refused(400, "OTSParameterInvalid", "Number of index per table exceeds the quota:5.");
    for n in 0..5 {
        let meta = global(&format!("x{n}"), &["i"], &[]);
        server.call("CreateIndex", &create_index(meta, false)).await.ok::<proto::CreateIndexResponse>();
    }
    assert_eq!(refusal(global("x5", &["i"], &[])).await, "Number of index per table exceeds the quota:5.");
    let mut missing = create_index(global("y", &["i"], &[]), true);
    missing.main_table_name = "none".into();
    let answer = server.call("CreateIndex", &missing).await;
    answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    let mut taken = table(&[]);
    taken.table_meta.table_name = "x1".into();
    let answer = server.call("CreateTable", &taken).await;
    answer.refused(409, "OTSObjectAlreadyExist", "Requested table already exists.");
}

#[tokio::test]
async fn an_index_is_only_read() {
    let server = server(&[global("by_i", &["i"], &[])]).await;
    let message = "'by_i' is a secondary index, which is only read; use the table that it belongs to.";
    server.call("PutRow", &put("by_i", 1, &[])).await.refused(400, "OTSParameterInvalid", message);
    server.call("DeleteRow", &delete("by_i", 1)).await.refused(400, "OTSParameterInvalid", message);
    let request = proto::DeleteTableRequest { table_name: "by_i".into() };
    server.call("DeleteTable", &request).await.refused(400, "OTSParameterInvalid", message);
    let request = proto::UpdateTableRequest { table_name: "by_i".into(), ..Default::default() };
    server.call("UpdateTable", &request).await.refused(400, "OTSParameterInvalid", message);

    let options = proto::TableOptions { max_versions: Some(2), ..Default::default() };
    let request = proto::UpdateTableRequest {
        table_name: "t".into(),
        table_options: Some(options),
        ..Default::default()
    };
    let (code, message) = server.call("UpdateTable", &request).await.error();
    assert_eq!(code, "OTSParameterInvalid");
    assert!(message.contains("max versions"), "{message}");
    let wrong = server.call("PutRow", &put("t", 1, &[("i", ValueRef::String("1"))])).await;
    let message = "Invalid column type for column i expect VT_INTEGER actual VT_STRING";
    wrong.refused(400, "OTSParameterInvalid", message);
}

#[tokio::test]
async fn an_index_may_have_a_longer_key_than_a_table() {
    let server = TestServer::start().await;
    let names = ["a", "b", "c", "d"];
    let mut request = create_table("t", &names.map(|name| (name, KeyKind::Integer)));
    request.table_meta.defined_column = vec![defined("i", proto::DefinedColumnType::Integer)];
    request.index_metas = vec![global("by_i", &["i"], &[])];
    server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    even(&server).await;
    assert_eq!(entries(&server, "by_i", &["i", "a", "b", "c", "d"]).await.len(), 0);
    let five = ["i", "a", "b", "c", "d"].map(|name| (name, ValueRef::Integer(1)));
    let read = |table: &str| proto::GetRowRequest { primary_key: encode::key(five), ..get(table, 1) };
    server.call("GetRow", &read("by_i")).await.ok::<proto::GetRowResponse>();
    let message = "The number of primary key columns must be in range: [1, 4].";
    server.call("GetRow", &read("t")).await.refused(400, "OTSParameterInvalid", message);
    // Of a batch it is the whole that is refused.
    let batch = |tables: &[&str]| proto::BatchGetRowRequest {
        tables: tables
            .iter()
            .map(|table| proto::TableInBatchGetRowRequest {
                table_name: (*table).to_owned(),
                primary_key: vec![encode::key(five)],
                max_versions: Some(1),
                ..Default::default()
            })
            .collect(),
    };
    server.call("BatchGetRow", &batch(&["by_i"])).await.ok::<proto::BatchGetRowResponse>();
    for tables in [["by_i", "t"], ["by_i", "missing"]] {
        server.call("BatchGetRow", &batch(&tables)).await.refused(400, "OTSParameterInvalid", message);
    }
}

#[tokio::test]
async fn defined_columns_are_added_and_deleted() {
    let server = server(&[global("by_i", &["i"], &[])]).await;
    let add = |columns: Vec<proto::DefinedColumnSchema>| proto::AddDefinedColumnRequest {
        table_name: "t".into(),
        columns,
    };
    let remove = |columns: &[&str]| proto::DeleteDefinedColumnRequest {
        table_name: "t".into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
    };
    let bytes = defined("b", proto::DefinedColumnType::Blob);
    server.call("AddDefinedColumn", &add(vec![bytes.clone()])).await.ok::<proto::AddDefinedColumnResponse>();
    server.call("DeleteDefinedColumn", &remove(&["s"])).await.ok::<proto::DeleteDefinedColumnResponse>();
    let told = describe(&server, "t").await.table_meta.defined_column;
    assert_eq!(told.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["i", "d", "b"]);

    let answer = server.call("AddDefinedColumn", &add(vec![bytes.clone()])).await;
    answer.refused(400, "OTSParameterInvalid", "Duplicated column name: 'b'.");
    let many = (0..30).map(|n| defined(&format!("c{n}"), proto::DefinedColumnType::Integer)).collect();
    let answer = server.call("AddDefinedColumn", &add(many)).await;
    let message = "The number of defined columns must be in range: [0, 32].";
    answer.refused(400, "OTSParameterInvalid", message);
    let answer = server.call("DeleteDefinedColumn", &remove(&["i"])).await;
    answer.refused(400, "OTSParameterInvalid", "Defined column 'i' is used by the index 'by_i'.");
    let answer = server.call("DeleteDefinedColumn", &remove(&["s"])).await;
    answer.refused(400, "OTSParameterInvalid", "Defined column 's' does not exist.");
    let elsewhere = proto::AddDefinedColumnRequest { table_name: "none".into(), columns: vec![bytes] };
    let answer = server.call("AddDefinedColumn", &elsewhere).await;
    answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
}

#[tokio::test]
async fn a_table_is_split_by_size() {
    let server = server(&[]).await;
    let asked = |split_size, unit| proto::ComputeSplitPointsBySizeRequest {
        table_name: "t".into(),
        split_size,
        split_size_unit_in_byte: unit,
        split_point_limit: None,
    };
    type Split = proto::ComputeSplitPointsBySizeResponse;
    let empty = server.call("ComputeSplitPointsBySize", &asked(1, None)).await.ok::<Split>();
    assert_eq!((empty.split_points.len(), empty.locations.len()), (0, 1));
    assert_eq!((empty.locations[0].location.len(), empty.locations[0].repeat), (32, 1));
    assert_eq!(empty.schema, table(&[]).table_meta.primary_key);

    let text = "x".repeat(300_000);
    for pk in 0..9 {
        put_row(&server, pk, &[("s", ValueRef::String(&text))]).await;
    }
    let split = server.call("ComputeSplitPointsBySize", &asked(1, Some(1 << 20))).await.ok::<Split>();
    let points: Vec<String> = split.split_points.iter().flat_map(rows).map(|row| told(&row)).collect();
    assert_eq!(points, ["4", "8"]);
    assert_eq!(split.locations[0].repeat, 3);
    let limited =
        proto::ComputeSplitPointsBySizeRequest { split_point_limit: Some(1), ..asked(1, Some(1 << 20)) };
    let split = server.call("ComputeSplitPointsBySize", &limited).await.ok::<Split>();
    assert_eq!((split.split_points.len(), split.locations[0].repeat), (1, 2));

    let answer = server.call("ComputeSplitPointsBySize", &asked(0, None)).await;
    answer.refused(400, "OTSParameterInvalid", "The split_size should be greater than 0.");
    let answer = server.call("ComputeSplitPointsBySize", &asked(1, Some(1))).await;
    let message = "The split_size_unit_in_byte should be greater equal than: 1048576";
    answer.refused(400, "OTSParameterInvalid", message);
}
