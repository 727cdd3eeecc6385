//! Calls that change a table: its options, its throughput, its stream, its declared columns.

use lakeferry_model::{ReservedThroughput, StreamSpec, TableOptions, ValueKind};
use lakeferry_wire::convert::read_table_options;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::table::option_setters;
use crate::table::{DescribedStream, defined_column, described_stream, described_throughput, stream_on};
use crate::transport::Client;

/// A change of a table. What it does not name stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateTable {
    request: proto::UpdateTableRequest,
}

/// A table after its change.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatedTable {
    /// All its options.
    pub options: TableOptions,
    /// Its reserved throughput.
    pub throughput: ReservedThroughput,
    /// Its stream, if it has one.
    pub stream: Option<DescribedStream>,
}

impl UpdateTable {
    /// No change of a table yet.
    pub fn new(table: impl Into<String>) -> Self {
        Self { request: proto::UpdateTableRequest { table_name: table.into(), ..Default::default() } }
    }

    /// Lets cells expire so many seconds after their timestamp; `None` for never.
    #[must_use]
    pub fn time_to_live_s(mut self, seconds: Option<u32>) -> Self {
        let seconds = seconds.map_or(-1, |seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
        self.options().time_to_live = Some(seconds);
        self
    }

    option_setters!();

    /// Sets read capacity units aside.
    #[must_use]
    pub fn read_throughput(mut self, units: i32) -> Self {
        self.request.reserved_throughput.get_or_insert_default().capacity_unit.read = Some(units);
        self
    }

    /// Sets write capacity units aside.
    #[must_use]
    pub fn write_throughput(mut self, units: i32) -> Self {
        self.request.reserved_throughput.get_or_insert_default().capacity_unit.write = Some(units);
        self
    }

    /// Begins a stream, or changes it.
    #[must_use]
    pub fn stream_on(mut self, spec: StreamSpec) -> Self {
        self.request.stream_spec = Some(stream_on(spec));
        self
    }

    /// Ends the stream.
    #[must_use]
    pub fn stream_off(mut self) -> Self {
        self.request.stream_spec = Some(proto::StreamSpecification::default());
        self
    }

    fn options(&mut self) -> &mut proto::TableOptions {
        self.request.table_options.get_or_insert_default()
    }
}

impl Client {
    /// Changes a table, and says how it is then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_table(&self, change: &UpdateTable) -> Result<UpdatedTable, Error> {
        let answer: proto::UpdateTableResponse = self.call(Operation::UpdateTable, &change.request).await?;
        let options = read_table_options(&answer.table_options)
            .map_err(|violation| Error::malformed(Operation::UpdateTable, violation))?;
        Ok(UpdatedTable {
            options,
            throughput: described_throughput(&answer.reserved_throughput_details),
            stream: described_stream(answer.stream_details),
        })
    }

    /// Declares attribute columns of a table.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add_defined_columns<N: Into<String>>(
        &self,
        table: &str,
        columns: impl IntoIterator<Item = (N, ValueKind)>,
    ) -> Result<(), Error> {
        let columns = columns.into_iter().map(|(name, kind)| defined_column(name.into(), kind)).collect();
        let request = proto::AddDefinedColumnRequest { table_name: table.to_owned(), columns };
        let proto::AddDefinedColumnResponse {} = self.call(Operation::AddDefinedColumn, &request).await?;
        Ok(())
    }

    /// Takes declarations back. Cells of these columns stay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_defined_columns<N: Into<String>>(
        &self,
        table: &str,
        columns: impl IntoIterator<Item = N>,
    ) -> Result<(), Error> {
        let columns = columns.into_iter().map(Into::into).collect();
        let request = proto::DeleteDefinedColumnRequest { table_name: table.to_owned(), columns };
        let proto::DeleteDefinedColumnResponse {} =
            self.call(Operation::DeleteDefinedColumn, &request).await?;
        Ok(())
    }
}
