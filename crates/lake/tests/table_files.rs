//! Files of a table's rows: what goes in comes out, and what others wrote is read.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Float32Array, Int8Array, Int16Array, Int32Array, LargeStringArray,
    RecordBatch, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use lakeferry_lake::{DecodeError, FileRow, TableFileReader, TableFileWriter, WriteError};
use lakeferry_model::{Value, ValueKind, ValueRef};
use parquet::arrow::ArrowWriter;

fn columns() -> Vec<(String, ValueKind)> {
    let kinds = [
        ("n", ValueKind::Integer),
        ("d", ValueKind::Double),
        ("b", ValueKind::Boolean),
        ("s", ValueKind::String),
        ("raw", ValueKind::Binary),
    ];
    kinds.map(|(name, kind)| (name.to_owned(), kind)).into()
}

/// Values of each kind in turn, and rows that lack some: the third row of four has no text, and so on.
fn rows(count: usize) -> Vec<FileRow> {
    let integers = [i64::MIN, -1, 0, i64::MAX];
    let doubles = [f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX, f64::NAN];
    let texts = ["", "é\u{1F980}\0", "long ".repeat(500).leak()];
    let row = |at: usize| {
        let mut row = vec![
            Some(Value::Integer(integers[at % integers.len()])),
            Some(Value::Double(doubles[at % doubles.len()])),
            Some(Value::Boolean(at.is_multiple_of(2))),
            Some(ValueRef::String(texts[at % texts.len()]).to_value()),
            Some(ValueRef::Binary(&[0, 255, 254][..at % 4 % 3]).to_value()),
        ];
        row[at % 5] = None;
        row
    };
    (0..count).map(row).collect()
}

fn write(rows: &[FileRow]) -> Result<File, WriteError> {
    let file = tempfile::tempfile().unwrap();
    let metadata = [("key".to_owned(), "value".to_owned())];
    let mut writer = TableFileWriter::new(file, &columns(), &metadata).unwrap();
    for row in rows {
        let values = row.iter().enumerate().filter_map(|(at, value)| Some((at, value.as_ref()?.as_ref())));
        writer.push(values)?;
    }
    Ok(writer.finish()?)
}

fn read(file: File) -> Result<(TableFileReader, Vec<FileRow>), DecodeError> {
    let mut reader = TableFileReader::open(file)?;
    let mut rows = Vec::new();
    while let Some(more) = reader.next_rows()? {
        rows.extend(more);
    }
    Ok((reader, rows))
}

/// Doubles by their bits, so that NaN equals itself and the two zeros differ.
fn bits(rows: &[FileRow]) -> Vec<Vec<Option<String>>> {
    let shown = |value: &Value| match value {
        Value::Double(double) => format!("{:x}", double.to_bits()),
        other => format!("{other:?}"),
    };
    rows.iter().map(|row| row.iter().map(|value| value.as_ref().map(shown)).collect()).collect()
}

#[test]
fn every_value_and_every_gap_comes_back() {
    for count in [0, 1, 5000] {
        let rows = rows(count);
        let (reader, found) = read(write(&rows).unwrap()).unwrap();
        assert!(bits(&found) == bits(&rows), "{count} rows come back as others");
        assert_eq!(reader.row_count(), count as u64);
        assert_eq!(reader.columns(), ["n", "d", "b", "s", "raw"]);
        assert!(
            reader.metadata().iter().any(|(key, value)| (key.as_str(), value.as_str()) == ("key", "value"))
        );
    }
}

#[test]
fn a_value_that_would_come_back_as_another_is_refused() {
    let row = |at: usize, value: Value| {
        let mut row = vec![None; 5];
        row[at] = Some(value);
        row
    };
    for (at, value) in
        [(4, Value::String("text".into())), (0, Value::Double(1.0)), (3, Value::Binary(vec![65].into()))]
    {
        assert!(matches!(write(&[row(at, value)]), Err(WriteError::Value(_))), "column {at}");
    }
}

/// A file of one column, as another program writes it.
fn foreign(array: ArrayRef) -> File {
    let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
    let mut writer = ArrowWriter::try_new(tempfile::tempfile().unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn narrower_numbers_and_wider_texts_of_others_are_read() {
    let arrays: [(ArrayRef, Value); 8] = [
        (Arc::new(Int8Array::from(vec![-7])), Value::Integer(-7)),
        (Arc::new(Int16Array::from(vec![-7])), Value::Integer(-7)),
        (Arc::new(Int32Array::from(vec![7])), Value::Integer(7)),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), Value::Integer(u32::MAX.into())),
        (Arc::new(Float32Array::from(vec![0.5])), Value::Double(0.5)),
        (Arc::new(LargeStringArray::from(vec!["x"])), Value::String("x".into())),
        (Arc::new(TimestampNanosecondArray::from(vec![1_000_000_001])), Value::Integer(1_000_000_001)),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].into_iter()).unwrap()),
            Value::Binary(vec![1, 2].into()),
        ),
    ];
    for (array, expected) in arrays {
        let kind = array.data_type().clone();
        assert_eq!(read(foreign(array)).unwrap().1, [[Some(expected)]], "{kind}");
    }
    let too_large = foreign(Arc::new(UInt64Array::from(vec![u64::MAX])));
    assert!(matches!(read(too_large), Err(DecodeError::Foreign { .. })));
}

#[test]
fn what_is_no_parquet_is_refused() {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"id,name\n1,ann\n").unwrap();
    assert!(matches!(read(file), Err(DecodeError::Parquet(_))));
}
