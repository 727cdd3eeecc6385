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

/// The value of a cell that was found, or of a column of a key ([`crate::key::each_part`]).
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

    /// Hands over the newest cell of each column, where it is visible, with the number of the column, in the order of
    /// the row. Answers false at a column that is not known: what was handed over of the row before is to be forgotten.
    ///
    /// # Errors
    /// If the entry is damaged, and what `take` says; then the row is to be forgotten, too.
    #[inline]
    pub fn read<'a, E: From<Error>>(
        &mut self,
        row: &RowView<'a>,
        visibility: &Visibility,
        mut take: impl FnMut(usize, FoundValue<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut bytes = Reader(row.columns());
        let base_ms = unzigzag(bytes.varint().ok_or_else(damaged)?);
        let mut previous = None;
        for _ in 0..bytes.varint().ok_or_else(damaged)? {
            let expected = previous.map_or(self.first, |number: usize| self.columns[number].follower);
            let number = match self.columns.get(expected) {
                Some(known) if known.is_at_front(bytes.0) => {
                    bytes.0 = &bytes.0[known.prefixed.len()..];
                    expected
                }
                _ => match self.look_up(bytes.prefixed().ok_or_else(damaged)?, previous) {
                    Some(number) => number,
                    None => return Ok(false),
                },
            };
            previous = Some(number);
            for version in 0..bytes.varint().ok_or_else(damaged)? {
                let timestamp_ms = base_ms.wrapping_add(unzigzag(bytes.varint().ok_or_else(damaged)?));
                if version == 0 && visibility.shows_version(0, timestamp_ms) {
                    take(number, bytes.found_value().ok_or_else(damaged)?)?;
                } else {
                    bytes.skip_value().ok_or_else(damaged)?;
                }
            }
        }
        Ok(true)
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

    type Cells<'a> = Vec<(usize, ValueRef<'a>)>;

    /// Whether all columns are known, and what was handed over.
    fn read<'a>(
        shape: &mut RowShape,
        row: &RowView<'a>,
        visibility: &Visibility,
    ) -> Result<(bool, Cells<'a>), Error> {
        let mut cells = Vec::new();
        let is_known = shape.read(row, visibility, |number, value| {
            cells.push((number, plain(value)));
            Ok::<_, Error>(())
        })?;
        Ok((is_known, cells))
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
                let all: Vec<&str> = row.cells().map(|cell| cell.unwrap().name).collect();
                let is_known = all.iter().all(|name| names.iter().any(|known| known == name));
                prop_assert_eq!(read(&mut shape, &row, &visibility).unwrap().0, is_known);
                for name in all {
                    shape.learn(name);
                    if names.len() < shape.len() {
                        names.push(name.to_owned());
                    }
                }
                let (is_known, cells) = read(&mut shape, &row, &visibility).unwrap();
                prop_assert!(is_known);
                let named: Vec<_> =
                    cells.iter().map(|(number, value)| (names[*number].as_str(), *value)).collect();
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
            if let Ok(row) = RowView::new(&entry) {
                let _ = shape.read(&row, &Visibility::ALL, |_, _| Ok::<_, Error>(()));
            }
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another() {
        let mut shape = RowShape::default();
        shape.learn("a");
        let entry = entry(&[('a', 1, 1, 0)]);
        let row = RowView::new(&entry).unwrap();
        assert_eq!(read(&mut shape, &row, &Visibility::ALL).unwrap(), (false, vec![]));
        shape.learn("ax");
        let cells = vec![(1, ValueRef::Integer(-7))];
        assert_eq!(read(&mut shape, &row, &Visibility::ALL).unwrap(), (true, cells));
    }
}
