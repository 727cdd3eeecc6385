//! Protobuf messages, changed inside and put together again with the right lengths.
//!
//! The wire format says of a field only how long it is. So whatever parses as a message is taken for one, and a
//! field that begins like PlainBuffer for a row. A wrong guess only makes another mutant.

use super::{bytes, row};
use crate::random::Random;

/// How deep messages are looked into.
const DEPTH_MAX: usize = 8;
/// How deep a part may be wrapped in itself at once.
const WRAPS_MAX: usize = 200;

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
struct Field {
    number: u64,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// Changes one field of the message, at any depth.
pub fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    let Some(mut fields) = parse(body, 0) else { return bytes::mutate(body, &[], random) };
    let chosen = random.below(count(&fields));
    change(&mut fields, chosen, random);
    body.clear();
    write(&fields, body);
}

/// Puts other bytes into every field that holds exactly `from`.
pub fn replace(body: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    if let Some(mut fields) = parse(body, 0) {
        replace_in(&mut fields, from, to);
        body.clear();
        write(&fields, body);
    }
}

fn replace_in(fields: &mut [Field], from: &[u8], to: &[u8]) {
    for field in fields {
        match &mut field.content {
            Content::Bytes(inner) if inner == from => *inner = to.to_vec(),
            Content::Message(inner) => replace_in(inner, from, to),
            _ => {}
        }
    }
}

/// Changes the field that comes `chosen`-th in the order of the wire; tells how many were passed.
fn change(fields: &mut Vec<Field>, mut chosen: usize, random: &mut Random) -> usize {
    let mut passed = 0;
    for at in 0..fields.len() {
        if chosen == 0 {
            change_at(fields, at, random);
            return passed + 1;
        }
        chosen -= 1;
        passed += 1;
        if let Content::Message(inner) = &mut fields[at].content {
            let inside = count(inner);
            if chosen < inside {
                return passed + change(inner, chosen, random);
            }
            chosen -= inside;
            passed += inside;
        }
    }
    passed
}

fn change_at(fields: &mut Vec<Field>, at: usize, random: &mut Random) {
    match random.below(12) {
        0 => drop(fields.remove(at)),
        1 => {
            let copy = fields[at].clone();
            let times = if random.one_in(20) { random.below(1500) } else { 1 };
            fields.splice(at..at, std::iter::repeat_n(copy, times));
        }
        2 => fields[at].number = 1 + random.next() % 20,
        3 => {
            let other = random.below(fields.len());
            fields.swap(at, other);
        }
        4 => fields[at].content = other_content(random),
        5 => {
            let mut wrapped = fields[at].clone();
            let times = if random.one_in(10) { WRAPS_MAX } else { 1 };
            for _ in 0..times {
                wrapped = Field { number: wrapped.number, content: Content::Message(vec![wrapped]) };
            }
            fields[at] = wrapped;
        }
        _ => change_content(&mut fields[at].content, random),
    }
}

fn change_content(content: &mut Content, random: &mut Random) {
    match content {
        Content::Varint(number) => {
            *number = if random.one_in(2) {
                bytes::edge(random)
            } else {
                number.wrapping_add(random.next() % 9).wrapping_sub(4)
            };
        }
        Content::Eight(number) => *number = bytes::edge(random).to_le_bytes(),
        Content::Four(number) => number.copy_from_slice(&bytes::edge(random).to_le_bytes()[..4]),
        Content::Bytes(inner) => {
            let is_row = row::is_row(inner);
            bytes::mutate(inner, &[], random);
            if is_row && !random.one_in(4) {
                row::repair(inner);
            }
        }
        Content::Message(inner) => {
            let chosen = random.below(count(inner));
            change(inner, chosen, random);
        }
    }
}

fn other_content(random: &mut Random) -> Content {
    match random.below(4) {
        0 => Content::Varint(bytes::edge(random)),
        1 => Content::Eight(bytes::edge(random).to_le_bytes()),
        2 => Content::Bytes(Vec::new()),
        _ => {
            let length = random.below(40);
            Content::Bytes(random.bytes(length))
        }
    }
}

/// How many fields there are, at any depth.
fn count(fields: &[Field]) -> usize {
    fields.iter().fold(0, |sum, field| {
        sum + 1 + if let Content::Message(inner) = &field.content { count(inner) } else { 0 }
    })
}

fn parse(mut rest: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let number = key >> 3;
        let content = match key & 7 {
            0 => Content::Varint(varint(&mut rest)?),
            1 => Content::Eight(take(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (inner, tail) = rest.split_at_checked(length)?;
                rest = tail;
                let message =
                    if inner.is_empty() || depth == DEPTH_MAX { None } else { parse(inner, depth + 1) };
                message.map_or_else(|| Content::Bytes(inner.to_vec()), Content::Message)
            }
            5 => Content::Four(take(&mut rest)?),
            _ => return None,
        };
        if number == 0 {
            return None;
        }
        fields.push(Field { number, content });
    }
    Some(fields)
}

fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        let kind = match field.content {
            Content::Varint(_) => 0,
            Content::Eight(_) => 1,
            Content::Bytes(_) | Content::Message(_) => 2,
            Content::Four(_) => 5,
        };
        write_varint(out, field.number << 3 | kind);
        match &field.content {
            Content::Varint(number) => write_varint(out, *number),
            Content::Eight(number) => out.extend_from_slice(number),
            Content::Four(number) => out.extend_from_slice(number),
            Content::Bytes(inner) => write_counted(out, inner),
            Content::Message(inner) => {
                let mut message = Vec::new();
                write(inner, &mut message);
                write_counted(out, &message);
            }
        }
    }
}

fn write_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a number as messages carry it.
pub fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_message_that_was_taken_apart_goes_together_again() {
        for (name, bodies) in samples::bodies() {
            for body in bodies {
                let fields = parse(&body, 0).unwrap_or_else(|| panic!("{name}: {body:02x?}"));
                let mut again = Vec::new();
                write(&fields, &mut again);
                assert_eq!(again, body, "{name}");
            }
        }
    }

    #[test]
    fn a_name_is_replaced_wherever_it_stands() {
        let (_, bodies) =
            samples::bodies().into_iter().find(|(name, _)| *name == "tunnel/heartbeat").unwrap();
        let mut body = bodies[0].clone();
        replace(&mut body, b"Stream_1", b"another channel");
        assert!(body.windows(15).any(|part| part == b"another channel") && parse(&body, 0).is_some());
    }

    #[test]
    fn a_mutant_is_still_a_message() {
        let (_, bodies) = samples::bodies().into_iter().find(|(name, _)| *name == "PutRow").unwrap();
        for case in 0..1000 {
            let mut body = bodies[0].clone();
            mutate(&mut body, &mut Random::of_case(1, "test", case));
            assert!(parse(&body, 0).is_some(), "{body:02x?}");
        }
    }
}
