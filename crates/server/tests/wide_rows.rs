//! Wide rows: answered whole, or in pieces to clients that go on at a token.

use bytes::Bytes;
use lakeferry_model::{ColumnPage, Filter, KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, WireCell, encode};
use lakeferry_wire::row_token::RowToken;
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, rows, whole_range};
use crate::rows::{get, update};

const VALUE_BYTES_MAX: usize = 2_097_152;

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

/// Gives the row 1 a column of so many bytes.
async fn widen(server: &TestServer, column: &str, bytes: usize) {
    let value = vec![7; bytes];
    let change = [(column, Some(ValueRef::Binary(&value)), CellOperation::Put, None)];
    server.call("UpdateRow", &update("t", 1, &change)).await.ok::<proto::UpdateRowResponse>();
}

/// The place before all columns.
fn start() -> Bytes {
    RowToken { column: "".into(), timestamp_ms: 0 }.encode()
}

/// The pieces of a row as a client reads them that goes on at tokens: the cells of each.
async fn pieces(server: &TestServer, mut request: proto::GetRowRequest) -> Vec<Vec<WireCell>> {
    let mut pieces = Vec::new();
    request.token.get_or_insert_with(start);
    loop {
        let answer = server.call("GetRow", &request).await.ok::<proto::GetRowResponse>();
        let row = rows(&answer.row).remove(0);
        assert_eq!(&*row.key[0].0, "pk", "each piece has the key");
        pieces.push(row.cells);
        match answer.next_token {
            Some(token) => request.token = Some(token),
            None => return pieces,
        }
    }
}

