//! What old versions cost a scan of the newest: rows read in pages of 5000, with one version of each cell and with
//! four, written by four updates or by one, on the embedded engine. For Linux.
//!
//! `cargo run --release -p lakeferry-store --example versions`

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_engine::{FjallEngine, FjallSettings};
use lakeferry_model::{
    CellChange, ColumnUpdate, Condition, InstanceName, KeyBound, KeyColumn, KeyKind, KeyRange, KeyValue,
    PrimaryKey, ReservedThroughput, Returning, RowChange, RowOperation, SystemClock, TableName, TableOptions,
    TableSchema, Value,
};
use lakeferry_store::{RangeLimits, Settings, Store, Table, TableSpec};

const ROWS: i64 = 200_000;
const BATCH: usize = 200;
const PASSES: u32 = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("it starts");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("there is room");
        let engine = FjallEngine::open(folder.path(), FjallSettings::default()).expect("it opens");
        let store = Store::open(Arc::new(engine), SystemClock::shared(), Settings::default(), soon()).await;
        let store = store.expect("it opens");
        let instance = InstanceName::parse("i").expect("it is a name");
        store.create_instance(&instance).await.expect("it is made");
        let mut tables = Vec::new();
        let now_ms = store.clock().now_micros() / 1000;
        for (what, updates, together) in
            [("one version", 1, 1), ("four, one by one", 4, 1), ("four at once", 1, 4)]
        {
            let name = format!("t{}", tables.len());
            let table = store.create_table(&instance, spec(&name)).await.expect("it is made");
            for update in 0..updates {
                for first in (0..ROWS).step_by(BATCH) {
                    let rows =
                        (first..ROWS).take(BATCH).map(|row| change(row, update * together, together, now_ms));
                    assert!(table.write(rows.collect(), soon()).await.iter().all(Result::is_ok));
                }
            }
            tables.push((what, table));
        }
        for _ in 0..3 {
            for (what, table) in &tables {
                let (read, looked_at) = (scan(table, false).await, scan(table, true).await);
                println!("{what}: {read:?} per row read, {looked_at:?} with its newest cells looked at");
            }
        }
    });
}

fn spec(name: &str) -> TableSpec {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind, auto_increment: false };
    TableSpec {
        schema: TableSchema {
            name: TableName::parse(name).expect("it is a name"),
            primary_key: vec![column("n", KeyKind::Integer)],
            defined_columns: Vec::new(),
        },
        options: TableOptions { versions_max: 4, time_to_live_s: Some(86_400), ..TableOptions::default() },
        throughput: ReservedThroughput::default(),
        stream: None,
        split_points: Vec::new(),
    }
}

/// An update that puts versions of all cells, of the server's time if it is one, else rising from now on.
fn change(row: i64, first: i64, count: i64, now_ms: i64) -> RowChange {
    let version = |version: i64| {
        let values = [
            ("amount", Value::Integer(row)),
            ("city", Value::String(format!("city of number {:012}", row % 1_000).into())),
            ("name", Value::String(format!("somebody with the name {version:016}").into())),
            ("paid", Value::Boolean(row % 2 == 0)),
            ("price", Value::Double(0.25)),
        ];
        let timestamp = (count > 1).then_some(now_ms + version);
        values.map(|(name, value)| CellChange {
            name: name.into(),
            update: ColumnUpdate::Put(value, timestamp),
        })
    };
    RowChange {
        primary_key: PrimaryKey::new(vec![KeyValue::Integer(row)]),
        operation: RowOperation::Update((first..first + count).flat_map(version).collect()),
        condition: Condition::default(),
        returning: Returning::Nothing,
    }
}

/// The processor's time per row of reading all rows page by page, and of going through their newest cells.
async fn scan(table: &Table, look: bool) -> Duration {
    let start = processor_time();
    let (mut rows, mut bytes) = (0_u32, 0);
    for _ in 0..PASSES {
        let mut range =
            KeyRange { start: vec![KeyBound::InfMin], end: vec![KeyBound::InfMax], backward: false };
        loop {
            let limits = RangeLimits { rows_max: 5000, bytes_max: 4 << 20 };
            let page = table.range(&range, limits, soon()).await.expect("it is read");
            for block in &page.blocks {
                let visibility = block.visibility();
                rows += u32::try_from(block.len()).expect("it is a page");
                bytes += block.bytes();
                for row in block.rows().filter(|_| look) {
                    let (_, row) = row.expect("it is whole");
                    for cell in row.cells() {
                        let cell = cell.expect("it is whole");
                        if cell.version == 0 && visibility.shows(&cell) {
                            bytes += cell.value.size();
                        }
                    }
                }
            }
            let Some(next) = page.next else { break };
            range.start = next.values().iter().cloned().map(KeyBound::Value).collect();
        }
    }
    assert!(bytes > 0 && i64::from(rows) == ROWS * i64::from(PASSES));
    (processor_time() - start) / rows
}

/// What this process has had of the processors so far.
fn processor_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("Linux tells it").flatten() {
        let told = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += told.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(nanos)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
