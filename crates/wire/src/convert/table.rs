//! Tables: making, changing and describing them.

use std::collections::HashSet;

use bytes::Bytes;
use lakeferry_model::{
    DefinedColumn, DefinedKind, IndexSpec, KeyColumn, KeyKind, KeyValue, Micros, ReservedThroughput,
    StreamSpec, TableName, TableOptions, TableSchema, Value, ValueKind, Violation, check_column_name,
    check_index_count, limits,
};

use super::enum_value;
use super::index::{IndexDescription, described_index, index_spec};
use super::read::check_columns_to_get_count;
use crate::capacity;
use crate::plain_buffer::encode;
use crate::plain_buffer::variant::{self, Variant};
use crate::proto;

/// A table to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTable {
    /// Its name and columns; checked.
    pub schema: TableSchema,
    /// Its options, defaults filled in.
    pub options: TableOptions,
    /// Its reserved throughput.
    pub throughput: ReservedThroughput,
    /// Its stream, if it begins with one.
    pub stream: Option<StreamSpec>,
    /// The values of the first primary key column at which it is split from the start; rising.
    pub split_points: Vec<KeyValue>,
    /// The secondary indexes to be made with it.
    pub indexes: Vec<IndexSpec>,
    /// Whether it is to be encrypted at rest.
    pub encrypted: bool,
}

/// A change of a table. What is `None` stays.
#[derive(Debug, Clone, PartialEq)]
pub struct TableChange {
    /// The table.
    pub table: TableName,
    /// Reserved read capacity units.
    pub read_throughput: Option<i32>,
    /// Reserved write capacity units.
    pub write_throughput: Option<i32>,
    /// Its options.
    pub options: OptionsUpdate,
    /// Its stream.
    pub stream: Option<StreamUpdate>,
}

/// A change of a table's options. What is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OptionsUpdate {
    /// Seconds that cells live; the inner `None` is for ever.
    pub time_to_live_s: Option<Option<u32>>,
    /// Versions kept of a column.
    pub versions_max: Option<u32>,
    /// Seconds that an explicit timestamp may lie away from the server's time.
    pub deviation_s: Option<i64>,
    /// Whether UpdateRow is allowed.
    pub allow_update: Option<bool>,
    /// Whether UpdateRow writes whole rows.
    pub update_full_row: Option<bool>,
}

/// A change of a table's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamUpdate {
    /// Ends it.
    Off,
    /// Begins it, or changes it.
    On(StreamSpec),
}

/// A table as it is described to whoever asks.
#[derive(Debug, Clone)]
pub struct TableDescription<'a> {
    /// Its name and columns.
    pub schema: &'a TableSchema,
    /// Its options.
    pub options: &'a TableOptions,
    /// Its reserved throughput.
    pub throughput: ReservedThroughput,
    /// When that was set last.
    pub throughput_set_at: Micros,
    /// Its stream, if it has one.
    pub stream: Option<StreamDescription<'a>>,
    /// The values of the first primary key column between its partitions, rising.
    pub split_points: &'a [KeyValue],
    /// Its secondary indexes.
    pub indexes: &'a [IndexDescription<'a>],
    /// When it was made.
    pub created_at: Micros,
}

/// A stream as it is described to whoever asks.
#[derive(Debug, Clone)]
pub struct StreamDescription<'a> {
    /// The stream's id.
    pub id: &'a str,
    /// What its table's owner asked for.
    pub spec: &'a StreamSpec,
    /// When it was switched on last.
    pub enabled_at: Micros,
}

impl OptionsUpdate {
    /// The options with this change.
    pub fn apply(&self, options: &TableOptions) -> TableOptions {
        TableOptions {
            time_to_live_s: self.time_to_live_s.unwrap_or(options.time_to_live_s),
            versions_max: self.versions_max.unwrap_or(options.versions_max),
            deviation_s: self.deviation_s.unwrap_or(options.deviation_s),
            allow_update: self.allow_update.unwrap_or(options.allow_update),
            update_full_row: self.update_full_row.unwrap_or(options.update_full_row),
            local_transactions: options.local_transactions,
        }
    }
}

