//! Aligned columns of text, readable without colour.

use std::fmt;

/// Rows of text under a heading. Columns of numbers stand to the right.
pub struct Columns<const N: usize> {
    heading: [&'static str; N],
    right: [bool; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Columns<N> {
    /// Begins with a heading; one that starts with `>` heads a column of numbers.
    pub fn new(heading: [&'static str; N]) -> Self {
        let right = heading.map(|name| name.starts_with('>'));
        Self { heading: heading.map(|name| name.trim_start_matches('>')), right, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.heading.map(|name| name.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    fn line(&self, widths: &[usize; N], cells: &[impl AsRef<str>]) -> String {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let (cell, width) = (cell.as_ref(), widths[at]);
            if at > 0 {
                line.push_str("  ");
            }
            if self.right[at] {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl<const N: usize> fmt::Display for Columns<N> {
    /// The heading, then each row on a line of its own, the last one without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        f.write_str(&self.line(&widths, &self.heading))?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{}", self.line(&widths, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_no_line_ends_in_blanks() {
        let mut columns = Columns::new(["NAME", ">ROWS", "NOTE"]);
        columns.row(["a".into(), "3,412".into(), String::new()]);
        columns.row(["longer".into(), "7".into(), "x".into()]);
        assert_eq!(columns.to_string(), "NAME     ROWS  NOTE\na       3,412\nlonger      7  x");
    }
}
