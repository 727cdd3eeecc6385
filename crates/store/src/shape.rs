//! Rows read by the columns that they are known to have.
//!
//! Rows of one table mostly hold the same columns in the same order. A [`RowShape`] gives each name a number, and
//! remembers which one followed it last: the next column's name is compared with that one, bytes with bytes, before
//! anything of it is read; only a miss is looked up. Whoever reads rows by the million needs no names then, nor to
//! make sure that they are text.

use std::collections::HashMap;

use lakeferry_model::ValueRef;

use crate::entry::{Reader, RowView, Visibility, damaged, put_prefixed, unzigzag};
use crate::error::Error;

/// A cell that was found in a row: eight bytes, which cost less to keep than its value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundCell {
    /// The number of its column.
    pub number: u32,
    /// Where its value lies among the bytes of the row's columns.
    at: u32,
}

impl FoundCell {
    /// The cell's value. The row must be the one in which the cell was found.
    ///
    /// # Errors
    /// If the entry is damaged.
    #[inline(always)]
    pub fn value<'a>(self, row: &RowView<'a>) -> Result<FoundValue<'a>, Error> {
        let from = row.columns().get(self.at as usize..).ok_or_else(damaged)?;
        Reader(from).found_value().ok_or_else(damaged)
    }
}

/// The value of a cell that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FoundValue<'a> {
    /// Text, as bytes of which nobody has made sure that they are UTF-8. They are, unless the entry is damaged.
    Text(&'a [u8]),
    /// Anything but text.
    Other(ValueRef<'a>),
}

/// Names of columns with their numbers, counted from 0 in the order in which they were learned.
#[derive(Debug, Default)]
pub struct RowShape {
    columns: Vec<Known>,
    numbers: HashMap<Box<[u8]>, usize>,
    /// The number of the column that began a row last.
    first: usize,
}

/// A column's name as it lies in an entry, with its length before it.
#[derive(Debug)]
struct Known {
    prefixed: Box<[u8]>,
    /// Its first 16 bytes as a number, what lies beyond the end left out by the mask.
    start: u128,
    mask: u128,
    follower: usize,
}

impl RowShape {
    /// Learns a name; it gets the next number. One that is known keeps the number it has.
    pub fn learn(&mut self, name: &str) {
        let number = self.columns.len();
        if *self.numbers.entry(name.as_bytes().into()).or_insert(number) == number {
            self.columns.push(Known::new(name, number + 1));
        }
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Finds the newest cell of each column, where it is visible, in the order of the row. Answers false if the row
    /// has a column that is not known; then `cells` holds a part of the row at most.
    ///
    /// # Errors
    /// If the entry is damaged.
    #[inline]
    pub fn find(
        &mut self,
        row: &RowView<'_>,
        visibility: &Visibility,
        cells: &mut Vec<FoundCell>,
    ) -> Result<bool, Error> {
        self.step(row, visibility, cells).ok_or_else(damaged)
    }

    #[inline]
    fn step(
        &mut self,
        row: &RowView<'_>,
        visibility: &Visibility,
        cells: &mut Vec<FoundCell>,
    ) -> Option<bool> {
        cells.clear();
        let all = row.columns().len();
        let mut bytes = Reader(row.columns());
        let base_ms = unzigzag(bytes.varint()?);
        let mut previous = None;
        for _ in 0..bytes.varint()? {
            let expected = previous.map_or(self.first, |number: usize| self.columns[number].follower);
            let number = match self.columns.get(expected) {
                Some(known) if known.is_at_front(bytes.0) => {
                    bytes.0 = &bytes.0[known.prefixed.len()..];
                    expected
                }
                _ => match self.look_up(bytes.prefixed()?, previous) {
                    Some(number) => number,
                    None => return Some(false),
                },
            };
            previous = Some(number);
            for version in 0..bytes.varint()? {
                let timestamp_ms = base_ms.wrapping_add(unzigzag(bytes.varint()?));
                if version == 0 && visibility.shows_version(0, timestamp_ms) {
                    let at = u32::try_from(all - bytes.0.len()).ok()?;
                    cells.push(FoundCell { number: u32::try_from(number).ok()?, at });
                }
                bytes.skip_value()?;
            }
        }
        Some(true)
    }

    /// The number of a name, which from now on is expected behind the column before it.
    fn look_up(&mut self, name: &[u8], previous: Option<usize>) -> Option<usize> {
        let number = *self.numbers.get(name)?;
        match previous {
            Some(previous) => self.columns[previous].follower = number,
            None => self.first = number,
        }
        Some(number)
    }
}

impl Known {
    fn new(name: &str, follower: usize) -> Self {
        let mut prefixed = Vec::new();
        put_prefixed(name.as_bytes(), &mut prefixed);
        let mut start = [0; 16];
        let length = prefixed.len().min(16);
        start[..length].copy_from_slice(&prefixed[..length]);
        let mask = u128::MAX.checked_shr(u32::try_from(8 * (16 - length)).unwrap_or(0)).unwrap_or(0);
        Self { prefixed: prefixed.into(), start: u128::from_le_bytes(start), mask, follower }
    }

    #[inline]
    fn is_at_front(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk::<16>() {
            Some(front) if self.prefixed.len() <= 16 => u128::from_le_bytes(*front) & self.mask == self.start,
            _ => bytes.starts_with(&self.prefixed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Column, encode_columns, encode_head};
    use proptest::prelude::*;

    const VALUES: [ValueRef<'static>; 6] = [
        ValueRef::Integer(-7),
        ValueRef::Double(0.5),
        ValueRef::Boolean(true),
        ValueRef::Boolean(false),
        ValueRef::String("some text"),
        ValueRef::Binary(&[0, 255]),
    ];

    /// Columns in name order: how long the name is beside its letter, how many versions, and which value.
    fn entry(columns: &[(char, usize, usize, usize)]) -> Vec<u8> {
        let names: Vec<String> =
            columns.iter().map(|(letter, more, ..)| format!("{letter}{}", "x".repeat(*more))).collect();
        let columns: Vec<Column<'_>> = names
            .iter()
            .zip(columns)
            .map(|(name, (.., versions, value))| {
                let version =
                    |at: usize| (1_700_000_000_000 - at as i64, VALUES[(value + at) % VALUES.len()]);
                Column { name, versions: (0..*versions).map(version).collect() }
            })
            .collect();
        let mut entry = Vec::new();
        encode_head(3, 5, &mut entry);
        encode_columns(&columns, usize::MAX, &mut entry);
        entry
    }

    fn plain(value: FoundValue<'_>) -> ValueRef<'_> {
        match value {
            FoundValue::Text(text) => ValueRef::String(std::str::from_utf8(text).unwrap()),
            FoundValue::Other(value) => value,
        }
    }

    fn expected<'a>(row: &RowView<'a>, visibility: &Visibility) -> Vec<(&'a str, ValueRef<'a>)> {
        let cells = row.cells().map(Result::unwrap);
        let newest = cells.filter(|cell| cell.version == 0 && visibility.shows(cell));
        newest.map(|cell| (cell.name, cell.value)).collect()
    }

    proptest! {
        #[test]
        fn cells_come_as_the_row_has_them(
            rows in prop::collection::vec(
                prop::collection::btree_map("[a-f]", (0..20_usize, 1..4_usize, 0..6_usize), 0..6),
                1..8,
            ),
            hidden_below in prop::option::of(1_699_999_999_999_i64..1_700_000_000_002),
        ) {
            let visibility = Visibility::ALL.hiding_below(hidden_below);
            let mut shape = RowShape::default();
            let mut names = Vec::new();
            for columns in rows {
                let columns: Vec<_> = columns.into_iter().map(|(letter, (more, versions, value))| {
                    (letter.chars().next().unwrap(), more, versions, value)
                }).collect();
                let entry = entry(&columns);
                let row = RowView::new(&entry).unwrap();
                let mut cells = Vec::new();
                let all: Vec<&str> = row.cells().map(|cell| cell.unwrap().name).collect();
                let is_known = all.iter().all(|name| names.iter().any(|known| known == name));
                prop_assert_eq!(shape.find(&row, &visibility, &mut cells).unwrap(), is_known);
                for name in all {
                    shape.learn(name);
                    if names.len() < shape.len() {
                        names.push(name.to_owned());
                    }
                }
                prop_assert!(shape.find(&row, &visibility, &mut cells).unwrap());
                let named: Vec<_> = cells
                    .iter()
                    .map(|cell| (names[cell.number as usize].as_str(), plain(cell.value(&row).unwrap())))
                    .collect();
                prop_assert_eq!(named, expected(&row, &visibility));
            }
        }

        #[test]
        fn a_damaged_row_ends_in_an_error_or_in_other_cells(cut in 0..80_usize, at in 0..80_usize, to: u8) {
            let mut entry = entry(&[('a', 3, 1, 4), ('b', 20, 2, 0), ('c', 0, 1, 5)]);
            let at = at % entry.len();
            entry[at] = to;
            entry.truncate(entry.len().saturating_sub(cut));
            let mut shape = RowShape::default();
            for name in ["axxx", "c", "b"] {
                shape.learn(name);
            }
            let mut cells = vec![];
            if let Ok(row) = RowView::new(&entry)
                && shape.find(&row, &Visibility::ALL, &mut cells).is_ok()
            {
                for cell in cells {
                    let _ = cell.value(&row);
                }
            }
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another() {
        let mut shape = RowShape::default();
        shape.learn("a");
        let entry = entry(&[('a', 1, 1, 0)]);
        let row = RowView::new(&entry).unwrap();
        assert!(!shape.find(&row, &Visibility::ALL, &mut vec![]).unwrap());
        shape.learn("ax");
        let mut cells = vec![];
        assert!(shape.find(&row, &Visibility::ALL, &mut cells).unwrap());
        assert_eq!((cells.len(), cells[0].number), (1, 1));
        assert_eq!(plain(cells[0].value(&row).unwrap()), ValueRef::Integer(-7));
    }
}
