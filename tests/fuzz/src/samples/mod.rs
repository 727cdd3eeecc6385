//! What decoders take: rows, filters, bodies of every operation and signed headers, as clients send them.
//!
//! They are built from the messages themselves, so that they follow the protocol as the code has it. Bytes that
//! came from elsewhere lie in the corpus.

mod bodies;

use bytes::Bytes;
use lakeferry_model::{KeyBound, ValueRef};
use lakeferry_wire::headers;
use lakeferry_wire::plain_buffer::variant::{self, Variant};
use lakeferry_wire::plain_buffer::{CellOperation, RowWriter, SequenceInfo, encode};
use lakeferry_wire::proto::{self, Message, tunnel};
use lakeferry_wire::sign::{self, SigningKey};

pub use bodies::{bodies, get_row};

/// The table that bodies are about.
pub const TABLE: &str = "fuzzed";
/// The secret that headers are signed with.
pub const SECRET: &str = "testsecret";
/// When they were signed, in microseconds since the epoch.
pub const SIGNED_AT: i64 = 1_767_323_045_000_000;

/// Rows of every kind of cell and value.
pub fn rows() -> Vec<Vec<u8>> {
    let rows = [put_row(), update_row(), delete_row(), key(), low(), high(), record(), two_rows()];
    rows.map(|row| row.to_vec()).into()
}

fn key() -> Bytes {
    encode::key([("group", ValueRef::String("g")), ("id", ValueRef::Integer(1))])
}

fn start_key() -> Bytes {
    encode::key([("group", ValueRef::String("g"))])
}

fn low() -> Bytes {
    bound(&KeyBound::InfMin)
}

fn high() -> Bytes {
    bound(&KeyBound::InfMax)
}

fn bound(bound: &KeyBound) -> Bytes {
    encode::bound([("group", bound), ("id", bound)])
}

fn written(cells: impl FnOnce(&mut RowWriter)) -> Bytes {
    let mut writer = RowWriter::new();
    writer.start_row();
    writer.key_cell("group", ValueRef::String("g"));
    writer.key_cell("id", ValueRef::Integer(1));
    cells(&mut writer);
    writer.end_row();
    writer.finish()
}

fn put_row() -> Bytes {
    written(|row| {
        row.change("a", Some(ValueRef::Integer(7)), CellOperation::Put, None);
        row.change("b", Some(ValueRef::String("text")), CellOperation::Put, Some(1_767_323_045_000));
        row.change("c", Some(ValueRef::Double(1.5)), CellOperation::Put, None);
        row.change("d", Some(ValueRef::Boolean(true)), CellOperation::Put, None);
        row.change("e", Some(ValueRef::Binary(&[0, 255])), CellOperation::Put, None);
    })
}

fn update_row() -> Bytes {
    written(|row| {
        row.change("a", Some(ValueRef::Integer(7)), CellOperation::Put, None);
        row.change("b", None, CellOperation::DeleteAll, None);
        row.change("c", None, CellOperation::DeleteVersion, Some(1_767_323_045_000));
        row.change("n", Some(ValueRef::Integer(-1)), CellOperation::Increment, None);
    })
}

fn delete_row() -> Bytes {
    written(RowWriter::delete_marker)
}

fn record() -> Bytes {
    written(|row| {
        row.cell("a", ValueRef::Integer(7), 1_767_323_045_000);
        row.sequence(SequenceInfo { epoch: 1, timestamp: SIGNED_AT, row_index: 0 });
    })
}

fn two_rows() -> Bytes {
    let mut writer = RowWriter::new();
    for id in 0..2 {
        writer.start_row();
        writer.key_cell("id", ValueRef::Integer(id));
        writer.cell("a", ValueRef::String("x"), 1);
        writer.cell("a", ValueRef::String("w"), 0);
        writer.end_row();
    }
    writer.finish()
}

/// Lone values.
pub fn variants() -> Vec<Vec<u8>> {
    let values = [
        ValueRef::Integer(-1),
        ValueRef::Double(1.5),
        ValueRef::Boolean(true),
        ValueRef::String("x"),
        ValueRef::Binary(&[1, 2]),
    ];
    let ends = [variant::encode_variant(&Variant::InfMin), variant::encode_variant(&Variant::InfMax)];
    values.into_iter().map(variant::encode).chain(ends).map(|bytes| bytes.to_vec()).collect()
}