/// Takes a CreateTable.
///
/// # Errors
/// The first broken rule.
pub fn create_table(request: &proto::CreateTableRequest) -> Result<NewTable, Violation> {
    let schema = read_table_meta(&request.table_meta)?;
    schema.check()?;
    let [read, write] = throughput(&request.reserved_throughput)?;
    let options = request.table_options.as_ref().map(options_update).transpose()?.unwrap_or_default();
    let stream = match request.stream_spec.as_ref().map(stream_update).transpose()? {
        Some(StreamUpdate::On(spec)) => Some(spec),
        Some(StreamUpdate::Off) | None => None,
    };
    let first_kind = schema.primary_key.first().map(|column| column.kind);
    let split_points = match first_kind {
        Some(kind) => split_points(&request.partitions, kind)?,
        None => Vec::new(),
    };
    let indexes = indexes(&request.index_metas, &schema)?;
    Ok(NewTable {
        options: TableOptions {
            local_transactions: request.enable_local_txn.unwrap_or(true),
            ..options.apply(&TableOptions::default())
        },
        throughput: ReservedThroughput { read: read.unwrap_or(0), write: write.unwrap_or(0) },
        stream,
        split_points,
        indexes,
        encrypted: request.sse_spec.as_ref().is_some_and(|spec| spec.enable),
        schema,
    })
}

/// Takes an UpdateTable.
///
/// # Errors
/// The first broken rule.
pub fn update_table(request: &proto::UpdateTableRequest) -> Result<TableChange, Violation> {
    let table = TableName::parse(&request.table_name)?;
    let [read_throughput, write_throughput] =
        request.reserved_throughput.as_ref().map(throughput).transpose()?.unwrap_or_default();
    if request.table_options.is_some_and(|options| options.update_full_row.is_some()) {
        return Err(Violation::parameter("The options of UpdateTable must not contain updateFullRow."));
    }
    let options = request.table_options.as_ref().map(options_update).transpose()?.unwrap_or_default();
    let stream = request.stream_spec.as_ref().map(stream_update).transpose()?;
    Ok(TableChange { table, read_throughput, write_throughput, options, stream })
}

/// Describes a table, with everything that some client cannot do without.
pub fn describe_table(table: &TableDescription<'_>) -> proto::DescribeTableResponse {
    // Not as the request has them: the Java SDK reads a key here, though of the first column alone.
    let first = table.schema.primary_key.first().map_or("", |column| &column.name);
    let split_points = table.split_points.iter().map(|point| encode::key([(first, point.as_ref())]));
    proto::DescribeTableResponse {
        table_meta: table_meta(table.schema),
        reserved_throughput_details: throughput_details(table.throughput, table.throughput_set_at),
        table_options: table_options(table.options),
        table_status: proto::TableStatus::Active.into(),
        stream_details: Some(stream_details(table.stream.as_ref())),
        shard_splits: split_points.collect(),
        sse_details: None,
        index_metas: table.indexes.iter().map(described_index).collect(),
        creation_time: Some(table.created_at),
    }
}

/// Describes a table after its change: the complete state, not only what changed.
pub fn update_table_response(table: &TableDescription<'_>) -> proto::UpdateTableResponse {
    proto::UpdateTableResponse {
        reserved_throughput_details: throughput_details(table.throughput, table.throughput_set_at),
        table_options: table_options(table.options),
        stream_details: Some(stream_details(table.stream.as_ref())),
    }
}

/// A CreateTable request, for clients.
pub fn create_table_request(
    schema: &TableSchema,
    options: &TableOptions,
    throughput: ReservedThroughput,
    stream: Option<&StreamSpec>,
) -> proto::CreateTableRequest {
    proto::CreateTableRequest {
        table_meta: table_meta(schema),
        reserved_throughput: proto::ReservedThroughput { capacity_unit: capacity::reserved(throughput) },
        table_options: Some(proto::TableOptions {
            update_full_row: options.update_full_row.then_some(true),
            ..table_options_of_request(options)
        }),
        enable_local_txn: (!options.local_transactions).then_some(false),
        stream_spec: stream.map(|spec| proto::StreamSpecification {
            enable_stream: true,
            expiration_time: Some(spec.expiration_hours),
            columns_to_get: spec.origin_columns.clone(),
        }),
        ..Default::default()
    }
}

