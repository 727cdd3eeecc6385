//! PlainBuffer against what the SDKs wrote, and against bytes that nobody wrote.

use bytes::Bytes;
use lakeferry_model::{
    CellChange, ColumnUpdate, KeyBound, KeyValue, RowOperation, Value, ValueKind, ValueRef,
};
use proptest::prelude::*;

use super::variant::{Variant, encode_variant};
use super::*;
use crate::golden::{self, bytes};

const T: i64 = 1_500_000_000_000;

fn text_key(name: &'static str, text: &'static str) -> (ByteString, WireKeyValue) {
    (name.into(), WireKeyValue::Value(KeyValue::String(text.into())))
}

fn put(name: &'static str, value: Value, timestamp_ms: Option<i64>) -> WireCell {
    WireCell { name: name.into(), value: Some(value), operation: CellOperation::Put, timestamp_ms }
}

fn text(text: &'static str) -> Value {
    Value::String(text.into())
}

fn cell_change(name: &'static str, update: ColumnUpdate) -> CellChange {
    CellChange { name: name.into(), update }
}

fn row(key: Vec<(ByteString, WireKeyValue)>, cells: Vec<WireCell>) -> WireRow {
    WireRow { key, cells, ..WireRow::default() }
}

/// Decodes the golden buffer to `expected`, and encodes that to the golden buffer again.
fn check(hex: &str, expected: &WireRow) {
    let buffer = bytes(hex);
    assert_eq!(decode_row(&buffer).as_ref(), Ok(expected));
    assert_eq!(encode_rows(std::slice::from_ref(expected)), buffer);
}

fn encode_rows(rows: &[WireRow]) -> Bytes {
    let mut writer = RowWriter::new();
    rows.iter().for_each(|row| writer.row(row));
    writer.finish()
}

#[test]
fn golden_keys_and_bounds() {
    let inf_min = |name: &'static str| (ByteString::from(name), WireKeyValue::InfMin);
    let inf_max = |name: &'static str| (ByteString::from(name), WireKeyValue::InfMax);
    check(golden::KEY_TEXT, &row(vec![text_key("pk", "a")], vec![]));
    let blob = WireKeyValue::Value(KeyValue::Binary(Bytes::from_static(&[0, 0xff])));
    let minus_one = WireKeyValue::Value(KeyValue::Integer(-1));
    check(golden::KEY_INTEGER_AND_BINARY, &row(vec![("pk".into(), minus_one), ("b".into(), blob)], vec![]));
    check(golden::BOUNDS_MIN_AND_MAX, &row(vec![inf_min("pk"), inf_max("q")], vec![]));
    check(golden::BOUND_MIN, &row(vec![inf_min("pk")], vec![]));
    check(golden::BOUND_MAX, &row(vec![inf_max("pk")], vec![]));
}

#[test]
fn golden_puts() {
    let id = ("id".into(), WireKeyValue::Value(KeyValue::Integer(1)));
    let cells = vec![
        put("s", text("x"), None),
        put("i", Value::Integer(7), None),
        put("d", Value::Double(1.5), None),
        put("b", Value::Boolean(true), None),
        put("bin", Value::Binary(Bytes::from_static(&[1, 2])), None),
    ];
    check(golden::PUT_ALL_KINDS, &row(vec![text_key("pk", "a"), id], cells));
    check(golden::PUT_WITH_TIMESTAMP, &row(vec![text_key("pk", "a")], vec![put("s", text("x"), Some(T))]));
    let picked = ("q".into(), WireKeyValue::AutoIncrement);
    let cells = vec![put("i", Value::Integer(1), None)];
    check(golden::PUT_AUTO_INCREMENT, &row(vec![text_key("pk", "a"), picked], cells));
    let cells = vec![
        put("e", text(""), None),
        put("f", Value::Boolean(false), None),
        put("n", Value::Integer(-2), None),
    ];
    check(golden::PUT_ODD_VALUES, &row(vec![text_key("pk", "é")], cells));
}

