//! The decoders, each with samples of what it takes and with what must hold of everything that it takes.

use bytes::Bytes;
use lakeferry_model::delivery::{TaskSpec, Tuning};
use lakeferry_model::{TransactionId, Violation};
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::convert::{ChannelToken, ShardIterator};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::{RowWriter, WireRow, decode_row, decode_rows, variant};
use lakeferry_wire::proto::{self, Message, tunnel};
use lakeferry_wire::row_token::RowToken;
use lakeferry_wire::sign::{self, SignedRequest};
use lakeferry_wire::{compress, convert, headers};

use crate::mutate::Shape;
use crate::samples;

/// What an inflated body may come to here.
const INFLATED_BYTES_MAX: usize = 1 << 20;

/// A decoder.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// How its mutants are made.
    pub shape: Shape,
    /// What it takes.
    pub samples: Vec<Vec<u8>>,
    /// Has it decode the bytes. Panics if something does not hold.
    pub take: fn(&[u8]),
}

/// All of them.
///
/// # Panics
/// If an operation's samples are not there: a mistake of this file.
pub fn all() -> Vec<Target> {
    let bytes = |name, samples, take| Target { name, shape: Shape::Bytes, samples, take };
    let deflated = samples::rows().iter().map(|row| compress::deflate(row)).collect();
    let dates = ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.11207Z"];
    let row = RowToken { column: "col".into(), timestamp_ms: 1_700_000_000_000 };
    let signatures = ["OTS testid:Y/Fysar7xfyOAJ1ERe7k+kNiar8="];
    let mut targets = vec![
        Target {
            name: "plain_buffer_row",
            shape: Shape::Row,
            samples: samples::rows(),
            take: plain_buffer_row,
        },
        Target {
            name: "plain_buffer_rows",
            shape: Shape::Row,
            samples: samples::rows(),
            take: plain_buffer_rows,
        },
        bytes("variant", samples::variants(), sql_variant),
        Target { name: "filter", shape: Shape::Message, samples: samples::filters(), take: filter },
        bytes("signature", samples::signed(), signature),
        bytes("date", texts(&dates), date),
        bytes("authorization", texts(&signatures), authorization),
        bytes("inflate", deflated, inflate),
        bytes("error_code", texts(&["OTSParameterInvalid", "OTSTimeout"]), error_code),
        Target {
            name: "tunnel_token",
            shape: Shape::Message,
            samples: samples::tokens(),
            take: tunnel_token,
        },
        bytes("tunnel_token_text", samples::token_texts(), tunnel_token_text),
        bytes("row_token", vec![row.encode().to_vec()], row_token),
        bytes("shard_iterator", texts(&["1-3-17-1704067200000000-42"]), shard_iterator),
    ];
    let mut bodies = samples::bodies();
    targets.extend(BODIES.iter().map(|(operation, take)| {
        let name = operation.name();
        let at = bodies
            .iter()
            .position(|(body, _)| *body == name)
            .unwrap_or_else(|| panic!("no sample of {name}"));
        Target { name, shape: Shape::Message, samples: bodies.swap_remove(at).1, take: *take }
    }));
    targets
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn plain_buffer_row(bytes: &[u8]) {
    if let Ok(row) = decode_row(&Bytes::copy_from_slice(bytes)) {
        comes_back(&[row]);
    }
}

fn plain_buffer_rows(bytes: &[u8]) {
    if let Ok(rows) = decode_rows(&Bytes::copy_from_slice(bytes)) {
        comes_back(&rows);
    }
}

/// What was decoded is encoded so that it decodes to the same. Bytes are compared: a double may be no number.
fn comes_back(rows: &[WireRow]) {
    let encoded = |rows: &[WireRow]| {
        let mut writer = RowWriter::new();
        rows.iter().for_each(|row| writer.row(row));
        writer.finish()
    };
    let bytes = encoded(rows);
    let again = decode_rows(&bytes).expect("what was decoded can be encoded and decoded again");
    assert_eq!(encoded(&again), bytes);
}

fn sql_variant(bytes: &[u8]) {
    if let Ok(value) = variant::decode(&Bytes::copy_from_slice(bytes)) {
        assert_eq!(variant::encode_variant(&value), bytes, "there is one way to write a value");
    }
}

/// A filter of a read and the same bytes as a condition of a write; both come back from their own encoding.
fn filter(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(again) = convert::filter(&bytes).ok().as_ref().and_then(convert::filter_bytes) {
        let filter = convert::filter(&again).expect("what was taken can be encoded and taken again");
        assert_eq!(convert::filter_bytes(&filter), Some(again));
    }
    if let Ok(condition) = convert::column_condition(&bytes) {
        let again = convert::column_condition_bytes(&condition);
        let condition =
            convert::column_condition(&again).expect("what was taken can be encoded and taken again");
        assert_eq!(convert::column_condition_bytes(&condition), again);
    }
}

fn row_token(bytes: &[u8]) {
    if let Ok(token) = RowToken::decode(&Bytes::copy_from_slice(bytes)) {
        assert_eq!(token.encode(), bytes, "there is one way to write a token");
    }
}

/// A request's first line and its headers, a line each.
fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (method, path) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let request = SignedRequest::new(method, path, "", headers);
    // Whether the date or the digest is right is another question than whether they can be read.
    drop(request.check_date(samples::SIGNED_AT));
    drop(request.check_body(b""));
    if let Ok(key) = request.verify(samples::SECRET) {
        let answer = [(headers::REQUEST_ID, "1")];
        let signature = key.sign_response(path, &answer);
        assert!(key.verifies_response(path, &answer, &signature));
    }
}

