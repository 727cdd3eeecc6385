//! What tests of indexes share: tables with indexes, and what an index must hold, worked out from the table's rows.

use std::time::Duration;

use lakeferry_model::{
    Cell, Clock, DefinedColumn, DefinedKind, IndexKind, IndexSpec, KeyBound, KeyRange, KeyValue, PrimaryKey,
    Row, RowChange, RowOperation, TableSchema, Value, ValueKind,
};
use lakeferry_store::{IndexPhase, RangeLimits, Table, TableSpec};

use crate::support::{Site, change, instance, rows_of, set_at, soon, split_at, table_name};

/// A table in three partitions with the integers `a`, `b` and `c` declared.
pub fn declared() -> TableSpec {
    let mut spec = split_at(&["bo", "n"]);
    let defined = |name: &str| DefinedColumn { name: name.into(), kind: DefinedKind(ValueKind::Integer) };
    spec.schema.defined_columns = vec![defined("a"), defined("b"), defined("c")];
    spec
}

pub fn index(name: &str, kind: IndexKind, key: &[&str], carried: &[&str]) -> IndexSpec {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    IndexSpec { name: table_name(name), kind, key_columns: names(key), defined_columns: names(carried) }
}

/// Indexes of every shape: keys of attributes, of keys alone, of both; with and without carried columns.
pub fn all_kinds() -> Vec<IndexSpec> {
    vec![
        index("by_a", IndexKind::Global, &["a"], &["c", "b"]),
        index("by_n", IndexKind::Global, &["n"], &["a"]),
        index("by_b_user_a", IndexKind::Global, &["b", "user", "a"], &[]),
        index("user_by_b", IndexKind::Local, &["user", "b"], &["a"]),
        index("user_by_n", IndexKind::Local, &["user", "n"], &["c"]),
    ]
}

/// Everything that a table or index of any key holds.
pub async fn rows_in(table: &Table) -> Vec<Row> {
    let columns = table.info().schema.primary_key.len();
    let range = KeyRange {
        start: vec![KeyBound::InfMin; columns],
        end: vec![KeyBound::InfMax; columns],
        backward: false,
    };
    let limits = RangeLimits { rows_max: usize::MAX, bytes_max: usize::MAX };
    let page = table.range(&range, limits, soon()).await.unwrap();
    assert_eq!(page.next, None);
    rows_of(&page.blocks)
}

/// The keys of an index, and the newest integers that it carries, as text.
pub async fn told(table: &Table) -> Vec<String> {
    let value = |value: &KeyValue| match value {
        KeyValue::Integer(value) => value.to_string(),
        KeyValue::String(text) => text.to_string(),
        KeyValue::Binary(bytes) => format!("{bytes:?}"),
    };
    let rows = rows_in(table).await;
    let row = |row: &Row| {
        let key: Vec<String> = row.primary_key.values().iter().map(value).collect();
        let cells: Vec<String> = row
            .cells
            .iter()
            .map(|cell| match &cell.value {
                Value::Integer(value) => format!("{}={value}", cell.name),
                other => format!("{}={other:?}", cell.name),
            })
            .collect();
        [key.join("/"), cells.join(" ")].join(" ").trim_end().to_owned()
    };
    rows.iter().map(row).collect()
}

pub async fn write_all(table: &Table, changes: Vec<RowChange>) {
    for outcome in table.write(changes, soon()).await {
        outcome.unwrap();
    }
}

/// Cells put with timestamps: seconds from now on.
pub fn put_at(site: &Site, user: &str, n: i64, cells: &[(&str, i64, i64)]) -> RowChange {
    let now_ms = site.clock.now_micros() / 1000;
    let cells = cells.iter().map(|(name, value, seconds)| set_at(name, *value, now_ms + seconds * 1000));
    change(user, n, RowOperation::Put(cells.collect()))
}

/// What an index must hold if the table holds these rows.
pub fn entries_of(spec: &IndexSpec, table: &TableSchema, rows: &[Row]) -> Vec<Row> {
    let mut entries: Vec<Row> = rows.iter().filter_map(|row| entry_of(spec, table, row)).collect();
    entries.sort_by(|a, b| a.primary_key.cmp(&b.primary_key));
    entries
}

fn entry_of(spec: &IndexSpec, table: &TableSchema, row: &Row) -> Option<Row> {
    let own = |name: &str| {
        let at = table.primary_key.iter().position(|column| column.name == name)?;
        Some(row.primary_key.values()[at].clone())
    };
    let rest = table.primary_key.iter().map(|column| &column.name);
    let key = spec.key_columns.iter().chain(rest.filter(|name| !spec.key_columns.contains(name)));
    let key = key.map(|name| own(name).or_else(|| attribute(row, name)));
    let carried = row.cells.iter().filter(|cell| spec.defined_columns.iter().any(|name| *name == *cell.name));
    let mut cells: Vec<Cell> = carried.cloned().collect();
    cells.dedup_by(|later, first| later.name == first.name);
    Some(Row { primary_key: PrimaryKey::new(key.collect::<Option<_>>()?), cells })
}

fn attribute(row: &Row, name: &str) -> Option<KeyValue> {
    match &row.cells.iter().find(|cell| *cell.name == *name)?.value {
        Value::Integer(value) => Some(KeyValue::Integer(*value)),
        _ => None,
    }
}

impl Site {
    /// An index, to be read.
    pub fn index(&self, name: &str) -> Table {
        self.store.readable(&instance(), &table_name(name)).unwrap()
    }

    /// Waits until every index of the table `t` is built and has followed.
    pub async fn indexes_are_even(&self) {
        let table = self.same_table();
        let until = soon();
        loop {
            let reports = self.store.index_reports(&table, soon()).await.unwrap();
            let is_even = |report: &lakeferry_store::IndexReport| {
                report.phase == IndexPhase::Ready && report.behind_changes == 0
            };
            if reports.iter().all(is_even) {
                return;
            }
            assert!(std::time::Instant::now() < until, "an index does not follow: {reports:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Compares all indexes of the table `t` with its rows, once they have followed.
    pub async fn compare_indexes(&self, what: &str) {
        self.indexes_are_even().await;
        let table = self.same_table();
        let rows = rows_in(&table).await;
        let info = table.info();
        for known in &info.indexes {
            let expected = entries_of(&known.spec, &info.schema, &rows);
            let found = rows_in(&self.index(known.spec.name.as_str())).await;
            assert_eq!(found, expected, "{what}: {}", known.spec.name);
        }
    }
}
