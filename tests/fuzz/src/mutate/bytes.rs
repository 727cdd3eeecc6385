//! Mutations that know nothing of what the bytes mean.

use crate::random::Random;

/// Numbers at which decoders change their mind.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// A number at an edge, or near one.
pub fn edge(random: &mut Random) -> u64 {
    let edge = random.pick(&EDGES).copied().unwrap_or_default();
    if random.one_in(3) { edge.wrapping_add(random.next() % 5).wrapping_sub(2) } else { edge }
}

/// Changes the bytes in one place; `other` is something of the same kind to take parts from.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(9) {
        0 => flip(bytes, at, random),
        1 => set(bytes, at, random.byte()),
        2 => set(bytes, at, edge(random).to_le_bytes()[0]),
        3 => {
            let count = 1 + random.below(16);
            insert(bytes, at, &random.bytes(count));
        }
        4 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(16)))),
        5 => bytes.truncate(at),
        6 => {
            let part = part(bytes, random).to_vec();
            insert(bytes, at, &part);
        }
        7 => insert(bytes, at, part(other, random)),
        _ => overwrite(bytes, at, random),
    }
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.splice(at..at, part.iter().copied());
}

/// A part of some bytes, at most 64 long.
fn part<'a>(of: &'a [u8], random: &mut Random) -> &'a [u8] {
    let from = random.below(of.len());
    let to = of.len().min(from + 1 + random.below(64));
    of.get(from..to).unwrap_or_default()
}

/// Writes a number at an edge over what is there, 1, 2, 4 or 8 bytes of it.
fn overwrite(bytes: &mut [u8], at: usize, random: &mut Random) {
    let number = edge(random).to_le_bytes();
    let width = 1 << random.below(4);
    for (byte, new) in bytes.iter_mut().skip(at).zip(&number[..width]) {
        *byte = *new;
    }
}
