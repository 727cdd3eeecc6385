//! Calls for tables.

use lakeferry_model::{
    KeyKind, KeyValue, Micros, ReservedThroughput, StreamSpec, TableOptions, TableSchema, ValueKind,
};
use lakeferry_wire::convert::{partition_ranges, read_table_meta, read_table_options};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::decode_row;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::index::{DescribedIndex, Index};
use crate::row::{IntoKeyValue, Key};
use crate::transport::Client;

/// What is set alike when a table is made and when it is changed.
macro_rules! option_setters {
    () => {
        /// Keeps so many versions of each column.
        #[must_use]
        pub fn versions_max(mut self, versions: u32) -> Self {
            self.options().max_versions = Some(i32::try_from(versions).unwrap_or(i32::MAX));
            self
        }

        /// Lets explicit timestamps lie so many seconds away from the server's time.
        #[must_use]
        pub fn deviation_s(mut self, seconds: i64) -> Self {
            self.options().deviation_cell_version_in_sec = Some(seconds);
            self
        }

        /// Whether single columns of a row can be changed; else rows are put and deleted whole.
        #[must_use]
        pub fn allow_update(mut self, allowed: bool) -> Self {
            self.options().allow_update = Some(allowed);
            self
        }
    };
}
pub(crate) use option_setters;

/// A table to be made. The server checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    request: proto::CreateTableRequest,
}

/// A table as it is described.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedTable {
    /// Its name and columns.
    pub schema: TableSchema,
    /// Its options.
    pub options: TableOptions,
    /// Its reserved throughput.
    pub throughput: ReservedThroughput,
    /// Its stream, if it has one.
    pub stream: Option<DescribedStream>,
    /// The values of the first primary key column between its partitions, rising.
    pub split_points: Vec<KeyValue>,
    /// When it was made; `None` if the server does not say.
    pub created_at: Option<Micros>,
    /// Its secondary indexes.
    pub indexes: Vec<DescribedIndex>,
}

/// A stream as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedStream {
    /// Its id.
    pub id: String,
    /// What its table's owner asked for.
    pub spec: StreamSpec,
    /// When it was switched on last.
    pub enabled_at: Micros,
}

impl CreateTable {
    /// A table without columns yet, kept for ever, one version of each column.
    pub fn new(name: impl Into<String>) -> Self {
        let request = proto::CreateTableRequest {
            table_meta: proto::TableMeta { table_name: name.into(), ..Default::default() },
            reserved_throughput: proto::ReservedThroughput {
                capacity_unit: proto::CapacityUnit { read: Some(0), write: Some(0) },
            },
            table_options: Some(proto::TableOptions {
                time_to_live: Some(-1),
                max_versions: Some(1),
                ..Default::default()
            }),
            ..Default::default()
        };
        Self { request }
    }

    /// Adds a primary key column. The first one decides where rows lie; there may be four.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, kind: KeyKind) -> Self {
        let kind = match kind {
            KeyKind::Integer => proto::PrimaryKeyType::Integer,
            KeyKind::String => proto::PrimaryKeyType::String,
            KeyKind::Binary => proto::PrimaryKeyType::Binary,
        };
        let column = proto::PrimaryKeySchema { name: name.into(), r#type: kind.into(), option: None };
        self.request.table_meta.primary_key.push(column);
        self
    }

    /// Adds an integer column to the primary key whose value the server picks for each new row. It is not the
    /// first one, and there is at most one.
    #[must_use]
    pub fn auto_increment_key(mut self, name: impl Into<String>) -> Self {
        self = self.key(name, KeyKind::Integer);
        if let Some(column) = self.request.table_meta.primary_key.last_mut() {
            column.option = Some(proto::PrimaryKeyOption::AutoIncrement.into());
        }
        self
    }

