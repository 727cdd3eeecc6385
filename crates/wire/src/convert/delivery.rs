//! Delivery tasks: `OSSTaskConfig` into a [`TaskSpec`] and back.
//!
//! The wire cannot say how a task is tuned, what its objects' names end with, or in which zone its folders are
//! named: such a task gets the server's tuning, no suffix, and UTC, as in the original.

use lakeferry_model::delivery::{
    Destination, Encoding, EventTimeColumn, EventTimeFormat, Field, FieldKind, Mode, Phase, SchemaSpec,
    TaskError, TaskSpec, TaskStatus, Tuning,
};
use lakeferry_model::{BucketName, Micros, TableName, TaskName, Violation};

use super::enum_value;
use crate::proto;

/// A task's state, as far as the wire carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// How far its life has come.
    pub phase: Phase,
    /// Everything committed before this is in the lake; 0 while absent.
    pub sync_point: Micros,
    /// What keeps it from delivering.
    pub error: TaskError,
    /// A sentence on how it goes.
    pub detail: String,
}

/// Takes a CreateDeliveryTask. What the wire cannot say comes from `tuning`.
///
/// The prefix's grammar and the columns' types are checked where they get their meaning, not here.
///
/// # Errors
/// A name is malformed, a field that must be there is not, or an enum's value is none.
pub fn task_spec(
    request: &proto::CreateDeliveryTaskRequest,
    tuning: &Tuning,
) -> Result<(TableName, TaskSpec), Violation> {
    let table = TableName::parse(request.table_name())?;
    let name = TaskName::parse(request.task_name())?;
    let config = request.task_config.as_ref().ok_or_else(|| missing("taskConfig"))?;
    let mode = mode(request.task_type.unwrap_or_default())?;
    Ok((table, task_spec_of(name, mode, config, tuning)?))
}

/// Takes a task apart that was described or is to be made.
///
/// # Errors
/// As for [`task_spec`].
pub fn task_spec_of(
    name: TaskName,
    mode: Mode,
    config: &proto::OssTaskConfig,
    tuning: &Tuning,
) -> Result<TaskSpec, Violation> {
    enum_value::<proto::TimeFormatter>("formatter", config.formatter.unwrap_or_default())?;
    enum_value::<proto::Format>("format", config.format.unwrap_or_default())?;
    let destination = Destination {
        bucket: BucketName::parse(required("ossBucket", config.oss_bucket())?)?,
        endpoint: required("ossEndpoint", config.oss_endpoint())?.to_owned(),
        role: required("ossStsRole", config.oss_sts_role())?.to_owned(),
        prefix: required("ossPrefix", config.oss_prefix())?.to_owned(),
        event_time: config.event_time_column.as_ref().map(event_time).transpose()?,
        zone: "UTC".to_owned(),
        suffix: String::new(),
        dirty_prefix: dirty_prefix(config),
    };
    let schema = if config.schema.is_empty() {
        SchemaSpec::Automatic { reserved: false }
    } else {
        SchemaSpec::Manual(config.schema.iter().map(field).collect::<Result<_, _>>()?)
    };
    Ok(TaskSpec { name, mode, destination, schema, tuning: tuning.clone() })
}

/// Takes an UpdateDeliveryTask: the table, the task, and what to make of its specification.
///
/// What the configuration leaves out stays as it is; no columns stand for the same columns, an event time column
/// without a name for none, an empty dirty prefix for the service's own.
///
/// # Errors
/// A name is malformed, or there is no configuration. The change answers what is wrong with it.
#[expect(clippy::type_complexity, reason = "it is taken apart where it is called")]
pub fn task_update(
    request: proto::UpdateDeliveryTaskRequest,
) -> Result<(TableName, TaskName, impl Fn(TaskSpec) -> Result<TaskSpec, Violation>), Violation> {
    let table = TableName::parse(request.table())?;
    let name = TaskName::parse(request.task_name())?;
    let config = request.task_config.ok_or_else(|| missing("taskConfig"))?;
    Ok((table, name, move |before| changed(before, &config)))
}

