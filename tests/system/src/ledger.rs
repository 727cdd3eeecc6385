//! What was written, what was answered, and whether table and lake say the same.
//!
//! Each key has one writer, so its changes have one order. A change whose answer was lost is *unknown*: it may
//! have happened or not. The lake decides which, and from there on everything must fit:
//!
//! - Every answered change is in the lake once, in order; an unknown one once or not at all; nothing else is.
//! - Before them may come one BASE row: the row as it was when the task was made.
//! - Each delivered row is whole: what the model of the row holds after the change.
//! - The table holds what the model of each row holds at the end.
//!
//! Of two puts of one transaction, the lake has both or neither.
//!
//! After an unknown change, the next one of that key is a put with a number of its own, so it is never in
//! doubt which change a delivered row stands for.

use std::collections::{BTreeMap, HashSet};

use crate::failure::Failure;
use crate::row::{Change, Delivered, Key, Operation, Row, partition_of};

/// Whether a change is known to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered: it must be there.
    Answered,
    /// The answer was lost, or was a failure.
    Unknown,
}

/// All changes of all keys.
#[derive(Debug, Default)]
pub struct Ledger {
    steps: BTreeMap<Key, Steps>,
    /// The numbers of two puts of one transaction.
    together: Vec<[i64; 2]>,
}

#[derive(Debug, Default)]
struct Steps {
    all: Vec<(Change, Outcome)>,
    /// How many came before the task was asked for.
    before_task: usize,
}

/// What a comparison found, for the summary.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes that were answered.
    pub answered: usize,
    /// Changes whose answer was lost.
    pub unknown: usize,
    /// Rows of the lake.
    pub delivered: usize,
    /// Rows of the table.
    pub rows: usize,
}

impl Report {
    /// Says it.
    ///
    /// # Errors
    /// If there was nothing to compare.
    pub fn tell(&self) -> Result<(), Failure> {
        println!(
            "    {} changes answered, {} unknown, {} rows of the lake, {} of the table: all as it should be",
            self.answered, self.unknown, self.delivered, self.rows
        );
        if self.answered == 0 || self.delivered == 0 {
            return Err(Failure::Broken("nothing was written or delivered".to_owned()));
        }
        Ok(())
    }
}

impl Ledger {
    /// Notes a change and how it ended. Changes of one key must be noted in their order.
    pub fn note(&mut self, key: Key, change: Change, outcome: Outcome) {
        self.steps.entry(key).or_default().all.push((change, outcome));
    }

    /// Notes that two puts with these numbers happened both, or neither did.
    pub fn note_together(&mut self, numbers: [i64; 2]) {
        self.together.push(numbers);
    }

    /// Whether the key's last change is unknown, or there is none: the next must be a put.
    pub fn wants_put(&self, key: Key) -> bool {
        let last = self.steps.get(&key).and_then(|steps| steps.all.last());
        last.is_none_or(|(_, outcome)| *outcome == Outcome::Unknown)
    }

    /// Notes that the task, or a new run of it, is about to be asked for, while no change is under way.
    pub fn note_task(&mut self) {
        for steps in self.steps.values_mut() {
            steps.before_task = steps.all.len();
        }
        // Of what came before, the lake tells the last row of each key alone.
        self.together.clear();
    }

    /// Compares the ledger with what the lake and the table hold at the end.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, mut lake: Vec<Delivered>, table: &BTreeMap<Key, Row>) -> Result<Report, Failure> {
        no_sequence_twice(&lake)?;
        self.no_transaction_in_part(&lake)?;
        lake.sort_by_key(|row| row.sequence);
        let mut report = Report { delivered: lake.len(), rows: table.len(), ..Report::default() };
        let mut by_key: BTreeMap<Key, Vec<Delivered>> = BTreeMap::new();
        for row in lake {
            by_key.entry(row.key).or_default().push(row);
        }
        for (key, steps) in &self.steps {
            let delivered = by_key.remove(key).unwrap_or_default();
            let model = steps.replay(&delivered).map_err(|what| lost(*key, &what, steps, &delivered))?;
            if model.as_ref() != table.get(key) {
                let what = format!("the table has {:?}, it should have {model:?}", table.get(key));
                return Err(lost(*key, &what, steps, &delivered));
            }
            let answered = steps.all.iter().filter(|step| step.1 == Outcome::Answered).count();
            report.answered += answered;
            report.unknown += steps.all.len() - answered;
        }
        match by_key.keys().chain(table.keys()).find(|key| !self.steps.contains_key(key)) {
            Some(key) => Err(Failure::Lost(format!("{key:?} was never written"))),
            None => Ok(report),
        }
    }
}

