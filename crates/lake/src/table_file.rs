//! A table's rows as one Parquet file of any size, written and read in bounded memory: for export and import.
//!
//! Delivery has objects of its own kind ([`ObjectEncoder`](crate::ObjectEncoder)), made whole in memory with fields
//! that may be dirty. Here each column holds values of one kind exactly as they are, and a file is streamed: a
//! batch of rows at a time on the way out, and on the way in a batch of about as many bytes.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use lakeferry_model::{Value, ValueKind, ValueRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::column::{ColumnBuilder, Placed};
use crate::decode::{DecodeError, key_values, read_value};
use crate::encode::EncodeError;
use crate::schema::{CREATED_BY, ColumnKind};

/// Rows of a batch at most, and bytes of text and binaries after which a batch ends.
const BATCH_ROWS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Encoded bytes after which a row group ends: what a writer, and a reader of a whole one, need in memory.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of rows that a reader takes at a time, about.
const READ_BYTES: u64 = 4 * 1024 * 1024;

/// A row of a file: a value or nothing for each column.
pub type FileRow = Vec<Option<Value>>;

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A value is of another kind than its column, or the column has one already.
    #[error("column `{0}` cannot take the value")]
    Value(String),
    /// The rows could not be encoded or written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Writes one file.
pub struct TableFileWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    batch_rows: usize,
    batch_bytes: usize,
}

impl<W: Write + Send> TableFileWriter<W> {
    /// Begins a file with these columns, each of one kind. The metadata becomes the file's key-value metadata.
    ///
    /// # Errors
    /// What the Parquet writer has against the columns.
    pub fn new(
        out: W,
        columns: &[(String, ValueKind)],
        metadata: &[(String, String)],
    ) -> Result<Self, EncodeError> {
        let fields = columns
            .iter()
            .map(|(name, kind)| ArrowField::new(name, ColumnKind::from(*kind).arrow_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let metadata = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(metadata.collect()))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options)?;
        let columns = columns.iter().map(|(_, kind)| ColumnBuilder::new((*kind).into())).collect();
        Ok(Self { writer, schema, columns, batch_rows: 0, batch_bytes: 0 })
    }

    /// Adds a row: values with the places of their columns.
    ///
    /// # Errors
    /// A value does not fit its column, or the batch could not be written; the writer is of no use afterwards.
    pub fn push<'a>(
        &mut self,
        values: impl IntoIterator<Item = (usize, ValueRef<'a>)>,
    ) -> Result<(), WriteError> {
        for (column, value) in values {
            let refused = || WriteError::Value(self.schema.field(column).name().clone());
            // A column of binaries would take text too, as its bytes; it would not come back as text.
            let fits = self.schema.field(column).data_type() == &ColumnKind::from(value.kind()).arrow_type();
            match self.columns[column].place(self.batch_rows, value) {
                Placed::Taken(bytes) if fits => self.batch_bytes += bytes,
                Placed::Taken(_) | Placed::Dirty | Placed::Twice => return Err(refused()),
            }
        }
        self.batch_rows += 1;
        if self.batch_rows >= BATCH_ROWS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Ends the file, and gives back what it was written to, not flushed.
    ///
    /// # Errors
    /// What the Parquet writer, or what it writes to, says.
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.write_batch()?;
        Ok(self.writer.into_inner()?)
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        if self.batch_rows == 0 {
            return Ok(());
        }
        let rows = self.batch_rows;
        let arrays: Result<Vec<_>, _> = self.columns.iter_mut().map(|column| column.finish(rows)).collect();
        let arrays = arrays.map_err(EncodeError::Text)?;
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)?;
        self.batch_rows = 0;
        self.batch_bytes = 0;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }
}

/// Reads one file.
pub struct TableFileReader {
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    metadata: Vec<(String, String)>,
    row_count: u64,
}

impl TableFileReader {
    /// Opens a file. Any flat Parquet file will do, whoever wrote it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open(file: File) -> Result<Self, DecodeError> {
        // Arrow's own schema may ask for forms of the same types that would only have to be told apart again.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
        let row_groups = builder.metadata().row_groups();
        let bytes: u64 =
            row_groups.iter().map(|group| u64::try_from(group.total_byte_size()).unwrap_or(0)).sum();
        let row_count = builder.metadata().file_metadata().num_rows();
        let row_count = u64::try_from(row_count).unwrap_or(0);
        let rows = READ_BYTES / (bytes / row_count.max(1)).max(1);
        let rows = usize::try_from(rows).unwrap_or(BATCH_ROWS_MAX).clamp(1, BATCH_ROWS_MAX);
        Ok(Self {
            columns: builder.schema().fields().iter().map(|field| field.name().clone()).collect(),
            metadata: key_values(builder.metadata()),
            row_count,
            reader: builder.with_batch_size(rows).build()?,
        })
    }

    /// The names of the columns, in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The key-value metadata.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// Rows of the whole file.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The next rows; `None` at the end. Numbers of other widths come as integers and doubles, days and times as
    /// integers in their unit, decimals as text.
    ///
    /// # Errors
    /// What is wrong with the file, or that a column has a type that no value of a table has.
    pub fn next_rows(&mut self) -> Result<Option<Vec<FileRow>>, DecodeError> {
        match self.reader.next() {
            Some(batch) => rows_of(&batch?).map(Some),
            None => Ok(None),
        }
    }
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<FileRow>, DecodeError> {
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        for (at, row) in rows.iter_mut().enumerate() {
            let value = match array.is_null(at) {
                true => None,
                false => Some(any_value(array, at).ok_or_else(|| DecodeError::Foreign {
                    column: field.name().clone(),
                    kind: field.data_type().clone(),
                })?),
            };
            row.push(value);
        }
    }
    Ok(rows)
}

/// A value of a file that others wrote; nothing for a type, or an unsigned number, that no table can hold.
fn any_value(array: &dyn Array, at: usize) -> Option<Value> {
    Some(match array.data_type() {
        DataType::Int8 => Value::Integer(array.as_primitive::<Int8Type>().value(at).into()),
        DataType::Int16 => Value::Integer(array.as_primitive::<Int16Type>().value(at).into()),
        DataType::UInt8 => Value::Integer(array.as_primitive::<UInt8Type>().value(at).into()),
        DataType::UInt16 => Value::Integer(array.as_primitive::<UInt16Type>().value(at).into()),
        DataType::UInt32 => Value::Integer(array.as_primitive::<UInt32Type>().value(at).into()),
        DataType::UInt64 => Value::Integer(i64::try_from(array.as_primitive::<UInt64Type>().value(at)).ok()?),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Value::Integer(array.as_primitive::<TimestampNanosecondType>().value(at))
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            Value::Integer(array.as_primitive::<TimestampSecondType>().value(at))
        }
        DataType::FixedSizeBinary(_) => ValueRef::Binary(array.as_fixed_size_binary().value(at)).to_value(),
        _ => return read_value(array, at),
    })
}