/// Filters: single, combined, by part of a text, and of pages.
pub fn filters() -> Vec<Vec<u8>> {
    let rule = proto::ValueTransferRule { regex: "t1:([a-z]+),".to_owned(), cast_type: Some(3) };
    let both = proto::CompositeColumnValueFilter {
        combinator: proto::LogicalOperator::And.into(),
        sub_filters: vec![single(1, None), negated(single(3, None))],
    };
    let page = proto::ColumnPaginationFilter { offset: 1, limit: 3 };
    let filters = [
        single(1, None),
        single(1, Some(rule)),
        filter(proto::FilterType::CompositeColumnValue, &both),
        filter(proto::FilterType::ColumnPagination, &page),
    ];
    filters.iter().map(Message::encode_to_vec).chain([deep(30), deep(5_000)]).collect()
}

fn single(comparator: i32, value_trans_rule: Option<proto::ValueTransferRule>) -> proto::Filter {
    let single = proto::SingleColumnValueFilter {
        comparator,
        column_name: "a".to_owned(),
        column_value: variant::encode(ValueRef::Integer(7)),
        filter_if_missing: true,
        latest_version_only: true,
        value_trans_rule,
    };
    filter(proto::FilterType::SingleColumnValue, &single)
}

fn negated(inner: proto::Filter) -> proto::Filter {
    let negation = proto::CompositeColumnValueFilter {
        combinator: proto::LogicalOperator::Not.into(),
        sub_filters: vec![inner],
    };
    filter(proto::FilterType::CompositeColumnValue, &negation)
}

fn filter(kind: proto::FilterType, content: &impl Message) -> proto::Filter {
    proto::Filter { r#type: kind.into(), filter: content.encode_to_vec().into() }
}

/// A filter negated so many times: each negation lies in a `bytes` field of the next, where no bound on nested
/// messages counts.
fn deep(negations: usize) -> Vec<u8> {
    let innermost = single(1, None);
    (0..negations).fold(innermost, |inner, _| negated(inner)).encode_to_vec()
}

/// Requests as their signatures see them: method and path, then a header a line.
pub fn signed() -> Vec<Vec<u8>> {
    let day = headers::format_sign_date(SIGNED_AT);
    let v4 = SigningKey::v4(SECRET, &day, "cn-hangzhou");
    let region = [(headers::SIGN_DATE, day.as_str()), (headers::SIGN_REGION, "cn-hangzhou")];
    vec![signed_with(&SigningKey::v2(SECRET), &[]), signed_with(&v4, &region)]
}

fn signed_with(key: &SigningKey, more: &[(&str, &str)]) -> Vec<u8> {
    let date = headers::format_date(SIGNED_AT);
    let digest = sign::content_md5(b"");
    let mut lines = vec![
        (headers::ACCESS_KEY_ID, "testid"),
        (headers::APIVERSION, headers::API_VERSION),
        (headers::CONTENT_MD5, &digest),
        (headers::DATE, &date),
        (headers::INSTANCE_NAME, "inst"),
    ];
    lines.extend_from_slice(more);
    let signature = key.sign_request(&sign::string_to_sign("POST", "/GetRow", "", &lines));
    lines.push((key.header(), &signature));
    let headers: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("POST /GetRow\n{headers}").into_bytes()
}

/// What is inside a tunnel's tokens: messages.
pub fn tokens() -> Vec<Vec<u8>> {
    let log =
        tunnel::TokenContent { iterator: Some("42".to_owned()), timestamp: Some(7), ..Default::default() };
    let rows =
        tunnel::TokenContentV2 { primary_key: Some(key()), total_count: Some(7), ..Default::default() };
    let token =
        |version, content: Vec<u8>| tunnel::Token { version, content: content.into() }.encode_to_vec();
    vec![token(1, log.encode_to_vec()), token(2, rows.encode_to_vec())]
}

/// A tunnel's tokens as they travel, and the word for the end.
pub fn token_texts() -> Vec<Vec<u8>> {
    tokens().iter().map(|token| base64_text(token)).chain([b"finished".to_vec()]).collect()
}

/// Base64 with the standard alphabet, as tokens are written.
pub fn base64_text(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let number =
            part.iter().chain(&[0, 0]).take(3).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        for at in 0..4 {
            let letter = ALPHABET[number >> (18 - 6 * at) & 63];
            text.push(if at <= part.len() { letter } else { b'=' });
        }
    }
    text
}
