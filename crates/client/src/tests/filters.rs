//! Filters of reads, conditions of writes and bulk export, asked of the real server.

use lakeferry_model::filter::{ColumnTest, Comparator};
use lakeferry_model::{ColumnCondition, ColumnPage, Filter, Value};

use super::features::{ids, ten_rows};
use crate::{ErrorCode, Key, Range, Read, Update};

fn compare(column: &'static str, comparator: Comparator, value: i64) -> ColumnCondition {
    ColumnTest::compare(column, comparator, Value::Integer(value)).into()
}

#[tokio::test]
async fn a_filter_decides_which_rows_are_read_and_how_much_of_them() {
    let (server, client) = ten_rows().await;
    let between = ColumnCondition::And(vec![
        compare("n", Comparator::GreaterOrEqual, 3),
        ColumnCondition::Not(Box::new(compare("n", Comparator::Greater, 5))),
    ]);
    let read = Read::default().filter(between);
    assert_eq!(ids(&client, "t", Range::all(["id"]).read(read.clone())).await, [3, 4, 5]);
    assert_eq!(client.get_row("t", &Key::new("id", 7), &read).await.unwrap(), None);
    let page = Filter { condition: None, page: Some(ColumnPage { offset: 1, limit: 1 }) };
    let found = client.get_row("t", &Key::new("id", 7), &Read::default().filter(page)).await.unwrap();
    assert_eq!(found.unwrap().cells.iter().map(|cell| cell.name.to_string()).collect::<Vec<_>>(), ["s"]);
    server.stop().await;
}

#[tokio::test]
async fn a_write_may_depend_on_what_a_column_holds() {
    let (server, client) = ten_rows().await;
    let update = |expected| {
        let update = Update::new(Key::new("id", 1)).set("n", 100).only_if_exists();
        client.update_row("t", update.only_if(compare("n", Comparator::Equal, expected)))
    };
    let refused = update(2).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::ConditionCheckFail));
    update(1).await.unwrap();
    assert!(update(1).await.is_err(), "it holds 100 now");
    server.stop().await;
}

#[tokio::test]
async fn a_range_is_exported_in_bulk() {
    let (server, client) = ten_rows().await;
    let page =
        client.bulk_export("t", &Range::between(&Key::new("id", 3), &Key::new("id", 6))).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (3, None));
    assert_eq!(page.rows[0].integer("n"), Some(3));
    assert!(page.bytes > 0);
    server.stop().await;
}
