//! The test of one column.

use std::cmp::Ordering;

use bytestring::ByteString;

use super::{ColumnValues, ValueTransfer};
use crate::change::check_value;
use crate::name::check_column_name;
use crate::value::{Value, ValueRef};
use crate::violation::Violation;

/// What one column must be like.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnTest {
    /// An attribute column, or one of the primary key.
    pub column: ByteString,
    /// What must hold of its values.
    pub comparison: Comparison,
    /// Whether a row without the column passes. A test of existence decides that by itself.
    pub pass_if_missing: bool,
    /// Whether only the newest version counts; otherwise it is enough if one version passes.
    pub latest_version_only: bool,
    /// What is done to a value before it is compared.
    pub transfer: Option<ValueTransfer>,
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// It compares so to this value. Values of two types do not compare, not even as unequal.
    To(Comparator, Value),
    /// There is one; with a transfer, one that it can be applied to.
    Exists,
    /// There is none.
    IsMissing,
}

/// How two values of one type compare: numbers by value, strings and binaries by their bytes, false below true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// They are the same.
    Equal,
    /// They differ.
    NotEqual,
    /// The column's is greater.
    Greater,
    /// The column's is greater, or they are the same.
    GreaterOrEqual,
    /// The column's is less.
    Less,
    /// The column's is less, or they are the same.
    LessOrEqual,
}

impl ColumnTest {
    /// A test as SDKs make it where nothing else is said: of the newest version, passed by rows that lack the
    /// column.
    pub fn new(column: impl Into<ByteString>, comparison: Comparison) -> Self {
        let column = column.into();
        Self { column, comparison, pass_if_missing: true, latest_version_only: true, transfer: None }
    }

    /// A comparison of the column's value with another.
    pub fn compare(column: impl Into<ByteString>, comparator: Comparator, value: Value) -> Self {
        Self::new(column, Comparison::To(comparator, value))
    }

    /// Checks the column's name and the size of the value.
    ///
    /// # Errors
    /// The first broken rule, with the protocol's text.
    pub fn check(&self) -> Result<(), Violation> {
        check_column_name(&self.column)?;
        match &self.comparison {
            Comparison::To(_, value) => check_value(&self.column, value.as_ref()),
            Comparison::Exists | Comparison::IsMissing => Ok(()),
        }
    }

    /// Whether the row passes.
    #[inline]
    pub fn evaluate(&self, row: &impl ColumnValues) -> bool {
        let versions_max = if self.latest_version_only { 1 } else { usize::MAX };
        let mut values = row.values(&self.column).take(versions_max);
        match &self.comparison {
            Comparison::Exists => values.any(|value| self.transferred(value, row).is_some()),
            Comparison::IsMissing => !values.any(|value| self.transferred(value, row).is_some()),
            Comparison::To(comparator, expected) => {
                let mut missing = true;
                let passes = values.any(|value| {
                    missing = false;
                    let value = self.transferred(value, row);
                    value.is_some_and(|value| comparator.holds(value, expected.as_ref()))
                });
                passes || (missing && self.pass_if_missing)
            }
        }
    }

    fn transferred<'a>(&self, value: ValueRef<'a>, row: &impl ColumnValues) -> Option<ValueRef<'a>> {
        match &self.transfer {
            None => Some(value),
            Some(transfer) if row.has_time() => transfer.apply(value),
            Some(_) => None,
        }
    }
}

impl Comparator {
    /// Whether two values compare so. Never where their types differ. Doubles compare as IEEE 754 has it: what is
    /// not a number is unequal to everything and neither above nor below.
    #[inline]
    pub fn holds(self, left: ValueRef<'_>, right: ValueRef<'_>) -> bool {
        let ordering = match (left, right) {
            (ValueRef::Integer(a), ValueRef::Integer(b)) => Some(a.cmp(&b)),
            (ValueRef::Double(a), ValueRef::Double(b)) => a.partial_cmp(&b),
            (ValueRef::Boolean(a), ValueRef::Boolean(b)) => Some(a.cmp(&b)),
            (ValueRef::String(a), ValueRef::String(b)) => Some(a.cmp(b)),
            (ValueRef::Binary(a), ValueRef::Binary(b)) => Some(a.cmp(b)),
            _ => return false,
        };
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::NotEqual => ordering != Some(Ordering::Equal),
            Self::Greater => ordering == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}
