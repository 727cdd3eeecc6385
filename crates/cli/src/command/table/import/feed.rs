//! Reads a file on a thread of its own, a little ahead of those who write.

use tokio::sync::mpsc;

use crate::rows::{Record, Source, SourceError};

/// Rows and bytes after which a chunk is handed over.
const CHUNK_ROWS: usize = 500;
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks that wait to be taken.
const CHUNKS_WAITING: usize = 2;

/// A few rows, or what is wrong with them.
pub struct Chunk {
    /// The rows, in their order.
    pub rows: Vec<Result<Record, SourceError>>,
    /// How much of the file is read, in hundredths.
    pub percent: Option<u64>,
}

/// Begins to read. The chunks end at the file's end, behind a fatal error, or when nobody takes them.
pub fn start(mut source: Source) -> mpsc::Receiver<Chunk> {
    let (send, chunks) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut rows_read = 0;
        loop {
            let (rows, is_last) = read_chunk(&mut source);
            rows_read += rows.len() as u64;
            let chunk = Chunk { rows, percent: source.percent(rows_read) };
            if send.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    chunks
}

/// Some rows, and whether nothing follows.
fn read_chunk(source: &mut Source) -> (Vec<Result<Record, SourceError>>, bool) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
        match source.next() {
            Ok(Some(record)) => {
                bytes += record.cells.iter().map(cell_bytes).sum::<usize>();
                rows.push(Ok(record));
            }
            Ok(None) => return (rows, true),
            Err(error) => {
                let is_fatal = error.is_fatal;
                rows.push(Err(error));
                if is_fatal {
                    return (rows, true);
                }
            }
        }
    }
    (rows, false)
}

fn cell_bytes((name, value): &(bytestring::ByteString, Option<lakeferry_model::Value>)) -> usize {
    name.len() + value.as_ref().map_or(0, lakeferry_model::Value::size)
}
