//! Reads of rows: single, in batches, and of ranges.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::filter::Patterns;
use lakeferry_model::{
    Filter, KeyBound, KeyValue, TableName, Violation, check_column_name, check_index_key_column_count,
    check_key_value, limits,
};

use super::filter::filter_among;
use super::{enum_value, read_key_values};
use crate::plain_buffer::{WireKeyValue, decode_row_to_write};
use crate::proto;
use crate::row_token::RowToken;

/// A primary key with the column names that it came with; [`lakeferry_model::TableSchema::key`] takes it.
pub type KeyColumns = Vec<(ByteString, KeyValue)>;

/// A read of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowRead {
    /// The table.
    pub table: TableName,
    /// The row.
    pub key: KeyColumns,
    /// What of it.
    pub options: ReadOptions,
}

/// The rows that a batch reads from one table.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchTableRead {
    /// The table.
    pub table: TableName,
    /// Its rows in request order. None are legal, and one may appear twice.
    pub keys: Vec<KeyColumns>,
    /// For each of the rows, where its read goes on, if it was begun before.
    pub tokens: Vec<Option<RowToken>>,
    /// What of them.
    pub options: ReadOptions,
}

/// A read of one page of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeRead {
    /// The table.
    pub table: TableName,
    /// The inclusive start with its column names; [`lakeferry_model::TableSchema::range`] takes both bounds.
    pub start: Vec<(ByteString, KeyBound)>,
    /// The exclusive end with its column names.
    pub end: Vec<(ByteString, KeyBound)>,
    /// Whether greater keys come first.
    pub backward: bool,
    /// Rows to return at most; at least 1.
    pub limit: Option<u32>,
    /// How the rows are to be answered.
    pub format: RowFormat,
    /// What of them.
    pub options: ReadOptions,
}

/// How the rows of a page are put down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// PlainBuffer, row by row with all its names, versions and timestamps.
    PlainBuffer,
    /// SimpleRowMatrix: of each column that was asked for, the newest value.
    Matrix {
        /// Whether all columns of the primary key are in it; otherwise those that were asked for.
        entire_key: bool,
    },
}

/// What a read asks of its rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadOptions {
    /// The columns to return, primary key columns among them; empty for all.
    pub columns_to_get: Vec<String>,
    /// The versions to return by their timestamps.
    pub time_range: Option<TimeRange>,
    /// The newest versions to return of each column; at least 1.
    pub versions_max: Option<u32>,
    /// The first column to return, in name order.
    pub start_column: Option<String>,
    /// The first column to return no more, in name order.
    pub end_column: Option<String>,
    /// What rows must pass, and how many of their columns are returned.
    pub filter: Option<Filter>,
    /// Where the read of one wide row goes on. In a batch, each row has its own.
    pub token: Option<RowToken>,
    /// The transaction that it belongs to.
    pub transaction_id: Option<String>,
}

/// Timestamps of cells, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRange {
    /// From the first, which it includes, to the second, which it does not.
    Between(i64, i64),
    /// Exactly this one.
    At(i64),
}

impl TimeRange {
    /// Whether a cell of this timestamp is asked for.
    pub fn contains(self, timestamp_ms: i64) -> bool {
        match self {
            Self::Between(start, end) => (start..end).contains(&timestamp_ms),
            Self::At(at) => timestamp_ms == at,
        }
    }

    /// The message, for requests.
    pub fn to_message(self) -> proto::TimeRange {
        match self {
            Self::Between(start, end) => {
                proto::TimeRange { start_time: Some(start), end_time: Some(end), specific_time: None }
            }
            Self::At(at) => proto::TimeRange { start_time: None, end_time: None, specific_time: Some(at) },
        }
    }
}

