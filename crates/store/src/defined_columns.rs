//! Defined columns that are added and deleted while a table lives. Rows are not touched: what they hold in a column
//! stays, whether it is declared or not.

use lakeferry_model::{DefinedColumn, InstanceName, TableName, TableSchema, Violation};

use crate::error::Error;
use crate::store::Store;
use crate::table::TableInfo;

impl Store {
    /// Declares further columns, behind those that are declared.
    ///
    /// # Errors
    /// If there is no such table, a rule is broken, or it cannot be written.
    pub async fn add_defined_columns(
        &self,
        instance: &InstanceName,
        table: &TableName,
        added: Vec<DefinedColumn>,
    ) -> Result<(), Error> {
        self.change_schema(instance, table, |info| info.schema.with_defined_columns(added)).await
    }

    /// Takes declarations back.
    ///
    /// # Errors
    /// If there is no such table or column, an index needs the column, or it cannot be written.
    pub async fn delete_defined_columns(
        &self,
        instance: &InstanceName,
        table: &TableName,
        deleted: &[String],
    ) -> Result<(), Error> {
        let change = |info: &TableInfo| {
            let indexes: Vec<_> = info.indexes.iter().map(|index| &index.spec).collect();
            info.schema.without_defined_columns(deleted, &indexes)
        };
        self.change_schema(instance, table, change).await
    }

    async fn change_schema(
        &self,
        instance: &InstanceName,
        table: &TableName,
        change: impl FnOnce(&TableInfo) -> Result<TableSchema, Violation>,
    ) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let table = self.table(instance, table)?;
        let mut info = (*table.info()).clone();
        info.schema = change(&info)?;
        self.put_info(&table, info, |_| ()).await
    }
}
