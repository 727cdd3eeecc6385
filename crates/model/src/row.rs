//! Rows as readers see them.

use bytestring::ByteString;

use crate::key::PrimaryKey;
use crate::value::Value;

/// One version of one attribute column.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The column's name.
    pub name: ByteString,
    /// The version, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What the column held.
    pub value: Value,
}

/// A row with the cells that a read asked for, ordered by column name, newest version first.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's primary key.
    pub primary_key: PrimaryKey,
    /// Its cells.
    pub cells: Vec<Cell>,
}
