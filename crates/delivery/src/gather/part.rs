//! The rows of one folder and partition, as they came: bytes in chunks, each record behind its length and its
//! distance from the sequence before.
//!
//! Ten thousand folders wait at once, so what is not filled counts. A chunk is wanted to be a sixteenth of what lies
//! before it, and is, of the allocator's sizes from there to the double, the one that records like the one at hand fill
//! best.

use lakeferry_model::Micros;

/// The smallest chunk, and what is wanted of one at most: with records that fit badly it has nearly the double.
const CHUNK_BYTES: std::ops::RangeInclusive<usize> = 512..=1 << 20;
/// A chunk is wanted to be this part of those before it.
const GROWTH: usize = 16;
/// Two numbers of at most 32 and 64 bits, seven of them in a byte.
const HEADER_BYTES_MAX: usize = 5 + 10;

/// The rows of one folder and partition, in the order of their sequences.
#[derive(Debug)]
pub(crate) struct Part {
    /// The sequence of the first record.
    pub(crate) first: u64,
    /// The commit time of the first record.
    pub(crate) first_commit_time: Micros,
    /// Records whose event time could not be read.
    pub(crate) event_time_dirty: u64,
    /// The sequence of the latest record.
    latest: u64,
    /// Bytes of all chunks.
    held: usize,
    chunks: Vec<Vec<u8>>,
}

impl Part {
    /// An empty part whose first record will be this one.
    pub(crate) fn begun(first: u64, first_commit_time: Micros) -> Self {
        Self { first, first_commit_time, event_time_dirty: 0, latest: first, held: 0, chunks: Vec::new() }
    }

    /// Sequence and record of each, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut sequence = self.first;
        let records = self.chunks.iter().flat_map(|chunk| Records(chunk));
        records.map(move |(distance, record)| {
            sequence += distance;
            (sequence, record)
        })
    }

    /// Adds a record, and answers by how many bytes the memory of the part grew.
    ///
    /// # Panics
    /// If the record has 4 GiB or its sequence lies below that of the record before it.
    #[inline]
    pub(crate) fn append(&mut self, sequence: u64, record: &[u8]) -> u64 {
        let distance =
            sequence.checked_sub(self.latest).expect("records come in the order of their sequences");
        self.latest = sequence;
        let length = u32::try_from(record.len()).expect("a record is far below 4 GiB");
        let header = Header::of(length, distance);
        let needed = header.as_slice().len() + record.len();
        let is_full = self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < needed);
        let grown = if is_full { self.grow(needed) } else { 0 };
        let chunk = self.chunks.last_mut().expect("a chunk was pushed if there was none");
        chunk.extend_from_slice(header.as_slice());
        chunk.extend_from_slice(record);
        grown
    }

    #[cold]
    fn grow(&mut self, needed: usize) -> u64 {
        let bytes = chunk_bytes(self.held, needed);
        self.held += bytes;
        self.chunks.push(Vec::with_capacity(bytes));
        bytes as u64
    }
}

/// The size of the chunk behind so many bytes of them, the first of many records of this size. Allocators have four
/// sizes from one power of two to the next, and fill others up. Four of them lie between the wanted one and its double:
/// it is the one of which least is left over.
fn chunk_bytes(held: usize, record: usize) -> usize {
    let wanted = (held / GROWTH).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end()).max(record);
    let smallest = class_of(wanted);
    let sizes = std::iter::successors(Some(smallest), |size| Some(class_of(size + 1))).take(4);
    // Left over of each byte, in parts of 2^16.
    let left_over = |size: &usize| ((size % record) << 16) / size;
    sizes.min_by_key(left_over).unwrap_or(smallest)
}

/// The smallest size that an allocator has for so many bytes, eight of them at least: above a power of two, up to and
/// with the next, sizes lie a quarter of it apart.
fn class_of(bytes: usize) -> usize {
    bytes.next_multiple_of(bytes.next_power_of_two() / 8)
}

/// What lies before a record: its length, and how far its sequence lies behind the one before.
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

