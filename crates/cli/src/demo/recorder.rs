//! What the demo writes: from samples to rows.
//!
//! Each sample is a new row. So that the check at the end has more than new rows to look at, the demo also
//! does what tables are for:
//! - the busiest core's row is marked, and the mark of the core before it is taken away: a column deleted;
//! - the memory row before learns how long it stood: a row updated;
//! - of the load only the last few rows are kept: rows deleted;
//! - one row counts all samples: an increment.

use std::collections::VecDeque;

use lakeferry_client::{Delete, Key, Put, RowWrite, Update};
use lakeferry_model::{Micros, Value};

use super::metrics::Sample;

/// How many rows of the load are kept.
const LOAD_ROWS_KEPT: usize = 3;

/// Turns samples into writes, remembering the rows that it will change again.
#[derive(Default)]
pub struct Recorder {
    counter: Option<Key>,
    marked: Option<Key>,
    memory: Option<(Key, Micros)>,
    load: VecDeque<Key>,
}

impl Recorder {
    /// The writes for one look at the computer. No row comes twice in them.
    pub fn rows(&mut self, samples: &[Sample]) -> Vec<RowWrite> {
        let busiest = busiest(samples);
        let is_busiest = |sample: &Sample| busiest == Some(&sample.source);
        let mut rows: Vec<_> = samples.iter().map(|sample| put(sample, is_busiest(sample))).collect();
        for sample in samples {
            if is_busiest(sample) {
                rows.extend(self.mark_moved(sample));
            }
            match sample.source.as_str() {
                "memory" => rows.extend(self.memory_changed(sample)),
                "load" => rows.extend(self.load_changed(sample)),
                _ => {}
            }
        }
        rows.extend(self.counted(samples));
        rows
    }

    fn mark_moved(&mut self, sample: &Sample) -> Option<RowWrite> {
        let before = self.marked.replace(key(sample))?;
        Some(Update::new(before).remove("busiest").into())
    }

    fn memory_changed(&mut self, sample: &Sample) -> Option<RowWrite> {
        let (before, at) = self.memory.replace((key(sample), sample.at))?;
        Some(Update::new(before).set("stood_ms", (sample.at - at) / 1_000).into())
    }

    fn load_changed(&mut self, sample: &Sample) -> Option<RowWrite> {
        self.load.push_back(key(sample));
        if self.load.len() <= LOAD_ROWS_KEPT {
            return None;
        }
        self.load.pop_front().map(|oldest| Delete::new(oldest).into())
    }

    fn counted(&mut self, samples: &[Sample]) -> Option<RowWrite> {
        let first = samples.first()?;
        let counter = self.counter.get_or_insert_with(|| row_key("demo", first.at));
        let more = i64::try_from(samples.len()).unwrap_or(i64::MAX);
        Some(Update::new(counter.clone()).increment("samples", more).into())
    }
}

/// The source of the busiest core.
fn busiest(samples: &[Sample]) -> Option<&String> {
    let busy_of = |sample: &Sample| match sample.columns.iter().find(|(name, _)| *name == "busy_percent") {
        Some((_, Value::Double(busy))) => Some(*busy),
        _ => None,
    };
    let cores = samples.iter().filter_map(|sample| Some((busy_of(sample)?, &sample.source)));
    cores.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, source)| source)
}

fn put(sample: &Sample, is_busiest: bool) -> RowWrite {
    let columns = sample.columns.iter();
    let row = columns.fold(Put::new(key(sample)), |row, (name, value)| row.set(*name, value.clone()));
    if is_busiest { row.set("busiest", true).into() } else { row.into() }
}

fn key(sample: &Sample) -> Key {
    row_key(&sample.source, sample.at)
}

fn row_key(source: &str, at: Micros) -> Key {
    Key::new("source", source).and("ts", at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: Micros, busy: [f64; 2]) -> Vec<Sample> {
        let sample = |source: &str, columns| Sample { source: source.into(), at, columns };
        vec![
            sample("cpu/0", vec![("busy_percent", Value::Double(busy[0]))]),
            sample("cpu/1", vec![("busy_percent", Value::Double(busy[1]))]),
            sample("load", vec![]),
            sample("memory", vec![]),
        ]
    }

    #[test]
    fn each_sample_is_a_row_and_one_row_counts_them() {
        let rows = Recorder::default().rows(&look(1_000, [9.0, 1.0]));
        let expected: [RowWrite; 5] = [
            Put::new(row_key("cpu/0", 1_000)).set("busy_percent", 9.0).set("busiest", true).into(),
            Put::new(row_key("cpu/1", 1_000)).set("busy_percent", 1.0).into(),
            Put::new(row_key("load", 1_000)).into(),
            Put::new(row_key("memory", 1_000)).into(),
            Update::new(row_key("demo", 1_000)).increment("samples", 4).into(),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_mark_moves_and_the_memory_row_before_learns_how_long_it_stood() {
        let mut recorder = Recorder::default();
        recorder.rows(&look(1_000, [9.0, 1.0]));
        let rows = recorder.rows(&look(3_000, [1.0, 9.0]));
        let expected: [RowWrite; 3] = [
            Update::new(row_key("cpu/0", 1_000)).remove("busiest").into(),
            Update::new(row_key("memory", 1_000)).set("stood_ms", 2).into(),
            Update::new(row_key("demo", 1_000)).increment("samples", 4).into(),
        ];
        assert_eq!(rows[4..], expected);
    }

    #[test]
    fn only_the_last_loads_are_kept() {
        let mut recorder = Recorder::default();
        let rows: Vec<_> = (1..=5).flat_map(|at| recorder.rows(&look(at, [0.0, 0.0]))).collect();
        let deleted = |at| RowWrite::from(Delete::new(row_key("load", at)));
        assert!(rows.contains(&deleted(1)) && rows.contains(&deleted(2)));
        assert!((3..=5).all(|at| !rows.contains(&deleted(at))));
    }
}
