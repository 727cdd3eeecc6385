//! GetRange: reads a page of a range of rows, in either direction.
//!
//! A page ends at the rows asked for, at 5000 rows read, shown or not, at 4 MiB, or at the range's end. Only
//! in the last case the answer has no key to go on from.

use bytes::Bytes;
use lakeferry_model::{KeyBound, KeyValue, PrimaryKey, TableSchema, limits};
use lakeferry_store::{RangeLimits, RangePage, RowBlock};
use lakeferry_wire::plain_buffer::{RowWriter, encode};
use lakeferry_wire::proto::{CompressType, DataBlockType, GetRangeRequest, GetRangeResponse};
use lakeferry_wire::{capacity, convert};

use super::{Call, read};
use crate::error::ApiError;

pub async fn answer(call: Call, request: GetRangeRequest) -> Result<GetRangeResponse, ApiError> {
    let asked = convert::get_range(request)?;
    read::refuse_unserved(&asked.options)?;
    let table = call.readable(&asked.table)?;
    let info = table.info();
    let mut range = info.schema.range(asked.start, asked.end, asked.backward)?;
    let lens = read::Lens::new(&asked.options, &info.schema);
    let mut page = Page::new(asked.limit);
    let next = loop {
        let RangePage { blocks, next } = table.range(&range, page.room(), call.deadline).await?;
        blocks.iter().try_for_each(|block| page.add(&lens, block))?;
        match next {
            Some(next) if !page.is_full() => range.start = bound_at(&next),
            next => break next,
        }
    };
    Ok(GetRangeResponse {
        consumed: capacity::read(page.size),
        rows: page.rows.finish(),
        next_start_primary_key: next.map(|key| next_start(&info.schema, &key)),
        next_token: None,
        data_block_type: Some(DataBlockType::PlainBuffer.into()),
        compress_type: Some(CompressType::None.into()),
    })
}

/// A page while it fills.
struct Page {
    rows: RowWriter,
    /// Rows that may still be shown.
    rows_left: usize,
    /// Rows read, shown or not.
    read_rows: usize,
    /// Bytes read, shown or not.
    read_bytes: usize,
    /// Summed size of the rows shown, as capacity units count it.
    size: usize,
}

impl Page {
    fn new(limit: Option<u32>) -> Self {
        let rows_left = limit.map_or(usize::MAX, |limit| limit as usize);
        Self { rows: RowWriter::new(), rows_left, read_rows: 0, read_bytes: 0, size: 0 }
    }

    /// What may still be read.
    fn room(&self) -> RangeLimits {
        RangeLimits {
            rows_max: self.rows_left.min(limits::RANGE_ROWS_MAX.saturating_sub(self.read_rows)),
            bytes_max: limits::RANGE_BYTES_MAX.saturating_sub(self.read_bytes),
        }
    }

    fn is_full(&self) -> bool {
        self.rows_left == 0
            || self.read_rows >= limits::RANGE_ROWS_MAX
            || self.read_bytes >= limits::RANGE_BYTES_MAX
            || self.rows.len() >= limits::RANGE_BYTES_MAX
    }

    fn add(&mut self, lens: &read::Lens<'_>, block: &RowBlock) -> Result<(), ApiError> {
        self.read_rows += block.len();
        self.read_bytes += block.bytes();
        let visibility = block.visibility();
        for row in block.rows() {
            if let Some(size) = lens.write(row?, &visibility, &mut self.rows)? {
                self.rows_left -= 1;
                self.size += size;
            }
        }
        Ok(())
    }
}

fn next_start(schema: &TableSchema, key: &PrimaryKey) -> Bytes {
    let names = schema.primary_key.iter().map(|column| column.name.as_str());
    encode::key(names.zip(key.values().iter().map(KeyValue::as_ref)))
}

fn bound_at(key: &PrimaryKey) -> Vec<KeyBound> {
    key.values().iter().cloned().map(KeyBound::Value).collect()
}