fn date(bytes: &[u8]) {
    if let Some(date) = std::str::from_utf8(bytes).ok().and_then(headers::parse_date) {
        // To the second, whatever the fraction was.
        assert_eq!(headers::parse_date(&headers::format_date(date)), Some(date));
    }
}

fn authorization(bytes: &[u8]) {
    if let Some((id, signature)) = std::str::from_utf8(bytes).ok().and_then(sign::parse_authorization) {
        let written = sign::authorization(id, signature);
        assert_eq!(sign::parse_authorization(&written), Some((id, signature)));
    }
}

fn inflate(bytes: &[u8]) {
    if let Ok(inflated) = compress::inflate(bytes, INFLATED_BYTES_MAX) {
        assert!(inflated.len() <= INFLATED_BYTES_MAX);
    }
}

fn error_code(bytes: &[u8]) {
    if let Some(code) = std::str::from_utf8(bytes).ok().and_then(ErrorCode::parse) {
        assert_eq!(code.as_str().as_bytes(), bytes);
    }
}

/// The message inside, put into the text that it travels as.
fn tunnel_token(bytes: &[u8]) {
    tunnel_token_text(&samples::base64_text(bytes));
}

fn tunnel_token_text(bytes: &[u8]) {
    if let Some(token) = std::str::from_utf8(bytes).ok().and_then(|text| ChannelToken::parse(text).ok()) {
        assert_eq!(ChannelToken::parse(&token.encode()), Ok(token));
    }
}

fn shard_iterator(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(iterator) = text.parse::<ShardIterator>() {
        assert_eq!(iterator.to_string(), text, "clients compare iterators as texts");
    }
}

/// Decodes a message, which must come back from its own encoding, and has it converted.
fn take<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8], convert: impl FnOnce(M)) {
    if let Ok(message) = M::decode(Bytes::copy_from_slice(bytes)) {
        let again = M::decode(Bytes::from(message.encode_to_vec()));
        assert_eq!(again.as_ref(), Ok(&message));
        convert(message);
    }
}

macro_rules! bodies {
    ($($operation:ident: $message:ty => $convert:expr;)*) => {
        /// The bodies of the operations, each with what the server does first of all with it.
        pub const BODIES: &[(Operation, fn(&[u8]))] =
            &[$((Operation::$operation, |bytes| take::<$message>(bytes, |message| _ = $convert(message))),)*];
    };
}

fn transaction_id(text: &str) {
    if let Ok(id) = TransactionId::parse(text) {
        assert_eq!(TransactionId::parse(&id.to_string()), Ok(id));
    }
}

/// For messages that are used as they are.
fn as_it_is<M>(message: M) -> M {
    message
}

/// A plain task, as an update makes it.
fn updated(message: proto::UpdateDeliveryTaskRequest) -> Result<TaskSpec, Violation> {
    let text = |text: &str| Some(text.to_owned());
    let plain = proto::CreateDeliveryTaskRequest {
        table_name: text("t"),
        task_name: text("task1"),
        task_config: Some(proto::OssTaskConfig {
            oss_prefix: text("p"),
            oss_bucket: text("bucket"),
            oss_endpoint: text("oss-cn-hangzhou.aliyuncs.com"),
            oss_sts_role: text("role"),
            ..Default::default()
        }),
        task_type: Some(2),
    };
    let (_, _, change) = convert::task_update(message)?;
    change(convert::task_spec(&plain, &Tuning::default())?.1)
}

