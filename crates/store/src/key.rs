//! Primary keys as bytes that order as the keys do.
//!
//! ```text
//! key     = column+
//! column  = INTEGER  8 bytes, big-endian, sign flipped
//!         | TEXT     bytes with 00 written as 00 FF, then 00 01
//! bound   = the same, and INF_MIN or INF_MAX for a column that is no value
//! ```
//!
//! Each column begins with a tag, so that the two infinities lie below and above every value. Strings and
//! binaries share a tag: one column never holds both, and the schema tells which it is.

use std::borrow::Cow;

use bytes::Bytes;
use lakeferry_model::{KeyBound, KeyColumn, KeyKind, KeyValue, PrimaryKey, ValueRef};
use smallvec::SmallVec;

use crate::error::Error;
use crate::shape::FoundValue;

const INF_MIN: u8 = 0x00;
const INTEGER: u8 = 0x10;
const TEXT: u8 = 0x20;
const INF_MAX: u8 = 0xFF;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xFF;
const END: u8 = 0x01;

/// Appends a primary key's bytes.
pub fn encode(key: &PrimaryKey, out: &mut Vec<u8>) {
    for value in key.values() {
        encode_value(value, out);
    }
}

/// A primary key's bytes.
pub fn encoded(key: &PrimaryKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    encode(key, &mut out);
    out
}

/// The smallest key behind this one.
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// A bound's bytes: of all row keys, exactly those of rows at or beyond the bound are greater or equal.
pub fn encode_bound(bound: &[KeyBound]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for column in bound {
        match column {
            KeyBound::InfMin => out.push(INF_MIN),
            KeyBound::Value(value) => encode_value(value, &mut out),
            KeyBound::InfMax => out.push(INF_MAX),
        }
    }
    out
}

/// Appends one column's bytes.
pub fn encode_value(value: &KeyValue, out: &mut Vec<u8>) {
    match value {
        KeyValue::Integer(value) => {
            out.push(INTEGER);
            // Flipping the sign bit puts the negative numbers below the positive ones.
            out.extend_from_slice(&((*value as u64) ^ (1 << 63)).to_be_bytes());
        }
        KeyValue::String(text) => encode_text(text.as_bytes(), out),
        KeyValue::Binary(bytes) => encode_text(bytes, out),
    }
}

fn encode_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(TEXT);
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == ESCAPE) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[ESCAPE, ESCAPED_ZERO]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[ESCAPE, END]);
}

/// The bytes of a row key's first column: the partition key, under which rows can be written together.
pub fn partition_key(key: &[u8]) -> &[u8] {
    let length = match key.first() {
        Some(&INTEGER) => 9,
        Some(&TEXT) => text_end(key),
        _ => key.len(),
    };
    &key[..length.min(key.len())]
}

/// Where text ends that begins at the front, its end mark included.
fn text_end(key: &[u8]) -> usize {
    let mut at = 0;
    while let Some(zero) = key[at..].iter().position(|byte| *byte == ESCAPE) {
        at += zero + 2;
        if key.get(at - 1) != Some(&ESCAPED_ZERO) {
            break;
        }
    }
    if at == 0 { key.len() } else { at }
}