impl Ledger {
    fn no_transaction_in_part(&self, lake: &[Delivered]) -> Result<(), Failure> {
        let puts = lake.iter().filter(|row| row.operation == Operation::Put);
        let delivered: HashSet<i64> = puts.filter_map(|row| row.write).collect();
        match self.together.iter().find(|[a, b]| delivered.contains(a) != delivered.contains(b)) {
            Some(pair) => Err(Failure::Lost(format!("of the transaction {pair:?} one put is in the lake"))),
            None => Ok(()),
        }
    }
}

impl Steps {
    /// Follows the delivered rows, in order of their sequence, and returns the row at the end.
    fn replay(&self, delivered: &[Delivered]) -> Result<Option<Row>, String> {
        let mut rest = delivered;
        let (mut at, mut model) = self.begin(&mut rest)?;
        for row in rest {
            loop {
                let Some((change, outcome)) = self.all.get(at) else {
                    return Err(format!("delivered twice, or never written: {row:?}"));
                };
                at += 1;
                if change.is(row) {
                    model = change.apply(model);
                    break;
                }
                if *outcome == Outcome::Answered {
                    return Err(format!(
                        "an answered change is not in the lake: {change:?}, next is {row:?}"
                    ));
                }
            }
            if row.values() != model {
                return Err(format!("the delivered row is {row:?}, it should be {model:?}"));
            }
        }
        match self.all[at..].iter().find(|(_, outcome)| *outcome == Outcome::Answered) {
            Some((change, _)) => Err(format!("an answered change is not in the lake: {change:?}")),
            None => Ok(model),
        }
    }

    /// The step after which the log tells everything, and the row there: after the BASE row's change, if
    /// there is one, else after the last change before the task.
    fn begin(&self, rest: &mut &[Delivered]) -> Result<(usize, Option<Row>), String> {
        let mut model = None;
        if let Some((base, others)) = rest.split_first()
            && base.operation == Operation::Base
        {
            *rest = others;
            for (at, (change, _)) in self.all[..self.before_task].iter().enumerate() {
                model = change.apply(model);
                // What was unknown and is not the row's last change may not have happened; a put forgets it.
                if change.number() == base.write && model.is_some() {
                    return match base.values() == model {
                        true => Ok((at + 1, model)),
                        false => Err(format!("the BASE row is {base:?}, it should be {model:?}")),
                    };
                }
            }
            return Err(format!("the BASE row tells of no change before the task: {base:?}"));
        }
        // Without a BASE row the key was not there, or changed again before the scan came to it.
        let mut may_be_there = false;
        for (change, outcome) in &self.all[..self.before_task] {
            match (change, outcome) {
                // If an unknown delete has not happened, a BASE row says so.
                (Change::Delete, _) => (model, may_be_there) = (None, false),
                (other, outcome) => {
                    model = other.apply(model);
                    may_be_there |= *outcome == Outcome::Answered;
                }
            }
        }
        match (rest.is_empty(), may_be_there) {
            (true, true) => {
                Err(format!("a row that was there before the task is not in the lake: {model:?}"))
            }
            (true, false) => Ok((self.before_task, None)),
            (false, _) => Ok((self.before_task, model)),
        }
    }
}

fn no_sequence_twice(lake: &[Delivered]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for row in lake {
        if !seen.insert((partition_of(row.key), row.sequence)) {
            return Err(Failure::Lost(format!("a sequence of its partition came twice: {row:?}")));
        }
    }
    Ok(())
}