#[test]
fn golden_updates_and_deletes() {
    let delete_one = |name: &'static str| WireCell {
        name: name.into(),
        value: None,
        operation: CellOperation::DeleteVersion,
        timestamp_ms: Some(T),
    };
    let delete_all = |name: &'static str| WireCell {
        name: name.into(),
        value: None,
        operation: CellOperation::DeleteAll,
        timestamp_ms: None,
    };
    let increment = |name: &'static str, by| WireCell {
        name: name.into(),
        value: Some(Value::Integer(by)),
        operation: CellOperation::Increment,
        timestamp_ms: None,
    };
    let key = || vec![text_key("pk", "a")];
    check(golden::DELETE_ONE_VERSION, &row(key(), vec![delete_one("s")]));
    check(golden::DELETE_ALL_VERSIONS, &row(key(), vec![delete_all("s")]));
    check(golden::INCREMENT, &row(key(), vec![increment("i", 2)]));
    let cells = vec![put("p", text("v"), Some(T)), delete_one("o"), delete_all("z"), increment("n", -3)];
    check(golden::UPDATE_OF_EVERY_KIND, &row(key(), cells));
    check(golden::DELETE_ROW, &WireRow { delete_marker: true, ..row(key(), vec![]) });
}

#[test]
fn golden_changes_are_encoded_from_the_model() {
    let key = || [("pk", ValueRef::String("a"))];
    assert_eq!(encode::key(key()), bytes(golden::KEY_TEXT));
    assert_eq!(encode::change(key(), &RowOperation::Delete), bytes(golden::DELETE_ROW));
    let put = RowOperation::Put(vec![cell_change("s", ColumnUpdate::Put(text("x"), Some(T)))]);
    assert_eq!(encode::change(key(), &put), bytes(golden::PUT_WITH_TIMESTAMP));
    let update = RowOperation::Update(vec![
        cell_change("p", ColumnUpdate::Put(text("v"), Some(T))),
        cell_change("o", ColumnUpdate::DeleteVersion(T)),
        cell_change("z", ColumnUpdate::DeleteAll),
        cell_change("n", ColumnUpdate::Increment(-3)),
    ]);
    assert_eq!(encode::change(key(), &update), bytes(golden::UPDATE_OF_EVERY_KIND));
    let bounds = [("pk", &KeyBound::InfMin), ("q", &KeyBound::InfMax)];
    assert_eq!(encode::bound(bounds), bytes(golden::BOUNDS_MIN_AND_MAX));
}

#[test]
fn a_golden_page_of_rows() {
    let mut writer = RowWriter::with_capacity(64);
    writer.start_row();
    writer.key_cell("pk", ValueRef::String("a"));
    writer.cell("s", ValueRef::String("x"), T);
    writer.end_row();
    writer.start_row();
    writer.key_cell("pk", ValueRef::String("b"));
    writer.cell("i", ValueRef::Integer(7), T + 1);
    writer.cell("i", ValueRef::Integer(6), T);
    writer.end_row();
    let page = bytes(golden::PAGE_OF_TWO_ROWS);
    assert_eq!(writer.finish(), page);
    let rows = decode_rows(&page).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].cells[1], put("i", Value::Integer(6), Some(T)));
    assert_eq!(encode_rows(&rows), page);
}

#[test]
fn golden_stream_records() {
    let sequence = |timestamp, row_index| Some(SequenceInfo { epoch: 1, timestamp, row_index });
    let key = || vec![text_key("pk", "a")];
    let cells = vec![put("s", text("x"), Some(T))];
    check(golden::STREAM_PUT, &WireRow { sequence: sequence(1_500_000_000_000_000, 0), ..row(key(), cells) });
    let update = decode_row(&bytes(golden::STREAM_UPDATE)).unwrap();
    assert_eq!(update.sequence, sequence(1_500_000_000_000_001, 2));
    assert_eq!(update.cells.len(), 3);
    check(golden::STREAM_UPDATE, &update);
    let sequence = sequence(1_500_000_000_000_002, 0);
    check(golden::STREAM_DELETE, &WireRow { delete_marker: true, sequence, ..row(key(), vec![]) });
}

