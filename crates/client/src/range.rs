//! Reading ranges of rows, page by page.

use std::collections::VecDeque;

use bytestring::ByteString;
use lakeferry_model::KeyBound;
use lakeferry_wire::convert::TimeRange;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::{decode_row, decode_rows, encode};
use lakeferry_wire::proto;

use crate::error::Error;
use crate::row::{Key, Read, Row};
use crate::rows::{Units, no_result, units};
use crate::transport::Client;

/// A range of rows, from its start, which it includes, to its end, which it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    start: Vec<(ByteString, KeyBound)>,
    end: Vec<(ByteString, KeyBound)>,
    backward: bool,
    limit: Option<u32>,
    read: Read,
}

/// One page of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct RangePage {
    /// Its rows, in the order of the walk. There may be none although there is a next page.
    pub rows: Vec<Row>,
    /// Where the next page starts; `None` at the end of the range.
    pub next: Option<Key>,
    /// What it consumed.
    pub consumed: Units,
}

/// The rows of a range, one after the other. Reads a page when the one before is used up, so it sees each page
/// as the table was when that page was read.
#[derive(Debug)]
pub struct RangeRows {
    client: Client,
    table: String,
    /// What is left of the range; `None` after its last page.
    left: Option<Range>,
    rows: VecDeque<Row>,
}

impl Range {
    /// All rows of a table with these primary key columns.
    pub fn all<N: Into<ByteString>>(key_names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<ByteString> = key_names.into_iter().map(Into::into).collect();
        let bounds = |bound: KeyBound| names.iter().map(|name| (name.clone(), bound.clone())).collect();
        Self::new(bounds(KeyBound::InfMin), bounds(KeyBound::InfMax))
    }

    /// All rows whose key begins with these columns; `rest_names` are the primary key columns after them.
    pub fn beginning_with<N: Into<ByteString>>(key: &Key, rest_names: impl IntoIterator<Item = N>) -> Self {
        let all_of_rest = Self::all(rest_names);
        let with_key = |rest: Vec<_>| values(key).into_iter().chain(rest).collect();
        Self::new(with_key(all_of_rest.start), with_key(all_of_rest.end))
    }

    /// From one key, which it includes, to another, which it does not.
    pub fn between(start: &Key, end: &Key) -> Self {
        Self::new(values(start), values(end))
    }

    /// From any bounds to any bounds, a column name with each.
    pub fn new(start: Vec<(ByteString, KeyBound)>, end: Vec<(ByteString, KeyBound)>) -> Self {
        Self { start, end, backward: false, limit: None, read: Read::default() }
    }

    /// The same bounds, walked from the end, which is now included, to the start, which is not.
    #[must_use]
    pub fn backward(mut self) -> Self {
        std::mem::swap(&mut self.start, &mut self.end);
        self.backward = !self.backward;
        self
    }

    /// At most so many rows: of a page, or of all of [`RangeRows`].
    #[must_use]
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = Some(rows);
        self
    }

    /// What to read of the rows.
    #[must_use]
    pub fn read(mut self, read: Read) -> Self {
        self.read = read;
        self
    }

    /// The message that asks a table for this range's first page.
    pub fn to_request(&self, table: &str) -> proto::GetRangeRequest {
        let direction = if self.backward { proto::Direction::Backward } else { proto::Direction::Forward };
        let bound = |columns: &[(ByteString, KeyBound)]| {
            encode::bound(columns.iter().map(|(name, bound)| (&**name, bound)))
        };
        proto::GetRangeRequest {
            table_name: table.to_owned(),
            direction: direction.into(),
            columns_to_get: self.read.columns.clone(),
            time_range: self.read.time_range.map(TimeRange::to_message),
            max_versions: self.read.versions_max,
            limit: self.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
            inclusive_start_primary_key: bound(&self.start),
            exclusive_end_primary_key: bound(&self.end),
            ..Default::default()
        }
    }

    /// What is left after a page, if anything is.
    fn after(self, page: &RangePage) -> Option<Self> {
        let start = values(page.next.as_ref()?);
        let rows_read = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        let limit = self.limit.map(|limit| limit.saturating_sub(rows_read));
        (limit != Some(0)).then_some(Self { start, limit, ..self })
    }
}

impl Client {
    /// Reads the first page of a range.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_range(&self, table: &str, range: &Range) -> Result<RangePage, Error> {
        let answer: proto::GetRangeResponse =
            self.call(Operation::GetRange, &range.to_request(table)).await?;
        let malformed = |error| Error::malformed(Operation::GetRange, error);
        let rows = decode_rows(&answer.rows).map_err(malformed)?.into_iter().map(Row::from_wire);
        let rows = rows.collect::<Option<_>>().ok_or_else(|| no_result(Operation::GetRange))?;
        let next = match answer.next_start_primary_key {
            Some(key) => {
                let key = Key::from_wire(decode_row(&key).map_err(malformed)?.key);
                Some(key.ok_or_else(|| no_result(Operation::GetRange))?)
            }
            None => None,
        };
        Ok(RangePage { rows, next, consumed: units(Some(answer.consumed)) })
    }

    /// The rows of a range, read page by page as they are asked for.
    pub fn rows(&self, table: impl Into<String>, range: Range) -> RangeRows {
        let left = Some(range).filter(|range| range.limit != Some(0));
        RangeRows { client: self.clone(), table: table.into(), left, rows: VecDeque::new() }
    }
}

impl RangeRows {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// See [`Error`]. Asking again tries the same page again.
    pub async fn next(&mut self) -> Result<Option<Row>, Error> {
        while self.rows.is_empty() {
            match self.next_page().await? {
                Some(rows) => self.rows = rows.into(),
                None => return Ok(None),
            }
        }
        Ok(self.rows.pop_front())
    }

    /// The rows of the next page, those that [`Self::next`] left of the last one aside; `None` after the last.
    ///
    /// # Errors
    /// See [`Error`]. Asking again tries the same page again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Row>>, Error> {
        if !self.rows.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rows).into()));
        }
        let Some(range) = &self.left else { return Ok(None) };
        let page = self.client.get_range(&self.table, range).await?;
        self.left = self.left.take().and_then(|range| range.after(&page));
        Ok(Some(page.rows))
    }
}

fn values(key: &Key) -> Vec<(ByteString, KeyBound)> {
    key.columns().iter().map(|(name, value)| (name.clone(), KeyBound::Value(value.clone()))).collect()
}
