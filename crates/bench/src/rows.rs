//! The rows that are written: two shapes, of about 100 and about 500 bytes with their keys.

use bytes::Bytes;
use lakeferry_client::{CreateTable, Key, Put, TableWrites, encode_batch_write};
use lakeferry_model::KeyKind;

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

/// The table that holds them.
pub fn table() -> CreateTable {
    CreateTable::new(TABLE).key("device", KeyKind::String).key("id", KeyKind::Integer)
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

    /// The bodies of the BatchWriteRow requests that write rows `from` to `to`.
    pub fn bodies(&self, from: u64, to: u64) -> Vec<Bytes> {
        let starts = (from..to).step_by(usize::try_from(BATCH_ROWS).unwrap_or(1));
        let body = |start: u64| {
            let rows = (start..(start + BATCH_ROWS).min(to)).map(|id| self.row(id));
            encode_batch_write(&[TableWrites::new(TABLE, rows)])
        };
        starts.map(body).collect()
    }
}

/// The key of row number `id`.
pub fn key(id: u64) -> Key {
    let device = format!("device-{:06}", scatter(id) % 1_000_000);
    Key::new("device", device).and("id", i64::try_from(id).unwrap_or(i64::MAX))
}

/// A number that looks like no other, the same in every run (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
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