#[test]
fn golden_variants() {
    for (hex, variant) in [
        ("030100000078", Variant::Value(text("x"))),
        ("030100000061", Variant::Value(text("a"))),
        ("000700000000000000", Variant::Value(Value::Integer(7))),
        ("00ffffffffffffffff", Variant::Value(Value::Integer(-1))),
        ("000500000000000000", Variant::Value(Value::Integer(5))),
        ("01000000000000f83f", Variant::Value(Value::Double(1.5))),
        ("0201", Variant::Value(Value::Boolean(true))),
        ("07020000000102", Variant::Value(Value::Binary(Bytes::from_static(&[1, 2])))),
        ("09", Variant::InfMin),
        ("0a", Variant::InfMax),
    ] {
        assert_eq!(variant::decode(&bytes(hex)), Ok(variant.clone()), "{hex}");
        assert_eq!(encode_variant(&variant), bytes(hex));
        assert!(variant::decode(&bytes(&format!("{hex}00"))).is_err(), "{hex} and more");
        assert!(variant::decode(&bytes(&hex[2..])).is_err(), "{hex} without its type");
    }
}

#[test]
fn no_rows_are_no_bytes() {
    assert!(RowWriter::new().finish().is_empty());
    assert_eq!(decode_rows(&NO_ROW), Ok(vec![]));
    assert_eq!(decode_rows(&Bytes::from_static(&HEADER)), Ok(vec![]));
    assert_eq!(decode_row(&NO_ROW), Err(DecodeError::NoHeader));
}

#[test]
fn zeros_behind_a_single_row_are_ignored_and_refused_in_a_page() {
    let mut padded = bytes(golden::DELETE_ROW).to_vec();
    padded.extend([0; 7]);
    let padded = Bytes::from(padded);
    assert!(decode_row(&padded).unwrap().delete_marker);
    let at = padded.len() - 7;
    assert_eq!(decode_rows(&padded), Err(DecodeError::Unexpected { found: 0, at }));
}

#[test]
fn what_no_request_may_have_is_counted_and_not_kept() {
    let many = row(vec![text_key("k", "v"); 50], vec![put("c", text("v"), None); 3000]);
    let buffer = encode_rows(std::slice::from_ref(&many));
    let kept = decode_row_to_write(&buffer).unwrap();
    assert_eq!((kept.key.len(), kept.cells.len(), kept.cells_left_out), (9, 1024, 1976));
    assert_eq!(decode_row(&buffer), Ok(many), "what a server answered is kept whole");
    let mut damaged = buffer.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(decode_row_to_write(&damaged.into()).is_err(), "what is not kept is checked all the same");
}

#[test]
fn values_are_slices_of_the_buffer() {
    let buffer = bytes(golden::PUT_ALL_KINDS);
    let row = decode_row(&buffer).unwrap();
    let Some(Value::Binary(blob)) = &row.cells[4].value else { panic!("the fifth cell is a binary") };
    assert!(buffer.as_ptr_range().contains(&blob.as_ptr()));
    assert!(buffer.as_ptr_range().contains(&row.cells[0].name.as_bytes().as_ptr()));
}

#[test]
fn a_row_that_is_cut_off_is_refused() {
    let buffer = bytes(golden::UPDATE_OF_EVERY_KIND);
    for end in 0..buffer.len() {
        assert!(decode_row(&buffer.slice(..end)).is_err(), "{end}");
    }
}

#[test]
fn a_flipped_bit_of_name_value_or_checksum_is_noticed() {
    let buffer = bytes(golden::PUT_WITH_TIMESTAMP);
    let row = decode_row(&buffer).unwrap();
    for at in 0..buffer.len() {
        let mut flipped = buffer.to_vec();
        flipped[at] ^= 1;
        let goes_unnoticed = decode_row(&Bytes::from(flipped)).as_ref() == Ok(&row);
        // The value's own length is under no checksum, and readers go by the type.
        assert_eq!(goes_unnoticed, VALUE_LENGTHS.contains(&at), "{at}");
    }
}

/// Where the lengths of the two values of [`golden::PUT_WITH_TIMESTAMP`] lie.
const VALUE_LENGTHS: [usize; 8] = [14, 15, 16, 17, 35, 36, 37, 38];