/// Takes a GetRow.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn get_row(request: proto::GetRowRequest) -> Result<RowRead, Violation> {
    let table = TableName::parse(&request.table_name)?;
    let key = key(&request.primary_key)?;
    let options = RawOptions {
        columns_to_get: request.columns_to_get,
        time_range: request.time_range,
        max_versions: request.max_versions,
        start_column: request.start_column,
        end_column: request.end_column,
        filter: request.filter,
        token: request.token,
        transaction_id: request.transaction_id,
    };
    Ok(RowRead { table, key, options: options.check(NO_VERSION_CONDITION, &mut Patterns::default())? })
}

/// Takes a BatchGetRow.
///
/// # Errors
/// The first broken rule that needs no table. It fails the batch as a whole.
pub fn batch_get_row(request: proto::BatchGetRowRequest) -> Result<Vec<BatchTableRead>, Violation> {
    if request.tables.is_empty() {
        return Err(Violation::parameter("No row specified in the request of BatchGetRow."));
    }
    let rows: usize = request.tables.iter().map(|table| table.primary_key.len()).sum();
    // Tables of which no row is asked for are legal, but not in any number.
    if rows.max(request.tables.len()) > limits::BATCH_GET_ROWS_MAX {
        return Err(Violation::parameter(format!(
            "Rows count exceeds the upper limit: {}.",
            limits::BATCH_GET_ROWS_MAX
        )));
    }
    let mut patterns = Patterns::default();
    request.tables.into_iter().map(|table| table_in_batch(table, &mut patterns)).collect()
}

/// Takes a GetRange.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn get_range(request: proto::GetRangeRequest) -> Result<RangeRead, Violation> {
    let table = TableName::parse(&request.table_name)?;
    let start = bound(&request.inclusive_start_primary_key)?;
    let end = bound(&request.exclusive_end_primary_key)?;
    let direction: proto::Direction = enum_value("direction", request.direction)?;
    let limit = request.limit.map(|limit| match u32::try_from(limit) {
        Ok(limit @ 1..) => Ok(limit),
        _ => Err(Violation::parameter("The limit must be greater than 0.")),
    });
    if request.token.is_some_and(|token| !token.is_empty()) {
        return Err(Violation::parameter(
            "The token is not one of this server's: a range's rows are answered whole.",
        ));
    }
    let options = RawOptions {
        columns_to_get: request.columns_to_get,
        time_range: request.time_range,
        max_versions: request.max_versions,
        start_column: request.start_column,
        end_column: request.end_column,
        filter: request.filter,
        token: None,
        transaction_id: request.transaction_id,
    };
    let options = options.check(NO_VERSION_CONDITION, &mut Patterns::default())?;
    let hint = request.data_block_type_hint.unwrap_or_default();
    let format = match enum_value("data block type", hint)? {
        // Without names there are no columns to put the values into; the answer tells which format it has.
        proto::DataBlockType::SimpleRowMatrix if !options.columns_to_get.is_empty() => {
            RowFormat::Matrix { entire_key: request.return_entire_primary_keys.unwrap_or(true) }
        }
        proto::DataBlockType::SimpleRowMatrix | proto::DataBlockType::PlainBuffer => RowFormat::PlainBuffer,
    };
    Ok(RangeRead {
        table,
        start,
        end,
        backward: direction == proto::Direction::Backward,
        limit: limit.transpose()?,
        format,
        options,
    })
}

/// Takes a BulkExport: a read forward of newest versions, a page at a time.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn bulk_export(request: proto::BulkExportRequest) -> Result<RangeRead, Violation> {
    let table = TableName::parse(&request.table_name)?;
    let start = bound(&request.inclusive_start_primary_key)?;
    let end = bound(&request.exclusive_end_primary_key)?;
    let hint = request.data_block_type_hint.unwrap_or(proto::DataBlockType::SimpleRowMatrix.into());
    let format = match enum_value("data block type", hint)? {
        proto::DataBlockType::SimpleRowMatrix if request.columns_to_get.is_empty() => {
            return Err(Violation::parameter("DBT_SIMPLE_ROW_MATRIX need at least one column to get."));
        }
        proto::DataBlockType::SimpleRowMatrix => RowFormat::Matrix { entire_key: false },
        proto::DataBlockType::PlainBuffer => RowFormat::PlainBuffer,
    };
    let options = RawOptions {
        columns_to_get: request.columns_to_get,
        max_versions: Some(1),
        filter: request.filter,
        ..RawOptions::default()
    };
    let options = options.check(NO_VERSION_CONDITION, &mut Patterns::default())?;
    Ok(RangeRead { table, start, end, backward: false, limit: None, format, options })
}

