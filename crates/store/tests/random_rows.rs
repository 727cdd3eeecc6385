//! A plain model of rows, and changes by chance. The model knows no bytes, no batches and no committer.

use std::collections::BTreeMap;

use lakeferry_engine::testing::Chance;
use lakeferry_model::filter::{ColumnTest, ColumnValues, Comparator, MissingRow};
use lakeferry_model::{
    Cell, ColumnCondition, ColumnUpdate, KeyValue, PrimaryKey, Row, RowChange, RowExistence, RowOperation,
    TableOptions, Value, ValueRef,
};
use lakeferry_store::{Action, ErrorKind};

use crate::support::{add, cell, delete, if_columns, if_row, put, row_key, set, set_at, update};

pub const USERS: [&str; 6] = ["ann", "bob", "bo\0b", "eve", "mia", "zoe"];
pub const NUMBERS: u64 = 4;
const COLUMNS: [&str; 4] = ["a", "b", "c", "d"];

/// Rows as they should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub options: TableOptions,
    rows: BTreeMap<PrimaryKey, Columns>,
    /// The last timestamp that the server gave a cell of the row.
    given_ms: BTreeMap<PrimaryKey, i64>,
}

/// By column, by timestamp.
type Columns = BTreeMap<String, BTreeMap<i64, Value>>;

/// What a change must come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done: the row's newest cells afterwards, as its record tells them.
    Done(Action, PrimaryKey, Vec<Cell>),
    ConditionFailed,
    Invalid,
}

impl Model {
    pub fn new(options: TableOptions) -> Self {
        Self { options, rows: BTreeMap::new(), given_ms: BTreeMap::new() }
    }

    /// Applies a change at a time of the server.
    pub fn apply(&mut self, change: &RowChange, now_ms: i64) -> Outcome {
        let key = &change.primary_key;
        let given = self.given_ms.entry(key.clone()).or_insert(0);
        *given = now_ms.max(*given + 1);
        let cell_ms = *given;
        let old = self.rows.get(key).map(|columns| self.newest_versions(columns));
        match (change.condition.existence, old.is_some()) {
            (RowExistence::ExpectExist, false) | (RowExistence::ExpectNotExist, true) => {
                return Outcome::ConditionFailed;
            }
            _ => {}
        }
        if let Some(condition) = &change.condition.columns {
            let holds = match &old {
                Some(columns) => condition.evaluate(&Seen { key, columns }),
                None => condition.evaluate(&MissingRow),
            };
            if !holds {
                return Outcome::ConditionFailed;
            }
        }
        let (action, new) = match &change.operation {
            RowOperation::Delete => (Action::Delete, None),
            RowOperation::Put(cells) | RowOperation::Insert(cells) => {
                let mut columns = Columns::new();
                for cell in cells {
                    let ColumnUpdate::Put(value, ms) = &cell.update else { return Outcome::Invalid };
                    let column = columns.entry(cell.name.to_string()).or_default();
                    column.insert(ms.unwrap_or(cell_ms), value.clone());
                }
                (Action::Put, Some(columns))
            }
            RowOperation::Update(cells) | RowOperation::UpdateNew(cells) => {
                let existed = old.is_some();
                let mut columns = old.unwrap_or_default();
                let before = columns.clone();
                // A new version does not hide behind an old one, unless a writer put that far ahead by name.
                let above_old = |name: &str| match before.get(name).and_then(|old| old.last_key_value()) {
                    Some((ms, _)) if *ms <= now_ms + 60_000 => cell_ms.max(ms + 1),
                    _ => cell_ms,
                };
                let mut puts = false;
                for cell in cells {
                    let column = columns.entry(cell.name.to_string()).or_default();
                    match &cell.update {
                        ColumnUpdate::Put(value, ms) => {
                            let ms = ms.unwrap_or_else(|| above_old(&cell.name));
                            column.insert(ms, value.clone());
                            puts = true;
                        }
                        ColumnUpdate::DeleteVersion(ms) => drop(column.remove(ms)),
                        ColumnUpdate::DeleteAll => column.clear(),
                        ColumnUpdate::Increment(by) => {
                            let (ms, sum) = match column.last_key_value() {
                                None => (cell_ms, *by),
                                Some((ms, Value::Integer(value))) => (cell_ms.max(ms + 1), value + by),
                                Some(_) => return Outcome::Invalid,
                            };
                            column.insert(ms, Value::Integer(sum));
                            puts = true;
                        }
                    }
                }
                columns.retain(|_, versions| !versions.is_empty());
                (Action::Update, (existed || puts).then_some(columns))
            }
        };
        let new = new.map(|columns| self.newest_versions(&columns));
        let newest = new.iter().flatten().filter_map(|(name, versions)| {
            let (ms, value) = versions.last_key_value()?;
            Some(Cell { name: name.as_str().into(), timestamp_ms: *ms, value: value.clone() })
        });
        let outcome = Outcome::Done(action, key.clone(), newest.collect());
        match new {
            Some(columns) => drop(self.rows.insert(key.clone(), columns)),
            None => drop(self.rows.remove(key)),
        }
        outcome
    }

    /// All rows as readers see them.
    pub fn rows(&self) -> Vec<Row> {
        let rows = self.rows.iter().map(|(key, columns)| Row {
            primary_key: key.clone(),
            cells: cells(&self.newest_versions(columns)),
        });
        rows.collect()
    }

