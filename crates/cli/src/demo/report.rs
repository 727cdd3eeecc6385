//! What the demo prints at its end: the verdict, and how to look at the data.

use std::collections::BTreeSet;
use std::path::Path;

use super::check::{self, Difference, State};
use super::lake::{DeliveredObject, Phase};
use crate::failure::Failure;
use crate::text::{self, shell, sql};

/// How many differences are printed.
const DIFFERENCES_SHOWN: usize = 10;

/// Holds the lake against the table. `Ok` is the sentence that says they are equal.
pub fn verdict(table: &State, objects: Vec<DeliveredObject>) -> Result<String, Failure> {
    let of = |phase| objects.iter().filter(|object| object.phase == phase).count();
    let (full, incremental) = (of(Phase::Full), of(Phase::Incremental));
    let delivered_rows: usize = objects.iter().map(|object| object.rows.len()).sum();
    let lake = check::rebuild(objects.into_iter().flat_map(|object| object.rows));
    let found = match &lake {
        Ok(lake) => check::differences(table, lake),
        Err(difference) => vec![difference.clone()],
    };
    if !found.is_empty() {
        return Err(differ(&found));
    }
    if full == 0 || incremental == 0 || table.is_empty() {
        return Err(Failure::no(format!(
            "the lake equals the table, but that proves little: {full} objects of the full phase, {incremental} \
             of the incremental phase, {} rows",
            table.len()
        )));
    }
    let columns: BTreeSet<_> = check::column_names(table);
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(format!(
        "the lake equals the table: {} with {}, rebuilt from {} in {} ({} FULL, {} INCR)",
        text::counted(number(table.len()), ("row", "rows")),
        text::counted(number(columns.len()), ("column", "columns")),
        text::counted(number(delivered_rows), ("delivered row", "delivered rows")),
        text::counted(number(full + incremental), ("object", "objects")),
        text::count(number(full)),
        text::count(number(incremental)),
    ))
}

fn differ(found: &[Difference]) -> Failure {
    let mut message = String::from("the lake differs from the table:");
    for difference in found.iter().take(DIFFERENCES_SHOWN) {
        message.push_str(&format!("\n  {difference}"));
    }
    if found.len() > DIFFERENCES_SHOWN {
        message.push_str(&format!("\n  and in {} more ways", found.len() - DIFFERENCES_SHOWN));
    }
    Failure::no(message)
}

/// A command that shows something of the delivered objects with DuckDB.
pub fn duckdb_command(objects: &Path) -> String {
    let glob = sql(&format!("{}/**/*.parquet", objects.display()));
    let query = format!(
        "select source, count(distinct ts) as samples, round(avg(busy_percent), 1) as busy \
         from read_parquet({glob}, hive_partitioning = true, union_by_name = true) \
         where kind = 'cpu' group by source order by source"
    );
    format!("duckdb -c {}", shell(&query))
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{KeyValue, PrimaryKey, Value};

    use super::*;
    use crate::demo::check::{Columns, Delivered, Operation};

    fn row(sequence: i64, operation: Operation) -> Delivered {
        let key = PrimaryKey::new(vec![KeyValue::Integer(1)]);
        Delivered {
            key,
            operation,
            sequence,
            columns: Columns::from([("x".into(), Value::Integer(sequence))]),
        }
    }

    fn object(phase: Phase, rows: Vec<Delivered>) -> DeliveredObject {
        DeliveredObject { name: "o".into(), bytes: 1, phase, rows }
    }

    fn table(x: i64) -> State {
        State::from([(row(0, Operation::Base).key, Columns::from([("x".into(), Value::Integer(x))]))])
    }

    fn both_phases() -> Vec<DeliveredObject> {
        vec![
            object(Phase::Incremental, vec![row(2, Operation::Write)]),
            object(Phase::Full, vec![row(1, Operation::Base)]),
        ]
    }

    #[test]
    fn equal_and_both_phases_seen_is_success() {
        let said = verdict(&table(2), both_phases()).unwrap();
        assert_eq!(
            said,
            "the lake equals the table: 1 row with 1 column, rebuilt from 2 delivered rows in 2 objects (1 FULL, 1 INCR)"
        );
    }

    #[test]
    fn a_difference_or_a_missing_phase_is_no_success() {
        assert!(verdict(&table(1), both_phases()).unwrap_err().is_no());
        let only_full = vec![object(Phase::Full, vec![row(1, Operation::Base)])];
        assert!(verdict(&table(1), only_full).unwrap_err().is_no());
        assert!(verdict(&State::new(), Vec::new()).unwrap_err().is_no());
    }

    #[test]
    fn the_command_survives_a_path_with_quotes() {
        let command = duckdb_command(Path::new("/it's \"$HOME\""));
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("duckdb() {{ printf %s \"$2\"; }}; {command}"))
            .output()
            .unwrap();
        let query = String::from_utf8(output.stdout).unwrap();
        assert!(query.contains("'/it''s \"$HOME\"/**/*.parquet'"), "{query}");
    }
}