fn changed(mut spec: TaskSpec, config: &proto::OssTaskConfig) -> Result<TaskSpec, Violation> {
    enum_value::<proto::TimeFormatter>("formatter", config.formatter.unwrap_or_default())?;
    enum_value::<proto::Format>("format", config.format.unwrap_or_default())?;
    let to = &mut spec.destination;
    if let Some(bucket) = &config.oss_bucket {
        to.bucket = BucketName::parse(required("ossBucket", bucket)?)?;
    }
    for (what, asked, present) in [
        ("ossEndpoint", &config.oss_endpoint, &mut to.endpoint),
        ("ossStsRole", &config.oss_sts_role, &mut to.role),
        ("ossPrefix", &config.oss_prefix, &mut to.prefix),
    ] {
        if let Some(asked) = asked {
            required(what, asked)?.clone_into(present);
        }
    }
    if config.oss_dirty_prefix.is_some() {
        to.dirty_prefix = dirty_prefix(config);
    }
    if let Some(column) = &config.event_time_column {
        let is_none = column.column_name().is_empty() && column.time_format.is_none();
        to.event_time = if is_none { None } else { Some(event_time(column)?) };
    }
    if !config.schema.is_empty() {
        spec.schema = SchemaSpec::Manual(config.schema.iter().map(field).collect::<Result<_, _>>()?);
    }
    Ok(spec)
}

fn dirty_prefix(config: &proto::OssTaskConfig) -> Option<String> {
    config.oss_dirty_prefix.clone().filter(|prefix| !prefix.is_empty())
}

/// An UpdateDeliveryTask request, for clients: everything of the configuration that the wire can say.
pub fn update_delivery_task_request(table: &TableName, spec: &TaskSpec) -> proto::UpdateDeliveryTaskRequest {
    let mut config = oss_task_config(spec);
    // What is left out would stay.
    config.oss_dirty_prefix.get_or_insert_default();
    config.event_time_column.get_or_insert_default();
    proto::UpdateDeliveryTaskRequest {
        table: Some(table.as_str().to_owned()),
        task_name: Some(spec.name.as_str().to_owned()),
        task_config: Some(config),
    }
}

/// A CreateDeliveryTask request, for clients. The task's tuning, zone and suffix are not in it.
pub fn create_delivery_task_request(table: &TableName, spec: &TaskSpec) -> proto::CreateDeliveryTaskRequest {
    proto::CreateDeliveryTaskRequest {
        table_name: Some(table.as_str().to_owned()),
        task_name: Some(spec.name.as_str().to_owned()),
        task_config: Some(oss_task_config(spec)),
        task_type: Some(wire_mode(spec.mode)),
    }
}

/// A task's configuration. An automatic schema is an empty list of columns.
pub fn oss_task_config(spec: &TaskSpec) -> proto::OssTaskConfig {
    let destination = &spec.destination;
    let schema = match &spec.schema {
        SchemaSpec::Manual(fields) => fields.iter().map(field_message).collect(),
        SchemaSpec::Automatic { .. } => Vec::new(),
    };
    proto::OssTaskConfig {
        oss_prefix: Some(destination.prefix.clone()),
        formatter: None,
        oss_dirty_prefix: destination.dirty_prefix.clone(),
        oss_bucket: Some(destination.bucket.as_str().to_owned()),
        oss_endpoint: Some(destination.endpoint.clone()),
        oss_sts_role: Some(destination.role.clone()),
        event_time_column: destination.event_time.as_ref().map(event_time_message),
        format: Some(proto::Format::Parquet.into()),
        schema,
    }
}

/// Describes a task and how it is doing.
pub fn describe_delivery_task_response(
    spec: &TaskSpec,
    status: &TaskStatus,
) -> proto::DescribeDeliveryTaskResponse {
    proto::DescribeDeliveryTaskResponse {
        task_config: Some(oss_task_config(spec)),
        task_sync_stat: Some(task_sync_stat(status)),
        task_type: Some(wire_mode(spec.mode)),
    }
}

