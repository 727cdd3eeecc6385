//! What entry a row has in an index. Pure: bytes of a row in, bytes of entries out.
//!
//! ```text
//! key of an entry    = prefix  column+                     the columns of the index's primary key, as of any key
//! prefix             = 02 index:u64, big-endian            of a local index, within its table's partition
//!                    | 01                                  of a global one, as of any row
//! entry              = that of an index: the row's sequence and commit time, until when it stands, the columns carried
//! ```

use std::sync::{Arc, OnceLock};

use lakeferry_model::{
    ColumnUpdate, IndexKind, KeyColumn, KeyKind, KeyValue, Micros, RowOperation, ValueKind, ValueRef,
    Violation, check_key_value,
};
use smallvec::SmallVec;

use super::IndexInfo;
use crate::entry::{self, Cells, Column, encode_columns};
use crate::error::Error;
use crate::key;
use crate::partition::head::{INDEX_TAG, ROW_TAG};
use crate::table::{TableId, TableInfo};

/// The newest cell of each column, in name order.
pub(crate) type Newest<'a> = SmallVec<[(&'a str, i64, ValueRef<'a>); 16]>;

/// How a table's indexes are kept, worked out once for each state of the table.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// Of its local indexes.
    pub local: Vec<Plan>,
    /// Columns that keys of global indexes are made of. Followers must know what a change replaces, though nobody
    /// saw it any more.
    pub followed_columns: Vec<String>,
    /// Columns whose values before a change go into its record: those of the stream, and those that are followed.
    pub origin_columns: Vec<String>,
    /// Columns that are in the key of any index, with the type that they must have there.
    key_columns: Vec<(String, KeyKind)>,
}

/// How one index is kept.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Begins the keys of all its entries.
    pub prefix: Vec<u8>,
    table_key: Vec<KeyColumn>,
    key: Vec<Part>,
    carried: Vec<String>,
}

/// Where a column of the index's key comes from.
#[derive(Debug)]
enum Part {
    /// This column of the row's key.
    Key(usize),
    /// An attribute.
    Attribute(String, KeyKind),
}

/// What a change of a row changes beside it. Ranges lie in the arena.
pub(crate) type Beside = Vec<(std::ops::Range<usize>, Option<std::ops::Range<usize>>)>;

/// The plans of a table, made when first asked for.
#[derive(Debug, Default)]
pub struct CachedPlans(OnceLock<Arc<Plans>>);

impl Clone for CachedPlans {
    /// A copy is made to be changed: it makes plans of its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for CachedPlans {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CachedPlans {}

impl TableInfo {
    /// How its indexes are kept.
    pub(crate) fn plans(&self) -> &Arc<Plans> {
        self.plans.0.get_or_init(|| Arc::new(Plans::new(self)))
    }
}

impl Plans {
    fn new(info: &TableInfo) -> Self {
        let of = |kind| info.indexes.iter().filter(move |index| index.spec.kind == kind);
        let mut plans = Self {
            local: of(IndexKind::Local).map(|index| Plan::new(info, index)).collect(),
            ..Self::default()
        };
        if let Some(stream) = &info.stream {
            plans.origin_columns.clone_from(&stream.spec.origin_columns);
        }
        for part in of(IndexKind::Global).flat_map(|index| Plan::new(info, index).key) {
            let Part::Attribute(name, _) = part else { continue };
            for columns in [&mut plans.followed_columns, &mut plans.origin_columns] {
                if !columns.contains(&name) {
                    columns.push(name.clone());
                }
            }
        }
        for part in info.indexes.iter().flat_map(|index| Plan::new(info, index).key) {
            if let Part::Attribute(name, kind) = part {
                plans.key_columns.push((name, kind));
            }
        }
        plans
    }

