//! Batches: rows of several tables, each of which succeeds or fails alone.

use bytes::Bytes;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::encode;
use lakeferry_wire::proto::{self, OperationType, RowExistenceExpectation};

use crate::harness::{TestServer, rows};
use crate::rows::{delete, expecting, row, told, units};

pub fn put_in_batch(pk: i64, value: i64) -> proto::RowInBatchWriteRowRequest {
    proto::RowInBatchWriteRowRequest {
        r#type: OperationType::Put.into(),
        row_change: row(pk, &[("c", ValueRef::Integer(value))]),
        ..Default::default()
    }
}

pub fn batch(tables: Vec<(&str, Vec<proto::RowInBatchWriteRowRequest>)>) -> proto::BatchWriteRowRequest {
    let tables = tables
        .into_iter()
        .map(|(name, rows)| proto::TableInBatchWriteRowRequest { table_name: name.to_owned(), rows });
    proto::BatchWriteRowRequest { tables: tables.collect(), ..Default::default() }
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server.make_table("u", &[("pk", KeyKind::Integer)]).await;
    server
}

async fn scanned(server: &TestServer, table: &str) -> Vec<String> {
    server.scan(table, &["pk"]).await.iter().map(told).collect()
}

#[tokio::test]
async fn rows_of_several_tables_are_written_and_answered_in_their_order() {
    let server = server().await;
    let removed = proto::RowInBatchWriteRowRequest {
        r#type: OperationType::Delete.into(),
        row_change: delete("t", 1).primary_key,
        ..Default::default()
    };
    let mut pk_asked = put_in_batch(9, 1);
    pk_asked.return_content = Some(proto::ReturnContent {
        return_type: Some(proto::ReturnType::Pk.into()),
        return_column_names: Vec::new(),
    });
    let request = batch(vec![
        ("t", vec![put_in_batch(1, 1), put_in_batch(2, 1)]),
        ("u", vec![pk_asked]),
        // The same table again: applied after the rows above.
        ("t", vec![removed, put_in_batch(2, 2)]),
    ]);
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    let names: Vec<&str> = answer.tables.iter().map(|table| table.table_name.as_str()).collect();
    assert_eq!(names, ["t", "u", "t"]);
    for row in answer.tables.iter().flat_map(|table| &table.rows) {
        assert!(row.is_ok, "{:?}", row.error);
        assert_eq!(units(row.consumed.as_ref().unwrap()), (0, 1));
    }
    let returned = answer.tables[1].rows[0].row.clone().unwrap();
    assert_eq!(rows(&returned).iter().map(told).collect::<Vec<_>>(), ["9"]);
    assert_eq!(answer.tables[0].rows[0].row, None);
    assert_eq!(scanned(&server, "t").await, ["2 c=2"]);
    assert_eq!(scanned(&server, "u").await, ["9 c=1"]);
}

#[tokio::test]
async fn a_row_fails_alone_by_its_condition_its_key_or_its_table() {
    let server = server().await;
    let expecting = proto::RowInBatchWriteRowRequest {
        condition: expecting(RowExistenceExpectation::ExpectExist),
        ..put_in_batch(3, 1)
    };
    let wrong_name = proto::RowInBatchWriteRowRequest {
        row_change: encode::key([("id", ValueRef::Integer(1))]),
        ..put_in_batch(4, 1)
    };
    let request = batch(vec![
        ("t", vec![put_in_batch(1, 1), expecting, wrong_name, put_in_batch(2, 1)]),
        ("missing", vec![put_in_batch(1, 1)]),
    ]);
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    let told_errors: Vec<String> = answer
        .tables
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| {
            row.error.as_ref().map_or("ok".into(), |error| format!("{} {}", error.code, error.message()))
        })
        .collect();
    assert_eq!(
        told_errors,
        [
            "ok",
            "OTSConditionCheckFail Condition check failed.",
            "OTSInvalidPK Validate PK name fail. Input: id, Meta: pk.",
            "ok",
            "OTSObjectNotExist Requested table does not exist.",
        ]
    );
    assert_eq!(scanned(&server, "t").await, ["1 c=1", "2 c=1"]);
}