/// The ranges that split a table at these points, which must rise; none for none. For clients.
pub fn partition_ranges(split_points: &[KeyValue]) -> Vec<proto::PartitionRange> {
    if split_points.is_empty() {
        return Vec::new();
    }
    let points = split_points.iter().map(|point| variant::encode(point.as_ref()));
    let begins = std::iter::once(variant::encode_variant(&Variant::InfMin)).chain(points.clone());
    let ends = points.chain([variant::encode_variant(&Variant::InfMax)]);
    begins.zip(ends).map(|(begin, end)| proto::PartitionRange { begin, end }).collect()
}

/// A table's name and columns.
pub fn table_meta(schema: &TableSchema) -> proto::TableMeta {
    proto::TableMeta {
        table_name: schema.name.as_str().to_owned(),
        primary_key: schema.primary_key.iter().map(key_column_message).collect(),
        defined_column: schema.defined_columns.iter().map(defined_column_message).collect(),
        ..Default::default()
    }
}

/// Takes a table's name and columns, their kinds checked, but not what [`TableSchema::check`] checks.
///
/// # Errors
/// The name or a kind is none.
pub fn read_table_meta(meta: &proto::TableMeta) -> Result<TableSchema, Violation> {
    Ok(TableSchema {
        name: TableName::parse(&meta.table_name)?,
        primary_key: meta.primary_key.iter().map(key_column).collect::<Result<_, _>>()?,
        defined_columns: meta.defined_column.iter().map(defined_column).collect::<Result<_, _>>()?,
    })
}

/// All options, as answers carry them.
pub fn table_options(options: &TableOptions) -> proto::TableOptions {
    proto::TableOptions {
        update_full_row: Some(options.update_full_row),
        ..table_options_of_request(options)
    }
}

/// Takes the options out of an answer; what is missing has its default.
///
/// # Errors
/// A value that no option can have.
pub fn read_table_options(options: &proto::TableOptions) -> Result<TableOptions, Violation> {
    Ok(options_update(options)?.apply(&TableOptions::default()))
}

/// Reserved throughput, as answers carry it.
pub fn throughput_details(
    throughput: ReservedThroughput,
    set_at: Micros,
) -> proto::ReservedThroughputDetails {
    let set_at_s = set_at.div_euclid(1_000_000);
    proto::ReservedThroughputDetails {
        capacity_unit: capacity::reserved(throughput),
        last_increase_time: set_at_s,
        last_decrease_time: Some(set_at_s),
    }
}

/// A stream, as answers carry it; they carry it also where there is none.
pub fn stream_details(stream: Option<&StreamDescription<'_>>) -> proto::StreamDetails {
    let Some(StreamDescription { id, spec, enabled_at }) = stream else {
        return proto::StreamDetails::default();
    };
    proto::StreamDetails {
        enable_stream: true,
        stream_id: Some((*id).to_owned()),
        expiration_time: Some(spec.expiration_hours),
        last_enable_time: Some(*enabled_at),
        column_to_get: spec.origin_columns.clone(),
    }
}

/// The options that requests can carry: all but the one that UpdateTable refuses.
fn table_options_of_request(options: &TableOptions) -> proto::TableOptions {
    let forever = -1;
    let seconds = |seconds| i32::try_from(seconds).unwrap_or(i32::MAX);
    proto::TableOptions {
        time_to_live: Some(options.time_to_live_s.map_or(forever, seconds)),
        max_versions: Some(i32::try_from(options.versions_max).unwrap_or(i32::MAX)),
        deviation_cell_version_in_sec: Some(options.deviation_s),
        allow_update: Some(options.allow_update),
        ..Default::default()
    }
}

/// The shortest time that cells can live, in seconds.
const TIME_TO_LIVE_S_MIN: u32 = 86_400;
/// The longest distance of timestamps, in seconds.
const DEVIATION_S_MAX: i64 = i64::MAX / 1_000_000;
/// Reserved capacity units at most.
const THROUGHPUT_MAX: i32 = 5000;
/// Hours that stream records stay readable if the request does not say.
const STREAM_EXPIRATION_HOURS: i32 = 24;

