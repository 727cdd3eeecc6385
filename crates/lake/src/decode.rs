//! Reads an object back: for checks, for the demo and for tests.
//!
//! It takes what [`ObjectEncoder`](crate::ObjectEncoder) writes, and any flat Parquet file of the same types.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::Bytes;
use lakeferry_model::{Value, ValueRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

/// What an object holds.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedObject {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// The rows, each with a value or a null for every column. Numbers of other widths come as integers and
    /// doubles, days and times as integers in their unit, decimals as text.
    pub rows: Vec<Vec<Option<Value>>>,
    /// The key-value metadata.
    pub metadata: Vec<(String, String)>,
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no Parquet file, or a broken one.
    #[error("read a parquet object")]
    Parquet(#[from] ParquetError),
    /// A batch could not be read.
    #[error("read a batch of a parquet object")]
    Batch(#[from] ArrowError),
    /// A column has a type that no delivered column has.
    #[error("column `{column}` has the type {kind}, which is never delivered")]
    Foreign {
        /// The column.
        column: String,
        /// Its type.
        kind: DataType,
    },
}

impl DecodedObject {
    /// One row as names and values.
    pub fn row(&self, at: usize) -> impl Iterator<Item = (&str, Option<&Value>)> {
        let values = self.rows.get(at).into_iter().flatten().map(Option::as_ref);
        self.columns.iter().map(String::as_str).zip(values)
    }

    /// The values of one column, top to bottom; nothing if there is no such column.
    pub fn column(&self, name: &str) -> Option<Vec<Option<&Value>>> {
        let at = self.columns.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(|row| row[at].as_ref()).collect())
    }
}

/// Reads a whole object.
///
/// # Errors
/// What is wrong with the bytes.
pub fn read_object(bytes: Bytes) -> Result<DecodedObject, DecodeError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let metadata = key_values(builder.metadata());
    let columns = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in builder.build()? {
        read_batch(&batch?, &mut rows)?;
    }
    Ok(DecodedObject { columns, rows, metadata })
}

/// Reads the key-value metadata of an object of that size from its last bytes.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn read_metadata(tail: &Bytes, object_bytes: u64) -> Result<Footer, DecodeError> {
    let mut reader = ParquetMetaDataReader::new();
    match reader.try_parse_sized(tail, object_bytes) {
        Ok(()) => Ok(Footer::Read(key_values(&reader.finish()?))),
        Err(ParquetError::NeedMoreData(bytes)) if bytes > tail.len() => Ok(Footer::Longer(bytes)),
        Err(error) => Err(error.into()),
    }
}

/// What the last bytes of an object tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Footer {
    /// The key-value metadata.
    Read(Vec<(String, String)>),
    /// That so many of its last bytes are needed.
    Longer(usize),
}

pub(crate) fn key_values(metadata: &ParquetMetaData) -> Vec<(String, String)> {
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
}

fn read_batch(batch: &RecordBatch, rows: &mut Vec<Vec<Option<Value>>>) -> Result<(), DecodeError> {
    let first = rows.len();
    rows.resize(first + batch.num_rows(), Vec::with_capacity(batch.num_columns()));
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        for (at, row) in rows[first..].iter_mut().enumerate() {
            let value = if array.is_null(at) {
                None
            } else {
                let foreign =
                    || DecodeError::Foreign { column: field.name().clone(), kind: field.data_type().clone() };
                Some(read_value(array, at).ok_or_else(foreign)?)
            };
            row.push(value);
        }
    }
    Ok(())
}

pub(crate) fn read_value(array: &dyn Array, at: usize) -> Option<Value> {
    Some(match array.data_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean().value(at)),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(at)),
        DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => ValueRef::String(array.as_string::<i32>().value(at)).to_value(),
        DataType::Binary => ValueRef::Binary(array.as_binary::<i32>().value(at)).to_value(),
        DataType::Int32 => Value::Integer(array.as_primitive::<Int32Type>().value(at).into()),
        DataType::Float32 => Value::Double(array.as_primitive::<Float32Type>().value(at).into()),
        DataType::Date32 => Value::Integer(array.as_primitive::<Date32Type>().value(at).into()),
        DataType::Time32(TimeUnit::Millisecond) => {
            Value::Integer(array.as_primitive::<Time32MillisecondType>().value(at).into())
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Value::Integer(array.as_primitive::<Time64MicrosecondType>().value(at))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Value::Integer(array.as_primitive::<TimestampMillisecondType>().value(at))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::Integer(array.as_primitive::<TimestampMicrosecondType>().value(at))
        }
        DataType::Decimal128(..) => {
            Value::String(array.as_primitive::<Decimal128Type>().value_as_string(at).into())
        }
        _ => return None,
    })
}
