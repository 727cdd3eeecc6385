//! Reading ranges of rows, page by page.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::KeyBound;
use lakeferry_wire::convert::TimeRange;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::{decode_row, decode_rows, encode};
use lakeferry_wire::proto;

use crate::error::Error;
use crate::row::{Key, Read, Row};
use crate::rows::{Units, next_token, no_result, units};
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
    /// The transaction that it reads in.
    transaction: Option<String>,
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

    /// The start of the walk, which is included: a column name with each bound.
    pub fn start(&self) -> &[(ByteString, KeyBound)] {
        &self.start
    }

    /// The end of the walk, which is not included.
    pub fn end(&self) -> &[(ByteString, KeyBound)] {
        &self.end
    }

    /// What is read of the rows.
    pub(crate) fn what(&self) -> &Read {
        &self.read
    }

    /// The bounds as requests carry them.
    pub(crate) fn encode_bounds(&self) -> (Bytes, Bytes) {
        let bound = |columns: &[(ByteString, KeyBound)]| {
            encode::bound(columns.iter().map(|(name, bound)| (&**name, bound)))
        };
        (bound(&self.start), bound(&self.end))
    }

    /// The message that asks a table for this range's first page.
    pub fn to_request(&self, table: &str) -> proto::GetRangeRequest {
        let direction = if self.backward { proto::Direction::Backward } else { proto::Direction::Forward };
        let (inclusive_start_primary_key, exclusive_end_primary_key) = self.encode_bounds();
        proto::GetRangeRequest {
            table_name: table.to_owned(),
            direction: direction.into(),
            columns_to_get: self.read.columns.clone(),
            time_range: self.read.time_range.map(TimeRange::to_message),
            max_versions: self.read.versions_max,
            limit: self.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
            inclusive_start_primary_key,
            exclusive_end_primary_key,
            filter: self.read.filter.clone(),
            start_column: self.read.start_column.clone(),
            end_column: self.read.end_column.clone(),
            ..Default::default()
        }
    }

    /// What is left after a page, if anything is.
    pub(crate) fn after(self, page: &RangePage) -> Option<Self> {
        let start = values(page.next.as_ref()?);
        let rows_read = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        let limit = self.limit.map(|limit| limit.saturating_sub(rows_read));
        (limit != Some(0)).then_some(Self { start, limit, ..self })
    }
}

impl Client {
    /// Reads the first page of a range. Rows come whole, in as many calls as a wide one takes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_range(&self, table: &str, range: &Range) -> Result<RangePage, Error> {
        self.read_page(table, range, None).await
    }

    pub(crate) async fn read_page(
        &self,
        table: &str,
        range: &Range,
        transaction: Option<&str>,
    ) -> Result<RangePage, Error> {
        let mut request = range.to_request(table);
        request.transaction_id = transaction.map(str::to_owned);
        let mut page = RangePage { rows: Vec::new(), next: None, consumed: Units::default() };
        loop {
            let answer: proto::GetRangeResponse = self.call(Operation::GetRange, &request).await?;
            let start = answer.next_start_primary_key.clone();
            let token = answer.next_token.clone();
            page.add(answer)?;
            request.token = next_token(Operation::GetRange, token, request.token.as_ref())?;
            if request.token.is_none() {
                return Ok(page);
            }
            // The last row is not whole yet: what follows begins with the rest of it.
            request.inclusive_start_primary_key = start.unwrap_or(request.inclusive_start_primary_key);
            let rows = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
            let limit = range.limit.map(|limit| limit.saturating_sub(rows) + 1);
            request.limit = limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        }
    }

    /// The rows of a range, read page by page as they are asked for.
    pub fn rows(&self, table: impl Into<String>, range: Range) -> RangeRows {
        RangeRows::new(self.clone(), table.into(), range, None)
    }
}

impl RangePage {
    /// Adds what an answer holds, its first row to our last one if that is the same.
    fn add(&mut self, answer: proto::GetRangeResponse) -> Result<(), Error> {
        let malformed = |error| Error::malformed(Operation::GetRange, error);
        for row in decode_rows(&answer.rows).map_err(malformed)? {
            let row = Row::from_wire(row).ok_or_else(|| no_result(Operation::GetRange))?;
            match self.rows.last_mut() {
                Some(last) if last.key == row.key => last.append(row),
                _ => self.rows.push(row),
            }
        }
        self.next = match answer.next_start_primary_key {
            Some(key) => {
                let key = Key::from_wire(decode_row(&key).map_err(malformed)?.key);
                Some(key.ok_or_else(|| no_result(Operation::GetRange))?)
            }
            None => None,
        };
        let consumed = units(Some(answer.consumed));
        self.consumed.read += consumed.read;
        self.consumed.write += consumed.write;
        Ok(())
    }
}

impl RangeRows {
    pub(crate) fn new(client: Client, table: String, range: Range, transaction: Option<String>) -> Self {
        let left = Some(range).filter(|range| range.limit != Some(0));
        Self { client, table, transaction, left, rows: VecDeque::new() }
    }

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
        let page = self.client.read_page(&self.table, range, self.transaction.as_deref()).await?;
        self.left = self.left.take().and_then(|range| range.after(&page));
        Ok(Some(page.rows))
    }
}

fn values(key: &Key) -> Vec<(ByteString, KeyBound)> {
    key.columns().iter().map(|(name, value)| (name.clone(), KeyBound::Value(value.clone()))).collect()
}
