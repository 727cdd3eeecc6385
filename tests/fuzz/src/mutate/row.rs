//! PlainBuffer's checksums, made good after a mutation.
//!
//! The grammar is walked as far as it goes; where it ends, the rest is left as it is. This is written from the
//! protocol's description alone, and shares nothing with the decoder that it tries.

/// Writes the checksums that the cells and rows of a buffer should have.
pub fn repair(buffer: &mut [u8]) {
    let mut at = 4;
    while buffer.get(at) == Some(&0x01) {
        match repair_row(buffer, at + 1) {
            Some(end) => at = end,
            None => return,
        }
    }
}

/// Whether this is PlainBuffer, by its header.
pub fn is_row(buffer: &[u8]) -> bool {
    buffer.starts_with(&[0x75, 0, 0, 0])
}

fn repair_row(buffer: &mut [u8], mut at: usize) -> Option<usize> {
    let mut row = 0;
    let mut deleted = 0;
    loop {
        match buffer.get(at)? {
            0x02 => at += 1,
            0x03 => {
                let checksum;
                (checksum, at) = repair_cell(buffer, at + 1)?;
                row = crc8(row, &[checksum]);
            }
            0x08 => {
                deleted = 1;
                at += 1;
            }
            // The extension: a tag and a length, each twice, and three numbers with their tags.
            0x0b => at += 5 + 24,
            0x09 => {
                *buffer.get_mut(at + 1)? = crc8(row, &[deleted]);
                return Some(at + 2);
            }
            _ => return None,
        }
    }
}

/// The cell's checksum and where it ends.
fn repair_cell(buffer: &mut [u8], mut at: usize) -> Option<(u8, usize)> {
    let (mut name, mut value, mut operation, mut timestamp) = (0..0, 0..0, 0..0, 0..0);
    loop {
        let tag = *buffer.get(at)?;
        let field = match tag {
            0x04 | 0x05 => {
                let length = u32::from_le_bytes(buffer.get(at + 1..at + 5)?.try_into().ok()?);
                at + 5..at.checked_add(5)?.checked_add(usize::try_from(length).ok()?)?
            }
            0x06 => at + 1..at + 2,
            0x07 => at + 1..at + 9,
            0x0a => break,
            _ => return None,
        };
        if field.end > buffer.len() {
            return None;
        }
        at = field.end;
        match tag {
            0x04 => name = field,
            0x05 => value = field,
            0x06 => operation = field,
            _ => timestamp = field,
        }
    }
    // In this order, which is not that of the wire.
    let checksum =
        [name, value, timestamp, operation].into_iter().fold(0, |crc, field| crc8(crc, &buffer[field]));
    *buffer.get_mut(at + 1)? = checksum;
    Some((checksum, at + 2))
}

/// Polynomial 7, most significant bit first.
fn crc8(crc: u8, bytes: &[u8]) -> u8 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 7 })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lakeferry_wire::plain_buffer::decode_rows;

    use super::*;
    use crate::samples;

    #[test]
    fn the_checksum_is_the_protocols() {
        assert_eq!(crc8(0, b"123456789"), 0xf4);
    }

    #[test]
    fn every_row_is_left_as_it_is_and_made_good_when_its_checksum_is_not() {
        for sample in samples::rows() {
            let mut row = sample.clone();
            repair(&mut row);
            assert_eq!(row, sample);
            *row.last_mut().unwrap() ^= 0x55;
            assert!(decode_rows(&Bytes::from(row.clone())).is_err());
            repair(&mut row);
            assert_eq!(row, sample);
        }
    }

    #[test]
    fn a_cell_with_another_value_decodes_again_once_it_is_repaired() {
        let mut row = samples::rows().remove(0);
        // The last byte of the first cell's name.
        row[15] ^= 0x01;
        assert!(decode_rows(&Bytes::from(row.clone())).is_err());
        repair(&mut row);
        assert!(decode_rows(&row.into()).is_ok());
    }
}
