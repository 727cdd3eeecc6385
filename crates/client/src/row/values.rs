//! Which of Rust's types can be values of keys and of columns.

use bytes::Bytes;
use bytestring::ByteString;
use lakeferry_model::{KeyValue, Value};

/// What can be the value of a primary key column.
pub trait IntoKeyValue {
    /// The value.
    fn into_key_value(self) -> KeyValue;
}

/// What can be the value of an attribute column.
pub trait IntoValue {
    /// The value.
    fn into_value(self) -> Value;
}

macro_rules! values {
    ($trait:ident, $method:ident, $target:ident: $($from:ty => |$value:ident| $into:expr;)*) => {$(
        impl $trait for $from {
            fn $method(self) -> $target {
                let $value = self;
                $into
            }
        }
    )*};
}

values! { IntoKeyValue, into_key_value, KeyValue:
    KeyValue => |value| value;
    i64 => |value| KeyValue::Integer(value);
    i32 => |value| KeyValue::Integer(value.into());
    u32 => |value| KeyValue::Integer(value.into());
    &str => |text| KeyValue::String(text.into());
    String => |text| KeyValue::String(text.into());
    ByteString => |text| KeyValue::String(text);
    &[u8] => |bytes| KeyValue::Binary(Bytes::copy_from_slice(bytes));
    Vec<u8> => |bytes| KeyValue::Binary(bytes.into());
    Bytes => |bytes| KeyValue::Binary(bytes);
}

values! { IntoValue, into_value, Value:
    Value => |value| value;
    i64 => |value| Value::Integer(value);
    i32 => |value| Value::Integer(value.into());
    u32 => |value| Value::Integer(value.into());
    f64 => |value| Value::Double(value);
    bool => |value| Value::Boolean(value);
    &str => |text| Value::String(text.into());
    String => |text| Value::String(text.into());
    ByteString => |text| Value::String(text);
    &[u8] => |bytes| Value::Binary(Bytes::copy_from_slice(bytes));
    Vec<u8> => |bytes| Value::Binary(bytes.into());
    Bytes => |bytes| Value::Binary(bytes);
}
