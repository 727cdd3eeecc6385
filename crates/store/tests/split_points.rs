//! Points that split a table by size, and defined columns that come and go.

use std::time::{Duration, Instant};

use lakeferry_model::{DefinedColumn, DefinedKind, IndexKind, ValueKind};
use lakeferry_store::{Error, ErrorKind, SplitPoints, Table};

use crate::index_support::{declared, index};
use crate::support::{Site, instance, put, row_key, soon, split_at, table_name, write};

async fn split(table: &Table, bytes: u64, points_max: usize) -> SplitPoints {
    table.split_points(bytes, points_max, soon(), soon()).await.unwrap()
}

#[tokio::test]
async fn a_small_table_is_one_part() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    let whole = split(&table, 1 << 20, usize::MAX).await;
    assert_eq!(whole, SplitPoints { points: vec![], places: vec![(table.partitions()[0].id(), 1)] });
    write(&table, put("zoe", 1, &[("a", 1)])).await.unwrap();
    assert_eq!(split(&table, 1 << 20, usize::MAX).await, whole);
}

#[tokio::test]
async fn parts_are_of_about_one_size_and_each_row_is_in_one() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    for user in ["ann", "zoe"] {
        for n in 0..200 {
            write(&table, put(user, n, &[("a", n)])).await.unwrap();
        }
    }
    let SplitPoints { points, places } = split(&table, 2500, usize::MAX).await;
    assert!(points.len() > 4 && points.is_sorted_by(|a, b| a < b), "{points:?}");
    assert_eq!(places.iter().map(|(_, count)| count).sum::<u64>(), points.len() as u64 + 1);
    assert_eq!(places.len(), 2, "parts begin in both partitions");
    let bounds = [vec![row_key("ann", 0)], points.clone(), vec![row_key("zoe", 200)]].concat();
    let rows = |pair: &[lakeferry_model::PrimaryKey]| {
        let all = ["ann", "zoe"].into_iter().flat_map(|user| (0..200).map(move |n| row_key(user, n)));
        all.filter(|key| pair[0] <= *key && *key < pair[1]).count()
    };
    let sizes: Vec<usize> = bounds.windows(2).map(rows).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 400);
    let (full, last) = sizes.split_at(sizes.len() - 1);
    assert!(full.iter().all(|size| *size == full[0]) && last[0] <= full[0], "{sizes:?}");

    assert_eq!(split(&table, 2500, 2).await.points.len(), 2);
    assert_eq!(split(&table, 2500, 0).await.points.len(), 0);
}

#[tokio::test]
async fn a_walk_ends_in_time_with_a_large_last_part() {
    let site = Site::new().await;
    let table = site.table_of(split_at(&["m"])).await;
    for user in ["ann", "zoe"] {
        write(&table, put(user, 1, &[])).await.unwrap();
    }
    let now = Instant::now();
    let cut_short = table.split_points(1, 9, now, now + Duration::from_secs(60)).await.unwrap();
    assert_eq!(cut_short.points, [], "only the first partition was walked");
    assert_eq!(split(&table, 1, 9).await.points, [row_key("zoe", 1)]);
}

#[tokio::test]
async fn defined_columns_come_and_go_and_last() {
    let mut site = Site::new().await;
    site.store
        .create_indexed_table(&instance(), declared(), vec![index("by_a", IndexKind::Global, &["a"], &[])])
        .await
        .unwrap();
    let column = |name: &str| DefinedColumn { name: name.into(), kind: DefinedKind(ValueKind::String) };
    let t = table_name("t");
    site.store.add_defined_columns(&instance(), &t, vec![column("e")]).await.unwrap();
    site.store.delete_defined_columns(&instance(), &t, &["b".into()]).await.unwrap();
    let used = site.store.delete_defined_columns(&instance(), &t, &["c".into(), "a".into()]).await;
    assert!(matches!(used.unwrap_err().kind(), ErrorKind::Invalid(_)));
    let missing = site.store.add_defined_columns(&instance(), &table_name("none"), vec![column("e")]).await;
    assert!(matches!(missing.unwrap_err(), Error::NoSuchTable(_)));
    site.reopen().await;
    let names: Vec<String> =
        site.same_table().info().schema.defined_columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(names, ["a", "c", "e"]);
}
