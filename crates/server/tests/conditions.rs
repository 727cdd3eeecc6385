//! Column conditions of writes: what they see, how they fail, and that no two pass on one state of a row.

use std::sync::Arc;

use lakeferry_model::filter::{ColumnTest, Comparator, Comparison};
use lakeferry_model::{ColumnCondition, ColumnPage, Filter, KeyKind, Value, ValueRef};
use lakeferry_wire::plain_buffer::CellOperation;
use lakeferry_wire::{convert, proto};

use crate::harness::{TestServer, rows};
use crate::rows::{delete, get, put, row, told, units, update};

fn equal(column: &'static str, value: i64) -> ColumnTest {
    ColumnTest::compare(column, Comparator::Equal, Value::Integer(value))
}

fn strict(test: ColumnTest) -> ColumnTest {
    ColumnTest { pass_if_missing: false, ..test }
}

fn only_if(condition: impl Into<ColumnCondition>) -> proto::Condition {
    let condition: ColumnCondition = condition.into();
    proto::Condition {
        row_existence: proto::RowExistenceExpectation::Ignore.into(),
        column_condition: Some(convert::column_condition_bytes(&condition)),
    }
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    server
}

async fn read(server: &TestServer, pk: i64) -> String {
    let answer = server.call("GetRow", &get("t", pk)).await.ok::<proto::GetRowResponse>();
    rows(&answer.row).first().map_or_else(|| "none".to_owned(), told)
}

#[tokio::test]
async fn a_write_is_done_if_the_columns_are_as_it_expects() {
    let server = server().await;
    let failed = (403, "OTSConditionCheckFail", "Condition check failed.");
    let one = [("c", ValueRef::Integer(1))];
    server.call("PutRow", &put("t", 1, &one)).await.ok::<proto::PutRowResponse>();

    let putting =
        |condition| proto::PutRowRequest { condition, ..put("t", 1, &[("c", ValueRef::Integer(2))]) };
    server.call("PutRow", &putting(only_if(equal("c", 2)))).await.refused(failed.0, failed.1, failed.2);
    assert_eq!(read(&server, 1).await, "1 c=1");
    let answer = server.call("PutRow", &putting(only_if(equal("c", 1)))).await.ok::<proto::PutRowResponse>();
    assert_eq!(units(&answer.consumed), (1, 1));

    let change = [("d", Some(ValueRef::Integer(3)), CellOperation::Put, None)];
    let updating = |condition| proto::UpdateRowRequest { condition, ..update("t", 1, &change) };
    server.call("UpdateRow", &updating(only_if(equal("c", 1)))).await.refused(failed.0, failed.1, failed.2);
    let both = ColumnCondition::And(vec![equal("c", 2).into(), equal("pk", 1).into()]);
    let answer = server.call("UpdateRow", &updating(only_if(both))).await.ok::<proto::UpdateRowResponse>();
    assert_eq!((units(&answer.consumed), read(&server, 1).await.as_str()), ((1, 1), "1 c=2 d=3"));

    let deleting = |condition| proto::DeleteRowRequest { condition, ..delete("t", 1) };
    server.call("DeleteRow", &deleting(only_if(equal("d", 4)))).await.refused(failed.0, failed.1, failed.2);
    let not = ColumnCondition::Not(Box::new(equal("d", 4).into()));
    let answer = server.call("DeleteRow", &deleting(only_if(not))).await.ok::<proto::DeleteRowResponse>();
    assert_eq!((units(&answer.consumed), read(&server, 1).await.as_str()), ((1, 1), "none"));
}

#[tokio::test]
async fn a_row_that_is_missing_lacks_every_column_of_its_key_too() {
    let server = server().await;
    let putting =
        |pk, condition| proto::PutRowRequest { condition, ..put("t", pk, &[("c", ValueRef::Integer(1))]) };
    for refused in [
        ColumnCondition::from(strict(equal("c", 1))),
        strict(equal("pk", 1)).into(),
        ColumnTest::new("pk", Comparison::Exists).into(),
        ColumnCondition::Not(Box::new(equal("c", 1).into())),
    ] {
        let answer = server.call("PutRow", &putting(1, only_if(refused.clone()))).await;
        assert_eq!(answer.error().0, "OTSConditionCheckFail", "{refused:?}");
    }
    assert_eq!(read(&server, 1).await, "none");
    let passing = [
        ColumnCondition::from(equal("c", 7)),
        equal("pk", 7).into(),
        ColumnTest::new("c", Comparison::IsMissing).into(),
    ];
    for (pk, passing) in (2..).zip(passing) {
        server.call("PutRow", &putting(pk, only_if(passing))).await.ok::<proto::PutRowResponse>();
        assert_eq!(read(&server, pk).await, format!("{pk} c=1"));
    }
}

