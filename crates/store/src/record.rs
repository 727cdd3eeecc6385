//! Change records as bytes, and rows on their way to the lake.
//!
//! ```text
//! log key = sequence:u64, big-endian
//! record  = format:u8=1  commit_time:i64  action:u8  key_length:varint  key  content  origin
//! content = PUT     columns                    the row as it was put
//!         | UPDATE  columns  changes           the newest cell of each column after the change; what it did
//!         | DELETE  nothing
//! changes = count:varint  change*
//! change  = name_length:varint  name  operation:u8  [timestamp_ms:varint(zigzag)]  [value]
//! origin  = columns                            values before the change of the columns a stream asks for
//! ```
//!
//! `columns` and values are those of a row entry. A record holds the whole row after the change, so that a
//! delivered row is a whole row; it is fixed at its commit, and nobody applies expiry to it later.

use lakeferry_model::{Micros, ValueRef};

use crate::entry::{
    CellRef, Cells, Column, Reader, RowView, Visibility, damaged, encode_columns, put_prefixed, put_value,
    put_varint, unzigzag, zigzag,
};
use crate::error::Error;

/// The format that this code writes.
pub const FORMAT: u8 = 1;
/// Bytes before the action: the format and the commit time, which the committer writes.
pub const HEAD_BYTES: usize = 9;

/// What a change did to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It replaced the row.
    Put,
    /// It changed columns of it.
    Update,
    /// It removed it.
    Delete,
}

impl Action {
    fn byte(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Update => 2,
            Self::Delete => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Put, Self::Update, Self::Delete].into_iter().find(|action| action.byte() == byte)
    }
}

/// What an update did to one column. The server's time stands where the writer named none, and a sum where it
/// asked for an increment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Changed<'a> {
    /// A version was put, with its timestamp in milliseconds.
    Put(i64, ValueRef<'a>),
    /// The version with this timestamp was removed.
    DeleteVersion(i64),
    /// All versions were removed.
    DeleteAll,
}