/// Takes a described task's state; what is absent has its default.
///
/// # Errors
/// An enum's value is none.
pub fn task_status(response: &proto::DescribeDeliveryTaskResponse) -> Result<TaskReport, Violation> {
    let state = response.task_sync_stat.clone().unwrap_or_default();
    let phase = match enum_value("task sync phase", state.task_sync_phase.unwrap_or_default())? {
        proto::TaskSyncPhase::Init => Phase::Init,
        proto::TaskSyncPhase::Full => Phase::Full,
        proto::TaskSyncPhase::Incr => Phase::Incr,
    };
    let error = match enum_value("task error", state.error_code.unwrap_or_default())? {
        proto::ErrorType::Ok => TaskError::Ok,
        proto::ErrorType::Unauthorized => TaskError::Unauthorized,
        proto::ErrorType::InvalidOssBucket => TaskError::InvalidOssBucket,
    };
    let sync_point = state.current_sync_timestamp.unwrap_or_default() / NANOS_PER_MICRO;
    Ok(TaskReport { phase, sync_point, error, detail: state.detail.unwrap_or_default() })
}

/// A task in the list of its table's tasks.
pub fn delivery_task_info(table: &TableName, task: &TaskName, mode: Mode) -> proto::DeliveryTaskInfo {
    proto::DeliveryTaskInfo {
        table_name: Some(table.as_str().to_owned()),
        task_name: Some(task.as_str().to_owned()),
        task_type: Some(wire_mode(mode)),
    }
}

/// A mode's number; that of BASE is what an absent field stands for.
pub fn wire_mode(mode: Mode) -> i32 {
    match mode {
        Mode::Base => proto::DeliveryTaskType::Base,
        Mode::Inc => proto::DeliveryTaskType::Inc,
        Mode::BaseInc => proto::DeliveryTaskType::BaseInc,
    }
    .into()
}

/// The mode of a number.
///
/// # Errors
/// No mode has it.
pub fn mode(number: i32) -> Result<Mode, Violation> {
    Ok(match enum_value("task type", number)? {
        proto::DeliveryTaskType::Base => Mode::Base,
        proto::DeliveryTaskType::Inc => Mode::Inc,
        proto::DeliveryTaskType::BaseInc => Mode::BaseInc,
    })
}

const NANOS_PER_MICRO: i64 = 1000;
/// Warnings that a detail tells.
const WARNINGS_MAX: usize = 4;

fn task_sync_stat(status: &TaskStatus) -> proto::TaskSyncStat {
    let phase = match status.phase {
        Phase::Init => proto::TaskSyncPhase::Init,
        Phase::Full => proto::TaskSyncPhase::Full,
        Phase::Incr => proto::TaskSyncPhase::Incr,
    };
    let error = match status.error {
        // One SDK has no word for it, and none has one for dirty fields: the detail says it.
        TaskError::Ok | TaskError::TooManyDirtyFields => None,
        TaskError::Unauthorized => Some(proto::ErrorType::Unauthorized.into()),
        TaskError::InvalidOssBucket => Some(proto::ErrorType::InvalidOssBucket.into()),
    };
    proto::TaskSyncStat {
        task_sync_phase: Some(phase.into()),
        current_sync_timestamp: Some(status.sync_point.saturating_mul(NANOS_PER_MICRO)),
        error_code: error,
        detail: Some(detail(status)),
    }
}

/// Warnings have no field of their own in the protocol.
fn detail(status: &TaskStatus) -> String {
    let told = status.warnings.iter().take(WARNINGS_MAX).map(String::as_str);
    let more = status.warnings.len().saturating_sub(WARNINGS_MAX);
    let more = (more > 0).then(|| format!("{more} more"));
    std::iter::once(status.detail.as_str()).chain(told).chain(more.as_deref()).collect::<Vec<_>>().join("; ")
}

fn required<'a>(field: &str, text: &'a str) -> Result<&'a str, Violation> {
    if text.is_empty() { Err(missing(field)) } else { Ok(text) }
}