fn options_update(options: &proto::TableOptions) -> Result<OptionsUpdate, Violation> {
    let time_to_live_s = options.time_to_live.map(|seconds| match u32::try_from(seconds) {
        Ok(seconds @ TIME_TO_LIVE_S_MIN..) => Ok(Some(seconds)),
        Err(_) if seconds == -1 => Ok(None),
        _ => Err(Violation::parameter(format!(
            "The time to live must be -1 or at least {TIME_TO_LIVE_S_MIN} seconds."
        ))),
    });
    let versions_max = options.max_versions.map(|versions| match u32::try_from(versions) {
        Ok(versions @ 1..) => Ok(versions),
        _ => Err(Violation::parameter("The max versions must be greater than 0.")),
    });
    let deviation_s = options.deviation_cell_version_in_sec.map(|seconds| match seconds {
        1..=DEVIATION_S_MAX => Ok(seconds),
        _ => Err(Violation::parameter(format!(
            "The deviation of cell versions must be in range: [1, {DEVIATION_S_MAX}]."
        ))),
    });
    Ok(OptionsUpdate {
        time_to_live_s: time_to_live_s.transpose()?,
        versions_max: versions_max.transpose()?,
        deviation_s: deviation_s.transpose()?,
        allow_update: options.allow_update,
        update_full_row: options.update_full_row,
    })
}

fn throughput(throughput: &proto::ReservedThroughput) -> Result<[Option<i32>; 2], Violation> {
    let proto::CapacityUnit { read, write } = throughput.capacity_unit;
    for units in [read, write].into_iter().flatten() {
        if !(0..=THROUGHPUT_MAX).contains(&units) {
            return Err(Violation::parameter(format!(
                "The reserved throughput must be in range: [0, {THROUGHPUT_MAX}]."
            )));
        }
    }
    Ok([read, write])
}

fn stream_update(spec: &proto::StreamSpecification) -> Result<StreamUpdate, Violation> {
    if !spec.enable_stream {
        return Ok(StreamUpdate::Off);
    }
    let expiration_hours = spec.expiration_time.unwrap_or(STREAM_EXPIRATION_HOURS);
    if expiration_hours <= 0 {
        return Err(Violation::parameter("The expiration time of a stream must be greater than 0."));
    }
    check_columns_to_get_count(spec.columns_to_get.len())?;
    let mut seen = HashSet::with_capacity(spec.columns_to_get.len());
    for name in &spec.columns_to_get {
        check_column_name(name)?;
        if !seen.insert(name) {
            return Err(Violation::parameter(format!("Column '{name}' is named twice.")));
        }
    }
    Ok(StreamUpdate::On(StreamSpec { expiration_hours, origin_columns: spec.columns_to_get.clone() }))
}

fn key_column(column: &proto::PrimaryKeySchema) -> Result<KeyColumn, Violation> {
    let kind = match enum_value("primary key type", column.r#type)? {
        proto::PrimaryKeyType::Integer => KeyKind::Integer,
        proto::PrimaryKeyType::String => KeyKind::String,
        proto::PrimaryKeyType::Binary => KeyKind::Binary,
        proto::PrimaryKeyType::Boolean => {
            return Err(Violation::parameter("BOOLEAN is an invalid type for the primary key."));
        }
    };
    let option = column.option.map(|option| enum_value("primary key option", option)).transpose()?;
    let auto_increment = option == Some(proto::PrimaryKeyOption::AutoIncrement);
    Ok(KeyColumn { name: column.name.clone(), kind, auto_increment })
}