#[tokio::test]
async fn both_conditions_of_a_write_must_hold() {
    use proto::RowExistenceExpectation::{ExpectExist, ExpectNotExist};
    let server = server().await;
    server.call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))])).await.ok::<proto::PutRowResponse>();
    let putting = |existence: proto::RowExistenceExpectation, test: ColumnTest| proto::PutRowRequest {
        condition: proto::Condition { row_existence: existence.into(), ..only_if(test) },
        ..put("t", 1, &[("c", ValueRef::Integer(2))])
    };
    for (existence, test) in [(ExpectExist, equal("c", 2)), (ExpectNotExist, equal("c", 1))] {
        let answer = server.call("PutRow", &putting(existence, test)).await;
        assert_eq!(answer.error().0, "OTSConditionCheckFail", "{existence:?}");
    }
    server.call("PutRow", &putting(ExpectExist, equal("c", 1))).await.ok::<proto::PutRowResponse>();
    assert_eq!(read(&server, 1).await, "1 c=2");
}

#[tokio::test]
async fn a_row_of_a_batch_sees_what_the_rows_before_it_made() {
    let server = server().await;
    let counting = |from: i64| proto::RowInBatchWriteRowRequest {
        r#type: proto::OperationType::Put.into(),
        row_change: row(1, &[("c", ValueRef::Integer(from + 1))]),
        condition: only_if(equal("c", from)),
        ..Default::default()
    };
    let rows = vec![counting(0), counting(1), counting(1), counting(2)];
    let tables = vec![proto::TableInBatchWriteRowRequest { table_name: "t".into(), rows }];
    let request = proto::BatchWriteRowRequest { tables, ..Default::default() };
    let answer = server.call("BatchWriteRow", &request).await.ok::<proto::BatchWriteRowResponse>();
    let told: Vec<String> = answer.tables[0]
        .rows
        .iter()
        .map(|row| {
            row.error.as_ref().map_or("ok".into(), |error| format!("{} {}", error.code, error.message()))
        })
        .collect();
    assert_eq!(told, ["ok", "ok", "OTSConditionCheckFail Condition check failed.", "ok"]);
    assert_eq!(units(answer.tables[0].rows[0].consumed.as_ref().unwrap()), (1, 1));
    assert_eq!(read(&server, 1).await, "1 c=3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_writes_pass_on_one_state_of_a_row() {
    const WRITERS: i64 = 6;
    const TIMES: i64 = 10;
    let server = Arc::new(server().await);
    server.call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(0))])).await.ok::<proto::PutRowResponse>();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let server = server.clone();
        writers.spawn(async move {
            let mut seen = 0;
            let mut done = 0;
            while done < TIMES {
                let request = proto::PutRowRequest {
                    condition: only_if(strict(equal("c", seen))),
                    ..put("t", 1, &[("c", ValueRef::Integer(seen + 1))])
                };
                let answer = server.call("PutRow", &request).await;
                if answer.status.is_success() {
                    done += 1;
                } else {
                    assert_eq!(answer.error().0, "OTSConditionCheckFail");
                    // Whoever is refused is behind: a value never comes back.
                }
                seen += 1;
            }
        });
    }
    writers.join_all().await;
    let counted = read(&server, 1).await;
    let counted: i64 = counted.strip_prefix("1 c=").unwrap().parse().unwrap();
    assert_eq!(counted, WRITERS * TIMES, "each write that passed counted once");
}

#[tokio::test]
async fn a_condition_that_is_none_is_refused_and_changes_nothing() {
    let server = server().await;
    let page = Filter { condition: None, page: Some(ColumnPage { offset: 0, limit: 1 }) };
    for bytes in [convert::filter_bytes(&page), Some(bytes::Bytes::from_static(b"\xff"))] {
        let condition = proto::Condition { row_existence: 0, column_condition: bytes };
        let request = proto::PutRowRequest { condition, ..put("t", 1, &[("c", ValueRef::Integer(1))]) };
        let answer = server.call("PutRow", &request).await;
        assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (400, "OTSParameterInvalid"));
    }
    let many = ColumnCondition::Or((0..32).map(|at| equal("c", at).into()).collect());
    let request = proto::DeleteRowRequest { condition: only_if(many), ..delete("t", 1) };
    let message = "The count of filter exceeds the max: 32.";
    server.call("DeleteRow", &request).await.refused(400, "OTSParameterInvalid", message);
    assert_eq!(read(&server, 1).await, "none");
}
