//! The documented limits of the protocol. Sizes in bytes, counts in items.

/// Primary key columns of a table.
pub const KEY_COLUMNS_MAX: usize = 4;
/// Bytes of a table, index or column name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of one string or binary primary key value.
pub const KEY_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of one string or binary attribute value.
pub const VALUE_BYTES_MAX: usize = 2_097_152;
/// Attribute cells of one written row.
pub const WRITTEN_COLUMNS_MAX: usize = 1024;
/// Names in one `columns_to_get`.
pub const COLUMNS_TO_GET_MAX: usize = 1024;
/// Tests and combinators of one filter.
pub const FILTERS_MAX: usize = 32;
/// Bytes of the pattern of one value-transfer rule.
pub const REGEX_BYTES_MAX: usize = 256;
/// Different patterns of value-transfer rules in one request; a large one counts as four.
pub const PATTERNS_MAX: usize = 32;
/// Bytes of a text that a value-transfer rule looks at, from its beginning.
pub const TRANSFERRED_BYTES_MAX: usize = 64 * 1024;
/// Rows of one BatchGetRow.
pub const BATCH_GET_ROWS_MAX: usize = 100;
/// Rows of one BatchWriteRow or BulkImport.
pub const BATCH_WRITE_ROWS_MAX: usize = 200;
/// Summed size of the rows of one BatchWriteRow.
pub const BATCH_WRITE_BYTES_MAX: usize = 4_194_304;
/// Summed size of the rows that one local transaction writes.
pub const TRANSACTION_BYTES_MAX: usize = 4_194_304;
/// Seconds after which a local transaction that is neither committed nor aborted is gone.
pub const TRANSACTION_S_MAX: u64 = 60;
/// Rows read for one GetRange page.
pub const RANGE_ROWS_MAX: usize = 5000;
/// Data of one GetRange page.
pub const RANGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Data of one row in an answer of GetRow or BatchGetRow; a wider row comes in pieces.
pub const ROW_PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Tables of one instance.
pub const TABLES_MAX: usize = 64;
/// Defined columns of a table.
pub const DEFINED_COLUMNS_MAX: usize = 32;
/// Secondary indexes of a table.
pub const INDEXES_MAX: usize = 5;
/// Primary key columns of an index: those declared, then the table's.
pub const INDEX_KEY_COLUMNS_MAX: usize = 2 * KEY_COLUMNS_MAX;
/// Ranges that CreateTable may split a table into.
pub const PARTITIONS_AT_CREATE_MAX: usize = 10;
/// Bytes of a string or binary split point.
pub const SPLIT_POINT_BYTES_MAX: usize = 64;
/// Cell timestamps are milliseconds below this.
pub const TIMESTAMP_MS_END: i64 = i64::MAX / 1000;
/// Bytes of one encoded row, all cells and versions; the default of a setting.
pub const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one HTTP request body. The largest legal batch is 4 MiB of data plus its framing.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that a capacity unit pays for.
pub const CAPACITY_UNIT_BYTES: usize = 4096;