    /// Declares an attribute column.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, kind: ValueKind) -> Self {
        self.request.table_meta.defined_column.push(defined_column(name.into(), kind));
        self
    }

    /// Makes an index with the table.
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.request.index_metas.push(index.into_message());
        self
    }

    /// Lets cells expire so many seconds after their timestamp.
    #[must_use]
    pub fn time_to_live_s(mut self, seconds: u32) -> Self {
        self.options().time_to_live = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        self
    }

    option_setters!();

    /// Whether local transactions are allowed on its rows.
    #[must_use]
    pub fn local_transactions(mut self, allowed: bool) -> Self {
        self.request.enable_local_txn = Some(allowed);
        self
    }

    /// Sets capacity units aside.
    #[must_use]
    pub fn throughput(mut self, throughput: ReservedThroughput) -> Self {
        let capacity_unit =
            proto::CapacityUnit { read: Some(throughput.read), write: Some(throughput.write) };
        self.request.reserved_throughput = proto::ReservedThroughput { capacity_unit };
        self
    }

    /// Begins a stream with the table.
    #[must_use]
    pub fn stream(mut self, spec: StreamSpec) -> Self {
        self.request.stream_spec = Some(stream_on(spec));
        self
    }

    /// Splits the table at these values of its first primary key column, which must rise.
    #[must_use]
    pub fn split_at<V: IntoKeyValue>(mut self, points: impl IntoIterator<Item = V>) -> Self {
        let points: Vec<KeyValue> = points.into_iter().map(IntoKeyValue::into_key_value).collect();
        self.request.partitions = partition_ranges(&points);
        self
    }

    fn options(&mut self) -> &mut proto::TableOptions {
        self.request.table_options.get_or_insert_default()
    }
}

impl Client {
    /// Makes a table. It can be used at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_table(&self, table: CreateTable) -> Result<(), Error> {
        let proto::CreateTableResponse {} = self.call(Operation::CreateTable, &table.request).await?;
        Ok(())
    }

    /// The names of all tables of the instance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_tables(&self) -> Result<Vec<String>, Error> {
        let answer: proto::ListTableResponse =
            self.call(Operation::ListTable, &proto::ListTableRequest {}).await?;
        Ok(answer.table_names)
    }

    /// Describes a table.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_table(&self, table: &str) -> Result<DescribedTable, Error> {
        let request = proto::DescribeTableRequest { table_name: table.to_owned() };
        described(self.call(Operation::DescribeTable, &request).await?)
            .map_err(|reason| Error::malformed(Operation::DescribeTable, reason))
    }

    /// Removes a table with all its rows.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_table(&self, table: &str) -> Result<(), Error> {
        let request = proto::DeleteTableRequest { table_name: table.to_owned() };
        let proto::DeleteTableResponse {} = self.call(Operation::DeleteTable, &request).await?;
        Ok(())
    }
}

/// A request's words for a stream that is on.
pub(crate) fn stream_on(spec: StreamSpec) -> proto::StreamSpecification {
    proto::StreamSpecification {
        enable_stream: true,
        expiration_time: Some(spec.expiration_hours),
        columns_to_get: spec.origin_columns,
    }
}

/// An answer's words for a stream, which it has also where there is none.
pub(crate) fn described_stream(details: Option<proto::StreamDetails>) -> Option<DescribedStream> {
    let details = details.filter(|details| details.enable_stream)?;
    Some(DescribedStream {
        id: details.stream_id.unwrap_or_default(),
        spec: StreamSpec {
            expiration_hours: details.expiration_time.unwrap_or_default(),
            origin_columns: details.column_to_get,
        },
        enabled_at: details.last_enable_time.unwrap_or_default(),
    })
}

/// An answer's words for reserved throughput.
pub(crate) fn described_throughput(details: &proto::ReservedThroughputDetails) -> ReservedThroughput {
    let proto::CapacityUnit { read, write } = details.capacity_unit;
    ReservedThroughput { read: read.unwrap_or_default(), write: write.unwrap_or_default() }
}

pub(crate) fn defined_column(name: String, kind: ValueKind) -> proto::DefinedColumnSchema {
    let kind = match kind {
        ValueKind::Integer => proto::DefinedColumnType::Integer,
        ValueKind::Double => proto::DefinedColumnType::Double,
        ValueKind::Boolean => proto::DefinedColumnType::Boolean,
        ValueKind::String => proto::DefinedColumnType::String,
        ValueKind::Binary => proto::DefinedColumnType::Blob,
    };
    proto::DefinedColumnSchema { name, r#type: kind.into() }
}

fn described(answer: proto::DescribeTableResponse) -> Result<DescribedTable, String> {
    let split_points = answer.shard_splits.iter().map(|point| match decode_row(point) {
        Ok(row) => Key::from_wire(row.key)
            .and_then(|key| key.columns().first().map(|(_, value)| value.clone()))
            .ok_or_else(|| "a split point is no value of a primary key".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    Ok(DescribedTable {
        schema: read_table_meta(&answer.table_meta).map_err(|violation| violation.message)?,
        options: read_table_options(&answer.table_options).map_err(|violation| violation.message)?,
        throughput: described_throughput(&answer.reserved_throughput_details),
        stream: described_stream(answer.stream_details),
        split_points: split_points.collect::<Result<_, _>>()?,
        created_at: answer.creation_time,
        indexes: answer.index_metas.into_iter().map(DescribedIndex::from_message).collect(),
    })
}
