//! Labelled facts about one thing, one a line.

use std::fmt;

/// Facts in the order in which they were added.
#[derive(Default)]
pub struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// Adds a fact. One without a label goes on where the fact before it ended.
    pub fn add(&mut self, label: &'static str, fact: impl Into<String>) {
        self.0.push((label, fact.into()));
    }

    /// Adds several facts under one label.
    pub fn add_all(&mut self, label: &'static str, facts: impl IntoIterator<Item = String>) {
        for (at, fact) in facts.into_iter().enumerate() {
            self.add(if at == 0 { label } else { "" }, fact);
        }
    }
}

impl fmt::Display for Facts {
    /// Each fact indented under its heading, the last one without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (at, (label, fact)) in self.0.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            write!(f, "{line_break}  {label:<width$}  {fact}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_aligned_and_a_label_is_said_once() {
        let mut facts = Facts::default();
        facts.add("phase", "INCR");
        facts.add_all("warnings", ["one".to_owned(), "two".to_owned()]);
        assert_eq!(facts.to_string(), "  phase     INCR\n  warnings  one\n            two");
    }
}