/// Appends a record without its head: from the action on. `columns` are the row after the change: those of a put
/// are told with all their versions, of an update the newest of each.
pub fn encode_body(
    action: Action,
    key: &[u8],
    columns: &[Column<'_>],
    changes: &[(&str, Changed<'_>)],
    origin: &[Column<'_>],
    out: &mut Vec<u8>,
) {
    out.push(action.byte());
    put_prefixed(key, out);
    if action == Action::Put {
        encode_columns(columns, usize::MAX, out);
    }
    if action == Action::Update {
        encode_columns(columns, 1, out);
        put_varint(changes.len() as u64, out);
        for (name, changed) in changes {
            put_prefixed(name.as_bytes(), out);
            encode_changed(*changed, out);
        }
    }
    encode_columns(origin, 1, out);
}

fn encode_changed(changed: Changed<'_>, out: &mut Vec<u8>) {
    match changed {
        Changed::Put(timestamp_ms, value) => {
            out.push(0);
            put_varint(zigzag(timestamp_ms), out);
            put_value(value, out);
        }
        Changed::DeleteAll => out.push(1),
        Changed::DeleteVersion(timestamp_ms) => {
            out.push(3);
            put_varint(zigzag(timestamp_ms), out);
        }
    }
}

/// Appends a record's head.
pub fn encode_head(commit_time: Micros, out: &mut Vec<u8>) {
    out.push(FORMAT);
    out.extend_from_slice(&commit_time.to_le_bytes());
}

/// The key of a record in its log.
pub fn log_key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// What a delivered row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The row as the full phase found it.
    Base,
    /// A change.
    Change(Action),
}

/// One row on its way to the lake: a row as it is, or a change with the whole row after it.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    told: Told,
    sequence: u64,
    commit_time: Micros,
    key: &'a [u8],
    columns: &'a [u8],
    /// What lies behind the key of a change.
    content: &'a [u8],
    visibility: Visibility,
}

impl<'a> RecordView<'a> {
    /// Reads a change record from its place in the log.
    ///
    /// # Errors
    /// If it is damaged, or of a format that this code does not know.
    pub fn from_log(log_key: &[u8], record: &'a [u8]) -> Result<Self, Error> {
        let sequence = u64::from_be_bytes(log_key.try_into().map_err(|_| damaged())?);
        let (head, body) = record.split_first_chunk::<HEAD_BYTES>().ok_or_else(damaged)?;
        if head[0] != FORMAT {
            return Err(Error::Corrupt(format!("a change record has the unknown format {}", head[0])));
        }
        let commit_time = i64::from_le_bytes(head[1..].try_into().map_err(|_| damaged())?);
        let mut body = Reader(body);
        let action = body.byte().and_then(Action::from_byte).ok_or_else(damaged)?;
        let key = body.prefixed().ok_or_else(damaged)?;
        let columns = if action == Action::Delete { NO_COLUMNS } else { body.0 };
        let told = Told::Change(action);
        Ok(Self { told, sequence, commit_time, key, columns, content: body.0, visibility: Visibility::ALL })
    }

    /// Takes a row as the full phase finds it. `None` if no reader would see it.
    ///
    /// # Errors
    /// If the entry is damaged.
    pub fn from_row(key: &'a [u8], entry: &'a [u8], visibility: Visibility) -> Result<Option<Self>, Error> {
        let row = RowView::new(entry)?;
        if !row.is_visible(&visibility)? {
            return Ok(None);
        }
        Ok(Some(Self {
            told: Told::Base,
            sequence: row.sequence(),
            commit_time: row.commit_time(),
            key,
            columns: &entry[crate::entry::HEAD_BYTES..],
            content: &[],
            visibility,
        }))
    }

    /// What it tells.
    pub fn told(&self) -> Told {
        self.told
    }

    /// The change's sequence; of a row, that of its last change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The change's commit time; of a row, that of its last change.
    pub fn commit_time(&self) -> Micros {
        self.commit_time
    }

    /// The row key's bytes; [`crate::key::parts`] takes them apart.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The values before the change of the columns whose old values are kept, in name order.
    ///
    /// # Errors
    /// If the record is damaged. A row that is no change has none.
    pub fn origin(&self) -> Result<Cells<'a>, Error> {
        let behind = match self.told {
            Told::Base => NO_COLUMNS,
            Told::Change(Action::Delete) => self.content,
            Told::Change(Action::Put) => behind_columns(self.content)?,
            Told::Change(Action::Update) => behind_changes(behind_columns(self.content)?)?,
        };
        Ok(Cells::new(behind))
    }

    /// The newest cell of each column, in name order; none after a delete.
    #[inline]
    pub fn newest(&self) -> impl Iterator<Item = Result<CellRef<'a>, Error>> + use<'a> {
        let visibility = self.visibility;
        Cells::new(self.columns).filter(move |cell| match cell {
            Ok(cell) => cell.version == 0 && visibility.shows(cell),
            Err(_) => true,
        })
    }

    /// What the change did to single columns: column by column in the order in which the writer named them; of a
    /// put, all it put, in name order; of a delete and of a row that is no change, nothing.
    ///
    /// # Errors
    /// If the record is damaged.
    pub fn changes(&self) -> Result<Vec<(&'a str, Changed<'a>)>, Error> {
        match self.told {
            Told::Base | Told::Change(Action::Delete) => Ok(Vec::new()),
            Told::Change(Action::Put) => Cells::new(self.content)
                .map(|cell| cell.map(|cell| (cell.name, Changed::Put(cell.timestamp_ms, cell.value))))
                .collect(),
            Told::Change(Action::Update) => Changes::new(behind_columns(self.content)?)?.collect(),
        }
    }
}

/// The changes of an update in their order. After an error it ends.
struct Changes<'a> {
    rest: Reader<'a>,
    left: u64,
}

impl<'a> Changes<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = Reader(bytes);
        let left = rest.varint().ok_or_else(damaged)?;
        Ok(Self { rest, left })
    }

    fn step(&mut self) -> Option<(&'a str, Changed<'a>)> {
        let name = std::str::from_utf8(self.rest.prefixed()?).ok()?;
        let changed = match self.rest.byte()? {
            0 => Changed::Put(unzigzag(self.rest.varint()?), self.rest.value()?),
            1 => Changed::DeleteAll,
            3 => Changed::DeleteVersion(unzigzag(self.rest.varint()?)),
            _ => return None,
        };
        Some((name, changed))
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<(&'a str, Changed<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let change = self.step().ok_or_else(damaged);
        if change.is_err() {
            self.left = 0;
        }
        Some(change)
    }
}

fn behind_columns(content: &[u8]) -> Result<&[u8], Error> {
    let mut cells = Cells::new(content);
    cells.by_ref().try_for_each(|cell| cell.map(|_| ()))?;
    Ok(cells.rest())
}