/// One column of a key as it lies in the key's bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPart<'a> {
    /// An integer.
    Integer(i64),
    /// Text; copied only where it holds a zero byte.
    String(Cow<'a, str>),
    /// Bytes; copied only where they hold a zero byte.
    Binary(Cow<'a, [u8]>),
}

impl KeyPart<'_> {
    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::String(text) => ValueRef::String(text),
            Self::Binary(bytes) => ValueRef::Binary(bytes),
        }
    }

    /// The value, owned.
    pub fn to_value(&self) -> KeyValue {
        match self {
            Self::Integer(value) => KeyValue::Integer(*value),
            Self::String(text) => KeyValue::String(text.as_ref().into()),
            Self::Binary(bytes) => KeyValue::Binary(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// Takes a row key apart, column by column.
#[derive(Debug, Clone)]
pub struct KeyParts<'a> {
    rest: &'a [u8],
    columns: std::slice::Iter<'a, KeyColumn>,
}

/// The columns of a row key, in schema order. Damaged bytes end in an error.
pub fn parts<'a>(key: &'a [u8], columns: &'a [KeyColumn]) -> KeyParts<'a> {
    KeyParts { rest: key, columns: columns.iter() }
}

/// Hands over the columns of a row key, in schema order, as [`parts`] finds them. Only text without a zero byte is
/// handed over as bytes of which nobody has made sure that they are UTF-8.
///
/// # Errors
/// If the key does not fit its schema, and what `take` says; what lies before was handed over.
#[inline]
pub fn each_part<E: From<Error>>(
    key: &[u8],
    columns: &[KeyColumn],
    mut take: impl FnMut(usize, FoundValue<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = key;
    for (position, column) in columns.iter().enumerate() {
        match (column.kind, rest) {
            (KeyKind::Integer, [INTEGER, after @ ..]) => {
                let (bytes, after) = after.split_first_chunk::<8>().ok_or_else(misfit)?;
                take(position, FoundValue::Other(ValueRef::Integer(integer(*bytes))))?;
                rest = after;
            }
            // Text without a zero byte ends at the first one.
            (KeyKind::String, [TEXT, text @ ..]) if let Some(end) = plain_end(text) => {
                take(position, FoundValue::Text(&text[..end]))?;
                rest = &text[end + 2..];
            }
            _ => {
                let mut parts = KeyParts { rest, columns: columns[position..=position].iter() };
                let part = parts.next().ok_or_else(misfit)??;
                take(position, FoundValue::Other(part.as_ref()))?;
                rest = parts.rest;
            }
        }
    }
    Ok(())
}

/// Where text ends, if it holds no zero byte.
#[inline]
fn plain_end(text: &[u8]) -> Option<usize> {
    let zero = memchr::memchr(ESCAPE, text)?;
    (text.get(zero + 1) == Some(&END)).then_some(zero)
}

fn integer(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

#[cold]
fn misfit() -> Error {
    Error::Corrupt("a row key does not fit its schema".into())
}

impl<'a> Iterator for KeyParts<'a> {
    type Item = Result<KeyPart<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let column = self.columns.next()?;
        Some(self.part(column.kind).ok_or_else(misfit))
    }
}

impl<'a> KeyParts<'a> {
    fn part(&mut self, kind: KeyKind) -> Option<KeyPart<'a>> {
        let (tag, rest) = self.rest.split_first()?;
        match (kind, *tag) {
            (KeyKind::Integer, INTEGER) => {
                let (bytes, rest) = rest.split_first_chunk::<8>()?;
                self.rest = rest;
                Some(KeyPart::Integer(integer(*bytes)))
            }
            (KeyKind::String, TEXT) => match self.text(rest)? {
                Cow::Borrowed(bytes) => {
                    Some(KeyPart::String(Cow::Borrowed(std::str::from_utf8(bytes).ok()?)))
                }
                Cow::Owned(bytes) => Some(KeyPart::String(Cow::Owned(String::from_utf8(bytes).ok()?))),
            },
            (KeyKind::Binary, TEXT) => Some(KeyPart::Binary(self.text(rest)?)),
            _ => None,
        }
    }

    fn text(&mut self, from: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let zero = from.iter().position(|byte| *byte == ESCAPE)?;
        if from.get(zero + 1) == Some(&END) {
            self.rest = &from[zero + 2..];
            return Some(Cow::Borrowed(&from[..zero]));
        }
        let mut text = from[..zero].to_vec();
        let mut rest = &from[zero..];
        loop {
            match rest {
                [ESCAPE, END, after @ ..] => {
                    self.rest = after;
                    return Some(Cow::Owned(text));
                }
                [ESCAPE, ESCAPED_ZERO, after @ ..] => {
                    text.push(0);
                    rest = after;
                }
                [ESCAPE, ..] | [] => return None,
                [byte, after @ ..] => {
                    text.push(*byte);
                    rest = after;
                }
            }
        }
    }
}

/// The bytes of each column of a row key, in schema order.
///
/// # Errors
/// If the bytes do not fit the schema.
pub fn split<'a>(key: &'a [u8], columns: &'a [KeyColumn]) -> Result<SmallVec<[&'a [u8]; 4]>, Error> {
    let mut parts = parts(key, columns);
    let mut pieces = SmallVec::new();
    let mut rest = key;
    while let Some(part) = parts.next() {
        part?;
        let (piece, behind) = rest.split_at(rest.len() - parts.rest.len());
        pieces.push(piece);
        rest = behind;
    }
    Ok(pieces)
}

/// The whole key as a value of the model.
///
/// # Errors
/// If the bytes do not fit the schema.
pub fn decode(key: &[u8], columns: &[KeyColumn]) -> Result<PrimaryKey, Error> {
    let values: Result<Vec<KeyValue>, Error> =
        parts(key, columns).map(|part| part.map(|part| part.to_value())).collect();
    values.map(PrimaryKey::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Vec<KeyColumn> {
        let column = |name: &str, kind| KeyColumn { name: name.into(), kind, auto_increment: false };
        vec![column("s", KeyKind::String), column("i", KeyKind::Integer), column("b", KeyKind::Binary)]
    }

    fn any_key() -> impl Strategy<Value = PrimaryKey> {
        let text = prop::collection::vec(prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('é')], 0..4);
        let bytes = prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..4);
        (text, any::<i64>(), bytes).prop_map(|(text, integer, bytes)| {
            let text: String = text.into_iter().collect();
            PrimaryKey::new(vec![
                KeyValue::String(text.into()),
                KeyValue::Integer(integer),
                KeyValue::Binary(bytes.into()),
            ])
        })
    }

    fn bytes_of(key: &PrimaryKey) -> Vec<u8> {
        let mut out = Vec::new();
        encode(key, &mut out);
        out
    }

    /// A key's bytes, whole or with one of them changed, or cut off, or any bytes, mostly those that mean something.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = || prop_oneof![prop::sample::select(vec![0_u8, 1, 0x10, 0x20, 0xFF]), any::<u8>()];
        let whole = || any_key().prop_map(|key| bytes_of(&key));
        let at = any::<prop::sample::Index>;
        prop_oneof![
            whole(),
            (whole(), at(), byte()).prop_map(|(mut bytes, at, byte)| {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }),
            (whole(), at()).prop_map(|(bytes, at)| bytes[..at.index(bytes.len())].to_vec()),
            prop::collection::vec(byte(), 0..24),
        ]
    }

    /// A part of a key as a kind and bytes.
    type Plain = (KeyKind, Vec<u8>);

    fn plain(value: ValueRef<'_>) -> Plain {
        match value {
            ValueRef::Integer(value) => (KeyKind::Integer, value.to_be_bytes().to_vec()),
            ValueRef::String(text) => (KeyKind::String, text.as_bytes().to_vec()),
            ValueRef::Binary(bytes) => (KeyKind::Binary, bytes.to_vec()),
            other => panic!("{other:?} is in no key"),
        }
    }

    /// Why a key was not handed over whole.
    #[derive(Debug, PartialEq)]
    enum Stop {
        Damaged,
        Enough,
    }

    impl From<Error> for Stop {
        fn from(error: Error) -> Self {
            assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
            Self::Damaged
        }
    }

    /// What `each_part` hands over, at most so many columns of it.
    fn handed_over(key: &[u8], columns: &[KeyColumn], at_most: usize) -> (Vec<Plain>, Result<(), Stop>) {
        let mut parts = Vec::new();
        let outcome = each_part(key, columns, |position, value| {
            if position == at_most {
                return Err(Stop::Enough);
            }
            assert_eq!(position, parts.len());
            parts.push(match value {
                FoundValue::Text(text) => (KeyKind::String, text.to_vec()),
                FoundValue::Other(value) => plain(value),
            });
            Ok(())
        });
        (parts, outcome)
    }

    /// The same by way of `parts`, which finds bytes where the schema says text: only those with a zero byte among them
    /// must be UTF-8.
    fn found(key: &[u8], columns: &[KeyColumn]) -> (Vec<Plain>, Result<(), Stop>) {
        let as_bytes: Vec<KeyColumn> = columns
            .iter()
            .map(|column| match column.kind {
                KeyKind::String => KeyColumn { kind: KeyKind::Binary, ..column.clone() },
                KeyKind::Integer | KeyKind::Binary => column.clone(),
            })
            .collect();
        let mut found = Vec::new();
        for (part, column) in parts(key, &as_bytes).zip(columns) {
            let Ok(part) = part else { return (found, Err(Stop::Damaged)) };
            let (_, bytes) = plain(part.as_ref());
            if column.kind == KeyKind::String && bytes.contains(&0) && std::str::from_utf8(&bytes).is_err() {
                return (found, Err(Stop::Damaged));
            }
            found.push((column.kind, bytes));
        }
        (found, Ok(()))
    }

    fn is_text(part: &Plain) -> bool {
        part.0 != KeyKind::String || std::str::from_utf8(&part.1).is_ok()
    }

    #[test]
    fn text_with_a_zero_byte_is_handed_over_checked() {
        let columns = &columns()[..1];
        let mut key = Vec::new();
        encode_text("a\0é".as_bytes(), &mut key);
        let whole = handed_over(&key, columns, usize::MAX);
        assert_eq!(whole, (vec![(KeyKind::String, "a\0é".as_bytes().to_vec())], Ok(())));
        for (bytes, expected) in [(&b"\xC3"[..], Ok(())), (b"\xC3\0", Err(Stop::Damaged))] {
            key.clear();
            encode_text(bytes, &mut key);
            assert_eq!(handed_over(&key, columns, usize::MAX).1, expected, "{bytes:?}");
            assert!(decode(&key, columns).is_err());
        }
    }

    #[test]
    fn a_key_that_ends_early_is_handed_over_up_to_there() {
        let values = vec![KeyValue::String("s".into()), KeyValue::Integer(-1), KeyValue::Binary("b".into())];
        let whole = bytes_of(&PrimaryKey::new(values.clone()));
        let ends = [4, 4 + 9, whole.len()];
        for length in 0..whole.len() {
            let (parts, outcome) = handed_over(&whole[..length], &columns(), usize::MAX);
            assert_eq!(outcome, Err(Stop::Damaged), "{length} of {} bytes", whole.len());
            let expected = values.iter().zip(ends).filter(|(_, end)| *end <= length);
            assert_eq!(parts, expected.map(|(value, _)| plain(value.as_ref())).collect::<Vec<_>>());
        }
        assert_eq!(handed_over(&whole, &columns(), usize::MAX).0.len(), 3);
    }

    proptest! {
        #[test]
        fn the_parts_that_are_handed_over_are_those_that_are_found(bytes in any_bytes()) {
            let columns = columns();
            let (handed, outcome) = handed_over(&bytes, &columns, usize::MAX);
            prop_assert_eq!(&(handed.clone(), outcome), &found(&bytes, &columns));
            // Up to text that is none, `parts` finds the same with the types of the schema itself.
            let of_parts: Vec<Plain> = parts(&bytes, &columns)
                .map_while(Result::ok)
                .take(handed.len())
                .map(|part| plain(part.as_ref()))
                .collect();
            let texts: Vec<Plain> = handed.iter().take_while(|part| is_text(part)).cloned().collect();
            prop_assert_eq!(of_parts, texts);
        }

        #[test]
        fn who_takes_the_parts_may_end_them(key in any_key(), count in 0..3_usize) {
            let (parts, outcome) = handed_over(&bytes_of(&key), &columns(), count);
            prop_assert_eq!(outcome, Err(Stop::Enough));
            let expected: Vec<Plain> = key.values()[..count].iter().map(|v| plain(v.as_ref())).collect();
            prop_assert_eq!(parts, expected);
        }

        #[test]
        fn bytes_order_as_keys_do(a in any_key(), b in any_key()) {
            prop_assert_eq!(bytes_of(&a).cmp(&bytes_of(&b)), a.cmp(&b));
        }

        #[test]
        fn a_key_comes_back_as_it_was(key in any_key()) {
            prop_assert_eq!(decode(&bytes_of(&key), &columns()).unwrap(), key);
        }

        #[test]
        fn a_key_is_the_pieces_of_its_columns(key in any_key()) {
            let bytes = bytes_of(&key);
            let columns = columns();
            let pieces = split(&bytes, &columns).unwrap();
            let of_values: Vec<Vec<u8>> =
                key.values().iter().map(|value| bytes_of(&PrimaryKey::new(vec![value.clone()]))).collect();
            prop_assert_eq!(pieces.to_vec(), of_values);
        }

        #[test]
        fn damaged_keys_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = decode(&bytes, &columns());
            let _ = partition_key(&bytes);
        }

        #[test]
        fn the_partition_key_is_the_first_column(key in any_key(), number in any::<i64>()) {
            let mut first = Vec::new();
            encode_value(&key.values()[0], &mut first);
            let whole = bytes_of(&key);
            prop_assert_eq!(partition_key(&whole), &first);
            let number = PrimaryKey::new(vec![KeyValue::Integer(number), key.values()[0].clone()]);
            let number = bytes_of(&number);
            prop_assert_eq!(partition_key(&number), &number[..9]);
        }

        #[test]
        fn infinities_enclose_every_value(key in any_key()) {
            let first = KeyBound::Value(key.values()[0].clone());
            let low = encode_bound(&[first.clone(), KeyBound::InfMin, KeyBound::InfMin]);
            let high = encode_bound(&[first, KeyBound::InfMax, KeyBound::InfMin]);
            let bytes = bytes_of(&key);
            prop_assert!(low < bytes && bytes < high);
        }
    }
}
