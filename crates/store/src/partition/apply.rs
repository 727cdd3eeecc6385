//! What a change makes of a row. Pure: old bytes and a change in, new bytes out.
//!
//! 1. The old row, if the change needs it, is taken apart; its condition is checked.
//! 2. The columns of the new row are put together, each with its newest versions.
//! 3. The new row's entry and the change's record are appended to an arena, both without their heads: sequence
//!    and commit time are not known before the committer forms a group.

use std::ops::Range;
use std::time::Instant;

use lakeferry_model::{
    CellChange, ColumnUpdate, KeyColumn, Returning, Row, RowChange, RowExistence, RowOperation, TableOptions,
    ValueRef, Violation,
};
use smallvec::{SmallVec, smallvec};

use super::condition;
use crate::entry::{self, Column, RowView, Visibility, encode_columns};
use crate::error::Error;
use crate::index::plan::{Beside, Plans};
use crate::record::{self, Action, Changed};

/// How far the timestamps of a row may have run ahead of the clock.
const AHEAD_MS_MAX: i64 = 60_000;

/// What applying needs to know beside row and change.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The table's options.
    pub options: &'a TableOptions,
    /// The table's primary key.
    pub key_columns: &'a [KeyColumn],
    /// Columns whose old values go into the record.
    pub origin_columns: &'a [String],
    /// Below this timestamp cells are hidden for good.
    pub hidden_below_ms: Option<i64>,
    /// The server's time, in milliseconds.
    pub now_ms: i64,
    /// Bytes that an entry may take.
    pub entry_bytes_max: usize,
    /// How the table's indexes are kept.
    pub indexes: &'a Plans,
    /// Whether the store picks the keys of new rows. Then nobody else makes one.
    pub picks_keys: bool,
    /// When a condition that takes long is given up.
    pub deadline: Instant,
}

/// What a change makes of its row; the ranges lie in the arena.
#[derive(Debug)]
pub struct Applied {
    /// The new entry without its head; `None` if there is no row afterwards.
    pub entry: Option<Range<usize>>,
    /// The change's record without its head.
    pub record: Range<usize>,
    /// What changes in local indexes.
    pub beside: Beside,
    /// What the writer asked to be told.
    pub returned: Option<Row>,
}

