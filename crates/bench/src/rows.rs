//! The rows that are written: two shapes, of about 100 and about 500 bytes with their keys.

use bytes::Bytes;
use lakeferry_client::{CreateTable, Key, Put, TableWrites, encode_batch_write};
use lakeferry_model::{KeyKind, SystemClock, ValueRef};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, encode};
use lakeferry_wire::proto;

/// The table's name in every benchmark.
pub const TABLE: &str = "bench";
/// The rows of a BatchWriteRow, the most that there may be.
pub const BATCH_ROWS: u64 = 200;

/// A shape of rows.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Ends the cases' names.
    pub name: &'static str,
    /// Bytes of the two long text columns.
    text_bytes: [usize; 2],
    /// Divides the number of rows, so that all shapes take about as long.
    pub divisor: u64,
}

/// The shapes.
pub const SHAPES: [Shape; 2] = [
    Shape { name: "100b", text_bytes: [16, 24], divisor: 1 },
    Shape { name: "500b", text_bytes: [176, 264], divisor: 3 },
];

/// The primary key's columns.
pub const KEY_NAMES: [&str; 2] = ["device", "id"];
/// The versions of each column, where there is more than one.
pub const VERSIONS: u32 = 4;

/// The table that holds them.
pub fn table() -> CreateTable {
    table_named(TABLE)
}

/// A table of the same kind, under another name.
pub fn table_named(name: &str) -> CreateTable {
    CreateTable::new(name).key(KEY_NAMES[0], KeyKind::String).key(KEY_NAMES[1], KeyKind::Integer)
}

/// A PutRow of a row of this shape, with no condition and nothing to return.
pub fn put_row(table: &str, device: &str, id: u64, shape: Shape) -> proto::PutRowRequest {
    let scattered = scatter(id);
    let [label, note] = shape.text_bytes;
    let (label, note) = (text(scattered, label), text(scattered.rotate_left(17), note));
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let mut row = RowWriter::new();
    row.start_row();
    row.key_cell(KEY_NAMES[0], ValueRef::String(device));
    row.key_cell(KEY_NAMES[1], ValueRef::Integer(id));
    let cells = [
        ("amount", ValueRef::Double((scattered % 1_000_000) as f64 / 100.0)),
        ("count", ValueRef::Integer(id)),
        ("label", ValueRef::String(&label)),
        ("note", ValueRef::String(&note)),
        ("paid", ValueRef::Boolean(scattered.is_multiple_of(2))),
    ];
    for (name, value) in cells {
        row.change(name, Some(value), CellOperation::Put, None);
    }
    row.end_row();
    proto::PutRowRequest { table_name: table.to_owned(), row: row.finish(), ..Default::default() }
}

/// A GetRow of all columns of row number `id`, the newest version of each.
pub fn get_row(id: u64) -> proto::GetRowRequest {
    let device = device(id);
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let columns = [(KEY_NAMES[0], ValueRef::String(&device)), (KEY_NAMES[1], ValueRef::Integer(id))];
    proto::GetRowRequest {
        table_name: TABLE.to_owned(),
        primary_key: encode::key(columns),
        max_versions: Some(1),
        ..Default::default()
    }
}

impl Shape {
    /// Row number `id`. The key's first column is scattered, as the keys of users and devices are.
    pub fn row(&self, id: u64) -> Put {
        let scattered = scatter(id);
        let mut row = Put::new(key(id));
        row = row.set("amount", (scattered % 1_000_000) as f64 / 100.0);
        row = row.set("count", i64::try_from(id).unwrap_or(i64::MAX));
        row = row.set("label", text(scattered, self.text_bytes[0]));
        row = row.set("note", text(scattered.rotate_left(17), self.text_bytes[1]));
        row.set("paid", scattered.is_multiple_of(2))
    }

    /// The same row with [`VERSIONS`] versions of each column, the last of this moment and a second between them.
    fn versioned_row(&self, id: u64, now_ms: i64) -> Put {
        let mut row = Put::new(key(id));
        for version in 0..VERSIONS {
            let scattered = scatter(id.wrapping_add(u64::from(version) << 40));
            let at = now_ms - 1000 * i64::from(VERSIONS - 1 - version);
            row = row.set_at("amount", (scattered % 1_000_000) as f64 / 100.0, at);
            row = row.set_at("count", i64::try_from(id).unwrap_or(i64::MAX), at);
            row = row.set_at("label", text(scattered, self.text_bytes[0]), at);
            row = row.set_at("note", text(scattered.rotate_left(17), self.text_bytes[1]), at);
            row = row.set_at("paid", scattered.is_multiple_of(2), at);
        }
        row
    }

    /// The bodies of the BatchWriteRow requests that write rows `from` to `to`.
    pub fn bodies(&self, from: u64, to: u64) -> Vec<Bytes> {
        batches(from, to, |id| self.row(id))
    }

    /// The same with [`VERSIONS`] versions of each column.
    pub fn versioned_bodies(&self, from: u64, to: u64) -> Vec<Bytes> {
        let now_ms = SystemClock::shared().now_micros() / 1000;
        batches(from, to, |id| self.versioned_row(id, now_ms))
    }
}

/// The bodies of the BatchWriteRow requests that write these rows.
pub fn batches(from: u64, to: u64, row: impl Fn(u64) -> Put) -> Vec<Bytes> {
    let starts = (from..to).step_by(usize::try_from(BATCH_ROWS).unwrap_or(1));
    let body = |start: u64| {
        let rows = (start..(start + BATCH_ROWS).min(to)).map(&row);
        encode_batch_write(&[TableWrites::new(TABLE, rows)])
    };
    starts.map(body).collect()
}

/// The key of row number `id`.
pub fn key(id: u64) -> Key {
    Key::new(KEY_NAMES[0], device(id)).and(KEY_NAMES[1], i64::try_from(id).unwrap_or(i64::MAX))
}

fn device(id: u64) -> String {
    format!("device-{:06}", scatter(id) % 1_000_000)
}

/// A number that looks like no other, the same in every run (the finalizer of SplitMix64).
pub fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn text(seed: u64, length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz 01234";
    let mut state = seed;
    let mut text = String::with_capacity(length);
    for at in 0..length {
        if at % 12 == 0 {
            state = scatter(state);
        }
        text.push(char::from(LETTERS[(state & 31) as usize]));
        state >>= 5;
    }
    text
}