pub(super) fn key_column_message(column: &KeyColumn) -> proto::PrimaryKeySchema {
    let kind = match column.kind {
        KeyKind::Integer => proto::PrimaryKeyType::Integer,
        KeyKind::String => proto::PrimaryKeyType::String,
        KeyKind::Binary => proto::PrimaryKeyType::Binary,
    };
    // One SDK fails on the option of any other column, whatever its value.
    let option = column.auto_increment.then_some(proto::PrimaryKeyOption::AutoIncrement.into());
    proto::PrimaryKeySchema { name: column.name.clone(), r#type: kind.into(), option }
}

pub(super) fn defined_column(column: &proto::DefinedColumnSchema) -> Result<DefinedColumn, Violation> {
    let kind = match enum_value("defined column type", column.r#type)? {
        proto::DefinedColumnType::Integer => ValueKind::Integer,
        proto::DefinedColumnType::Double => ValueKind::Double,
        proto::DefinedColumnType::Boolean => ValueKind::Boolean,
        proto::DefinedColumnType::String => ValueKind::String,
        proto::DefinedColumnType::Blob => ValueKind::Binary,
    };
    Ok(DefinedColumn { name: column.name.clone(), kind: DefinedKind(kind) })
}

pub(super) fn defined_column_message(column: &DefinedColumn) -> proto::DefinedColumnSchema {
    let kind = match column.kind.0 {
        ValueKind::Integer => proto::DefinedColumnType::Integer,
        ValueKind::Double => proto::DefinedColumnType::Double,
        ValueKind::Boolean => proto::DefinedColumnType::Boolean,
        ValueKind::String => proto::DefinedColumnType::String,
        ValueKind::Binary => proto::DefinedColumnType::Blob,
    };
    proto::DefinedColumnSchema { name: column.name.clone(), r#type: kind.into() }
}

fn indexes(metas: &[proto::IndexMeta], schema: &TableSchema) -> Result<Vec<IndexSpec>, Violation> {
    check_index_count(metas.len())?;
    let indexes = metas.iter().map(index_spec).collect::<Result<Vec<_>, _>>()?;
    indexes.iter().try_for_each(|index| index.check(schema))?;
    Ok(indexes)
}

fn split_points(ranges: &[proto::PartitionRange], kind: KeyKind) -> Result<Vec<KeyValue>, Violation> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(Vec::new()) };
    if ranges.len() > limits::PARTITIONS_AT_CREATE_MAX {
        return Err(Violation::parameter(format!(
            "The count of partitions cannot be greater than {}",
            limits::PARTITIONS_AT_CREATE_MAX
        )));
    }
    let adjoin = ranges.windows(2).all(|pair| pair[0].end == pair[1].begin);
    let whole = is_variant(&first.begin, &Variant::InfMin) && is_variant(&last.end, &Variant::InfMax);
    let points =
        ranges[1..].iter().map(|range| split_point(&range.begin, kind)).collect::<Result<Vec<_>, _>>()?;
    if !adjoin || !whole || !points.is_sorted_by(|a, b| a < b) {
        return Err(Violation::parameter(
            "The partition ranges must rise, adjoin, begin with INF_MIN and end with INF_MAX.",
        ));
    }
    Ok(points)
}

fn is_variant(buffer: &Bytes, expected: &Variant) -> bool {
    variant::decode(buffer).as_ref() == Ok(expected)
}

