//! Takes messages of callers apart within a bound of memory.
//!
//! Two bytes of a message can stand for an element of hundreds of bytes in memory, so the length of a body says
//! little about what its message takes. What does is how often the decoder reads: each field is a few reads. The
//! buffer that it reads from counts them, and is at its end when there were too many.

use bytes::{Buf, Bytes};
use prost::{DecodeError, Message};

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BoundedError {
    /// It is no message of its kind.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It has more fields than any legal one.
    #[error("it has too many fields")]
    TooManyFields,
}

/// Decodes a message in no more than so many reads: two for a field that holds a number or an empty message, three
/// for one that holds text. Fields of messages inside count too.
///
/// # Errors
/// If it is malformed or takes more.
pub fn decode<M: Message + Default>(bytes: Bytes, reads_max: usize) -> Result<M, BoundedError> {
    let mut buffer = Counted { bytes, reads_left: reads_max };
    let decoded = M::decode(&mut buffer);
    // First: the error beside it would only say that the message seems to be cut off.
    if buffer.reads_left == 0 {
        return Err(BoundedError::TooManyFields);
    }
    Ok(decoded?)
}

struct Counted {
    bytes: Bytes,
    reads_left: usize,
}

impl Counted {
    fn count(&mut self) {
        self.reads_left = self.reads_left.saturating_sub(1);
        if self.reads_left == 0 {
            self.bytes.clear();
        }
    }
}

impl Buf for Counted {
    #[inline]
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.count();
    }

    // Values stay slices of the body.
    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let bytes = self.bytes.copy_to_bytes(length);
        self.count();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{BatchGetRowRequest, TableInBatchGetRowRequest};

    fn batch(columns: usize) -> Bytes {
        let table = TableInBatchGetRowRequest {
            table_name: "t".into(),
            primary_key: vec![Bytes::from_static(b"key")],
            columns_to_get: vec!["c".into(); columns],
            ..Default::default()
        };
        BatchGetRowRequest { tables: vec![table] }.encode_to_vec().into()
    }

    #[test]
    fn a_message_is_taken_as_ever_within_the_bound() {
        let body = batch(100);
        let decoded: BatchGetRowRequest = decode(body.clone(), 400).unwrap();
        assert_eq!(decoded, BatchGetRowRequest::decode(body.clone()).unwrap());
        let key = &decoded.tables[0].primary_key[0];
        assert!(body.as_ptr_range().contains(&key.as_ptr()), "values are not copied");
    }

    #[test]
    fn fields_are_counted_at_every_depth() {
        for body in [batch(200), [0x0a, 0].repeat(200).into(), [0x78, 1].repeat(200).into()] {
            let outcome = decode::<BatchGetRowRequest>(body, 300);
            assert!(matches!(outcome, Err(BoundedError::TooManyFields)), "{outcome:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_so() {
        let outcome = decode::<BatchGetRowRequest>(Bytes::from_static(b"\xff"), 300);
        assert!(matches!(outcome, Err(BoundedError::Malformed(_))), "{outcome:?}");
    }
}