const NO_VERSION_CONDITION: &str = "No version condition is specified.";
const NO_VERSION_CONDITION_IN_BATCH: &str = "No version condition is specified while querying row.";

fn table_in_batch(
    table: proto::TableInBatchGetRowRequest,
    patterns: &mut Patterns,
) -> Result<BatchTableRead, Violation> {
    let name = TableName::parse(&table.table_name)?;
    let keys: Vec<KeyColumns> = table.primary_key.iter().map(key).collect::<Result<_, _>>()?;
    let mut tokens = table.token.iter().map(row_token).collect::<Result<Vec<_>, _>>()?;
    if !tokens.is_empty() && tokens.len() != keys.len() {
        return Err(Violation::parameter("The number of tokens must be that of the rows, or none."));
    }
    tokens.resize(keys.len(), None);
    let options = RawOptions {
        columns_to_get: table.columns_to_get,
        time_range: table.time_range,
        max_versions: table.max_versions,
        start_column: table.start_column,
        end_column: table.end_column,
        filter: table.filter,
        token: None,
        transaction_id: None,
    };
    let options = options.check(NO_VERSION_CONDITION_IN_BATCH, patterns)?;
    Ok(BatchTableRead { table: name, keys, tokens, options })
}

/// An empty token is none.
fn row_token(token: &Bytes) -> Result<Option<RowToken>, Violation> {
    if token.is_empty() { Ok(None) } else { RowToken::decode(token).map(Some) }
}

fn key(buffer: &Bytes) -> Result<KeyColumns, Violation> {
    let key: KeyColumns = read_key_values(decode_row_to_write(buffer)?.key)?.collect();
    key.iter().try_for_each(|(name, value)| check_key_value(name, value.as_ref()))?;
    Ok(key)
}

fn bound(buffer: &Bytes) -> Result<Vec<(ByteString, KeyBound)>, Violation> {
    let row = decode_row_to_write(buffer)?;
    check_index_key_column_count(row.key.len())?;
    let columns = row.key.into_iter().map(|(name, value)| {
        let bound = match value {
            WireKeyValue::InfMin => KeyBound::InfMin,
            WireKeyValue::InfMax => KeyBound::InfMax,
            WireKeyValue::AutoIncrement => {
                return Err(Violation::parameter(
                    "VT_AUTO_INCREMENT is an invalid type for the primary key.",
                ));
            }
            WireKeyValue::Value(value) => {
                check_key_value(&name, value.as_ref())?;
                KeyBound::Value(value)
            }
        };
        Ok((name, bound))
    });
    columns.collect()
}

/// The options as the messages spell them alike.
#[derive(Default)]
struct RawOptions {
    columns_to_get: Vec<String>,
    time_range: Option<proto::TimeRange>,
    max_versions: Option<i32>,
    start_column: Option<String>,
    end_column: Option<String>,
    filter: Option<Bytes>,
    token: Option<Bytes>,
    transaction_id: Option<String>,
}

