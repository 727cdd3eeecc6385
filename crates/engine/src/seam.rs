//! The seam: what the rest of Lakeferry may ask of a storage engine.
//!
//! An [`Engine`] holds [`Space`]s. A space is what can move and what can split: its entries are written in
//! one batch, and nothing needs an atomic write across two. Within a space lie two [`Area`]s: a table, whose
//! keys come and go in any order, and a log, whose keys only rise and whose low end is trimmed away.
//!
//! What every implementation promises, and the contract suite proves:
//! - A write ends as committed, not written, or unknown, and [`WriteError`] says which. Committed is durable.
//! - Nothing can be read before it is durable.
//! - A scan sees one state for the length of a block. Nobody needs a view that lives longer.
//! - What `trim` lets go is given back to the disk within a minute, also when nothing is written and when
//!   the disk is at its reserve.
//! - Every call ends by its deadline.
//!
//! Deliberately absent: rows, change records, schemas. Keys and values are bytes.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;

/// A store of ordered byte keys, in spaces.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// Opens a space, making it if there is none.
    async fn open_space(&self, id: &SpaceId, deadline: Instant) -> Result<Arc<dyn Space>, Error>;

    /// The ids of all spaces, in order.
    async fn spaces(&self, deadline: Instant) -> Result<Vec<SpaceId>, Error>;

    /// Removes a space and everything in it. One that is missing is no error. Open handles fail from then on.
    async fn drop_space(&self, id: &SpaceId, deadline: Instant) -> Result<(), Error>;

    /// Whether row writes may still be taken. Trimming, and writes of those who make room, go on regardless.
    fn room(&self) -> Room;

    /// Writes down what is only in memory and in the journal, so that the next start is quick, then refuses
    /// everything. Writes that were taken before end as they would have.
    async fn close(&self, deadline: Instant) -> Result<(), Error>;
}

/// One space of an engine. Handles are shared; a space has one owner, who orders its writes.
#[async_trait]
pub trait Space: Send + Sync + fmt::Debug + 'static {
    /// Which space this is.
    fn id(&self) -> &SpaceId;

    /// Reads single keys; the answers come in the order of the keys.
    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error>;

    /// Reads a block of entries. An empty block with `more` unset means that the range is read to its end.
    async fn scan(&self, scan: Scan, deadline: Instant) -> Result<Block, Error>;

    /// Reads the same entries on the caller's own thread, and hands each over as it lies in the engine's memory:
    /// for work that goes through them at once. The visitor says whether to go on. The answer is false once the
    /// range is read to its end, and true where it may hold more. A disk that hangs holds the thread beyond the
    /// deadline. What was handed over before an error is as good as without it.
    ///
    /// # Panics
    /// On a thread that must not block, such as the runtime's own; and as the visitor panics.
    fn visit(&self, scan: Scan, deadline: Instant, visitor: &mut Visitor<'_>) -> Result<bool, Error> {
        let block = Handle::current().block_on(self.scan(scan, deadline))?;
        for (key, value) in block.iter() {
            if visitor(key, value).is_break() {
                return Ok(true);
            }
        }
        Ok(block.more)
    }

    /// Writes a batch, all or nothing. Batches of one caller that awaits each are applied in their order.
    async fn write(&self, batch: Batch, deadline: Instant) -> Result<(), WriteError>;

    /// Lets go of the log's entries with keys below `below`. They may stay readable for a while; whoever
    /// trims must not read them. Trimming what is trimmed already is no error.
    async fn trim(&self, below: Bytes, deadline: Instant) -> Result<(), Error>;

    /// The bytes that the space's log holds on disk and in the journal, roughly.
    async fn log_bytes(&self, deadline: Instant) -> Result<u64, Error>;
}

/// Looks at a key and its value, and says whether to go on to the next.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The name of a space: 1 to 64 lowercase letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(Arc<str>);

impl SpaceId {
    /// # Panics
    /// If the name breaks the rule above. Space names are made by our own code alone.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        assert!(Self::fits(&name), "`{name}` is no name for a space");
        Self(name)
    }

    /// Whether a name keeps the rule.
    pub(crate) fn fits(name: &str) -> bool {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// Keys come and go in any order.
    Table,
    /// Keys only rise, and are trimmed from the low end.
    Log,
}

/// Whether there is room for more rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// The disk is at its reserve: row writes are to be refused, those that make room go on.
    AtReserve {
        /// Bytes free now.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
}

