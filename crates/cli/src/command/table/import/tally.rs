//! What became of each row of a file, and how far the file is written.
//!
//! Rows are written out of order, by several requests at once. What matters to whoever goes on later is the last
//! row up to which every one is done: written, or refused and passed over.

use std::collections::BTreeMap;

use crate::rows::Place;

/// Refused rows that are told one by one.
const TOLD_MAX: u64 = 20;

/// The count of a file's rows.
#[derive(Debug)]
pub struct Tally {
    /// Rows that are neither written nor passed over, by their number.
    open: BTreeMap<u64, Place>,
    /// The number of the last row that was begun or passed over.
    last: u64,
    written: u64,
    /// The greatest number of a row that was written.
    written_last: u64,
    refused: u64,
    keep_going: bool,
    /// Lines on refused rows that nobody was told yet.
    untold: Vec<String>,
    stopped: Option<Stopped>,
    /// Rows from this number on are not to be written any more.
    end: u64,
}

/// Why the import stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The row that stopped it, if it was one's fault.
    pub place: Option<Place>,
    /// What went wrong.
    pub why: String,
}

impl Tally {
    /// Begins behind `skipped` rows.
    pub fn new(skipped: u64, keep_going: bool) -> Self {
        Self {
            open: BTreeMap::new(),
            last: skipped,
            written: 0,
            written_last: 0,
            refused: 0,
            keep_going,
            untold: Vec::new(),
            stopped: None,
            end: u64::MAX,
        }
    }

    /// A row was read.
    pub fn begin(&mut self, place: Place) {
        self.last = self.last.max(place.row);
        self.open.insert(place.row, place);
    }

    /// A row was written.
    pub fn written(&mut self, place: Place) {
        self.open.remove(&place.row);
        self.written += 1;
        self.written_last = self.written_last.max(place.row);
    }

    /// A row was refused. The import stops before it, or passes it over.
    pub fn refused(&mut self, place: Place, why: &str) {
        if !self.keep_going {
            // What stands before it is still to be written.
            self.end = self.end.min(place.row);
            self.note_stop(Some(place), why);
            return;
        }
        self.open.remove(&place.row);
        self.refused += 1;
        if self.refused <= TOLD_MAX {
            self.untold.push(format!("{place}: {why}"));
        }
    }

    /// The rows that were passed over since this was asked last, the first few of all, each in a line.
    pub fn take_untold(&mut self) -> Vec<String> {
        std::mem::take(&mut self.untold)
    }

    /// The file cannot be read on. What was read is still to be written.
    pub fn unreadable(&mut self, why: &str) {
        self.note_stop(None, why);
    }

    /// Nothing more is to be written.
    pub fn stop(&mut self, place: Option<Place>, why: &str) {
        self.end = 0;
        self.note_stop(place, why);
    }

    /// Of several reasons, the one of the first row counts.
    fn note_stop(&mut self, place: Option<Place>, why: &str) {
        let row = |place: Option<Place>| place.map_or(u64::MAX, |place| place.row);
        if self.stopped.as_ref().is_none_or(|stopped| row(place) < row(stopped.place)) {
            self.stopped = Some(Stopped { place, why: why.to_owned() });
        }
    }

    /// Whether a row that was begun is still to be written.
    pub fn is_wanted(&self, place: Place) -> bool {
        place.row < self.end
    }

    /// Why the import stopped, if it did.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Rows written.
    pub fn written_rows(&self) -> u64 {
        self.written
    }

    /// Rows refused and passed over.
    pub fn refused_rows(&self) -> u64 {
        self.refused
    }

    /// Every row up to this one is done; as many can be passed over.
    pub fn done_up_to(&self) -> u64 {
        self.open.first_key_value().map_or(self.last, |(row, _)| row - 1)
    }

    /// Whether rows behind [`Self::done_up_to`] are written too.
    pub fn is_ragged(&self) -> bool {
        self.done_up_to() < self.written_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(row: u64) -> Place {
        Place { row, line: Some(row + 1) }
    }

    #[test]
    fn the_file_is_done_up_to_the_first_row_that_is_not() {
        let mut tally = Tally::new(10, false);
        assert_eq!((tally.done_up_to(), tally.is_ragged()), (10, false));
        (11..=14).for_each(|row| tally.begin(place(row)));
        tally.written(place(13));
        tally.written(place(11));
        assert_eq!((tally.done_up_to(), tally.is_ragged()), (11, true));
        tally.written(place(12));
        tally.written(place(14));
        assert_eq!((tally.done_up_to(), tally.is_ragged(), tally.written_rows()), (14, false, 4));
    }

    #[test]
    fn the_first_refused_row_stops_it_and_stays_open() {
        let mut tally = Tally::new(0, false);
        (1..=3).for_each(|row| tally.begin(place(row)));
        tally.refused(place(3), "later");
        tally.refused(place(2), "sooner");
        assert!(tally.is_wanted(place(1)) && !tally.is_wanted(place(2)));
        tally.written(place(1));
        tally.stop(None, "asked");
        assert!(!tally.is_wanted(place(1)));
        let stopped = tally.stopped().unwrap();
        assert_eq!((stopped.place, stopped.why.as_str()), (Some(place(2)), "sooner"));
        assert_eq!(tally.done_up_to(), 1);
    }

    #[test]
    fn what_was_read_before_a_file_breaks_off_is_still_wanted() {
        let mut tally = Tally::new(0, true);
        tally.unreadable("the row does not end");
        assert!(tally.is_wanted(place(1)) && tally.stopped().is_some());
    }

    #[test]
    fn refused_rows_can_be_passed_over_and_are_told_up_to_a_number() {
        let mut tally = Tally::new(0, true);
        (1..=30).for_each(|row| tally.begin(place(row)));
        (1..=30).for_each(|row| tally.refused(place(row), "no"));
        let told = tally.take_untold();
        assert!(tally.take_untold().is_empty());
        assert_eq!((told.len(), told[0].as_str()), (20, "line 2: no"));
        assert_eq!((tally.refused_rows(), tally.done_up_to(), tally.stopped()), (30, 30, None));
    }
}