impl RawOptions {
    fn check(self, no_version_condition: &str, patterns: &mut Patterns) -> Result<ReadOptions, Violation> {
        check_columns_to_get_count(self.columns_to_get.len())?;
        self.columns_to_get.iter().try_for_each(|name| check_column_name(name))?;
        // The original looks at the filter before the versions.
        let filter = self.filter.filter(|bytes| !bytes.is_empty());
        let filter = filter.map(|bytes| filter_among(&bytes, patterns)).transpose()?;
        let time_range = self.time_range.and_then(time_range);
        if self.max_versions.is_none() && time_range.is_none() {
            return Err(Violation::parameter(no_version_condition));
        }
        Ok(ReadOptions {
            columns_to_get: self.columns_to_get,
            time_range,
            versions_max: versions_max(self.max_versions, time_range)?,
            start_column: self.start_column,
            end_column: self.end_column,
            filter,
            token: self.token.map_or(Ok(None), |token| row_token(&token))?,
            transaction_id: self.transaction_id,
        })
    }
}

/// # Errors
/// If a request names more columns than it may.
pub(super) fn check_columns_to_get_count(count: usize) -> Result<(), Violation> {
    if count > limits::COLUMNS_TO_GET_MAX {
        return Err(Violation::parameter(format!(
            "The number of columns from the request exceeds the limit, limit count: {}, column count: {count}.",
            limits::COLUMNS_TO_GET_MAX
        )));
    }
    Ok(())
}

fn versions_max(asked: Option<i32>, time_range: Option<TimeRange>) -> Result<Option<u32>, Violation> {
    let Some(asked) = asked else { return Ok(None) };
    if matches!(time_range, Some(TimeRange::At(_))) {
        return Err(Violation::parameter("The max versions and a specific time cannot be given together."));
    }
    match u32::try_from(asked) {
        Ok(versions @ 1..) => Ok(Some(versions)),
        _ => Err(Violation::parameter("The max versions must be greater than 0.")),
    }
}