    /// Checks the values that go into the keys of indexes.
    ///
    /// # Errors
    /// A value of another type than the column's, or one too long for a key.
    pub fn check(&self, operation: &RowOperation) -> Result<(), Violation> {
        if self.key_columns.is_empty() {
            return Ok(());
        }
        for cell in operation.cells() {
            // Where there is no cell, an increment is itself the value.
            let value = match &cell.update {
                ColumnUpdate::Put(value, _) => value.as_ref(),
                ColumnUpdate::Increment(by) => ValueRef::Integer(*by),
                ColumnUpdate::DeleteVersion(_) | ColumnUpdate::DeleteAll => continue,
            };
            for (name, kind) in &self.key_columns {
                if *name != *cell.name {
                    continue;
                }
                let (expected, actual) = (kind.value_kind(), value.kind());
                if expected != actual {
                    return Err(wrong_type(name, expected, actual));
                }
                check_key_value(name, value)?;
            }
        }
        Ok(())
    }

    /// What a change of a row does to local indexes: `old` is its entry without the head, `new` are its columns
    /// afterwards. Appends keys and entries without their heads to the arena.
    ///
    /// # Errors
    /// If the old row is damaged.
    pub fn beside(
        &self,
        row_key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[Column<'_>]>,
        arena: &mut Vec<u8>,
    ) -> Result<Beside, Error> {
        let mut beside = Vec::new();
        if self.local.is_empty() {
            return Ok(beside);
        }
        let old = old.map(newest_of_entry).transpose()?;
        let new = new.map(newest_of_columns);
        for plan in &self.local {
            let before = plan.key_in(arena, row_key, old.as_ref())?;
            let after = plan.key_in(arena, row_key, new.as_ref())?;
            if let Some(before) = before.filter(|before| {
                after.as_ref().is_none_or(|after| arena[before.clone()] != arena[after.clone()])
            }) {
                beside.push((before, None));
            }
            if let (Some(after), Some(new)) = (after, &new) {
                let start = arena.len();
                plan.encode_rest(new, arena);
                beside.push((after, Some(start..arena.len())));
            }
        }
        Ok(beside)
    }
}

impl Plan {
    /// How an index of this table is kept.
    pub fn new(info: &TableInfo, index: &IndexInfo) -> Self {
        let columns = &info.schema.primary_key;
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let prefix = match index.spec.kind {
            IndexKind::Local => local_prefix(index.id),
            IndexKind::Global => vec![ROW_TAG],
        };
        let schema = index.spec.schema(&info.schema);
        let schema = schema.expect("the catalog holds no index whose columns are missing");
        let part = |column: &KeyColumn| match place(&column.name) {
            Some(at) => Part::Key(at),
            None => Part::Attribute(column.name.clone(), column.kind),
        };
        let mut carried = index.spec.defined_columns.clone();
        carried.sort_unstable();
        Self {
            prefix,
            table_key: columns.clone(),
            key: schema.primary_key.iter().map(part).collect(),
            carried,
        }
    }

    /// Appends the whole key of a row's entry; answers whether it has one.
    ///
    /// # Errors
    /// If the row's key is damaged.
    pub fn key(&self, row_key: &[u8], newest: &Newest<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
        let start = out.len();
        out.extend_from_slice(&self.prefix);
        let own = key::split(row_key, &self.table_key)?;
        for part in &self.key {
            match part {
                Part::Key(at) => out.extend_from_slice(own[*at]),
                Part::Attribute(name, kind) => {
                    let value = find(newest, name).and_then(|(_, value)| key_value(value, *kind));
                    let Some(value) = value else {
                        out.truncate(start);
                        return Ok(false);
                    };
                    key::encode_value(&value, out);
                }
            }
        }
        Ok(true)
    }

    /// The whole entry of a row with this sequence and commit time.
    pub fn entry(&self, newest: &Newest<'_>, (sequence, commit_time): (u64, Micros)) -> Vec<u8> {
        let mut entry = Vec::with_capacity(64);
        entry::encode_head_of(entry::INDEX_FORMAT, sequence, commit_time, &mut entry);
        self.encode_rest(newest, &mut entry);
        entry
    }

