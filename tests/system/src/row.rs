//! The rows of a trial: their keys, how they change, and how they arrive in the lake.

/// The table's primary key: `place` tells the partition, `item` the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// 0 to 999.
    pub place: i64,
    /// The writer's number, with the key's own number.
    pub item: i64,
}

/// Where the table is split.
pub const SPLIT_POINTS: [i64; 3] = [250, 500, 750];

impl Key {
    /// Another key in the same place, that no writer has among its own.
    pub fn twin(self) -> Self {
        Self { item: self.item + 500_000, ..self }
    }
}

/// The number of the partition in which a key lies.
pub fn partition_of(key: Key) -> usize {
    SPLIT_POINTS.iter().filter(|point| key.place >= **point).count()
}

/// The attribute columns of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The number of the last put or update.
    pub write: i64,
    /// Made from the number of the last put; missing if there was none.
    pub text: Option<String>,
    /// How often it was updated since it was put.
    pub count: i64,
}

/// A change of a row. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Puts the row, whole.
    Put(i64),
    /// Puts `write` and adds 1 to `count`.
    Update(i64),
    /// Removes the row.
    Delete,
}

/// The `$operation` of a delivered row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the values as they are delivered")]
pub enum Operation {
    Base,
    Put,
    Update,
    Delete,
}

/// A row of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns as they are delivered")]
pub struct Delivered {
    pub key: Key,
    pub operation: Operation,
    pub commit_time: i64,
    pub sequence: i64,
    pub write: Option<i64>,
    pub text: Option<String>,
    pub count: Option<i64>,
}

impl Row {
    /// The row as a put leaves it.
    pub fn put(number: i64) -> Self {
        Self { write: number, text: Some(text(number)), count: 0 }
    }
}

/// The text that a put with this number writes: long enough that objects and journals fill.
pub fn text(number: i64) -> String {
    format!("row {number} {}", "·".repeat(usize::try_from(number.rem_euclid(40)).unwrap_or(0)))
}

impl Change {
    /// The number, if it has one.
    pub fn number(self) -> Option<i64> {
        match self {
            Self::Put(number) | Self::Update(number) => Some(number),
            Self::Delete => None,
        }
    }

    /// Whether the delivered row stands for this change.
    pub fn is(self, row: &Delivered) -> bool {
        let operation = match self {
            Self::Put(_) => Operation::Put,
            Self::Update(_) => Operation::Update,
            Self::Delete => Operation::Delete,
        };
        row.operation == operation && row.write == self.number()
    }

    /// The row after the change.
    pub fn apply(self, row: Option<Row>) -> Option<Row> {
        match (self, row) {
            (Self::Put(number), _) => Some(Row::put(number)),
            (Self::Update(number), Some(row)) => Some(Row { write: number, count: row.count + 1, ..row }),
            (Self::Update(number), None) => Some(Row { write: number, text: None, count: 1 }),
            (Self::Delete, _) => None,
        }
    }
}

impl Delivered {
    /// A delivered row with these values.
    pub fn new(key: Key, operation: Operation, sequence: i64, values: Option<Row>) -> Self {
        let (write, text, count) = match values {
            Some(row) => (Some(row.write), row.text, Some(row.count)),
            None => (None, None, None),
        };
        Self { key, operation, commit_time: sequence, sequence, write, text, count }
    }

    /// Its attribute columns; none for a delete.
    pub fn values(&self) -> Option<Row> {
        Some(Row { write: self.write?, text: self.text.clone(), count: self.count? })
    }
}