fn missing(field: &str) -> Violation {
    Violation::parameter(format!("The {field} of a delivery task must not be empty."))
}

fn event_time(column: &proto::EventColumn) -> Result<EventTimeColumn, Violation> {
    let name = required("columnName of the eventTimeColumn", column.column_name())?;
    let format = column.time_format.ok_or_else(|| missing("timeFormat of the eventTimeColumn"))?;
    let format = match enum_value("event time format", format)? {
        proto::EventTimeFormat::Rfc822 => EventTimeFormat::Rfc822,
        proto::EventTimeFormat::Rfc850 => EventTimeFormat::Rfc850,
        proto::EventTimeFormat::Rfc1123 => EventTimeFormat::Rfc1123,
        proto::EventTimeFormat::Rfc3339 => EventTimeFormat::Rfc3339,
        proto::EventTimeFormat::Unix => EventTimeFormat::Unix,
    };
    Ok(EventTimeColumn { column: name.to_owned(), format })
}

fn event_time_message(column: &EventTimeColumn) -> proto::EventColumn {
    let format = match column.format {
        EventTimeFormat::Rfc822 => proto::EventTimeFormat::Rfc822,
        EventTimeFormat::Rfc850 => proto::EventTimeFormat::Rfc850,
        EventTimeFormat::Rfc1123 => proto::EventTimeFormat::Rfc1123,
        EventTimeFormat::Rfc3339 => proto::EventTimeFormat::Rfc3339,
        EventTimeFormat::Unix => proto::EventTimeFormat::Unix,
    };
    proto::EventColumn { column_name: Some(column.column.clone()), time_format: Some(format.into()) }
}

