//! Local transactions: reads and writes of the rows that share the first column of their key.

use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::encode;
use lakeferry_wire::proto;

use crate::batch::TableWrites;
use crate::error::{Error, ServiceError};
use crate::range::{Range, RangePage, RangeRows};
use crate::row::{Key, Read, Row};
use crate::rows::Written;
use crate::transport::Client;
use crate::write::{Delete, Put, RowWrite, Update};

/// A transaction under way.
///
/// Until it is committed, aborted, or given up by the server after its time (60 s in the original), nobody else
/// can write the rows of its key. Dropping it leaves it to time out.
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    table: String,
    id: String,
}

impl Client {
    /// Begins a transaction on the rows of `table` whose key begins with this column, which must be the table's
    /// first key column and no more.
    ///
    /// # Errors
    /// See [`Error`]; `OTSRowOperationConflict` if there is another one on that key.
    pub async fn begin(&self, table: impl Into<String>, first_column: &Key) -> Result<Transaction, Error> {
        let table = table.into();
        let key = encode::key(first_column.borrowed());
        let request = proto::StartLocalTransactionRequest { table_name: table.clone(), key };
        let answer: proto::StartLocalTransactionResponse =
            self.call(Operation::StartLocalTransaction, &request).await?;
        Ok(Transaction { client: self.clone(), table, id: answer.transaction_id })
    }
}

impl Transaction {
    /// The server's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Puts a row, for this transaction's eyes until it is committed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_row(&self, row: Put) -> Result<Written, Error> {
        self.write(row.into()).await
    }

    /// Changes columns of a row.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_row(&self, row: Update) -> Result<Written, Error> {
        self.write(row.into()).await
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_row(&self, row: impl Into<Delete>) -> Result<Written, Error> {
        self.write(row.into().into()).await
    }

    /// Writes up to 200 rows, in request order.
    ///
    /// # Errors
    /// The call as a whole failed; see [`Error`]. Rows that failed are in the answer.
    pub async fn batch_write_row(
        &self,
        rows: impl IntoIterator<Item = impl Into<RowWrite>>,
    ) -> Result<Vec<Result<Written, ServiceError>>, Error> {
        self.client.write_in_transaction(&TableWrites::new(&self.table, rows), &self.id).await
    }

    /// Reads a row as this transaction sees it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_row(&self, key: &Key, read: &Read) -> Result<Option<Row>, Error> {
        self.client.read_row(&self.table, key, read, Some(&self.id)).await
    }

    /// Reads the first page of a range as this transaction sees it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_range(&self, range: &Range) -> Result<RangePage, Error> {
        self.client.read_page(&self.table, range, Some(&self.id)).await
    }

    /// The rows of a range as this transaction sees them, read page by page.
    pub fn rows(&self, range: Range) -> RangeRows {
        RangeRows::new(self.client.clone(), self.table.clone(), range, Some(self.id.clone()))
    }

    /// Makes all its writes at once.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_outcome_unknown`] tells whether they may be made nevertheless.
    pub async fn commit(self) -> Result<(), Error> {
        let request = proto::CommitTransactionRequest { transaction_id: self.id };
        let proto::CommitTransactionResponse {} =
            self.client.call(Operation::CommitTransaction, &request).await?;
        Ok(())
    }

    /// Forgets all its writes.
    ///
    /// # Errors
    /// See [`Error`]. Nothing of it is ever made, whatever became of the call.
    pub async fn abort(self) -> Result<(), Error> {
        let request = proto::AbortTransactionRequest { transaction_id: self.id };
        let proto::AbortTransactionResponse {} =
            self.client.call(Operation::AbortTransaction, &request).await?;
        Ok(())
    }

    async fn write(&self, row: RowWrite) -> Result<Written, Error> {
        self.client.write_row(&self.table, &row, Some(&self.id)).await
    }
}
