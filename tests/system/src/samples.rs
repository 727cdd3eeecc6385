//! What is measured over time, and how it is shown: a file of comma-separated values, and a small plot of text.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::failure::{Failure, broken};

/// Columns of a plot.
const WIDTH: usize = 60;
/// From the lowest to the highest.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Measurements, each of the same quantities.
#[derive(Debug)]
pub struct Samples {
    names: &'static [&'static str],
    rows: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Duration,
    /// In the order of the names; none where there was nothing to measure.
    values: Vec<Option<u64>>,
}

impl Samples {
    /// No samples yet, of these quantities, each named with its unit.
    pub fn of(names: &'static [&'static str]) -> Self {
        Self { names, rows: Vec::new() }
    }

    /// Adds a sample: a value for each name.
    pub fn add(&mut self, at: Duration, values: Vec<Option<u64>>) {
        debug_assert_eq!(values.len(), self.names.len());
        self.rows.push(Sample { at, values });
    }

    /// Writes them, the seconds since the beginning in front.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text = format!("seconds,{}\n", self.names.join(","));
        for row in &self.rows {
            let value = |value: &Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
            let values: Vec<_> = row.values.iter().map(value).collect();
            text += &format!("{:.1},{}\n", row.at.as_secs_f64(), values.join(","));
        }
        fs::write(path, text).map_err(broken("write the samples"))
    }

    /// A line per quantity: its name, its course from its least to its greatest value, and both.
    pub fn plot(&self) -> String {
        let widest = self.names.iter().map(|name| name.len()).max().unwrap_or_default();
        let line = |(at, name): (usize, &&str)| {
            let values: Vec<_> = self.rows.iter().map(|row| row.values.get(at).copied().flatten()).collect();
            let (low, high) = (values.iter().flatten().min(), values.iter().flatten().max());
            let (low, high) = (low.copied().unwrap_or_default(), high.copied().unwrap_or_default());
            format!("    {name:<widest$}  {:<WIDTH$}  {low} to {high}\n", self.course(at, low, high))
        };
        self.names.iter().enumerate().map(line).collect()
    }

    /// A block for each stretch of time, as high as its greatest value; a space where nothing was measured.
    fn course(&self, quantity: usize, low: u64, high: u64) -> String {
        let end = self.rows.last().map_or(0, |row| row.at.as_millis()) + 1;
        let mut greatest = vec![None; WIDTH.min(self.rows.len())];
        for row in &self.rows {
            let column = row.at.as_millis() * greatest.len() as u128 / end;
            let column = &mut greatest[usize::try_from(column).unwrap_or_default()];
            *column = (*column).max(row.values.get(quantity).copied().flatten());
        }
        let steps = BLOCKS.len() as u64 - 1;
        let block = |value: u64| {
            let step = ((value - low) * steps).checked_div(high - low).unwrap_or_default();
            BLOCKS[usize::try_from(step).unwrap_or_default()]
        };
        greatest.into_iter().map(|value| value.map_or(' ', block)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(values: &[Option<u64>]) -> String {
        let mut samples = Samples::of(&["lag"]);
        for (at, value) in values.iter().enumerate() {
            samples.add(Duration::from_secs(at as u64), vec![*value]);
        }
        samples.plot()
    }

    #[test]
    fn a_plot_shows_the_course_with_its_least_and_greatest_value() {
        let shown = plot(&[Some(2), None, Some(9), Some(5)]);
        assert!(shown.contains("▁ █▄"), "{shown}");
        assert!(shown.ends_with("2 to 9\n"), "{shown}");
    }

    #[test]
    fn a_long_course_keeps_its_peaks() {
        let values: Vec<_> = (0..1000).map(|at| Some(if at == 777 { 100 } else { 1 })).collect();
        let shown = plot(&values);
        assert_eq!(shown.chars().filter(|block| *block == '█').count(), 1);
        assert_eq!(shown.chars().filter(|block| *block == '▁').count(), WIDTH - 1);
    }

    #[test]
    fn what_never_changes_and_what_was_never_measured_can_be_shown() {
        assert!(plot(&[Some(3), Some(3)]).contains("▁▁"));
        assert!(plot(&[None, None]).ends_with("0 to 0\n"));
        assert!(plot(&[]).ends_with("0 to 0\n"));
    }
}
