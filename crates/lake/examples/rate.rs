//! tmp
use std::sync::Arc;
use std::time::Instant;
use lakeferry_lake::*;
use lakeferry_model::*;
use lakeferry_model::delivery::*;
fn main() {
    let key = KeyColumn { name: "pk".to_owned(), kind: KeyKind::String, auto_increment: false };
    let table = TableSchema { name: TableName::parse("t").unwrap(), primary_key: vec![key], defined_columns: vec![] };
    let schema = ObjectSchema::automatic(&table, true).widened_with_all([("amount", ValueKind::Double),("count", ValueKind::Integer),("name", ValueKind::String),("note", ValueKind::String)]).unwrap();
    let schema = Arc::new(schema);
    let keys: Vec<String> = (0..500_000).map(|n| format!("user-{:012}", n * 7919 % 500_009)).collect();
    let notes: Vec<String> = (0..1000).map(|n| format!("{:x}", (n as u128).wrapping_mul(0x9e3779b97f4a7c15f39cc0605cedc835)).repeat(3)).collect();
    for _ in 0..3 {
        let start = Instant::now();
        let mut e = ObjectEncoder::new(schema.clone(), Compression::Snappy, &[]).unwrap();
        for (n, k) in keys.iter().enumerate() {
            let note = &notes[n % 1000];
            e.push(RowMeta{operation: Operation::Base, commit_time: 1_600_000_000_000_000 + n as i64, sequence: n as u64}, &[ValueRef::String(k)],
              [("amount", ValueRef::Double(n as f64 * 0.37)), ("count", ValueRef::Integer((n * 31 % 977) as i64)), ("name", ValueRef::String(k)), ("note", ValueRef::String(note))]).unwrap();
        }
        let mem = e.memory_bytes();
        let o = e.finish().unwrap();
        let t = start.elapsed();
        // bare: same batches written by bare writer
        let arrow = arrow_schema(&schema);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(o.bytes.clone()).unwrap().with_batch_size(8192).build().unwrap();
        let batches: Vec<_> = reader.map(|b| arrow_array::RecordBatch::try_new(arrow.clone(), b.unwrap().columns().to_vec()).unwrap()).collect();
        let start = Instant::now();
        let mut w = parquet::arrow::ArrowWriter::try_new(Vec::new(), arrow.clone(), Some(writer_properties(&schema, Compression::Snappy, &[]))).unwrap();
        for b in &batches { w.write(b).unwrap(); }
        let len = w.into_inner().unwrap().len();
        let bare = start.elapsed();
        println!("ours {:?} {:.2} M rows/s, bare {:?} {:.2} M rows/s, {} bytes ({len}), mem {mem}", t, 0.5 / t.as_secs_f64(), bare, 0.5 / bare.as_secs_f64(), o.bytes.len());
    }
}