/// A message without any field asks for nothing and counts as absent.
fn time_range(message: proto::TimeRange) -> Option<TimeRange> {
    match message {
        proto::TimeRange { specific_time: Some(at), .. } => Some(TimeRange::At(at)),
        proto::TimeRange { start_time: None, end_time: None, .. } => None,
        proto::TimeRange { start_time, end_time, .. } => {
            Some(TimeRange::Between(start_time.unwrap_or(0), end_time.unwrap_or(i64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{self, bytes};
    use crate::proto::Message;
    use lakeferry_model::ValueRef;

    fn get(change: impl FnOnce(&mut proto::GetRowRequest)) -> Result<RowRead, Violation> {
        let mut request = proto::GetRowRequest {
            table_name: "t".to_owned(),
            primary_key: bytes(golden::KEY_TEXT),
            max_versions: Some(1),
            ..Default::default()
        };
        change(&mut request);
        get_row(request)
    }

    fn get_message(change: impl FnOnce(&mut proto::GetRowRequest)) -> String {
        get(change).unwrap_err().message
    }

    fn between(start: i64, end: i64) -> Option<proto::TimeRange> {
        Some(TimeRange::Between(start, end).to_message())
    }

    #[test]
    fn golden_get_row() {
        let body = bytes(golden::GET_ROW_REQUEST);
        let request = proto::GetRowRequest::decode(body.clone()).unwrap();
        assert_eq!(request.encode_to_vec(), body);
        let read = get_row(request).unwrap();
        assert_eq!(read.key, [("pk".into(), KeyValue::String("a".into()))]);
        assert_eq!(read.options.columns_to_get, ["s"]);
        assert_eq!(read.options.versions_max, Some(1));
        let condition = read.options.filter.unwrap().condition.unwrap();
        assert_eq!(condition.columns(), ["i"]);
    }

    #[test]
    fn golden_get_range() {
        let body = bytes(golden::GET_RANGE_REQUEST);
        let request = proto::GetRangeRequest::decode(body.clone()).unwrap();
        assert_eq!(request.encode_to_vec(), body);
        let read = get_range(request).unwrap();
        assert_eq!(read.start, [("pk".into(), KeyBound::InfMin)]);
        assert_eq!(read.end, [("pk".into(), KeyBound::InfMax)]);
        assert_eq!((read.limit, read.backward), (Some(10), false));
    }

    #[test]
    fn rules_are_checked_in_the_order_that_tests_know() {
        let all_wrong = |request: &mut proto::GetRowRequest| {
            request.table_name = String::new();
            request.primary_key = bytes(golden::BOUND_MAX);
            request.columns_to_get = vec!["#c".to_owned()];
            request.max_versions = None;
        };
        assert_eq!(get_message(all_wrong), "Invalid table name: ''.");
        let message = get_message(|request| {
            all_wrong(request);
            request.table_name = "t".to_owned();
        });
        assert_eq!(message, "VT_INF_MAX is an invalid type for the primary key.");
        let message = get_message(|request| {
            request.columns_to_get = vec!["#c".to_owned()];
            request.max_versions = None;
        });
        assert_eq!(message, "Invalid column name: '#c'.");
        assert_eq!(get_message(|request| request.max_versions = None), "No version condition is specified.");
        let message = get_message(|request| {
            request.max_versions = None;
            request.filter = Some(Bytes::from_static(b"no filter"));
        });
        assert!(message.starts_with("Invalid filter: "), "the filter is looked at first: {message}");
        let many = vec!["c".to_owned(); 1025];
        let message = "The number of columns from the request exceeds the limit, limit count: 1024, column count: 1025.";
        assert_eq!(get_message(|request| request.columns_to_get = many), message);
    }

    #[test]
    fn versions_are_chosen_by_number_or_time_or_both() {
        let options = |max_versions, time_range| {
            get(|request| (request.max_versions, request.time_range) = (max_versions, time_range))
                .map(|r| r.options)
        };
        assert_eq!(options(None, between(1, 5)).unwrap().time_range, Some(TimeRange::Between(1, 5)));
        assert_eq!(options(Some(1), between(1, 5)).unwrap().versions_max, Some(1));
        let at = Some(TimeRange::At(7).to_message());
        assert_eq!(options(None, at).unwrap().time_range, Some(TimeRange::At(7)));
        assert!(options(Some(1), at).is_err());
        assert!(options(Some(0), None).is_err());
        assert!(options(None, Some(proto::TimeRange::default())).is_err());
        assert!(TimeRange::Between(1, 5).contains(1) && !TimeRange::Between(1, 5).contains(5));
    }

    #[test]
    fn a_key_value_that_is_too_long_is_refused_before_the_table_is_known() {
        let text = "x".repeat(1025);
        let key = crate::plain_buffer::encode::key([("pk", ValueRef::String(&text))]);
        let message =
            "The length of primary key column: 'pk' exceeds the MaxLength:1024 with CurrentLength:1025.";
        assert_eq!(get_message(|request| request.primary_key = key), message);
    }

    #[test]
    fn a_batch_may_ask_a_table_for_nothing_but_not_nobody_for_anything() {
        let batch = |rows: &[usize], max_versions| {
            let table = |&rows: &usize| proto::TableInBatchGetRowRequest {
                table_name: "t".to_owned(),
                primary_key: vec![bytes(golden::KEY_TEXT); rows],
                token: vec![Bytes::new(); rows],
                max_versions,
                ..Default::default()
            };
            batch_get_row(proto::BatchGetRowRequest { tables: rows.iter().map(table).collect() })
        };
        assert_eq!(batch(&[0, 2], Some(1)).unwrap()[1].keys.len(), 2);
        let message = |rows: &[usize], max_versions| batch(rows, max_versions).unwrap_err().message;
        assert_eq!(message(&[], None), "No row specified in the request of BatchGetRow.");
        assert_eq!(message(&[50, 51], Some(1)), "Rows count exceeds the upper limit: 100.");
        assert_eq!(message(&[0; 101], Some(1)), "Rows count exceeds the upper limit: 100.");
        assert_eq!(message(&[1], None), "No version condition is specified while querying row.");
    }

    #[test]
    fn each_row_of_a_batch_goes_on_at_its_own_token() {
        let batch = |token: Vec<Bytes>| {
            let table = proto::TableInBatchGetRowRequest {
                table_name: "t".to_owned(),
                primary_key: vec![bytes(golden::KEY_TEXT); 2],
                token,
                max_versions: Some(1),
                ..Default::default()
            };
            batch_get_row(proto::BatchGetRowRequest { tables: vec![table] })
                .map(|mut tables| tables.remove(0).tokens)
        };
        let token = RowToken { column: "c".into(), timestamp_ms: 7 };
        assert_eq!(batch(Vec::new()), Ok(vec![None, None]));
        assert_eq!(batch(vec![Bytes::new(), token.encode()]), Ok(vec![None, Some(token.clone())]));
        assert!(batch(vec![token.encode()]).is_err(), "nobody knows which row it belongs to");
        assert!(batch(vec![Bytes::new(), Bytes::from_static(b"x")]).is_err());
        assert_eq!(get(|request| request.token = Some(token.encode())).unwrap().options.token, Some(token));
        assert_eq!(get(|request| request.token = Some(Bytes::new())).unwrap().options.token, None);
        assert!(get(|request| request.token = Some(Bytes::from_static(b"x"))).is_err());
    }

    fn export(change: impl FnOnce(&mut proto::BulkExportRequest)) -> Result<RangeRead, Violation> {
        let mut request = proto::BulkExportRequest {
            table_name: "t".to_owned(),
            columns_to_get: vec!["c".to_owned()],
            inclusive_start_primary_key: bytes(golden::BOUND_MIN),
            exclusive_end_primary_key: bytes(golden::BOUND_MAX),
            ..Default::default()
        };
        change(&mut request);
        bulk_export(request)
    }

    #[test]
    fn an_export_is_a_matrix_unless_it_asks_for_rows() {
        let read = export(|_| ()).unwrap();
        assert_eq!(read.format, RowFormat::Matrix { entire_key: false });
        assert_eq!((read.options.versions_max, read.limit, read.backward), (Some(1), None, false));
        let plain = proto::DataBlockType::PlainBuffer.into();
        let read = export(|request| {
            request.data_block_type_hint = Some(plain);
            request.columns_to_get.clear();
        });
        assert_eq!(read.unwrap().format, RowFormat::PlainBuffer);
        let violation = export(|request| request.columns_to_get.clear()).unwrap_err();
        assert_eq!(violation.message, "DBT_SIMPLE_ROW_MATRIX need at least one column to get.");
        assert!(export(|request| request.columns_to_get = vec!["c".to_owned(); 1025]).is_err());
    }

    #[test]
    fn a_range_is_a_matrix_where_its_columns_are_named() {
        let format = |columns: &[&str], entire: Option<bool>| {
            let mut request = proto::GetRangeRequest::decode(bytes(golden::GET_RANGE_REQUEST)).unwrap();
            request.data_block_type_hint = Some(proto::DataBlockType::SimpleRowMatrix.into());
            request.columns_to_get = columns.iter().map(|&name| name.to_owned()).collect();
            request.return_entire_primary_keys = entire;
            get_range(request).unwrap().format
        };
        assert_eq!(format(&["c"], None), RowFormat::Matrix { entire_key: true });
        assert_eq!(format(&["c"], Some(false)), RowFormat::Matrix { entire_key: false });
        assert_eq!(format(&[], None), RowFormat::PlainBuffer);
    }

    #[test]
    fn a_limit_of_no_rows_is_refused() {
        let mut request = proto::GetRangeRequest::decode(bytes(golden::GET_RANGE_REQUEST)).unwrap();
        for limit in [0, -1, i32::MIN] {
            request.limit = Some(limit);
            assert_eq!(get_range(request.clone()).unwrap_err().message, "The limit must be greater than 0.");
        }
    }
}
