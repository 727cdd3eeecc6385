//! Tables, fields and rows to deliver, as short as can be.

use std::sync::Arc;

use lakeferry_lake::{
    DecodedObject, EncodedObject, ObjectEncoder, ObjectSchema, Operation, RowMeta, read_object,
};
use lakeferry_model::delivery::{Compression, Encoding, Field, FieldKind};
use lakeferry_model::{KeyColumn, KeyKind, TableName, TableSchema, Value, ValueRef};

pub const META: RowMeta =
    RowMeta { operation: Operation::Put, commit_time: 1_598_889_780_000_000, sequence: 41 };

/// A table with one string key `pk`.
pub fn table() -> TableSchema {
    TableSchema {
        name: TableName::parse("t").unwrap(),
        primary_key: vec![KeyColumn { name: "pk".to_owned(), kind: KeyKind::String, auto_increment: false }],
        defined_columns: vec![],
    }
}

pub fn field(name: &str, kind: FieldKind, encoding: Encoding, type_extend: Option<&str>) -> Field {
    let name = name.to_owned();
    Field { source: name.clone(), target: name, kind, encoding, type_extend: type_extend.map(str::to_owned) }
}

pub fn plain(name: &str, kind: FieldKind) -> Field {
    field(name, kind, Encoding::Plain, None)
}

pub fn manual(fields: &[Field]) -> Arc<ObjectSchema> {
    Arc::new(ObjectSchema::manual(fields, &table()).unwrap())
}

pub fn encoder(schema: &Arc<ObjectSchema>) -> ObjectEncoder {
    ObjectEncoder::new(Arc::clone(schema), Compression::Snappy, &[]).unwrap()
}

/// Encodes rows of one column `v`, and reads the column back.
pub fn through_one_column(field: &Field, values: &[Option<Value>]) -> (EncodedObject, Vec<Option<Value>>) {
    let schema = manual(std::slice::from_ref(field));
    let mut encoder = encoder(&schema);
    for value in values {
        let cells = value.as_ref().map(|value| ("v", value.as_ref()));
        encoder.push(META, &[ValueRef::String("k")], cells).unwrap();
    }
    let object = encoder.finish().unwrap();
    let read = decode(&object);
    let column = read.rows.into_iter().map(|mut row| row.remove(0)).collect();
    (object, column)
}

pub fn decode(object: &EncodedObject) -> DecodedObject {
    read_object(object.bytes.clone()).unwrap()
}