fn names(pieces: &[Vec<WireCell>]) -> Vec<String> {
    pieces
        .iter()
        .map(|cells| cells.iter().map(|cell| cell.name.to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn a_piece_holds_four_mebibytes_to_the_byte() {
    let server = server().await;
    // Key name and value, and two column names: 2 + 8 + 1 + 1 bytes beside the values.
    widen(&server, "a", VALUE_BYTES_MAX).await;
    widen(&server, "b", VALUE_BYTES_MAX - 12).await;
    assert_eq!(names(&pieces(&server, get("t", 1)).await), ["a b"]);
    widen(&server, "b", VALUE_BYTES_MAX - 11).await;
    widen(&server, "c", 1).await;
    let read = pieces(&server, get("t", 1)).await;
    assert_eq!(names(&read), ["a", "b c"]);
    let bytes: usize = read.iter().flatten().map(|cell| cell.value.as_ref().unwrap().size()).sum();
    assert_eq!(bytes, 2 * VALUE_BYTES_MAX - 10, "nothing is lost and nothing comes twice");
}

#[tokio::test]
async fn versions_of_a_column_are_divided_like_columns() {
    let server = server().await;
    let options = proto::TableOptions { max_versions: Some(3), ..Default::default() };
    let request = proto::UpdateTableRequest {
        table_name: "t".into(),
        table_options: Some(options),
        ..Default::default()
    };
    server.call("UpdateTable", &request).await.ok::<proto::UpdateTableResponse>();
    for _ in 0..3 {
        widen(&server, "a", VALUE_BYTES_MAX).await;
    }
    widen(&server, "b", 1).await;
    let read = pieces(&server, proto::GetRowRequest { max_versions: Some(3), ..get("t", 1) }).await;
    assert_eq!(names(&read), ["a", "a", "a b"]);
    let versions: Vec<i64> = read.iter().map(|cells| cells[0].timestamp_ms.unwrap()).collect();
    assert!(versions.is_sorted_by(|newer, older| newer > older), "{versions:?}");
    // The reader's own number of versions counts over all pieces.
    let read = pieces(&server, proto::GetRowRequest { max_versions: Some(2), ..get("t", 1) }).await;
    assert_eq!(names(&read), ["a", "a b"]);
    let page = Filter { condition: None, page: Some(ColumnPage { offset: 0, limit: 1 }) };
    let filter = convert::filter_bytes(&page);
    let read = pieces(&server, proto::GetRowRequest { max_versions: Some(9), filter, ..get("t", 1) }).await;
    assert_eq!(names(&read), ["a", "a", "a"], "so does the page of columns");
}

#[tokio::test]
async fn what_changes_behind_the_token_is_read_and_what_was_read_does_not_come_again() {
    let server = server().await;
    for name in ["b", "d", "f"] {
        widen(&server, name, VALUE_BYTES_MAX).await;
    }
    let request = proto::GetRowRequest { token: Some(start()), ..get("t", 1) };
    let first = server.call("GetRow", &request).await.ok::<proto::GetRowResponse>();
    for name in ["a", "b", "c"] {
        widen(&server, name, 1).await;
    }
    let rest = pieces(&server, proto::GetRowRequest { token: first.next_token, ..get("t", 1) }).await;
    assert_eq!(names(&rest), ["c d", "f"]);
    server.call("DeleteRow", &crate::rows::delete("t", 1)).await.ok::<proto::DeleteRowResponse>();
    let token = RowToken { column: "b".into(), timestamp_ms: 1 }.encode();
    let answer = server.call("GetRow", &proto::GetRowRequest { token: Some(token), ..get("t", 1) }).await;
    let answer = answer.ok::<proto::GetRowResponse>();
    assert_eq!((answer.row.len(), answer.next_token), (0, None), "the row is gone");
}

#[tokio::test]
async fn rows_of_a_batch_go_on_each_at_its_token() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        widen(&server, name, VALUE_BYTES_MAX).await;
    }
    let key = encode::key([("pk", ValueRef::Integer(1))]);
    let batch = |tokens: Vec<Bytes>| proto::BatchGetRowRequest {
        tables: vec![proto::TableInBatchGetRowRequest {
            table_name: "t".into(),
            primary_key: vec![key.clone(); tokens.len()],
            token: tokens,
            max_versions: Some(1),
            ..Default::default()
        }],
    };
    let mut tokens = vec![start(), RowToken { column: "b".into(), timestamp_ms: 0 }.encode()];
    let mut read = vec![String::new(); 2];
    for expected in [["a", "c"], ["a b", ""], ["a b c", ""]] {
        let answer =
            server.call("BatchGetRow", &batch(tokens.clone())).await.ok::<proto::BatchGetRowResponse>();
        for (at, row) in answer.tables[0].rows.iter().enumerate() {
            for cell in &rows(row.row.as_ref().unwrap())[0].cells {
                let space = if read[at].is_empty() { "" } else { " " };
                read[at] = format!("{}{space}{}", read[at], cell.name);
            }
            if let Some(next) = &row.next_token {
                tokens[at] = next.clone();
            }
        }
        assert_eq!(read[0], expected[0]);
        if !expected[1].is_empty() {
            assert_eq!((read[1].as_str(), &answer.tables[0].rows[1].next_token), (expected[1], &None));
        }
    }
}

#[tokio::test]
async fn a_caller_without_a_token_gets_the_whole_row() {
    let server = server().await;
    let columns = ["a", "b", "c", "d", "e", "f"];
    for name in columns {
        widen(&server, name, VALUE_BYTES_MAX).await;
    }
    let answer = server.call("GetRow", &get("t", 1)).await.ok::<proto::GetRowResponse>();
    assert_eq!((rows(&answer.row)[0].cells.len(), answer.next_token), (columns.len(), None));
}

#[tokio::test]
async fn a_row_beyond_a_full_answer_is_to_be_asked_for_again() {
    let server = server().await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        widen(&server, name, VALUE_BYTES_MAX).await;
    }
    let table = proto::TableInBatchGetRowRequest {
        table_name: "t".into(),
        primary_key: vec![encode::key([("pk", ValueRef::Integer(1))]); 5],
        max_versions: Some(1),
        ..Default::default()
    };
    let request = proto::BatchGetRowRequest { tables: vec![table] };
    let answer = server.call("BatchGetRow", &request).await.ok::<proto::BatchGetRowResponse>();
    // Three of them pass 32 MiB, and the fourth is in the same portion.
    for (at, row) in answer.tables[0].rows.iter().enumerate() {
        let code = row.error.as_ref().map(|error| error.code.as_str());
        assert_eq!((row.is_ok, code), if at < 3 { (true, None) } else { (false, Some("OTSServerBusy")) });
        assert_eq!(row.next_token, None);
    }
}

#[tokio::test]
async fn a_range_answers_its_rows_whole_and_gives_no_token() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        widen(&server, name, VALUE_BYTES_MAX).await;
    }
    let answer = server.call("GetRange", &whole_range("t", &["pk"])).await.ok::<proto::GetRangeResponse>();
    assert_eq!(rows(&answer.rows)[0].cells.len(), 3);
    assert_eq!((answer.next_token, answer.next_start_primary_key), (None, None));
}

#[tokio::test]
async fn a_token_of_somebody_else_is_refused() {
    let server = server().await;
    let foreign = Bytes::from_static(b"x");
    let request = proto::GetRowRequest { token: Some(foreign.clone()), ..get("t", 1) };
    let answer = server.call("GetRow", &request).await;
    answer.refused(400, "OTSParameterInvalid", "The token is not one of this server's.");
    for token in [foreign, RowToken { column: "a".into(), timestamp_ms: 1 }.encode()] {
        let request = proto::GetRangeRequest { token: Some(token), ..whole_range("t", &["pk"]) };
        assert_eq!(server.call("GetRange", &request).await.error().0, "OTSParameterInvalid");
    }
}