/// What to scan. Keys run from `from` (inclusive) to `to` (exclusive, absent: the area's end); backward, the
/// same keys come in descending order.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The part of the space.
    pub area: Area,
    /// The smallest key to return.
    pub from: Bytes,
    /// The smallest key not to return any more.
    pub to: Option<Bytes>,
    /// Whether to begin at the greatest key.
    pub backward: bool,
    /// The block ends when it holds this many entries.
    pub entries_max: usize,
    /// The block ends with the entry that makes it reach this many bytes of keys and values; so it holds at
    /// least one entry if there is one.
    pub bytes_max: usize,
}

/// Entries that were read together, in one piece of memory.
#[derive(Debug, Clone, Default)]
pub struct Block {
    data: Vec<u8>,
    entries: Vec<(usize, usize)>,
    /// Whether the range holds more entries beyond the last one here.
    pub more: bool,
}

impl Block {
    /// Makes room for entries like the first one, as many as the scan will take. A block that grows step by step
    /// touches twice the memory. For implementations of the seam.
    pub fn reserve_like(&mut self, key: &[u8], value: &[u8], scan: &Scan) {
        const RESERVED_BYTES_MAX: usize = 8 * 1024 * 1024;
        let bytes = (key.len() + value.len()).max(1);
        let wanted = scan.bytes_max.min(RESERVED_BYTES_MAX);
        let count = scan.entries_max.min(wanted / bytes + 1);
        // Entries differ in size; a tenth more than asked for spares most blocks their last growth.
        let room = count.saturating_mul(bytes).min(wanted.saturating_add(bytes));
        self.data.reserve(room.saturating_add(room / 10));
        self.entries.reserve(count);
    }

    /// Adds an entry. For implementations of the seam.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.data.extend_from_slice(key);
        let key_end = self.data.len();
        self.data.extend_from_slice(value);
        self.entries.push((key_end, self.data.len()));
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Bytes of memory that the block holds.
    pub fn capacity_bytes(&self) -> usize {
        self.data.capacity() + self.entries.capacity() * size_of::<(usize, usize)>()
    }

    /// The key and value of an entry.
    ///
    /// # Panics
    /// If there is no entry at that index.
    pub fn entry(&self, index: usize) -> (&[u8], &[u8]) {
        let start = if index == 0 { 0 } else { self.entries[index - 1].1 };
        let (key_end, end) = self.entries[index];
        (&self.data[start..key_end], &self.data[key_end..end])
    }

    /// All entries in the order of the scan.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The key of the last entry.
    pub fn last_key(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|index| self.entry(index).0)
    }
}

/// Changes to write together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

/// One change of a batch. Of two for one key, the later one stays.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Sets a key of the table.
    Put(Bytes, Bytes),
    /// Removes a key of the table, if it is there.
    Delete(Bytes),
    /// Adds an entry to the log; its key is greater than every key the log ever held.
    Append(Bytes, Bytes),
}

impl Batch {
    /// Sets a key of the table.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Operation::Put(key.into(), value.into()));
    }

    /// Removes a key of the table, if it is there.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.push(Operation::Delete(key.into()));
    }

    /// Adds an entry to the log. Its key must be greater than every key the log ever held.
    pub fn append(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Operation::Append(key.into(), value.into()));
    }

    fn push(&mut self, operation: Operation) {
        self.bytes += match &operation {
            Operation::Put(key, value) | Operation::Append(key, value) => key.len() + value.len(),
            Operation::Delete(key) => key.len(),
        };
        self.operations.push(operation);
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The changes in their order. For implementations of the seam.
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// A read, or the opening or dropping of a space, that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It did not end by its deadline.
    #[error("the engine did not answer in time")]
    Deadline,
    /// The engine is closed, or being opened again after a failure; a later try may succeed.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
    /// The bytes on disk are not what was written.
    #[error("the engine found damaged data: {0}")]
    Corrupt(String),
    /// The space was dropped.
    #[error("space `{0}` is gone")]
    SpaceGone(SpaceId),
}

/// A write that did not commit, as far as is known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Nothing of it was written, nor ever will be.
    #[error("nothing was written: {0}")]
    NotWritten(Error),
    /// It may be written whole, or not at all; reading tells, once the space is opened again.
    #[error("whether it was written is not known: {0}")]
    Unknown(Error),
}
