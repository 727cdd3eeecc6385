//! SQLVariant: a lone value, as filters, partition ranges and split points carry it.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{Value, ValueRef};

use super::writer::write_value;
use super::{DecodeError, kind};

/// A lone value, or an end of all values.
#[derive(Debug, Clone, PartialEq)]
pub enum Variant {
    /// A value.
    Value(Value),
    /// Below every value.
    InfMin,
    /// Above every value.
    InfMax,
}

/// Writes a value.
pub fn encode(value: ValueRef<'_>) -> Bytes {
    let mut out = Vec::with_capacity(value.size() + 5);
    write_value(&mut out, value);
    out.into()
}

/// Writes a value or an end of all values.
pub fn encode_variant(variant: &Variant) -> Bytes {
    match variant {
        Variant::Value(value) => encode(value.as_ref()),
        Variant::InfMin => Bytes::from_static(&[kind::INF_MIN]),
        Variant::InfMax => Bytes::from_static(&[kind::INF_MAX]),
    }
}

/// Takes a value that fills the whole buffer.
///
/// # Errors
/// The buffer is anything else.
pub fn decode(buffer: &Bytes) -> Result<Variant, DecodeError> {
    let Some((kind, body)) = buffer.split_first() else { return Err(DecodeError::Truncated { at: 0 }) };
    let value = match *kind {
        kind::INTEGER => Value::Integer(i64::from_le_bytes(exactly(body)?)),
        kind::DOUBLE => Value::Double(f64::from_le_bytes(exactly(body)?)),
        kind::BOOLEAN => match exactly(body)? {
            [0] => Value::Boolean(false),
            [1] => Value::Boolean(true),
            [found] => return Err(DecodeError::Unexpected { found, at: 1 }),
        },
        kind::STRING => {
            let text = ByteString::try_from(counted(buffer)?);
            Value::String(text.map_err(|_| DecodeError::NotText { at: COUNTED_AT })?)
        }
        kind::BLOB => Value::Binary(counted(buffer)?),
        kind::INF_MIN => return exactly(body).map(|[]| Variant::InfMin),
        kind::INF_MAX => return exactly(body).map(|[]| Variant::InfMax),
        found => return Err(DecodeError::Unexpected { found, at: 0 }),
    };
    Ok(Variant::Value(value))
}

/// Where the bytes of a string or binary begin: after the type and the length.
const COUNTED_AT: usize = 5;

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], DecodeError> {
    match body.get(N) {
        Some(found) => Err(DecodeError::Unexpected { found: *found, at: 1 + N }),
        None => body.first_chunk().copied().ok_or(DecodeError::Truncated { at: 1 + body.len() }),
    }
}

fn counted(buffer: &Bytes) -> Result<Bytes, DecodeError> {
    let truncated = DecodeError::Truncated { at: buffer.len() };
    let length = *buffer[1..].first_chunk().ok_or(truncated)?;
    let length = u32::from_le_bytes(length) as usize;
    match (buffer.len() - COUNTED_AT).cmp(&length) {
        std::cmp::Ordering::Equal => Ok(buffer.slice(COUNTED_AT..)),
        std::cmp::Ordering::Less => Err(truncated),
        std::cmp::Ordering::Greater => {
            let at = COUNTED_AT + length;
            Err(DecodeError::Unexpected { found: buffer[at], at })
        }
    }
}