impl Rules<'_> {
    /// Whether the change can only be applied by someone who knows the row as it is.
    pub fn need_old(&self, change: &RowChange) -> bool {
        change.condition.is_any()
            || matches!(change.operation, RowOperation::Update(_))
            || (self.picks_keys && matches!(change.operation, RowOperation::Put(_)))
            || !self.origin_columns.is_empty()
            || !self.indexes.local.is_empty()
    }

    /// Applies a change to the row `old`, an entry without its head. Cells without a timestamp get `cell_ms`.
    /// `key` are the row key's bytes.
    ///
    /// # Errors
    /// If the condition fails, a rule is broken, or the row grows too large. The arena is then as it was.
    pub fn apply(
        &self,
        old: Option<&[u8]>,
        change: &RowChange,
        key: &[u8],
        cell_ms: i64,
        arena: &mut Vec<u8>,
    ) -> Result<Applied, Error> {
        self.indexes.check(&change.operation)?;
        let visibility = Visibility::new(self.options, self.now_ms).hiding_below(self.hidden_below_ms);
        let old_entry = old;
        let old = old.map(|columns| columns_of(columns, &visibility)).transpose()?.flatten();
        check_condition(change.condition.existence, old.is_some())?;
        if let Some(columns) = &change.condition.columns
            && !condition::holds(columns, self, &change.primary_key, old.as_deref())?
        {
            return Err(Error::ConditionFailed);
        }
        self.check_key(&change.operation, old.is_some())?;
        let (action, new, changes) = match &change.operation {
            RowOperation::Put(cells) | RowOperation::Insert(cells) => {
                (Action::Put, Some(self.put(cells, cell_ms)?), Vec::new())
            }
            RowOperation::Update(cells) | RowOperation::UpdateNew(cells) => {
                if !self.options.allow_update {
                    return Err(Violation::parameter("UpdateRow is not allowed on this table.").into());
                }
                let (new, changes) = self.update(old.as_deref(), cells, cell_ms)?;
                (Action::Update, new, changes)
            }
            RowOperation::Delete => (Action::Delete, None, Vec::new()),
        };
        let stored = match old_entry {
            Some(entry) if !self.indexes.followed_columns.is_empty() => columns_of(entry, &Visibility::ALL)?,
            _ => None,
        };
        let origin = self.origin(old.as_deref(), stored.as_deref());
        let returned = returned(change, new.as_deref())?;

        let start = arena.len();
        let entry = new.as_ref().map(|columns| {
            encode_columns(columns, usize::MAX, arena);
            start..arena.len()
        });
        let bytes = arena.len() - start + entry::HEAD_BYTES;
        if bytes > self.entry_bytes_max {
            arena.truncate(start);
            return Err(Error::RowTooLarge { bytes, bytes_max: self.entry_bytes_max });
        }
        let record_start = arena.len();
        let told: &[Column<'_>] = new.as_deref().unwrap_or_default();
        record::encode_body(action, key, told, &changes, &origin, arena);
        let record = record_start..arena.len();
        let beside = self.indexes.beside(key, old_entry, new.as_deref(), arena)?;
        Ok(Applied { entry, record, beside, returned })
    }

    /// Where the store picks keys, a writer's own key must be that of a row that is there.
    fn check_key(&self, operation: &RowOperation, exists: bool) -> Result<(), Error> {
        match operation {
            RowOperation::Put(_) | RowOperation::Update(_) if self.picks_keys && !exists => {
                Err(Error::ConditionFailed)
            }
            _ => Ok(()),
        }
    }

    fn put<'a>(&self, cells: &'a [CellChange], cell_ms: i64) -> Result<Vec<Column<'a>>, Error> {
        let mut columns: Vec<Column<'a>> = Vec::with_capacity(cells.len());
        for cell in cells {
            let ColumnUpdate::Put(value, timestamp) = &cell.update else {
                return Err(Violation::parameter("PutRow takes columns with a value only.").into());
            };
            let ms = self.timestamp(*timestamp, cell_ms)?;
            put_version(&mut columns, &cell.name, ms, value.as_ref());
        }
        self.keep_newest(&mut columns);
        Ok(columns)
    }

    #[expect(clippy::type_complexity, reason = "the row after the change, and what the change did")]
    fn update<'a>(
        &self,
        old: Option<&[Column<'a>]>,
        cells: &'a [CellChange],
        cell_ms: i64,
    ) -> Result<(Option<Vec<Column<'a>>>, Vec<(&'a str, Changed<'a>)>), Error> {
        let existed = old.is_some();
        let mut columns: Vec<Column<'a>> = old.map(<[_]>::to_vec).unwrap_or_default();
        let mut changes = Vec::with_capacity(cells.len());
        let mut put_any = false;
        for cell in cells {
            let name: &'a str = &cell.name;
            let changed = match &cell.update {
                ColumnUpdate::Put(value, None) => {
                    Changed::Put(self.above_old(old, name, cell_ms), value.as_ref())
                }
                ColumnUpdate::Put(value, timestamp) => {
                    Changed::Put(self.timestamp(*timestamp, cell_ms)?, value.as_ref())
                }
                ColumnUpdate::Increment(by) => {
                    let (ms, sum) = incremented(&columns, name, *by, cell_ms)?;
                    Changed::Put(ms, ValueRef::Integer(sum))
                }
                ColumnUpdate::DeleteVersion(ms) => Changed::DeleteVersion(*ms),
                ColumnUpdate::DeleteAll => Changed::DeleteAll,
            };
            match changed {
                Changed::Put(ms, value) => {
                    put_version(&mut columns, name, ms, value);
                    put_any = true;
                }
                Changed::DeleteVersion(ms) => remove_version(&mut columns, name, ms),
                Changed::DeleteAll => columns.retain(|column| column.name != name),
            }
            changes.push((name, changed));
        }
        if self.options.update_full_row {
            self.write_again(&mut columns, &mut changes, cell_ms);
        }
        self.keep_newest(&mut columns);
        // Deletes alone do not make a row; a row whose last cell is deleted stays, with its key alone.
        Ok(((existed || put_any).then_some(columns), changes))
    }

    fn timestamp(&self, asked: Option<i64>, cell_ms: i64) -> Result<i64, Error> {
        let Some(ms) = asked else { return Ok(cell_ms) };
        let deviation_ms = self.options.deviation_s.saturating_mul(1000);
        let hidden_ms = self.options.expired_below_ms(self.now_ms).max(self.hidden_below_ms);
        let oldest_ms = self.now_ms.saturating_sub(deviation_ms).max(hidden_ms.unwrap_or(i64::MIN));
        let end_ms = self.now_ms.saturating_add(deviation_ms);
        if !(oldest_ms..end_ms).contains(&ms) {
            let message = format!("Timestamp must be in range [{oldest_ms}, {end_ms}).");
            return Err(Violation::parameter(message).into());
        }
        Ok(ms)
    }

    /// Puts the newest version of each column again that an update leaves alone.
    fn write_again<'a>(
        &self,
        columns: &mut [Column<'a>],
        changes: &mut Vec<(&'a str, Changed<'a>)>,
        cell_ms: i64,
    ) {
        let changed = changes.len();
        for column in columns {
            let Some((ms, value)) = column.versions.first().copied() else { continue };
            if changes[..changed].iter().any(|(name, _)| *name == column.name) || ms >= cell_ms {
                continue;
            }
            column.versions.insert(0, (cell_ms, value));
            changes.push((column.name, Changed::Put(cell_ms, value)));
        }
    }

    /// The timestamp of a new version: the row's, but above what the column has already.
    ///
    /// A row that is written more than a thousand times a second gets timestamps ahead of the clock. Who knows
    /// nothing of that, as after a restart, would put a version that hides behind the one before it. A version
    /// further ahead was put there by a writer that named its timestamp, and stays the newest.
    fn above_old(&self, old: Option<&[Column<'_>]>, name: &str, cell_ms: i64) -> i64 {
        let newest = old.and_then(|columns| {
            let column = &columns[find(columns, name).ok()?];
            column.versions.first().map(|(ms, _)| *ms)
        });
        match newest {
            Some(ms) if ms <= self.now_ms.saturating_add(AHEAD_MS_MAX) => cell_ms.max(ms.saturating_add(1)),
            _ => cell_ms,
        }
    }

    fn keep_newest(&self, columns: &mut [Column<'_>]) {
        let versions_max = usize::try_from(self.options.versions_max).unwrap_or(usize::MAX).max(1);
        for column in columns {
            column.versions.truncate(versions_max);
        }
    }

    /// What the record tells of the row before the change: of what was visible, and for followers of what was stored.
    fn origin<'a>(&self, old: Option<&[Column<'a>]>, stored: Option<&[Column<'a>]>) -> Vec<Column<'a>> {
        if self.origin_columns.is_empty() {
            return Vec::new();
        }
        let is_among = |names: &[String], column: &Column<'a>| names.iter().any(|name| name == column.name);
        let is_followed = |column: &&Column<'a>| is_among(&self.indexes.followed_columns, column);
        let is_asked = |column: &&Column<'a>| is_among(self.origin_columns, column);
        let seen = old.unwrap_or_default().iter().filter(is_asked).filter(|column| !is_followed(column));
        let stored = stored.unwrap_or_default().iter().filter(is_followed);
        let mut origin: Vec<Column<'a>> = seen.chain(stored).cloned().collect();
        origin.sort_unstable_by_key(|column| column.name);
        origin
    }
}

/// The visible columns of an old row. `None` if nobody sees the row any more.
fn columns_of<'a>(entry: &'a [u8], visibility: &Visibility) -> Result<Option<Vec<Column<'a>>>, Error> {
    let mut columns: Vec<Column<'a>> = Vec::new();
    let mut hidden = false;
    for cell in entry::Cells::new(entry) {
        let cell = cell?;
        if !visibility.shows(&cell) {
            hidden = true;
            continue;
        }
        match columns.last_mut() {
            Some(column) if column.name == cell.name => column.versions.push((cell.timestamp_ms, cell.value)),
            _ => {
                columns.push(Column { name: cell.name, versions: smallvec![(cell.timestamp_ms, cell.value)] })
            }
        }
    }
    Ok((!columns.is_empty() || !hidden).then_some(columns))
}