#[test]
fn a_key_of_a_kind_that_no_key_has_is_named() {
    let mut writer = RowWriter::new();
    writer.start_row();
    writer.key_cell("pk", ValueRef::Double(1.0));
    writer.end_row();
    let error = decode_row(&writer.finish()).unwrap_err();
    assert_eq!(error, DecodeError::KeyKind(ValueKind::Double));
    assert_eq!(error.to_string(), "VT_DOUBLE is an invalid type for the primary key.");
}

#[test]
fn cells_that_lack_what_they_need_are_refused() {
    for (value, operation, timestamp_ms) in [
        (None, CellOperation::Put, None),
        (None, CellOperation::Increment, Some(1)),
        (None, CellOperation::DeleteVersion, None),
    ] {
        let mut writer = RowWriter::new();
        writer.start_row();
        writer.key_cell("pk", ValueRef::Integer(1));
        writer.change("c", value, operation, timestamp_ms);
        writer.end_row();
        assert!(matches!(decode_row(&writer.finish()), Err(DecodeError::Shape { .. })), "{operation:?}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        (-1e300..1e300).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,40}".prop_map(|text| Value::String(text.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Binary(bytes.into())),
    ]
}

fn any_key_value() -> impl Strategy<Value = WireKeyValue> {
    prop_oneof![
        any::<i64>().prop_map(|value| WireKeyValue::Value(KeyValue::Integer(value))),
        ".{0,40}".prop_map(|text| WireKeyValue::Value(KeyValue::String(text.into()))),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| WireKeyValue::Value(KeyValue::Binary(bytes.into()))),
        Just(WireKeyValue::InfMin),
        Just(WireKeyValue::InfMax),
        Just(WireKeyValue::AutoIncrement),
    ]
}

fn any_cell() -> impl Strategy<Value = WireCell> {
    let shape = prop_oneof![
        (any_value(), any::<Option<i64>>()).prop_map(|(value, ts)| (Some(value), CellOperation::Put, ts)),
        Just((None, CellOperation::DeleteAll, None)),
        any::<i64>().prop_map(|ts| (None, CellOperation::DeleteVersion, Some(ts))),
        any::<i64>().prop_map(|by| (Some(Value::Integer(by)), CellOperation::Increment, None)),
    ];
    (".{0,20}", shape).prop_map(|(name, (value, operation, timestamp_ms))| WireCell {
        name: name.into(),
        value,
        operation,
        timestamp_ms,
    })
}

fn any_row() -> impl Strategy<Value = WireRow> {
    let sequence =
        prop::option::of(any::<(i32, i64, i32)>().prop_map(|(epoch, timestamp, row_index)| SequenceInfo {
            epoch,
            timestamp,
            row_index,
        }));
    let key = prop::collection::vec((".{0,20}".prop_map(ByteString::from), any_key_value()), 1..5);
    (key, prop::collection::vec(any_cell(), 0..6), any::<bool>(), sequence).prop_map(
        |(key, cells, delete_marker, sequence)| WireRow {
            key,
            cells,
            cells_left_out: 0,
            delete_marker,
            sequence,
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(rows in prop::collection::vec(any_row(), 0..4)) {
        let page = encode_rows(&rows);
        prop_assert_eq!(decode_rows(&page), Ok(rows));
    }

    #[test]
    fn random_bytes_are_never_a_panic(mut noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_rows(&Bytes::from(noise.clone()));
        let _ = variant::decode(&Bytes::from(noise.clone()));
        noise.splice(..0, HEADER.into_iter().chain([tag::ROW_PK, tag::CELL, tag::CELL_NAME]));
        let _ = decode_rows(&Bytes::from(noise));
    }

    #[test]
    fn mutated_rows_are_never_a_panic(
        row in any_row(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut buffer = encode_rows(&[row]).to_vec();
        for (at, byte) in mutations {
            let at = at.index(buffer.len());
            buffer[at] = byte;
        }
        let _ = decode_row(&Bytes::from(buffer.clone()));
        buffer.truncate(end.index(buffer.len()));
        let _ = decode_rows(&Bytes::from(buffer));
    }
}
