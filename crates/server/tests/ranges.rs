//! Ranges: both directions, pages, limits, and what of their rows is shown.

use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::encode;
use lakeferry_wire::proto;

use crate::harness::{TestServer, rows, whole_range};
use crate::rows::{put, row, told, units};

async fn server(count: i64) -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    fill(&server, 0..count, &ValueRef::Integer(0)).await;
    server
}

async fn fill(server: &TestServer, keys: std::ops::Range<i64>, value: &ValueRef<'_>) {
    let keys: Vec<i64> = keys.collect();
    for portion in keys.chunks(200) {
        let rows = portion.iter().map(|pk| proto::RowInBatchWriteRowRequest {
            r#type: proto::OperationType::Put.into(),
            row_change: row(*pk, &[("c", *value)]),
            ..Default::default()
        });
        let tables =
            vec![proto::TableInBatchWriteRowRequest { table_name: "t".into(), rows: rows.collect() }];
        let request = proto::BatchWriteRowRequest { tables, ..Default::default() };
        let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
        assert!(answer.tables[0].rows.iter().all(|row| row.is_ok));
    }
}

/// All pages, each as the first key columns of its rows.
async fn pages(server: &TestServer, mut request: proto::GetRangeRequest) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
        pages.push(
            rows(&answer.rows).iter().map(|row| told(row).split(' ').next().unwrap().to_owned()).collect(),
        );
        match answer.next_start_primary_key {
            Some(next) => request.inclusive_start_primary_key = next,
            None => return pages,
        }
    }
}

fn backward(request: proto::GetRangeRequest) -> proto::GetRangeRequest {
    proto::GetRangeRequest {
        direction: proto::Direction::Backward.into(),
        inclusive_start_primary_key: request.exclusive_end_primary_key,
        exclusive_end_primary_key: request.inclusive_start_primary_key,
        ..request
    }
}

#[tokio::test]
async fn an_empty_table_is_one_empty_page() {
    let server = server(0).await;
    let answer = server.call("GetRange", &whole_range("t", &["pk"])).await.ok::<proto::GetRangeResponse>();
    assert_eq!(
        (answer.rows.len(), answer.next_start_primary_key, units(&answer.consumed)),
        (0, None, (1, 0))
    );
}

#[tokio::test]
async fn a_limit_ends_a_page_and_the_next_key_goes_on_in_both_directions() {
    let server = server(5).await;
    let limited = proto::GetRangeRequest { limit: Some(2), ..whole_range("t", &["pk"]) };
    let expected: [&[&str]; 3] = [&["0", "1"], &["2", "3"], &["4"]];
    assert_eq!(pages(&server, limited.clone()).await, expected);
    let expected: [&[&str]; 3] = [&["4", "3"], &["2", "1"], &["0"]];
    assert_eq!(pages(&server, backward(limited)).await, expected);
    let exact = proto::GetRangeRequest { limit: Some(5), ..whole_range("t", &["pk"]) };
    assert_eq!(pages(&server, exact).await.len(), 1, "nothing is left, so there is no next key");
}

#[tokio::test]
async fn the_start_is_included_and_the_end_is_not() {
    let server = server(5).await;
    let key = |pk| encode::key([("pk", ValueRef::Integer(pk))]);
    let request = proto::GetRangeRequest {
        inclusive_start_primary_key: key(1),
        exclusive_end_primary_key: key(3),
        ..whole_range("t", &["pk"])
    };
    assert_eq!(pages(&server, request).await, [["1", "2"]]);
    let request = proto::GetRangeRequest {
        direction: proto::Direction::Backward.into(),
        inclusive_start_primary_key: key(3),
        exclusive_end_primary_key: key(1),
        ..whole_range("t", &["pk"])
    };
    assert_eq!(pages(&server, request).await, [["3", "2"]]);
}

#[tokio::test]
async fn a_page_ends_at_five_thousand_rows_read() {
    let server = server(5_001).await;
    let lengths = |pages: Vec<Vec<String>>| pages.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(pages(&server, whole_range("t", &["pk"])).await), [5_000, 1]);
    // Rows that are not shown count too, and a page may show none.
    let none = proto::GetRangeRequest { columns_to_get: vec!["x".into()], ..whole_range("t", &["pk"]) };
    assert_eq!(lengths(pages(&server, none).await), [0, 0]);
}

#[tokio::test]
async fn a_page_ends_at_four_mebibytes() {
    let server = server(0).await;
    let value = "x".repeat(900_000);
    for pk in 0..10 {
        server
            .call("PutRow", &put("t", pk, &[("c", ValueRef::String(&value))]))
            .await
            .ok::<proto::PutRowResponse>();
    }
    let pages = pages(&server, whole_range("t", &["pk"])).await;
    assert!(pages.len() > 1 && pages.iter().all(|page| (1..=6).contains(&page.len())), "{pages:?}");
    assert_eq!(pages.concat(), (0..10).map(|pk| pk.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_row_without_the_columns_asked_for_does_not_count_towards_the_limit() {
    let server = server(5).await;
    server.call("PutRow", &put("t", 3, &[("d", ValueRef::Integer(1))])).await.ok::<proto::PutRowResponse>();
    let request = proto::GetRangeRequest {
        columns_to_get: vec!["d".into()],
        limit: Some(1),
        ..whole_range("t", &["pk"])
    };
    let answer = server.call("GetRange", &request).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows).iter().map(told).collect::<Vec<_>>(), ["3 d=1"]);
}

#[tokio::test]
async fn a_page_costs_the_summed_size_of_its_rows() {
    let server = server(0).await;
    // Key name, key value, column name and value: 2 + 8 + 1 + 4085 bytes are a unit.
    let value = "x".repeat(4085);
    for pk in 0..3 {
        server
            .call("PutRow", &put("t", pk, &[("c", ValueRef::String(&value))]))
            .await
            .ok::<proto::PutRowResponse>();
    }
    let answer = server.call("GetRange", &whole_range("t", &["pk"])).await.ok::<proto::GetRangeResponse>();
    assert_eq!(units(&answer.consumed), (3, 0));
}

#[tokio::test]
async fn a_table_split_from_the_start_reads_as_one() {
    let server = TestServer::start().await;
    let mut request = crate::harness::create_table("t", &[("pk", KeyKind::Integer)]);
    let points = [10, 20].map(lakeferry_model::KeyValue::Integer);
    request.partitions = lakeferry_wire::convert::partition_ranges(&points);
    server.call("CreateTable", &request).await.ok::<proto::CreateTableResponse>();
    fill(&server, 0..30, &ValueRef::Integer(0)).await;
    let all: Vec<String> = (0..30).map(|pk| pk.to_string()).collect();
    assert_eq!(pages(&server, whole_range("t", &["pk"])).await.concat(), all);
    let limited = proto::GetRangeRequest { limit: Some(7), ..whole_range("t", &["pk"]) };
    let reversed: Vec<String> = all.into_iter().rev().collect();
    assert_eq!(pages(&server, backward(limited)).await.concat(), reversed);
}