fn field(column: &proto::ParquetSchema) -> Result<Field, Violation> {
    let source = required("columnName of a schema column", column.column_name())?;
    let target = required("ossColumnName of a schema column", column.oss_column_name())?;
    Ok(Field {
        source: source.to_owned(),
        target: target.to_owned(),
        kind: field_kind(enum_value("column type", column.r#type.unwrap_or_default())?),
        encoding: encoding(enum_value("column encoding", column.encode.unwrap_or_default())?),
        type_extend: column.type_extend.clone().filter(|text| !text.is_empty()),
    })
}

fn field_message(field: &Field) -> proto::ParquetSchema {
    proto::ParquetSchema {
        column_name: Some(field.source.clone()),
        oss_column_name: Some(field.target.clone()),
        r#type: Some(field_kind_message(field.kind).into()),
        encode: Some(encoding_message(field.encoding).into()),
        type_extend: field.type_extend.clone(),
    }
}

/// Two enums with the same names on both sides, and the functions between them.
macro_rules! same_names {
    ($into:ident, $back:ident, $wire:ty, $model:ty, $($name:ident)*) => {
        fn $into(value: $wire) -> $model {
            match value { $(<$wire>::$name => <$model>::$name,)* }
        }

        fn $back(value: $model) -> $wire {
            match value { $(<$model>::$name => <$wire>::$name,)* }
        }
    };
}

same_names! {
    field_kind, field_kind_message, proto::DataType, FieldKind,
    Bool Int64 Utf8 Double Date Decimal TimeMillis TimeMicros TimestampMillis TimestampMicros List Map Interval
    Float Int32 Int96
}

same_names! {
    encoding, encoding_message, proto::Encoding, Encoding,
    Plain PlainDictionary DeltaBinaryPacked DeltaByteArray DeltaLengthByteArray
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{self, bytes};
    use crate::proto::Message;

    fn golden_request() -> proto::CreateDeliveryTaskRequest {
        proto::CreateDeliveryTaskRequest::decode(bytes(golden::CREATE_DELIVERY_TASK_REQUEST)).unwrap()
    }

    fn golden_spec() -> TaskSpec {
        task_spec(&golden_request(), &Tuning::default()).unwrap().1
    }

    fn message(change: impl FnOnce(&mut proto::CreateDeliveryTaskRequest)) -> String {
        let mut request = golden_request();
        change(&mut request);
        task_spec(&request, &Tuning::default()).unwrap_err().message
    }

    fn config(request: &mut proto::CreateDeliveryTaskRequest) -> &mut proto::OssTaskConfig {
        request.task_config.as_mut().unwrap()
    }

    fn status() -> TaskStatus {
        TaskStatus {
            phase: Phase::Full,
            sync_point: 1_500_000_000_000_001,
            error: TaskError::Ok,
            detail: "fine".to_owned(),
            run: 1,
            lanes: 1,
            rows_waiting: 0,
            rows_delivered: 0,
            bytes_delivered: 0,
            objects: 0,
            dirty_fields: 0,
            undelivered_columns: Vec::new(),
            undelivered_kinds: Default::default(),
            configuration: 1,
            next_configuration: None,
            dirty_reasons: Default::default(),
            dirty_columns: Default::default(),
            last_object_at: None,
            last_object: None,
            next_cut_in_ms: None,
            next_try_at: None,
            warnings: Vec::new(),
            is_paused: false,
            lag_s: None,
            last_error: None,
        }
    }

    #[test]
    fn golden_create_delivery_task() {
        let spec = golden_spec();
        assert_eq!((spec.name.as_str(), spec.mode), ("task1", Mode::BaseInc));
        let to = &spec.destination;
        assert_eq!((to.prefix.as_str(), to.bucket.as_str()), ("p/year=$yyyy/month=$MM", "b"));
        assert_eq!((to.endpoint.as_str(), to.role.as_str()), ("http://127.0.0.1:9000", "r"));
        assert_eq!((to.zone.as_str(), to.suffix.as_str(), &to.event_time), ("UTC", "", &None));
        let field = |source: &str, target: &str, kind| Field {
            source: source.to_owned(),
            target: target.to_owned(),
            kind,
            encoding: Encoding::Plain,
            type_extend: None,
        };
        let fields = vec![field("pk", "pk", FieldKind::Utf8), field("n", "n64", FieldKind::Int64)];
        assert_eq!(spec.schema, SchemaSpec::Manual(fields));

        let table = TableName::parse("t").unwrap();
        let body = create_delivery_task_request(&table, &spec).encode_to_vec();
        assert_eq!(body, bytes(golden::CREATE_DELIVERY_TASK_REQUEST));
    }

    #[test]
    fn warnings_are_told_in_the_detail() {
        let warned = |count: usize| {
            let warnings = (0..count).map(|number| format!("w{number}")).collect();
            task_sync_stat(&TaskStatus { warnings, ..status() }).detail.unwrap()
        };
        assert_eq!([0, 1, 5].map(warned), ["fine", "fine; w0", "fine; w0; w1; w2; w3; 1 more"]);
    }

    #[test]
    fn a_described_task_is_the_one_that_was_made() {
        let mut spec = golden_spec();
        spec.destination.event_time =
            Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
        let SchemaSpec::Manual(fields) = &mut spec.schema else {
            panic!("the golden task names its columns")
        };
        fields[1].encoding = Encoding::DeltaBinaryPacked;
        fields[1].type_extend = Some("BINARY".to_owned());
        let response = describe_delivery_task_response(&spec, &status());
        let config = response.task_config.unwrap();
        let mode = mode(response.task_type.unwrap()).unwrap();
        assert_eq!(task_spec_of(spec.name.clone(), mode, &config, &spec.tuning), Ok(spec));
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut before = golden_spec();
        before.destination.zone = "Asia/Shanghai".to_owned();
        before.destination.event_time =
            Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
        let update = |config: proto::OssTaskConfig| {
            let request = proto::UpdateDeliveryTaskRequest {
                table: Some("t".to_owned()),
                task_name: Some("task1".to_owned()),
                task_config: Some(config),
            };
            let bytes = request.encode_to_vec();
            let request = proto::UpdateDeliveryTaskRequest::decode(&bytes[..]).unwrap();
            let (table, name, change) = task_update(request).unwrap();
            assert_eq!((table.as_str(), name.as_str()), ("t", "task1"));
            change(before.clone())
        };
        assert_eq!(update(proto::OssTaskConfig::default()), Ok(before.clone()));
        let prefix = Some("q".to_owned());
        let changed = update(proto::OssTaskConfig { oss_prefix: prefix, ..Default::default() }).unwrap();
        let mut expected = before.clone();
        expected.destination.prefix = "q".to_owned();
        assert_eq!(changed, expected);
        let none = Some(proto::EventColumn::default());
        let changed = update(proto::OssTaskConfig { event_time_column: none, ..Default::default() }).unwrap();
        assert_eq!(changed.destination.event_time, None);
        let empty = Some(String::new());
        assert!(update(proto::OssTaskConfig { oss_prefix: empty, ..Default::default() }).is_err());
    }

    #[test]
    fn an_update_of_our_own_client_says_all_that_the_wire_can() {
        let mut before = golden_spec();
        before.destination.dirty_prefix = Some("dirty".to_owned());
        before.destination.event_time =
            Some(EventTimeColumn { column: "at".to_owned(), format: EventTimeFormat::Unix });
        let asked = golden_spec();
        let table = TableName::parse("t").unwrap();
        let (_, _, change) = task_update(update_delivery_task_request(&table, &asked)).unwrap();
        assert_eq!(change(before), Ok(asked));
    }

    #[test]
    fn the_sync_point_travels_in_nanoseconds() {
        let response = describe_delivery_task_response(&golden_spec(), &status());
        let state = response.task_sync_stat.as_ref().unwrap();
        assert_eq!(state.current_sync_timestamp, Some(1_500_000_000_000_001_000));
        assert_eq!(state.error_code, None);
        let report = task_status(&response).unwrap();
        assert_eq!((report.phase, report.sync_point), (Phase::Full, 1_500_000_000_000_001));
        assert_eq!((report.error, report.detail.as_str()), (TaskError::Ok, "fine"));
    }

    #[test]
    fn a_state_that_says_nothing_is_one_that_begins() {
        let report = task_status(&proto::DescribeDeliveryTaskResponse::default()).unwrap();
        assert_eq!((report.phase, report.sync_point, report.error), (Phase::Init, 0, TaskError::Ok));
    }

    #[test]
    fn what_the_java_sdk_could_not_describe_is_refused() {
        assert!(message(|r| config(r).oss_prefix = Some(String::new())).contains("ossPrefix"));
        assert!(message(|r| config(r).oss_endpoint = None).contains("ossEndpoint"));
        assert!(message(|r| config(r).oss_sts_role = None).contains("ossStsRole"));
        assert!(message(|r| config(r).oss_bucket = None).contains("ossBucket"));
        assert!(message(|r| config(r).schema[1].oss_column_name = None).contains("ossColumnName"));
        assert!(message(|r| r.task_config = None).contains("taskConfig"));
        assert!(message(|r| r.task_type = Some(3)).contains("task type: 3"));
        assert!(message(|r| config(r).schema[0].r#type = Some(16)).contains("column type: 16"));
        assert!(
            message(|r| config(r).event_time_column = Some(proto::EventColumn::default()))
                .contains("eventTime")
        );
    }

    #[test]
    fn no_columns_are_an_automatic_schema_and_no_mode_is_base() {
        let mut request = golden_request();
        config(&mut request).schema.clear();
        request.task_type = None;
        let (_, spec) = task_spec(&request, &Tuning::default()).unwrap();
        assert_eq!(spec.schema, SchemaSpec::Automatic { reserved: false });
        assert_eq!(spec.mode, Mode::Base);
        assert!(oss_task_config(&spec).schema.is_empty());
    }

    #[test]
    fn every_type_and_encoding_has_its_number() {
        for number in 0..16 {
            let kind = proto::DataType::try_from(number).unwrap();
            assert_eq!(i32::from(field_kind_message(field_kind(kind))), number);
        }
        for number in 0..5 {
            let wire = proto::Encoding::try_from(number).unwrap();
            assert_eq!(i32::from(encoding_message(encoding(wire))), number);
        }
    }
}