fn split_point(buffer: &Bytes, kind: KeyKind) -> Result<KeyValue, Violation> {
    let point = match (variant::decode(buffer)?, kind) {
        (Variant::Value(Value::Integer(value)), KeyKind::Integer) => KeyValue::Integer(value),
        (Variant::Value(Value::String(value)), KeyKind::String) => KeyValue::String(value),
        (Variant::Value(Value::Binary(value)), KeyKind::Binary) => KeyValue::Binary(value),
        _ => {
            return Err(Violation::parameter("The value type of partition does not match with primary key."));
        }
    };
    let message = match &point {
        KeyValue::Integer(i64::MIN | i64::MAX) => {
            "The value of partition range can not be INT64_MIN or INT64_MAX.".to_owned()
        }
        KeyValue::String(text) if text.is_empty() => {
            "The value of partition range can not be empty string.".to_owned()
        }
        KeyValue::Binary(bytes) if bytes.is_empty() => {
            "The value of partition range can not be empty binary.".to_owned()
        }
        KeyValue::String(_) | KeyValue::Binary(_) if point.size() > limits::SPLIT_POINT_BYTES_MAX => format!(
            "The value of partition range exceeds the MaxLength:{} with CurrentLength:{}.",
            limits::SPLIT_POINT_BYTES_MAX,
            point.size()
        ),
        KeyValue::Integer(_) | KeyValue::String(_) | KeyValue::Binary(_) => return Ok(point),
    };
    Err(Violation::parameter(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Message;

    fn schema() -> TableSchema {
        let key = |name: &str, kind| KeyColumn { name: name.to_owned(), kind, auto_increment: false };
        let defined = |name: &str, kind| DefinedColumn { name: name.to_owned(), kind: DefinedKind(kind) };
        TableSchema {
            name: TableName::parse("t").unwrap(),
            primary_key: vec![
                key("a", KeyKind::String),
                key("b", KeyKind::Binary),
                KeyColumn { auto_increment: true, ..key("c", KeyKind::Integer) },
            ],
            defined_columns: vec![
                defined("i", ValueKind::Integer),
                defined("d", ValueKind::Double),
                defined("o", ValueKind::Boolean),
                defined("s", ValueKind::String),
                defined("x", ValueKind::Binary),
            ],
        }
    }

    fn request() -> proto::CreateTableRequest {
        create_table_request(&schema(), &TableOptions::default(), ReservedThroughput::default(), None)
    }

    fn message(change: impl FnOnce(&mut proto::CreateTableRequest)) -> String {
        let mut request = request();
        change(&mut request);
        create_table(&request).unwrap_err().message
    }

    #[test]
    fn a_table_comes_back_as_it_was_asked_for() {
        let options = TableOptions {
            time_to_live_s: Some(i32::MAX.unsigned_abs()),
            versions_max: i32::MAX.unsigned_abs(),
            deviation_s: DEVIATION_S_MAX,
            allow_update: false,
            update_full_row: true,
            local_transactions: false,
        };
        let throughput = ReservedThroughput { read: 1, write: 2 };
        let stream =
            StreamSpec { expiration_hours: 168, origin_columns: vec!["s".to_owned(), "d".to_owned()] };
        let request = create_table_request(&schema(), &options, throughput, Some(&stream));
        let request = proto::CreateTableRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        let table = create_table(&request).unwrap();
        assert_eq!((&table.schema, &table.options), (&schema(), &options));
        assert_eq!((table.throughput, table.stream.as_ref()), (throughput, Some(&stream)));
        assert!(table.split_points.is_empty());

        let described = describe_table(&TableDescription {
            schema: &table.schema,
            options: &table.options,
            throughput,
            throughput_set_at: 2_000_000,
            stream: Some(StreamDescription { id: "id", spec: &stream, enabled_at: 3 }),
            split_points: &[],
            indexes: &[],
            created_at: 4,
        });
        assert_eq!(read_table_meta(&described.table_meta).unwrap(), schema());
        // Whether transactions are allowed is told to nobody.
        let told = TableOptions { local_transactions: true, ..options };
        assert_eq!(read_table_options(&described.table_options).unwrap(), told);
        assert_eq!(described.table_options.update_full_row, Some(true));
        assert_eq!(described.reserved_throughput_details.last_increase_time, 2);
        assert_eq!(described.stream_details.unwrap().column_to_get, ["s", "d"]);
        assert_eq!(described.creation_time, Some(4));
    }

    #[test]
    fn only_auto_increment_columns_carry_an_option() {
        let options: Vec<_> = table_meta(&schema()).primary_key.iter().map(|column| column.option).collect();
        assert_eq!(options, [None, None, Some(1)]);
    }

    #[test]
    fn a_table_without_a_stream_says_so() {
        let details = stream_details(None);
        assert_eq!(details.encode_to_vec(), [0x08, 0x00], "enable_stream is there, and nothing else");
    }

    #[test]
    fn options_that_are_left_out_have_their_defaults() {
        let mut request = request();
        request.table_options = None;
        assert_eq!(create_table(&request).unwrap().options, TableOptions::default());
        let wire = table_options(&TableOptions::default());
        assert_eq!((wire.time_to_live, wire.max_versions), (Some(-1), Some(1)));
        assert_eq!((wire.deviation_cell_version_in_sec, wire.allow_update), (Some(86_400), Some(true)));
    }

    #[test]
    fn options_out_of_their_limits_are_refused() {
        let with =
            |options| move |request: &mut proto::CreateTableRequest| request.table_options = Some(options);
        for time_to_live in [Some(0), Some(-2), Some(86_399)] {
            let options = proto::TableOptions { time_to_live, ..Default::default() };
            assert!(message(with(options)).contains("time to live"), "{time_to_live:?}");
        }
        let options = proto::TableOptions { max_versions: Some(0), ..Default::default() };
        assert!(message(with(options)).contains("max versions"));
        let options = proto::TableOptions { deviation_cell_version_in_sec: Some(0), ..Default::default() };
        assert!(message(with(options)).contains("deviation"));
    }

    #[test]
    fn a_table_needs_a_good_name_and_good_columns() {
        assert_eq!(message(|r| r.table_meta.table_name = "1".to_owned()), "Invalid table name: '1'.");
        assert_eq!(
            message(|r| r.table_meta.primary_key[0].name = "#".to_owned()),
            "Invalid column name: '#'."
        );
        let boolean = message(|r| r.table_meta.primary_key[0].r#type = 5);
        assert_eq!(boolean, "BOOLEAN is an invalid type for the primary key.");
        assert_eq!(message(|r| r.table_meta.defined_column[0].r#type = 9), "Invalid defined column type: 9.");
        let none = message(|r| r.table_meta.primary_key.clear());
        assert_eq!(none, "The number of primary key columns must be in range: [1, 4].");
    }

    #[test]
    fn an_update_changes_only_what_it_names() {
        let mut request = proto::UpdateTableRequest { table_name: "t".to_owned(), ..Default::default() };
        let change = update_table(&request).unwrap();
        assert_eq!((change.options, change.stream), (OptionsUpdate::default(), None));
        request.table_options = Some(proto::TableOptions { max_versions: Some(3), ..Default::default() });
        request.stream_spec = Some(proto::StreamSpecification::default());
        let change = update_table(&request).unwrap();
        let options = TableOptions { versions_max: 3, ..TableOptions::default() };
        assert_eq!(change.options.apply(&TableOptions::default()), options);
        assert_eq!(change.stream, Some(StreamUpdate::Off));
        request.table_options =
            Some(proto::TableOptions { update_full_row: Some(true), ..Default::default() });
        assert!(update_table(&request).unwrap_err().message.contains("contain updateFullRow"));
    }

    fn split(points: &[KeyValue]) -> Result<Vec<KeyValue>, String> {
        let mut request = request();
        request.partitions = partition_ranges(points);
        create_table(&request).map(|table| table.split_points).map_err(|violation| violation.message)
    }

    #[test]
    fn a_table_can_be_split_from_the_start() {
        let text = |text: &str| KeyValue::String(text.into());
        let points = [text("b"), text("c")];
        assert_eq!(split(&points).unwrap(), points);
        assert_eq!(split(&[]).unwrap(), []);
        let refusal = |points: &[KeyValue]| split(points).unwrap_err();
        assert_eq!(refusal(&[text("")]), "The value of partition range can not be empty string.");
        assert_eq!(
            refusal(&[KeyValue::Integer(1)]),
            "The value type of partition does not match with primary key."
        );
        assert_eq!(
            refusal(&[text(&"x".repeat(65))]),
            "The value of partition range exceeds the MaxLength:64 with CurrentLength:65."
        );
        let many: Vec<_> = (0..10).map(|i| text(&format!("p{i}"))).collect();
        assert_eq!(refusal(&many), "The count of partitions cannot be greater than 10");
        assert_eq!(split(&many[..9]).unwrap().len(), 9);
        assert!(refusal(&[text("c"), text("b")]).contains("must rise"));
        assert!(refusal(&[text("b"), text("b")]).contains("must rise"));
        let torn = message(|request| {
            request.partitions = partition_ranges(&[text("b"), text("c")]);
            request.partitions.remove(1);
        });
        assert!(torn.contains("adjoin"));
    }
}
