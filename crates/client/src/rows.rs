//! Calls for one row.

use bytes::Bytes;
use lakeferry_model::RowOperation;
use lakeferry_wire::convert::{TimeRange, return_content};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::decode_row;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::row::{Key, Read, Row};
use crate::transport::Client;
use crate::write::{Delete, Put, RowWrite, Update};

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
        self.write_row(table, &row.into(), None).await
    }

    /// Changes columns of a row, making the row if need be.
    ///
    /// # Errors
    /// As for [`Self::put_row`].
    pub async fn update_row(&self, table: &str, row: Update) -> Result<Written, Error> {
        self.write_row(table, &row.into(), None).await
    }

    /// Deletes a row, if it is there.
    ///
    /// # Errors
    /// As for [`Self::put_row`].
    pub async fn delete_row(&self, table: &str, row: impl Into<Delete>) -> Result<Written, Error> {
        self.write_row(table, &row.into().into(), None).await
    }

    /// Reads a row, in as many calls as a wide one takes. `None` if it is not there, does not pass the filter, or
    /// has none of the columns that were asked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_row(&self, table: &str, key: &Key, read: &Read) -> Result<Option<Row>, Error> {
        self.read_row(table, key, read, None).await
    }

    pub(crate) async fn write_row(
        &self,
        table: &str,
        row: &RowWrite,
        transaction: Option<&str>,
    ) -> Result<Written, Error> {
        let table_name = table.to_owned();
        let condition = row.condition();
        let return_content = return_content(&row.returning);
        let transaction_id = transaction.map(str::to_owned);
        let (consumed, returned, operation) = match row.operation {
            RowOperation::Put(_) | RowOperation::Insert(_) => {
                let row = row.encode_row();
                let request =
                    proto::PutRowRequest { table_name, row, condition, return_content, transaction_id };
                let answer: proto::PutRowResponse = self.call(Operation::PutRow, &request).await?;
                (answer.consumed, answer.row, Operation::PutRow)
            }
            RowOperation::Update(_) | RowOperation::UpdateNew(_) => {
                let row_change = row.encode_row();
                let request = proto::UpdateRowRequest {
                    table_name,
                    row_change,
                    condition,
                    return_content,
                    transaction_id,
                };
                let answer: proto::UpdateRowResponse = self.call(Operation::UpdateRow, &request).await?;
                (answer.consumed, answer.row, Operation::UpdateRow)
            }
            RowOperation::Delete => {
                let primary_key = row.encode_row();
                let request = proto::DeleteRowRequest {
                    table_name,
                    primary_key,
                    condition,
                    return_content,
                    transaction_id,
                };
                let answer: proto::DeleteRowResponse = self.call(Operation::DeleteRow, &request).await?;
                (answer.consumed, answer.row, Operation::DeleteRow)
            }
        };
        written(operation, Some(consumed), returned.as_ref())
    }

    pub(crate) async fn read_row(
        &self,
        table: &str,
        key: &Key,
        read: &Read,
        transaction: Option<&str>,
    ) -> Result<Option<Row>, Error> {
        let mut request = proto::GetRowRequest {
            table_name: table.to_owned(),
            primary_key: key.encode(),
            columns_to_get: read.columns.clone(),
            time_range: read.time_range.map(TimeRange::to_message),
            max_versions: read.versions_max,
            filter: read.filter.clone(),
            start_column: read.start_column.clone(),
            end_column: read.end_column.clone(),
            transaction_id: transaction.map(str::to_owned),
            ..Default::default()
        };
        let mut whole: Option<Row> = None;
        loop {
            let answer: proto::GetRowResponse = self.call(Operation::GetRow, &request).await?;
            let piece = decode_one(Operation::GetRow, &answer.row)?;
            whole = join(whole, piece);
            let token = next_token(Operation::GetRow, answer.next_token, request.token.as_ref())?;
            if token.is_none() {
                return Ok(whole);
            }
            request.token = token;
        }
    }
}

/// A row and its next piece.
pub(crate) fn join(row: Option<Row>, piece: Option<Row>) -> Option<Row> {
    match (row, piece) {
        (Some(mut row), Some(piece)) => {
            row.append(piece);
            Some(row)
        }
        (row, piece) => row.or(piece),
    }
}

/// Where a wide row goes on; an empty token says as much as none. One that leads back would never end.
pub(crate) fn next_token(
    operation: Operation,
    next: Option<Bytes>,
    sent: Option<&Bytes>,
) -> Result<Option<Bytes>, Error> {
    let next = next.filter(|token| !token.is_empty());
    if next.is_some() && next.as_ref() == sent {
        return Err(Error::malformed(operation, "its token is the one that was sent"));
    }
    Ok(next)
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