fn check_condition(existence: RowExistence, exists: bool) -> Result<(), Error> {
    match (existence, exists) {
        (RowExistence::Ignore, _)
        | (RowExistence::ExpectExist, true)
        | (RowExistence::ExpectNotExist, false) => Ok(()),
        (RowExistence::ExpectExist, false) | (RowExistence::ExpectNotExist, true) => {
            Err(Error::ConditionFailed)
        }
    }
}

/// Adds a version in its place; one with the same timestamp is replaced.
fn put_version<'a>(columns: &mut Vec<Column<'a>>, name: &'a str, ms: i64, value: ValueRef<'a>) {
    // Writers mostly send their columns in name order: look at the end first.
    let after_last = columns.last().is_none_or(|last| last.name < name);
    let place = if after_last { Err(columns.len()) } else { find(columns, name) };
    match place {
        Err(at) => columns.insert(at, Column { name, versions: smallvec![(ms, value)] }),
        Ok(at) => {
            let versions: &mut SmallVec<_> = &mut columns[at].versions;
            match versions.binary_search_by(|(version, _)| ms.cmp(version)) {
                Ok(same) => versions[same] = (ms, value),
                Err(place) => versions.insert(place, (ms, value)),
            }
        }
    }
}

fn remove_version(columns: &mut Vec<Column<'_>>, name: &str, ms: i64) {
    let Ok(at) = find(columns, name) else { return };
    columns[at].versions.retain(|(version, _)| *version != ms);
    if columns[at].versions.is_empty() {
        columns.remove(at);
    }
}