    /// The timestamp that must still be seen for a row to have an entry: the oldest of the cells that are in its
    /// key; without such the newest cell of the row, which is there as long as any of them is.
    pub fn stands_ms(&self, newest: &Newest<'_>) -> i64 {
        let key_cells = self.key.iter().filter_map(|part| match part {
            Part::Key(_) => None,
            Part::Attribute(name, _) => find(newest, name).map(|(ms, _)| ms),
        });
        let of_row = || newest.iter().map(|(_, ms, _)| *ms).max();
        key_cells.min().or_else(of_row).unwrap_or(i64::MAX)
    }

    /// Appends a row's entry behind its commit time.
    fn encode_rest(&self, newest: &Newest<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stands_ms(newest).to_le_bytes());
        let columns: SmallVec<[Column<'_>; 8]> = (self.carried.iter())
            .filter_map(|name| {
                let (ms, value) = find(newest, name)?;
                Some(Column { name, versions: smallvec::smallvec![(ms, value)] })
            })
            .collect();
        encode_columns(&columns, 1, out);
    }

    fn key_in(
        &self,
        arena: &mut Vec<u8>,
        row_key: &[u8],
        newest: Option<&Newest<'_>>,
    ) -> Result<Option<std::ops::Range<usize>>, Error> {
        let Some(newest) = newest else { return Ok(None) };
        let start = arena.len();
        let has_entry = self.key(row_key, newest, arena)?;
        Ok(has_entry.then_some(start..arena.len()))
    }
}

/// Begins the keys of a local index's entries.
pub(crate) fn local_prefix(index: TableId) -> Vec<u8> {
    let mut prefix = vec![INDEX_TAG];
    prefix.extend_from_slice(&index.0.to_be_bytes());
    prefix
}

/// The newest cells of an entry without its head, whether a reader sees them or not.
///
/// # Errors
/// If it is damaged.
pub(crate) fn newest_of_entry(entry: &[u8]) -> Result<Newest<'_>, Error> {
    let mut newest = Newest::new();
    for cell in Cells::new(entry) {
        let cell = cell?;
        if cell.version == 0 {
            newest.push((cell.name, cell.timestamp_ms, cell.value));
        }
    }
    Ok(newest)
}

fn newest_of_columns<'a>(columns: &'a [Column<'_>]) -> Newest<'a> {
    let mut newest = Newest::new();
    for column in columns {
        if let Some((ms, value)) = column.versions.first() {
            newest.push((column.name, *ms, *value));
        }
    }
    newest
}

fn find<'a>(newest: &Newest<'a>, name: &str) -> Option<(i64, ValueRef<'a>)> {
    let at = newest.binary_search_by(|(column, ..)| (*column).cmp(name)).ok()?;
    Some((newest[at].1, newest[at].2))
}

/// The value as one of a key's column; `None` for one of another type, or too long for a key. Such were written
/// before there was an index.
fn key_value(value: ValueRef<'_>, kind: KeyKind) -> Option<KeyValue> {
    let value = match (value, kind) {
        (ValueRef::Integer(value), KeyKind::Integer) => KeyValue::Integer(value),
        (ValueRef::String(text), KeyKind::String) => KeyValue::String(text.into()),
        (ValueRef::Binary(bytes), KeyKind::Binary) => KeyValue::Binary(bytes::Bytes::copy_from_slice(bytes)),
        _ => return None,
    };
    check_key_value("", value.as_ref()).is_ok().then_some(value)
}

fn wrong_type(column: &str, expected: ValueKind, actual: ValueKind) -> Violation {
    Violation::parameter(format!(
        "Invalid column type for column {column} expect {} actual {}",
        expected.protocol_name(),
        actual.protocol_name()
    ))
}
