//! Values of cells and of primary keys.
//!
//! Strings and binaries are counted references into the buffer they were decoded from, so that taking a row
//! out of a request copies none of its bytes.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

/// The value of an attribute cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A 64-bit signed integer.
    Integer(i64),
    /// An IEEE 754 double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// UTF-8 text.
    String(ByteString),
    /// Any bytes.
    Binary(Bytes),
}

/// A borrowed [`Value`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// A 64-bit signed integer.
    Integer(i64),
    /// An IEEE 754 double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// UTF-8 text.
    String(&'a str),
    /// Any bytes.
    Binary(&'a [u8]),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValueKind {
    /// A 64-bit signed integer.
    Integer,
    /// An IEEE 754 double.
    Double,
    /// A boolean.
    Boolean,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Binary,
}

/// The value of a primary key column. Integers order by value, strings and binaries by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyValue {
    /// A 64-bit signed integer.
    Integer(i64),
    /// UTF-8 text.
    String(ByteString),
    /// Any bytes.
    Binary(Bytes),
}

impl Value {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Double(value) => ValueRef::Double(*value),
            Self::Boolean(value) => ValueRef::Boolean(*value),
            Self::String(value) => ValueRef::String(value),
            Self::Binary(value) => ValueRef::Binary(value),
        }
    }

    /// The value's type.
    pub fn kind(&self) -> ValueKind {
        self.as_ref().kind()
    }

    /// The size that limits and capacity units count, in bytes.
    pub fn size(&self) -> usize {
        self.as_ref().size()
    }
}

impl ValueRef<'_> {
    /// The value's type.
    pub fn kind(self) -> ValueKind {
        match self {
            Self::Integer(_) => ValueKind::Integer,
            Self::Double(_) => ValueKind::Double,
            Self::Boolean(_) => ValueKind::Boolean,
            Self::String(_) => ValueKind::String,
            Self::Binary(_) => ValueKind::Binary,
        }
    }

    /// The size that limits and capacity units count, in bytes: 8 for a number, 1 for a boolean, else the
    /// length.
    pub fn size(self) -> usize {
        match self {
            Self::Integer(_) | Self::Double(_) => 8,
            Self::Boolean(_) => 1,
            Self::String(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// An owned copy.
    pub fn to_value(self) -> Value {
        match self {
            Self::Integer(value) => Value::Integer(value),
            Self::Double(value) => Value::Double(value),
            Self::Boolean(value) => Value::Boolean(value),
            Self::String(text) => Value::String(text.into()),
            Self::Binary(bytes) => Value::Binary(Bytes::copy_from_slice(bytes)),
        }
    }
}

impl ValueKind {
    /// The protocol's name of the type in messages: `VT_INTEGER` and so on.
    pub fn protocol_name(self) -> &'static str {
        match self {
            Self::Integer => "VT_INTEGER",
            Self::Double => "VT_DOUBLE",
            Self::Boolean => "VT_BOOLEAN",
            Self::String => "VT_STRING",
            Self::Binary => "VT_BLOB",
        }
    }
}

impl KeyValue {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::String(value) => ValueRef::String(value),
            Self::Binary(value) => ValueRef::Binary(value),
        }
    }

    /// The size that limits and capacity units count, in bytes.
    pub fn size(&self) -> usize {
        self.as_ref().size()
    }
}

/// As messages of the protocol name a key: an integer, the text itself, or bytes in hexadecimal.
impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::String(text) => f.write_str(text),
            Self::Binary(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl Ord for KeyValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            // One column holds one type, so these never meet within a table; any fixed order will do.
            (a, b) => a.as_ref().kind().cmp(&b.as_ref().kind()),
        }
    }
}

impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
