//! Rows against their schema: what is matched, what is dirty, what is counted.

use std::error::Error;
use std::str::Utf8Error;
use std::sync::Arc;

use lakeferry_lake::{EncodeError, EncodedObject, ObjectEncoder, ObjectSchema, Operation, RowMeta};
use lakeferry_model::delivery::{Compression, Encoding, Field, FieldKind};
use lakeferry_model::{Value, ValueKind, ValueRef};
use proptest::prelude::*;

use crate::rows::{META, decode, encoder, manual, plain, table};

fn text(text: &str) -> Option<Value> {
    Some(Value::String(text.into()))
}

fn mapped(source: &str, target: &str, kind: FieldKind) -> Field {
    Field { source: source.to_owned(), ..plain(target, kind) }
}

#[test]
fn keys_attributes_and_reserved_sources_lie_in_schema_order() {
    let schema = manual(&[
        plain("b", FieldKind::Double),
        mapped("$operation", "op", FieldKind::Utf8),
        mapped("pk", "key", FieldKind::Utf8),
        mapped("$sequence", "seq", FieldKind::Int64),
        mapped("$commit_time", "at", FieldKind::Int64),
        plain("a", FieldKind::Int64),
    ]);
    let mut encoder = encoder(&schema);
    let cells = [("a", ValueRef::Integer(1)), ("b", ValueRef::Double(0.5))];
    encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
    let deleted = RowMeta { operation: Operation::Delete, commit_time: 5, sequence: 42 };
    encoder.push(deleted, &[ValueRef::String("k")], []).unwrap();
    let object = decode(&encoder.finish().unwrap());
    assert_eq!(object.columns, ["b", "op", "key", "seq", "at", "a"]);
    let integer = |value| Some(Value::Integer(value));
    assert_eq!(
        object.rows,
        [
            vec![
                Some(Value::Double(0.5)),
                text("PUT"),
                text("k"),
                integer(41),
                integer(META.commit_time),
                integer(1)
            ],
            vec![None, text("DELETE"), text("k"), integer(42), integer(5), None],
        ]
    );
}

#[test]
fn a_field_of_the_wrong_type_is_dirty_and_its_row_is_delivered() {
    let schema =
        manual(&[plain("pk", FieldKind::Bool), plain("n", FieldKind::Int64), plain("d", FieldKind::Double)]);
    let mut encoder = encoder(&schema);
    let rows = [("n", ValueRef::Double(1.0)), ("n", ValueRef::Integer(7)), ("d", ValueRef::Integer(1))];
    let mut dirty = Vec::new();
    for cell in rows {
        encoder.push(META, &[ValueRef::String("true")], [cell]).unwrap();
        dirty.push(encoder.dirty_columns().to_vec());
    }
    assert_eq!(dirty, [vec![0, 1], vec![0], vec![0, 2]]);
    let object = encoder.finish().unwrap();
    let count = |name: &str, count| (name.to_owned(), count);
    assert_eq!(object.dirty, [count("pk", 3), count("n", 1), count("d", 1)]);
    let read = decode(&object);
    assert_eq!(read.column("pk").unwrap(), [None, None, None]);
    assert_eq!(read.column("n").unwrap(), [None, Some(&Value::Integer(7)), None]);
}

#[test]
fn cells_without_a_column_are_counted_by_name() {
    let mut encoder = encoder(&manual(&[plain("a", FieldKind::Int64)]));
    for number in 0..2000 {
        let other = format!("x{number}");
        let cells = [
            ("a", ValueRef::Integer(1)),
            ("lost", ValueRef::Boolean(true)),
            (other.as_str(), ValueRef::Integer(number)),
        ];
        encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
    }
    let object = encoder.finish().unwrap();
    assert_eq!(object.undelivered[0], ("lost".to_owned(), 2000));
    assert_eq!(object.undelivered.len(), 1024);
    assert_eq!(object.undelivered_kinds.len(), 1024);
    assert_eq!(object.undelivered_kinds[0], ("lost".to_owned(), ValueKind::Boolean));
    assert_eq!(object.undelivered_kinds[1], ("x0".to_owned(), ValueKind::Integer));
    assert_eq!(object.undelivered_others, 2000 - 1023);
    assert!(object.dirty.is_empty());
    assert_eq!(decode(&object).column("a").unwrap().iter().flatten().count(), 2000);
}

#[test]
fn one_source_may_feed_columns_of_several_types() {
    let schema = manual(&[mapped("v", "number", FieldKind::Int64), mapped("v", "text", FieldKind::Utf8)]);
    let mut encoder = encoder(&schema);
    for value in [ValueRef::Integer(1), ValueRef::String("x")] {
        encoder.push(META, &[ValueRef::String("k")], [("v", value)]).unwrap();
    }
    let object = encoder.finish().unwrap();
    assert_eq!(decode(&object).rows, [[Some(Value::Integer(1)), None], [None, text("x")]]);
    assert_eq!(object.dirty, [("number".to_owned(), 1), ("text".to_owned(), 1)]);
}