/// The sum, and its version: above the one it was made from, else it would count for nothing.
fn incremented(columns: &[Column<'_>], name: &str, by: i64, cell_ms: i64) -> Result<(i64, i64), Error> {
    let newest = find(columns, name).ok().and_then(|at| columns[at].versions.first());
    let (ms, current) = match newest {
        None => (cell_ms, 0),
        Some((ms, ValueRef::Integer(value))) => (cell_ms.max(ms.saturating_add(1)), *value),
        Some((_, other)) => {
            return Err(Violation::parameter(format!(
                "The column '{name}' is {} and cannot be incremented; only VT_INTEGER can.",
                other.kind().protocol_name()
            ))
            .into());
        }
    };
    let message = || format!("Incrementing the column '{name}' by {by} leaves the range of VT_INTEGER.");
    let sum = current.checked_add(by).ok_or_else(|| Violation::parameter(message()))?;
    Ok((ms, sum))
}

fn find(columns: &[Column<'_>], name: &str) -> Result<usize, usize> {
    columns.binary_search_by(|column| column.name.cmp(name))
}

fn returned(change: &RowChange, new: Option<&[Column<'_>]>) -> Result<Option<Row>, Error> {
    let names = match &change.returning {
        Returning::Nothing => return Ok(None),
        Returning::PrimaryKey => &[][..],
        Returning::AfterModify(names) => names,
    };
    change.returning.check(&change.operation)?;
    let mut cells = Vec::with_capacity(names.len());
    for name in names {
        let newest = new.and_then(|columns| {
            let column = &columns[find(columns, name).ok()?];
            column.versions.first().map(|version| (column.name, *version))
        });
        if let Some((name, (timestamp_ms, value))) = newest {
            cells.push(entry::CellRef { name, version: 0, timestamp_ms, value }.to_cell());
        }
    }
    Ok(Some(Row { primary_key: change.primary_key.clone(), cells }))
}

/// The columns of an entry without its head.
pub fn entry_columns(entry: &[u8]) -> Result<&[u8], Error> {
    RowView::new(entry)?;
    Ok(&entry[entry::HEAD_BYTES..])
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{KeyValue, PrimaryKey, Value};

    use super::*;

    fn newest_after_update(old_ms: i64, now_ms: i64) -> (i64, Value) {
        let mut old = Vec::new();
        let versions = smallvec![(old_ms, ValueRef::Integer(1))];
        encode_columns(&[Column { name: "c", versions }], 1, &mut old);
        let update = CellChange { name: "c".into(), update: ColumnUpdate::Put(Value::Integer(2), None) };
        let change = RowChange {
            primary_key: PrimaryKey::new(vec![KeyValue::Integer(1)]),
            operation: RowOperation::Update(vec![update]),
            condition: Default::default(),
            returning: Returning::Nothing,
        };
        let options = TableOptions::default();
        let rules = Rules {
            options: &options,
            key_columns: &[],
            origin_columns: &[],
            hidden_below_ms: None,
            now_ms,
            entry_bytes_max: 1 << 20,
            picks_keys: false,
            deadline: Instant::now(),
            indexes: &Plans::default(),
        };
        let mut arena = Vec::new();
        let applied = rules.apply(Some(&old), &change, b"k", now_ms, &mut arena).unwrap();
        let entry = &arena[applied.entry.unwrap()];
        let newest = entry::Cells::new(entry).next().unwrap().unwrap();
        (newest.timestamp_ms, newest.value.to_value())
    }

    #[test]
    fn an_update_after_a_restart_does_not_hide_behind_a_hot_rows_version() {
        assert_eq!(newest_after_update(10_500, 10_000), (10_501, Value::Integer(2)));
        assert_eq!(newest_after_update(9_000, 10_000), (10_000, Value::Integer(2)));
    }

    #[test]
    fn a_version_that_a_writer_put_far_ahead_stays_the_newest() {
        assert_eq!(newest_after_update(200_000, 10_000), (200_000, Value::Integer(1)));
    }
}