bodies! {
    CreateTable: proto::CreateTableRequest => |message| convert::create_table(&message);
    ListTable: proto::ListTableRequest => as_it_is;
    DescribeTable: proto::DescribeTableRequest => as_it_is;
    UpdateTable: proto::UpdateTableRequest => |message| convert::update_table(&message);
    DeleteTable: proto::DeleteTableRequest => as_it_is;
    ComputeSplitPointsBySize: proto::ComputeSplitPointsBySizeRequest => |message| convert::split_points_asked(&message);
    AddDefinedColumn: proto::AddDefinedColumnRequest => |message| convert::add_defined_column(&message);
    DeleteDefinedColumn: proto::DeleteDefinedColumnRequest => convert::delete_defined_column;
    CreateIndex: proto::CreateIndexRequest => |message| convert::create_index(&message);
    DropIndex: proto::DropIndexRequest => |message| convert::drop_index(&message);
    GetRow: proto::GetRowRequest => convert::get_row;
    PutRow: proto::PutRowRequest => convert::put_row;
    UpdateRow: proto::UpdateRowRequest => convert::update_row;
    DeleteRow: proto::DeleteRowRequest => convert::delete_row;
    BatchGetRow: proto::BatchGetRowRequest => convert::batch_get_row;
    BatchWriteRow: proto::BatchWriteRowRequest => convert::batch_write_row;
    GetRange: proto::GetRangeRequest => convert::get_range;
    BulkImport: proto::BulkImportRequest => convert::bulk_import;
    BulkExport: proto::BulkExportRequest => convert::bulk_export;
    StartLocalTransaction: proto::StartLocalTransactionRequest => |message| convert::start_local_transaction(&message);
    CommitTransaction: proto::CommitTransactionRequest => |message: proto::CommitTransactionRequest| transaction_id(&message.transaction_id);
    AbortTransaction: proto::AbortTransactionRequest => |message: proto::AbortTransactionRequest| transaction_id(&message.transaction_id);
    ListStream: proto::ListStreamRequest => as_it_is;
    DescribeStream: proto::DescribeStreamRequest => as_it_is;
    GetShardIterator: proto::GetShardIteratorRequest => as_it_is;
    GetStreamRecord: proto::GetStreamRecordRequest => |message: proto::GetStreamRecordRequest| message.shard_iterator.parse::<ShardIterator>();
    CreateDeliveryTask: proto::CreateDeliveryTaskRequest => |message| convert::task_spec(&message, &Tuning::default());
    UpdateDeliveryTask: proto::UpdateDeliveryTaskRequest => updated;
    DeleteDeliveryTask: proto::DeleteDeliveryTaskRequest => as_it_is;
    DescribeDeliveryTask: proto::DescribeDeliveryTaskRequest => as_it_is;
    ListDeliveryTask: proto::ListDeliveryTaskRequest => as_it_is;
    SqlQuery: proto::SqlQueryRequest => as_it_is;
    TunnelCreate: tunnel::CreateTunnelRequest => as_it_is;
    TunnelDelete: tunnel::DeleteTunnelRequest => as_it_is;
    TunnelList: tunnel::ListTunnelRequest => as_it_is;
    TunnelDescribe: tunnel::DescribeTunnelRequest => as_it_is;
    TunnelConnect: tunnel::ConnectRequest => as_it_is;
    TunnelHeartbeat: tunnel::HeartbeatRequest => as_it_is;
    TunnelShutdown: tunnel::ShutdownRequest => as_it_is;
    TunnelGetCheckpoint: tunnel::GetCheckpointRequest => as_it_is;
    TunnelReadRecords: tunnel::ReadRecordsRequest => |message: tunnel::ReadRecordsRequest| ChannelToken::parse(&message.token);
    TunnelCheckpoint: tunnel::CheckpointRequest => |message: tunnel::CheckpointRequest| ChannelToken::parse(&message.checkpoint);
    TunnelGetRpo: tunnel::GetRpoRequest => as_it_is;
    TunnelSchedule: tunnel::ScheduleRequest => as_it_is;
}
