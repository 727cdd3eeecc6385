//! Filters: which rows a read shows or a write may change, and how many of a row's columns are shown.
//!
//! A [`ColumnCondition`] is a tree: tests of single columns below NOT, AND and OR. It is evaluated on anything that
//! can name the values of a column ([`ColumnValues`]), so that a reader need not build a row to leave it out. What
//! a condition sees is what the reader would be shown: versions that expired or were not asked for are not there.
//!
//! - [`ColumnTest`]: one column, one comparison, and what is to be done where the column is missing.
//! - [`ValueTransfer`]: takes a part out of a text before it is compared.
//! - [`ColumnPage`]: comes last, when it is known that the row is shown.

mod test;
mod transfer;

#[cfg(test)]
mod model_tests;

pub use test::{ColumnTest, Comparator, Comparison};
pub use transfer::{CastKind, Patterns, ValueTransfer};

use crate::limits;
use crate::value::ValueRef;
use crate::violation::Violation;

/// What a read keeps of the rows that it finds. Neither part: everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// What must hold of a row for it to be shown.
    pub condition: Option<ColumnCondition>,
    /// How many columns of a row that is shown are shown.
    pub page: Option<ColumnPage>,
}

/// What must hold of a row's columns.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnCondition {
    /// A test of one column.
    Column(ColumnTest),
    /// The condition does not hold.
    Not(Box<ColumnCondition>),
    /// All of them hold; at least two.
    And(Vec<ColumnCondition>),
    /// One of them holds at least; at least two.
    Or(Vec<ColumnCondition>),
}

/// Some of the columns that a row would be shown with, counted by their names, whatever their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnPage {
    /// Columns to pass over.
    pub offset: u32,
    /// Columns to show then; at least 1.
    pub limit: u32,
}

/// How conditions are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combinator {
    /// Turns one condition round.
    Not,
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// A row as conditions look at it.
pub trait ColumnValues {
    /// The values of a column, newest first; none if the row lacks it. Of a primary key column, its one value.
    fn values(&self, column: &str) -> impl Iterator<Item = ValueRef<'_>>;

    /// Whether there is time to look at another value with a transfer, the one step that may take long. Where it
    /// says no, values are passed over, and what was evaluated means nothing.
    fn has_time(&self) -> bool {
        true
    }
}

/// A row that is not there: it lacks every column, those of its key too.
#[derive(Debug, Clone, Copy, Default)]
pub struct MissingRow;

impl ColumnValues for MissingRow {
    fn values(&self, _: &str) -> impl Iterator<Item = ValueRef<'_>> {
        std::iter::empty()
    }
}

impl ColumnCondition {
    /// Whether it holds of the row.
    pub fn evaluate(&self, row: &impl ColumnValues) -> bool {
        match self {
            Self::Column(test) => test.evaluate(row),
            Self::Not(condition) => !condition.evaluate(row),
            Self::And(conditions) => conditions.iter().all(|condition| condition.evaluate(row)),
            Self::Or(conditions) => conditions.iter().any(|condition| condition.evaluate(row)),
        }
    }

    /// The names of all columns that it looks at, in the order of the tree; one may come more than once.
    pub fn columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.add_columns(&mut names);
        names
    }

    /// Whether of each column only the newest version matters.
    pub fn looks_at_newest_only(&self) -> bool {
        match self {
            Self::Column(test) => test.latest_version_only,
            Self::Not(condition) => condition.looks_at_newest_only(),
            Self::And(conditions) | Self::Or(conditions) => conditions.iter().all(Self::looks_at_newest_only),
        }
    }

    /// Whether it may take long to evaluate: patterns are matched in a time that their writer decides on.
    pub fn may_take_long(&self) -> bool {
        match self {
            Self::Column(test) => test.transfer.is_some(),
            Self::Not(condition) => condition.may_take_long(),
            Self::And(conditions) | Self::Or(conditions) => conditions.iter().any(Self::may_take_long),
        }
    }

    fn add_columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Column(test) => names.push(&test.column),
            Self::Not(condition) => condition.add_columns(names),
            Self::And(conditions) | Self::Or(conditions) => {
                conditions.iter().for_each(|condition| condition.add_columns(names));
            }
        }
    }
}

impl From<ColumnTest> for ColumnCondition {
    fn from(test: ColumnTest) -> Self {
        Self::Column(test)
    }
}

impl From<ColumnCondition> for Filter {
    fn from(condition: ColumnCondition) -> Self {
        Self { condition: Some(condition), page: None }
    }
}

impl Combinator {
    /// Checks how many conditions it puts together.
    ///
    /// # Errors
    /// A parameter violation with the protocol's text.
    pub fn check(self, children: usize) -> Result<(), Violation> {
        match self {
            Self::Not if children != 1 => {
                Err(Violation::parameter("Invalid NOT operator: the number of sub-filters must be 1."))
            }
            Self::And | Self::Or if children < 2 => Err(Violation::parameter(
                "Invalid AND/OR operator: the number of sub-filters must be more than 1.",
            )),
            Self::Not | Self::And | Self::Or => Ok(()),
        }
    }
}

/// Checks how many tests and combinators a filter has in all.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_filter_count(count: usize) -> Result<(), Violation> {
    if count <= limits::FILTERS_MAX { Ok(()) } else { Err(too_many_filters()) }
}

/// A filter has more tests and combinators than it may.
pub fn too_many_filters() -> Violation {
    Violation::parameter(format!("The count of filter exceeds the max: {}.", limits::FILTERS_MAX))
}