impl Header {
    #[inline]
    fn of(length: u32, distance: u64) -> Self {
        let mut header = Self { bytes: [0; HEADER_BYTES_MAX], length: 0 };
        header.put(length.into());
        header.put(distance);
        header
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it takes the low bits on purpose, seven at a time")]
    fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes[self.length] = (number as u8) | 0x80;
            self.length += 1;
            number >>= 7;
        }
        self.bytes[self.length] = number as u8;
        self.length += 1;
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Records of a chunk, each with its distance from the sequence before.
struct Records<'a>(&'a [u8]);

impl Records<'_> {
    /// Takes a number from the front. What a header holds was put there by [`Header::put`].
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        Some(number)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(self.number()?).ok()?;
        let distance = self.number()?;
        let (record, rest) = self.0.split_at(length);
        self.0 = rest;
        Some((distance, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(records: impl IntoIterator<Item = (u64, usize)>) -> (Part, u64) {
        let mut records = records.into_iter().peekable();
        let mut part = Part::begun(records.peek().unwrap().0, 7);
        let held = records
            .map(|(sequence, bytes)| part.append(sequence, &vec![sequence.to_le_bytes()[0]; bytes]))
            .sum();
        (part, held)
    }

    #[test]
    fn records_come_back_with_their_sequences() {
        let records = [(5, 0), (6, 127), (200, 128), (1 << 40, 70_000), (u64::MAX, 3), (u64::MAX, 2_000_000)];
        let (part, _) = filled(records);
        let read: Vec<(u64, usize)> =
            part.records().map(|(sequence, record)| (sequence, record.len())).collect();
        assert_eq!(read, records);
        let is_as_it_was =
            |(sequence, record): (u64, &[u8])| record.iter().all(|byte| *byte == sequence.to_le_bytes()[0]);
        assert!(part.records().all(is_as_it_was));
    }

    #[test]
    fn little_of_what_a_part_holds_is_empty() {
        for bytes in [20, 80, 146, 300, 560, 1000] {
            for records in [250_u64, 1000, 20_000] {
                let (part, held) = filled((1..=records).map(|sequence| (sequence, bytes)));
                let full = records * (bytes as u64 + 2);
                assert!(held * 100 <= full * 116, "{records} records of {bytes} bytes in {held}");
                let taken: usize = part.chunks.iter().map(Vec::capacity).sum();
                assert_eq!(held, taken as u64);
            }
        }
    }

    #[test]
    fn chunks_have_the_sizes_that_allocators_have() {
        let powers = (8..20).map(|exponent| 1_usize << exponent);
        let classes: Vec<usize> = powers.flat_map(|power| [4, 5, 6, 7].map(|at| power / 4 * at)).collect();
        for held in (0..5_000).chain((5_000..8 << 20).step_by(4_999)) {
            for record in [1, 17, 120, 500, 512, 600, 1151, 1152, 3000, 4096, 70_000, 200_000] {
                let size = chunk_bytes(held, record);
                let wanted = (held / GROWTH).clamp(512, 1 << 20).max(record);
                assert!((wanted..2 * wanted).contains(&size), "{size} behind {held} for {record}");
                assert!(
                    size > 512 << 10 || classes.contains(&size),
                    "{size} behind {held} for {record} is no size that an allocator has"
                );
                // None of the others wastes less.
                let left_over = |size: usize| (size % record) as f64 / size as f64;
                for other in classes.iter().filter(|class| **class >= wanted).take(4) {
                    assert!(left_over(size) <= left_over(*other) + 1e-4, "{size}, not {other}, for {record}");
                }
            }
        }
    }

    #[test]
    fn a_record_larger_than_any_chunk_gets_its_own() {
        let (part, held) = filled([(1, 3 << 20), (2, 10)]);
        assert_eq!(part.records().map(|(_, record)| record.len()).collect::<Vec<_>>(), [3 << 20, 10]);
        assert!(held <= (4 << 20) + (1 << 20));
    }
}
