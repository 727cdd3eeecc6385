//! Secondary indexes: making and dropping them. They are read as tables, under their own names.

use lakeferry_model::IndexKind;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::transport::Client;

/// An index to be made. The server checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    message: proto::IndexMeta,
}

/// An index as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedIndex {
    /// Its name.
    pub name: String,
    /// The key columns that were asked for; the table's others come after them.
    pub key: Vec<String>,
    /// Its attribute columns.
    pub columns: Vec<String>,
    /// How it follows its table.
    pub kind: IndexKind,
    /// Whether it has caught up with the rows from before it was made.
    pub is_ready: bool,
}

impl Index {
    /// An index by these columns of the table's key, or declared columns.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        kind: IndexKind,
        key: impl IntoIterator<Item = N>,
    ) -> Self {
        let (index_type, index_update_mode) = match kind {
            IndexKind::Global => (proto::IndexType::GlobalIndex, proto::IndexUpdateMode::AsyncIndex),
            IndexKind::Local => (proto::IndexType::LocalIndex, proto::IndexUpdateMode::SyncIndex),
        };
        let message = proto::IndexMeta {
            name: name.into(),
            primary_key: key.into_iter().map(Into::into).collect(),
            defined_column: Vec::new(),
            index_update_mode: index_update_mode.into(),
            index_type: index_type.into(),
            index_sync_phase: None,
        };
        Self { message }
    }

    /// Adds a declared column that the index holds too, so that it can be read there.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>) -> Self {
        self.message.defined_column.push(name.into());
        self
    }

    pub(crate) fn into_message(self) -> proto::IndexMeta {
        self.message
    }
}

impl DescribedIndex {
    pub(crate) fn from_message(index: proto::IndexMeta) -> Self {
        Self {
            kind: match index.index_type() {
                proto::IndexType::GlobalIndex => IndexKind::Global,
                proto::IndexType::LocalIndex => IndexKind::Local,
            },
            is_ready: index.index_sync_phase() == proto::IndexSyncPhase::Incr,
            name: index.name,
            key: index.primary_key,
            columns: index.defined_column,
        }
    }
}

impl Client {
    /// Makes an index of a table, of the rows that it has already too if `include_base_data`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_index(
        &self,
        table: &str,
        index: Index,
        include_base_data: bool,
    ) -> Result<(), Error> {
        let request = proto::CreateIndexRequest {
            main_table_name: table.to_owned(),
            index_meta: index.into_message(),
            include_base_data: Some(include_base_data),
        };
        let proto::CreateIndexResponse {} = self.call(Operation::CreateIndex, &request).await?;
        Ok(())
    }

    /// Drops an index of a table.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn drop_index(&self, table: &str, index: &str) -> Result<(), Error> {
        let request =
            proto::DropIndexRequest { main_table_name: table.to_owned(), index_name: index.to_owned() };
        let proto::DropIndexResponse {} = self.call(Operation::DropIndex, &request).await?;
        Ok(())
    }
}
