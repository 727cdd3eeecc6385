//! Bulk import and export: rows without conditions in, plain rows of a range out.

use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::{decode_row, decode_rows};
use lakeferry_wire::proto;

use crate::batch::TableWrites;
use crate::error::{Error, ServiceError};
use crate::range::Range;
use crate::row::{Key, Row};
use crate::rows::no_result;
use crate::transport::Client;

/// A row that bulk import has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Its size as it is accounted for, in bytes.
    pub bytes: i64,
}

/// One page of a bulk export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPage {
    /// Its rows, in rising order of their keys, the newest version of each column.
    pub rows: Vec<Row>,
    /// Where the next page starts; `None` at the end of the range.
    pub next: Option<Key>,
    /// Their size as it is accounted for, in bytes.
    pub bytes: i64,
}

impl Client {
    /// Writes up to 200 rows of one table, each by itself, in request order. Conditions and what to return do not
    /// travel: use [`Client::batch_write_row`] where they matter.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn bulk_import(
        &self,
        writes: &TableWrites,
    ) -> Result<Vec<Result<Imported, ServiceError>>, Error> {
        let rows = writes.rows.iter().map(|row| proto::RowInBulkImportRequest {
            r#type: row.operation_type().into(),
            row_change: row.encode_row(),
        });
        let request = proto::BulkImportRequest { table_name: writes.table.clone(), rows: rows.collect() };
        let (answer, id): (proto::BulkImportResponse, _) =
            self.call_with_id(Operation::BulkImport, &request).await?;
        if answer.rows.len() != writes.rows.len() {
            let reason = format!("it has {} rows instead of {}", answer.rows.len(), writes.rows.len());
            return Err(Error::malformed(Operation::BulkImport, reason));
        }
        let rows = answer.rows.into_iter().map(|row| match row.is_ok {
            true => Ok(Imported { bytes: sizes(row.consumed).1 }),
            false => Err(ServiceError::of_row(row.error, &id)),
        });
        Ok(rows.collect())
    }

    /// Reads the next rows of a range, forward, as fast as the server can. The range's limit, versions and time
    /// do not travel: use [`Client::get_range`] where they matter.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn bulk_export(&self, table: &str, range: &Range) -> Result<ExportPage, Error> {
        let (inclusive_start_primary_key, exclusive_end_primary_key) = range.encode_bounds();
        let request = proto::BulkExportRequest {
            table_name: table.to_owned(),
            columns_to_get: range.what().columns.clone(),
            inclusive_start_primary_key,
            exclusive_end_primary_key,
            filter: range.what().filter.clone(),
            // The other form is denser, but has no versions, and no key unless it is asked for by name.
            data_block_type_hint: Some(proto::DataBlockType::PlainBuffer.into()),
        };
        let answer: proto::BulkExportResponse = self.call(Operation::BulkExport, &request).await?;
        let malformed = |reason: String| Error::malformed(Operation::BulkExport, reason);
        if answer.data_block_type() != proto::DataBlockType::PlainBuffer {
            return Err(malformed("its rows are not in the form that was asked for".to_owned()));
        }
        let rows = decode_rows(&answer.rows).map_err(|error| malformed(error.to_string()))?;
        let rows = rows.into_iter().map(Row::from_wire).collect::<Option<_>>();
        let next = match answer.next_start_primary_key {
            Some(key) => {
                let key = decode_row(&key).map_err(|error| malformed(error.to_string()))?.key;
                Some(Key::from_wire(key).ok_or_else(|| no_result(Operation::BulkExport))?)
            }
            None => None,
        };
        let rows = rows.ok_or_else(|| no_result(Operation::BulkExport))?;
        Ok(ExportPage { rows, next, bytes: sizes(Some(answer.consumed)).0 })
    }
}

/// What was read and written, in bytes.
fn sizes(consumed: Option<proto::ConsumedCapacity>) -> (i64, i64) {
    let size = consumed.and_then(|consumed| consumed.capacity_data_size).unwrap_or_default();
    (size.read_size.unwrap_or_default(), size.write_size.unwrap_or_default())
}
