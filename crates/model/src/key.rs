//! Primary keys, and the bounds of ranges over them.

use std::cmp::Ordering;

use crate::value::KeyValue;

/// A row's whole primary key: 1 to 4 values in schema order. Orders column by column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrimaryKey(Vec<KeyValue>);

impl PrimaryKey {
    /// Takes the values in schema order.
    pub fn new(values: Vec<KeyValue>) -> Self {
        Self(values)
    }

    /// The values in schema order.
    pub fn values(&self) -> &[KeyValue] {
        &self.0
    }

    /// Summed size of the values, names left out, in bytes.
    pub fn size(&self) -> usize {
        self.0.iter().map(KeyValue::size).sum()
    }
}

/// One column of a range's bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBound {
    /// Below every value.
    InfMin,
    /// A value.
    Value(KeyValue),
    /// Above every value.
    InfMax,
}

impl Ord for KeyBound {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |bound: &Self| match bound {
            Self::InfMin => 0,
            Self::Value(_) => 1,
            Self::InfMax => 2,
        };
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

impl PartialOrd for KeyBound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A range of primary keys as a read walks it: from `start`, which it includes, to `end`, which it does not.
/// Walked backward, `start` is the greater one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The inclusive start, a bound per primary key column.
    pub start: Vec<KeyBound>,
    /// The exclusive end, a bound per primary key column.
    pub end: Vec<KeyBound>,
    /// Whether the walk goes from greater keys to smaller ones.
    pub backward: bool,
}
