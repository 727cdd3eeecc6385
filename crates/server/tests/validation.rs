//! The exact texts that clients' tests know, and that a refused request changes nothing.

use lakeferry_model::{KeyBound, KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, encode};
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, create_table, whole_range};
use crate::rows::{get, put, row, update};

const PARAMETER: &str = "OTSParameterInvalid";
const KEY: &str = "OTSInvalidPK";

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

#[tokio::test]
async fn writes_are_refused_with_the_protocols_texts() {
    let server = server().await;
    let long = "x".repeat(1025);
    let large = "x".repeat(2_097_153);
    let many: Vec<(String, ValueRef<'_>)> =
        (0..1025).map(|at| (format!("c{at}"), ValueRef::Integer(1))).collect();
    let many: Vec<(&str, ValueRef<'_>)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let key = |columns: &[(&'static str, ValueRef<'_>)]| encode::key(columns.iter().copied());
    let one = ValueRef::Integer(1);
    for (row, code, message) in [
        (
            key(&[("pk", ValueRef::String(&long))]),
            PARAMETER,
            "The length of primary key column: 'pk' exceeds the MaxLength:1024 with CurrentLength:1025.",
        ),
        (
            row(1, &[("attr", ValueRef::String(&large))]),
            PARAMETER,
            "The length of attribute column: 'attr' exceeds the MaxLength:2097152 with CurrentLength:2097153.",
        ),
        (
            row(1, &many),
            PARAMETER,
            "The number of attribute columns exceeds the limit, limit count: 1024, column count: 1025.",
        ),
        (row(1, &[("", one)]), PARAMETER, "Invalid column name: ''."),
        (
            encode::bound([("pk", &KeyBound::InfMax)]),
            PARAMETER,
            "VT_INF_MAX is an invalid type for the primary key.",
        ),
        (
            key(&[("pk", one), ("b", one), ("c", one), ("d", one), ("e", one)]),
            PARAMETER,
            "The number of primary key columns must be in range: [1, 4].",
        ),
        (key(&[("pk", one), ("b", one)]), KEY, "Validate PK size fail. Input: 2, Meta: 1."),
        (key(&[("PK2", one)]), KEY, "Validate PK name fail. Input: PK2, Meta: pk."),
        (
            key(&[("pk", ValueRef::Binary(b"x"))]),
            KEY,
            "Validate PK type fail. Input: VT_BLOB, Meta: VT_INTEGER.",
        ),
        (key(&[("PK2", ValueRef::Binary(b"x"))]), KEY, "Validate PK name fail. Input: PK2, Meta: pk."),
    ] {
        let request = proto::PutRowRequest { table_name: "t".into(), row, ..Default::default() };
        server.call("PutRow", &request).await.refused(400, code, message);
    }
    let timed = [("c", Some(one), CellOperation::Put, Some(i64::MAX))];
    let answer = server.call("UpdateRow", &update("t", 1, &timed)).await;
    answer.refused(400, PARAMETER, "Timestamp must be in range [0, INT64_MAX/1000).");
    // What needs no table is checked before the table is looked up.
    let answer = server.call("PutRow", &put("missing", 1, &[("#c", one)])).await;
    answer.refused(400, PARAMETER, "Invalid column name: '#c'.");
    let answer = server.call("PutRow", &put("missing", 1, &[("c", one)])).await;
    answer.refused(404, "OTSObjectNotExist", "Requested table does not exist.");
    let answer = server.call("PutRow", &put("1t", 1, &[("#c", one)])).await;
    answer.refused(400, PARAMETER, "Invalid table name: '1t'.");
    assert!(server.scan("t", &["pk"]).await.is_empty(), "a refused request changes nothing");
}

#[tokio::test]
async fn reads_are_refused_with_the_protocols_texts() {
    let server = server().await;
    let request = proto::GetRowRequest { max_versions: None, ..get("t", 1) };
    server.call("GetRow", &request).await.refused(400, PARAMETER, "No version condition is specified.");
    let request = proto::GetRowRequest { columns_to_get: vec!["c".into(); 1025], ..get("t", 1) };
    let message =
        "The number of columns from the request exceeds the limit, limit count: 1024, column count: 1025.";
    server.call("GetRow", &request).await.refused(400, PARAMETER, message);
    let specific = proto::TimeRange { start_time: None, end_time: None, specific_time: Some(1) };
    let request = proto::GetRowRequest { time_range: Some(specific), ..get("t", 1) };
    assert_eq!(server.call("GetRow", &request).await.error().0, PARAMETER);
    server.call("GetRow", &get("missing", 1)).await.refused(
        404,
        "OTSObjectNotExist",
        "Requested table does not exist.",
    );

    let range = || whole_range("t", &["pk"]);
    let refused = async |request: proto::GetRangeRequest, code: &str, message: &str| {
        server.call("GetRange", &request).await.refused(400, code, message);
    };
    let limit = |limit| proto::GetRangeRequest { limit: Some(limit), ..range() };
    refused(limit(0), PARAMETER, "The limit must be greater than 0.").await;
    refused(limit(-1), PARAMETER, "The limit must be greater than 0.").await;
    let mut equal = range();
    equal.exclusive_end_primary_key = equal.inclusive_start_primary_key.clone();
    refused(equal, PARAMETER, "Begin key must less than end key in FORWARD").await;
    let backward = proto::GetRangeRequest { direction: proto::Direction::Backward.into(), ..range() };
    refused(backward, PARAMETER, "Begin key must more than end key in BACKWARD").await;
    let mut wider = range();
    wider.inclusive_start_primary_key = encode::bound([("pk", &KeyBound::InfMin), ("b", &KeyBound::InfMin)]);
    refused(wider, KEY, "Validate PK size fail. Input: 2, Meta: 1.").await;

    let batch = |keys: usize, tables: usize| proto::BatchGetRowRequest {
        tables: vec![
            proto::TableInBatchGetRowRequest {
                table_name: "t".into(),
                primary_key: vec![encode::key([("pk", ValueRef::Integer(1))]); keys],
                max_versions: Some(1),
                ..Default::default()
            };
            tables
        ],
    };
    let answer = server.call("BatchGetRow", &batch(0, 0)).await;
    answer.refused(400, PARAMETER, "No row specified in the request of BatchGetRow.");
    let answer = server.call("BatchGetRow", &batch(101, 1)).await;
    answer.refused(400, PARAMETER, "Rows count exceeds the upper limit: 100.");
}

#[tokio::test]
async fn tables_are_refused_with_the_protocols_texts() {
    let server = TestServer::start().await;
    let refused = async |request: &proto::CreateTableRequest, message: &str| {
        server.call("CreateTable", request).await.refused(400, PARAMETER, message);
        let listed = server.call("ListTable", &proto::ListTableRequest {}).await;
        assert!(
            listed.ok::<proto::ListTableResponse>().table_names.is_empty(),
            "a refused table is not made"
        );
    };
    let plain = || create_table("t", &[("PK0", KeyKind::Integer)]);
    let mut request = plain();
    request.table_meta.table_name = "a-b".into();
    refused(&request, "Invalid table name: 'a-b'.").await;
    refused(&create_table("t", &[]), "The number of primary key columns must be in range: [1, 4].").await;
    let twice = create_table("t", &[("PK0", KeyKind::Integer), ("PK0", KeyKind::String)]);
    refused(&twice, "Duplicated primary key name: 'PK0'.").await;
    refused(&create_table("t", &[("#x", KeyKind::Integer)]), "Invalid column name: '#x'.").await;
    let points: Vec<_> = (1..=10).map(lakeferry_model::KeyValue::Integer).collect();
    let mut request = plain();
    request.partitions = convert::partition_ranges(&points);
    refused(&request, "The count of partitions cannot be greater than 10").await;
    let mut request = plain();
    request.partitions = convert::partition_ranges(&[lakeferry_model::KeyValue::String("m".into())]);
    refused(&request, "The value type of partition does not match with primary key.").await;
}

#[tokio::test]
async fn a_timestamp_outside_the_tables_deviation_is_refused() {
    let server = server().await;
    let long_ago = [("c", Some(ValueRef::Integer(1)), CellOperation::Put, Some(1))];
    let answer = server.call("UpdateRow", &update("t", 1, &long_ago)).await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (400, PARAMETER));
    assert!(server.scan("t", &["pk"]).await.is_empty());
}
