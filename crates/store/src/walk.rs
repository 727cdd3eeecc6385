//! A row's columns one by one, of which a reader looks only at what it needs.
//!
//! [`ColumnWalk::next_column`] names a column, [`ColumnWalk::next_version`] its versions from the newest on. What
//! is not asked for is stepped over by its length: nobody makes sure that a text is text which is not read.

use lakeferry_model::ValueRef;

use crate::entry::{Reader, RowView, damaged, kind, unzigzag};
use crate::error::Error;

/// A walk along a row's columns, in name order.
#[derive(Debug, Clone)]
pub struct ColumnWalk<'a> {
    bytes: Reader<'a>,
    base_ms: i64,
    columns_left: u64,
    /// Versions of the column that it stands at.
    versions_left: u64,
}

/// A version as it lies in its row.
#[derive(Debug, Clone, Copy)]
pub struct StoredVersion<'a> {
    /// The version's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    kind: u8,
    payload: &'a [u8],
}

impl<'a> ColumnWalk<'a> {
    /// Begins before the first column.
    ///
    /// # Errors
    /// If the entry is damaged.
    pub fn new(row: RowView<'a>) -> Result<Self, Error> {
        let mut bytes = Reader(row.columns());
        let head = (bytes.varint(), bytes.varint());
        let (Some(base_ms), Some(columns_left)) = head else { return Err(damaged()) };
        Ok(Self { bytes, base_ms: unzigzag(base_ms), columns_left, versions_left: 0 })
    }

    /// The bytes of the next column's name; what is left of the column before is stepped over. `None` behind the
    /// last.
    ///
    /// # Errors
    /// If the entry is damaged. There is nothing more to walk along then.
    #[inline]
    pub fn next_column(&mut self) -> Result<Option<&'a [u8]>, Error> {
        while self.next_version()?.is_some() {}
        if self.columns_left == 0 {
            return Ok(None);
        }
        self.columns_left -= 1;
        let head = self.bytes.prefixed().and_then(|name| Some((name, self.bytes.varint()?)));
        let (name, versions) = head.ok_or_else(damaged)?;
        self.versions_left = versions;
        Ok(Some(name))
    }

    /// The next older version of the column. `None` behind the oldest.
    ///
    /// # Errors
    /// If the entry is damaged.
    #[inline]
    pub fn next_version(&mut self) -> Result<Option<StoredVersion<'a>>, Error> {
        if self.versions_left == 0 {
            return Ok(None);
        }
        self.versions_left -= 1;
        self.version().map(Some).ok_or_else(damaged)
    }

    #[inline]
    fn version(&mut self) -> Option<StoredVersion<'a>> {
        let timestamp_ms = self.base_ms.wrapping_add(unzigzag(self.bytes.varint()?));
        let kind = self.bytes.byte()?;
        let payload = match kind {
            kind::INTEGER | kind::DOUBLE => self.bytes.take(8)?,
            kind::FALSE | kind::TRUE => &[],
            kind::STRING | kind::BINARY => self.bytes.prefixed()?,
            _ => return None,
        };
        Some(StoredVersion { timestamp_ms, kind, payload })
    }
}

impl<'a> StoredVersion<'a> {
    /// What the column held.
    ///
    /// # Errors
    /// If it is damaged.
    #[inline]
    pub fn value(&self) -> Result<ValueRef<'a>, Error> {
        let number = || self.payload.try_into().map_err(|_| damaged());
        Ok(match self.kind {
            kind::INTEGER => ValueRef::Integer(i64::from_le_bytes(number()?)),
            kind::DOUBLE => ValueRef::Double(f64::from_bits(u64::from_le_bytes(number()?))),
            kind::FALSE => ValueRef::Boolean(false),
            kind::TRUE => ValueRef::Boolean(true),
            kind::STRING => ValueRef::String(std::str::from_utf8(self.payload).map_err(|_| damaged())?),
            _ => ValueRef::Binary(self.payload),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;
    use crate::entry::{Column, encode_columns, encode_head};

    fn entry() -> Vec<u8> {
        let columns = [
            Column {
                name: "a",
                versions: smallvec![(9, ValueRef::Integer(1)), (5, ValueRef::Boolean(true))],
            },
            Column { name: "b", versions: smallvec![(7, ValueRef::Double(-0.5))] },
            Column {
                name: "é",
                versions: smallvec![(0, ValueRef::String("x")), (-1, ValueRef::Binary(&[0, 255]))],
            },
        ];
        let mut out = Vec::new();
        encode_head(1, 2, &mut out);
        encode_columns(&columns, usize::MAX, &mut out);
        out
    }

    /// The cells that a walk comes by, where `looks` tells how many versions it looks at of each column.
    fn walked(entry: &[u8], looks: usize) -> Result<Vec<(String, i64, String)>, Error> {
        let mut walk = ColumnWalk::new(RowView::new(entry)?)?;
        let mut cells = Vec::new();
        while let Some(name) = walk.next_column()? {
            for _ in 0..looks {
                let Some(version) = walk.next_version()? else { break };
                let name = String::from_utf8_lossy(name).into_owned();
                cells.push((name, version.timestamp_ms, format!("{:?}", version.value()?)));
            }
        }
        Ok(cells)
    }

    #[test]
    fn a_walk_comes_by_the_same_cells_as_a_reading() {
        let entry = entry();
        let read: Vec<_> = RowView::new(&entry)
            .unwrap()
            .cells()
            .map(|cell| {
                cell.map(|cell| (cell.name.to_owned(), cell.timestamp_ms, format!("{:?}", cell.value)))
            })
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(walked(&entry, 9).unwrap(), read);
        let newest: Vec<i64> = walked(&entry, 1).unwrap().iter().map(|(_, ms, _)| *ms).collect();
        assert_eq!(newest, [9, 7, 0]);
        assert!(walked(&entry, 0).unwrap().is_empty());
    }

    #[test]
    fn a_cut_off_row_is_damaged_also_where_nobody_looks() {
        let entry = entry();
        for length in 0..entry.len() {
            assert!(walked(&entry[..length], 0).is_err(), "{length} of {} bytes", entry.len());
        }
    }

    proptest! {
        #[test]
        fn damaged_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut entry = Vec::new();
            encode_head(1, 2, &mut entry);
            entry.extend(bytes);
            let _ = walked(&entry, 3);
        }
    }
}
