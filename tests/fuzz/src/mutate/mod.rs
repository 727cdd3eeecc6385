//! Mutations: of bytes, of messages that keep their shape, and of rows whose checksums are made good again.
//!
//! A decoder that checks a checksum or a length first would see little else of plain bytes. So a message is
//! taken apart, changed somewhere inside and put together with the right lengths, and a row in it gets the
//! checksums of what it became, most of the time.

pub mod bytes;
pub mod message;
pub mod row;

use crate::random::Random;

/// What a decoder takes, and so what is worth doing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Bytes without a structure that is known here.
    Bytes,
    /// PlainBuffer.
    Row,
    /// A protobuf message, perhaps with messages and rows in its `bytes` fields.
    Message,
}

/// The longest mutant.
pub const BYTES_MAX: usize = 64 * 1024;

/// A mutant of one of the samples, or random bytes.
pub fn mutant(shape: Shape, samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if samples.is_empty() || random.one_in(20) {
        let count = random.below(64);
        return random.bytes(count);
    }
    let mut mutant = random.pick(samples).cloned().unwrap_or_default();
    let other = random.pick(samples).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        match shape {
            Shape::Message if !random.one_in(5) => message::mutate(&mut mutant, random),
            Shape::Message | Shape::Bytes | Shape::Row => bytes::mutate(&mut mutant, &other, random),
        }
    }
    if shape == Shape::Row && !random.one_in(4) {
        row::repair(&mut mutant);
    }
    mutant.truncate(BYTES_MAX);
    mutant
}
