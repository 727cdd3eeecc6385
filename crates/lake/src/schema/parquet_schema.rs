//! A schema as the Parquet writer wants it: Arrow types, and how each column is written.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use lakeferry_model::delivery::{Compression, Encoding};
use parquet::basic::{Compression as ParquetCompression, Encoding as ParquetEncoding};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::{ColumnKind, ObjectSchema};

/// Rows of a row group at most.
const ROW_GROUP_ROWS_MAX: usize = 1024 * 1024;
/// Encoded bytes of a row group at most, about; what a reader of one whole row group needs in memory.
const ROW_GROUP_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of a page before compression, about. The writer copies each page a few times: what stays in a core's cache
/// and with the allocator costs a fraction of what is fetched from the system for each page.
const PAGE_BYTES_MAX: usize = 128 * 1024;

/// Who wrote an object, in the form that Parquet's own reader takes apart. What it cannot, it holds for one of its
/// early versions: it then leaves out statistics of bytes (PARQUET-251), and refuses DELTA_BYTE_ARRAY (PARQUET-246).
pub(crate) const CREATED_BY: &str = concat!("lakeferry version ", env!("CARGO_PKG_VERSION"));

/// The Arrow schema of the batches that become an object.
pub fn arrow_schema(schema: &ObjectSchema) -> SchemaRef {
    let fields: Vec<ArrowField> = schema
        .columns()
        .iter()
        .map(|column| ArrowField::new(&column.target, column.kind.arrow_type(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// How an object of this schema is written. Whoever measures the encoder against the bare writer takes the
/// same settings from here. The metadata becomes the object's key-value metadata.
pub fn writer_properties(
    schema: &ObjectSchema,
    compression: Compression,
    metadata: &[(String, String)],
) -> WriterProperties {
    let metadata = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_writer_version(writer_version(schema))
        .set_compression(match compression {
            Compression::Snappy => ParquetCompression::SNAPPY,
            Compression::None => ParquetCompression::UNCOMPRESSED,
        })
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_key_value_metadata(Some(metadata));
    for column in schema.columns() {
        let path = ColumnPath::new(vec![column.target.clone()]);
        properties = match column.encoding {
            Encoding::Plain => properties.set_column_encoding(path, ParquetEncoding::PLAIN),
            // The dictionary gives way to PLAIN by itself when there are too many values for it.
            Encoding::PlainDictionary => properties
                .set_column_dictionary_enabled(path.clone(), true)
                .set_column_encoding(path, ParquetEncoding::PLAIN),
            Encoding::DeltaBinaryPacked => {
                properties.set_column_encoding(path, ParquetEncoding::DELTA_BINARY_PACKED)
            }
            Encoding::DeltaByteArray => {
                properties.set_column_encoding(path, ParquetEncoding::DELTA_BYTE_ARRAY)
            }
            Encoding::DeltaLengthByteArray => {
                properties.set_column_encoding(path, ParquetEncoding::DELTA_LENGTH_BYTE_ARRAY)
            }
        };
    }
    properties.build()
}

/// Pages of the first version, which every reader knows, unless a column needs the second: only there a value of
/// fixed length can have a dictionary. The version is one for all columns of an object.
fn writer_version(schema: &ObjectSchema) -> WriterVersion {
    let needs_second = schema
        .columns()
        .iter()
        .any(|column| column.encoding == Encoding::PlainDictionary && column.kind.has_fixed_length());
    if needs_second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 }
}

impl ColumnKind {
    /// The Arrow type that is written as this type.
    pub(crate) fn arrow_type(self) -> DataType {
        // Timestamps are instants, which Parquet writes as adjusted to UTC.
        let utc = || Some(Arc::from("UTC"));
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Utf8 => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::TimeMillis => DataType::Time32(TimeUnit::Millisecond),
            Self::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
            Self::TimestampMillis => DataType::Timestamp(TimeUnit::Millisecond, utc()),
            Self::TimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, utc()),
            Self::Float => DataType::Float32,
            Self::Int32 => DataType::Int32,
            Self::Decimal { precision, scale } => {
                let scale = i8::try_from(scale).expect("a scale is at most 38");
                DataType::Decimal128(precision, scale)
            }
        }
    }
}