fn behind_changes(content: &[u8]) -> Result<&[u8], Error> {
    let mut changes = Changes::new(content)?;
    changes.by_ref().try_for_each(|change| change.map(|_| ()))?;
    Ok(changes.rest.0)
}

/// No columns at all, as [`encode_columns`] writes them.
const NO_COLUMNS: &[u8] = &[0, 0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;

    fn record(action: Action, columns: &[Column<'_>], changes: &[(&str, Changed<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_head(42, &mut out);
        encode_body(action, b"key", columns, changes, &[], &mut out);
        out
    }

    #[test]
    fn a_record_tells_the_whole_row_after_the_change() {
        let columns = [
            Column { name: "a", versions: smallvec![(5, ValueRef::Integer(1))] },
            Column { name: "b", versions: smallvec![(4, ValueRef::String("x")), (3, ValueRef::String("w"))] },
        ];
        let changes = [("a", Changed::Put(5, ValueRef::Integer(1))), ("c", Changed::DeleteAll)];
        for action in [Action::Put, Action::Update] {
            let bytes = record(action, &columns, &changes);
            let view = RecordView::from_log(&log_key(9), &bytes).unwrap();
            assert_eq!((view.told(), view.sequence(), view.commit_time()), (Told::Change(action), 9, 42));
            let newest: Vec<_> =
                view.newest().map(|cell| cell.map(|cell| (cell.name, cell.value)).unwrap()).collect();
            assert_eq!(newest, [("a", ValueRef::Integer(1)), ("b", ValueRef::String("x"))]);
        }
    }

    #[test]
    fn a_record_tells_what_its_change_did() {
        let columns = [
            Column { name: "a", versions: smallvec![(5, ValueRef::Integer(1)), (4, ValueRef::Integer(2))] },
            Column { name: "b", versions: smallvec![(4, ValueRef::String("x"))] },
        ];
        let changes = [
            ("z", Changed::DeleteVersion(-7)),
            ("a", Changed::Put(5, ValueRef::Integer(1))),
            ("c", Changed::DeleteAll),
        ];
        let put = [
            ("a", Changed::Put(5, ValueRef::Integer(1))),
            ("a", Changed::Put(4, ValueRef::Integer(2))),
            ("b", Changed::Put(4, ValueRef::String("x"))),
        ];
        for (action, told) in [(Action::Put, &put[..]), (Action::Update, &changes), (Action::Delete, &[])] {
            let bytes = record(action, &columns, &changes);
            let view = RecordView::from_log(&log_key(9), &bytes).unwrap();
            assert_eq!(view.changes().unwrap(), told, "{action:?}");
        }
    }

    #[test]
    fn a_record_tells_what_was_before_it() {
        let columns = [Column { name: "a", versions: smallvec![(5, ValueRef::Integer(1))] }];
        let changes = [
            ("a", Changed::Put(5, ValueRef::Integer(1))),
            ("b", Changed::DeleteAll),
            ("c", Changed::DeleteVersion(3)),
        ];
        let origin = [Column { name: "a", versions: smallvec![(4, ValueRef::String("before"))] }];
        for action in [Action::Put, Action::Update, Action::Delete] {
            let mut bytes = Vec::new();
            encode_head(42, &mut bytes);
            encode_body(action, b"key", &columns, &changes, &origin, &mut bytes);
            let view = RecordView::from_log(&log_key(9), &bytes).unwrap();
            let before: Vec<_> = view.origin().unwrap().map(Result::unwrap).collect();
            assert_eq!(before.len(), 1, "{action:?}");
            assert_eq!((before[0].name, before[0].value), ("a", ValueRef::String("before")));
        }
    }

    #[test]
    fn a_delete_tells_its_key_alone() {
        let bytes = record(Action::Delete, &[], &[]);
        let view = RecordView::from_log(&log_key(1), &bytes).unwrap();
        assert_eq!((view.key(), view.newest().count()), (&b"key"[..], 0));
    }

    proptest! {
        #[test]
        fn damaged_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(view) = RecordView::from_log(&log_key(1), &bytes) {
                for _ in view.newest().take(1000) {}
                if let Ok(origin) = view.origin() {
                    for _ in origin.take(1000) {}
                }
                let _ = view.changes();
            }
        }
    }
}
