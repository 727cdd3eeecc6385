//! Calls for one row.

use bytes::Bytes;
use lakeferry_wire::convert::{condition_message, return_content};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::decode_row;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::row::{Delete, Key, Put, Read, Row, RowWrite, Update};
use crate::transport::Client;

/// Capacity units that a call consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// For reading.
    pub read: i32,
    /// For writing.
    pub write: i32,
}

/// A write that succeeded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// What it consumed.
    pub consumed: Units,
    /// What it was asked to answer with.
    pub row: Option<Row>,
}

impl Client {
    /// Puts a row in the place of whatever is there.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_outcome_unknown`] tells whether the row may be written nevertheless.
    pub async fn put_row(&self, table: &str, row: Put) -> Result<Written, Error> {
        let row = RowWrite::from(row);
        let request = proto::PutRowRequest {
            table_name: table.to_owned(),
            row: row.encode_row(),
            condition: condition_message(&row.condition),
            return_content: return_content(&row.returning),
            transaction_id: None,
        };
        let answer: proto::PutRowResponse = self.call(Operation::PutRow, &request).await?;
        written(Operation::PutRow, Some(answer.consumed), answer.row.as_ref())
    }

    /// Changes columns of a row, making the row if need be.
    ///
    /// # Errors
    /// As for [`Self::put_row`].
    pub async fn update_row(&self, table: &str, row: Update) -> Result<Written, Error> {
        let row = RowWrite::from(row);
        let request = proto::UpdateRowRequest {
            table_name: table.to_owned(),
            row_change: row.encode_row(),
            condition: condition_message(&row.condition),
            return_content: return_content(&row.returning),
            transaction_id: None,
        };
        let answer: proto::UpdateRowResponse = self.call(Operation::UpdateRow, &request).await?;
        written(Operation::UpdateRow, Some(answer.consumed), answer.row.as_ref())
    }

    /// Deletes a row, if it is there.
    ///
    /// # Errors
    /// As for [`Self::put_row`].
    pub async fn delete_row(&self, table: &str, row: impl Into<Delete>) -> Result<Written, Error> {
        let row = RowWrite::from(row.into());
        let request = proto::DeleteRowRequest {
            table_name: table.to_owned(),
            primary_key: row.encode_row(),
            condition: condition_message(&row.condition),
            return_content: return_content(&row.returning),
            transaction_id: None,
        };
        let answer: proto::DeleteRowResponse = self.call(Operation::DeleteRow, &request).await?;
        written(Operation::DeleteRow, Some(answer.consumed), answer.row.as_ref())
    }

    /// Reads a row. `None` if it is not there, or has none of the columns that were asked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_row(&self, table: &str, key: &Key, read: &Read) -> Result<Option<Row>, Error> {
        let request = proto::GetRowRequest {
            table_name: table.to_owned(),
            primary_key: key.encode(),
            columns_to_get: read.columns.clone(),
            time_range: read.time_range.map(lakeferry_wire::convert::TimeRange::to_message),
            max_versions: read.versions_max,
            ..Default::default()
        };
        let answer: proto::GetRowResponse = self.call(Operation::GetRow, &request).await?;
        decode_one(Operation::GetRow, &answer.row)
    }
}

pub(crate) fn written(
    operation: Operation,
    consumed: Option<proto::ConsumedCapacity>,
    row: Option<&Bytes>,
) -> Result<Written, Error> {
    let row = row.map(|row| decode_one(operation, row)).transpose()?.flatten();
    Ok(Written { consumed: units(consumed), row })
}

pub(crate) fn units(consumed: Option<proto::ConsumedCapacity>) -> Units {
    let units = consumed.unwrap_or_default().capacity_unit;
    Units { read: units.read.unwrap_or_default(), write: units.write.unwrap_or_default() }
}

/// No bytes are no row.
pub(crate) fn decode_one(operation: Operation, buffer: &Bytes) -> Result<Option<Row>, Error> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let row = decode_row(buffer).map_err(|error| Error::malformed(operation, error))?;
    Row::from_wire(row).map(Some).ok_or_else(|| no_result(operation))
}

pub(crate) fn no_result(operation: Operation) -> Error {
    Error::malformed(operation, "a row in it is not one of a query's result")
}
