//! Reads within a transaction: what is committed, with the transaction's own rows laid over it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::{KeyRange, PrimaryKey};

use super::session::Session;
use crate::entry;
use crate::error::Error;
use crate::key;
use crate::partition::Partition;
use crate::table::{RangeLimits, RangePage, RowBuf, ends_of};

/// Rows by their keys.
pub(super) async fn get(
    session: &Session,
    keys: &[PrimaryKey],
    deadline: Instant,
) -> Result<Vec<Option<RowBuf>>, Error> {
    let buffer = session.look(deadline).await?;
    let mut rows = session.table().get(keys, deadline).await?;
    for (row, primary_key) in rows.iter_mut().zip(keys) {
        let bytes = key::encoded(primary_key);
        let Some(own) = buffer.row(&bytes) else { continue };
        *row = match own {
            Some(columns) => {
                RowBuf::visible(session.table().partition_at(&bytes), &bytes, &entry_of(columns))?
            }
            None => None,
        };
    }
    Ok(rows)
}

/// The beginning of a range.
pub(super) async fn range(
    session: &Session,
    range: &KeyRange,
    limits: RangeLimits,
    deadline: Instant,
) -> Result<RangePage, Error> {
    let buffer = session.look(deadline).await?;
    let committed = session.table().range(range, limits, deadline).await?;
    if buffer.is_empty() {
        return Ok(committed);
    }
    let (from, to) = ends_of(range);
    let partition = session.table().partition_at(&from);
    lay_over(&committed, buffer.touched(), (from, to), range.backward, limits, partition)
}

/// A page of committed rows with rows of the transaction's own in their places. The page ends where the committed
/// one does, or before that where it is full.
fn lay_over(
    page: &RangePage,
    touched: &BTreeMap<Bytes, Option<Bytes>>,
    (mut from, mut to): (Vec<u8>, Vec<u8>),
    backward: bool,
    limits: RangeLimits,
    partition: &Partition,
) -> Result<RangePage, Error> {
    // The first row that the committed page does not tell lies at the end of what this one tells.
    if let Some(next) = &page.next {
        let next = key::encoded(next);
        if backward {
            from = key::successor(&next);
        } else {
            to = next;
        }
    }
    let mut own: Vec<OwnRow<'_>> = Vec::new();
    if from < to {
        let within = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
        let rows = touched.range::<[u8], _>(within);
        own.extend(rows.map(|(key, columns)| (key.as_ref(), columns.as_deref().map(entry_of))));
    }
    if backward {
        own.reverse();
    }
    let committed = page.blocks.iter().flat_map(|block| block.entries());
    let merged = Merged { committed: committed.peekable(), own: own.iter().peekable(), backward };

    let (mut rows, mut bytes) = (Vec::new(), 0);
    let mut next = page.next.clone();
    for (key, entry) in merged {
        if rows.len() == limits.rows_max.max(1) || (bytes >= limits.bytes_max && !rows.is_empty()) {
            next = Some(key::decode(key, &partition.table().schema.primary_key)?);
            break;
        }
        bytes += key.len() + entry.len();
        rows.push((key, entry));
    }
    let blocks = if rows.is_empty() { Vec::new() } else { vec![partition.block_of(rows.into_iter())] };
    Ok(RangePage { blocks, next })
}

/// The key and the entry of a row of the transaction's own; no entry if it was deleted.
type OwnRow<'a> = (&'a [u8], Option<Vec<u8>>);

/// Committed rows and own ones in the order of the walk; an own row takes the committed one's place.
struct Merged<'a, C: Iterator<Item = (&'a [u8], &'a [u8])>> {
    committed: Peekable<C>,
    own: Peekable<std::slice::Iter<'a, OwnRow<'a>>>,
    backward: bool,
}

impl<'a, C: Iterator<Item = (&'a [u8], &'a [u8])>> Iterator for Merged<'a, C> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((own_key, own)) = self.own.peek() else { return self.committed.next() };
            let order = match self.committed.peek() {
                Some((key, _)) if self.backward => own_key.cmp(key),
                Some((key, _)) => (*key).cmp(own_key),
                None => Ordering::Greater,
            };
            if order == Ordering::Less {
                return self.committed.next();
            }
            if order == Ordering::Equal {
                self.committed.next();
            }
            self.own.next();
            if let Some(entry) = own {
                return Some((own_key, entry));
            }
        }
    }
}

/// An entry of a row that is not committed: it has no sequence and no commit time yet.
fn entry_of(columns: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(entry::HEAD_BYTES + columns.len());
    entry::encode_head(0, 0, &mut entry);
    entry.extend_from_slice(columns);
    entry
}
