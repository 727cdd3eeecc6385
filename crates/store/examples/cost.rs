//! What the store itself costs: the processor's time per row, without a disk. For Linux.
//!
//! `cargo run --release -p lakeferry-store --example cost`
//!
//! - Writing: batches of 200 rows of five columns, about 100 bytes, with the log kept; once on an engine in memory and
//!   once on one that keeps nothing, which leaves the store's own part.
//! - Scanning: the newest cells of such rows, as delivery reads them.

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use lakeferry_engine::{
    Area, Batch, Block, Engine, Error, MemoryEngine, Room, Scan, Space, SpaceId, WriteError,
};
use lakeferry_model::{
    CellChange, ColumnUpdate, Condition, InstanceName, KeyColumn, KeyKind, KeyValue, PrimaryKey,
    ReservedThroughput, Returning, RowChange, RowOperation, SystemClock, TableName, TableOptions,
    TableSchema, Value, ValueRef,
};
use lakeferry_store::{LogKeeper, RowBlock, Settings, Store, Table, TableSpec};

const BATCH: u64 = 200;
const BATCHES: u64 = 1_000;
/// How often the blocks are gone through.
const PASSES: usize = 100;
const COLUMNS: [&str; 5] = ["amount", "city", "name", "paid", "price"];

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        for (name, engine) in [
            ("in memory", Arc::new(MemoryEngine::default()) as Arc<dyn Engine>),
            ("on an engine that keeps nothing", Arc::new(Nothing(SpaceId::new("nothing")))),
        ] {
            let table = table(engine).await;
            let puts = write(&table, put).await;
            let updates = write(&table, update).await;
            println!("{name}: {puts:?} per row put, {updates:?} per row updated");
            if !table.partitions()[0]
                .rows(&[], None, false, 1, 1, soon())
                .await
                .expect("it is read")
                .is_empty()
            {
                println!("{name}: {:?} per row scanned", scan(&table).await);
            }
        }
    });
}

async fn table(engine: Arc<dyn Engine>) -> Table {
    let instance = InstanceName::parse("i").expect("it is a name");
    let store =
        Store::open(engine, SystemClock::shared(), Settings::default(), soon()).await.expect("it opens");
    store.create_instance(&instance).await.expect("it is made");
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind, auto_increment: false };
    let schema = TableSchema {
        name: TableName::parse("t").expect("it is a name"),
        primary_key: vec![column("user", KeyKind::String), column("n", KeyKind::Integer)],
        defined_columns: Vec::new(),
    };
    let options = TableOptions::default();
    let throughput = ReservedThroughput::default();
    let spec = TableSpec { schema, options, throughput, stream: None, split_points: Vec::new() };
    let table = store.create_table(&instance, spec).await.expect("it is made");
    for partition in table.partitions() {
        partition.keep_log(LogKeeper::Readers, true, soon()).await.expect("it is switched");
    }
    table
}

/// The time per row of writing batch after batch, two at a time as servers do; making the changes is left out.
async fn write(table: &Table, change: impl Fn(u64) -> RowChange) -> Duration {
    let mut passed = Duration::ZERO;
    for batch in 0..BATCHES / 2 {
        let rows = |half: u64| (0..BATCH).map(|row| change((batch * 2 + half) * BATCH + row)).collect();
        let (one, two): (Vec<_>, Vec<_>) = (rows(0), rows(1));
        let start = processor_time();
        let (one, two) = tokio::join!(table.write(one, soon()), table.write(two, soon()));
        passed += processor_time() - start;
        assert!(one.iter().chain(&two).all(Result::is_ok));
    }
    passed / u32::try_from(BATCH * BATCHES).expect("it is small")
}

/// The time per row of going through blocks that are read already.
async fn scan(table: &Table) -> Duration {
    let partition = &table.partitions()[0];
    let mut blocks = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let block = partition.scan(after.as_deref(), None, 1 << 20, soon()).await.expect("it is read");
        after = block.last_key().map(<[u8]>::to_vec);
        let more = block.more();
        blocks.push(block);
        if !more {
            break;
        }
    }
    let (mut rows, mut sum) = (0_u32, 0_usize);
    let start = processor_time();
    for record in std::iter::repeat_n(&blocks, PASSES).flatten().flat_map(RowBlock::records) {
        for cell in record.expect("it is whole").newest() {
            let cell = cell.expect("it is whole");
            sum += cell.name.len();
            if let ValueRef::String(text) = cell.value {
                sum += text.len();
            }
        }
        rows += 1;
    }
    let passed = processor_time() - start;
    assert!(rows == 0 || sum > 0);
    passed / rows.max(1)
}

fn put(row: u64) -> RowChange {
    change(row, RowOperation::Put(cells(row)))
}

fn update(row: u64) -> RowChange {
    change(row, RowOperation::Update(cells(row)))
}

fn change(row: u64, operation: RowOperation) -> RowChange {
    let user = KeyValue::String(format!("user-{:08}", row.wrapping_mul(2_654_435_761) % 100_000_000).into());
    let n = KeyValue::Integer(row.cast_signed());
    RowChange {
        primary_key: PrimaryKey::new(vec![user, n]),
        operation,
        condition: Condition::default(),
        returning: Returning::Nothing,
    }
}

fn cells(row: u64) -> Vec<CellChange> {
    let values = [
        Value::Integer(row.cast_signed()),
        Value::String(format!("city of number {:012}", row % 1_000).into()),
        Value::String(format!("somebody with the name {row:016}").into()),
        Value::Boolean(row.is_multiple_of(2)),
        Value::Double(0.25),
    ];
    let cells = COLUMNS.iter().zip(values);
    cells
        .map(|(name, value)| CellChange { name: (*name).into(), update: ColumnUpdate::Put(value, None) })
        .collect()
}

/// What this thread has had of the processor so far: on a busy machine time passes without it.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("it is a number");
    Duration::from_nanos(nanos)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// An engine that takes everything and keeps nothing.
#[derive(Debug, Clone)]
struct Nothing(SpaceId);

#[async_trait]
impl Engine for Nothing {
    async fn open_space(&self, _: &SpaceId, _: Instant) -> Result<Arc<dyn Space>, Error> {
        Ok(Arc::new(self.clone()))
    }

    async fn spaces(&self, _: Instant) -> Result<Vec<SpaceId>, Error> {
        Ok(Vec::new())
    }

    async fn drop_space(&self, _: &SpaceId, _: Instant) -> Result<(), Error> {
        Ok(())
    }

    fn room(&self) -> Room {
        Room::Free
    }

    async fn close(&self, _: Instant) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Space for Nothing {
    fn id(&self) -> &SpaceId {
        &self.0
    }

    async fn read(&self, _: Area, keys: Vec<Bytes>, _: Instant) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(vec![None; keys.len()])
    }

    async fn scan(&self, _: Scan, _: Instant) -> Result<Block, Error> {
        Ok(Block::default())
    }

    async fn write(&self, _: Batch, _: Instant) -> Result<(), WriteError> {
        Ok(())
    }

    async fn trim(&self, _: Bytes, _: Instant) -> Result<(), Error> {
        Ok(())
    }

    async fn log_bytes(&self, _: Instant) -> Result<u64, Error> {
        Ok(0)
    }
}