#[test]
fn of_two_cells_of_one_name_the_first_counts() {
    let mut encoder = encoder(&manual(&[plain("a", FieldKind::Int64)]));
    let cells = [("a", ValueRef::Integer(1)), ("a", ValueRef::Integer(2))];
    encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
    encoder.push(META, &[ValueRef::String("k")], []).unwrap();
    assert_eq!(decode(&encoder.finish().unwrap()).rows, [[Some(Value::Integer(1))], [None]]);
}

#[test]
fn a_key_column_takes_no_attribute_of_its_name() {
    let mut encoder = encoder(&manual(&[plain("pk", FieldKind::Utf8)]));
    encoder.push(META, &[ValueRef::String("k")], [("pk", ValueRef::String("other"))]).unwrap();
    let object = encoder.finish().unwrap();
    assert_eq!(decode(&object).rows, [[text("k")]]);
    assert_eq!(object.undelivered, [("pk".to_owned(), 1)]);
}

#[test]
fn metadata_and_checksum_go_with_the_object() {
    let metadata =
        [("lakeferry.task".to_owned(), "7".to_owned()), ("lakeferry.lane".to_owned(), "0".to_owned())];
    let schema = manual(&[plain("pk", FieldKind::Utf8)]);
    let mut encoder = ObjectEncoder::new(schema, Compression::None, &metadata).unwrap();
    encoder.push(META, &[ValueRef::String("k")], []).unwrap();
    let object = encoder.finish().unwrap();
    assert_eq!(decode(&object).metadata, metadata);
    assert_eq!(object.crc32, crc32fast::hash(&object.bytes));
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let bytes = || {
        let mut encoder = encoder(&manual(&[plain("pk", FieldKind::Utf8), plain("a", FieldKind::Int64)]));
        for number in 0..20_000 {
            encoder.push(META, &[ValueRef::String("k")], [("a", ValueRef::Integer(number))]).unwrap();
        }
        encoder.finish().unwrap().bytes
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn large_values_end_a_batch_early() {
    let mut encoder = encoder(&manual(&[plain("a", FieldKind::Utf8)]));
    let large = "x".repeat(2 * 1024 * 1024);
    for _ in 0..40 {
        encoder.push(META, &[ValueRef::String("k")], [("a", ValueRef::String(&large))]).unwrap();
        assert!(encoder.memory_bytes() < 64 * 1024 * 1024, "{}", encoder.memory_bytes());
    }
    assert_eq!(encoder.rows(), 40);
    let read = decode(&encoder.finish().unwrap());
    assert!(read.rows.iter().all(|row| row[0] == text(&large)));
}

#[test]
fn a_wide_open_schema_takes_sparse_rows() {
    let names: Vec<String> = (0..1023).map(|number| format!("c{number:04}")).collect();
    let seen = names.iter().map(|name| (name.as_str(), ValueKind::Integer));
    let schema = ObjectSchema::automatic(&table(), false).widened_with_all(seen).unwrap();
    assert_eq!(schema.columns().len(), 1024);
    let mut encoder = encoder(&Arc::new(schema));
    for (number, name) in names.iter().enumerate() {
        let value = ValueRef::Integer(i64::try_from(number).unwrap());
        encoder.push(META, &[ValueRef::String("k")], [(name.as_str(), value)]).unwrap();
    }
    let read = decode(&encoder.finish().unwrap());
    for (number, row) in read.rows.iter().enumerate() {
        assert_eq!(row.iter().flatten().count(), 2);
        assert_eq!(row[number + 1], Some(Value::Integer(i64::try_from(number).unwrap())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// The encoder against the plainest model of it: a row is a map from names to integers.
    #[test]
    fn rows_of_any_shape_lie_in_their_columns(
        rows in prop::collection::vec(prop::collection::btree_map("[a-h]", any::<i64>(), 0..8), 1..80),
        delivered in prop::collection::btree_set("[a-h]", 1..8),
    ) {
        let fields: Vec<Field> = delivered.iter().map(|name| plain(name, FieldKind::Int64)).collect();
        let mut encoder = encoder(&manual(&fields));
        for row in &rows {
            let cells = row.iter().map(|(name, value)| (name.as_str(), ValueRef::Integer(*value)));
            encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
        }
        let object = encoder.finish().unwrap();
        let expected: Vec<Vec<Option<Value>>> = rows
            .iter()
            .map(|row| delivered.iter().map(|name| row.get(name).copied().map(Value::Integer)).collect())
            .collect();
        prop_assert_eq!(&decode(&object).rows, &expected);
        let lost: u64 = object.undelivered.iter().map(|(_, count)| count).sum();
        let expected_lost = rows.iter().flat_map(|row| row.keys()).filter(|name| !delivered.contains(*name));
        prop_assert_eq!(lost, expected_lost.count() as u64);
    }
}

#[test]
fn rows_cross_batches_unchanged() {
    let schema = manual(&[Field { encoding: Encoding::PlainDictionary, ..plain("a", FieldKind::Utf8) }]);
    let mut encoder = encoder(&schema);
    for number in 0..20_000 {
        let value = format!("{}", number % 7);
        let cells = (number % 3 != 0).then_some(("a", ValueRef::String(&value)));
        encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
    }
    let read = decode(&encoder.finish().unwrap());
    for (number, row) in read.rows.iter().enumerate() {
        let expected = if number % 3 == 0 { None } else { text(&format!("{}", number % 7)) };
        assert_eq!(row[0], expected, "{number}");
    }
}

/// An object of one column whose texts nobody has made sure of.
fn unchecked(column: &Field, texts: &[&[u8]]) -> Result<EncodedObject, Box<dyn Error>> {
    let mut encoder = encoder(&manual(std::slice::from_ref(column)));
    let number = encoder.names().position(|name| name == column.source).unwrap();
    for text in texts {
        encoder.begin_row(META);
        encoder.set_text(number, text)?;
        encoder.end_row()?;
    }
    Ok(encoder.finish()?)
}

#[test]
fn text_that_is_made_sure_of_by_the_batch_comes_back() {
    let object = unchecked(&plain("a", FieldKind::Utf8), &["漢".as_bytes(), b"", "🦀".as_bytes()]).unwrap();
    assert_eq!(decode(&object).rows, [[text("漢")], [text("")], [text("🦀")]]);
}

fn assert_is_no_text(refused: &(dyn Error + 'static)) {
    assert!(matches!(refused.downcast_ref(), Some(EncodeError::Text(_))), "{refused:?}");
    let cause = refused.source().unwrap().to_string();
    assert!(cause.to_lowercase().contains("utf"), "{cause}");
}

#[test]
fn bytes_that_are_no_text_end_the_object() {
    let character = "漢".as_bytes();
    let plain_text = plain("a", FieldKind::Utf8);
    // The second pair is text as a whole, and none of its cells is.
    for texts in [[b"good".as_slice(), b"\xff\xfe"], [&character[..1], &character[1..]]] {
        assert_is_no_text(&*unchecked(&plain_text, &texts).unwrap_err());
    }
    // Columns of other types are made sure of on sight.
    for other in [FieldKind::Int64, FieldKind::Date] {
        assert!(unchecked(&plain("a", other), &[b"\xff"]).is_err(), "{other:?}");
    }
}

/// An object of rows that have nothing but a key, whose text nobody has made sure of.
fn unchecked_keys(columns: &[Field], keys: &[&[u8]]) -> Result<EncodedObject, Box<dyn Error>> {
    let mut encoder = encoder(&manual(columns));
    for key in keys {
        encoder.begin_row(META);
        encoder.set_key_text(0, key)?;
        encoder.end_row()?;
    }
    Ok(encoder.finish()?)
}

fn key_column(target: &str, kind: FieldKind, type_extend: Option<&str>) -> Field {
    Field { type_extend: type_extend.map(str::to_owned), ..mapped("pk", target, kind) }
}

#[test]
fn key_text_comes_back_from_columns_of_every_type() {
    let keys = ["漢".as_bytes(), b"", b"2020-08-31"];
    let text_column = key_column("k", FieldKind::Utf8, None);
    let object = unchecked_keys(std::slice::from_ref(&text_column), &keys).unwrap();
    assert_eq!(decode(&object).rows, [[text("漢")], [text("")], [text("2020-08-31")]]);

    let object = unchecked_keys(&[key_column("k", FieldKind::Date, None)], &keys).unwrap();
    assert_eq!(decode(&object).rows, [[None], [None], [Some(Value::Integer(18_505))]]);
    assert_eq!(object.dirty, [("k".to_owned(), 2)]);

    let binary_column = key_column("b", FieldKind::Utf8, Some("BINARY"));
    let object = unchecked_keys(std::slice::from_ref(&binary_column), &keys).unwrap();
    let binary = |bytes: &[u8]| Some(Value::Binary(bytes.to_vec().into()));
    assert_eq!(decode(&object).rows, keys.map(|key| [binary(key)]));

    let object = unchecked_keys(&[text_column, binary_column], &keys).unwrap();
    let both = keys.map(|key| vec![text(std::str::from_utf8(key).unwrap()), binary(key)]);
    assert_eq!(decode(&object).rows, both);

    // A key that no column takes is left out, and is no lost cell.
    let object = unchecked_keys(&[plain("a", FieldKind::Int64)], &keys).unwrap();
    assert_eq!(decode(&object).rows, [[None], [None], [None]]);
    assert!(object.undelivered.is_empty());
}

#[test]
fn key_bytes_that_are_no_text_end_the_object() {
    let character = "漢".as_bytes();
    let text_column = || key_column("k", FieldKind::Utf8, None);
    // The second pair is text as a whole, and none of its keys is.
    for keys in [[b"good".as_slice(), b"\xff\xfe"], [&character[..1], &character[1..]]] {
        assert_is_no_text(&*unchecked_keys(&[text_column()], &keys).unwrap_err());
    }
    // Until then nobody asks.
    let mut encoder = encoder(&manual(&[text_column()]));
    encoder.begin_row(META);
    encoder.set_key_text(0, &character[..1]).unwrap();
    encoder.end_row().unwrap();
    // Text for columns of other types, for several columns, and for none is made sure of on sight.
    for columns in [
        vec![key_column("k", FieldKind::Date, None)],
        vec![key_column("k", FieldKind::Utf8, Some("BINARY"))],
        vec![text_column(), key_column("b", FieldKind::Utf8, Some("BINARY"))],
        vec![text_column(), key_column("l", FieldKind::Utf8, None)],
        vec![plain("a", FieldKind::Utf8)],
    ] {
        for bytes in [b"\xff", &character[..1]] {
            let refused = unchecked_keys(&columns, &[bytes]).unwrap_err();
            assert!(refused.is::<Utf8Error>(), "{columns:?}: {refused}");
        }
    }
}

#[test]
fn a_row_that_is_taken_back_leaves_no_text_of_its_key() {
    let columns = [key_column("k", FieldKind::Utf8, None), key_column("b", FieldKind::Utf8, Some("BINARY"))];
    for columns in [&columns[..1], &columns[1..], &columns] {
        let all = |taken_back: Option<&[u8]>| {
            let mut encoder = encoder(&manual(columns));
            for key in ["one", "", "three"] {
                if let Some(text) = taken_back {
                    encoder.begin_row(META);
                    // Where it is refused on sight, it is taken back as well.
                    let _ = encoder.set_key_text(0, text);
                    encoder.take_row_back();
                }
                encoder.begin_row(META);
                encoder.set_key_text(0, key.as_bytes()).unwrap();
                encoder.end_row().unwrap();
            }
            encoder.finish().unwrap()
        };
        let without = all(None);
        for text in [b"taken back".as_slice(), b"", b"\xff no text"] {
            let with = all(Some(text));
            assert_eq!((with.rows, &with.bytes), (3, &without.bytes), "{text:?}");
        }
    }
}

#[test]
fn a_row_that_is_taken_back_leaves_nothing() {
    let kinds = [FieldKind::Int64, FieldKind::Utf8, FieldKind::Bool, FieldKind::Double, FieldKind::Date];
    let fields: Vec<Field> =
        ["a", "b", "c", "d", "e"].into_iter().zip(kinds).map(|(n, k)| plain(n, k)).collect();
    let all = |taken_back: bool| {
        let mut encoder = encoder(&manual(&fields));
        encoder.push(META, &[ValueRef::String("k")], [("lost", ValueRef::Integer(1))]).unwrap();
        let number = |encoder: &ObjectEncoder, name: &str| encoder.names().position(|n| n == name).unwrap();
        for row in 0..3_i64 {
            if taken_back {
                encoder.begin_row(META);
                encoder.set_cell(number(&encoder, "a"), ValueRef::Integer(-1));
                encoder.set_text(number(&encoder, "b"), b"taken back").unwrap();
                encoder.set_cell(number(&encoder, "c"), ValueRef::Boolean(true));
                encoder.set_cell(number(&encoder, "d"), ValueRef::String("dirty"));
                encoder.set_cell(number(&encoder, "e"), ValueRef::Integer(7));
                encoder.set_cell(number(&encoder, "lost"), ValueRef::Integer(2));
                encoder.take_row_back();
            }
            encoder.begin_row(META);
            encoder.set_cell(number(&encoder, "a"), ValueRef::Integer(row));
            encoder.set_text(number(&encoder, "b"), b"kept").unwrap();
            if row == 1 {
                encoder.set_cell(number(&encoder, "c"), ValueRef::Boolean(false));
            }
            encoder.end_row().unwrap();
        }
        encoder.finish().unwrap()
    };
    let (without, with) = (all(false), all(true));
    assert_eq!(decode(&with).rows, decode(&without).rows);
    assert_eq!(with.bytes, without.bytes);
    assert_eq!((with.dirty, with.undelivered), (without.dirty, without.undelivered));
    assert_eq!(with.rows, 4);
}
