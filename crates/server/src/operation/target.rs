//! Where a request's rows are read and written: in their table, or in a transaction on it.

use std::time::Instant;

use lakeferry_model::{KeyRange, PrimaryKey, RowChange, TransactionId, Violation};
use lakeferry_store::{Error, RangeLimits, RangePage, RowBuf, Table, Transaction, Written};
use lakeferry_wire::convert;

use super::Call;
use crate::error::ApiError;

/// A table, or a transaction on it.
pub enum Target {
    /// The table: what is committed, and writes that are.
    Table(Table),
    /// What the transaction leaves of the table, and writes that are committed with it.
    Transaction(Transaction),
}

impl Call {
    /// The transaction that a request names, if it names one.
    ///
    /// # Errors
    /// If the text is no id, or there is no such transaction any more.
    pub fn transaction(&self, id: Option<&str>) -> Result<Option<Transaction>, ApiError> {
        let Some(id) = convert::transaction_id(id)? else { return Ok(None) };
        Ok(Some(self.open_transaction(id)?))
    }

    /// An open transaction.
    ///
    /// # Errors
    /// If there is none of that id.
    pub fn open_transaction(&self, id: TransactionId) -> Result<Transaction, ApiError> {
        Ok(self.shared.store.transaction(&self.instance, id)?)
    }
}

impl Target {
    /// The table itself, or the transaction, which must be one on the table.
    ///
    /// # Errors
    /// If the transaction is on another table.
    pub fn new(table: Table, transaction: Option<Transaction>) -> Result<Self, ApiError> {
        match transaction {
            None => Ok(Self::Table(table)),
            Some(transaction) if transaction.table() == table.id() => Ok(Self::Transaction(transaction)),
            Some(_) => {
                let name = &table.info().schema.name;
                let message = format!("Data out of scope of transaction. It is not on the table '{name}'.");
                Err(Violation::scope(message).into())
            }
        }
    }

    /// Writes rows, each of which succeeds or fails alone.
    pub async fn write(&self, changes: Vec<RowChange>, deadline: Instant) -> Vec<Result<Written, Error>> {
        match self {
            Self::Table(table) => table.write(changes, deadline).await,
            Self::Transaction(transaction) => transaction.write(changes, deadline).await,
        }
    }

    /// Writes rows of one partition key, all or none.
    ///
    /// # Errors
    /// What the first change that failed failed on.
    pub async fn write_together(
        &self,
        changes: Vec<RowChange>,
        deadline: Instant,
    ) -> Result<Vec<Written>, Error> {
        match self {
            Self::Table(table) => table.write_together(changes, deadline).await,
            Self::Transaction(transaction) => transaction.write_together(changes, deadline).await,
        }
    }

    /// Reads rows by their keys, in the order of the keys.
    ///
    /// # Errors
    /// If they cannot be read, or lie outside the transaction.
    pub async fn get(&self, keys: &[PrimaryKey], deadline: Instant) -> Result<Vec<Option<RowBuf>>, Error> {
        match self {
            Self::Table(table) => table.get(keys, deadline).await,
            Self::Transaction(transaction) => transaction.get(keys, deadline).await,
        }
    }

    /// Reads the beginning of a range.
    ///
    /// # Errors
    /// If it cannot be read, or leaves the transaction.
    pub async fn range(
        &self,
        range: &KeyRange,
        limits: RangeLimits,
        deadline: Instant,
    ) -> Result<RangePage, Error> {
        match self {
            Self::Table(table) => table.range(range, limits, deadline).await,
            Self::Transaction(transaction) => transaction.range(range, limits, deadline).await,
        }
    }
}