    fn newest_versions(&self, columns: &Columns) -> Columns {
        let newest = columns.iter().map(|(name, versions)| {
            let kept = versions.iter().rev().take(self.options.versions_max as usize);
            (name.clone(), kept.map(|(ms, value)| (*ms, value.clone())).collect())
        });
        newest.collect()
    }
}

/// A row of the model as conditions see it.
struct Seen<'a> {
    key: &'a PrimaryKey,
    columns: &'a Columns,
}

impl ColumnValues for Seen<'_> {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let of_key = match column {
            "user" => Some(&self.key.values()[0]),
            "n" => Some(&self.key.values()[1]),
            _ => None,
        };
        let versions = self.columns.get(column).into_iter().flat_map(|versions| versions.values().rev());
        of_key.map(KeyValue::as_ref).into_iter().chain(versions.map(Value::as_ref))
    }
}

fn cells(columns: &Columns) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (name, versions) in columns {
        for (ms, value) in versions.iter().rev() {
            cells.push(Cell { name: name.as_str().into(), timestamp_ms: *ms, value: value.clone() });
        }
    }
    cells
}

impl Outcome {
    /// Whether the store answered as it must.
    pub fn fits<T>(&self, answer: &Result<T, lakeferry_store::Error>) -> bool {
        match (self, answer) {
            (Self::Done(..), Ok(_)) => true,
            (Self::ConditionFailed, Err(error)) => error.kind() == ErrorKind::ConditionFailed,
            (Self::Invalid, Err(error)) => matches!(error.kind(), ErrorKind::Invalid(_)),
            _ => false,
        }
    }
}

pub fn any_key(chance: &mut Chance) -> (&'static str, i64) {
    let user = USERS[chance.index(USERS.len())];
    (user, i64::try_from(chance.below(NUMBERS)).unwrap() - 1)
}

pub fn any_primary_key(chance: &mut Chance) -> PrimaryKey {
    let (user, n) = any_key(chance);
    row_key(user, n)
}

/// Some changes; rows are often named twice.
pub fn any_batch(chance: &mut Chance, now_ms: i64) -> Vec<RowChange> {
    let narrow = chance.once_in(3);
    let count = 1 + chance.below(12);
    let one = any_key(chance);
    (0..count)
        .map(|_| {
            let key = if narrow { one } else { any_key(chance) };
            any_change(chance, key, now_ms)
        })
        .collect()
}

/// Some changes of one user's rows.
pub fn any_batch_of(chance: &mut Chance, user: &str, now_ms: i64) -> Vec<RowChange> {
    let count = 1 + chance.below(6);
    (0..count)
        .map(|_| {
            let n = i64::try_from(chance.below(NUMBERS)).unwrap() - 1;
            any_change(chance, (user, n), now_ms)
        })
        .collect()
}

fn any_change(chance: &mut Chance, (user, n): (&str, i64), now_ms: i64) -> RowChange {
    let change = match chance.below(10) {
        0 => delete(user, n),
        1 | 2 => {
            let count = chance.index(COLUMNS.len() + 1);
            let cells: Vec<(&str, i64)> =
                COLUMNS[..count].iter().map(|name| (*name, any_value(chance))).collect();
            put(user, n, &cells)
        }
        _ => {
            let cells = (0..1 + chance.below(4)).map(|_| {
                let name = COLUMNS[chance.index(COLUMNS.len())];
                let near_ms = now_ms - 3 + i64::try_from(chance.below(6)).unwrap();
                match chance.below(8) {
                    0 | 1 => set(name, any_value(chance)),
                    2 => set_at(name, any_value(chance), near_ms),
                    3 => cell(name, ColumnUpdate::DeleteAll),
                    4 => cell(name, ColumnUpdate::DeleteVersion(near_ms)),
                    5 => cell(name, ColumnUpdate::Put(Value::String("text".into()), None)),
                    _ => add(name, any_value(chance)),
                }
            });
            update(user, n, cells.collect())
        }
    };
    match chance.below(8) {
        2 | 3 => if_columns(any_condition(chance), change),
        0 => if_row(RowExistence::ExpectExist, change),
        1 => if_row(RowExistence::ExpectNotExist, change),
        _ => change,
    }
}

fn any_condition(chance: &mut Chance) -> ColumnCondition {
    let comparator = [Comparator::Greater, Comparator::LessOrEqual, Comparator::NotEqual][chance.index(3)];
    let name = COLUMNS[chance.index(COLUMNS.len())];
    let test = match chance.below(4) {
        0 => ColumnTest::compare("user", comparator, Value::String("bob".into())),
        1 => ColumnTest::compare("n", comparator, Value::Integer(1)),
        _ => ColumnTest::compare(name, comparator, Value::Integer(any_value(chance))),
    };
    let (pass_if_missing, latest_version_only) = (chance.once_in(2), chance.once_in(2));
    let test = ColumnCondition::Column(ColumnTest { pass_if_missing, latest_version_only, ..test });
    match chance.below(6) {
        0 => ColumnCondition::Not(Box::new(test)),
        1 => ColumnCondition::And(vec![test, any_condition(chance)]),
        2 => ColumnCondition::Or(vec![test, any_condition(chance)]),
        _ => test,
    }
}

fn any_value(chance: &mut Chance) -> i64 {
    i64::try_from(chance.below(1_000)).unwrap() - 500
}