#[tokio::test]
async fn a_batch_that_breaks_a_rule_is_refused_as_a_whole() {
    let server = server().await;
    let refused = async |request: &proto::BatchWriteRowRequest, message: &str| {
        server.call("BatchWriteRow", request).await.refused(400, "OTSParameterInvalid", message);
        assert!(scanned(&server, "t").await.is_empty(), "a refused batch changes nothing");
    };
    refused(&batch(vec![]), "No row is specified in BatchWriteRow.").await;
    let message = "No operation is specified for table: 'u'.";
    refused(&batch(vec![("t", vec![put_in_batch(1, 1)]), ("u", vec![])]), message).await;
    let many = (0..201).map(|pk| put_in_batch(pk, 1)).collect();
    refused(&batch(vec![("t", many)]), "Rows count exceeds the upper limit: 200.").await;
    let mut bad = put_in_batch(2, 1);
    bad.row_change = row(2, &[("#c", ValueRef::Integer(1))]);
    refused(&batch(vec![("t", vec![put_in_batch(1, 1), bad])]), "Invalid column name: '#c'.").await;
}

#[tokio::test]
async fn two_hundred_rows_are_written_by_one_batch() {
    let server = server().await;
    let rows = (0..200).map(|pk| put_in_batch(pk, pk)).collect();
    let answer =
        server.call("BatchWriteRow", &batch(vec![("t", rows)])).await.ok::<proto::BatchWriteRowResponse>();
    assert_eq!(answer.tables[0].rows.iter().filter(|row| row.is_ok).count(), 200);
    let scanned = scanned(&server, "t").await;
    assert_eq!((scanned.len(), scanned[199].as_str()), (200, "199 c=199"));
}

fn get_batch(tables: &[(&str, &[i64])]) -> proto::BatchGetRowRequest {
    let tables = tables.iter().map(|(name, keys)| proto::TableInBatchGetRowRequest {
        table_name: (*name).to_owned(),
        primary_key: keys.iter().map(|pk| encode::key([("pk", ValueRef::Integer(*pk))])).collect(),
        token: vec![Bytes::new(); keys.len()],
        max_versions: Some(1),
        ..Default::default()
    });
    proto::BatchGetRowRequest { tables: tables.collect() }
}

#[tokio::test]
async fn a_batch_reads_each_row_as_often_as_it_is_asked_for() {
    let server = server().await;
    let rows_to_put = (0..40).map(|pk| put_in_batch(pk, pk)).collect();
    server.call("BatchWriteRow", &batch(vec![("t", rows_to_put)])).await.ok::<proto::BatchWriteRowResponse>();
    let many: Vec<i64> = (0..40).rev().collect();
    let request = get_batch(&[("t", &[1, 99, 1]), ("u", &[]), ("missing", &[1]), ("t", &many)]);
    let answer = server.call("BatchGetRow", &request).await.ok::<proto::BatchGetRowResponse>();
    let told: Vec<Vec<String>> = answer
        .tables
        .iter()
        .map(|table| {
            let row = |row: &proto::RowInBatchGetRowResponse| match &row.error {
                Some(error) => error.code.clone(),
                None => {
                    assert_eq!(units(row.consumed.as_ref().unwrap()), (1, 0));
                    rows(row.row.as_ref().unwrap()).first().map_or_else(|| "none".to_owned(), told)
                }
            };
            table.rows.iter().map(row).collect()
        })
        .collect();
    assert_eq!(told[0], ["1 c=1", "none", "1 c=1"]);
    assert!(told[1].is_empty());
    assert_eq!(told[2], ["OTSObjectNotExist"]);
    assert_eq!(told[3], many.iter().map(|pk| format!("{pk} c={pk}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_key_that_does_not_fit_fails_alone_in_a_batch_of_reads() {
    let server = server().await;
    let mut request = get_batch(&[("t", &[1, 2])]);
    request.tables[0].primary_key[0] = encode::key([("pk", ValueRef::String("a"))]);
    let answer = server.call("BatchGetRow", &request).await.ok::<proto::BatchGetRowResponse>();
    let rows = &answer.tables[0].rows;
    assert_eq!(rows[0].error.as_ref().unwrap().code, "OTSInvalidPK");
    assert!(rows[1].is_ok);
}