fn lost(key: Key, what: &str, steps: &Steps, delivered: &[Delivered]) -> Failure {
    let mut text = format!("{key:?}: {what}");
    let last = steps.all.len().saturating_sub(8);
    text += &format!("\n  its last changes: {:?}", &steps.all[last..]);
    for row in &delivered[delivered.len().saturating_sub(8)..] {
        text += &format!("\n  delivered: {row:?}");
    }
    Failure::Lost(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Answered, Unknown};

    const KEY: Key = Key { place: 1, item: 1 };

    fn put(number: i64) -> Change {
        Change::Put(number)
    }

    fn row(operation: Operation, sequence: i64, values: Option<Row>) -> Delivered {
        Delivered::new(KEY, operation, sequence, values)
    }

    fn check(
        before: &[(Change, Outcome)],
        after: &[(Change, Outcome)],
        lake: Vec<Delivered>,
        table: Option<Row>,
    ) -> Result<Report, Failure> {
        let mut ledger = Ledger::default();
        before.iter().for_each(|(change, outcome)| ledger.note(KEY, *change, *outcome));
        ledger.note_task();
        after.iter().for_each(|(change, outcome)| ledger.note(KEY, *change, *outcome));
        ledger.compare(lake, &table.into_iter().map(|row| (KEY, row)).collect())
    }

    #[test]
    fn what_was_answered_and_is_everywhere_passes() {
        let lake = vec![row(Operation::Put, 1, Some(Row::put(1))), row(Operation::Delete, 2, None)];
        let report = check(&[], &[(put(1), Answered), (Change::Delete, Answered)], lake, None).unwrap();
        assert_eq!((report.answered, report.delivered, report.rows), (2, 2, 0));
    }

    #[test]
    fn an_answered_change_must_be_in_the_lake() {
        let last = Row::put(2);
        let lake = vec![row(Operation::Put, 2, Some(last.clone()))];
        assert!(
            check(&[], &[(put(1), Answered), (put(2), Answered)], lake.clone(), Some(last.clone())).is_err()
        );
        assert!(check(&[], &[(put(1), Unknown), (put(2), Answered)], lake, Some(last)).is_ok());
    }

    #[test]
    fn an_answered_change_must_be_in_the_table() {
        let lake = vec![row(Operation::Put, 1, Some(Row::put(1)))];
        assert!(check(&[], &[(put(1), Answered)], lake.clone(), None).is_err());
        assert!(check(&[], &[(put(1), Answered)], lake, Some(Row::put(1))).is_ok());
    }

    #[test]
    fn a_change_delivered_twice_is_found() {
        let once = row(Operation::Put, 1, Some(Row::put(1)));
        let again = row(Operation::Put, 2, Some(Row::put(1)));
        let twice = check(&[], &[(put(1), Answered)], vec![once.clone(), again], Some(Row::put(1)));
        assert!(twice.is_err());
        let same = check(&[], &[(put(1), Answered)], vec![once.clone(), once], Some(Row::put(1)));
        assert!(same.is_err());
    }

    #[test]
    fn a_transaction_is_in_the_lake_whole_or_not_at_all() {
        let ends = |delivered: Vec<Delivered>| {
            let mut ledger = Ledger::default();
            ledger.note(KEY, put(1), Unknown);
            ledger.note(KEY.twin(), put(2), Unknown);
            ledger.note_together([1, 2]);
            let table = delivered.iter().map(|row| (row.key, row.values().unwrap())).collect();
            ledger.compare(delivered, &table)
        };
        let one = row(Operation::Put, 1, Some(Row::put(1)));
        let other = Delivered::new(KEY.twin(), Operation::Put, 2, Some(Row::put(2)));
        assert!(ends(vec![]).is_ok());
        assert!(ends(vec![one.clone(), other]).is_ok());
        assert!(ends(vec![one]).is_err());
    }

    #[test]
    fn a_row_at_rest_arrives_as_base() {
        let base = row(Operation::Base, 1, Some(Row::put(1)));
        assert!(check(&[(put(1), Answered)], &[], vec![base], Some(Row::put(1))).is_ok());
        assert!(check(&[(put(1), Answered)], &[], vec![], Some(Row::put(1))).is_err());
        assert!(check(&[(put(1), Unknown)], &[], vec![], None).is_ok());
    }

    #[test]
    fn a_row_that_changed_during_the_scan_needs_no_base_row() {
        let update = Change::Update(2);
        let after = update.apply(Some(Row::put(1)));
        let lake = vec![row(Operation::Update, 2, after.clone())];
        assert!(check(&[(put(1), Answered)], &[(update, Answered)], lake, after).is_ok());
    }

    #[test]
    fn a_torn_row_is_found() {
        let torn = Row { text: None, ..Row::put(1) };
        let lake = vec![row(Operation::Put, 1, Some(torn))];
        assert!(check(&[], &[(put(1), Answered)], lake, Some(Row::put(1))).is_err());
    }
}
