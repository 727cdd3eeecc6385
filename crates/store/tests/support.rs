//! What all tests share: places to open a store in, changes in few words, and what the store holds as plain values.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lakeferry_engine::testing::{FailingEngine, Home};
use lakeferry_engine::{Engine, FjallEngine, FjallSettings, MemoryEngine, ReserveSetting};
use lakeferry_model::{
    Cell, CellChange, ColumnCondition, ColumnUpdate, Condition, InstanceName, KeyColumn, KeyKind, KeyValue,
    ManualClock, Micros, PrimaryKey, ReservedThroughput, Returning, Row, RowChange, RowExistence,
    RowOperation, StreamSpec, TableName, TableOptions, TableSchema, Value,
};
use lakeferry_store::{
    Action, Error, LogKeeper, Partition, RangeLimits, RowBlock, Settings, Store, Table, TableSpec, Told,
    Written, key,
};
use tempfile::TempDir;

/// When tests begin: 2024-01-01, in microseconds.
pub const START: Micros = 1_704_067_200_000_000;

/// A deadline that no call reaches unless it hangs.
pub fn soon() -> Instant {
    lakeferry_engine::testing::soon()
}

/// An engine in memory, opened again on the same data.
#[derive(Default)]
pub struct Memory(MemoryEngine);

#[async_trait]
impl Home for Memory {
    async fn open(&self) -> Arc<dyn Engine> {
        Arc::new(self.0.reopen())
    }
}

/// Fjall in a temporary directory.
pub struct Fjall(TempDir);

impl Default for Fjall {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Home for Fjall {
    async fn open(&self) -> Arc<dyn Engine> {
        let settings = FjallSettings {
            cache_bytes: 8 << 20,
            reserve: ReserveSetting::Bytes(0),
            ..FjallSettings::default()
        };
        Arc::new(FjallEngine::open(&self.0.path().join("engine"), settings).unwrap())
    }
}

/// A store, the engine below it that fails by script, and the clock beside it.
pub struct Site {
    home: Box<dyn Home>,
    pub clock: Arc<ManualClock>,
    pub engine: FailingEngine,
    pub store: Store,
    settings: Settings,
}

impl Site {
    /// A store on an engine in memory, with the instance `i`.
    pub async fn new() -> Self {
        Self::at(Memory::default(), Settings::default()).await
    }

    pub async fn at(home: impl Home + 'static, settings: Settings) -> Self {
        let clock = ManualClock::at(START);
        let engine = FailingEngine::around(home.open().await);
        let store = open(&engine, &clock, &settings).await;
        store.create_instance(&instance()).await.unwrap();
        Self { home: Box::new(home), clock, engine, store, settings }
    }

    /// Ends the store as an operator would, and opens it again.
    pub async fn reopen(&mut self) {
        self.store.close(soon()).await.unwrap();
        self.open_again().await;
    }

    /// Ends the engine under the store's feet, and opens both again.
    pub async fn crash(&mut self) {
        self.engine.close(soon()).await.unwrap();
        self.open_again().await;
    }

    async fn open_again(&mut self) {
        self.engine = FailingEngine::around(self.home.open().await);
        self.store = open(&self.engine, &self.clock, &self.settings).await;
    }

    /// Makes a table named `t` of one partition.
    pub async fn table(&self) -> Table {
        self.table_of(spec("t")).await
    }

    pub async fn table_of(&self, spec: TableSpec) -> Table {
        self.store.create_table(&instance(), spec).await.unwrap()
    }

    /// The table `t` once more, after the store was opened again.
    pub fn same_table(&self) -> Table {
        self.store.table(&instance(), &table_name("t")).unwrap()
    }

