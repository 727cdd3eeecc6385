//! What a write asks of its row's columns, held against the row as it is.

use std::time::Instant;

use lakeferry_model::filter::{ColumnValues, MissingRow};
use lakeferry_model::{ColumnCondition, KeyColumn, KeyValue, PrimaryKey, ValueRef};

use super::apply::Rules;
use crate::entry::Column;
use crate::error::Error;

/// Whether the condition holds of a row: its visible columns in name order, `None` if there is no row.
///
/// # Errors
/// If it is not known before the deadline.
pub fn holds(
    condition: &ColumnCondition,
    rules: &Rules<'_>,
    primary_key: &PrimaryKey,
    row: Option<&[Column<'_>]>,
) -> Result<bool, Error> {
    let Some(columns) = row else { return Ok(condition.evaluate(&MissingRow)) };
    let row = Row { key_columns: rules.key_columns, primary_key, columns, deadline: rules.deadline };
    let holds = condition.evaluate(&row);
    if condition.may_take_long() && !row.has_time() {
        return Err(Error::NotWritten("its condition took too long".into()));
    }
    Ok(holds)
}

struct Row<'a, 'c> {
    key_columns: &'a [KeyColumn],
    primary_key: &'a PrimaryKey,
    columns: &'a [Column<'c>],
    deadline: Instant,
}

impl ColumnValues for Row<'_, '_> {
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>> {
        let of_key =
            self.key_columns.iter().zip(self.primary_key.values()).find(|(key, _)| key.name == column);
        let at = self.columns.binary_search_by(|other| other.name.cmp(column)).ok();
        // A column of the key hides one of its name among the others.
        let at = at.filter(|_| of_key.is_none());
        let versions =
            at.into_iter().flat_map(|at| self.columns[at].versions.iter().map(|(_, value)| *value));
        of_key.map(|(_, value)| KeyValue::as_ref(value)).into_iter().chain(versions)
    }

    fn has_time(&self) -> bool {
        Instant::now() < self.deadline
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::TableOptions;
    use lakeferry_model::filter::{ColumnTest, Comparison, ValueTransfer};
    use smallvec::smallvec;

    use super::*;
    use crate::index::plan::Plans;

    #[test]
    fn a_condition_gives_up_at_the_deadline() {
        let rules = Rules {
            options: &TableOptions::default(),
            key_columns: &[],
            origin_columns: &[],
            hidden_below_ms: None,
            now_ms: 0,
            entry_bytes_max: 1 << 20,
            picks_keys: false,
            indexes: &Plans::default(),
            deadline: Instant::now(),
        };
        let columns = [Column { name: "c", versions: smallvec![(1, ValueRef::String("a"))] }];
        let key = PrimaryKey::new(vec![KeyValue::Integer(1)]);
        let plain = ColumnTest::new("c", Comparison::Exists);
        let transfer = Some(ValueTransfer::new("a", None).unwrap());
        let transferred = ColumnTest { transfer, ..plain.clone() };
        let outcome = |test: ColumnTest| holds(&test.into(), &rules, &key, Some(&columns));
        assert!(outcome(plain).unwrap(), "what takes no time is not given up");
        assert!(matches!(outcome(transferred), Err(Error::NotWritten(_))));
    }
}