    /// Lets a second go by.
    pub fn second(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

async fn open(engine: &FailingEngine, clock: &Arc<ManualClock>, settings: &Settings) -> Store {
    Store::open(Arc::new(engine.clone()), clock.clone(), settings.clone(), soon()).await.unwrap()
}

pub fn instance() -> InstanceName {
    InstanceName::parse("i").unwrap()
}

pub fn table_name(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

/// A table with a string and an integer for its primary key.
pub fn spec(name: &str) -> TableSpec {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind, auto_increment: false };
    TableSpec {
        schema: TableSchema {
            name: table_name(name),
            primary_key: vec![column("user", KeyKind::String), column("n", KeyKind::Integer)],
            defined_columns: Vec::new(),
        },
        options: TableOptions::default(),
        throughput: ReservedThroughput::default(),
        stream: None,
        split_points: Vec::new(),
    }
}

pub fn split_at(points: &[&str]) -> TableSpec {
    let points = points.iter().map(|point| KeyValue::String((*point).into()));
    TableSpec { split_points: points.collect(), ..spec("t") }
}

pub fn with_options(options: TableOptions) -> TableSpec {
    TableSpec { options, ..spec("t") }
}

pub fn with_stream(origin_columns: &[&str]) -> TableSpec {
    let origin_columns = origin_columns.iter().map(|name| (*name).to_owned()).collect();
    TableSpec { stream: Some(StreamSpec { expiration_hours: 24, origin_columns }), ..spec("t") }
}

pub fn row_key(user: &str, n: i64) -> PrimaryKey {
    PrimaryKey::new(vec![KeyValue::String(user.into()), KeyValue::Integer(n)])
}

pub fn change(user: &str, n: i64, operation: RowOperation) -> RowChange {
    RowChange {
        primary_key: row_key(user, n),
        operation,
        condition: Condition::default(),
        returning: Returning::Nothing,
    }
}

pub fn put(user: &str, n: i64, cells: &[(&str, i64)]) -> RowChange {
    change(user, n, RowOperation::Put(cells.iter().map(|(name, value)| set(name, *value)).collect()))
}

pub fn update(user: &str, n: i64, cells: Vec<CellChange>) -> RowChange {
    change(user, n, RowOperation::Update(cells))
}

pub fn delete(user: &str, n: i64) -> RowChange {
    change(user, n, RowOperation::Delete)
}

pub fn if_row(existence: RowExistence, change: RowChange) -> RowChange {
    RowChange { condition: existence.into(), ..change }
}

pub fn if_columns(condition: impl Into<ColumnCondition>, change: RowChange) -> RowChange {
    let columns = Some(condition.into());
    RowChange { condition: Condition { columns, ..change.condition }, ..change }
}

pub fn cell(name: &str, update: ColumnUpdate) -> CellChange {
    CellChange { name: name.into(), update }
}

pub fn set(name: &str, value: i64) -> CellChange {
    cell(name, ColumnUpdate::Put(Value::Integer(value), None))
}

pub fn set_at(name: &str, value: i64, ms: i64) -> CellChange {
    cell(name, ColumnUpdate::Put(Value::Integer(value), Some(ms)))
}

pub fn add(name: &str, by: i64) -> CellChange {
    cell(name, ColumnUpdate::Increment(by))
}

pub async fn write(table: &Table, change: RowChange) -> Result<Written, Error> {
    table.write(vec![change], soon()).await.pop().unwrap()
}

/// The row as readers see it.
pub async fn read(table: &Table, user: &str, n: i64) -> Option<Row> {
    let row = table.get(&[row_key(user, n)], soon()).await.unwrap().pop().unwrap()?;
    let (bytes, view) = row.view().unwrap();
    let visibility = row.visibility();
    let cells = view.cells().map(Result::unwrap).filter(|cell| visibility.shows(cell));
    let primary_key = key::decode(bytes, &table.info().schema.primary_key).unwrap();
    Some(Row { primary_key, cells: cells.map(|cell| cell.to_cell()).collect() })
}

/// A column's versions as readers see them, newest first: timestamps and integers.
pub async fn versions(table: &Table, user: &str, n: i64, column: &str) -> Vec<(i64, i64)> {
    let row = read(table, user, n).await;
    let cells = row.into_iter().flat_map(|row| row.cells).filter(|cell| cell.name == column);
    cells.map(|cell| (cell.timestamp_ms, integer(&cell.value))).collect()
}

/// The newest integer of a column.
pub async fn newest(table: &Table, user: &str, n: i64, column: &str) -> Option<i64> {
    versions(table, user, n, column).await.first().map(|(_, value)| *value)
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(value) => *value,
        other => panic!("{other:?} is no integer"),
    }
}

/// The visible rows of blocks.
pub fn rows_of(blocks: &[RowBlock]) -> Vec<Row> {
    let mut rows = Vec::new();
    for block in blocks {
        for row in block.rows() {
            let (bytes, view) = row.unwrap();
            if !view.is_visible(&block.visibility()).unwrap() {
                continue;
            }
            let cells = view.cells().map(Result::unwrap).filter(|cell| block.visibility().shows(cell));
            let cells: Vec<Cell> = cells.map(|cell| cell.to_cell()).collect();
            rows.push(Row {
                primary_key: key::decode(bytes, &block.table().schema.primary_key).unwrap(),
                cells,
            });
        }
    }
    rows
}

/// All visible rows of a table.
pub async fn all_rows(table: &Table) -> Vec<Row> {
    use lakeferry_model::{KeyBound, KeyRange};
    let range =
        KeyRange { start: vec![KeyBound::InfMin; 2], end: vec![KeyBound::InfMax; 2], backward: false };
    let limits = RangeLimits { rows_max: usize::MAX, bytes_max: usize::MAX };
    let page = table.range(&range, limits, soon()).await.unwrap();
    assert_eq!(page.next, None);
    rows_of(&page.blocks)
}

/// A change record as plain values.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub sequence: u64,
    pub commit_time: Micros,
    pub action: Action,
    pub primary_key: PrimaryKey,
    pub newest: Vec<Cell>,
}

/// The log of a partition behind a sequence, read in small blocks.
pub async fn log_after(table: &Table, partition: &Partition, mut after: u64) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let block = partition.read_log(after, 512, soon()).await.unwrap();
        for record in block.records() {
            let record = record.unwrap();
            let Told::Change(action) = record.told() else { panic!("a log tells changes") };
            assert!(record.sequence() > after, "sequences rise");
            after = record.sequence();
            records.push(Record {
                sequence: record.sequence(),
                commit_time: record.commit_time(),
                action,
                primary_key: key::decode(record.key(), &table.info().schema.primary_key).unwrap(),
                newest: record.newest().map(|cell| cell.unwrap().to_cell()).collect(),
            });
        }
        if !block.more() {
            return records;
        }
    }
}

/// The whole log of a table's only partition. Checks that commit times rise.
pub async fn log(table: &Table) -> Vec<Record> {
    let [partition] = table.partitions() else { panic!("the table has one partition") };
    let records = log_after(table, partition, partition.trimmed()).await;
    assert!(records.is_sorted_by(|a, b| a.commit_time < b.commit_time), "commit times rise");
    records
}

/// Switches the log of all partitions on, as delivery does.
pub async fn keep_log(table: &Table) {
    for partition in table.partitions() {
        partition.keep_log(LogKeeper::Readers, true, soon()).await.unwrap();
    }
}

/// A seed for a test of chance: from the environment (`LAKEFERRY_SEED`), else a new one. It is printed, and brings
/// a failure back.
#[expect(clippy::print_stderr, reason = "the test's runner shows it beside the failure")]
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("LAKEFERRY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("{test}: LAKEFERRY_SEED={seed}");
    seed
}

/// Runs other tasks until nothing more happens that needs no event from outside.
pub async fn let_others_run() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
